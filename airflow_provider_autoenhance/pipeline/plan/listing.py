"""From folders to groups of photos, with listing calls alone."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from airflow_provider_autoenhance.api.errors import DestinationError, SettingsError, SourceError
from airflow_provider_autoenhance.imaging.naming import fill_template, name_parts
from airflow_provider_autoenhance.imaging.purchase import output_names
from airflow_provider_autoenhance.imaging.sniff import CONVERTIBLE, PHOTO_EXTENSIONS
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Group, Job, Photo
from airflow_provider_autoenhance.pipeline.sources import Found
from airflow_provider_autoenhance.storage import EVERYWHERE, StoredFile, list_files, open_destination

_CONVERTED = tuple(ending for form in CONVERTIBLE for ending in form.extensions)

#: What photographers' computers leave among the photos.
NEVER_PHOTOS = ("._*", f"*/{RECORDS_FOLDER}/*")


def list_groups_of(job: Job) -> list[Group]:
    """List the sources into groups of single photos, each sorted by path.

    :raises SettingsError: photos would be overwritten.
    """
    _check_apart(job)
    found: dict[tuple[str, str], list[Photo]] = defaultdict(list)
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for each in _files(job):
        root, photo = each.root, _photo(job, each.path, each.file)
        if (photo.source, photo.targets) not in seen:
            seen.add((photo.source, photo.targets))
            folder = photo.path.rpartition("/")[0] if job.group_by == "folder" else ""
            found[root if job.group_by == "folder" else job.origins.all[0].uri, folder].append(photo)
    return [_group(job, root, folder, photos) for (root, folder), photos in sorted(found.items())]


def check_targets(photos: Iterable[Photo]) -> None:
    """Refuse a plan in which a file would be written twice.

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
    found = list_files(job.destination, conn_id=job.destination_conn_id, local_folders=EVERYWHERE, strict=True)
    return {file.uri: file for file in found}


def _check_apart(job: Job) -> None:
    for origin in job.origins.all:
        if origin.is_folder and origin.uri.startswith(job.destination):
            raise SettingsError(
                f"source {origin.uri} lies in destination {job.destination}; photos are never written over. "
                "Choose another destination."
            )


def _files(job: Job) -> Iterator[Found]:
    include = tuple(job.include) or tuple(f"*{ending}" for ending in PHOTO_EXTENSIONS)
    found = job.origins.find(recursive=job.recursive, include=include, exclude=(*job.exclude, *NEVER_PHOTOS))
    return (each for each in found if not each.file.uri.startswith(job.destination))


def as_exposure(job: Job, photo: Photo) -> Photo:
    """A file as one exposure of a photo. Fingerprint and name differ from the single photo's: neither is taken for the other."""
    fingerprint = job.fingerprint(photo.source, photo.etag, photo.size, "exposure")
    return replace(photo, fingerprint=fingerprint, image_name=_image_name(job, photo.path, fingerprint))


def merge(job: Job, exposures: Sequence[Photo], *, ungrouped: bool = False) -> Photo:
    """The photo that exposures are merged into."""
    first = exposures[0]
    told = "\0".join([f"merged {ungrouped}", *(exposure.fingerprint for exposure in exposures)])
    made = _named(job, first.path, first.source, first.etag, hashlib.sha256(told.encode()).hexdigest())
    return replace(
        made,
        size=sum(exposure.size for exposure in exposures),
        image_name=first.image_name,
        exposures=tuple(exposures),
        ungrouped=ungrouped,
    )


def _photo(job: Job, path: str, file: StoredFile) -> Photo:
    made = _named(job, path, file.uri, file.etag, job.fingerprint(file.uri, file.etag, file.size))
    return replace(made, size=file.size)


def _named(job: Job, path: str, source: str, etag: str | None, fingerprint: str) -> Photo:
    names = output_names(job.outputs, path, fingerprint=fingerprint, template=job.destination_template)
    return Photo(
        source=source,
        path=path,
        size=0,
        etag=etag,
        fingerprint=fingerprint,
        image_name=_image_name(job, path, fingerprint),
        targets=tuple(job.destination + name for name in names),
    )


def _image_name(job: Job, path: str, fingerprint: str) -> str:
    """Name in Autoenhance; it ends as what goes up does."""
    name = fill_template("image_name_template", job.image_name_template, name_parts(path, fingerprint))
    return f"{name}.png" if name.lower().endswith(_CONVERTED) else name


def _group(job: Job, root: str, folder: str, photos: list[Photo]) -> Group:
    photos.sort(key=lambda photo: photo.path)
    source = photos[0].source.rpartition("/")[0] + "/" if job.group_by == "folder" else root
    return Group(
        source=source,
        destination=job.destination + (folder + "/" if folder else ""),
        name=source.rstrip("/").rpartition("/")[2],
        photos=photos,
    )
