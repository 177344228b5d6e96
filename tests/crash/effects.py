"""What the outside can see of a batch: every HTTP call, and every file that appears. A worker may die before or after each, or
something else may happen there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_autoenhance.storage import local, s3
from airflow_provider_autoenhance.transport import httpx_client, requests_session


class Effects:
    """Counts effects, and lets the worker die at one of them; a dead worker has no further effects.

    :param die: ends the process, or raises what nothing catches.
    """

    def __init__(self, die: Callable[[], None]) -> None:
        self.count = 0
        self.dead = False
        self._die, self._last, self._before = die, 0, False
        self._happens: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._patch = pytest.MonkeyPatch()

    def arm(self, last: int, *, before: bool, happens: Callable[[], None] | None = None) -> None:
        """Count from 1 again.

        :param last: effect at which the worker dies; 0: at none.
        :param before: whether it dies just before it, or just after.
        :param happens: what happens there instead of its death.
        """
        self.count, self.dead, self._last, self._before, self._happens = 0, False, last, before, happens

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the HTTP calls of worker and triggerer, and the writes to S3 and to local disks."""
        self._watch(requests_session, "send_once")
        self._watch(requests_session, "put_once")
        self._watch(requests_session.Streamed, "send")
        self._watch(httpx_client, "send_once")
        self._watch(s3.S3Destination, "_put")
        self._watch(local.LocalDestination, "_create")
        self._watch(local.Path, "replace")
        try:
            yield
        finally:
            self._patch.undo()

    def _watch(self, owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            mine = self._begin()
            result = function(*args, **kwargs)
            self._end(mine)
            return result

        async def watched_async(*args: Any, **kwargs: Any) -> Any:
            mine = self._begin()
            result = await function(*args, **kwargs)
            self._end(mine)
            return result

        self._patch.setattr(owner, name, watched_async if asyncio.iscoroutinefunction(function) else watched)

    def _begin(self) -> int:
        with self._lock:
            self.count += 1
            mine = self.count
        self._strike(mine == self._last and self._before)
        return mine

    def _end(self, mine: int) -> None:
        self._strike(mine == self._last and not self._before)

    def _strike(self, now: bool) -> None:
        if now and self._happens:
            self._happens()
        elif now or self.dead:
            self.dead = True
            self._die()
