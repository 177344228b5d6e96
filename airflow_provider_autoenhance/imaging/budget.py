"""How much memory the conversions of one process may take together.

A conversion reserves what it will need before it decodes, and waits until that is free. First come, first served, so that a big
photo is not overtaken for ever. One that needs more than the whole budget runs alone.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airflow_provider_autoenhance.api.errors import SettingsError

#: Environment variable for the megabytes that all conversions of a process may take at once.
VARIABLE = "AUTOENHANCE_CONVERSION_MEMORY_MB"

DEFAULT_MEGABYTES = 2048.0


class MemoryBudget:
    """Megabytes to be shared out among threads.

    :param megabytes: how many there are.
    """

    def __init__(self, megabytes: float) -> None:
        self.megabytes = megabytes
        # Whole bytes: fractions that are added up and taken off again leave a rest, and who asks for all would wait for ever.
        self._free = self._all = int(megabytes * 1e6)
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, megabytes: float) -> Iterator[None]:
        """Hold so many megabytes, or all of them where more is asked for, waiting until they are free."""
        share, ticket = min(math.ceil(megabytes * 1e6), self._all), object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: self._queue[0] is ticket and share <= self._free)
                self._free -= share
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            _return_freed_memory()
            with self._changed:
                self._free += share
                self._changed.notify_all()


def _return_freed_memory() -> None:
    """Hand freed memory back to the system: glibc keeps it for the thread that had it, so 16 threads would keep 16 photos."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """The C library's function. Only glibc has it, and only glibc needs it."""
    import ctypes

    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return found


_lock = threading.Lock()
_budget: MemoryBudget | None = None


def process_budget() -> MemoryBudget:
    """Return the budget that all conversions of this process share.

    :raises SettingsError: the environment variable holds no number above 0.
    """
    global _budget  # noqa: PLW0603 - one per process is the point
    with _lock:
        megabytes = _configured()
        if _budget is None or _budget.megabytes != megabytes:
            _budget = MemoryBudget(megabytes)
        return _budget


def _configured() -> float:
    text = os.environ.get(VARIABLE, "").strip()
    try:
        megabytes = float(text or DEFAULT_MEGABYTES)
    except ValueError:
        megabytes = 0.0
    if not 0 < megabytes < float("inf"):
        raise SettingsError(f"{VARIABLE} takes a number of megabytes above 0, not {text!r}.")
    return megabytes
