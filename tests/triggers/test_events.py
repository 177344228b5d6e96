"""The watcher of finished orders against the sandbox: once each, nothing lost, one poll for many, and never a crash."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_3_PLUS

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.triggers import events
from airflow_provider_autoenhance.triggers.events import AutoenhanceOrderEventTrigger
from airflow_provider_autoenhance.triggers.watermark import Watermark
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox

POLL = 0.05
needs_airflow_3 = pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2 has no watchers")


class Store:
    """Stands for ``asset_state_store``: what an asset remembers, as JSON."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.broken = False
        self.writes = 0

    async def aget(self, key: str, default: Any = None) -> Any:
        self._check()
        return json.loads(self.held[key]) if key in self.held else default

    async def aset(self, key: str, value: Any) -> None:
        self._check()
        self.writes += 1
        self.held[key] = json.dumps(value)

    def _check(self) -> None:
        if self.broken:
            raise RuntimeError("the API server is away")

    def knows(self, order_id: str) -> bool:
        return any(order_id in json.loads(text)["told"] for text in self.held.values())


class Variables(dict[str, str]):
    """Stands for Airflow's Variables."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, short_waits: None) -> Variables:
    variables = Variables()

    async def read(self: Watermark) -> str | None:
        return variables.get(self._key)

    async def write(self: Watermark, text: str) -> None:
        variables[self._key] = text

    monkeypatch.setattr(Watermark, "_read_variable", read)
    monkeypatch.setattr(Watermark, "_write_variable", write)
    monkeypatch.setattr(events, "SHORTEST_POLL_SECONDS", 0.01)
    monkeypatch.setattr(events, "NOTED_AFTER_SECONDS", 0.02)
    return variables


class Triggerer:
    """Runs watchers as Airflow does, the arguments having gone through its database; ends them without a word."""

    def __init__(self, *triggers: tuple[AutoenhanceOrderEventTrigger, Store | None]) -> None:
        self.told: list[list[dict[str, Any]]] = []
        self.events: list[list[str]] = []
        self.watchers = []
        for trigger, store in triggers:
            path, arguments = json.loads(json.dumps(trigger.serialize()))
            module, _, name = path.rpartition(".")
            again = getattr(importlib.import_module(module), name)(**arguments)
            again.asset_state_store = store
            self.watchers.append(again)
            self.told.append([])

    async def until(self, ready: Callable[[], bool], seconds: float = 20.0) -> None:
        async def run(watcher: AutoenhanceOrderEventTrigger, told: list[dict[str, Any]]) -> None:
            async for event in watcher.run():
                json.dumps(event.payload)
                told += event.payload["orders"]
                self.events.append([order["order_id"] for order in event.payload["orders"]])

        tasks = [asyncio.create_task(run(*each)) for each in zip(self.watchers, self.told, strict=True)]
        deadline = time.monotonic() + seconds
        try:
            while not ready():
                assert time.monotonic() < deadline, f"it never came to that: {self.told}"
                await asyncio.sleep(0.01)
                for task in tasks:
                    assert not task.done() or task.result(), "a watcher ended"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def run_until(self, ready: Callable[[], bool]) -> list[str]:
        asyncio.run(self.until(ready))
        return [payload["order_id"] for payload in self.told[0]]


def watcher(**options: Any) -> AutoenhanceOrderEventTrigger:
    return AutoenhanceOrderEventTrigger(**{"poll_interval": POLL, **options})


def looks(sandbox: Sandbox) -> int:
    return int(sandbox.ledger(summary=True)["requests"].get("GET /v3/orders/", 0))


def after_looks(sandbox: Sandbox, number: int) -> Callable[[], bool]:
    goal: list[int] = []

    def ready() -> bool:
        goal[:] = goal or [looks(sandbox) + number]
        return looks(sandbox) >= goal[0]

    return ready


def make_order(order_id: str, *photos: str, name: str | None = None) -> str:
    """Make an order, with photos that are being enhanced."""
    hook = AutoenhanceHook()
    hook.create_order(order_id=order_id, name=name or f"listing {order_id}")
    for each in photos:
        upload(hook, hook.create_image(each, order_id=order_id), photo())
    return order_id


def finish(order_id: str) -> None:
    for _ in range(400):
        if AutoenhanceHook().get_order(order_id).finished:
            return
        time.sleep(0.02)
    raise AssertionError(f"{order_id} never finished")


@pytest.fixture
def watched(autoenhance: Sandbox) -> Store:
    """The memory of a watcher that has looked before there was any order."""
    store = Store()
    Triggerer((watcher(), store)).run_until(lambda: bool(store.held))
    return store


# Once each, across restarts


@needs_airflow_3
def test_an_order_that_finishes_fires_once_with_all_that_a_dag_needs(autoenhance: Sandbox, watched: Store) -> None:
    autoenhance.settings(fail_images={"b.jpg": "too dark, see https://x.test/?sig=1"})
    make_order("o1", "a.jpg", "b.jpg")
    make_order("empty")
    triggerer = Triggerer((watcher(), watched))
    assert triggerer.run_until(lambda: watched.knows("o1")) == ["o1"]
    (payload,) = triggerer.told[0]
    created = datetime.fromisoformat(payload.pop("created_at"))
    assert abs(created - datetime.now(UTC)) < timedelta(minutes=1)
    assert payload == {
        "order_id": "o1",
        "name": "listing o1",
        "images": 2,
        "processed": 1,
        "failed": 1,
        "failures": [{"photo": "b.jpg", "reason": "too dark, see https://x.test/"}],
    }
    assert Triggerer((watcher(), watched)).run_until(after_looks(autoenhance, 4)) == []


@needs_airflow_3
def test_nothing_is_told_twice_or_lost_when_the_triggerer_starts_again(autoenhance: Sandbox, watched: Store) -> None:
    make_order("o1", "a.jpg")
    assert Triggerer((watcher(), watched)).run_until(lambda: watched.knows("o1")) == ["o1"]
    finish(make_order("o2", "b.jpg"))  # while nobody watches
    assert Triggerer((watcher(), watched)).run_until(lambda: watched.knows("o2")) == ["o2"]
    assert Triggerer((watcher(), watched)).run_until(after_looks(autoenhance, 4)) == []


@needs_airflow_3
def test_an_order_that_was_under_way_when_the_triggerer_died_is_told_by_the_next(
    autoenhance: Sandbox, watched: Store
) -> None:
    autoenhance.settings(processing_seconds=(0.5, 0.5))
    make_order("o1", "a.jpg")
    assert Triggerer((watcher(), watched)).run_until(after_looks(autoenhance, 2)) == []
    finish("o1")
    assert Triggerer((watcher(), watched)).run_until(lambda: watched.knows("o1")) == ["o1"]


@needs_airflow_3
def test_a_death_between_firing_and_noting_tells_again_rather_than_never(
    autoenhance: Sandbox, watched: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(make_order("o1", "a.jpg"))
    monkeypatch.setattr(events, "NOTED_AFTER_SECONDS", 60.0)
    first = Triggerer((watcher(), watched))
    assert first.run_until(lambda: bool(first.told[0])) == ["o1"]
    monkeypatch.setattr(events, "NOTED_AFTER_SECONDS", 0.02)
    assert Triggerer((watcher(), watched)).run_until(lambda: watched.knows("o1")) == ["o1"]


@needs_airflow_3
def test_an_order_that_gets_another_photo_finishes_again(autoenhance: Sandbox, watched: Store) -> None:
    finish(make_order("o1", "a.jpg"))
    Triggerer((watcher(), watched)).run_until(lambda: watched.knows("o1"))
    hook = AutoenhanceHook()
    upload(hook, hook.create_image("b.jpg", order_id="o1"), photo())
    finish("o1")
    triggerer = Triggerer((watcher(), watched))
    assert triggerer.run_until(lambda: bool(triggerer.told[0])) == ["o1"]
    assert triggerer.told[0][0]["images"] == 2


@needs_airflow_3
def test_below_3_3_a_variable_remembers_and_the_upgrade_goes_on_from_it(autoenhance: Sandbox, quick: Variables) -> None:
    Triggerer((watcher(), None)).run_until(lambda: bool(quick))
    finish(make_order("o1", "a.jpg"))
    assert Triggerer((watcher(), None)).run_until(lambda: "o1" in str(quick)) == ["o1"]
    assert Triggerer((watcher(), None)).run_until(after_looks(autoenhance, 3)) == []
    finish(make_order("o2", "a.jpg"))
    store = Store()
    assert Triggerer((watcher(), store)).run_until(lambda: store.knows("o2")) == ["o2"]


@needs_airflow_3
def test_what_finished_before_the_first_look_is_told_only_where_a_date_asks_for_it(autoenhance: Sandbox) -> None:
    finish(make_order("o1", "a.jpg"))
    store = Store()
    assert Triggerer((watcher(), store)).run_until(lambda: store.knows("o1")) == []
    since = Store()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).replace(tzinfo=None).isoformat()
    assert Triggerer((watcher(created_after=yesterday), since)).run_until(lambda: since.knows("o1")) == ["o1"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    nothing = Triggerer((watcher(created_after=tomorrow), Store()))
    assert nothing.run_until(after_looks(autoenhance, 3)) == []


@needs_airflow_3
def test_orders_that_finish_together_make_one_event(autoenhance: Sandbox, watched: Store) -> None:
    names = [f"o{number}" for number in range(10)]
    for name in names:
        finish(make_order(name, "a.jpg"))
    triggerer = Triggerer((watcher(), watched))
    triggerer.run_until(lambda: watched.knows("o9"))
    (event,) = triggerer.events
    assert sorted(event) == names


# What is watched, and what it costs


@needs_airflow_3
def test_names_and_ids_choose_what_is_told(autoenhance: Sandbox) -> None:
    options = ({"name_pattern": "listing *"}, {"order_id_prefix": "shoot-"}, {"name_pattern": "LISTING *"})
    stores = [Store() for _ in options]
    triggers = [(watcher(**each), store) for each, store in zip(options, stores, strict=True)]
    Triggerer(*triggers).run_until(lambda: all(store.held for store in stores))
    finish(make_order("shoot-1", "a.jpg", name="listing 1"))
    finish(make_order("shoot-2", "a.jpg", name="portrait"))
    finish(make_order("other", "a.jpg", name="listing 2"))
    triggerer = Triggerer(*triggers)
    triggerer.run_until(lambda: [len(told) for told in triggerer.told] == [2, 2, 0])
    assert [{each["order_id"] for each in told} for told in triggerer.told] == [
        {"shoot-1", "other"},
        {"shoot-1", "shoot-2"},
        set(),
    ]


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="before 3.3 each watcher polls for itself")
def test_watchers_of_one_connection_share_one_poll(autoenhance: Sandbox) -> None:
    """By Airflow's own manager of shared streams, as the triggerer runs it."""
    import structlog
    from airflow.triggers.shared_stream import SharedStreamManager

    async def run() -> list[list[str]]:
        manager = SharedStreamManager(log=structlog.get_logger())
        watchers = [watcher(name_pattern=f"listing {name}*") for name in "ab"]
        stores = [Store() for _ in watchers]
        told: list[list[str]] = [[] for _ in watchers]

        async def subscribe(number: int) -> None:
            each = watchers[number]
            each.asset_state_store = stores[number]
            stream = manager.subscribe(trigger_id=number, trigger=each, key=each.shared_stream_key())
            async for event in each.filter_shared_stream(stream):
                told[number] += [order["order_id"] for order in event.payload["orders"]]

        tasks = [asyncio.create_task(subscribe(number)) for number in range(2)]
        while not all(store.held for store in stores):
            await asyncio.sleep(0.01)
        for name in ("a1", "b1"):
            await asyncio.to_thread(make_order, name, "a.jpg")
        while not all(told):
            await asyncio.sleep(0.01)
        before = looks(autoenhance)
        await asyncio.sleep(10 * POLL)
        assert looks(autoenhance) - before <= 12
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await manager.stop_all()
        return told

    assert asyncio.run(asyncio.wait_for(run(), 30)) == [["a1"], ["b1"]]


@needs_airflow_3
def test_who_shares_a_poll_and_who_shares_a_memory() -> None:
    plain, named, slow = watcher(), watcher(name_pattern="a*"), watcher(poll_interval=9.0)
    assert plain.shared_stream_key() == named.shared_stream_key() != slow.shared_stream_key()
    assert plain.shared_stream_key() != watcher(autoenhance_conn_id="other").shared_stream_key()
    assert plain._memory_key == slow._memory_key != named._memory_key
    assert hash(plain.shared_stream_key()) == hash(watcher().shared_stream_key())


@needs_airflow_3
def test_a_quiet_account_is_not_written_about_at_every_look(autoenhance: Sandbox, watched: Store) -> None:
    finish(make_order("o1", "a.jpg"))
    Triggerer((watcher(), watched)).run_until(lambda: watched.knows("o1"))
    before = watched.writes
    Triggerer((watcher(), watched)).run_until(after_looks(autoenhance, 5))
    assert watched.writes == before


# Bad days


@needs_airflow_3
def test_faults_are_logged_and_outlived(autoenhance: Sandbox, watched: Store, caplog: pytest.LogCaptureFixture) -> None:
    finish(make_order("o1", "a.jpg"))
    autoenhance.faults([{"endpoint": "list_orders", "kind": "401", "count": 3}])
    assert Triggerer((watcher(), watched)).run_until(lambda: watched.knows("o1")) == ["o1"]
    told = [record for record in caplog.records if "Orders cannot be watched" in record.message]
    assert [record.levelno for record in told] == [logging.WARNING, logging.WARNING, logging.ERROR]
    assert "AuthenticationError" not in told[0].message
    assert "connection's password" in told[0].message
    assert autoenhance.api_key not in caplog.text


@needs_airflow_3
def test_a_connection_that_is_missing_is_waited_for(
    autoenhance: Sandbox, watched: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import os

    right = os.environ["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"]
    finish(make_order("o1", "a.jpg"))
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps({"conn_type": "autoenhance"}))
    triggerer = Triggerer((watcher(), watched))

    def corrected() -> bool:
        if "Orders cannot be watched" in caplog.text:
            monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", right)
        return watched.knows("o1")

    assert triggerer.run_until(corrected) == ["o1"]


@needs_airflow_3
def test_pauses_grow_up_to_a_quarter_of_an_hour() -> None:
    error = RuntimeError("no")
    assert [events._pause(error, 60.0, number) for number in (1, 2, 3, 99)] == [60.0, 120.0, 240.0, 900.0]
    assert events._pause(error, 3600.0, 9) == 3600.0


@needs_airflow_3
@pytest.mark.parametrize("asked", [86400.0, math.inf, math.nan, -1.0, 1e300])
def test_whatever_is_asked_for_it_looks_hourly(
    autoenhance: Sandbox, watched: Store, monkeypatch: pytest.MonkeyPatch, asked: float
) -> None:
    slept: list[float] = []

    async def refused(*_: object) -> None:
        raise errors.RateLimitError("slow down", retry_after=asked)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 30:
            raise asyncio.CancelledError

    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.watch.poll.OrderWalk.look", refused)
    monkeypatch.setattr(events.asyncio, "sleep", sleep)

    async def run() -> None:
        async for _ in AutoenhanceOrderEventTrigger.open_shared_stream(watcher().serialize()[1]):
            raise AssertionError("there is nothing to see")

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert all(0.0 < seconds <= 3600.0 for seconds in slept)


@needs_airflow_3
def test_a_memory_that_cannot_be_read_or_written_holds_up_and_loses_nothing(
    autoenhance: Sandbox, watched: Store
) -> None:
    finish(make_order("o1", "a.jpg"))
    watched.broken = True
    assert Triggerer((watcher(), watched)).run_until(after_looks(autoenhance, 3)) == []
    watched.broken = False
    triggerer = Triggerer((watcher(), watched))

    def written() -> bool:
        watched.broken = bool(triggerer.told[0]) and not after()
        return watched.knows("o1")

    after = after_looks(autoenhance, 3)
    assert triggerer.run_until(written) == ["o1"]


@needs_airflow_3
@pytest.mark.parametrize(
    "damage", ["{", "[]", "[" * 100_000, '{"before": "noon", "open": {}, "told": {}}', '{"before": 0}']
)
def test_a_damaged_memory_starts_again_with_an_error_and_reports_nothing_twice(
    autoenhance: Sandbox, quick: Variables, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    long_ago = {"created_after": "2020-01-01"}
    Triggerer((watcher(**long_ago), None)).run_until(lambda: bool(quick))
    finish(make_order("o1", "a.jpg"))
    assert Triggerer((watcher(**long_ago), None)).run_until(lambda: "o1" in str(quick)) == ["o1"]
    (key,) = quick
    quick[key] = damage
    assert Triggerer((watcher(**long_ago), None)).run_until(lambda: "o1" in str(quick)) == []
    assert f"{key}, is damaged, and starts again" in caplog.text
    finish(make_order("o2", "a.jpg"))
    assert Triggerer((watcher(**long_ago), None)).run_until(lambda: "o2" in str(quick)) == ["o2"]


@needs_airflow_3
def test_assets_that_share_a_watcher_s_arguments_share_its_memory(autoenhance: Sandbox, quick: Variables) -> None:
    class OfSeveral(Store):
        async def aget(self, key: str, default: Any = None) -> Any:
            raise ValueError("Task has 2 concrete inlets and outlets")

    Triggerer((watcher(), OfSeveral())).run_until(lambda: bool(quick))
    finish(make_order("o1", "a.jpg"))
    assert Triggerer((watcher(), OfSeveral())).run_until(lambda: '"o1"' in str(quick)) == ["o1"]


@needs_airflow_3
def test_nothing_secret_is_in_arguments_events_or_memory(autoenhance: Sandbox, watched: Store) -> None:
    make_order("o1", "a.jpg")
    triggerer = Triggerer((watcher(), watched))
    triggerer.run_until(lambda: watched.knows("o1"))
    told = json.dumps([watcher().serialize(), triggerer.told, watched.held])
    assert autoenhance.api_key not in told
    assert "Signature" not in told


@needs_airflow_3
@pytest.mark.parametrize(
    ("options", "message"),
    [({"poll_interval": 0.001}, "poll_interval takes at least"), ({"created_after": "yesterday"}, "Invalid isoformat")],
)
def test_bad_arguments_fail_the_dag_file(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        watcher(**options)


@pytest.mark.skipif(AIRFLOW_V_3_0_PLUS, reason="there it works")
def test_airflow_2_says_what_to_use_instead() -> None:
    with pytest.raises(RuntimeError, match="needs Airflow 3.*AutoenhanceOrderStatusSensor"):
        AutoenhanceOrderEventTrigger()
