"""The decision about waiting."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus
from airflow_provider_autoenhance.api.waiting import ImageWait


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
