"""Shots as cameras take them: planned by pauses and exposures, told by their capture facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_autoenhance.imaging.exif import CaptureFacts
from airflow_provider_autoenhance.pipeline.brackets.rules import Shot

NOON = datetime(2026, 5, 14, 12, 0, 0, 130_000)
AEB = (0, -2, 2)
"""The steps of an automatic bracket of three."""

Planned = tuple[float, float]
"""Seconds of pause before a shot, and its exposure in EV from 1/60 s."""


def shots_of(
    plan: Iterable[Planned],
    *,
    first: int = 1,
    folder: str = "house",
    name: str = "IMG_{:04}.JPG",
    biases: Sequence[float | None] | None = None,
    whole_seconds: bool = False,
    stamped_at_end: bool = False,
    start: datetime = NOON,
    **facts: Any,
) -> list[Shot]:
    """Shoot a plan with one camera."""
    shots, clock = [], start
    usual: dict[str, Any] = {"make": "Canon", "model": "EOS", "serial_number": "1", "width": 6000, "height": 4000}
    for number, (pause, exposure) in enumerate(plan):
        seconds = 2.0**exposure / 60
        begin = clock + timedelta(seconds=pause)
        clock = begin + timedelta(seconds=seconds)
        moment = clock if stamped_at_end else begin
        told = CaptureFacts(
            captured_at=moment.replace(microsecond=0) if whole_seconds else moment,
            exposure_time=seconds,
            f_number=8.0,
            iso=100.0,
            exposure_bias=biases[number] if biases else 0.0,
            **(usual | facts),
        )
        shots.append(Shot(f"{folder}/{name.format(first + number)}", told))
    return shots


def bracket(exposures: Sequence[float] = AEB, *, pause: float = 30.0, inside: float = 0.2) -> list[Planned]:
    """Plan a bracket after a pause."""
    return [(pause if n == 0 else inside, exposure) for n, exposure in enumerate(exposures)]
