"""Nights in which a worker dies, drains, or stands still."""

from __future__ import annotations

import time
from typing import cast

import psutil

from tools.celery.cluster import WORKERS, CeleryAirflow
from tools.celery.servers import fake_clock
from tools.console import detail
from tools.night_run import NightRun
from tools.processes import ProcessError

#: So long Autoenhance takes for each answer where something has to happen amid the answers, on a busy machine too.
SLOW_MS = 1500
_CLOCK_SECONDS = 1200


def cluster(run: NightRun) -> CeleryAirflow:
    """The Airflow that a night runs on."""
    return cast(CeleryAirflow, run.airflow)


def busy_worker(run: NightRun) -> str:
    """Return the worker that has a running task.

    :raises ProcessError: none has.
    """
    running = {task["pid"] for task in run.mapped() if task["state"] == "running"}
    for name in WORKERS:
        family = psutil.Process(run.airflow.components[name].pid).children(recursive=True)
        if running & {process.pid for process in family}:
            return name
    raise ProcessError("no worker has a running task")


def at_uploads(run: NightRun) -> str:
    """Slow the sandbox down, wait until photos go up, and return the worker that sends them."""
    run.service.settings(latency_ms=SLOW_MS)
    run.wait_until(lambda: run.uploads() > 0, what="at its uploads", pause=0.05)
    return busy_worker(run)


def _at_purchases(run: NightRun) -> str:
    """Slow the sandbox down, wait until a photo is paid for, and return the worker that buys."""
    run.service.settings(latency_ms=SLOW_MS)
    run.wait_until(lambda: run.purchases() > 0, what="at its downloads", pause=0.05)
    return busy_worker(run)


def _kill(run: NightRun, name: str) -> None:
    run.airflow.kill(name)
    detail(f"killed {name}; {run.uploads()} photos are uploaded and {run.purchases()} bought")
    run.service.settings(latency_ms=0)
    run.airflow.start(name)


def killed_at_upload(run: NightRun) -> None:
    """A worker dies while it sends photos."""
    _kill(run, at_uploads(run))


def killed_at_download(run: NightRun) -> None:
    """A worker dies while the bytes of bought photos come down slowly."""
    run.service.add_faults({"endpoint": "get_object", "kind": "slow", "phase": "mid-body", "bytes_per_second": 200})
    _kill(run, _at_purchases(run))
    run.service.clear_faults()


def killed_after_purchase(run: NightRun) -> None:
    """A worker dies when photos are paid for and no byte of them has come."""
    run.service.add_faults({"endpoint": "get_object", "kind": "slow", "seconds": 20})
    _kill(run, _at_purchases(run))
    run.service.clear_faults()


def clocks_apart(run: NightRun) -> None:
    """A worker that sends photos dies; it comes back with a clock 20 minutes ahead, and the other one is 20 minutes behind."""
    name = at_uploads(run)
    (other,) = set(WORKERS) - {name}
    for each in (name, other):
        run.airflow.kill(each)
    detail(
        f"killed both workers; {run.uploads()} photos are uploaded. {name} starts 20 minutes ahead, {other} 20 behind"
    )
    cluster(run).more |= {name: fake_clock(_CLOCK_SECONDS), other: fake_clock(-_CLOCK_SECONDS)}
    run.service.settings(latency_ms=0)
    for each in (name, other):
        run.airflow.start(each)
    run.wait_for_end()
    cluster(run).restore()


def drained(run: NightRun) -> None:
    """A worker is stopped as ``docker compose stop`` stops it: it finishes what it has begun."""
    name = at_uploads(run)
    detail(f"asking {name} to stop after {run.uploads()} uploads")
    began = time.monotonic()
    cluster(run).finish(name)
    detail(f"it took {time.monotonic() - began:.0f} s")
    run.service.settings(latency_ms=0)
    run.airflow.start(name)


def frozen(run: NightRun) -> None:
    """A worker stands still amid its uploads until its tasks were given to the other one, and thaws beside that."""
    name = at_uploads(run)
    tries = sum(run.tries())
    run.airflow.freeze(name)
    detail(f"froze {name}; {run.uploads()} photos are uploaded")
    try:
        run.service.settings(latency_ms=0)
        run.wait_until(lambda: sum(run.tries()) > tries and run.count("running") > 0, what="tried again")
    finally:
        run.airflow.thaw(name)
    detail(f"thawed {name} beside the next try")
