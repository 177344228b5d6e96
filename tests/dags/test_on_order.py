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


@needs_airflow_3
def test_each_event_becomes_a_folder_and_each_order_one_task() -> None:
    dag = runpy.run_path(FILE)["autoenhance_on_order"]()
    list_orders = dag.get_task("list_orders").python_callable

    def event(order_id: str, name: str | None) -> Any:
        payload = {"order_id": order_id, "name": name, "processed": 1, "images": 1}
        return SimpleNamespace(extra={"from_trigger": True, "payload": payload})

    events = {"asset": [event("0123456789", "12/14 Elm"), event("0123456789", "12/14 Elm"), event("abcdefghij", None)]}
    params = {"destination": "s3://enhanced/orders", "order_ids": [" by-hand ", ""]}
    assert list_orders(params, events) == [
        {"order_id": "by-hand", "destination": "s3://enhanced/orders/by-hand/"},
        {"order_id": "0123456789", "destination": "s3://enhanced/orders/12-14 Elm 01234567/"},
        {"order_id": "abcdefghij", "destination": "s3://enhanced/orders/order abcdefgh/"},
    ]
    assert list_orders(params | {"order_ids": []}) == []


@needs_airflow_3
@pytest.mark.usefixtures("airflow_db")
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
