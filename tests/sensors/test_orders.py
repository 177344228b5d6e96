"""Waiting for a whole order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.sensors.status import AutoenhanceOrderStatusSensor
from airflow_provider_autoenhance.triggers.orders import AutoenhanceOrderTrigger, error_of
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run

pytestmark = pytest.mark.usefixtures("short_waits")


def order_of(*names: str, order_id: str = "order-1") -> str:
    hook = AutoenhanceHook()
    for name in names:
        upload(hook, hook.create_image(name, order_id=order_id), photo())
    return order_id


def sensor(**options: Any) -> AutoenhanceOrderStatusSensor:
    return AutoenhanceOrderStatusSensor(
        **{"task_id": "wait", "order_id": "order-1", "poke_interval": 0.05, "timeout": 20, **options}
    )


def event_of(trigger: AutoenhanceOrderTrigger) -> Any:
    async def collect() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(asyncio.wait_for(collect(), 30))
    return json.loads(json.dumps(event))


def test_an_order_is_waited_for_and_failures_are_counted(autoenhance: Sandbox) -> None:
    autoenhance.settings(fail_images={"bad*": "cannot decode"})
    order_of("a.jpg", "b.jpg", "bad.jpg")
    found = run(sensor())
    ids = {image["name"]: image["image_id"] for image in autoenhance.ledger()["images"]}
    assert sorted(found.pop("image_ids")) == sorted([ids["a.jpg"], ids["b.jpg"]])
    assert found == {
        **{"order_id": "order-1", "name": None, "images": 3, "processed": 2, "failed": 1},
        "failures": [{"photo": "bad.jpg", "reason": "cannot decode"}],
    }


def test_a_fresh_order_is_not_finished(autoenhance: Sandbox) -> None:
    AutoenhanceHook().create_order(order_id="order-1", name="fresh")
    with pytest.raises(AirflowSensorTimeout, match=r"order order-1 was not finished within 0.2 s"):
        run(sensor(timeout=0.2))


def test_fewer_images_than_expected_are_not_enough(autoenhance: Sandbox) -> None:
    order_of("a.jpg")
    assert run(sensor(expected_images="1"))["processed"] == 1
    with pytest.raises(AirflowSensorTimeout):
        run(sensor(expected_images=2, timeout=0.2))


def test_unknown_orders_and_empty_ids_fail_at_once(autoenhance: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="order order-1: Autoenhance answered 404"):
        run(sensor())
    with pytest.raises(AirflowFailException, match="id is empty"):
        run(sensor(order_id=""))
    with pytest.raises(AirflowFailException, match="expected_images takes a whole number"):
        order_of("a.jpg")
        run(sensor(expected_images="some"))


def test_deferred_it_costs_one_poll_per_order_and_interval(autoenhance: Sandbox) -> None:
    autoenhance.settings(processing_seconds=[0.5, 0.5])
    order_of("a.jpg", "b.jpg")
    with pytest.raises(TaskDeferred) as caught:
        it = sensor(deferrable=True)
        it.execute(context(it))
    trigger = AutoenhanceOrderTrigger(**json.loads(json.dumps(caught.value.trigger.serialize()[1])))
    event = event_of(trigger)
    assert event == {"orders": ["order-1"]}
    again = sensor(deferrable=True)
    assert again.execute_complete(context(again), event)["processed"] == 2
    assert "GET /v3/images/{id}" not in autoenhance.ledger()["requests"]


def test_several_orders_are_waited_for_together(autoenhance: Sandbox) -> None:
    order_of("a.jpg", order_id="one")
    order_of("b.jpg", "c.jpg", order_id="two")
    assert event_of(AutoenhanceOrderTrigger(orders={"one": 1, "two": 2}, poll_interval=0.05)) == {
        "orders": ["one", "two"]
    }


def test_a_deadline_and_a_deleted_order_are_reported(autoenhance: Sandbox) -> None:
    AutoenhanceHook().create_image("never.jpg", order_id="order-1")
    event = event_of(AutoenhanceOrderTrigger(orders={"order-1": 1}, poll_interval=0.05, deadline=0.0))
    assert isinstance(error_of(event), errors.DeadlineError)
    it = sensor()
    with pytest.raises(AirflowSensorTimeout, match="order order-1 has 0 of 1 image finished"):
        it.execute_complete(context(it), event)
    assert isinstance(
        error_of(event_of(AutoenhanceOrderTrigger(orders={"gone": 1}, poll_interval=0.05))), errors.NotFoundError
    )
    assert isinstance(error_of(None), errors.ServerError)


def test_killing_deletes_only_what_the_dag_named(autoenhance: Sandbox) -> None:
    hook = AutoenhanceHook()
    ids = [hook.create_image(name, order_id="order-1").image.image_id for name in ("a.jpg", "b.jpg")]
    for _ in range(2):
        asyncio.run(AutoenhanceOrderTrigger(orders={"order-1": 2}, image_ids=ids[:1]).on_kill())
    assert autoenhance.ledger()["live_images"] == ids[1:]
    asyncio.run(AutoenhanceOrderTrigger(orders={"order-1": 2}).on_kill())
    assert autoenhance.ledger()["live_images"] == ids[1:]
