"""The photos of a batch: single files, exposures, and the photos that exposures are merged into."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from airflow_provider_autoenhance.imaging.naming import fill_template, name_parts
from airflow_provider_autoenhance.imaging.purchase import output_names
from airflow_provider_autoenhance.imaging.sniff import CONVERTIBLE
from airflow_provider_autoenhance.pipeline.job import Job, merged_fingerprint
from airflow_provider_autoenhance.pipeline.sources import Found, SourceFile

#: Source, etag and size of each file that a photo is made from.
Bytes = frozenset[tuple[str, str | None, int]]

_CONVERTED = tuple(ending for form in CONVERTIBLE for ending in form.extensions)


@dataclass(frozen=True, slots=True)
class Photo:
    """One source photo and where its enhanced twin goes; or the exposures that are merged into one photo, named by the first of them.

    :param origin: how it is opened; of exposures that are merged, how the first of them is.
    :param path: its path under the source folder, which names it to people.
    :param size: bytes, of all exposures together.
    :param image_name: its name in Autoenhance, unique through a piece of the fingerprint.
    :param targets: URIs of the outputs.
    :param exposures: what it is merged from, in the order of capture; empty for a photo of its own.
    :param ungrouped: Autoenhance groups the exposures; how many photos come of them shows when it has.
    :param original: of a premium edit, the fingerprint of the photo that it is made of. It has no bytes of its own to upload.
    :param gone: a record names it, and its source file, or one of its exposures, is not there any more. It cannot be uploaded.
    """

    origin: SourceFile
    path: str
    size: int
    etag: str | None
    fingerprint: str
    image_name: str
    targets: tuple[str, ...]
    exposures: tuple[Photo, ...] = ()
    ungrouped: bool = False
    original: str = ""
    gone: bool = False

    @property
    def source(self) -> str:
        """Its URI."""
        return self.origin.uri

    @property
    def files(self) -> tuple[Photo, ...]:
        """What is uploaded."""
        return self.exposures or (self,)


@dataclass(frozen=True)
class Folder:
    """Photos that share orders and a record: those of one folder, or all.

    :param source: URI of the folder.
    :param destination: URI of the folder for the outputs and the record.
    :param name: what people read in Autoenhance's web app.
    :param related: URIs of all folders whose records may be about these photos or their outputs, its own among them.
    """

    source: str
    destination: str
    name: str
    photos: Sequence[Photo]
    related: tuple[str, ...] = ()


def bytes_of(photo: Photo) -> Bytes:
    """What a photo is made from, whatever the settings."""
    return frozenset((file.source, file.etag, file.size) for file in photo.files)


def single_photo(job: Job, found: Found) -> Photo:
    """A file as a photo of its own."""
    file = found.file
    made = _named(job, found.path, found.origin, file.etag, job.fingerprint(file.uri, file.etag, file.size))
    return replace(made, size=file.size)


def as_exposure(job: Job, photo: Photo) -> Photo:
    """A file as one exposure of a photo. Fingerprint and name differ from the single photo's: neither is taken for the other."""
    fingerprint = job.fingerprint(photo.source, photo.etag, photo.size, "exposure")
    return replace(photo, fingerprint=fingerprint, image_name=_image_name(job, photo.path, fingerprint))


def merged_photo(job: Job, exposures: Sequence[Photo], *, ungrouped: bool = False) -> Photo:
    """The photo that exposures are merged into."""
    first = exposures[0]
    fingerprint = merged_fingerprint((exposure.fingerprint for exposure in exposures), ungrouped=ungrouped)
    made = _named(job, first.path, first.origin, first.etag, fingerprint)
    return replace(
        made,
        size=sum(exposure.size for exposure in exposures),
        image_name=first.image_name,
        exposures=tuple(exposures),
        ungrouped=ungrouped,
        gone=any(exposure.gone for exposure in exposures),
    )


def edited_photo(job: Job, photo: Photo) -> Photo:
    """The premium edit of a photo, as a photo of its own: from the same source, with a path, fingerprint and files of its own."""
    parts = name_parts(photo.path, photo.fingerprint)
    path, extension = fill_template("dusk_template", job.edit_template, parts), parts["extension"]
    path += "" if path.lower().endswith(extension.lower()) else extension
    fingerprint = hashlib.sha256(f"edit {job.edit}\0{photo.fingerprint}".encode()).hexdigest()
    made = _named(job, path, photo.origin, photo.etag, fingerprint)
    return replace(made, image_name=photo.image_name, original=photo.fingerprint)


def _named(job: Job, path: str, origin: SourceFile, etag: str | None, fingerprint: str) -> Photo:
    names = output_names(job.outputs, path, fingerprint=fingerprint, template=job.destination_template)
    return Photo(
        origin=origin,
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
