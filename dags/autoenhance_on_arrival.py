"""Photos are enhanced when they arrive, not by the clock.

`autoenhance_photo_drop` looks every ten minutes where photographers have put photos, and makes an event of the asset *photos*, with the
`folders` in its `extra`. Whatever else knows of a drop (an uploader, an S3 notification) may do the same instead, through Airflow's API,
as often as it likes. `autoenhance_on_arrival` runs on such events: on all that came since its last run, each folder once. It makes an
event of what has landed in turn, by the alias *enhanced*, so that a DAG can wait for that.

Let one DAG alone work on a folder: two of them with destinations of their own would both enhance its photos, and pay. So `arrivals/` lies
beside the folders of the other example DAGs.

A second event of a folder does no harm: what is up to date is skipped. An event without a folder, and a run by hand, mean the whole source.
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import (
    AirflowSkipException,
    Asset,
    AssetAlias,
    Param,
    dag,
    get_current_context,
    task,
)

from airflow_provider_autoenhance import (
    AutoenhanceEnhanceOperator,
    chosen_settings,
    fail_fast,
    on_existing_param,
    settings_params,
    triggering_extras,
)

SOURCE = "s3://listings/arrivals/"
PHOTOS = Asset(SOURCE.rstrip("/"))
ENHANCED = AssetAlias("enhanced")
log = logging.getLogger(__name__)

#: Airflow's pool of the tasks that call Autoenhance: it bounds what all workers ask together (docs/deployment.md). It has to exist.
POOL = os.environ.get("AUTOENHANCE_POOL", "default_pool")

source_param = Param(
    SOURCE,
    type="string",
    minLength=1,
    title="Source",
    description="Folder in which photos arrive, in subfolders of any depth",
)


@dag(
    schedule="*/10 * * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=1,
    default_args={
        # An outage of minutes ends no night: half a minute, one, two, four, eight.
        "retries": 5,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
    },
    tags=["autoenhance"],
    doc_md=__doc__,
    params={"source": source_param},
)
def autoenhance_photo_drop() -> None:
    @task
    def find_folders(params: dict[str, Any], prev_start_date_success: Any) -> list[str]:
        from airflow_provider_autoenhance import changed_folders

        # Looked up when first used: that there was no run before shows only then.
        since = pendulum.instance(prev_start_date_success) if prev_start_date_success else None
        with fail_fast():
            folders = changed_folders(params["source"], since)
        log.info("New photos in %s folders of %s since %s", len(folders), params["source"], since or "ever")
        return folders

    @task(outlets=[PHOTOS])
    def announce(folders: list[str], outlet_events: Any) -> None:
        if not folders:
            raise AirflowSkipException("Nothing has arrived")  # of a success, Airflow would make an event
        outlet_events[PHOTOS].extra = {"folders": folders}

    announce(find_folders())


@dag(
    schedule=[PHOTOS],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=1,  # of two on one folder, one would only wait
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
        "source": source_param,
        "destination": Param(
            "s3://enhanced/arrivals/",
            type="string",
            minLength=1,
            title="Destination",
            description="Folder for the results; each folder keeps its path",
        ),
        "preview": Param(
            False,
            type="boolean",
            title="Preview",
            description="Small free renderings; off: full size, one credit per photo, once",
        ),
        "max_credits": Param(
            None,
            type=["integer", "null"],
            minimum=0,
            title="Most credits",
            description="Most credits for each folder; photos over it wait for the next event of it. Empty: no limit",
        ),
        "on_existing": on_existing_param(),
        **settings_params(),
    },
)
def autoenhance_on_arrival() -> None:
    # An inlet, so that folders are enhanced too whose event came after the one that made this run.
    @task(inlets=[PHOTOS])
    def list_arrivals(params: dict[str, Any]) -> list[dict[str, str]]:
        from airflow_provider_autoenhance import arrived_folders

        events = triggering_extras(get_current_context())
        with fail_fast():
            folders = arrived_folders(events, params["source"], params["destination"])
        log.info("%s folders from %s events: %s", len(folders), len(events), [each["source"] for each in folders[:20]])
        return folders

    @task
    def choose_settings(params: dict[str, Any]) -> dict[str, Any]:
        return chosen_settings(params)

    AutoenhanceEnhanceOperator.partial(
        task_id="enhance",
        settings=choose_settings(),
        on_existing="{{ params.on_existing }}",
        preview="{{ params.preview }}",
        max_credits="{{ params.max_credits }}",
        deferrable=True,
        pool=POOL,
        outlets=[ENHANCED],
        map_index_template="{{ task.listing }}",
    ).expand_kwargs(list_arrivals())


autoenhance_photo_drop()
autoenhance_on_arrival()
