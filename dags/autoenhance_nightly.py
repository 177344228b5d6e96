"""Every night: all listings that the photographers put into the day's folder, enhanced into another, and a report in the morning.

`list_listings` lists the folders of the day and packs them into as many mapped `enhance` tasks as can work at once, since each task
costs Airflow some seconds. They are deferred while Autoenhance works. `report` says of each listing what landed, what it cost, and
what failed and why. A listing that fails fails its task and the run, and stops no other.
Clear what failed with its downstream tasks, or run the day again: what has landed is not paid for again. Nor is it in other settings:
Autoenhance enhances the same images again, and the new files take the place of the earlier ones. `plan_only` says so before.
"""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowFailException, Param, TriggerRule, dag, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_autoenhance import (
    AutoenhanceEnhanceOperator,
    chosen_settings,
    fail_fast,
    on_existing_param,
    preflight_param,
    settings_params,
)

TIMEZONE = pendulum.timezone("Europe/London")  # where the photographers' day ends
log = logging.getLogger(__name__)

#: Airflow's pool of the tasks that call Autoenhance: it bounds what all workers ask together (docs/deployment.md). It has to exist.
POOL = os.environ.get("AUTOENHANCE_POOL", "default_pool")


@dag(
    # The run of one o'clock is about the day that has just ended: `{{ ds }}` is that day, on Airflow 2 and 3 alike.
    schedule=CronDataIntervalTimetable("0 1 * * *", timezone=TIMEZONE),
    start_date=pendulum.datetime(2026, 1, 1, tz=TIMEZONE),
    catchup=False,
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
    params={
        "date": Param(
            None,
            type=["string", "null"],
            format="date",
            title="Day",
            description="The photographers' day; empty: the day of the run",
        ),
        "source": Param(
            "s3://listings/{date}/",
            type="string",
            minLength=1,
            title="Source",
            description="Folder with a subfolder per listing; {date} stands for the day",
        ),
        "destination": Param(
            "s3://enhanced/{date}/",
            type="string",
            minLength=1,
            title="Destination",
            description="Folder for the results, one subfolder per listing",
        ),
        "listings": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Listings",
            description="Names of the listings to do, one per line, or patterns such as elm*; empty: all of the day",
        ),
        "tasks": Param(
            None,
            type=["integer", "null"],
            minimum=1,
            title="Tasks",
            description="Into so many tasks the listings are packed, equal in bytes. Empty: as many as can work at once",
        ),
        "brackets": Param(
            "none",
            type="string",
            enum=["none", "exif", "auto"],
            title="Brackets",
            description="Exposures of one view: none; exif: merged by capture time and exposure; auto: Autoenhance groups",
        ),
        "preview": Param(
            False,
            type="boolean",
            title="Preview",
            description="Small free renderings; off: full size, one credit per photo, once",
        ),
        "plan_only": Param(
            False, type="boolean", title="Plan only", description="Only say what would be done and what it would cost"
        ),
        "max_credits": Param(
            None,
            type=["integer", "null"],
            minimum=0,
            title="Most credits",
            description="Most credits for each listing; photos over it wait for the next run. Empty: no limit",
        ),
        "preflight": preflight_param(),
        "on_existing": on_existing_param(),
        **settings_params(),
    },
)
def autoenhance_nightly() -> None:
    @task
    def list_listings(params: dict[str, Any], dag_run: Any) -> list[dict[str, Any]]:
        from airflow_provider_autoenhance import list_groups, worker_slots

        moment = dag_run.logical_date or dag_run.run_after
        day = params["date"] or pendulum.instance(moment).in_timezone(TIMEZONE).to_date_string()
        source, destination = (params[name].replace("{date}", day) for name in ("source", "destination"))
        with fail_fast():
            groups = list_groups(
                source,
                destination,
                tasks=params["tasks"] or worker_slots(),
                only=params["listings"],
                missing_ok=True,
            )
        listings = sum(len(each["source"]) if each.get("listings") else 1 for each in groups)
        log.info("%s listings of %s in %s, in %s tasks", listings, day, source, len(groups))
        return groups

    @task
    def choose_settings(params: dict[str, Any]) -> dict[str, Any]:
        return chosen_settings(params)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def report(ti: Any, params: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_autoenhance import NightReport

        groups = ti.xcom_pull(task_ids="list_listings")
        if groups is None:
            raise AirflowFailException("The day's folder could not be listed: see list_listings.")
        summaries, results = ti.xcom_pull(task_ids="enhance", key="summary"), ti.xcom_pull(task_ids="enhance")
        night = NightReport(groups, summaries, results)
        log.info("Planned only: nothing was changed" if params["plan_only"] else "The night's report")
        for line in night.lines():
            log.info("%s", line)
        return night.result()

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def all_listings_landed() -> None:
        """Fail the run where a listing has failed: Airflow takes a run's state from its last tasks, and the report always succeeds."""

    enhanced = AutoenhanceEnhanceOperator.partial(
        task_id="enhance",
        settings=choose_settings(),
        brackets="{{ params.brackets }}",
        preflight="{{ params.preflight }}",
        on_existing="{{ params.on_existing }}",
        preview="{{ params.preview }}",
        plan_only="{{ params.plan_only }}",
        max_credits="{{ params.max_credits }}",
        deferrable=True,
        pool=POOL,
        map_index_template="{{ task.listing }}",
    ).expand_kwargs(list_listings())
    reported = report()
    enhanced >> reported
    [enhanced, reported] >> all_listings_landed()


autoenhance_nightly()
