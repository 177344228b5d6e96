"""Run one DAG file whole, without a scheduler: ``python run_dag.py FILE DATE CONF [DAG]``. The same date is the same run, cleared.

A DAG that is scheduled by assets gets, as its scheduler would, the events of these that no run has got yet.
"""

from __future__ import annotations

import importlib
import inspect
import json
import runpy
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


def main(file: str, date: str, conf: str, name: str = "") -> bool:
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
    """Let the next run of a DAG consume what events its assets have, as the scheduler does when it makes one."""
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
                    getattr(run, events).extend(new)


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
