"""A folder of photos -> for the website AVIF and WEBP, for the print shop CMYK JPEG at 300 dpi; each photo is bought once for all three.

Autoenhance delivers one lossless picture per photo, and the worker encodes the files from it. Other sizes, formats or print conditions
later are free too: the pictures are bought already, so the run only fetches them again.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_autoenhance import AutoenhanceEnhanceOperator, chosen_settings, on_existing_param, settings_params

#: Airflow's pool of the tasks that call Autoenhance: it bounds what all workers ask together (docs/deployment.md). It has to exist.
POOL = os.environ.get("AUTOENHANCE_POOL", "default_pool")

PRINT_CONDITIONS = ["ISO_Coated", "ISO_Uncoated", "USWeb_Coated", "USWeb_Uncoated"]


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
            "s3://listings/print/maple-street-12/",
            type="string",
            minLength=1,
            title="Source",
            description="Folder of photos, subfolders included",
        ),
        "destination": Param(
            "s3://enhanced/print/maple-street-12/",
            type="string",
            minLength=1,
            title="Destination",
            description="Folder for the results, with the subfolders web and print",
        ),
        "web_width": Param(
            2048,
            type="integer",
            minimum=1,
            maximum=16383,
            title="Web width",
            description="Pixels; wider photos are scaled down",
        ),
        "print_condition": Param(
            "ISO_Coated",
            type="string",
            enum=PRINT_CONDITIONS,
            title="Print condition",
            description="What the print shop prints on: colour space CMYK, converted for it",
        ),
        "preview": Param(
            True,
            type="boolean",
            title="Preview",
            description="Small free renderings; off: full size, one credit per photo for all its files, once",
        ),
        "on_existing": on_existing_param(),
        **settings_params(),
    },
)
def autoenhance_print_and_web() -> None:
    @task
    def choose_settings(params: dict[str, Any]) -> dict[str, Any]:
        return chosen_settings(params)

    @task
    def choose_outputs(params: dict[str, Any]) -> list[dict[str, Any]]:
        web = {"max_width": params["web_width"], "name_template": "web/{folder}{stem}.{extension}"}
        return [
            {"format": "avif", **web},
            {"format": "webp", "quality": 80, **web},
            {
                "format": "jpeg",
                "quality": 95,
                "dpi": 300,
                "color_profile": params["print_condition"],
                "name_template": "print/{folder}{stem}.{extension}",
            },
        ]

    AutoenhanceEnhanceOperator(
        task_id="enhance",
        source="{{ params.source }}",
        destination="{{ params.destination }}",
        settings=choose_settings(),
        output_spec=choose_outputs(),
        on_existing="{{ params.on_existing }}",
        preview="{{ params.preview }}",
        deferrable=True,
        pool=POOL,
    )


autoenhance_print_and_web()
