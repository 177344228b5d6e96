"""Tells which uploaded exposures belong to one photo: by capture time and exposure steps, else by likeness."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from airflow_provider_autoenhance.sandbox.photo.decoding import PixelError, decode

MAX_BRACKETS = 9
MAX_GAP_SECONDS = 4.0
MIN_STEP_EV = 0.3
MIN_LIKENESS = 0.75
_THUMBNAIL = (24, 16)
_EXIF_IFD, _MODEL = 0x8769, 0x0110
_EXPOSURE_TIME, _F_NUMBER, _ISO, _BIAS = 0x829A, 0x829D, 0x8827, 0x9204
_TAKEN, _SUBSECOND = 0x9003, 0x9291


@dataclass(frozen=True)
class Shot:
    bracket_id: str
    name: str
    path: Path


@dataclass(frozen=True)
class Capture:
    """What the camera wrote; ``exposure`` in EV, bigger = brighter."""

    model: str
    at: float
    seconds: float
    exposure: float


def group_shots(shots: list[Shot]) -> list[list[str]]:
    """
    Group exposures.

    :returns: bracket ids per photo; what fits nowhere stands alone.
    """
    captures = {shot.bracket_id: _capture(shot.path) for shot in shots}
    timed = sorted(
        (shot for shot in shots if captures[shot.bracket_id]),
        key=lambda shot: (_known(captures, shot).model, _known(captures, shot).at),
    )
    untimed = [shot for shot in shots if not captures[shot.bracket_id]]
    return [*_group_by_capture(timed, captures), *_group_by_likeness(untimed)]


def _known(captures: dict[str, Capture | None], shot: Shot) -> Capture:
    capture = captures[shot.bracket_id]
    assert capture is not None  # noqa: S101 - callers pass timed shots only
    return capture


def _group_by_capture(shots: list[Shot], captures: dict[str, Capture | None]) -> list[list[str]]:
    groups: list[list[Shot]] = []
    for shot in shots:
        capture = _known(captures, shot)
        if groups and _continues([_known(captures, other) for other in groups[-1]], capture):
            groups[-1].append(shot)
        else:
            groups.append([shot])
    return [[shot.bracket_id for shot in group] for group in groups]


def _continues(group: list[Capture], capture: Capture) -> bool:
    last = group[-1]
    gap = capture.at - last.at - last.seconds
    new_step = all(abs(capture.exposure - other.exposure) >= MIN_STEP_EV for other in group)
    return len(group) < MAX_BRACKETS and capture.model == last.model and gap <= MAX_GAP_SECONDS and new_step


def _capture(path: Path) -> Capture | None:
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            details = exif.get_ifd(_EXIF_IFD)
            taken = datetime.strptime(str(details[_TAKEN]), "%Y:%m:%d %H:%M:%S")
            fraction = float(f"0.{str(details.get(_SUBSECOND, '0')).strip() or '0'}")
            return Capture(str(exif.get(_MODEL, "")), taken.timestamp() + fraction, *_exposure(details))
    except Exception:  # noqa: BLE001 - broken EXIF raises anything
        return None


def _exposure(details: dict[int, Any]) -> tuple[float, float]:
    seconds = float(details[_EXPOSURE_TIME])
    iso = details.get(_ISO, 100)
    iso = float(iso[0] if isinstance(iso, tuple) else iso)
    aperture = float(details.get(_F_NUMBER) or 1.0)
    return seconds, log2(seconds) + log2(iso / 100.0) - 2.0 * log2(aperture)


def _group_by_likeness(shots: list[Shot]) -> list[list[str]]:
    """Put a shot with its predecessor when both show the same scene at another brightness."""
    groups: list[list[str]] = []
    last: npt.NDArray[np.float32] | None = None
    for shot in shots:
        current = _ranks(shot)
        alike = last is not None and current is not None and float(np.mean(last * current)) >= MIN_LIKENESS
        if groups and alike and len(groups[-1]) < MAX_BRACKETS:
            groups[-1].append(shot.bracket_id)
        else:
            groups.append([shot.bracket_id])
        last = current
    return groups


def _ranks(shot: Shot) -> npt.NDArray[np.float32] | None:
    """Return the brightness order of a thumbnail, standardised: what stays when only the exposure changes."""
    try:
        picture = decode(shot.path, shot.name, 1000.0)
    except PixelError:
        return None
    thumbnail = np.asarray(Image.fromarray(picture.pixels).convert("L").resize(_THUMBNAIL, Image.Resampling.BOX))
    ranks = thumbnail.ravel().argsort().argsort().astype(np.float32)
    return np.asarray((ranks - ranks.mean()) / (ranks.std() + 1e-6), np.float32)
