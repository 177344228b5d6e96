"""Medians and ranges of repeated measurements."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing."""

    median: float
    least: float
    most: float
    count: int

    def written(self, digits: int = 1) -> str:
        """Write the median, with the range where there is more than one measurement."""
        if self.count == 1:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f} to {self.most:,.{digits}f})"


def spread(values: Iterable[float]) -> Spread:
    """Sum up measurements.

    :raises ValueError: without any.
    """
    taken = sorted(values)
    if not taken:
        raise ValueError("nothing was measured")
    return Spread(statistics.median(taken), taken[0], taken[-1], len(taken))


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of all do not exceed (nearest rank).

    :param percent: above 0, up to 100.
    """
    taken = sorted(values)
    if not taken:
        raise ValueError("nothing was measured")
    rank = -(-len(taken) * percent // 100)
    return taken[max(0, int(rank) - 1)]
