"""Nights in which a part of Airflow, or a server that it needs, dies or stands still."""

from __future__ import annotations

import time

from tools.celery.workers import at_uploads, cluster
from tools.console import detail
from tools.night_run import NightRun

_FROZEN_SECONDS = 40
_DOWN_SECONDS = 10


def triggerer_frozen(run: NightRun) -> None:
    """A triggerer that tasks wait in stands still; a second one takes its triggers, and then it thaws."""
    run.service.settings(processing_seconds=[20, 25])
    run.wait_until(lambda: run.count("deferred") > 0, what="deferred")
    detail(f"freezing the triggerer with {run.count('deferred')} tasks deferred, and starting another")
    run.airflow.freeze("triggerer")
    try:
        run.airflow.start("triggerer-2")
        run.wait_for_end()
    finally:
        run.airflow.thaw("triggerer")
    time.sleep(_DOWN_SECONDS)  # what it would do wrongly, it does when it notices
    cluster(run).finish("triggerer-2")
    run.service.settings(processing_seconds=[3, 6])


def scheduler_restarted(run: NightRun) -> None:
    """The scheduler is stopped and started again while photos go up."""
    at_uploads(run)
    detail("restarting the scheduler")
    cluster(run).restart("scheduler")
    run.service.settings(latency_ms=0)


def scheduler_killed_with_a_worker(run: NightRun) -> None:
    """The scheduler dies, and with it the worker that sends photos; both come back."""
    worker = at_uploads(run)
    for name in (worker, "scheduler"):
        run.airflow.kill(name)
    detail(f"killed the scheduler and {worker}; {run.uploads()} photos are uploaded")
    run.service.settings(latency_ms=0)
    for name in ("scheduler", worker):
        run.airflow.start(name)


def api_server_killed(run: NightRun) -> None:
    """The API server dies while photos go up, and comes back."""
    at_uploads(run)
    run.airflow.kill("api-server")
    detail(f"killed the API server; {run.uploads()} photos are uploaded")
    run.service.settings(latency_ms=0)
    run.airflow.start("api-server")
    run.airflow.wait_until_usable()


def api_server_frozen(run: NightRun) -> None:
    """The API server stands still for a while."""
    at_uploads(run)
    run.airflow.freeze("api-server")
    detail(f"froze the API server for {_FROZEN_SECONDS} s; {run.uploads()} photos are uploaded")
    try:
        run.service.settings(latency_ms=0)
        time.sleep(_FROZEN_SECONDS)
    finally:
        run.airflow.thaw("api-server")
    run.airflow.wait_until_usable()


def redis_killed(run: NightRun) -> None:
    """Redis dies while photos go up, and comes back with what it had written."""
    at_uploads(run)
    cluster(run).redis.kill()
    detail(f"killed Redis for {_DOWN_SECONDS} s; {run.uploads()} photos are uploaded")
    time.sleep(_DOWN_SECONDS)
    cluster(run).redis.start()
    run.service.settings(latency_ms=0)


def redis_emptied(run: NightRun) -> None:
    """Redis forgets everything while tasks are queued in it, and again while photos go up."""
    run.wait_until(lambda: run.count("queued") > 0, what="queued", pause=0.05)
    cluster(run).redis.empty()
    detail("emptied Redis when a task was queued")
    at_uploads(run)
    cluster(run).redis.empty()
    detail(f"emptied Redis; {run.uploads()} photos are uploaded")
    run.service.settings(latency_ms=0)


def postgres_stopped(run: NightRun) -> None:
    """PostgreSQL drops all connections while photos go up, and comes back."""
    at_uploads(run)
    cluster(run).postgres.stop_at_once()
    detail(f"stopped PostgreSQL for {_DOWN_SECONDS} s; {run.uploads()} photos are uploaded")
    time.sleep(_DOWN_SECONDS)
    cluster(run).postgres.start()
    run.service.settings(latency_ms=0)
    run.airflow.wait_until_usable()


def dag_file_changed(run: NightRun) -> None:
    """The DAG's file is changed while photos go up, and again while tasks wait."""
    file = run.airflow.home.dags / "autoenhance_nightly.py"
    at_uploads(run)
    detail("changing the DAG's file while photos go up")
    file.write_text(file.read_text().replace('title="Day"', 'title="The day"'))
    run.service.settings(latency_ms=0)
    run.wait_until(lambda: run.count("deferred") > 0, what="deferred")
    detail("changing the DAG's file while tasks wait")
    file.write_text(file.read_text().replace('title="The day"', 'title="Day"'))
