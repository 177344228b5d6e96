"""Photos that records name and whose source files are not there any more: taken away after pick-up, or behind addresses that have expired.

What Autoenhance has of them lands all the same. Nothing of them is uploaded.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from airflow_provider_autoenhance.api.errors import DestinationError, SourceError
from airflow_provider_autoenhance.api.shown import counted, last_part, quoted
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Folder, Photo, as_exposure, merged_photo, single_photo
from airflow_provider_autoenhance.pipeline.plan.decide import Decision, Step, sourceless
from airflow_provider_autoenhance.pipeline.plan.listing import group_of, is_asked_for, make_folder
from airflow_provider_autoenhance.pipeline.records import (
    KEPT,
    Record,
    Row,
    Rows,
    folder_of,
    is_record,
    made_of,
    read_record,
    record_uri,
)
from airflow_provider_autoenhance.pipeline.sources import Found
from airflow_provider_autoenhance.storage import StoredFile

log = logging.getLogger(__name__)


@dataclass
class Vanished:
    """What records say of photos of a folder that are not listed.

    :param photos: what goes on, without its bytes.
    :param loose: exposures that Autoenhance groups, or has grouped.
    :param missed: rows of what does not go on here, and has not landed.
    """

    photos: list[Photo] = field(default_factory=list)
    loose: list[Photo] = field(default_factory=list)
    missed: list[Row] = field(default_factory=list)

    @property
    def exposures(self) -> set[str]:
        """URIs of all files of merged photos that go on: those of them that are listed belong there."""
        return {file.source for photo in self.photos for file in photo.exposures}


def find_vanished(
    job: Job,
    folder: Folder,
    own: Record,
    others: Iterable[Row],
    rows: Rows,
    *,
    is_present: Callable[[Photo, Row], bool],
) -> Vanished:
    """Find what has to go on, or to be named, though it is not listed.

    Of this run, that is all but what landed and was taken away since; of earlier runs, what they have bought and not landed.

    :param others: rows of other runs that have not landed.
    :param rows: what is known of each fingerprint.
    :param is_present: whether a photo's outputs are there.
    """
    listed = _Listed(folder.photos)
    found = Vanished()
    grouped: set[str] = set()
    sets: list[Photo] = []
    for fingerprint in (each for each in own.rows if each not in listed.fingerprints):
        row = own.rows[fingerprint]
        if not listed.lacks(row):
            continue
        photo, named = _recall(job, row)
        if photo is None or listed.is_taken(photo):
            found.missed += [row] if row.status != "landed" else []
        elif photo.ungrouped:
            sets.append(photo)
        else:
            grouped.update(file.fingerprint for file in photo.exposures)
            if row.status != "landed" or named or is_present(photo, row):
                found.photos.append(photo)
    loose = {file.fingerprint: file for each in sets for file in each.exposures if file.source not in listed.files}
    found.loose = [file for fingerprint, file in loose.items() if fingerprint not in grouped]
    for row in others:
        if row.fingerprint in listed.fingerprints or not listed.lacks(row) or not _lies_in(job, folder, row):
            continue
        photo, _ = _recall(job, row)
        if photo is not None and not (photo.ungrouped and _have_landed(photo.exposures, rows)):
            if row.credits and row.image_id and not job.preview and not listed.is_taken(photo):
                found.photos.append(photo)
            else:
                found.missed.append(row)
    return found


def _have_landed(exposures: Iterable[Photo], rows: Rows) -> bool:
    """Whether Autoenhance has grouped exposures into photos, and all have landed."""
    landed = {each["source"] for row in rows.values() if row.status == "landed" for each in row.exposures}
    return landed.issuperset(exposure.source for exposure in exposures)


def is_missed(row: Row) -> bool:
    """Whether another run has left a photo that nobody has landed: it waits for it, has bought it, or has put it off."""
    return row.status in ("pending", "postponed") or (row.status == "failed" and bool(row.credits))


def goes_on(decision: Decision, row: Row | None, *, mine: bool, named: bool) -> Decision | None:
    """Decide about a photo without its bytes, from what would be done with them.

    :param row: what is known of it.
    :param mine: this run's own record names it.
    :param named: it is asked for by its own name.
    :returns: ``None``: it is left out.
    """
    if mine:
        never_up = row is not None and row.status in ("failed", "held") and not row.image_id
        if never_up and not named and (decision.creates or not decision.works):
            return None
    elif not (decision.paid and decision.works and not decision.creates):
        return None
    if decision.creates:
        lost = row is not None and not decision.image_id
        kept = replace(decision, image_id=row.image_id, order_id=row.order_id) if row is not None and lost else decision
        paid = row is not None and bool(row.credits)
        return replace(kept, step=Step.KEEP, paid=paid, reason=sourceless(decision.reason))
    if decision.step is Step.KEEP and not (row is not None and row.status in ("failed", "postponed")):
        return replace(decision, reason=sourceless(decision.reason))
    return decision


def warnings_of(missed: Iterable[Row], others: Mapping[str, Record]) -> Iterator[str]:
    """Name what has not landed, in a line for each run.

    :param others: records of other runs, by id.
    """
    by_run: dict[str, list[Row]] = defaultdict(list)
    for row in missed:
        by_run[row.run].append(row)
    for run, rows in by_run.items():
        what = f"{counted(len(rows), 'photo')} (such as {quoted(last_part(rows[0].source))}): not landed, and the source file is gone"
        if run in others:
            yield f"{what}. Clear the task of {others[run].origin}, and it lands what Autoenhance has of it."
        else:
            yield f"{what}; another photo becomes its file."


def check_lost(lost: Mapping[str, SourceError], photos: Iterable[Photo]) -> None:
    """Let pass what is wrong with a source of which a record names what was there.

    :param lost: by its URI.
    :param photos: those whose bytes are gone.
    :raises SourceError: it is wrong.
    """
    gone = [file.source for photo in photos for file in photo.files] if lost else []
    for uri, error in lost.items():
        if not any(source == uri or (uri.endswith("/") and source.startswith(uri)) for source in gone):
            raise error


def emptied_folders(
    job: Job, listed: Iterable[str], known: Iterable[Record], present: Mapping[str, StoredFile]
) -> Iterator[Folder]:
    """Yield the folders of whose photos none is listed any more: those of which this run has a record, and those in which another one
    has left photos that have not landed.

    :param listed: ids of this run's records of the other folders.
    :param known: records that have been read already.
    :param present: the files at the destination, by URI.
    """
    read = {record.uri: record for record in known}
    yielded = set(listed)
    with ThreadPoolExecutor(job.concurrency, thread_name_prefix="autoenhance-emptied") as pool:
        uris = _records_to_read(job, yielded, present)
        for record in pool.map(lambda uri: read.get(uri) or _read(job, uri), uris):
            for folder in _folders_of(job, record) if record else ():
                if (key := job.key(folder.source, folder.destination)) not in yielded:
                    yielded.add(key)
                    yield replace(folder, photos=())


def _records_to_read(job: Job, listed: Container[str], present: Mapping[str, StoredFile]) -> list[str]:
    """URIs of this run's records of other folders, and of others' that Autoenhance may have images for."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for uri in filter(is_record, present):
        if uri.rpartition("/")[2].removesuffix(".jsonl") not in listed:
            by_folder[folder_of(uri)].append(uri)
    since = datetime.now(UTC) - KEPT
    found: list[str] = []
    for destination, uris in by_folder.items():
        own = _own_records(job, destination)
        for uri in uris:
            written = present[uri].modified
            if own is None or uri in own or written is None or written > since:
                found.append(uri)
    return found


def _read(job: Job, uri: str) -> Record | None:
    """Read a record; ``None`` where it is damaged, which stops its own folder alone.

    :raises DestinationError: another try may help.
    """
    try:
        return read_record(uri, job.destination_conn_id)
    except DestinationError as error:
        if error.retryable:
            raise
        log.warning("%s", error)
        return None


def _folders_of(job: Job, record: Record) -> Iterator[Folder]:
    mine = record.origin == job.origin
    groups: dict[tuple[str, str], list[Photo]] = defaultdict(list)
    for row in record.rows.values() if mine else filter(is_missed, record.rows.unlanded()):
        if not row.edit:
            source, etag, size = min(made_of(row), key=str)
            if (found := _found(job, source, etag, size)) is not None:
                groups[group_of(job, found)].append(single_photo(job, found))
    for (root, path), photos in groups.items():
        folder = make_folder(job, root, path, photos)
        if not mine or job.key(folder.source, folder.destination) == record.run:
            yield folder


def _own_records(job: Job, destination: str) -> set[str] | None:
    """URIs that this run's records in a folder of outputs have; ``None`` where a template moves files, so that any may be this run's."""
    if job.destination_template is not None and destination == job.destination:
        return None
    if job.group_by == "all":
        sources = {job.sources.uris[0]}
    else:
        path = destination.removeprefix(job.destination)
        sources = {location.uri.rpartition("/")[0] + "/" for location in job.sources.locations if not path}
        for location in job.sources.locations:
            prefix = job.sources.prefix(location)
            if location.uri.endswith("/") and path.startswith(prefix):
                sources.add(location.uri + path.removeprefix(prefix))
    return {record_uri(destination, job.key(source, destination)) for source in sources}


def _recall(job: Job, row: Row) -> tuple[Photo | None, bool]:
    """Make a row's photo again; ``None`` where it is not one of this job. Say, too, whether a source names it."""
    files = [(str(each["source"]), each.get("etag"), each["size"]) for each in row.exposures]
    found = [_found(job, *file) for file in files or [(row.source, row.etag, row.size)]]
    whole: list[Found] = [each for each in found if each is not None]
    if len(whole) < len(found):
        return None, False
    singles = [replace(single_photo(job, each), gone=True) for each in whole]
    photos = singles
    if files:
        exposures = [as_exposure(job, each) for each in singles]
        photos = [merged_photo(job, exposures, ungrouped=ungrouped) for ungrouped in (False, True)]
    named = all(each.named for each in whole)
    return next((photo for photo in photos if photo.fingerprint == row.fingerprint), None), named


def _found(job: Job, uri: str, etag: str | None, size: int) -> Found | None:
    """Say how a file that a record names was found; ``None`` where this job would not list it, and so cannot miss it."""
    found = job.sources.recall(StoredFile(uri, size, etag))
    return found if found is not None and is_asked_for(job, found) else None


def _lies_in(job: Job, folder: Folder, row: Row) -> bool:
    return job.group_by == "all" or row.source.rpartition("/")[0] + "/" == folder.source


class _Listed:
    """What a folder's listing says."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._photos = photos
        self._targets: set[str] | None = None
        self.fingerprints = {photo.fingerprint for photo in photos}
        self.files = {photo.source: (photo.etag, photo.size) for photo in photos}

    def lacks(self, row: Row) -> bool:
        """Whether a file of a row's photo is not there. One that is there with other bytes is another photo."""
        if row.edit:
            return False
        files = made_of(row)
        changed = any(self.files.get(source, (etag, size)) != (etag, size) for source, etag, size in files)
        return not changed and any(source not in self.files for source, _, _ in files)

    def is_taken(self, photo: Photo) -> bool:
        """Whether a listed photo, that it is not made from, becomes its file."""
        if self._targets is None:
            self._targets = {target for each in self._photos for target in each.targets}
        own = {target for each in self._photos if each.source == photo.source for target in each.targets}
        return not (set(photo.targets) - own).isdisjoint(self._targets)
