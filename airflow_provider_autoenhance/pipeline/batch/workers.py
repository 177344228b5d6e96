"""Work done by many threads, while the thread that hands it out looks on and may bring more."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

#: Pieces of work that are begun or lie ready, per thread: enough that none waits for the next.
_READY_PER_THREAD = 2


class Workers(Generic[T]):
    """A bounded number of threads. Made by :func:`workers`; all its methods are for the thread that made it.

    :param done: gets the result of each piece of work, in that thread too.
    """

    def __init__(self, pool: ThreadPoolExecutor, ready: int, done: Callable[[T], None]) -> None:
        self._pool = pool
        self._ready = ready
        self._done = done
        self._ahead: deque[Iterator[Callable[[], T]]] = deque()
        self._begun = 0
        self._ended: SimpleQueue[Future[T]] = SimpleQueue()

    def add(self, work: Iterable[Callable[[], T]]) -> None:
        """Hand out more work; it is begun in its order, as threads get free."""
        self._ahead.append(iter(work))
        self._begin()

    def work(self, seconds: float | None = None) -> None:
        """Take results for so long, or until all work is done.

        :raises Exception: what a piece of work raised.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while self._begun or until:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return
            try:
                future = self._ended.get(timeout=left)
            except Empty:
                return
            self._begun -= 1
            self._done(future.result())
            self._begin()

    def take_rest(self) -> None:
        """Take the results that nobody has taken yet, once all threads have ended."""
        while not self._ended.empty():
            future = self._ended.get()
            if not future.cancelled() and future.exception() is None:
                self._done(future.result())

    def _begin(self) -> None:
        while self._ahead and self._begun < self._ready:
            piece = next(self._ahead[0], None)
            if piece is None:
                self._ahead.popleft()
            else:
                self._pool.submit(piece).add_done_callback(self._ended.put)
                self._begun += 1


@contextmanager
def workers(size: int, done: Callable[[T], None]) -> Iterator[Workers[T]]:
    """Run a thread pool for the duration of the block. On error, wait for running work and drop the rest.

    :param size: how many pieces of work run at a time.
    """
    pool = ThreadPoolExecutor(size, thread_name_prefix="autoenhance")
    made = Workers(pool, _READY_PER_THREAD * size, done)
    try:
        yield made
    finally:
        pool.shutdown(cancel_futures=True)
        made.take_rest()
