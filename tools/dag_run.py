"""Run a DAG once, or again and again as cleared, in this process; what happens goes into a file of JSON lines.

It is ``airflow dags test`` with two things more: the run keeps its run id when it is repeated, as a cleared run does, and
whoever started it can follow task by task. Runs inside an isolated Airflow (see ``tools/airflow_home.py``).
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from airflow.listeners import hookimpl


class TaskEvents:
    """An Airflow listener that writes each task's state to a file."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, **event: Any) -> None:
        """Write one event."""
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        """A task has started, or has come back from its trigger."""
        self._tell("running", task_instance)

    @hookimpl
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
        """A task has succeeded."""
        self._tell("success", task_instance)

    @hookimpl
    def on_task_instance_skipped(self, previous_state: Any, task_instance: Any) -> None:
        """A task has skipped itself."""
        self._tell("skipped", task_instance)

    @hookimpl
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        """A task has failed."""
        self._tell("failed", task_instance, error=f"{type(error).__name__}: {error}")

    def _tell(self, state: str, task: Any, **more: str) -> None:
        now = datetime.now(UTC).timestamp()
        label = task.rendered_map_index or ""
        self.write(event="task", state=state, task=task.task_id, index=task.map_index, label=label, at=now, **more)


def run(dag_id: str, conf: dict[str, Any], events: TextIO, *, times: int) -> bool:
    """Run the DAG ``times`` times under one run id; tell whether the last run succeeded."""
    from airflow.sdk.listener import get_listener_manager
    from airflow.utils.cli import get_bagged_dag

    dag = get_bagged_dag(None, dag_id)
    listener = TaskEvents(events)
    get_listener_manager().add_listener(listener)
    now = datetime.now(UTC)
    succeeded = False
    for number in range(1, times + 1):
        listener.write(event="run", number=number)
        dag_run = dag.test(run_after=now, logical_date=now, run_conf=conf)
        succeeded = str(dag_run.state) == "success"
        returned = _returned(dag_id, dag_run.run_id)
        listener.write(event="end", number=number, run_id=dag_run.run_id, state=str(dag_run.state), returned=returned)
    return succeeded


def _returned(dag_id: str, run_id: str) -> list[dict[str, Any]]:
    """Return what each task of the run returned."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(XComModel).where(
        XComModel.dag_id == dag_id, XComModel.run_id == run_id, XComModel.key == "return_value"
    )
    with create_session() as session:
        return [
            {"task": row.task_id, "index": row.map_index, "value": XComModel.deserialize_value(row)}
            for row in session.scalars(query)
        ]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dag_id")
    parser.add_argument("--conf", type=json.loads, default={}, help="the run's parameters, JSON")
    parser.add_argument("--events", type=Path, required=True, help="the file to write events to")
    parser.add_argument("--times", type=int, default=1, help="run it so often under one run id")
    arguments = parser.parse_args()
    with arguments.events.open("w", encoding="utf-8") as events:
        succeeded = run(arguments.dag_id, arguments.conf, events, times=arguments.times)
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
