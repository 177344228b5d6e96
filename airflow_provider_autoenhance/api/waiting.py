"""The decision about waiting, shared by sensors, triggers and operators: poll again, done, failed, or too late.

No I/O and no sleeping: feed in what was observed, get the seconds until the next look, or ``None`` when the wait is over. What went
wrong is raised.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus, Order


def check_image(image: Image) -> bool:
    """Say whether the image is enhanced; ``False`` while it is under way.

    :raises ImageFailedError: with the vendor's ``status_reason``.
    :raises ImageExpiredError: when it was never uploaded in time, or is no longer kept.
    """
    if image.status is ImageStatus.ERROR:
        reason = image.status_reason or "Autoenhance gave no reason"
        raise errors.ImageFailedError(
            f"{image.label} failed: {reason}. Nothing was spent on it. Check the source photo, then clear its create task."
        )
    if image.status is ImageStatus.EXPIRED:
        raise errors.ImageExpiredError(
            f"{image.label} expired: not uploaded in time, or no longer kept by Autoenhance. Clear its create task to make it again."
        )
    return image.status is ImageStatus.PROCESSED


@dataclass
class _Wait:
    """The patience of one wait.

    :param deadline: seconds since the epoch; absolute, so that it survives a restart of the triggerer. ``None``: no deadline.
    :param interval: seconds between polls, stretched by up to a tenth so that many waits do not beat in step.
    :param tolerated_errors: passing errors in a row that a wait survives.
    """

    deadline: float | None
    interval: float
    tolerated_errors: int = 5
    clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random
    _errors_in_a_row: int = field(default=0, init=False)

    def on_error(self, error: errors.AutoenhanceError, about: str) -> float:
        """Take in a failed poll: seconds until the next.

        :raises AutoenhanceError: the error itself, when it will not pass or too many came in a row.
        :raises DeadlineError: past the deadline.
        """
        self._errors_in_a_row += 1
        if not error.retryable or self._errors_in_a_row > self.tolerated_errors:
            raise error
        return max(self._next_poll(f"{about} cannot be read ({error})"), error.retry_after or 0.0)

    def _next_poll(self, state: str) -> float:
        pause = self.interval * (1.0 + 0.1 * self.jitter())
        if self.deadline is None:
            return pause
        left = self.deadline - self.clock()
        if left <= 0:
            raise errors.DeadlineError(
                f"{state} past the deadline of the wait. Nothing is lost: allow more time and clear the task, it goes on from here."
            )
        return min(pause, max(left, 0.1))


@dataclass
class ImageWait(_Wait):
    """One wait for one image."""

    def on_image(self, image: Image) -> float | None:
        """Take in an observed state: seconds until the next poll, or ``None`` when the image is enhanced.

        :raises ImageFailedError, ImageExpiredError: the image will not get there.
        :raises DeadlineError: it is still under way past the deadline.
        """
        self._errors_in_a_row = 0
        if check_image(image):
            return None
        return self._next_poll(f"{image.label} is still {image.status}")


@dataclass
class OrderWait(_Wait):
    """One wait for all images of an order to become final, well or badly."""

    def on_order(self, order: Order, expected: int | None = None) -> float | None:
        """Take in an observed order: seconds until the next poll, or ``None`` when it is finished.

        A fresh order looks finished. So it counts as finished only with at least one image, and with as many final ones as expected.

        :param expected: images that will become final; ``None``: all that the order lists.
        :raises DeadlineError: it is still under way past the deadline.
        """
        self._errors_in_a_row = 0
        final = sum(image.status.final for image in order.images)
        if order.settled if expected is None else final >= expected:
            return None
        return self._next_poll(f"order {order.order_id} has {final} of {expected or len(order.images)} images finished")
