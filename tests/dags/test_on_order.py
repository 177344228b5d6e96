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


@needs_airflow_3
@pytest.mark.usefixtures("no_news")
def test_more_orders_than_airflow_maps_all_land_in_one_run_after_the_other(
    autoenhance: Sandbox, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "3")
    orders = [
        {"order_id": finished_order(f"{number}-elm", "a.jpg"), "name": f"{number}-elm", "processed": 1, "images": 1}
        for number in range(5)
    ]
    happen({"orders": orders})
    for number, landed in enumerate((3, 5)):
        done = run_dag("autoenhance_on_order", f"2026-01-{10 + number}", {"destination": "s3://enhanced/orders"})
        assert done.returncode == 0, done.stdout[-3000:]
        assert len(s3.keys()) == landed
    assert sorted(s3.keys()) == [f"orders/{each['name']} {each['order_id'][:8]}/a.jpg" for each in orders]


class Added(list[tuple[Any, Any]]):
    """Stands for Airflow's accessors of an alias: what was added."""

    def __getitem__(self, _: Any) -> Any:
        return SimpleNamespace(add=lambda asset, extra: self.append((asset, extra)))


@needs_airflow_3
def test_of_fifteen_hundred_orders_none_is_lost() -> None:
    module = runpy.run_path(FILE)
    dag = module["autoenhance_on_order"]()
    list_orders = dag.get_task("list_orders").python_callable
    scope = list_orders.__globals__
    reported = [{"order_id": f"{number:08}-id", "name": "elm", "processed": 1, "images": 1} for number in range(1500)]
    extras, left, taken = [{"payload": {"orders": reported}}], Added(), []
    scope["get_current_context"] = dict
    while extras:
        scope["triggering_extras"] = lambda _, of_run=extras: of_run
        left.clear()
        params = {"order_ids": [" one ", "", "two"], "destination": "s3://enhanced/orders/"}
        found = list_orders(params=params, outlet_events=left)
        assert 0 < len(found) <= 1024
        assert all(asset == module["finished_orders"] and frozenset(extra.items()) for asset, extra in left)
        taken += found
        extras = [extra for _, extra in left]
    assert {each["order_id"] for each in taken} == {"one", "two", *(each["order_id"] for each in reported)}
    assert len({each["destination"] for each in taken}) == 1502
    with pytest.raises(Exception, match="order_ids names 1025 orders, and a run takes 1024"):
        list_orders(params=params | {"order_ids": [str(number) for number in range(1025)]}, outlet_events=left)
