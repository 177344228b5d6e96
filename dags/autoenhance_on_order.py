"""Whenever an order finishes in Autoenhance, whoever made it: what it holds, downloaded into a folder of its own.

Scheduled by the event instead of by the clock (Airflow 3): the triggerer looks at the account's orders, and what has finished since
the last look runs this DAG, once for all orders that finish together. What had finished before the DAG was first unpaused is left alone.
It starts paused, because each look costs a request for every 15 orders of the last day; set AUTOENHANCE_ORDER_POLL_SECONDS for another
interval than a minute, and AUTOENHANCE_ORDER_WEBHOOK=true to have Autoenhance's webhook call for a look as well (docs/webhook.md).
"""

from __future__ import annotations

import logging
import os
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, get_current_context, task
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_autoenhance import AutoenhanceDownloadOrderOperator, reported_orders, triggering_extras

log = logging.getLogger(__name__)

if AIRFLOW_V_3_0_PLUS:  # Airflow 2 has no watchers, and gets no DAG
    from airflow.sdk import Asset, AssetWatcher

    from airflow_provider_autoenhance import AutoenhanceOrderEventTrigger

    finished_orders = Asset(
        "autoenhance_finished_orders",
        watchers=[
            AssetWatcher(
                name="autoenhance_orders",
                trigger=AutoenhanceOrderEventTrigger(
                    poll_interval=float(os.environ.get("AUTOENHANCE_ORDER_POLL_SECONDS", "60")),
                    webhook=os.environ.get("AUTOENHANCE_ORDER_WEBHOOK") == "true",
                ),
            )
        ],
    )

    @dag(
        schedule=[finished_orders],
        catchup=False,
        is_paused_upon_creation=True,
        default_args={"retries": 2},
        tags=["autoenhance"],
        doc_md=__doc__,
        params={
            "destination": Param(
                "s3://enhanced/orders/",
                type="string",
                minLength=1,
                title="Destination",
                description="Folder for the results, with a subfolder for each order",
            ),
            "preview": Param(
                True,
                type="boolean",
                title="Preview",
                description="Small free renderings; off: full size, one credit per photo, once",
            ),
            "order_ids": Param(
                [],
                type="array",
                items={"type": "string"},
                title="Order ids",
                description="For a run by hand: ids of finished orders, one per line",
            ),
        },
    )
    def autoenhance_on_order() -> None:
        # An inlet, so that orders are downloaded too whose event came after the one that made this run.
        @task(inlets=[finished_orders])
        def list_orders(params: dict[str, Any]) -> list[dict[str, str]]:
            found = {order_id.strip(): "" for order_id in params["order_ids"] if order_id.strip()}
            for order in reported_orders(triggering_extras(get_current_context())):
                log.info("%s of %s images are enhanced in %s", order["processed"], order["images"], order["name"])
                found[order["order_id"]] = f"{order['name'] or 'order'} ".replace("/", "-")
            folder = params["destination"].rstrip("/")
            return [
                {"order_id": order_id, "destination": f"{folder}/{name}{order_id[:8] if name else order_id}/"}
                for order_id, name in found.items()
            ]

        AutoenhanceDownloadOrderOperator.partial(task_id="download", preview="{{ params.preview }}").expand_kwargs(
            list_orders()
        )

    autoenhance_on_order()
