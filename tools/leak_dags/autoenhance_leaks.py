"""A night that fails at each stage once, with presigned sources. The addresses are Airflow variables of the environment, stored nowhere."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.providers.common.compat.sdk import AssetAlias, dag, task

from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator

OPTIONS: dict[str, Any] = {
    "preview": False,
    "deferrable": True,
    "poll_interval": 2.0,
    "max_failures": "100%",
    "retries": 2,
    "outlets": [AssetAlias("autoenhance_leaks")],
}


@dag(schedule=None)
def autoenhance_leaks() -> None:
    stages: list[dict[str, Any]] = json.loads(os.environ.get("AUTOENHANCE_LEAK_STAGES", "[]"))
    AutoenhanceEnhanceOperator.partial(task_id="enhance", **OPTIONS).expand_kwargs(stages)

    @task.autoenhance(destination="s3://enhanced/leaks/asked/", **OPTIONS)
    def asked(source: str) -> dict[str, Any]:
        return {"source": [source, os.environ["AIRFLOW_VAR_LEAK_OTHER"]]}

    asked("{{ var.value.leak_asked }}")


autoenhance_leaks()
