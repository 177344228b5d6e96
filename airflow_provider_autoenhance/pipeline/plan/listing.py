"""From folders to groups of photos, with listing calls alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from airflow_provider_autoenhance.api.errors import DestinationError, SettingsError, SourceError
from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Job
from airflow_provider_autoenhance.pipeline.photo import Folder, Photo, single_photo
from airflow_provider_autoenhance.pipeline.sources import Found
from airflow_provider_autoenhance.storage import EVERYWHERE, StoredFile, list_files, open_destination
from airflow_provider_autoenhance.storage.location import path_inside

#: What photographers' computers leave among the photos.
NEVER_PHOTOS = ("._*", f"*/{RECORDS_FOLDER}/*")


def list_folders(job: Job) -> list[Folder]:
    """List the sources into groups of single photos, each sorted by path.

    :raises SettingsError: photos would be overwritten.
    """
    _check_outside(job)
    found: dict[tuple[str, str], list[Photo]] = defaultdict(list)
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for each in _files(job):
        root, photo = each.root, single_photo(job, each)
        if (photo.source, photo.targets) not in seen:
            seen.add((photo.source, photo.targets))
            folder = photo.path.rpartition("/")[0] if job.group_by == "folder" else ""
            found[root if job.group_by == "folder" else job.sources.uris[0], folder].append(photo)
    return [_folder(job, root, folder, photos) for (root, folder), photos in sorted(found.items())]


def check_targets(photos: Iterable[Photo]) -> None:
    """Refuse a plan in which a file would be written twice. All lie in the one destination, so the same text is the same place.

    :raises SettingsError: naming both photos.
    """
    targets: dict[str, str] = {}
    for photo in photos:
        for target in photo.targets:
            if targets.setdefault(target, photo.source) != photo.source:
                raise SettingsError(
                    f"{targets[target]} and {photo.source} would both become {target}; "
                    "set destination_template, for example to '{folder}{stem}-{fingerprint}.jpg'."
                )


def list_present(job: Job) -> Mapping[str, StoredFile]:
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


def _listed(job: Job) -> Mapping[str, StoredFile]:
    # Only sources are limited to some folders.
    found = list_files(job.destination, conn_id=job.destination_conn_id, access=EVERYWHERE, strict=True)
    return {file.uri: file for file in found}


def _check_outside(job: Job) -> None:
    for uri in job.sources.uris:
        if uri.endswith("/") and path_inside(uri, job.destination) is not None:
            raise SettingsError(
                f"source {uri} lies in destination {job.destination}; photos are never written over. "
                "Choose another destination."
            )


def _files(job: Job) -> Iterator[Found]:
    include = tuple(job.include) or tuple(f"*{ending}" for ending in PHOTO_EXTENSIONS)
    left_out: dict[str, str | None] = {}
    for each in job.sources.find(recursive=job.recursive, include=include, exclude=(*job.exclude, *NEVER_PHOTOS)):
        if each.root not in left_out:
            left_out[each.root] = _results_under(each.root, job.destination)
        inner = left_out[each.root]
        if inner is None or not each.file.uri.removeprefix(each.root).startswith(inner):
            yield each


def _results_under(root: str, destination: str) -> str | None:
    """Where in a source folder the results lie: their path, empty where all of it is results, ``None`` where nothing is."""
    return "" if path_inside(root, destination) is not None else path_inside(destination, root)


def _folder(job: Job, root: str, folder: str, photos: list[Photo]) -> Folder:
    photos.sort(key=lambda photo: photo.path)
    source = photos[0].source.rpartition("/")[0] + "/" if job.group_by == "folder" else root
    return Folder(
        source=source,
        destination=job.destination + (folder + "/" if folder else ""),
        name=source.rstrip("/").rpartition("/")[2],
        photos=photos,
    )
