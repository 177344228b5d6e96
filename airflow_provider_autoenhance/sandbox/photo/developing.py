"""From uploaded files to the finished master of one image; runs in a worker thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from airflow_provider_autoenhance.sandbox.photo.decoding import Picture, PixelError, Pixels, check, decode
from airflow_provider_autoenhance.sandbox.photo.enhancing import enhance
from airflow_provider_autoenhance.sandbox.photo.files import Asset, Upload
from airflow_provider_autoenhance.sandbox.photo.fusing import fuse
from airflow_provider_autoenhance.sandbox.photo.rendering import FULL_QUALITY, measured


@dataclass(frozen=True)
class Job:
    """
    :param sources: the upload, or the exposures of a bracket.
    :param name: file name of the first, for its extension.
    :param target: path without suffix for what is made.
    :param copy: hand the upload back instead of working on its pixels.
    """

    sources: list[Upload]
    name: str
    settings: dict[str, Any]
    target: Path
    max_megapixels: float
    copy: bool


@dataclass(frozen=True)
class Failure:
    reason: str


@dataclass(frozen=True)
class Developed:
    """
    :param original: the merged, unenhanced picture of a bracket.
    """

    enhanced: Asset
    original: Asset | None = None


Outcome = Failure | Developed


def develop(job: Job) -> Outcome:
    """Decode, merge, enhance and store; a file that can't be used becomes a :class:`Failure`."""
    try:
        if job.copy:
            upload = job.sources[0]
            asset = Asset(upload.path, check(upload.path, job.name), upload.size, upload.etag)
            return Developed(asset, asset)
        first = decode(job.sources[0].path, job.name, job.max_megapixels)
        others = [decode(upload.path, job.name, job.max_megapixels).pixels for upload in job.sources[1:]]
        merged = fuse([first.pixels, *others])
        enhanced = _store(job, "enhanced", enhance(merged, job.settings), first)
        return Developed(enhanced, _store(job, "merged", merged, first) if others else enhanced)
    except PixelError as error:
        return Failure(str(error))


def _store(job: Job, kind: str, pixels: Pixels, first: Picture) -> Asset:
    path = job.target.with_name(f"{job.target.name}-{kind}.jpg")
    options = {"icc_profile": first.icc} if first.icc else {}
    Image.fromarray(pixels).save(path, "JPEG", quality=FULL_QUALITY, subsampling=0, **options)
    return measured(path, "image/jpeg")
