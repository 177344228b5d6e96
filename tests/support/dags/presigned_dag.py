"""Presigned sources by way of templates, mapped and not, and by a function. The addresses are Airflow variables of the environment."""

from __future__ import annotations

import logging
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_autoenhance import (
    AutoenhanceCreateImageOperator,
    AutoenhanceEnhanceOperator,
    AutoenhanceUploadImageOperator,
)

TO = Path(os.environ["PRESIGNED_TO"])
ONE, TWO = "{{ var.value.photo_one }}", "{{ var.value.photo_two }}"
for name in ("urllib3", "botocore", "airflow_provider_autoenhance"):
    logging.getLogger(name).setLevel(logging.DEBUG)


def told(what: str, value: Any) -> None:
    """What a task was really given; not in its log."""
    with (TO / "given.txt").open("a") as file:
        file.write(f"{what} {value}\n")


@dag(schedule=None)
def presigned_dag() -> None:
    options: dict[str, Any] = {"poll_interval": 0.2, "destination": f"{TO}/out/"}

    AutoenhanceEnhanceOperator.partial(task_id="mapped", **options).expand(source=[[ONE], [TWO, ONE]])
    named = AutoenhanceEnhanceOperator.partial(task_id="named", map_index_template="{{ task.source }}", **options)
    named.expand(source=[[TWO]])
    AutoenhanceEnhanceOperator(
        task_id="templated",
        source=[ONE, "/nowhere/{{ ds }}.jpg"],
        max_failures="100%",
        **options,
    )

    # Into a folder of its own: where another task was first, nothing would be left to wait for.
    @task.autoenhance(deferrable=True, **options | {"destination": f"{TO}/asked/"})
    def asked(one: str, where: dict[str, str]) -> dict[str, Any]:
        told("function", where["two"])
        return {"source": [one, os.environ["AIRFLOW_VAR_PHOTO_TWO"]]}

    asked(ONE, where={"two": TWO})

    @task.autoenhance(retries=0, **options)
    def wrong() -> Any:
        return (7, os.environ["AIRFLOW_VAR_PHOTO_TWO"])

    @task(trigger_rule="all_done", retries=2, retry_delay=timedelta(0))
    def end() -> None:
        """Whatever became of the others."""

    made = AutoenhanceCreateImageOperator(task_id="create", image_name="one.jpg", source=ONE, metadata={"from": TWO})
    uploaded = AutoenhanceUploadImageOperator(
        task_id="upload", image_id=made.output["image_id"], upload_url=made.output["upload_url"], source=ONE
    )
    [wrong(), uploaded] >> end()


if __name__ != "__main__" and len(sys.argv) > 1:
    presigned_dag()
