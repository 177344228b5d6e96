"""Developing: uploaded files become the finished master of one image. Runs in a worker thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from airflow_provider_autoenhance.sandbox.photo.decoding import Picture, PixelError, Pixels, check, decode
from airflow_provider_autoenhance.sandbox.photo.dusk import dusk
from airflow_provider_autoenhance.sandbox.photo.enhancing import enhance
from airflow_provider_autoenhance.sandbox.photo.files import Asset, Upload
from airflow_provider_autoenhance.sandbox.photo.fusing import fuse
from airflow_provider_autoenhance.sandbox.photo.rendering import FULL_QUALITY, measured


@dataclass(frozen=True)
class Job:
    """One image to develop.

    :param sources: the upload, or the exposures of a bracket.
    :param name: file name of the first source, for its extension.
    :param settings: preferences of the image.
    :param target: path of what is made, without its suffix.
    :param max_megapixels: of the biggest picture that is taken.
    :param copy: whether the upload is handed back as it is.
    """

    sources: list[Upload]
    name: str
    settings: dict[str, Any]
    target: Path
    max_megapixels: float
    copy: bool


@dataclass(frozen=True)
class Failure:
    """An image that could not be enhanced.

    :param reason: what becomes its ``status_reason``.
    """

    reason: str


@dataclass(frozen=True)
class Developed:
    """An enhanced image.

    :param enhanced: the master that downloads are rendered from.
    :param original: the same before enhancement; of a bracket, the merged picture.
    """

    enhanced: Asset
    original: Asset | None = None


Outcome = Failure | Developed


def develop(job: Job) -> Outcome:
    """Decode, merge, enhance and store.

    :param job: the image.
    :returns: a :class:`Failure` for a file that cannot be used.
    """
    try:
        if job.copy:
            upload = job.sources[0]
            asset = Asset(upload.path, check(upload.path, job.name), upload.size, upload.etag)
            return Developed(asset, asset)
        first = decode(job.sources[0].path, job.name, job.max_megapixels)
        others = [decode(upload.path, job.name, job.max_megapixels).pixels for upload in job.sources[1:]]
        merged = fuse([first.pixels, *others])
        pixels = enhance(merged, job.settings)
        if (job.settings.get("restage") or {}).get("environment") == "DUSK":
            pixels = dusk(pixels)
        enhanced = _store(job, "enhanced", pixels, first)
        return Developed(enhanced, _store(job, "merged", merged, first) if others else enhanced)
    except PixelError as error:
        return Failure(str(error))


def _store(job: Job, kind: str, pixels: Pixels, first: Picture) -> Asset:
    path = job.target.with_name(f"{job.target.name}-{kind}.jpg")
    options = {"icc_profile": first.icc} if first.icc else {}
    Image.fromarray(pixels).save(path, "JPEG", quality=FULL_QUALITY, subsampling=0, **options)
    return measured(path, "image/jpeg")
