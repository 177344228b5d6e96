"""From a folder's files to the photos that come of them: alone, merged from exposures, or yet to be grouped by Autoenhance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from airflow_provider_autoenhance.imaging.head import Head
from airflow_provider_autoenhance.pipeline.brackets.rules import Shot, group_shots
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo, as_exposure, bytes_of, merged_photo
from airflow_provider_autoenhance.pipeline.plan.heads import read_heads
from airflow_provider_autoenhance.pipeline.records import Record, Row, Rows, made_of
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder


@dataclass
class GroupedFiles:
    """The photos that a folder's files become.

    :param photos: what is known to belong together, or to stand alone.
    :param loose: exposures that Autoenhance has to group, by fingerprint; see :func:`photos_of_loose`.
    :param omitted: files that show the same shot as another, with the reason.
    :param warnings: a line each.
    :param grouping: what a record remembers of it.
    :param heads: the first kilobytes that were read for it, by source.
    """

    photos: list[Photo]
    loose: dict[str, Photo] = field(default_factory=dict)
    omitted: list[tuple[Photo, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    grouping: dict[str, Any] | None = None
    heads: Mapping[str, Head] = field(default_factory=dict)

    @property
    def doubts(self) -> Mapping[str, str]:
        """Why exposures may not belong together, by the source of the first of them."""
        doubts: dict[str, str] = (self.grouping or {}).get("doubts", {})  # groupings of older versions have none
        return doubts


def group_files(job: Job, shots: Sequence[Photo], records: Iterable[Record], rows: Mapping[str, Row]) -> GroupedFiles:
    """Group a folder's files as the job asks.

    :param shots: each file as a single photo, by path.
    :param records: of this folder; one that remembers how the same files were grouped spares reading them.
    :param rows: what is known of each fingerprint.
    :raises AutoenhanceError: the store of the files is in trouble; another try may help.
    """
    if job.brackets == "none":
        return GroupedFiles(list(shots))
    asked = [job.brackets, [[shot.source, shot.etag, shot.size] for shot in shots]]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    by_source = {shot.source: shot for shot in shots}
    remembered = (each.grouping for each in records if each.grouping and each.grouping["key"] == key)
    grouping = next((each for each in remembered if _names_all(each, shots)), None)
    heads: dict[str, Head] = {}
    if grouping is None:
        grouping = {"key": key, **_group(job, shots, heads)}
    groups = [[by_source[source] for source in sources] for sources in grouping["groups"]]
    exposures = [as_exposure(job, by_source[source]) for source in grouping["ungrouped"]]
    loose = {exposure.fingerprint: exposure for exposure in exposures}
    known = _grouped_before(job, loose, rows)
    return GroupedFiles(
        [*(_photo(job, files) for files in groups), *known],
        loose,
        [(by_source[source], reason) for source, reason in grouping["left_out"]],
        grouping["warnings"],
        grouping,
        heads,
    )


def remains(job: Job, shots: Sequence[Photo], rows: Rows) -> dict[str, str]:
    """Find what is left of brackets that were bought, where some of their exposures have been taken away since: it is not bought again.

    :param rows: what is known of each fingerprint.
    :returns: by URI, the exposure that is missed beside it.
    """
    if job.brackets == "none" or job.on_existing == "reenhance":
        return {}
    sources, listed = {shot.source for shot in shots}, frozenset(file for shot in shots for file in bytes_of(shot))
    found: dict[str, str] = {}
    whole: set[str] = set()
    for row in rows.merged() if shots else ():
        files = made_of(row)
        here = [source for source, _, _ in files & listed]
        gone = sorted(source for source, _, _ in files if source not in sources)
        if len(here) == len(files):
            whole.update(here if row.has_image else ())
        elif row.credits and row.has_image and len(here) + len(gone) == len(files):
            found.update(dict.fromkeys(here, gone[0]))
    return {source: gone for source, gone in found.items() if source not in whole}


def leave_out(files: GroupedFiles, shots: Iterable[Photo], missed: Mapping[str, str]) -> None:
    """Leave out of the photos what :func:`remains` of brackets, and name it."""
    for shot in shots:
        gone = missed[shot.source]
        reason = f"it belongs to a bracket that was bought, and {gone} of that is gone"
        files.omitted.append((shot, reason))
        files.warnings = [
            *files.warnings,
            f"{shot.path} is left out: {reason}. Put that back, or have it bought anew of what is left with on_existing='reenhance'.",
        ]


def photos_of_loose(
    job: Job, folder: GroupedFiles, orders: Sequence[BracketOrder], rows: Mapping[str, Row], resumed: bool
) -> list[Photo]:
    """Turn loose exposures into photos, as far as Autoenhance has grouped them; the others are sets that wait for it.

    :param orders: the open orders of brackets.
    :param resumed: the try goes on after a wait; what it has failed to have grouped stands alone then, to be reported.
    """
    loose = dict(folder.loose)
    photos: list[Photo] = []

    def take(files: Sequence[Photo], *, ungrouped: bool) -> None:
        if files:
            photos.append(merged_photo(job, files, ungrouped=ungrouped))
            for file in files:
                del loose[file.fingerprint]

    for order in orders:
        for files in list(order.grouped(loose)):
            take([file for file in files if file.fingerprint in loose], ungrouped=False)
    for order in orders:
        if order.under_way:
            take(order.uploaded(loose), ungrouped=True)
    for file in list(loose.values()) if resumed else ():
        alone = merged_photo(job, [file], ungrouped=True)
        if alone.fingerprint in rows or any(order.refused(alone) for order in orders):
            take([file], ungrouped=True)
    while loose:
        take(list(loose.values())[: job.max_order_size], ungrouped=True)
    return photos


def _grouped_before(job: Job, loose: dict[str, Photo], rows: Mapping[str, Row]) -> list[Photo]:
    """Take out of the loose exposures what the records know, the latest first; what they know in other settings comes after, where its
    image may be enhanced again."""
    by_source = {exposure.source: exposure for exposure in loose.values()}
    latest = sorted((row for row in rows.values() if row.exposures), key=lambda row: row.at, reverse=True)
    photos = []
    for other_settings in (False, True) if job.on_existing == "reprocess" else (False,):
        for row in latest:
            files = [by_source.get(str(each["source"])) for each in row.exposures]
            known = [file for file in files if file is not None and file.fingerprint in loose]
            if len(known) < len(files):
                continue
            photo = merged_photo(job, known)
            # The same bytes, in the same settings; or an image of the same bytes.
            if photo.fingerprint == row.fingerprint or (
                other_settings and row.has_image and made_of(row) == bytes_of(photo)
            ):
                photos.append(photo)
                for file in known:
                    del loose[file.fingerprint]
    return photos


def _names_all(grouping: Mapping[str, Any], shots: Sequence[Photo]) -> bool:
    """Whether a remembered grouping names just these files; a damaged record's may not."""
    left_out = [source for source, _ in grouping["left_out"]]
    named = [*chain(*grouping["groups"]), *grouping["ungrouped"], *left_out]
    return all(grouping["groups"]) and sorted(named) == sorted(shot.source for shot in shots)


def _group(job: Job, shots: Sequence[Photo], heads: dict[str, Head]) -> dict[str, Any]:
    """Group by the rules, in a form that a record can keep.

    :param heads: gets what is read for it.
    """
    facts = {}
    if job.brackets == "exif":
        unread = "stands alone, because its capture time cannot be read"
        # What is grouped now holds for good, and would cost another credit later.
        for source, (head, known) in read_heads(job, shots, unread=unread, needed=True).items():
            heads[source], facts[source] = head, known
    listed = [Shot(shot.source, facts.get(shot.source), shot.size, shot.etag) for shot in shots]
    grouping = group_shots(listed, job.brackets)
    return {
        "groups": [[shot.path for shot in group.shots] for group in grouping.groups],
        "ungrouped": [shot.path for shot in grouping.ungrouped],
        "left_out": [[each.shot.path, each.reason] for each in grouping.left_out],
        "warnings": list(grouping.warnings),
        "doubts": {group.shots[0].path: group.doubt for group in grouping.groups if group.doubt},
    }


def _photo(job: Job, files: Sequence[Photo]) -> Photo:
    return files[0] if len(files) == 1 else merged_photo(job, [as_exposure(job, file) for file in files])
