"""Arguments of every spelling, as people hand them over: by templates, XCom, mapped tasks and path objects."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath, dag, task

from airflow_provider_autoenhance import (
    AutoenhanceCreateOrderOperator,
    AutoenhanceEnhanceOperator,
)

CONF = json.loads(sys.argv[3])
ROOT = CONF["root"]
QUICK = {"poll_interval": "{{ params.interval }}", "timeout": timedelta(seconds=60)}


@dag(
    schedule=None,
    render_template_as_native_obj=CONF["native"],
    params={"exclude": ["bad*"], "interval": "0.2", "nothing": None, "folder": "20260201"},
)
def arguments_dag() -> None:
    @task
    def name(pattern: str) -> str:
        return pattern

    @task
    def storage() -> list[Any]:
        return [ObjectStoragePath(f"file://{ROOT}/in/20260201"), ObjectStoragePath(f"file://{ROOT}/in/alone.jpg")]

    @task.autoenhance(destination=Path(ROOT) / "out" / "{{ params.folder }}-function", **QUICK)
    def from_function() -> dict[str, Any]:
        def patterns() -> Iterator[str]:
            yield "good*"

        return {"source": {Path(ROOT) / "in" / "20260201"}, "include": patterns(), "timeout": timedelta(seconds=30)}

    from_function()
    # A folder, an order and an image whose names are numbers; the tasks are mapped, so that each has a name in the UI.
    AutoenhanceEnhanceOperator.partial(
        task_id="mapped",
        source_conn_id="{{ params.nothing }}",
        exclude="{{ params.exclude }}",
        image_name_template="{stem}",
        **QUICK,
    ).expand_kwargs(
        [{"source": f"{ROOT}/in/20260201", "destination": Path(ROOT) / "out" / "20260201"}],
    )
    AutoenhanceEnhanceOperator.partial(
        task_id="named",
        source=Path(ROOT) / "in" / "{{ params.folder }}",
        exclude="{{ params.exclude }}",
        map_index_template="{{ task.listing }}",
        **QUICK,
    ).expand(destination=[f"{ROOT}/out/named"])
    AutoenhanceEnhanceOperator(
        task_id="pulled",
        source=storage(),
        destination=ObjectStoragePath(f"file://{ROOT}/out/pulled"),
        include=name.expand(pattern=["good*", "alone*"]),
        exclude="{{ params.exclude }}",
        **QUICK,
    )
    orders = AutoenhanceCreateOrderOperator.partial(task_id="order", order_id="{{ params.nothing }}").expand(
        name=["{{ params.folder }}", 20260202, "long " * 80]
    )

    @task
    def tell(ids: Any) -> None:
        print("order ids", sorted(map(str, ids)))  # noqa: T201 - the test reads it

    tell(orders.output["order_id"])


arguments_dag()
