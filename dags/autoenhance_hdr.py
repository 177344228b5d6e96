"""A folder of bracketed shots -> one merged, enhanced photo per bracket; shots that stand alone become photos as they are.

By default the photos' own EXIF says what is one bracket: camera, capture time and exposure. Start with *Plan only*: its log says how many
photos come of the folder and what they cost, and names what could not be grouped.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_autoenhance import (
    AutoenhanceEnhanceOperator,
    chosen_settings,
    on_existing_param,
    output_param,
    preflight_param,
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
        "source": Param(
            "s3://listings/harbour-view-3/",
            type="string",
            minLength=1,
            title="Source",
            description="Folder of shots, subfolders included",
        ),
        "destination": Param(
            "s3://enhanced/harbour-view-3/",
            type=["string", "null"],
            title="Destination",
            description="Folder for the results; a merged photo bears its first shot's name",
        ),
        "output": output_param(),
        "brackets": Param(
            "exif",
            type="string",
            enum=["exif", "auto", "none", *map(str, range(2, 10))],
            title="Brackets",
            description="exif: by capture time and exposure. auto: Autoenhance groups. A number: so many in a row by name",
        ),
        "preview": Param(
            True,
            type="boolean",
            title="Preview",
            description="Small free renderings; off: full size, one credit per merged photo, once",
        ),
        "plan_only": Param(
            False, type="boolean", title="Plan only", description="Only say what would be done and what it would cost"
        ),
        "max_credits": Param(
            None,
            type=["integer", "null"],
            minimum=0,
            title="Most credits",
            description="Photos over it wait for the next run. Empty: no limit",
        ),
        "preflight": preflight_param(),
        "on_existing": on_existing_param(),
        **settings_params(),
    },
)
def autoenhance_hdr() -> None:
    @task
    def choose_settings(params: dict[str, Any]) -> dict[str, Any]:
        return chosen_settings(params)

    AutoenhanceEnhanceOperator(
        task_id="merge_and_enhance",
        source="{{ params.source }}",
        destination="{{ params.destination }}",
        output_spec="{{ params.output }}",
        brackets="{{ params.brackets }}",
        settings=choose_settings(),
        preflight="{{ params.preflight }}",
        on_existing="{{ params.on_existing }}",
        preview="{{ params.preview }}",
        plan_only="{{ params.plan_only }}",
        max_credits="{{ params.max_credits }}",
        deferrable=True,
        pool=POOL,
    )


autoenhance_hdr()
