"""The image trigger: thin, patient, and silent about secrets."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.triggers import images as status
from airflow_provider_autoenhance.triggers.images import AutoenhanceImageTrigger, result_of
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("short_waits")


def under_way(name: str = "kitchen.jpg") -> str:
    """Return the id of an image that is being enhanced."""
    hook = AutoenhanceHook()
    created = hook.create_image(name)
    upload(hook, created, photo())
    return created.image.image_id


def event_of(trigger: AutoenhanceImageTrigger) -> dict[str, Any]:
    """Run a trigger to its one event."""

    async def run() -> list[dict[str, Any]]:
        return [event.payload async for event in trigger.run()]

    events = asyncio.run(asyncio.wait_for(run(), 30))
    assert len(events) == 1
    json.dumps(events[0])
    return events[0]


def test_it_waits_until_the_image_is_enhanced(autoenhance: Sandbox) -> None:
    image_id = under_way()
    event = event_of(AutoenhanceImageTrigger(image_id=image_id, poll_interval=0.05, deadline=time.time() + 20))
    assert result_of(event)["status"] == "processed"  # type: ignore[arg-type]


def test_it_survives_being_serialized_and_old_arguments(autoenhance: Sandbox) -> None:
    trigger = AutoenhanceImageTrigger(image_id="i1", autoenhance_conn_id="c", poll_interval=3.0, deadline=5.0)
    path, kwargs = json.loads(json.dumps(trigger.serialize()))
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**kwargs)
    assert again.serialize() == trigger.serialize()
    assert AutoenhanceImageTrigger(image_id="i1").deadline is None


def test_it_reports_failures_with_the_vendors_reason(autoenhance: Sandbox) -> None:
    autoenhance.settings(fail_images={"*": "cannot decode"})
    event = event_of(AutoenhanceImageTrigger(image_id=under_way(), poll_interval=0.05))
    with pytest.raises(errors.ImageFailedError, match=r"kitchen.jpg.*cannot decode"):
        result_of(event)  # type: ignore[arg-type]


def test_it_reports_an_unknown_image_and_a_missing_connection(autoenhance: Sandbox) -> None:
    with pytest.raises(errors.NotFoundError, match="no-such"):
        result_of(event_of(AutoenhanceImageTrigger(image_id="no-such", poll_interval=0.05)))  # type: ignore[arg-type]


def test_it_keeps_its_deadline_across_a_restart(autoenhance: Sandbox) -> None:
    image_id = AutoenhanceHook().create_image("never-uploaded.jpg").image.image_id
    first = AutoenhanceImageTrigger(image_id=image_id, poll_interval=0.05, deadline=time.time() + 0.3)
    restarted = AutoenhanceImageTrigger(**first.serialize()[1])
    time.sleep(0.3)
    with pytest.raises(errors.DeadlineError, match="never-uploaded.jpg"):
        result_of(event_of(restarted))  # type: ignore[arg-type]


def test_it_outlives_passing_faults(autoenhance: Sandbox) -> None:
    image_id = under_way()
    autoenhance.faults([{"endpoint": "retrieve_image", "kind": "503", "count": 6}])
    assert "image" in event_of(AutoenhanceImageTrigger(image_id=image_id, poll_interval=0.05))


def test_it_never_fires_before_airflow_is_ready(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = under_way()
    slept: list[float] = []
    monkeypatch.setattr(status, "EARLIEST_EVENT_SECONDS", 5.0)
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(min(seconds, 0.05))

    monkeypatch.setattr(status.asyncio, "sleep", sleep)
    event_of(AutoenhanceImageTrigger(image_id=image_id, poll_interval=0.05))
    assert 4.0 < slept[-1] <= 5.0


def test_nothing_secret_is_in_its_arguments_or_its_event(autoenhance: Sandbox) -> None:
    trigger = AutoenhanceImageTrigger(image_id=under_way(), poll_interval=0.05)
    told = json.dumps([trigger.serialize(), event_of(trigger)])
    assert autoenhance.api_key not in told
    assert "Signature" not in told


def test_the_event_loop_is_never_blocked(autoenhance: Sandbox) -> None:
    """A blocked loop would hold every other trigger: the longest stall stays far below a poll's own duration."""
    autoenhance.settings(latency_ms=300)
    image_id = AutoenhanceHook().create_image("a.jpg").image.image_id

    async def run() -> float:
        ticks = [time.monotonic()]

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.01)
                ticks.append(time.monotonic())

        ticker = asyncio.create_task(tick())
        trigger = AutoenhanceImageTrigger(image_id=image_id, poll_interval=0.05, deadline=time.time() + 1.5)
        _ = [event async for event in trigger.run()]
        ticker.cancel()
        polls = [later - earlier for earlier, later in pairwise(ticks)]
        return sorted(polls)[-2]

    asyncio.run(run())  # warms up imports and the client
    assert asyncio.run(run()) < 0.3
