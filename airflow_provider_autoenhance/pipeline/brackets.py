"""Which photos are exposures of one picture. The rules, with examples, are in docs/brackets.md."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.imaging import sniff
from airflow_provider_autoenhance.imaging.exif import CaptureFacts
from airflow_provider_autoenhance.pipeline.bracket_runs import cut_into_brackets

Brackets = Literal["none", "auto", "exif"] | int

MAX_EXPOSURES = 9
"""Autoenhance merges up to 9 exposures into one image (its help centre)."""

_MODES: tuple[Literal["none", "auto", "exif"], ...] = ("none", "auto", "exif")
_NAMES_TOLD = 5
_KEPT_FIRST = (sniff.TIFF, sniff.PNG, sniff.HEIC, sniff.AVIF, sniff.JPEG, sniff.WEBP)


@dataclass(frozen=True)
class Shot:
    """One photo of a folder.

    :param path: its folder and name, unique; ``/`` between folders.
    :param facts: what its EXIF tells, None where that was not read.
    """

    path: str
    facts: CaptureFacts | None = None

    @property
    def folder(self) -> str:
        """Path of the folder, empty for none."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """File name."""
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """File name without its extension."""
        return self.name.rpartition(".")[0] or self.name


@dataclass(frozen=True)
class BracketGroup:
    """Photos that become one image.

    :param shots: 1 to 9, in capture order.
    :param reason: why they belong together, or stand alone.
    """

    shots: tuple[Shot, ...]
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """A photo that is not sent.

    :param reason: names the photo that is sent instead, and the way to change that.
    """

    shot: Shot
    reason: str


@dataclass(frozen=True)
class Grouping:
    """Where each photo goes: into exactly one of ``groups``, ``ungrouped`` and ``left_out``.

    :param groups: one image each, in the order of their first file names.
    :param ungrouped: photos that Autoenhance is to group, only with ``"auto"``.
    :param left_out: photos that show the same shot as another file.
    :param warnings: one line each, for the log and the report.
    """

    groups: tuple[BracketGroup, ...] = ()
    ungrouped: tuple[Shot, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()


def check_brackets(brackets: str | int) -> Brackets:
    """Return the argument as :func:`group_shots` takes it; a number may be text, as templates render it.

    :raises SettingsError: it is nothing of what there is.
    """
    text = str(brackets).strip().lower()
    for mode in _MODES:
        if text == mode:
            return mode
    if not isinstance(brackets, bool) and text.isdecimal() and 2 <= int(text) <= MAX_EXPOSURES:
        return int(text)
    raise SettingsError(
        f"brackets={brackets!r} is not one of 'none', 'auto', 'exif' and the numbers 2 to {MAX_EXPOSURES}."
    )


def group_shots(shots: Iterable[Shot], brackets: str | int) -> Grouping:
    """Group photos. The order in which they come does not matter: file names and capture times do.

    :param brackets: ``"exif"`` (by camera, capture time and exposure), ``"auto"`` (Autoenhance groups), ``"none"``, or
        a number from 2 to 9 (so many in a row, by file name).
    :raises SettingsError: ``brackets`` is none of these.
    """
    mode = check_brackets(brackets)
    ordered = sorted(shots, key=_file_order)
    if mode == "none":
        return Grouping(groups=tuple(BracketGroup((shot,), "brackets are off") for shot in ordered))
    taken, left_out = _without_twins(ordered)
    warnings = _warnings_of_twins(left_out)
    if mode == "auto":
        return Grouping(ungrouped=tuple(taken), left_out=tuple(left_out), warnings=tuple(warnings))
    found: list[BracketGroup] = []
    for folder, inside in _by_folder(taken).items():
        groups, told = _by_exif(inside) if mode == "exif" else _by_number(inside, mode)
        found += sorted(groups, key=lambda group: min(map(_file_order, group.shots)))
        warnings += [f"{folder or 'source folder'}: {line}" for line in told]
    return Grouping(groups=tuple(found), left_out=tuple(left_out), warnings=tuple(warnings))


def _file_order(shot: Shot) -> tuple[tuple[tuple[int | str, ...], ...], str]:
    """Folder by folder, numbers in names as numbers: 9 comes before 10."""
    parts = (re.split(r"(\d+)", part.casefold()) for part in (shot.folder, shot.name))
    return tuple(tuple(int(text) if n % 2 else text for n, text in enumerate(part)) for part in parts), shot.path


def _by_folder(shots: Iterable[Shot]) -> dict[str, list[Shot]]:
    folders: dict[str, list[Shot]] = defaultdict(list)
    for shot in shots:
        folders[shot.folder].append(shot)
    return folders


def _without_twins(shots: Sequence[Shot]) -> tuple[list[Shot], list[LeftOut]]:
    """Of several files of one shot (RAW and JPEG), keep the RAW: it holds more light and shadow to merge."""
    together: dict[tuple[str, str], list[Shot]] = defaultdict(list)
    for shot in shots:
        together[shot.folder, shot.stem.casefold()].append(shot)
    kept: dict[str, Shot] = {}
    for alike in together.values():
        best = min(alike, key=_preference)
        for shot in alike:
            if _format(shot) is not _format(best) and _same_moment(shot, best):
                kept[shot.path] = best
    left_out = [
        LeftOut(
            shot,
            f"the same shot as {kept[shot.path].name}, which is taken instead; "
            f"exclude '*.{kept[shot.path].name.rpartition('.')[2]}' to have this one.",
        )
        for shot in shots
        if shot.path in kept
    ]
    return [shot for shot in shots if shot.path not in kept], left_out


def _format(shot: Shot) -> sniff.ImageFormat | None:
    ending = "." + shot.name.rpartition(".")[2].lower()
    return next((form for form in sniff.FORMATS if ending in form.extensions), None)


def _preference(shot: Shot) -> int:
    form = _format(shot)
    if form is not None and form.raw and form.accepted:
        return 0
    return 1 + (_KEPT_FIRST.index(form) if form in _KEPT_FIRST else len(_KEPT_FIRST))


def _same_moment(one: Shot, other: Shot) -> bool:
    """Whether the capture times agree, as far as known; an edited file may have lost the fraction of a second."""
    first, second = (shot.facts.captured_at if shot.facts else None for shot in (one, other))
    return first is None or second is None or abs((first - second).total_seconds()) < 1


def _warnings_of_twins(left_out: Sequence[LeftOut]) -> list[str]:
    folders = _by_folder(each.shot for each in left_out)
    return [
        f"{folder or 'source folder'}: left out as second files of shots that are taken in another format: {_told(inside)}."
        for folder, inside in folders.items()
    ]


def _by_number(shots: Sequence[Shot], number: int) -> tuple[list[BracketGroup], list[str]]:
    groups = [
        BracketGroup(tuple(shots[at : at + number]), f"{number} in a row by file name")
        for at in range(0, len(shots), number)
    ]
    rest = groups[-1].shots
    if len(rest) == number:
        return groups, []
    groups[-1] = BracketGroup(rest, f"the last {len(rest)} by file name")
    return groups, [
        f"{len(shots)} photos do not make brackets of {number}; the last one has {len(rest)}: {_told(rest)}. "
        "Look for a missing or superfluous photo: every later group may be shifted."
    ]


def _by_exif(shots: Sequence[Shot]) -> tuple[list[BracketGroup], list[str]]:
    groups: list[BracketGroup] = []
    warnings: list[str] = []
    cameras: dict[tuple[object, ...], list[tuple[Shot, CaptureFacts]]] = defaultdict(list)
    unknown = []
    for shot in shots:
        facts = shot.facts
        if facts is None or facts.captured_at is None or facts.exposure_time is None:
            unknown.append(shot)
            groups.append(BracketGroup((shot,), "no capture time and exposure in its EXIF"))
        else:
            cameras[_camera(shot, facts)].append((shot, facts))
    if unknown:
        warnings.append(
            f"without capture time and exposure in EXIF, each becomes an image of its own: {_told(unknown)}; "
            "set brackets to a number to group by file name."
        )
    for pairs in cameras.values():
        pairs.sort(key=lambda pair: (pair[1].captured_at, _file_order(pair[0])))
        begin = 0
        for size in cut_into_brackets([facts for _, facts in pairs]):
            groups += _parts(pairs[begin : begin + size], warnings)
            begin += size
    return groups, warnings


def _camera(shot: Shot, facts: CaptureFacts) -> tuple[object, ...]:
    """What all shots of a bracket share. RAW and developed photos are not merged into each other."""
    form = _format(shot)
    return facts.make, facts.model, facts.serial_number, facts.lens, form is not None and form.raw


def _parts(pairs: Sequence[tuple[Shot, CaptureFacts]], warnings: list[str]) -> list[BracketGroup]:
    """One group, or several of nearly the same size where there are more exposures than Autoenhance merges."""
    if len(pairs) == 1:
        return [BracketGroup((pairs[0][0],), "a single shot")]
    values = [facts.exposure_value or 0.0 for _, facts in pairs]
    reason = f"{len(pairs)} exposures over {max(values) - min(values):.1f} EV"
    shots = tuple(shot for shot, _ in pairs)
    count = math.ceil(len(shots) / MAX_EXPOSURES)
    if count == 1:
        return [BracketGroup(shots, reason)]
    warnings.append(
        f"{len(shots)} exposures in a row are more than the {MAX_EXPOSURES} that Autoenhance merges, so they become "
        f"{count} images: {_told(shots)}."
    )
    bounds = [len(shots) * n // count for n in range(count + 1)]
    return [
        BracketGroup(shots[begin:end], f"part {n} of {count} of {reason}")
        for n, (begin, end) in enumerate(pairwise(bounds), 1)
    ]


def _told(shots: Sequence[Shot]) -> str:
    names = ", ".join(shot.name for shot in shots[:_NAMES_TOLD])
    more = len(shots) - _NAMES_TOLD
    return names if more <= 0 else f"{names} and {more} more"
