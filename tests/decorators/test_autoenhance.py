"""``@task.autoenhance``: the function says what to enhance, once per try."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred, task

from airflow_provider_autoenhance.api.settings import EnhancementSettings
from airflow_provider_autoenhance.decorators.autoenhance import AutoenhanceDecoratedOperator, autoenhance_task
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from tests.support.batch import event_of
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run, run_dag_file, without_masking

DAGS = Path(__file__).parents[1] / "support" / "dags"


@pytest.fixture(autouse=True)
def early_events(monkeypatch: pytest.MonkeyPatch, short_waits: None) -> None:
    monkeypatch.setattr("airflow_provider_autoenhance.triggers.orders.EARLIEST_EVENT_SECONDS", 0.1)


def decorated(function: Any, *args: Any, **options: Any) -> Any:
    """Return the operator that the decorator makes of a function, called with ``args``."""
    defaults: dict[str, Any] = {"destination": "s3://enhanced/maple/", "poll_interval": 0.1, "preview": False}
    if function.__name__ == "<lambda>":
        function.__name__ = "tonight"
    with DAG("nightly", schedule=None):
        return autoenhance_task(**defaults | options)(function)(*args).operator


def landed(s3: SimpleNamespace) -> list[str]:
    return [key for key in s3.keys() if RECORDS_FOLDER not in key and "autoenhance-manifest" not in key]


@pytest.mark.parametrize(
    "returned",
    [
        "s3://listings/maple",
        ["s3://listings/maple/1.jpg", "s3://listings/maple/2.jpg"],
        ("s3://listings/maple/1.jpg", "s3://listings/maple/2.jpg"),
        {"source": "s3://listings/maple", "plan_only": "false", "output_spec": OutputSpec(format="jpeg")},
    ],
    ids=lambda returned: type(returned).__name__,
)
def test_what_the_function_returns_is_enhanced(
    returned: Any, autoenhance: Sandbox, s3: SimpleNamespace, airflow_db: None
) -> None:
    for number in (1, 2):
        s3.put(f"maple/{number}.jpg", photo(shade=number))
    summary = run(decorated(lambda: returned))
    assert (summary["landed"], summary["credits"]) == (2, 2)
    assert landed(s3) == ["maple/1.jpg", "maple/2.jpg"]


def test_what_the_function_names_counts_instead_of_the_decorator_s(
    autoenhance: Sandbox, s3: SimpleNamespace, airflow_db: None
) -> None:
    s3.put("elm/1.jpg", photo())

    def tonight(folder: str, ds: str) -> dict[str, Any]:
        return {
            "source": f"s3://listings/{folder}",
            "destination": f"s3://enhanced/{ds}",
            "settings": EnhancementSettings(enhance_type="warm"),
            "preview": True,
        }

    it = decorated(tonight, "elm", settings={"enhance_type": "neutral"})
    summary = it.execute({**context(it), "ds": "2026-03-01"})
    assert summary["credits"] == 0
    assert landed(s3) == ["2026-03-01/1.jpg"]
    assert autoenhance.ledger()["images"][0]["settings"]["enhance_type"] == "warm"


def test_a_deferred_task_goes_on_with_what_was_returned_before(
    autoenhance: Sandbox, s3: SimpleNamespace, airflow_db: None
) -> None:
    for folder in ("elm", "oak"):
        s3.put(f"{folder}/1.jpg", photo(shade=len(folder)))
    folders = iter(["elm", "oak"])

    def tonight() -> dict[str, Any]:
        return {"source": f"s3://listings/{next(folders)}", "settings": EnhancementSettings(sky_replacement=False)}

    it = decorated(tonight, deferrable=True)
    autoenhance.settings(processing_seconds=[2, 2])
    first = context(it)
    with pytest.raises(TaskDeferred) as deferral:
        it.execute(first)

    again = decorated(tonight, deferrable=True)
    about = context(again)
    about["ti"].xcom = json.loads(json.dumps(first["ti"].xcom))
    summary = again.execute_complete(about, asyncio.run(event_of(deferral.value.trigger)))
    assert summary["source"] == "s3://listings/elm"
    assert (summary["landed"], summary["credits"]) == (1, 1)
    assert len(autoenhance.ledger()["images"]) == 1
    assert next(folders) == "oak"


def test_a_task_that_is_to_push_nothing_asks_again_after_its_wait(
    autoenhance: Sandbox, s3: SimpleNamespace, airflow_db: None
) -> None:
    s3.put("elm/1.jpg", photo())
    asked: list[str] = []

    def tonight() -> str:
        asked.append("elm")
        return "s3://listings/elm"

    it = decorated(tonight, deferrable=True, do_xcom_push=False)
    autoenhance.settings(processing_seconds=[2, 2])
    about = context(it)
    with pytest.raises(TaskDeferred) as deferral:
        it.execute(about)
    event = asyncio.run(event_of(deferral.value.trigger))
    again = decorated(tonight, deferrable=True, do_xcom_push=False)
    assert again.execute_complete(about | {"task": again}, event)["landed"] == 1
    assert about["ti"].xcom == {}
    assert asked == ["elm", "elm"]


def test_a_retry_asks_again_and_pays_only_for_what_is_new(
    autoenhance: Sandbox, s3: SimpleNamespace, airflow_db: None
) -> None:
    photos: list[str] = []

    def tonight() -> list[str]:
        return [f"s3://listings/{name}" for name in photos]

    for number in (1, 2):
        s3.put(f"elm/{number}.jpg", photo(shade=number))
        photos.append(f"elm/{number}.jpg")
        it = decorated(tonight)
        it.execute(context(it, try_number=number))
    assert landed(s3) == ["maple/1.jpg", "maple/2.jpg"]
    assert autoenhance.ledger()["credits"]["spent"] == 2


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, "has to return a folder URI"),
        (7, "has to return a folder URI"),
        ([7], "has to return a folder URI"),
        ({"destination": "s3://enhanced/elm"}, "an object with 'source'"),
        ({"source": "s3://listings/elm", "dry_run": True}, "'dry_run'; allowed are .*max_credits.*plan_only"),
        ({"source": "s3://listings/elm", "concurrency": 4}, "'concurrency'; allowed are"),
        ({"source": "s3://listings/elm", "settings": {"enhance": object()}}, "cannot be kept through a wait"),
        ([], "empty list"),
    ],
)
def test_anything_else_is_refused_at_once(returned: Any, told: str, autoenhance: Sandbox, airflow_db: None) -> None:
    with pytest.raises(AirflowFailException, match=told):
        run(decorated(lambda: returned))
    assert autoenhance.ledger()["requests"] == {}


def test_a_destination_has_to_come_from_somewhere(autoenhance: Sandbox, s3: SimpleNamespace, airflow_db: None) -> None:
    with pytest.raises(AirflowFailException, match="destination is empty"):
        run(decorated(lambda: "s3://listings/elm", destination=""))


def test_what_cannot_work_is_refused_when_the_dag_is_read() -> None:
    async def later() -> str:
        return "s3://listings/elm"

    with pytest.raises(TypeError, match="takes a plain function; later is async"):
        decorated(later)
    with pytest.raises(TypeError, match="returns the source"):
        decorated(lambda: "", source="s3://listings/elm")
    with pytest.raises(ValueError, match="on_existing takes one of"):
        decorated(lambda: "", on_existing="keep")


def test_airflow_knows_it_as_a_task_decorator() -> None:
    with DAG("nightly", schedule=None) as dag:

        @task.autoenhance(destination="s3://enhanced/", retries=3, max_failures="5%")
        def tonight(folder: str) -> str:
            return folder

        tonight.override(task_id="again", max_failures=2)("elm")
        tonight.partial().expand(folder=["elm", "oak"])
    again = dag.get_task("again")
    assert isinstance(again, AutoenhanceDecoratedOperator)
    assert (again.max_failures, again.retries, again.operator_name) == (2, 3, "@task.autoenhance")
    assert again.op_args == ("elm",)
    assert dag.get_task("tonight").operator_class is AutoenhanceDecoratedOperator  # a mapped task


@pytest.mark.parametrize("deferrable", [False, True])
def test_on_a_real_airflow(deferrable: bool, autoenhance: Sandbox, s3: SimpleNamespace, airflow_db: None) -> None:
    for folder in ("elm", "oak"):
        s3.put(f"{folder}/1.jpg", photo(shade=len(folder)))
    if deferrable:
        autoenhance.settings(processing_seconds=[1.0, 1.0])
    done = run_dag_file(DAGS / "decorated_dag.py", f"2026-04-0{1 + deferrable}", {"deferrable": deferrable})
    assert done.returncode == 0, done.stdout[-4000:]
    assert landed(s3) == ["elm/1.jpg", "oak/1.jpg"]
    ledger = autoenhance.ledger()
    assert (ledger["credits"]["spent"], len(ledger["images"])) == (2, 2)
    assert autoenhance.api_key not in without_masking(done.stdout)
    told = [line for line in done.stdout.splitlines() if "asked for" in line]
    assert len(told) == 2, told
    assert "cannot be called outside" not in done.stdout
