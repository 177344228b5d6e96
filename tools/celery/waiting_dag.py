"""The DAG whose tasks wait for an order each, in the triggerer; a file holds the orders' ids."""

from __future__ import annotations

import json
import os
from pathlib import Path

from airflow.providers.common.compat.sdk import dag

from airflow_provider_autoenhance.sensors.status import AutoenhanceOrderStatusSensor


@dag(schedule=None, catchup=False)
def waiting() -> None:
    orders = json.loads(Path(os.environ["WAITING_ORDERS"]).read_text())
    AutoenhanceOrderStatusSensor.partial(task_id="wait", deferrable=True).expand(order_id=orders)


waiting_dag = waiting()
