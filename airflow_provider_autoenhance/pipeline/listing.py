"""From folders to groups of photos, with listing calls alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from airflow_provider_autoenhance.api.errors import SettingsError, SourceError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.imaging.naming import fill_template, name_parts, output_name
from airflow_provider_autoenhance.imaging.sniff import ACCEPTED_EXTENSIONS
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Group, Job, Photo
from airflow_provider_autoenhance.storage import StoredFile, list_files, open_destination, open_source

#: What photographers' computers leave among the photos.
NEVER_PHOTOS = ("._*", f"*/{RECORDS_FOLDER}/*")


def list_groups_of(job: Job) -> list[Group]:
    """List the sources into groups, each sorted by path.

    :raises SettingsError: two photos would land in one file, or photos would be overwritten.
    """
    _check_apart(job)
    found: dict[tuple[str, str], list[Photo]] = defaultdict(list)
    targets: dict[str, str] = {}
    for root, shown, file in _files(job):
        photo = _photo(job, root, shown, file)
        if photo.target in targets and targets[photo.target] != photo.source:
            raise SettingsError(
                f"{targets[photo.target]} and {photo.source} would both become {photo.target}; "
                "set destination_template, for example to '{folder}{stem}-{fingerprint}.jpg'."
            )
        if photo.target not in targets:
            targets[photo.target] = photo.source
            folder = photo.path.rpartition("/")[0] if job.group_by == "folder" else ""
            found[root if job.group_by == "folder" else job.sources[0], folder].append(photo)
    return [_group(job, root, folder, photos) for (root, folder), photos in sorted(found.items())]


def list_present(job: Job) -> Mapping[str, StoredFile]:
    """The files under the destination, by URI; empty where it does not exist yet.

    :raises DestinationError: when it cannot be written.
    """
    try:
        return {file.uri: file for file in list_files(job.destination, conn_id=job.destination_conn_id)}
    except SourceError:
        open_destination(f"{job.destination}{RECORDS_FOLDER}/", conn_id=job.destination_conn_id).check_writable()
        return {}


def _check_apart(job: Job) -> None:
    for source in job.sources:
        if source.endswith("/") and source.startswith(job.destination):
            raise SettingsError(
                f"source {redact_url(source)} lies in destination {job.destination}; photos are never written over. "
                "Choose another destination."
            )


def _files(job: Job) -> Iterator[tuple[str, str, StoredFile]]:
    """Yield each file with the root it was found under, and the path of that root under the destination."""
    include = tuple(job.include) or tuple(f"*{ending}" for ending in ACCEPTED_EXTENSIONS)
    exclude = (*job.exclude, *NEVER_PHOTOS)
    several = len(job.sources) > 1
    for source in job.sources:
        if not source.endswith("/"):
            yield source.rpartition("/")[0] + "/", "", _single(job, source)
            continue
        shown = source.rstrip("/").rpartition("/")[2] + "/" if several else ""
        for file in list_files(
            source, conn_id=job.source_conn_id, recursive=job.recursive, include=include, exclude=exclude
        ):
            if not file.uri.startswith(job.destination):
                yield source, shown, file


def _single(job: Job, source: str) -> StoredFile:
    with open_source(source, conn_id=job.source_conn_id) as opened:
        return opened.file


def _photo(job: Job, root: str, shown: str, file: StoredFile) -> Photo:
    path = shown + file.uri.removeprefix(root)
    fingerprint = job.fingerprint(file.uri, file.etag, file.size)
    target = output_name(
        path,
        job.output.format or "jpeg",
        template=job.destination_template,
        fingerprint=fingerprint,
        argument="destination_template",
    )
    return Photo(
        source=file.uri,
        path=path,
        size=file.size,
        etag=file.etag,
        fingerprint=fingerprint,
        image_name=fill_template("image_name_template", job.image_name_template, name_parts(path, fingerprint)),
        target=job.destination + target,
    )


def _group(job: Job, root: str, folder: str, photos: list[Photo]) -> Group:
    photos.sort(key=lambda photo: photo.path)
    source = photos[0].source.rpartition("/")[0] + "/" if job.group_by == "folder" else root
    return Group(
        source=source,
        destination=job.destination + (folder + "/" if folder else ""),
        name=source.rstrip("/").rpartition("/")[2],
        photos=photos,
    )
