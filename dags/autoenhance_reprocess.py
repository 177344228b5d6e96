"""Enhance images again with other settings, from the Trigger button. Reprocessing is free; so is downloading what was bought before."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_autoenhance import (
    AutoenhanceDownloadImageOperator,
    AutoenhanceReprocessImageOperator,
    chosen_settings,
    settings_params,
)

#: Airflow's pool of the tasks that call Autoenhance: it bounds what all workers ask together (docs/deployment.md). It has to exist.
POOL = os.environ.get("AUTOENHANCE_POOL", "default_pool")


@dag(
    schedule=None,
    catchup=False,
    default_args={
        # An outage of minutes ends no night: half a minute, one, two, four, eight.
        "retries": 5,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
    },
    tags=["autoenhance"],
    doc_md=__doc__,
    params={
        "image_ids": Param(
            [],
            type="array",
            items={"type": "string"},
            minItems=1,
            title="Image ids",
            description="Ids of enhanced images, one per line",
        ),
        "destination": Param(
            None,
            type=["string", "null"],
            title="Destination",
            description="Folder for the results, such as s3://enhanced/again/; leave empty to look at them in Autoenhance",
        ),
        "preview": Param(
            True,
            type="boolean",
            title="Preview",
            description="Small free renderings; off: full size, a credit unless bought before",
        ),
        **settings_params(),
    },
)
def autoenhance_reprocess() -> None:
    @task
    def choose_images(params: dict[str, Any]) -> list[str]:
        return list(dict.fromkeys(each.strip() for each in params["image_ids"] if each.strip()))

    @task
    def choose_settings(params: dict[str, Any]) -> dict[str, Any]:
        return chosen_settings(params)

    @task
    def choose_destinations(images: list[dict[str, Any]], params: dict[str, Any]) -> list[dict[str, str]]:
        folder = params["destination"]
        return (
            [{"image_id": each["image_id"], "destination": folder.rstrip("/") + "/"} for each in images]
            if folder
            else []
        )

    reprocessed = AutoenhanceReprocessImageOperator.partial(
        task_id="reprocess", settings=choose_settings(), deferrable=True, pool=POOL
    ).expand(image_id=choose_images())
    AutoenhanceDownloadImageOperator.partial(
        task_id="download", preview="{{ params.preview }}", pool=POOL
    ).expand_kwargs(choose_destinations(reprocessed.output))


autoenhance_reprocess()
