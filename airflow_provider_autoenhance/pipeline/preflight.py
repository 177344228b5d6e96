"""What looks wrong about the photos of a folder before any of them is sent. Pure: it sees what a listing and first kilobytes have shown.

The rules stand in docs/preflight.md. A rule that would name what photographers do every day is none: who reads false alarms reads none.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from airflow_provider_autoenhance.imaging.head import Head

APART_HOURS = 4.0
"""From here on a photo was not taken with the others. A shoot has pauses."""

APART_KILOMETRES = 3.0
"""Likewise. A phone indoors is off by some hundred metres."""

LEAST_SIDE = 640
"""Pixels of the longer side under which a picture is a preview, where no width is asked for."""

ENOUGH = 0.8
"""Part of the width that is asked for: that is a ceiling, and a camera of 4000 pixels serves who asks for at most 4096."""

_LEAST_PHOTOS = 5  # of which the rest of a folder can be made out
_CLOCKS_BEGIN = 1, 1  # a clock that was never set, or has lost its battery, begins at some year's New Year
_MOST_STRAYS = 2  # more are no mistake, but the shots at dusk, or a second day
_MAIN_PART = 0.75  # of the photos, that a folder's rest has at least
_LEAST_BRACKETS, _USUAL_PART = 5, 0.8
_EARTH_KILOMETRES = 6371.0
_KILOMETRES_PER_HOUR = 150.0  # faster than anybody drives between two photos
_DIGEST = re.compile(r"[0-9a-f]{32}(-\d+)?")

DAMAGED, TWICE, SMALL, APART, BRACKET = "damaged", "twice", "small", "apart", "bracket"

#: What is said of photos, by the kind of their doubts.
KINDS = {
    DAMAGED: "damaged, as the first kilobytes show",
    TWICE: "the same content twice",
    SMALL: "too small for what is asked",
    APART: "far from the rest of the folder",
    BRACKET: "a doubtful bracket",
}


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file that a photo is made from.

    :param name: for people.
    :param etag: of its listing.
    :param head: ``None`` where it was not read.
    :param content: a digest of more than its head; the same where the content is.
    """

    name: str
    size: int
    etag: str | None = None
    head: Head | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class SeenPhoto:
    """A photo of a folder.

    :param key: its fingerprint.
    :param files: one, or its exposures.
    :param doubted: it is looked at; else it only stands beside those that are.
    :param bracket: why its exposures may not belong together.
    """

    key: str
    files: Sequence[SeenFile]
    doubted: bool = True
    bracket: str | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """What looks wrong about a photo.

    :param kind: one of :data:`KINDS`.
    :param reason: in words.
    """

    kind: str
    reason: str


def find_doubts(photos: Sequence[SeenPhoto], *, width: int | None) -> dict[str, list[Doubt]]:
    """Find what looks wrong about the photos of one folder.

    :param width: pixels that are asked for; 0: none are; ``None``: size does not matter.
    :returns: by the photo's key.
    """
    found: dict[str, list[Doubt]] = defaultdict(list)
    doubted = {photo.key for photo in photos if photo.doubted}
    for rule in (_damaged, _twice, lambda all_: _small(all_, width), _strays, _brackets):
        for key, doubt in rule(photos):
            if key in doubted:
                found[key].append(doubt)
    return dict(found)


def content_of(size: int, etag: str | None, head: Head | None, whole: int) -> str | None:
    """Return what is the same for files of the same content alone; ``None`` where more has to be read to know that.

    :param whole: bytes up to which a head is all of a file.
    """
    if etag is not None and _DIGEST.fullmatch(etag):  # on a disk it is made of time and size
        return f"{size} {etag}"
    return f"{size} {head.digest}" if head is not None and size <= whole else None


def lines_of(found: Mapping[str, Sequence[Doubt]], names: Mapping[str, str], most: int = 5) -> Iterator[str]:
    """Yield a line for each kind of doubt.

    :param names: of the photos, by key.
    :param most: photos that a line names.
    """
    for kind, told in KINDS.items():
        named = [f"{names[key]} ({each.reason})" for key, all_ in found.items() for each in all_ if each.kind == kind]
        if named:
            more = f" and {len(named) - most} more" if len(named) > most else ""
            yield f"{told}: {', '.join(named[:most])}{more}."


def _damaged(photos: Iterable[SeenPhoto]) -> Iterator[tuple[str, Doubt]]:
    for photo in photos:
        for file in photo.files:
            damage = "it is empty" if not file.size else file.head.damage if file.head is not None else None
            if damage:
                yield photo.key, Doubt(DAMAGED, _about(photo, file, damage))
                break


def _twice(photos: Sequence[SeenPhoto]) -> Iterator[tuple[str, Doubt]]:
    """Doubt the later of two, by name; what stands there already is the first."""
    first: dict[str, str] = {}
    for photo in sorted(photos, key=lambda photo: (photo.doubted, len(photo.files[0].name), photo.files[0].name)):
        for file in photo.files:
            if file.content is not None and file.size:
                known = first.setdefault(file.content, file.name)
                if known != file.name:
                    yield photo.key, Doubt(TWICE, _about(photo, file, f"the same as {known}"))


def _small(photos: Iterable[SeenPhoto], width: int | None) -> Iterator[tuple[str, Doubt]]:
    for photo in photos if width is not None else ():
        pixels = next((file.head.pixels for file in photo.files if file.head and file.head.pixels), None)
        if pixels and max(pixels) < (ENOUGH * width if width else LEAST_SIDE):
            asked = f", and max_width={width} is asked for" if width else ""
            yield photo.key, Doubt(SMALL, f"{pixels[0]} x {pixels[1]} pixels{asked}")


def _strays(photos: Iterable[SeenPhoto]) -> Iterator[tuple[str, Doubt]]:
    heads = {photo.key: photo.files[0].head for photo in photos if photo.files[0].head}
    yield from _strays_in_time(heads)
    yield from _strays_in_space(heads)


def _strays_in_time(heads: Mapping[str, Head]) -> Iterator[tuple[str, Doubt]]:
    """Doubt what one camera, whose clock is the same, took apart from the rest."""
    taken = {key: head.taken for key, head in heads.items() if head.taken and _is_set(head.taken)}
    rest = _rest_of(taken)
    if not rest:
        return
    begin, end = min(taken[key] for key in rest), max(taken[key] for key in rest)
    cameras = {heads[key].camera for key in rest}
    for key, moment in taken.items():
        at_dusk = moment > end and moment.date() == end.date()
        if key not in rest and heads[key].camera in cameras and not at_dusk:
            apart = f"{_long(begin - moment)} before" if moment < begin else f"{_long(moment - end)} after"
            yield key, Doubt(APART, f"taken {apart} the others")


def _strays_in_space(heads: Mapping[str, Head]) -> Iterator[tuple[str, Doubt]]:
    places = {key: head.place for key, head in heads.items() if head.place}
    if len(places) < _LEAST_PHOTOS:
        return
    middle = median(north for north, _ in places.values()), median(east for _, east in places.values())
    away = {key: _kilometres(middle, place) for key, place in places.items()}
    far = {key: distance for key, distance in away.items() if distance > APART_KILOMETRES}
    if len(far) > min(_MOST_STRAYS, (1 - _MAIN_PART) * len(places)):
        return
    near = [heads[key] for key in away if key not in far]
    for key, distance in far.items():
        if not any(_is_too_fast(distance, heads[key], other) for other in near):
            yield key, Doubt(APART, f"taken {distance:.0f} km from the others")


def _is_too_fast(kilometres: float, one: Head, other: Head) -> bool:
    """Whether one camera cannot have been at both places: then it noted where it was before, as it does until it finds itself."""
    if one.taken is None or other.taken is None or one.camera != other.camera:
        return False
    return kilometres > _KILOMETRES_PER_HOUR * (abs(one.taken - other.taken) / timedelta(hours=1))


def _is_set(clock: datetime) -> bool:
    return (clock.month, clock.day) != _CLOCKS_BEGIN


def _rest_of(taken: Mapping[str, datetime]) -> set[str]:
    """Find the photos that were taken together, where nearly all were; none where what stands beside them looks like no mistake."""
    if len(taken) < _LEAST_PHOTOS:
        return set()
    moments = sorted(taken.values())
    parts = [[moments[0]]]
    for one, other in pairwise(moments):
        if other - one <= timedelta(hours=APART_HOURS):
            parts[-1].append(other)
        else:
            parts.append([other])
    main = max(parts, key=len)
    strays = [part for part in parts if part is not main]
    if len(main) < _MAIN_PART * len(taken) or not strays or sum(map(len, strays)) > _MOST_STRAYS:
        return set()
    return {key for key, moment in taken.items() if main[0] <= moment <= main[-1]}


def _brackets(photos: Sequence[SeenPhoto]) -> Iterator[tuple[str, Doubt]]:
    """Name what its grouping doubts, and a bracket with fewer exposures than nearly all others have."""
    sizes = Counter(len(photo.files) for photo in photos if len(photo.files) > 1)
    (usual, number), total = (sizes.most_common(1) or [(0, 0)])[0], sizes.total()
    often = number >= max(_LEAST_BRACKETS, _USUAL_PART * total)
    for photo in photos:
        if photo.bracket:
            yield photo.key, Doubt(BRACKET, photo.bracket)
        elif 1 < len(photo.files) < usual and not _is_chosen(len(photo.files)) and often:
            yield photo.key, Doubt(BRACKET, f"{len(photo.files)} exposures, where the others have {usual}")


def _is_chosen(exposures: int) -> bool:
    """Whether cameras are set to so many: a photographer takes 3 outdoors and 5 indoors."""
    return exposures % 2 == 1


def _about(photo: SeenPhoto, file: SeenFile, reason: str) -> str:
    return reason if len(photo.files) == 1 else f"{file.name}: {reason}"


def _long(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"


def _kilometres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Great-circle distance."""
    (north, east), (north2, east2) = (map(math.radians, place) for place in (one, other))
    half = math.sin((north2 - north) / 2) ** 2 + math.cos(north) * math.cos(north2) * math.sin((east2 - east) / 2) ** 2
    return 2 * _EARTH_KILOMETRES * math.asin(min(1.0, math.sqrt(half)))
