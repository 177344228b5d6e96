"""Nights that meet a limit: of time, or of room for temporary files."""

from __future__ import annotations

import json

from tools.celery.cluster import WORKERS, CeleryAirflow
from tools.celery.small_disk import SmallDisk
from tools.celery.workers import cluster
from tools.console import detail
from tools.night_run import NightRun
from tools.processes import ProcessError

_PROCESSING_SECONDS = 90
_TIMEOUT_SECONDS = 30


def deadline_passed(run: NightRun) -> None:
    """Autoenhance takes longer than tasks may wait: they fail, and are cleared when it is done."""
    file = run.airflow.home.dags / "autoenhance_nightly.py"
    before = file.read_text()
    file.write_text(before.replace("deferrable=True,", f"deferrable=True,\n        timeout={_TIMEOUT_SECONDS},"))
    run.service.settings(processing_seconds=[_PROCESSING_SECONDS, _PROCESSING_SECONDS])
    try:
        state, late = run.wait_for_end(), run.said("past the deadline")
        if (state, late, run.purchases()) != ("failed", run.listings, 0):
            raise ProcessError(f"{late} tasks were late; the run ended {state}, with {run.purchases()} photos bought")
        detail(f"both tasks waited {_TIMEOUT_SECONDS} s, and failed; clearing them when Autoenhance is done")
        run.wait_until(lambda: run.processed() == run.listings * run.photos, what="enhanced", may_end=True)
        # One by one, the scheduler may come in between, and give up what comes after for the task that is still failed.
        run.clear(*(int(task["map_index"]) for task in run.mapped()))
        run.wait_for_end()
    finally:
        file.write_text(before)
        run.service.settings(processing_seconds=[3, 6])


def disk_full(run: NightRun) -> None:
    """The workers' temporary folders fill up while tasks wait, and have room again when these have failed for it."""
    airflow = cluster(run)
    airflow.kill("triggerer")  # so that nothing is downloaded before they are full
    run.wait_until(lambda: run.count("deferred") == run.listings, what="deferred")
    bought = run.purchases()  # what was done before all photos were uploaded
    for name in WORKERS:
        airflow.finish(name)
        _give_small_disk(airflow, name)
    detail("the temporary folders of both workers are full")
    airflow.start("triggerer")
    run.wait_until(lambda: run.said("set TMPDIR") == run.listings, what="out of room")
    if more := run.purchases() - bought:
        raise ProcessError(f"{more} photos were bought, for which there was no room")
    detail(
        f"both tasks failed for want of room, and bought nothing; {bought} photos were bought before. There is room again"
    )
    for name in WORKERS:
        airflow.disks[name].empty(airflow.components[name].pid)
    run.wait_for_end()
    airflow.restore()


def _give_small_disk(airflow: CeleryAirflow, name: str) -> None:
    """Start a worker with a full disk and with a store that takes its files by way of it."""
    disk = airflow.disks[name] = SmallDisk(airflow.folder / f"tmp-{name}")
    store = json.loads(airflow.environment_of(name)["AIRFLOW_CONN_AWS_DEFAULT"])
    # As for a bucket with a default retention: what is to be signed whole cannot be streamed.
    store["extra"]["config_kwargs"]["s3"]["payload_signing_enabled"] = True
    airflow.more[name] = disk.environment() | {"AIRFLOW_CONN_AWS_DEFAULT": json.dumps(store)}
    airflow.start(name)
    disk.fill(airflow.components[name].pid)
