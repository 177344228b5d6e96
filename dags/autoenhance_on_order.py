"""Whenever an order finishes in Autoenhance, whoever made it: what it holds, downloaded into a folder of its own.

Scheduled by the event instead of by the clock (Airflow 3): the triggerer looks at the account's orders, and what has finished since
the last look runs this DAG, once for all orders that finish together; of more than Airflow maps in a run (1,024), the others make an event
of their own, and with it the next run. What had finished before the DAG was first unpaused is left alone.
It starts paused, because each look costs a request for every 15 orders of the last day; set AUTOENHANCE_ORDER_POLL_SECONDS for another
interval than a minute, and AUTOENHANCE_ORDER_WEBHOOK=true to have Autoenhance's webhook call for a look as well (docs/webhook.md).
"""

from __future__ import annotations

import json
import logging
import os
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, Param, conf, dag, get_current_context, task
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_autoenhance import AutoenhanceDownloadOrderOperator, reported_orders, triggering_extras

log = logging.getLogger(__name__)

#: Airflow's pool of the tasks that call Autoenhance: it bounds what all workers ask together (docs/deployment.md). It has to exist.
POOL = os.environ.get("AUTOENHANCE_POOL", "default_pool")

if AIRFLOW_V_3_0_PLUS:  # Airflow 2 has no watchers, and gets no DAG
    from airflow.sdk import Asset, AssetAlias, AssetWatcher

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

    # An alias makes an event only where one is added to it.
    left_for_the_next_run = AssetAlias("autoenhance_orders_left")

    @dag(
        schedule=[finished_orders],
        catchup=False,
        is_paused_upon_creation=True,
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
        @task(inlets=[finished_orders], outlets=[left_for_the_next_run])
        def list_orders(params: dict[str, Any], outlet_events: Any) -> list[dict[str, str]]:
            most = conf.getint("core", "max_map_length")
            named = dict.fromkeys(order_id.strip() for order_id in params["order_ids"] if order_id.strip())
            if len(named) > most:
                raise AirflowFailException(
                    f"order_ids names {len(named)} orders, and a run takes {most}. Make several runs of them."
                )
            orders = [
                each
                for each in reported_orders(triggering_extras(get_current_context()))
                if each["order_id"] not in named
            ]
            free = most - len(named)
            if left := orders[free:]:
                log.info("Left for the next run: %s orders", len(left))
                # As text, since Airflow before 3.1 takes no list in an alias's event.
                extra = {"payload": json.dumps({"orders": left})}
                outlet_events[left_for_the_next_run].add(finished_orders, extra=extra)
            folder = params["destination"].rstrip("/")
            found = [{"order_id": order_id, "destination": f"{folder}/{order_id}/"} for order_id in named]
            for order in orders[:free]:
                log.info("%s of %s images are enhanced in %s", order["processed"], order["images"], order["name"])
                name = (order["name"] or "order").replace("/", "-")
                found.append(
                    {"order_id": order["order_id"], "destination": f"{folder}/{name} {order['order_id'][:8]}/"}
                )
            return found

        AutoenhanceDownloadOrderOperator.partial(
            task_id="download", preview="{{ params.preview }}", pool=POOL
        ).expand_kwargs(list_orders())

    autoenhance_on_order()
