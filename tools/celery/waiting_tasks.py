"""The tasks of ``waiting_dag.py`` in one process: ``python waiting_tasks.py DAG_FILE`` takes a word a line, and answers with JSON.

Workers would start a process for each task, twice, which for 5,000 takes hours on a small machine; the triggerers see no difference.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Airflow's log goes where errors go: what is left is for answers.
_ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from airflow.models.taskinstance import TaskInstance  # noqa: E402
from airflow.models.trigger import Trigger  # noqa: E402
from airflow.sdk.api.datamodels._generated import TaskInstance as Workload  # noqa: E402
from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor, run_task_in_process  # noqa: E402
from airflow.utils.session import create_session  # noqa: E402
from sqlalchemy import func, select, text, update  # noqa: E402

from airflow_provider_autoenhance.sensors.status import AutoenhanceOrderStatusSensor  # noqa: E402

_SECONDS = 5 * 3600.0
_FIELDS = ("id", "task_id", "dag_id", "run_id", "try_number", "map_index", "dag_version_id")
_HELD = "SELECT triggerer_id, count(*) FROM trigger WHERE triggerer_id IS NOT NULL GROUP BY 1"
_STATES = "SELECT state, count(*) FROM task_instance GROUP BY 1"
_EVENTS = "SELECT map_index, next_kwargs FROM task_instance WHERE state = 'scheduled'"
_RESULTS = "SELECT map_index, value FROM xcom WHERE key = 'return_value'"


def defer(_dag_file: str) -> None:
    """Write the sensors' triggers, and their tasks as deferred, as Airflow does when a task says so."""
    orders = json.loads(Path(os.environ["WAITING_ORDERS"]).read_text())
    with create_session() as session:
        for task in session.scalars(select(TaskInstance)):
            sensor = AutoenhanceOrderStatusSensor(task_id="wait", order_id=orders[task.map_index], deferrable=True)
            task.trigger = Trigger.from_object(sensor.trigger(time.time() + _SECONDS))
            task.state, task.try_number, task.next_method, task.next_kwargs = "deferred", 1, "execute_complete", {}


def resume(dag_file: str) -> None:
    """Let one task of ``WAITING_EACH`` go on, by Airflow's own task runner, to its end."""
    (task,) = runpy.run_path(dag_file)["waiting_dag"].tasks
    client = InProcessTestSupervisor._api_client(task.dag)
    with create_session() as session:
        chosen = (TaskInstance.state == "scheduled") & (
            func.mod(TaskInstance.map_index, int(os.environ["WAITING_EACH"])) == 0
        )
        session.execute(update(TaskInstance).where(chosen).values(state="queued"))
        columns = [getattr(TaskInstance, name) for name in _FIELDS]
        found = session.execute(select(*columns).where(TaskInstance.state == "queued")).all()
    for row in found:
        run_task_in_process(Workload(**dict(zip(_FIELDS, row, strict=True))), task, client)


def _pairs(query: str) -> Callable[[str], dict[Any, Any]]:
    def read(_dag_file: str) -> dict[Any, Any]:
        with create_session() as session:
            return {row[0]: row[1] for row in session.execute(text(query))}

    return read


WORDS: dict[str, Callable[[str], dict[Any, Any] | None]] = {
    "defer": defer,
    "resume": resume,
    "states": _pairs(_STATES),
    "held": _pairs(_HELD),
    "events": _pairs(_EVENTS),
    "results": _pairs(_RESULTS),
}

if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(WORDS[line.strip()](sys.argv[1]) or {}), file=_ANSWERS, flush=True)
