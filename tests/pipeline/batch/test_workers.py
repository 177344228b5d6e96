"""Work handed out to threads: each piece is done once and told once, whatever comes up meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.pipeline.batch.workers import workers


class BadError(Exception):
    pass


def double(number: int) -> int:
    if number < 0:
        raise BadError(number)
    return 2 * number


def pieces(numbers: list[int]) -> list[Callable[[], int]]:
    return [partial(double, number) for number in numbers]


@given(loads=st.lists(st.lists(st.integers(0, 1000), max_size=30), max_size=4), size=st.integers(1, 5))
def test_all_is_done_once(loads: list[list[int]], size: int) -> None:
    told: list[int] = []
    with workers(size, told.append) as made:
        for load in loads:
            made.add(pieces(load))
            made.work(0.0)
        made.work()
    assert sorted(told) == sorted(2 * number for load in loads for number in load)


@given(before=st.lists(st.integers(0, 9), max_size=20), after=st.lists(st.integers(0, 9), min_size=30, max_size=60))
def test_an_error_ends_it_and_nothing_that_was_done_goes_untold(before: list[int], after: list[int]) -> None:
    told: list[int] = []
    done: list[int] = []
    lock = threading.Lock()

    def noted(number: int) -> int:
        result = double(number)
        with lock:
            done.append(result)
        return result

    with pytest.raises(BadError), workers(2, told.append) as made:
        made.add([partial(noted, number) for number in [*before, -1, *after]])
        made.work()
    assert sorted(told) == sorted(done)
    assert len(done) < len(before) + len(after), "what had not begun was dropped"


def test_no_more_than_its_size_work_at_a_time() -> None:
    busy, most = 0, 0
    lock = threading.Lock()

    def piece() -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.002)
        with lock:
            busy -= 1
        return 0

    with workers(3, lambda _: None) as made:
        made.add([piece] * 40)
        made.work()
    assert most == 3


def test_looking_on_ends_in_time_while_work_goes_on() -> None:
    """So that orders can be read while photos land."""
    told: list[int] = []
    gate = threading.Event()

    def slow() -> int:
        gate.wait(30)
        return 1

    with workers(2, told.append) as made:
        made.add([slow])
        made.work(0.01)
        assert told == []
        made.add(pieces([5]))
        while not told:
            made.work(0.01)
        assert told == [10], "what came later did not have to wait"
        gate.set()
        made.work()
    assert told == [10, 1]


def test_what_is_told_may_bring_more_work() -> None:
    told: list[int] = []

    def done(result: int) -> None:
        told.append(result)
        if result < 16:
            made.add(pieces([result]))

    with workers(1, done) as made:
        made.add(pieces([1]))
        made.work()
    assert told == [2, 4, 8, 16]
