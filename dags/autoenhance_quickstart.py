"""Photos of a folder, one task each per step: list -> create -> upload -> wait -> download.

The steps of this DAG are the provider's single-image operators, to learn from and to build on.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task, task_group

from airflow_provider_autoenhance import (
    AutoenhanceCreateImageOperator,
    AutoenhanceDownloadImageOperator,
    AutoenhanceImageStatusSensor,
    AutoenhanceUploadImageOperator,
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
        "source": Param(
            "s3://listings/maple-street-12/",
            type="string",
            title="Source",
            description="Folder of photos",
        ),
        "destination": Param(
            "s3://enhanced/maple-street-12/",
            type="string",
            title="Destination",
            description="Folder for the results",
        ),
        "preview": Param(
            True,
            type="boolean",
            title="Preview",
            description="Small free renderings; off: full size, one credit per photo",
        ),
        "settings": Param(
            {"enhance_type": "neutral"},
            type="object",
            title="Settings",
            description="Enhancement settings, sent as they are; what you leave out keeps your account's preset",
        ),
    },
)
def autoenhance_quickstart() -> None:
    @task
    def list_photos(params: dict[str, Any]) -> list[dict[str, str]]:
        from airflow_provider_autoenhance import file_name, list_files

        source, destination = (params[name].rstrip("/") + "/" for name in ("source", "destination"))
        listing = source.rstrip("/").rpartition("/")[2]
        names = [file.uri.removeprefix(source) for file in list_files(source)]
        return [
            # Autoenhance refuses the same name 30 times an hour, so the listing is part of it.
            {
                "image_name": f"{listing}/{name}",
                "source": source + name,
                "destination": destination + file_name(name, "jpeg"),
            }
            for name in names
        ]

    @task_group
    def enhance(image_name: str, source: str, destination: str) -> None:
        created = AutoenhanceCreateImageOperator(
            task_id="create", image_name=image_name, source=source, settings="{{ params.settings | tojson }}", pool=POOL
        )
        uploaded = AutoenhanceUploadImageOperator(
            task_id="upload",
            image_id=created.output["image_id"],
            upload_url=created.output["upload_url"],
            source=source,
            pool=POOL,
        )
        enhanced = AutoenhanceImageStatusSensor(
            task_id="wait", image_id=uploaded.output["image_id"], deferrable=True, pool=POOL
        )
        AutoenhanceDownloadImageOperator(
            task_id="download",
            image_id=enhanced.output["image_id"],
            destination=destination,
            preview="{{ params.preview }}",
            pool=POOL,
        )

    enhance.expand_kwargs(list_photos())


autoenhance_quickstart()
