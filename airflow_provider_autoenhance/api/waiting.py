"""The decision about waiting, shared by sensors, triggers and operators: poll again, done, failed, or too late.

No I/O and no sleeping: feed in what was observed, get the seconds until the next look, or ``None`` when the wait is over. What went
wrong is raised.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus, Order
from airflow_provider_autoenhance.api.shown import counted

#: No wait takes the server's word for a longer pause; so what is waited for is looked at hourly at least.
LONGEST_PAUSE_SECONDS = 3600.0

#: Images that an error names.
_MAX_NAMES = 5


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


def pause_asked_for(error: Exception) -> float:
    """Seconds that an error asks to wait (``Retry-After``): from 0 to an hour, whatever the server said."""
    asked = getattr(error, "retry_after", None)
    return min(max(asked, 0.0), LONGEST_PAUSE_SECONDS) if asked is not None and math.isfinite(asked) else 0.0


def is_idle(order: Order) -> bool:
    """Whether an order says that nothing of it is under way: neither merged nor enhanced.

    A fresh order says so too. Where the answer has no such flag, nothing is concluded from its absence.
    """
    return "is_merging" in order.raw and not order.is_merging and not order.is_processing


@dataclass
class Wait:
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
        """Count a failed poll. Return the seconds until the next.

        :raises AutoenhanceError: the error itself, when it will not pass or too many came in a row.
        :raises DeadlineError: past the deadline.
        """
        self._errors_in_a_row += 1
        if not error.retryable or self._errors_in_a_row > self.tolerated_errors:
            raise error
        return self._next_poll(f"{about} cannot be read ({error})", pause_asked_for(error))

    def under_way(self, state: str) -> float:
        """Note that the wait is not over. Return the seconds until the next poll.

        :param state: what there is to say about it past the deadline.
        :raises DeadlineError: past the deadline.
        """
        self._errors_in_a_row = 0
        return self._next_poll(state)

    def _next_poll(self, state: str, at_least: float = 0.0) -> float:
        pause = max(self.interval * (1.0 + 0.1 * self.jitter()), at_least)
        if self.deadline is None:
            return pause
        left = self.deadline - self.clock()
        if left <= 0:
            raise errors.DeadlineError(
                f"{state} past the deadline of the wait. Nothing is lost: allow more time and clear the task, it goes on from here."
            )
        return min(pause, max(left, 0.1))


@dataclass
class ImageWait(Wait):
    """One wait for one image."""

    def on_image(self, image: Image) -> float | None:
        """Note an image as polled. Return the seconds until the next poll, or ``None`` when it is enhanced.

        :raises ImageFailedError, ImageExpiredError: the image will not get there.
        :raises DeadlineError: it is still under way past the deadline.
        """
        return None if check_image(image) else self.under_way(f"{image.label} is still {image.status}")


@dataclass
class OrderWait(Wait):
    """One wait for all images of one order to become final, well or badly.

    It notices images that were deleted meanwhile. A single look proves nothing, because right after a creation an order may lag; so two
    looks in a row have to agree.

    :param closed: all images that are waited for exist already, or are being merged; otherwise some may yet be put into the order.
    """

    closed: bool = False
    _seen: dict[str, str] = field(default_factory=dict, init=False)
    _was_short: bool = field(default=False, init=False)

    def on_order(self, order: Order, expected: int | None = None) -> float | None:
        """Note an order as polled. Return the seconds until the next poll, or ``None`` when it is finished.

        A fresh order looks finished. So it counts as finished only with at least one image, and with as many final ones as expected.

        :param expected: images that will become final; ``None``: all that the order lists.
        :raises NotFoundError: it cannot get there any more, because images of it were deleted.
        :raises DeadlineError: it is still under way past the deadline.
        """
        final = sum(image.status.final for image in order.images)
        if order.finished if expected is None else final >= expected:
            return None
        self._check_there(order, expected or 1)
        return self.under_way(
            f"order {order.order_id} has {final} of {counted(expected or len(order.images), 'image')} finished"
        )

    def _check_there(self, order: Order, expected: int) -> None:
        listed = {image.image_id: image.label for image in order.images}
        gone = [label for image_id, label in self._seen.items() if image_id not in listed]
        lacking = self.closed and (is_idle(order) or bool(listed))
        short = len(listed) < expected and not order.is_merging and (bool(gone) or lacking)
        if short and self._was_short:
            named = ", ".join(gone[:_MAX_NAMES]) or f"{expected - len(listed)} of {counted(expected, 'image')}"
            raise errors.NotFoundError(
                f"order {order.order_id} no longer lists {named}: deleted in Autoenhance, most likely. The rest is there; wait for "
                "that, or make the image again."
            )
        self._was_short = short
        self._seen |= listed
