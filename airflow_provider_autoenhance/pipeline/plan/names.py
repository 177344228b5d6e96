"""Outputs that the destination has no place for, because of their names: their photos fail before anything is sent or spent."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from pathlib import Path

from airflow_provider_autoenhance.api.errors import DestinationError
from airflow_provider_autoenhance.imaging.naming import folded
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.plan.decide import Decision, Step
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan, Plan
from airflow_provider_autoenhance.storage.base import OWN_PREFIX
from airflow_provider_autoenhance.storage.location import locate, unwritable


def fail_unfit(plan: Plan, job: Job) -> None:
    """Let the photos fail whose outputs cannot be written, and the others go on.

    Where a file would have to be a folder for another one, as ``a.jpg`` for ``a.jpg/b.jpg``, the file stays and the other fails.
    """
    place = locate(job.destination, conn_id=None, error=DestinationError)
    on_disk = place.scheme == "file"

    def unnameable(uri: str) -> str | None:
        path = uri.removeprefix(job.destination)
        return unwritable(replace(place, key=place.key + path, uri=uri))

    for folder in plan.folders:
        _fail(folder, lambda target: unnameable(target) or (_taken(target) if on_disk else None))
    files = set() if place.is_object_store else _written(plan)
    above = _Above(job.destination, files, on_disk=on_disk)
    for folder in plan.folders:
        record = folder.own.uri
        reason = (unnameable(record) or above.reason(record)) if job.durable else None
        if reason:  # not even the record has a place
            folder.readonly = True
        _fail(folder, lambda target, reason=reason: reason or above.reason(target))  # type: ignore[misc]


def fail_clashing(plan: Plan, job: Job) -> None:
    """Let the photos fail that would become one file: what cannot stand in a file's name is replaced, templates leave parts out, and some
    disks ignore case, or how an accent is encoded. The one of which there is an image, or the file, goes on."""
    reasons: dict[str, str] = {}
    for clashing in _clashing(plan, job):
        known = [decision for decision, _ in clashing if not decision.creates and decision.step is not Step.EDIT]
        kept = known[0] if len(known) == 1 else None
        for decision, target in clashing:
            if decision.works and decision is not kept:
                other = next(pair for pair in clashing if pair[0] is not decision)
                reasons.setdefault(
                    decision.photo.fingerprint, _clash((decision.photo, target), (other[0].photo, other[1]))
                )
    for folder in plan.folders if reasons else ():
        folder.decisions[:] = [
            replace(each, step=Step.KEEP, reason=reasons[each.photo.fingerprint])
            if each.works and each.photo.fingerprint in reasons
            else each
            for each in folder.decisions
        ]


def _clashing(plan: Plan, job: Job) -> Iterator[list[tuple[Decision, str]]]:
    """Yield the decisions about different photos that write one file, each with its target."""
    alike: dict[str, list[tuple[Decision, str]]] = defaultdict(list)
    for decision in plan.decisions:
        for target in decision.photo.targets if decision.step is not Step.OMIT else ():
            alike[folded(target)].append((decision, target))
    for found in alike.values():
        if len({(decision.photo.source, decision.photo.original) for decision, _ in found}) > 1:
            first = found[0][1]
            others = [target for _, target in found if target != first]
            if all(_is_folded(job, first, target) for target in others):
                yield found
            else:
                named = ([pair for pair in found if pair[1] == target] for target in dict.fromkeys([first, *others]))
                yield from (each for each in named if len(each) > 1)


def _clash(one: tuple[Photo, str], other: tuple[Photo, str]) -> str:
    """Say why two photos cannot both become their files."""
    if one[1] != other[1]:
        both = f"{one[0].source} and {other[0].source} would become {one[1]} and {other[1]}, which are one file there"
    elif one[0].original or other[0].original:
        return (
            f"{one[0].source} and its premium edit, or another one's, would both become {one[1]}; set dusk_template, for "
            "example to '{folder}{stem}_dusk', and keep {stem} in destination_template"
        )
    else:
        both = f"{one[0].source} and {other[0].source} would both become {one[1]}"
    return f"{both}; rename one, or set destination_template, for example to '{{folder}}{{stem}}-{{fingerprint}}.jpg'"


def _is_folded(job: Job, one: str, other: str) -> bool:
    """Whether a destination takes two names for one. A disk is asked; an object store tells all names apart; of the others nobody knows."""
    place = locate(job.destination, conn_id=None, error=DestinationError)
    if place.scheme != "file":
        return not place.is_object_store
    pair = next(each for each in zip(one.split("/"), other.split("/"), strict=True) if each[0] != each[1])
    try:
        with tempfile.TemporaryDirectory(prefix=OWN_PREFIX, dir=_lowest_folder(place.key)) as probe:
            (Path(probe) / pair[0]).touch()
            return (Path(probe) / pair[1]).exists()
    except OSError:  # in doubt nothing is written over
        return True


def _lowest_folder(path: str) -> Path:
    """The folder, or the lowest one above it that is there."""
    return next(each for each in (Path(path), *Path(path).parents) if each.is_dir())


class _Above:
    """Finds the file that takes the place of a folder.

    :param root: URI of the destination.
    :param files: URIs of what will be files there.
    :param on_disk: look at the disk, too.
    """

    def __init__(self, root: str, files: Container[str], *, on_disk: bool) -> None:
        self._root, self._files, self._on_disk = root, files, on_disk
        self._known: dict[str, str | None] = {}

    def reason(self, uri: str) -> str | None:
        """Say why a file has no folder to lie in, ``None`` where it has one."""
        folder = uri.rpartition("/")[0]
        if len(folder) < len(self._root):
            return None
        if folder not in self._known:
            self._known[folder] = _no_folder(folder) if self._is_file(folder) else self.reason(folder)
        return self._known[folder]

    def _is_file(self, uri: str) -> bool:
        return uri in self._files or (self._on_disk and os.path.lexists(uri) and not os.path.isdir(uri))  # noqa: PTH112


def _written(plan: Plan) -> set[str]:
    kept = (Step.OMIT, Step.KEEP)
    return {target for decision in plan.decisions if decision.step not in kept for target in decision.photo.targets}


def _fail(folder: FolderPlan, unfit: Callable[[str], str | None]) -> None:
    """Keep what would be worked on, and has a target that is unfit, as failed for that reason."""

    def decided(decision: Decision) -> Decision:
        if not decision.works or decision.photo.ungrouped:  # what Autoenhance has yet to group has no names
            return decision
        reason = next(filter(None, map(unfit, decision.photo.targets)), None)
        return replace(decision, step=Step.KEEP, reason=reason) if reason else decision

    folder.decisions[:] = map(decided, folder.decisions)


def _taken(path: str) -> str | None:
    if not os.path.isdir(path):  # noqa: PTH112
        return None
    return f"{path} is a folder, and no file can take its place. Give one of them another name."


def _no_folder(path: str) -> str:
    return f"{path} is a file, and nothing can lie in it. Give one of them another name."
