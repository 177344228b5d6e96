"""A token bucket: how long to wait before the next request, so that a process stays below a rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class TokenBucket:
    """Hands out places in time. Nothing sleeps here: threads and coroutines alike sleep by themselves.

    :param rate: requests per second; as many may go at once after a second of rest.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = max(1.0, rate)
        self._updated = clock()

    def reserve(self) -> float:
        """Take the next place and return the seconds to wait for it."""
        with self._lock:
            now = self._clock()
            self._tokens = min(max(1.0, self._rate), self._tokens + (now - self._updated) * self._rate) - 1.0
            self._updated = now
            return max(0.0, -self._tokens / self._rate)
