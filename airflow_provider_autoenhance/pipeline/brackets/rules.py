"""Which photos are exposures of one picture. The rules, with examples, are in docs/brackets.md."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Literal

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.redact import one_line
from airflow_provider_autoenhance.api.shown import counted
from airflow_provider_autoenhance.imaging import sniff
from airflow_provider_autoenhance.imaging.exif import CaptureFacts
from airflow_provider_autoenhance.pipeline.brackets.sequences import cut_into_brackets, rests_on_exposure_alone
from airflow_provider_autoenhance.pipeline.job import Brackets

Timed = tuple["Shot", CaptureFacts, datetime]
"""A shot whose capture time and exposure are known."""

MAX_EXPOSURES = 9
"""Autoenhance merges up to 9 exposures into one image (its help centre)."""

_MODES: tuple[Literal["none", "auto", "exif"], ...] = ("none", "auto", "exif")
_MOST_NAMES = 5
_COPY_MARK = re.compile(r"( ?\(\d+\)|[ _-]+(copy|copie|kopie|copia)( ?\(?\d+\)?)?)$", re.IGNORECASE)
_KEPT_FIRST = (sniff.TIFF, sniff.PNG, sniff.HEIC, sniff.AVIF, sniff.JPEG, sniff.WEBP)


@dataclass(frozen=True)
class Shot:
    """One photo of a folder.

    :param path: its folder and name, unique; ``/`` between folders.
    :param facts: what its EXIF says, None where that was not read.
    :param size: bytes, as its listing says.
    :param etag: likewise.
    """

    path: str
    facts: CaptureFacts | None = None
    size: int | None = None
    etag: str | None = None

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
class ExposureSet:
    """Photos that become one image.

    :param shots: 1 to 9, in capture order.
    :param reason: why they belong together, or stand alone.
    :param doubt: why they may not.
    """

    shots: tuple[Shot, ...]
    reason: str
    doubt: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """A photo that is not sent.

    :param reason: names the photo that is sent instead, and the way to change that.
    """

    shot: Shot
    reason: str


@dataclass(frozen=True)
class GroupedShots:
    """Where each photo goes: into exactly one of ``groups``, ``ungrouped`` and ``left_out``.

    :param groups: one image each, in the order of their first file names.
    :param ungrouped: photos that Autoenhance is to group, only with ``"auto"``.
    :param left_out: photos that show the same shot as another file.
    :param warnings: one line each, for the log and the report.
    """

    groups: tuple[ExposureSet, ...] = ()
    ungrouped: tuple[Shot, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()


def check_brackets(brackets: object) -> Brackets:
    """Return the argument as :func:`group_shots` takes it; a number may be text, as templates render it.

    :raises SettingsError: when it is not one of the modes.
    """
    text = "" if isinstance(brackets, bool) or brackets is None else str(brackets).strip().lower()
    for mode in _MODES:
        if text == mode:
            return mode
    if text.isdecimal() and 2 <= int(text) <= MAX_EXPOSURES:
        return int(text)
    raise SettingsError(
        f"brackets={brackets!r} is not one of 'none', 'auto', 'exif' and the numbers 2 to {MAX_EXPOSURES}."
    )


def group_shots(shots: Iterable[Shot], brackets: str | int) -> GroupedShots:
    """Group photos. The order in which they come does not matter: file names and capture times do.

    :param brackets: ``"exif"`` (by camera, capture time and exposure), ``"auto"`` (Autoenhance groups), ``"none"``, or
        a number from 2 to 9 (so many in a row, by file name).
    :raises SettingsError: ``brackets`` is not one of these.
    """
    mode = check_brackets(brackets)
    ordered = sorted(shots, key=_file_order)
    if mode == "none":
        return GroupedShots(groups=tuple(ExposureSet((shot,), "brackets are off") for shot in ordered))
    taken, left_out = _without_twins(ordered)
    warnings = _warnings_of_twins(left_out)
    if mode == "auto":
        return GroupedShots(ungrouped=tuple(taken), left_out=tuple(left_out), warnings=tuple(map(one_line, warnings)))
    found: list[ExposureSet] = []
    for folder, inside in _by_folder(taken).items():
        groups, notes = _by_exif(inside) if mode == "exif" else _by_number(inside, mode)
        found += sorted(groups, key=lambda group: min(map(_file_order, group.shots)))
        warnings += [f"{folder or 'source folder'}: {line}" for line in notes]
    return GroupedShots(groups=tuple(found), left_out=tuple(left_out), warnings=tuple(map(one_line, warnings)))


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
        f"{folder or 'source folder'}: left out as second files of shots that are taken in another format: {_names(inside)}."
        for folder, inside in folders.items()
    ]


def _by_number(shots: Sequence[Shot], number: int) -> tuple[list[ExposureSet], list[str]]:
    groups = [
        ExposureSet(tuple(shots[at : at + number]), f"{number} in a row by file name")
        for at in range(0, len(shots), number)
    ]
    rest = groups[-1].shots
    if len(rest) == number:
        return groups, []
    groups[-1] = ExposureSet(rest, f"the last {len(rest)} by file name")
    doubt = f"the {len(shots)} photos of its folder cannot be cut into brackets of {number}"
    return [replace(group, doubt=doubt) for group in groups], [
        f"{counted(len(shots), 'photo')} cannot be cut into brackets of {number}; the last one has {len(rest)}: {_names(rest)}. "
        "Look for a missing photo, or one too many: every later group may be shifted."
    ]


def _by_exif(shots: Sequence[Shot]) -> tuple[list[ExposureSet], list[str]]:
    timed: list[Timed] = []
    unknown: list[Shot] = []
    for shot in shots:
        if shot.facts and shot.facts.captured_at and shot.facts.exposure_time:
            timed.append((shot, shot.facts, shot.facts.captured_at))
        else:
            unknown.append(shot)
    groups = [ExposureSet((shot,), "no capture time and exposure in its EXIF") for shot in unknown]
    warnings: list[str] = []
    if unknown:
        warnings.append(
            f"without capture time and exposure in EXIF, each becomes an image of its own: {_names(unknown)}; "
            "set brackets to a number to group by file name."
        )
    sequences, copies = _sequences(timed)
    if copies:
        warnings.append(f"copies of other shots, which become images of their own: {_names(copies)}; exclude them.")
    doubtful: list[Sequence[Timed]] = []
    for sequence in sequences:
        begin = 0
        for size in cut_into_brackets([facts for _, facts, _ in sequence]):
            bracket = sequence[begin : begin + size]
            parts = _parts(bracket, warnings)
            if size > 1 and rests_on_exposure_alone([facts for _, facts, _ in bracket]):
                doubtful.append(bracket)
                parts = [replace(part, doubt="a bracket by exposure alone") for part in parts]
            groups += parts
            begin += size
    if doubtful:
        warnings.append(
            f"{counted(len(doubtful), 'bracket')} by exposure alone, for the camera noted neither automatic bracketing nor steps: "
            f"{_spans(doubtful)}. Where these are different views, set brackets to 'none' or a number."
        )
    return groups, warnings


def _sequences(timed: Sequence[Timed]) -> tuple[list[list[Timed]], list[Shot]]:
    """Each camera's shots in capture order, and which of them are copies.

    A file that was downloaded twice would split its bracket, so second copies are sequences of their own. A clock with
    whole seconds only does not show copies; there the listing does.
    """
    copies: list[Shot] = []
    seen: dict[tuple[object, ...], list[Shot]] = defaultdict(list)
    sequences: dict[tuple[object, ...], list[Timed]] = defaultdict(list)
    for shot, facts, moment in sorted(timed, key=lambda each: len(each[0].name)):  # a copy's name is the longer one
        camera = _camera(shot, facts)
        alike = seen[*camera, moment, facts.exposure_value]
        copy = sum(bool(moment.microsecond) or _is_copy(shot, other) for other in alike)
        alike.append(shot)
        copies += [shot] if copy else []
        sequences[*camera, copy].append((shot, facts, moment))
    for sequence in sequences.values():
        sequence.sort(key=lambda each: (each[2], _file_order(each[0])))
    return list(sequences.values()), copies


def _is_copy(shot: Shot, other: Shot) -> bool:
    """Whether two files hold the same bytes, by their listing; where an etag is not of the content, a copy's name helps."""
    if shot.size is None or shot.size != other.size:
        return False
    return (shot.etag is not None and shot.etag == other.etag) or _without_copy_mark(shot.stem) == other.stem


def _without_copy_mark(stem: str) -> str:
    """``IMG_1`` of ``IMG_1 (1)``, ``IMG_1 - Copy`` and ``IMG_1 copy 2``; as it is without such a mark."""
    return _COPY_MARK.sub("", stem)


def _camera(shot: Shot, facts: CaptureFacts) -> tuple[object, ...]:
    """What all shots of a bracket share. RAW and developed photos are not merged into each other."""
    form = _format(shot)
    return facts.make, facts.model, facts.serial_number, facts.lens, form is not None and form.raw


def _parts(bracket: Sequence[Timed], warnings: list[str]) -> list[ExposureSet]:
    """One group, or several of nearly the same size where there are more exposures than Autoenhance merges."""
    shots = tuple(shot for shot, _, _ in bracket)
    if len(shots) == 1:
        return [ExposureSet(shots, "a single shot")]
    values = [facts.exposure_value or 0.0 for _, facts, _ in bracket]
    reason = f"{len(shots)} exposures over {max(values) - min(values):.1f} EV"
    count = math.ceil(len(shots) / MAX_EXPOSURES)
    if count == 1:
        return [ExposureSet(shots, reason)]
    warnings.append(
        f"{len(shots)} exposures in a row are more than the {MAX_EXPOSURES} that Autoenhance merges, so they become "
        f"{count} images: {_names(shots)}."
    )
    bounds = [len(shots) * n // count for n in range(count + 1)]
    return [
        ExposureSet(shots[begin:end], f"part {n} of {count} of {reason}")
        for n, (begin, end) in enumerate(pairwise(bounds), 1)
    ]


def _names(shots: Sequence[Shot]) -> str:
    names = ", ".join(shot.name for shot in shots[:_MOST_NAMES])
    more = len(shots) - _MOST_NAMES
    return names if more <= 0 else f"{names} and {more} more"


def _spans(brackets: Sequence[Sequence[Timed]]) -> str:
    spans = ", ".join(f"{bracket[0][0].name} to {bracket[-1][0].name}" for bracket in brackets[:_MOST_NAMES])
    more = len(brackets) - _MOST_NAMES
    return spans if more <= 0 else f"{spans} and {more} more"
