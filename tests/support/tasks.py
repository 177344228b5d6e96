"""Operators and DAGs in tests: a task's context without a scheduler, a real Airflow database, an S3 client."""

from __future__ import annotations

import atexit
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from select import select
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import AutoenhanceError
from airflow_provider_autoenhance.api.exchange import Tries
from airflow_provider_autoenhance.pipeline.gallery.thumbnails import THUMBNAILS_FOLDER
from tests.support.sandbox import Sandbox

_RUN_SECONDS = 300


class Task:
    """Stands for a task instance: remembers what is pushed to XCom."""

    def __init__(self, task_id: str, *, map_index: int, try_number: int, run_id: str) -> None:
        self.dag_id = "nightly"
        self.task_id = task_id
        self.run_id = run_id
        self.map_index = map_index
        self.try_number = try_number
        self.max_tries = 0
        self.xcom: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom[key] = value

    def xcom_pull(self, *, task_ids: str, map_indexes: int, key: str) -> Any:
        assert (task_ids, map_indexes) == (self.task_id, self.map_index)
        return self.xcom.get(key)

    def get_first_reschedule_date(self, context: Any) -> None:
        """This is the first poke."""


def context(operator: Any, *, map_index: int = -1, try_number: int = 1, run_id: str = "manual__1") -> dict[str, Any]:
    """Return what an operator's ``execute`` gets, as far as this provider reads it."""
    task = Task(operator.task_id, map_index=map_index, try_number=try_number, run_id=run_id)
    return {"ti": task, "task": operator, "map_index_template": None}


def execute(operator: Any, about: dict[str, Any]) -> Any:
    """Execute an operator in any thread: Airflow 2.11 guards the method with what only the main thread has."""
    return inspect.unwrap(type(operator).execute)(operator, about)


def run(operator: Any, **about: Any) -> Any:
    """Execute an operator as a worker would."""
    return execute(operator, context(operator, **about))


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions about retries stay as they are; the time between tries shrinks, and triggers fire soon."""
    decide = Tries.pause_after

    def hurried(self: Tries, error: AutoenhanceError, waited: float) -> float | None:
        pause = decide(self, error, waited)
        return None if pause is None else pause / 50

    monkeypatch.setattr(Tries, "pause_after", hurried)
    for module in ("images", "orders"):
        monkeypatch.setattr(f"airflow_provider_autoenhance.triggers.{module}.EARLIEST_EVENT_SECONDS", 0.05)


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """A migrated Airflow database for the session."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)


@pytest.fixture(scope="session")
def known_dags(airflow_db: None) -> None:
    """The DAGs in Airflow's database, as its DAG processor puts them there: only then it takes events of their assets."""
    subprocess.run([sys.executable, "-m", "airflow", "dags", "reserialize"], check=True, capture_output=True)


def asset_models() -> tuple[Any, str, Any]:
    """Return Airflow's model of an asset, the name of its id in the model of an event, and that."""
    try:
        from airflow.models.asset import AssetEvent, AssetModel
    except ImportError:  # Airflow 2
        from airflow.models.dataset import DatasetEvent, DatasetModel

        return DatasetModel, "dataset_id", DatasetEvent
    return AssetModel, "asset_id", AssetEvent


@pytest.fixture
def no_news(known_dags: None) -> None:
    """Nothing has happened to any asset yet, whatever other tests did."""
    from airflow.utils.session import create_session

    with create_session() as session:
        for each in session.query(asset_models()[2]):
            session.delete(each)


def run_dag(name: str, date: str, conf: dict[str, Any], dag: str = "") -> subprocess.CompletedProcess[str]:
    """Run a DAG of ``dags/`` in a process of its own; see :mod:`tests.support.run_dag`.

    :param dag: its name, where it is not the file's.
    """
    return run_dag_file(Path(__file__).parents[2] / "dags" / f"{name}.py", date, conf, dag)


def run_dag_file(file: Path, date: str, conf: dict[str, Any], dag: str = "") -> subprocess.CompletedProcess[str]:
    """Run a DAG that is named like its file, or ``dag``, in a process of its own."""
    return _runner(file.parent).run([str(file), date, json.dumps(conf), *([dag] if dag else [])])


class _DagRunner:
    """The warm process of :mod:`tests.support.run_dag`.

    :param folder: Airflow's folder of DAG files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = {"AIRFLOW__CORE__DAGS_FOLDER": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("run_dag.py"))],
            env={**os.environ, **self._folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Have one process run a DAG in the environment as it is now."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with tempfile.NamedTemporaryFile("r") as output:
            order = {"words": words, "environment": {**os.environ, **self._folder}, "output": output.name}
            print(json.dumps(order), file=self._process.stdin, flush=True)
            if not select([self._process.stdout], [], [], _RUN_SECONDS)[0]:
                raise TimeoutError(f"{words} still ran after {_RUN_SECONDS} s: {output.read()[-5000:]}")
            status = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(words, status, output.read())

    def stop(self) -> None:
        """End it, and a run that hangs with it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@cache
def _runner(folder: Path) -> _DagRunner:
    runner = _DagRunner(folder)
    atexit.register(runner.stop)
    return runner


def without_masking(output: str) -> str:
    """Airflow 3.0 prints each secret that it learns to mask, when it runs a DAG without a scheduler."""
    return "\n".join(line for line in output.splitlines() if "msg=MaskSecret(" not in line)


def connection_of(sandbox: Sandbox, name: str) -> str:
    """Return an Airflow connection that the sandbox printed, as the environment variable's value."""
    line = next(line for line in sandbox.output.splitlines() if f"AIRFLOW_CONN_{name}" in line)
    return line.partition("=")[2].strip("'")


@pytest.fixture
def autoenhance(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox as Airflow's connection ``autoenhance_default``."""
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", connection_of(sandbox, "AUTOENHANCE_DEFAULT"))
    return sandbox


@pytest.fixture(scope="session")
def aws_models() -> Iterator[None]:
    """AWS's descriptions of its services, read once: each test's new client would parse megabytes of JSON again."""
    from botocore import session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "create_loader", cache(session.create_loader))
        yield


def is_for_people(place: str) -> bool:
    """Whether a file is a thumbnail, a gallery's JSON or a contact sheet, which most tests are not about."""
    name = place.rpartition("/")[2]
    return THUMBNAILS_FOLDER in place or name.startswith(("autoenhance-gallery", "autoenhance-contact-sheet"))


@pytest.fixture
def s3(sandbox: Sandbox, aws_models: None, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Buckets ``listings`` and ``enhanced`` in the sandbox's S3, and the client that filled them."""
    import boto3

    from airflow_provider_autoenhance.storage.s3_client import forget_clients

    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection_of(sandbox, "AWS_DEFAULT"))
    forget_clients()
    client = boto3.client(
        "s3",
        endpoint_url=sandbox.s3_url,
        region_name="us-east-1",
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )
    for bucket in ("listings", "enhanced"):
        client.create_bucket(Bucket=bucket)
    return SimpleNamespace(
        client=client,
        put=lambda key, data: client.put_object(Bucket="listings", Key=key, Body=data),
        get=lambda key: client.get_object(Bucket="enhanced", Key=key)["Body"].read(),
        keys=lambda bucket="enhanced", everything=False: [
            each["Key"]
            for each in client.list_objects_v2(Bucket=bucket).get("Contents", [])
            if everything or not is_for_people(each["Key"])
        ],
    )
