"""A task that was told to stop begins nothing more.

Airflow tells it by SIGTERM, whose handler runs between any two lines of the main thread. So there are no locks here, which that thread
might hold: what many threads share is a flag and a set, and each act on them is whole by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_autoenhance.api.errors import StoppedError

_LOOK_SECONDS = 0.05


class Stop:
    """Whether a hook's task was told to stop, and what it was making then."""

    def __init__(self) -> None:
        self.is_set = False
        self._under_way: set[object] = set()

    def check(self, about: str) -> None:
        """Called right before anything is begun.

        :raises StoppedError: the task was told to stop.
        """
        if self.is_set:
            raise StoppedError(
                f"{about}: not begun, because Airflow has stopped this task. The next try goes on from here."
            )

    @contextmanager
    def making(self, about: str) -> Iterator[None]:
        """Around a request that makes something.

        :raises StoppedError: the task was told to stop.
        """
        mark = object()
        self._under_way.add(mark)  # first, so that either the check below or whoever stops the task sees the other
        try:
            self.check(about)
            yield
        finally:
            self._under_way.discard(mark)

    def wait_until_made(self, seconds: float) -> None:
        """Wait for the requests that were under way when the task was told to stop, but not for longer than ``seconds``."""
        until = time.monotonic() + seconds
        while self._under_way and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)

    def sleep(self, seconds: float) -> None:
        """Sleep, but not on when the task is told to stop."""
        until = time.monotonic() + seconds
        while not self.is_set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))
