"""How far a batch is, in the log, a line every few seconds at most."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from airflow_provider_autoenhance.api.shown import counted


class Progress:
    """Counts photos and bytes; those that failed were not moved.

    :param total: photos to be moved, as far as that is known.
    :param verb: what happens to them: ``Uploaded``, ``Landed``.
    :param every: seconds between lines.
    """

    def __init__(
        self,
        log: logging.Logger,
        total: int,
        verb: str,
        *,
        every: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._total, self._verb, self._every, self._clock = log, total, verb, every, clock
        self._lock = threading.Lock()
        self._began = self._written = clock()
        self.done = self.failed = self.bytes = 0

    def add(self, *, size: int = 0, failed: bool = False) -> None:
        """Count a photo; write a line when it is time."""
        with self._lock:
            self.done += 1
            self._total = max(self._total, self.done)  # premium edits come in when their photos have landed
            self.failed += failed
            self.bytes += size
            now = self._clock()
            if now - self._written < self._every and self.done < self._total:
                return
            self._written = now
            seconds = max(now - self._began, 1e-6)
            left = seconds / self.done * (self._total - self.done)
            self._log.info(
                "%s %s of %s, %.1f MB/s, %s failed%s",
                self._verb,
                self.done - self.failed,
                counted(self._total, "photo"),
                self.bytes / seconds / 1e6,
                self.failed,
                f", about {left:.0f} s to go" if self.done < self._total else f", in {seconds:.0f} s",
            )
