"""The order trigger ends whole: with its event, no poll of it goes on; and what vanishes ends it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.triggers.orders import AutoenhanceOrderTrigger, error_of
from tests.support.batch import event_of
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("short_waits")


def under_way(order_id: str, *names: str) -> list[str]:
    hook = AutoenhanceHook()
    made = [hook.create_image(name, order_id=order_id) for name in names]
    for each in made:
        upload(hook, each, photo())
    return [each.image.image_id for each in made]


def trigger(numbers: dict[str, int | None], **options: Any) -> AutoenhanceOrderTrigger:
    return AutoenhanceOrderTrigger(orders=numbers, poll_interval=0.05, **options)


def ended(made: AutoenhanceOrderTrigger) -> Any:
    """Return the event of a trigger, and see that nothing of it goes on."""

    async def collect() -> Any:
        event = await asyncio.wait_for(event_of(made), 30)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in others if "_wait" in repr(task.get_coro())], "a poll goes on after the event"
        return event

    return json.loads(json.dumps(asyncio.run(collect())))


def test_when_one_order_fails_the_others_are_polled_no_more(autoenhance: Sandbox) -> None:
    autoenhance.settings(processing_seconds=[60, 60])
    for order_id in ("one", "two", "three"):
        under_way(order_id, f"{order_id}.jpg")
    error = error_of(ended(trigger({"one": 1, "gone": 1, "two": 1, "three": 1})))
    assert isinstance(error, errors.NotFoundError) and "gone" in str(error)


def test_a_trigger_that_is_cancelled_takes_its_polls_along(autoenhance: Sandbox) -> None:
    autoenhance.settings(processing_seconds=[60, 60])
    under_way("one", "a.jpg")
    under_way("two", "b.jpg")

    async def cancelled() -> set[Any]:
        running = asyncio.create_task(event_of(trigger({"one": 1, "two": 1})))
        while len([each for each in asyncio.all_tasks() if "_wait" in repr(each.get_coro())]) < 2:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return {each for each in asyncio.all_tasks() if "_wait" in repr(each.get_coro())}

    assert asyncio.run(cancelled()) == set()


def test_an_exception_that_nobody_foresaw_is_told_and_not_thrown(
    autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT")
    error = error_of(ended(trigger({"one": 1, "two": 1})))
    assert isinstance(error, errors.UnexpectedError) and "waiting for order one" in str(error)


def test_one_image_that_cannot_be_deleted_keeps_no_other(autoenhance: Sandbox) -> None:
    ids = under_way("one", "a.jpg", "b.jpg", "c.jpg")
    refused, slow = {"kind": "400", "count": 1}, {"kind": "slow", "seconds": 0.3}
    autoenhance.faults([{"endpoint": "delete_image", **rule} for rule in (refused, slow)])
    with pytest.raises(errors.InvalidRequestError):
        asyncio.run(trigger({"one": 3}, image_ids=ids).on_kill())
    assert autoenhance.ledger()["images_live"] == 1


def test_an_older_version_s_trigger_still_runs(autoenhance: Sandbox) -> None:
    under_way("one", "a.jpg")
    kept = trigger({"one": 1}).serialize()[1]
    del kept["closed"], kept["awaited"]
    assert ended(AutoenhanceOrderTrigger(**kept)) == {"orders": ["one"]}


def deleted_when(true: Callable[[], bool], image_id: str) -> None:
    while not true():
        time.sleep(0.01)
    AutoenhanceHook().delete_image(image_id)


@pytest.mark.parametrize("closed", [False, True])
def test_an_image_that_is_deleted_ends_the_wait_for_its_order(autoenhance: Sandbox, closed: bool) -> None:
    autoenhance.settings(processing_seconds=[60, 60])
    ids = under_way("one", "a.jpg", "b.jpg")
    before = autoenhance.ledger()["requests"].get("GET /v3/orders/{id}", 0)

    async def waited() -> Any:
        def looked() -> bool:
            return bool(autoenhance.ledger()["requests"].get("GET /v3/orders/{id}", 0) > before)

        deletion = asyncio.create_task(asyncio.to_thread(deleted_when, looked, ids[1]))
        event = await asyncio.wait_for(event_of(trigger({"one": 2}, closed=closed)), 30)
        await deletion
        return event

    error = error_of(asyncio.run(waited()))
    assert isinstance(error, errors.NotFoundError) and "b.jpg" in str(error)


def test_what_was_deleted_before_a_restart_ends_it_too(autoenhance: Sandbox) -> None:
    autoenhance.settings(processing_seconds=[60, 60])
    ids = under_way("one", "a.jpg", "b.jpg")
    AutoenhanceHook().delete_image(ids[0])
    error = error_of(ended(trigger({"one": 2}, closed=True)))
    assert isinstance(error, errors.NotFoundError) and "1 of 2 images" in str(error)


def test_one_that_is_deleted_ends_the_wait_at_the_next_look_whatever_else_the_order_lists(autoenhance: Sandbox) -> None:
    """A twin, or what a person has put there, is listed in its place."""
    autoenhance.settings(processing_seconds=[60, 60])
    ids = under_way("one", "a.jpg", "b.jpg")
    under_way("one", "stranger.jpg")
    AutoenhanceHook().delete_image(ids[0])
    before = autoenhance.ledger()["requests"].get("GET /v3/orders/{id}", 0)
    error = error_of(ended(trigger({"one": 2}, closed=True, awaited={"one": ids})))
    assert isinstance(error, errors.NotFoundError) and ids[0] in str(error)
    assert autoenhance.ledger()["requests"]["GET /v3/orders/{id}"] - before == 1


def test_so_does_one_that_a_look_has_seen_under_way(autoenhance: Sandbox) -> None:
    """Of many images, the arguments name none."""
    autoenhance.settings(processing_seconds=[60, 60])
    ids = under_way("one", "a.jpg", "b.jpg")
    before = autoenhance.ledger()["requests"].get("GET /v3/orders/{id}", 0)

    def looked() -> bool:
        return bool(autoenhance.ledger()["requests"].get("GET /v3/orders/{id}", 0) > before)

    async def waited() -> Any:
        deletion = asyncio.create_task(asyncio.to_thread(deleted_when, looked, ids[1]))
        event = await asyncio.wait_for(event_of(trigger({"one": 2}, closed=True, awaited={})), 30)
        await deletion
        return event

    under_way("one", "stranger.jpg")
    assert isinstance(error_of(asyncio.run(waited())), errors.NotFoundError)


def waiting_for(ids: list[str], map_index: int = -1) -> Any:
    """A trigger as a triggerer holds it for a task."""
    made = trigger({"one": len(ids)}, image_ids=ids)
    task = SimpleNamespace(dag_id="nightly", task_id="enhance", run_id="night-1", map_index=map_index)
    setattr(made, "_task_instance" if AIRFLOW_V_3_3_PLUS else "task_instance", task)
    return made


def killed_in_state(monkeypatch: pytest.MonkeyPatch, state: str | None, ids: list[str], map_index: int = -1) -> None:
    """Call what Airflow calls in a triggerer for a task that is in a state by then."""
    runtime = pytest.importorskip("airflow.sdk.execution_time.task_runner").RuntimeTaskInstance
    asked: list[dict[str, Any]] = []

    def states(**about: Any) -> dict[str, dict[str, str | None]]:
        asked.append(about)
        name = "enhance" if map_index < 0 else f"enhance_{map_index}"
        return {"night-1": {name: state}}

    monkeypatch.setattr(runtime, "get_task_states", staticmethod(states))
    asyncio.run(waiting_for(ids, map_index).on_kill())
    assert asked == [{"dag_id": "nightly", "task_ids": ["enhance"], "run_ids": ["night-1"], "map_index": map_index}]


@pytest.mark.parametrize("map_index", [-1, 7])
@pytest.mark.parametrize("state", ["deferred", "running", "queued", "scheduled", "success", "up_for_retry", None])
def test_a_triggerer_that_stood_still_deletes_nothing_that_may_be_waited_for(
    autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, state: str | None, map_index: int
) -> None:
    ids = under_way("one", "a.jpg", "b.jpg")
    killed_in_state(monkeypatch, state, ids, map_index)
    assert autoenhance.ledger()["images_live"] == 2


def test_a_task_that_is_marked_failed_loses_what_is_not_bought(
    autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = under_way("one", "a.jpg", "b.jpg", "c.jpg")
    hook = AutoenhanceHook()
    while not hook.get_order("one").finished:
        time.sleep(0.02)
    hook.download_image(ids[1], lambda download: download.read(), preview=False)
    killed_in_state(monkeypatch, "failed", ids)
    left = [image["image_id"] for image in autoenhance.ledger()["images"] if not image["deleted"]]
    assert left == [ids[1]]


def test_where_airflow_does_not_answer_nothing_is_deleted(
    autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = pytest.importorskip("airflow.sdk.execution_time.task_runner").RuntimeTaskInstance

    def states(**about: Any) -> Any:
        raise RuntimeError("the API server is away")

    monkeypatch.setattr(runtime, "get_task_states", staticmethod(states))
    ids = under_way("one", "a.jpg")
    with pytest.raises(RuntimeError):
        asyncio.run(waiting_for(ids).on_kill())
    assert autoenhance.ledger()["images_live"] == 1
