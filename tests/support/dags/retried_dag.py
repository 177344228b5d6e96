"""A task that reads an image, with two retries; each try and the end are told in a file, the end with the error's class."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import dag, task
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

TOLD = Path(json.loads(sys.argv[3])["told"])


def tell(what: str, **more: Any) -> None:
    with TOLD.open("a") as file:
        file.write(json.dumps({"what": what, **more}) + "\n")


def failed(context: Any) -> None:
    tell("failed", error=type(context.get("exception")).__name__)


def by_meaning() -> dict[str, Any]:
    if not AIRFLOW_V_3_3_PLUS:
        return {}
    from airflow_provider_autoenhance import AutoenhanceRetryPolicy

    return {"retry_policy": AutoenhanceRetryPolicy()}


@dag(schedule=None)
def retried_dag() -> None:
    @task(retries=2, retry_delay=timedelta(seconds=1), on_failure_callback=failed, **by_meaning())
    def read() -> None:
        from airflow_provider_autoenhance import AutoenhanceHook, fail_fast

        tell("try")
        with nullcontext() if AIRFLOW_V_3_3_PLUS else fail_fast():
            AutoenhanceHook().get_image("11111111-1111-4111-8111-111111111111")

    read()


retried_dag()
