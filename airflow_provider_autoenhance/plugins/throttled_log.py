"""Log lines that a flood cannot multiply."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field


@dataclass
class ThrottledLog:
    """Counts what happens, and logs each kind at most once a minute: a line says how often it happened since the last.

    :param log: where lines go.
    :param seconds: between two lines of a kind.
    """

    log: logging.Logger
    seconds: float = 60.0
    _counts: dict[str, int] = field(default_factory=dict)
    _next: dict[str, float] = field(default_factory=dict)

    def warning(self, text: str) -> None:
        """Warn. ``text`` has a ``%s`` for the count; it is the kind too."""
        self._count(logging.WARNING, text)

    def info(self, text: str) -> None:
        """Inform. ``text`` has a ``%s`` for the count; it is the kind too."""
        self._count(logging.INFO, text)

    def _count(self, level: int, text: str) -> None:
        self._counts[text] = self._counts.get(text, 0) + 1
        now = time.monotonic()
        if now >= self._next.get(text, 0.0):
            self._next[text] = now + self.seconds
            self.log.log(level, text, self._counts.pop(text))
