"""The DAG that a finished order runs: what it is scheduled by, and what it does with one."""

from __future__ import annotations

import runpy
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import run_dag, without_masking

FILE = "dags/autoenhance_on_order.py"
needs_airflow_3 = pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 has no watchers")


def finished_order(name: str, *photos: str) -> str:
    """Make an order whose images are enhanced; return its id."""
    import time

    hook = AutoenhanceHook()
    order_id = hook.create_order(name=name).order_id
    for each in photos:
        upload(hook, hook.create_image(each, order_id=order_id), photo())
    while not hook.get_order(order_id).finished:
        time.sleep(0.02)
    return order_id


@pytest.mark.skipif(AIRFLOW_V_3_0_PLUS, reason="there it is defined")
def test_airflow_2_reads_the_file_and_gets_no_dag() -> None:
    assert "autoenhance_on_order" not in runpy.run_path(FILE)


@needs_airflow_3
def test_it_is_scheduled_by_the_watcher_and_starts_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOENHANCE_ORDER_POLL_SECONDS", "7")
    module = runpy.run_path(FILE)
    dag = module["autoenhance_on_order"]()
    (watcher,) = module["finished_orders"].watchers
    kind = type(watcher.trigger).__name__
    arguments = watcher.trigger["kwargs"] if isinstance(watcher.trigger, dict) else watcher.trigger.serialize()[1]
    assert "autoenhance_finished_orders" in str(dag.timetable.asset_condition)
    assert dag.is_paused_upon_creation is True
    assert arguments["poll_interval"] == 7.0, kind


def happen(payload: dict[str, Any]) -> None:
    """Make an event of the watched asset, as Airflow does when its trigger fires."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session

    with create_session() as session:
        asset = session.query(AssetModel).filter(AssetModel.name == "autoenhance_finished_orders").one()
        session.add(AssetEvent(asset_id=asset.id, extra={"from_trigger": True, "payload": payload}))


@needs_airflow_3
@pytest.mark.usefixtures("no_news")
def test_ten_orders_that_finish_at_once_land_whole_whatever_their_events(
    autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    """Of several events Airflow hands the run the first alone."""
    orders = [
        {"order_id": finished_order(f"{number}/elm", "a.jpg"), "name": f"{number}/elm", "processed": 1, "images": 1}
        for number in range(10)
    ]
    happen({"orders": orders[:4]})
    for order in orders[4:9]:
        happen({"orders": [order]})
    happen(orders[9] | {"name": None})  # an older version's
    happen({"orders": [orders[0]]})  # again
    done = run_dag("autoenhance_on_order", "2026-01-04", {"destination": "s3://enhanced/orders"})
    assert done.returncode == 0, done.stdout[-3000:]
    folders = [f"{number}-elm {order['order_id'][:8]}" for number, order in enumerate(orders[:9])]
    folders += [f"order {orders[9]['order_id'][:8]}"]
    assert sorted(s3.keys()) == sorted(f"orders/{folder}/a.jpg" for folder in folders)
    assert autoenhance.ledger()["credits"]["spent"] == 0


@needs_airflow_3
@pytest.mark.usefixtures("no_news")
@pytest.mark.one_version
def test_orders_named_by_hand_land_as_previews_for_free(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    orders = [finished_order("elm", "a.jpg", "b.jpg"), finished_order("oak", "c.jpg")]
    done = run_dag("autoenhance_on_order", "2026-01-05", {"order_ids": orders, "destination": "s3://enhanced/orders/"})
    assert done.returncode == 0, done.stdout[-3000:]
    assert sorted(s3.keys()) == sorted(
        [f"orders/{orders[0]}/a.jpg", f"orders/{orders[0]}/b.jpg", f"orders/{orders[1]}/c.jpg"]
    )
    assert autoenhance.ledger()["credits"]["spent"] == 0
    assert autoenhance.api_key not in without_masking(done.stdout)
