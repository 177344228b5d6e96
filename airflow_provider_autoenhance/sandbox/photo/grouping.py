"""Grouping: which uploaded exposures become one photo, by capture time and exposure steps, else by likeness."""

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
from airflow_provider_autoenhance.sandbox.photo.opening import opened

MAX_EXPOSURES = 9
MAX_GAP_SECONDS = 4.0
MIN_STEP_EV = 0.3
MIN_LIKENESS = 0.75
_THUMBNAIL = (24, 16)
_EXIF_IFD, _MODEL = 0x8769, 0x0110
_EXPOSURE_TIME, _F_NUMBER, _ISO, _BIAS = 0x829A, 0x829D, 0x8827, 0x9204
_TAKEN, _SUBSECOND = 0x9003, 0x9291


@dataclass(frozen=True)
class ExposureFile:
    """An uploaded exposure.

    :param exposure_id: its id.
    :param name: file name as registered.
    :param path: the file.
    """

    exposure_id: str
    name: str
    path: Path


@dataclass(frozen=True)
class Capture:
    """What the camera wrote into a file.

    :param model: of the camera.
    :param at: when it was taken, in seconds since the epoch.
    :param seconds: exposure time.
    :param ev: exposure value; bigger is brighter.
    """

    model: str
    at: float
    seconds: float
    ev: float


def find_brackets(files: list[ExposureFile]) -> list[list[str]]:
    """Find the exposures that belong together.

    :param files: uploaded exposures of one order.
    :returns: exposure ids per bracket; an exposure that fits nowhere is alone.
    """
    timed, untimed = [], []
    for file in files:
        capture = _capture(file.path)
        if capture:
            timed.append((capture, file.exposure_id))
        else:
            untimed.append(file)
    timed.sort(key=lambda pair: (pair[0].model, pair[0].at))
    return [*_group_by_capture(timed), *_group_by_likeness(untimed)]


def _group_by_capture(timed: list[tuple[Capture, str]]) -> list[list[str]]:
    groups: list[list[tuple[Capture, str]]] = []
    for capture, exposure_id in timed:
        if groups and _continues([other for other, _ in groups[-1]], capture):
            groups[-1].append((capture, exposure_id))
        else:
            groups.append([(capture, exposure_id)])
    return [[exposure_id for _, exposure_id in group] for group in groups]


def _continues(group: list[Capture], capture: Capture) -> bool:
    last = group[-1]
    gap = capture.at - last.at - last.seconds
    new_step = all(abs(capture.ev - other.ev) >= MIN_STEP_EV for other in group)
    return len(group) < MAX_EXPOSURES and capture.model == last.model and gap <= MAX_GAP_SECONDS and new_step


def _capture(path: Path) -> Capture | None:
    try:
        with opened(path, look=True) as image:
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


def _group_by_likeness(files: list[ExposureFile]) -> list[list[str]]:
    """Put an exposure with its predecessor when both show the same scene at another brightness."""
    groups: list[list[str]] = []
    last: npt.NDArray[np.float32] | None = None
    for file in files:
        current = _ranks(file)
        alike = last is not None and current is not None and float(np.mean(last * current)) >= MIN_LIKENESS
        if groups and alike and len(groups[-1]) < MAX_EXPOSURES:
            groups[-1].append(file.exposure_id)
        else:
            groups.append([file.exposure_id])
        last = current
    return groups


def _ranks(file: ExposureFile) -> npt.NDArray[np.float32] | None:
    """Return the brightness order of a thumbnail, standardised. It stays the same when only the exposure changes."""
    try:
        picture = decode(file.path, file.name, 1000.0)
    except PixelError:
        return None
    thumbnail = np.asarray(Image.fromarray(picture.pixels).convert("L").resize(_THUMBNAIL, Image.Resampling.BOX))
    ranks = thumbnail.ravel().argsort().argsort().astype(np.float32)
    return np.asarray((ranks - ranks.mean()) / (ranks.std() + 1e-6), np.float32)
