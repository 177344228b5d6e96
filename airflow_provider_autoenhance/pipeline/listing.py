"""From folders to groups of photos, with listing calls alone."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from airflow_provider_autoenhance.api.errors import SettingsError, SourceError
from airflow_provider_autoenhance.imaging.output import EXTENSIONS, file_name
from airflow_provider_autoenhance.imaging.sniff import ACCEPTED_EXTENSIONS
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Group, Job, Photo
from airflow_provider_autoenhance.pipeline.origins import Found
from airflow_provider_autoenhance.storage import StoredFile, list_files, open_destination

#: What photographers' computers leave among the photos.
NEVER_PHOTOS = ("._*", f"*/{RECORDS_FOLDER}/*")


def list_groups_of(job: Job) -> list[Group]:
    """List the sources into groups, each sorted by path.

    :raises SettingsError: two photos would land in one file, or photos would be overwritten.
    """
    _check_apart(job)
    found: dict[tuple[str, str], list[Photo]] = defaultdict(list)
    targets: dict[str, str] = {}
    for each in _files(job):
        root, photo = each.root, _photo(job, each.path, each.file)
        if photo.target in targets and targets[photo.target] != photo.source:
            raise SettingsError(
                f"{targets[photo.target]} and {photo.source} would both become {photo.target}; "
                "set destination_template, for example to '{folder}{stem}-{fingerprint}.jpg'."
            )
        if photo.target not in targets:
            targets[photo.target] = photo.source
            folder = photo.path.rpartition("/")[0] if job.group_by == "folder" else ""
            found[root if job.group_by == "folder" else job.origins.all[0].uri, folder].append(photo)
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
    for origin in job.origins.all:
        if origin.is_folder and origin.uri.startswith(job.destination):
            raise SettingsError(
                f"source {origin.uri} lies in destination {job.destination}; photos are never written over. "
                "Choose another destination."
            )


def _files(job: Job) -> Iterator[Found]:
    include = tuple(job.include) or tuple(f"*{ending}" for ending in ACCEPTED_EXTENSIONS)
    found = job.origins.find(recursive=job.recursive, include=include, exclude=(*job.exclude, *NEVER_PHOTOS))
    return (each for each in found if not each.file.uri.startswith(job.destination))


def _photo(job: Job, path: str, file: StoredFile) -> Photo:
    fingerprint = job.fingerprint(file.uri, file.etag, file.size)
    names = _names(path, fingerprint)
    target = job.output.format or "jpeg"
    if job.destination_template is None:
        name = file_name(path, target)
    else:
        name = file_name(
            _fill("destination_template", job.destination_template, names | {"extension": EXTENSIONS[target]}), target
        )
    return Photo(
        source=file.uri,
        path=path,
        size=file.size,
        etag=file.etag,
        fingerprint=fingerprint,
        image_name=_fill("image_name_template", job.image_name_template, names),
        target=job.destination + name,
    )


def _names(path: str, fingerprint: str) -> dict[str, str]:
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    return {
        "folder": folder + slash,
        "name": name,
        "stem": stem if dot else name,
        "extension": dot + extension if dot else "",
        "fingerprint": fingerprint[:8],
    }


def _fill(argument: str, template: str, names: Mapping[str, str]) -> str:
    try:
        filled = template.format_map(names)
    except (KeyError, ValueError, IndexError):
        raise SettingsError(
            f"{argument} {template!r} cannot be filled; it may hold {', '.join('{' + name + '}' for name in names)}."
        ) from None
    if not re.sub(r"[./\s]", "", filled):
        raise SettingsError(f"{argument} {template!r} gives an empty name.")
    return filled


def _group(job: Job, root: str, folder: str, photos: list[Photo]) -> Group:
    photos.sort(key=lambda photo: photo.path)
    source = photos[0].source.rpartition("/")[0] + "/" if job.group_by == "folder" else root
    return Group(
        source=source,
        destination=job.destination + (folder + "/" if folder else ""),
        name=source.rstrip("/").rpartition("/")[2],
        photos=photos,
    )
