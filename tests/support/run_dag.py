"""Run DAG files whole, without a scheduler. The same date is the same run, cleared.

A warm process that forks for each run, since loading Airflow takes longer than most of them. Reads an order per line from stdin (the
words ``FILE DATE CONF [DAG]``, the environment, and the file that takes the output), and answers with a line: the exit status.

A DAG that is scheduled by assets gets, as its scheduler up to 3.3.2 would, the first event of these that no run has got yet: its queue has
one row for an asset and a DAG, with that one's time (apache/airflow#54659).
"""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import runpy
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

#: What a run loads, as far as this Airflow has it. None of it opens the database or starts a thread.
LOADED_LATE = (
    "airflow.api_fastapi.execution_api.app",
    "airflow.api_fastapi.execution_api.routes",
    "airflow.dag_processing.dagbag",
    "airflow.models.dagrun",
    "airflow.providers.amazon.aws.assets.s3",
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.standard.operators.python",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow_provider_autoenhance.operators.enhance",
    "boto3",
)


def run(file: str, date: str, conf: str, name: str = "") -> bool:
    """Return whether the run succeeded.

    :param name: of the DAG, where it is not the file's.
    """
    dag = runpy.run_path(file)[name or Path(file).stem]()
    hand_over_events(dag.dag_id)
    with suppress(ImportError):  # Airflow 2 deletes an earlier run of the date by way of this table
        importlib.import_module("airflow.providers.fab.auth_manager.models")
    moment = datetime.fromisoformat(date).replace(tzinfo=UTC)
    known = inspect.signature(dag.test).parameters
    when = {name: moment for name in ("run_after", "logical_date", "execution_date") if name in known}
    run = dag.test(run_conf=json.loads(conf), **when)
    return bool(run.state == "success")


def hand_over_events(dag_id: str) -> None:
    """Let the next run of a DAG consume an event of its assets, as the scheduler does when several come together."""
    from airflow.models.dagrun import DagRun
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    try:
        from airflow.models.asset import AssetEvent, DagScheduleAssetReference
    except ImportError:  # Airflow 2
        from airflow.models.dataset import DagScheduleDatasetReference as DagScheduleAssetReference
        from airflow.models.dataset import DatasetEvent as AssetEvent
    asset, events = ("asset_id", "consumed_asset_events")
    if not hasattr(AssetEvent, asset):
        asset, events = ("dataset_id", "consumed_dataset_events")

    @event.listens_for(Session, "before_flush")
    def hand_over(session: Session, *_: object) -> None:
        for run in session.new:
            if isinstance(run, DagRun) and run.dag_id == dag_id:
                with session.no_autoflush:
                    wanted = session.query(getattr(DagScheduleAssetReference, asset)).filter_by(dag_id=dag_id)
                    new = session.query(AssetEvent).filter(
                        getattr(AssetEvent, asset).in_(wanted), ~AssetEvent.created_dagruns.any()
                    )
                    getattr(run, events).extend(new.order_by(AssetEvent.timestamp, AssetEvent.id).limit(1))


def fork(order: dict[str, Any]) -> int:
    """Run a DAG in a process of its own; return its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        with Path(order["output"]).open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(1, 2)
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.argv[1:] = order["words"]
        status = 0 if run(*order["words"]) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Fork for each order until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Airflow prints while it is imported is no answer
    importlib.import_module("airflow")
    for name in LOADED_LATE:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # a fork that collects Airflow's many objects would copy their memory
    for line in sys.stdin:
        print(fork(json.loads(line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
