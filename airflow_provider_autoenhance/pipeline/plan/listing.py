"""From folders to groups of photos, with listing calls alone."""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict, deque
from collections.abc import Container, Iterable, Iterator, MutableMapping
from dataclasses import replace

from airflow_provider_autoenhance.api.errors import DestinationError, SettingsError, SourceError
from airflow_provider_autoenhance.api.shown import quoted
from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Job
from airflow_provider_autoenhance.pipeline.photo import Folder, Photo, edited_photo, single_photo
from airflow_provider_autoenhance.pipeline.plan.results import folder_in, result_folders
from airflow_provider_autoenhance.pipeline.records import is_record
from airflow_provider_autoenhance.pipeline.sources import Found, Patterns, SourceFile, refuse_pattern, twice
from airflow_provider_autoenhance.storage import (
    EVERYWHERE,
    StoredFile,
    list_files,
    matches,
    open_destination,
    path_in_store,
    same_store,
)
from airflow_provider_autoenhance.storage.location import Location, locate, on_disk

log = logging.getLogger(__name__)

#: What photographers' computers leave among the photos, and what a batch writes beside its results.
NEVER_PHOTOS = (
    *("._*", f"{RECORDS_FOLDER}/*", f"*/{RECORDS_FOLDER}/*", "autoenhance-manifest*.jsonl"),
    *("autoenhance-gallery*.json", "autoenhance-contact-sheet*.html"),
)

#: Under a destination, what no plan needs to know of: two for each photo.
_THUMBNAILS = f"*{RECORDS_FOLDER}/thumbnails/*"


def list_folders(job: Job, lost: MutableMapping[str, SourceError]) -> list[Folder]:
    """List the sources into groups of single photos, each sorted by path.

    :param lost: gets what is wrong with a source, by its URI: it cannot be opened; or it has no photos, and ``if_empty="fail"``. It is
        wrong unless this run's own record names what was there.
    :raises SettingsError: photos would be overwritten.
    """
    _check_outside(job)
    found: dict[tuple[str, str], list[Photo]] = defaultdict(list)
    seen: dict[str, SourceFile] = {}
    filled: set[str] = set()
    patterns = Patterns(job.include, job.exclude)
    for each in _files(job, patterns, lost):
        filled.add(each.root)
        first = seen.setdefault(each.origin.uri, each.origin)
        if first is each.origin:
            photo = single_photo(job, each)
            found[group_of(job, each)].append(photo)
        elif not _one_store(first, each.origin):
            raise twice(first.uri)
    _tell_empty(job, filled, lost)
    _tell_unused(job, patterns, lost)
    folders = [make_folder(job, root, folder, photos) for (root, folder), photos in sorted(found.items())]
    _check_originals(job, folders)
    return folders


def group_of(job: Job, found: Found) -> tuple[str, str]:
    """Root and path of the folder that a file's photo is planned with."""
    return (found.root, found.path.rpartition("/")[0]) if job.group_by == "folder" else (job.sources.uris[0], "")


def is_asked_for(job: Job, found: Found) -> bool:
    """Whether a file of a source is one that the job would list if it were there."""
    if found.named:
        return True
    below = job.recursive or "/" not in found.file.uri.removeprefix(found.root)
    taken = matches(found.file, found.root, _include(job))
    return below and taken and not matches(found.file, found.root, (*NEVER_PHOTOS, *job.exclude))


def list_present(job: Job) -> dict[str, StoredFile]:
    """The files under the destination, by URI; none where it does not exist yet.

    :raises DestinationError: when it cannot be written, or not be read whole: "unknown" is not "absent".
    """
    try:
        return _listed(job)
    except SourceError:  # where it does not exist, the check makes it
        open_destination(f"{job.destination}{RECORDS_FOLDER}/", conn_id=job.destination_conn_id).check_writable()
    try:
        return _listed(job)
    except SourceError as error:
        raise DestinationError(
            f"{error} What was enhanced before cannot be seen there, and would be enhanced and charged again."
        ) from None


def _listed(job: Job) -> dict[str, StoredFile]:
    # Only sources are limited to some folders.
    found = list_files(
        job.destination, conn_id=job.destination_conn_id, access=EVERYWHERE, strict=True, exclude=_THUMBNAILS
    )
    return {file.uri: file for file in found}


def _destination(job: Job) -> Location:
    return locate(job.destination, conn_id=job.destination_conn_id, error=SettingsError)


def _check_outside(job: Job) -> None:
    destination = _destination(job)
    for location in job.sources.locations:
        if location.uri.endswith("/") and path_in_store(location, destination) is not None:
            raise SettingsError(
                f"source {location.uri} lies in destination {job.destination}; photos are never written over. "
                "Choose another destination."
            )


def _check_originals(job: Job, folders: Iterable[Folder]) -> None:
    """Refuse a plan in which an output would be written over a source, by whichever way its folder is reached.

    :raises SettingsError: naming both.
    """
    photos = [photo for folder in folders for photo in folder.photos]
    photos += [edited_photo(job, photo) for photo in photos] if job.edited else []
    places = Places()
    originals = originals_beside(job, photos, places)
    for photo in photos if originals else ():
        for target in photo.targets:
            if original := originals.get(places.of(target)):
                raise SettingsError(
                    f"{original} would be written over by the output of {photo.source}, {target}; photos are never written over. "
                    "Choose another destination."
                )


def originals_beside(job: Job, photos: Iterable[Photo], places: Places) -> dict[str, str]:
    """The sources that lie in a folder of outputs, by place."""
    photos = list(photos)
    destination = _destination(job)
    written = {places.folder_of(target) for photo in photos for target in photo.targets}
    stores: dict[str | None, bool] = {}
    originals: dict[str, str] = {}
    for file in (file for photo in photos for file in photo.files):
        place = places.of(_without_link(file.source))
        if _folder_of(place) in written:
            conn_id = file.origin.conn_id
            if conn_id not in stores:
                stores[conn_id] = same_store(replace(destination, conn_id=conn_id), destination)
            if stores[conn_id]:
                originals[place] = file.source
    return originals


class Places:
    """Places of files, however they are reached; each folder is looked at once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def folder_of(self, uri: str) -> str:
        folder = _folder_of(uri)
        if folder not in self._folders:
            try:
                location = locate(folder, conn_id=None, error=SettingsError)
            except SettingsError:  # what a record says may be anything
                return folder
            self._folders[folder] = on_disk(location) or location.place
        return self._folders[folder]

    def of(self, uri: str) -> str:
        return self.folder_of(uri) + uri.rpartition("/")[2]


def _without_link(uri: str) -> str:
    return os.path.realpath(uri) if uri.startswith("/") and os.path.islink(uri) else uri  # noqa: PTH114


def _one_store(one: SourceFile, other: SourceFile) -> bool:
    """Whether one URI, found in two sources, is one file."""
    return same_store(*(locate(each.uri, conn_id=each.conn_id, error=SettingsError) for each in (one, other)))


def _tell_empty(job: Job, filled: Container[str], lost: MutableMapping[str, SourceError]) -> None:
    """Name the source folders without photos; with ``if_empty="fail"`` they are lost."""
    empty = [
        location for location in job.sources.locations if location.uri.endswith("/") and location.uri not in filled
    ]
    for location in empty:
        refuse_pattern(location, job.sources.access)
    if not empty:
        return
    described = f"{', '.join(location.uri for location in empty)}: does not exist, or holds nothing that is a photo"
    if job.if_empty == "fail":
        error = SourceError(
            f"{described}. Check source, include and exclude; with if_empty='warn' the other sources are enhanced."
        )
        lost.update(dict.fromkeys((location.uri for location in empty), error))
        return
    log.warning("Without photos: %s", described)


def _tell_unused(job: Job, patterns: Patterns, lost: MutableMapping[str, SourceError]) -> None:
    """Name the patterns that match nothing, as misspelled ones do. With ``if_empty="fail"``, a source of which nothing is taken by one is
    lost. What is left out may well be missing on some nights."""
    if job.sources.paths or not any(location.uri.endswith("/") for location in job.sources.locations):
        return
    for argument in ("include", "exclude"):
        if unused := patterns.unused(argument):
            described = f"{argument} matches nothing with {', '.join(map(quoted, unused))}"
            if job.if_empty == "fail" and argument == "include":
                lost.setdefault(
                    job.sources.uris[0],
                    SourceError(
                        f"{described}. Check its spelling; with if_empty='warn' the other photos are enhanced."
                    ),
                )
                return
            log.warning("Check the spelling: %s", described)


def _include(job: Job) -> tuple[str, ...]:
    return tuple(job.include) or tuple(f"*{ending}" for ending in PHOTO_EXTENSIONS)


def _files(job: Job, patterns: Patterns, lost: MutableMapping[str, SourceError]) -> Iterator[Found]:
    """Yield what the sources hold, but for results: those of this task, and those that another one has made of the same source."""
    destination = _destination(job)
    records: dict[str, list[str]] = defaultdict(list)
    listed: dict[str, set[str]] = defaultdict(set)
    left_out = {
        location.uri: _results_under(location, destination)
        for location in job.sources.locations
        if location.uri.endswith("/")
    }

    def is_result(each: Found) -> bool:
        inner = None if each.named else left_out[each.root]
        return inner is not None and each.file.uri.removeprefix(each.root).startswith(inner)

    def note(root: str, uri: str) -> None:
        if is_record(uri):
            records[root].append(uri)

    # Only the whole listing says where results lie.
    found: deque[Found] = deque()
    for each in job.sources.find(
        recursive=job.recursive, include=_include(job), exclude=NEVER_PHOTOS, patterns=patterns, met=note, lost=lost
    ):
        if not is_result(each):
            found.append(each)
            listed[each.root].add(folder_in(each.root, each.file.uri))
    results = {
        location.uri: result_folders(location, records[location.uri], listed[location.uri], job.sources.access)
        for location in job.sources.locations
        if location.uri in records
    }
    while found:  # each is let go of as it becomes a photo
        each = found.popleft()
        if each.named or folder_in(each.root, each.file.uri) not in results.get(each.root, ()):
            yield each


def _results_under(root: Location, destination: Location) -> str | None:
    """Where in a source folder the results lie: their path, empty where all of it is results, ``None`` where nothing is."""
    return "" if path_in_store(root, destination) is not None else path_in_store(destination, root)


def make_folder(job: Job, root: str, folder: str, photos: list[Photo]) -> Folder:
    """Make the folder of some photos, which it sorts by path; root and folder are those of :func:`group_of`."""
    photos.sort(key=lambda photo: photo.path)
    source = _folder_of(photos[0].source) if job.group_by == "folder" else root
    written = {_folder_of(target) for photo in photos for target in photo.targets}
    # A template that leaves the folder out has the photos of many folders go into one.
    apart = all(target.endswith(f"/{folder}/") for target in written) if folder else True
    destination = job.destination + (folder + "/" if folder and apart else "")
    related = {destination, *written, *_folders_of_paths(job, root, photos)}
    related |= {above for each in related for above in _above(each, job.destination)}
    return Folder(source, destination, source.rstrip("/").rpartition("/")[2], photos, tuple(sorted(related)))


def _folders_of_paths(job: Job, root: str, photos: Iterable[Photo]) -> Iterator[str]:
    """Yield the folders in which photos lie without a template: as it is, and where their source had one more beside it, or none."""
    prefix = root.rstrip("/").rpartition("/")[2] + "/"
    for folder in {photo.path.rpartition("/")[0] + "/" for photo in photos}:
        path = folder.removeprefix("/")
        yield from (job.destination + each for each in (path, prefix + path, path.removeprefix(prefix)))


def _folder_of(uri: str) -> str:
    return uri.rpartition("/")[0] + "/"


def _above(folder: str, root: str) -> Iterator[str]:
    """Yield a folder and those above it, up to the root."""
    yield root
    for end in re.finditer("/", folder.removeprefix(root)):
        yield root + folder.removeprefix(root)[: end.end()]
