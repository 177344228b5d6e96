"""The same work as DAG runs on a live Airflow: one task per folder, against four mapped tasks per photo."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.airflow_home import DAGS, AirflowHome, free_port
from tools.bench.contender import Size, check_landed
from tools.bench.job import Job
from tools.bench.meter import ProcessesMeter
from tools.bench.service import BenchService, api_calls
from tools.live_airflow import LiveAirflow, start_live_airflow
from tools.local_service import RESULT_BUCKET, SOURCE_BUCKET
from tools.processes import Children, ProcessError

MAPPED = "autoenhance_quickstart"
BATCH = "bench_enhance"
NIGHTLY = "autoenhance_nightly"
_RUN_SECONDS = 3600
_SETTLE_SECONDS = 180


@dataclass(frozen=True)
class DagRunner:
    """A live Airflow that does jobs."""

    airflow: LiveAirflow
    bench: BenchService

    def run(self, dag_id: str, job: Job, size: Size, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Do a job as a run of a DAG; return what all of Airflow took meanwhile, and check that the work is done.

        :param params: of the DAG, beside the places.
        """
        calls, sandbox_cpu = api_calls(self.bench.books()), self.bench.cpu_seconds()
        conf = {
            "source": f"s3://{SOURCE_BUCKET}/{job.source}/",
            "destination": f"s3://{RESULT_BUCKET}/{job.destination}/",
            **(params or {}),
        }
        now = datetime.now(UTC).isoformat()
        with ProcessesMeter([child.pid for child in self.airflow.components.values()]) as meter:
            made = self.airflow.api.post(f"dags/{dag_id}/dagRuns", {"logical_date": now, "conf": conf})
            run = self._until_ended(dag_id, made["dag_run_id"])
        books = self.bench.books()
        check_landed(self.bench, dag_id, job, size, books)
        path = f"dags/{dag_id}/dagRuns/{made['dag_run_id']}/taskInstances?limit=1"
        return {
            "wall": round(_seconds(run), 3),
            "cpu": round(meter.cpu, 3),
            "peak_mb": round(meter.peak_megabytes, 1),
            "tasks": self.airflow.api.get(path)["total_entries"],
            "photos": size.count,
            "bytes": size.count * size.size,
            "api_calls": api_calls(books) - calls,
            "sandbox_cpu": round(self.bench.cpu_seconds() - sandbox_cpu, 3),
        }

    def settle(self, dag_id: str) -> None:
        """Wait until the run is over that a DAG with a schedule begins at once."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline:
            runs = self.airflow.api.get(f"dags/{dag_id}/dagRuns")["dag_runs"]
            if runs and all(run["state"] in ("success", "failed") for run in runs):
                return
            time.sleep(1)
        raise ProcessError(f"the first run of {dag_id} took more than {_SETTLE_SECONDS} s: {self.airflow.home.logs}")

    def _until_ended(self, dag_id: str, run_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + _RUN_SECONDS
        while time.monotonic() < deadline:
            run: dict[str, Any] = self.airflow.api.get(f"dags/{dag_id}/dagRuns/{run_id}")
            if run["state"] == "failed":
                raise ProcessError(f"a run of {dag_id} failed: {self.airflow.home.logs}")
            if run["state"] == "success":
                return run
            time.sleep(0.5)
        raise ProcessError(f"a run of {dag_id} took more than {_RUN_SECONDS} s: {self.airflow.home.logs}")


def _seconds(run: dict[str, Any]) -> float:
    """From the moment that the run was asked for to its end, as Airflow wrote them down."""
    began, ended = (datetime.fromisoformat(run[name].replace("Z", "+00:00")) for name in ("queued_at", "end_date"))
    return (ended - began).total_seconds()


@contextmanager
def dag_runner(
    bench: BenchService, folder: Path, *, concurrency: int, dags: Sequence[str] = (MAPPED, BATCH)
) -> Iterator[DagRunner]:
    """Start an Airflow with a LocalExecutor for ``concurrency`` tasks at a time.

    :param dags: ids of those that it has. Other examples watch the account for orders of their own accord, and would work on what is
        measured.
    """
    place = folder / "dags"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for dag_id in dags:
        shutil.copy(Path(__file__).with_name("enhance_dag.py") if dag_id == BATCH else DAGS / f"{dag_id}.py", place)
    extra = {
        **bench.service.connections,
        **bench.trust,
        "AIRFLOW__CORE__PARALLELISM": str(concurrency),
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(concurrency),
    }
    with Children() as children:
        home = AirflowHome(folder / "live", dags=place, port=free_port())
        airflow = start_live_airflow(children, home, folder, extra)
        yield DagRunner(airflow, bench)
