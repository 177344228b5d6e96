"""Run one DAG file whole, without a scheduler: ``python run_dag.py FILE DATE CONF``. The same date is the same run, cleared."""

from __future__ import annotations

import importlib
import inspect
import json
import runpy
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


def main(file: str, date: str, conf: str) -> bool:
    """Return whether the run succeeded."""
    dag = runpy.run_path(file)[Path(file).stem]()
    with suppress(ImportError):  # Airflow 2 deletes an earlier run of the date by way of this table
        importlib.import_module("airflow.providers.fab.auth_manager.models")
    moment = datetime.fromisoformat(date).replace(tzinfo=UTC)
    known = inspect.signature(dag.test).parameters
    when = {name: moment for name in ("run_after", "logical_date", "execution_date") if name in known}
    run = dag.test(run_conf=json.loads(conf), **when)
    return bool(run.state == "success")


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
