"""What a watcher of orders tells, held against every history that hypothesis can think of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_autoenhance.api.models import OrderPage, parse_order
from airflow_provider_autoenhance.pipeline.watch.finished import WATCHED_SECONDS, OrderSeen, OrderWatch
from airflow_provider_autoenhance.pipeline.watch.poll import FULL_WALK_SECONDS, OrderWalk

NOW = 1_800_000_000.0
DAY = 24 * 60 * 60.0


def seen(order_id: str = "o", *, images: int = 1, finished: bool = True, age: float = 60.0, **more: Any) -> OrderSeen:
    told: dict[str, Any] = {"processed": images, "newest": images, "failed_images": ()} | more
    return OrderSeen(order_id, order_id, NOW - age, finished, images, **told)


class Watcher:
    """A watcher that is killed and started again after every look."""

    def __init__(self, *, from_now_on: bool = True) -> None:
        self.from_now_on = from_now_on
        self.memory: dict[str, Any] | None = None

    def look(self, *orders: OrderSeen, now: float = NOW, dies: bool = False) -> list[str]:
        watch = OrderWatch(self.memory, from_now_on=self.from_now_on)
        due = watch.finished(orders, now)
        self.memory = json.loads(json.dumps(watch.to_memory()))
        if not dies:
            watch.remember(due, now)
            self.memory = json.loads(json.dumps(watch.to_memory()))
        return [order.order_id for order in due]


def test_a_finish_is_told_once() -> None:
    watcher = Watcher()
    assert watcher.look() == []
    assert watcher.look(seen(finished=False, images=0)) == []
    assert watcher.look(seen(finished=False)) == []
    assert watcher.look(seen()) == ["o"]
    assert watcher.look(seen()) == watcher.look(seen()) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.just("o"), inner, max_size=3),
    max_leaves=6,
)
GOOD = {"before": NOW - DAY, "open": {"o": 5}, "told": {"p": [5, 1, 1]}}


@given(
    memory=JSON | st.builds(lambda name, value: GOOD | {name: value}, st.sampled_from(list(GOOD)), JSON),
    from_now_on=st.booleans(),
)
def test_a_damaged_memory_neither_stops_the_watch_nor_tells_all_anew(memory: Any, from_now_on: bool) -> None:
    watch = OrderWatch(memory, from_now_on=from_now_on)
    assert not OrderWatch(GOOD, from_now_on=from_now_on).damaged
    old = [seen(f"done{number}") for number in range(50)]
    first = watch.finished(old, NOW)
    if watch.damaged:
        assert first == []
    watch.remember(first, NOW)
    OrderWatch(json.loads(json.dumps(watch.to_memory())), from_now_on=from_now_on)
    later = [*old, seen("new", age=-60.0)]
    assert [order.order_id for order in watch.finished(later, NOW + 120)] == ["new"]


def test_what_had_finished_before_the_first_look_is_told_only_if_asked_for() -> None:
    assert [Watcher().look(seen(age=age)) for age in (60, 9 * DAY)] == [[], []]
    asked = Watcher(from_now_on=False)
    assert asked.look(seen("new"), seen("old", age=9 * DAY)) == ["new", "old"]
    assert asked.look(seen("new"), seen("old", age=9 * DAY)) == []


def test_what_was_under_way_at_the_first_look_is_told_however_old_it_is() -> None:
    watcher = Watcher()
    watcher.look(seen(age=9 * DAY, finished=False))
    assert watcher.look(seen(age=9 * DAY)) == ["o"]
    assert watcher.look(seen(age=9 * DAY)) == []


def test_an_order_finishes_again_with_photos_that_it_did_not_have() -> None:
    watcher = Watcher()
    watcher.look()
    assert watcher.look(seen()) == ["o"]
    assert watcher.look(seen(images=2, processed=1, finished=False)) == []
    assert watcher.look(seen(images=2)) == ["o"]
    failed = seen(images=3, processed=2)
    assert watcher.look(failed) == ["o"]
    assert watcher.look(replace(failed, processed=3)) == ["o"]


def test_reprocessing_expiring_and_deleting_are_no_news() -> None:
    watcher = Watcher()
    watcher.look()
    assert watcher.look(seen(images=3)) == ["o"]
    assert watcher.look(seen(images=3, processed=2, finished=False)) == []
    assert watcher.look(seen(images=3)) == []
    assert watcher.look(seen(images=3, processed=0)) == []
    assert watcher.look(seen(images=2)) == []


def test_a_watcher_that_dies_before_it_noted_a_finish_tells_it_again_rather_than_never() -> None:
    watcher = Watcher()
    watcher.look()
    assert watcher.look(seen(), dies=True) == ["o"]
    assert watcher.look(seen()) == ["o"]
    assert watcher.look(seen()) == []


def test_what_finished_while_nobody_watched_is_told_even_after_days() -> None:
    watcher = Watcher()
    watcher.look(seen("told"))
    later = NOW + 5 * DAY
    assert watcher.look(seen("told"), seen("new", age=-DAY), now=later) == ["new"]
    assert watcher.look(seen("told"), seen("new", age=-DAY), now=later + DAY) == []


def test_an_account_with_many_old_orders_needs_no_memory_of_them() -> None:
    watcher = Watcher()
    old = [seen(f"{n}", age=2 * DAY) for n in range(1000)]
    for _ in range(2):
        assert watcher.look(*old, seen("new")) == []
    assert list(watcher.memory["told"]) == ["new"]  # type: ignore[index]


def test_the_memory_holds_a_day_and_what_is_unfinished() -> None:
    watcher = Watcher()
    watcher.look(seen("stuck", finished=False), *(seen(f"{n}") for n in range(1000)))
    assert len(json.dumps(watcher.memory)) < 64_000
    watcher.look(now=NOW + 2 * DAY)
    assert (list(watcher.memory["told"]), list(watcher.memory["open"])) == ([], ["stuck"])  # type: ignore[index]
    assert watcher.look(seen("stuck"), *(seen(f"{n}") for n in range(1000)), now=NOW + 2 * DAY) == ["stuck"]
    watcher.look(seen("stuck", finished=False), now=NOW + 90 * DAY)
    assert watcher.memory["open"] == {}  # type: ignore[index]


def test_an_order_that_is_reprocessed_while_it_grows_old_is_no_news() -> None:
    watcher = Watcher()
    watcher.look()
    assert watcher.look(seen()) == ["o"]
    for hours in range(20, 40, 2):
        assert watcher.look(seen(processed=0, finished=False), now=NOW + hours * 3600) == []
    assert watcher.look(seen(), now=NOW + 41 * 3600) == []


@settings(max_examples=300)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["create", "add", "finish", "fail", "delete", "look", "look and die", "hours pass"]),
            st.integers(0, 4),
        ),
        max_size=40,
    )
)
def test_no_finish_is_lost_and_none_is_told_twice_but_by_a_death(steps: list[tuple[str, int]]) -> None:
    """Each finish that stood at a look is told: once, or once more for each death before it was noted."""
    now, newest, deaths = NOW, 0, 0
    orders: dict[int, OrderSeen] = {}
    watcher = Watcher()
    watcher.look()
    told: dict[str, list[tuple[int, int]]] = {}
    for step, number in steps:
        order = orders.get(number)
        if step == "create" and order is None:
            orders[number] = OrderSeen(f"{number}", "n", now, False, 0, 0, 0, ())
        elif step == "add" and order:
            newest += 1
            orders[number] = replace(order, finished=False, images=order.images + 1, newest=newest)
        elif step in ("finish", "fail") and order and order.images:
            processed = order.images if step == "finish" else order.processed
            orders[number] = replace(order, finished=True, processed=processed)
        elif step == "delete":
            orders.pop(number, None)
        elif step == "hours pass":
            now += number * 5 * 60 * 60
        elif step.startswith("look"):
            dies = step == "look and die"
            for order_id in watcher.look(*orders.values(), now=now, dies=dies):
                state = orders[int(order_id)]
                told.setdefault(order_id, []).append((state.newest, state.processed))
                deaths += dies
    told_at_last = watcher.look(*orders.values(), now=now)
    for order_id in told_at_last:
        state = orders[int(order_id)]
        told.setdefault(order_id, []).append((state.newest, state.processed))
    assert watcher.look(*orders.values(), now=now) == []
    repeated = sum(len(marks) - len(set(marks)) for marks in told.values())
    assert repeated <= deaths
    for number, order in orders.items():
        if order.finished and (order.created_at or 0) >= now - WATCHED_SECONDS:
            newest_told = max((mark[0] for mark in told.get(f"{number}", [])), default=-1)
            assert newest_told >= order.newest, "a finish was never told"


# What a look costs


class Listing:
    """Orders on pages of 15, as a hook reads them."""

    def __init__(self, ages: Sequence[float]) -> None:
        self.orders = [self._order(number, age) for number, age in enumerate(ages)]
        self.pages = 0

    def _order(self, number: int, age: float) -> Any:
        from datetime import UTC, datetime

        created = datetime.fromtimestamp(NOW - age, UTC).replace(tzinfo=None).isoformat()
        return parse_order({"order_id": f"{number}", "created_at": created, "images": []})

    async def list_orders_page(self, *, offset: str | None = None) -> OrderPage:
        self.pages += 1
        start = int(offset or 0)
        more = start + 15 < len(self.orders)
        return OrderPage(tuple(self.orders[start : start + 15]), str(start + 15) if more else None)

    def look(self, walk: OrderWalk, *, promised: bool = False) -> tuple[int, int]:
        """Look once; return how many orders were told of, and for how many requests."""
        before = self.pages
        return len(asyncio.run(walk.look(self, promised=promised))), self.pages - before  # type: ignore[arg-type]

    def finish(self, *numbers: int) -> None:
        image = {"image_id": "i", "status": "processed"}
        for number in numbers:
            order = self.orders[number]
            self.orders[number] = parse_order({"order_id": order.order_id, **order.raw, "images": [image]})


def test_a_list_that_is_newest_first_is_read_whole_once_an_hour() -> None:
    clock = [NOW]
    listing, walk = Listing([hour * 3600 for hour in range(300)]), OrderWalk(lambda: clock[0])
    assert listing.look(walk) == (300, 20)
    assert listing.look(walk) == (300, 2)  # 24 orders of the last day, and the page on which they end
    clock[0] += FULL_WALK_SECONDS
    assert listing.look(walk) == (300, 20)


@pytest.mark.parametrize("ages", [range(0, 300 * 3600, 3600)[::-1], [0, 9e5, 0] * 100], ids=["oldest first", "mixed"])
def test_a_list_in_any_other_sequence_is_read_whole_each_time(ages: Sequence[float]) -> None:
    listing, walk = Listing(ages), OrderWalk(lambda: NOW)
    assert [listing.look(walk) for _ in range(3)] == [(300, 20)] * 3


def test_a_list_that_changes_its_sequence_loses_nobody() -> None:
    listing, walk = Listing([hour * 3600 for hour in range(300)]), OrderWalk(lambda: NOW)
    listing.look(walk)
    listing.orders.reverse()
    assert listing.look(walk) == (300, 20)
    assert listing.look(walk) == (300, 20)


def test_an_account_without_orders_costs_one_request() -> None:
    listing, walk = Listing([]), OrderWalk(lambda: NOW)
    assert [listing.look(walk) for _ in range(2)] == [(0, 1)] * 2


def test_where_the_sequence_is_promised_no_look_reads_more_than_it_has_to() -> None:
    clock = [NOW]
    listing, walk = Listing([day * 86_400 for day in range(300)]), OrderWalk(lambda: clock[0])
    assert listing.look(walk, promised=True) == (75, 5)  # 60 days, after which nothing is finished any more
    assert listing.look(walk, promised=True)[1] == 1
    listing.finish(*(number for number in range(75) if number != 40))
    clock[0] += FULL_WALK_SECONDS
    assert listing.look(walk, promised=True)[1] == 5
    clock[0] += FULL_WALK_SECONDS
    assert listing.look(walk, promised=True)[1] == 3  # back to the one order that is not finished
    listing.finish(40)
    assert listing.look(walk, promised=True)[1] == 1
    clock[0] += FULL_WALK_SECONDS
    assert listing.look(walk, promised=True)[1] == 3
    clock[0] += FULL_WALK_SECONDS
    assert listing.look(walk, promised=True)[1] == 1


def test_a_watcher_that_begins_longer_ago_reads_back_to_there() -> None:
    listing = Listing([day * 86_400 for day in range(300)])
    assert listing.look(OrderWalk(lambda: NOW, back_to=NOW - 100 * 86_400), promised=True) == (105, 7)


def test_a_broken_promise_loses_nobody() -> None:
    listing, walk = Listing([day * 86_400 for day in range(300)][::-1]), OrderWalk(lambda: NOW)
    assert [listing.look(walk, promised=True) for _ in range(2)] == [(300, 20)] * 2
