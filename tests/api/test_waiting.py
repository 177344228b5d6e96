"""The decision about waiting."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus, Order
from airflow_provider_autoenhance.api.waiting import LONGEST_PAUSE_SECONDS, ImageWait, OrderWait, pause_asked_for


def image(status: ImageStatus, **fields: Any) -> Image:
    return Image("i1", "kitchen.jpg", "o1", status, **fields)


def wait(deadline: float | None = 100.0, now: float = 0.0) -> ImageWait:
    return ImageWait(deadline, 10.0, tolerated_errors=2, clock=lambda: now, jitter=lambda: 0.0)


def test_polls_while_under_way_and_ends_when_processed() -> None:
    it = wait()
    assert it.on_image(image(ImageStatus.WAITING)) == 10.0
    assert it.on_image(image(ImageStatus.PROCESSING)) == 10.0
    assert it.on_image(image(ImageStatus.PROCESSED)) is None


def test_the_last_poll_falls_on_the_deadline() -> None:
    assert wait(now=96.0).on_image(image(ImageStatus.PROCESSING)) == pytest.approx(4.0)


def test_past_the_deadline_the_image_is_named() -> None:
    with pytest.raises(errors.DeadlineError, match=r"kitchen.jpg.*still processing.*Nothing is lost"):
        wait(now=100.0).on_image(image(ImageStatus.PROCESSING))
    assert wait(now=100.0).on_image(image(ImageStatus.PROCESSED)) is None


def test_failures_carry_the_vendors_reason() -> None:
    with pytest.raises(errors.ImageFailedError, match=r"kitchen.jpg.*cannot decode"):
        wait().on_image(image(ImageStatus.ERROR, status_reason="cannot decode"))
    with pytest.raises(errors.ImageExpiredError, match=r"kitchen.jpg.*expired"):
        wait().on_image(image(ImageStatus.EXPIRED))


def test_passing_errors_in_a_row_are_tolerated_up_to_a_budget() -> None:
    it = wait()
    broken = errors.UnreachableError("reset")
    assert it.on_error(broken, "image i1") == 10.0
    assert it.on_error(broken, "image i1") == 10.0
    it.on_image(image(ImageStatus.PROCESSING))
    assert it.on_error(broken, "image i1") == 10.0
    assert it.on_error(errors.RateLimitError("slow", retry_after=30.0), "image i1") == 30.0
    with pytest.raises(errors.UnreachableError):
        it.on_error(broken, "image i1")


def test_lasting_errors_end_the_wait() -> None:
    with pytest.raises(errors.AuthenticationError):
        wait().on_error(errors.AuthenticationError("no"), "image i1")


def test_without_a_deadline_it_goes_on() -> None:
    assert wait(deadline=None, now=1e12).on_image(image(ImageStatus.PROCESSING)) == 10.0


# What the server asks for


@given(
    asked=st.one_of(st.floats(), st.sampled_from([math.inf, -math.inf, math.nan, -5.0, 1e300])),
    left=st.floats(1.0, 1e6),
)
def test_retry_after_never_reaches_past_the_deadline_or_the_hour(asked: float, left: float) -> None:
    error = errors.RateLimitError("slow", retry_after=asked)
    assert 0.0 < wait(deadline=left, now=0.0).on_error(error, "image i1") <= left
    assert 10.0 <= wait(deadline=None).on_error(error, "image i1") <= LONGEST_PAUSE_SECONDS
    assert 0.0 <= pause_asked_for(error) <= LONGEST_PAUSE_SECONDS


def test_past_the_deadline_retry_after_is_not_heard() -> None:
    with pytest.raises(errors.DeadlineError):
        wait(now=100.0).on_error(errors.RateLimitError("slow", retry_after=30.0), "image i1")


# Images that vanish


def order(*names: str, status: ImageStatus = ImageStatus.PROCESSING, **flags: Any) -> Order:
    flags = {"is_merging": False, "is_processing": bool(names), **flags}
    images = tuple(Image(f"i-{name}", name, "o1", status) for name in names)
    return Order("o1", "maple", "", is_deleted=False, images=images, raw=flags, **flags)


def order_wait(**options: Any) -> OrderWait:
    return OrderWait(None, 10.0, jitter=lambda: 0.0, **options)


@pytest.mark.parametrize("closed", [False, True])
def test_an_image_that_is_missing_twice_in_a_row_ends_the_wait_by_name(closed: bool) -> None:
    it = order_wait(closed=closed)
    assert it.on_order(order("a.jpg", "b.jpg"), 2) == 10.0
    assert it.on_order(order("a.jpg"), 2) == 10.0, "a single look may lag"
    with pytest.raises(errors.NotFoundError, match=r"no longer lists image 'b.jpg' \(i-b.jpg\)"):
        it.on_order(order("a.jpg"), 2)


def test_an_image_that_is_back_was_never_gone() -> None:
    it = order_wait(closed=True)
    for names in (("a.jpg", "b.jpg"), ("a.jpg",), ("a.jpg", "b.jpg"), ("b.jpg",), ("a.jpg", "b.jpg")):
        assert it.on_order(order(*names), 2) == 10.0


def test_what_was_gone_before_the_first_look_counts_where_nothing_can_be_added() -> None:
    it = order_wait(closed=True)
    it.on_order(order("a.jpg"), 2)
    with pytest.raises(errors.NotFoundError, match="1 of 2 images"):
        it.on_order(order("a.jpg"), 2)
    still = order_wait()
    assert [still.on_order(order("a.jpg"), 2) for _ in range(5)] == [10.0] * 5, "others may yet be put into the order"


def test_an_order_that_has_lost_all_is_not_waited_for() -> None:
    it = order_wait(closed=True)
    it.on_order(order(is_merging=True))
    it.on_order(order())
    with pytest.raises(errors.NotFoundError, match="1 of 1 image"):
        it.on_order(order())


@pytest.mark.parametrize("flags", [{"is_merging": True}, {"is_processing": True}])
def test_while_a_merge_goes_on_nothing_is_missing(flags: dict[str, bool]) -> None:
    it = order_wait(closed=True)
    assert [it.on_order(order(**flags), 3) for _ in range(5)] == [10.0] * 5


def test_an_answer_without_flags_proves_nothing() -> None:
    it = order_wait(closed=True)
    silent = replace(order(), raw={})
    assert [it.on_order(silent) for _ in range(5)] == [10.0] * 5


def test_what_the_wait_does_not_need_may_go() -> None:
    it = order_wait()
    it.on_order(order("a.jpg", "b.jpg"))
    it.on_order(order("a.jpg"))
    assert it.on_order(order("a.jpg", status=ImageStatus.PROCESSED, is_processing=False)) is None
