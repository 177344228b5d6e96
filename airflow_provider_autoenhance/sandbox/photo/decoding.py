"""Decoding: files of the formats that the service takes become upright RGB pixels."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from airflow_provider_autoenhance.sandbox.photo.opening import TooLargeError, opened

Pixels = npt.NDArray[np.uint8]

RAW_SUFFIXES = frozenset([".cr2", ".cr3", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf", ".dng"])
ACCEPTED = frozenset(["JPEG", "MPO", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"])
_JPEG_START = b"\xff\xd8\xff"
_MAX_PREVIEWS = 64
_MIN_PREVIEW_SIDE = 600


class PixelError(Exception):
    """Why an image can't be enhanced, in the words of ``status_reason``."""


@dataclass
class Picture:
    """A decoded image file.

    :param pixels: height x width x 3, uint8, upright.
    :param icc: colour profile, if any.
    """

    pixels: Pixels
    icc: bytes | None


def decode(path: Path, name: str, max_megapixels: float) -> Picture:
    """Read an image file.

    :param path: the file.
    :param name: file name as registered; its extension marks camera RAW.
    :param max_megapixels: of the biggest picture that is taken.
    :raises PixelError: when the file is empty, damaged, too large or of another format.
    """
    if path.stat().st_size == 0:
        raise PixelError("The uploaded file is empty.")
    if PurePosixPath(name).suffix.lower() in RAW_SUFFIXES:
        return _decode_raw(path, max_megapixels)
    try:
        with opened(path, max_megapixels) as image:
            return _load(image, max_megapixels)
    except PixelError:
        raise
    except TooLargeError as error:
        raise PixelError(str(error)) from error
    except Exception as error:
        raise PixelError(_reason(error)) from error


def check(path: Path, name: str) -> str:
    """Check cheaply that a file looks whole, without decoding it.

    :param path: the file.
    :param name: as for :func:`decode`.
    :returns: its media type.
    :raises PixelError: as :func:`decode`.
    """
    if path.stat().st_size == 0:
        raise PixelError("The uploaded file is empty.")
    if PurePosixPath(name).suffix.lower() in RAW_SUFFIXES:
        return "application/octet-stream"
    try:
        with opened(path, look=True) as image:
            kind = image.format or ""
            _check_kind(kind)
    except PixelError:
        raise
    except Exception as error:
        raise PixelError(_reason(error)) from error
    return _mime(kind) or "application/octet-stream"


def media_type(path: Path) -> str | None:
    """Return the media type that a file's content shows.

    :param path: the file.
    :returns: None for a file that is not an image.
    """
    try:
        with opened(path, look=True) as image:
            return _mime(image.format or "")
    except Exception:  # noqa: BLE001 - broken files raise anything
        return None


def _mime(kind: str) -> str | None:
    return {"HEIF": "image/heif", "AVIF": "image/avif"}.get(kind) or Image.MIME.get(kind)


def _check_kind(kind: str) -> None:
    if kind not in ACCEPTED:
        raise PixelError(f"Unsupported file format {kind}.")


def _load(image: Image.Image, max_megapixels: float) -> Picture:
    _check_kind(image.format or "")
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        raise PixelError(f"The image is too large: {width} x {height} pixels.")
    icc = image.info.get("icc_profile")
    image.load()
    upright = ImageOps.exif_transpose(image)
    rgb = _to_rgb(upright)
    return Picture(np.asarray(rgb), icc if image.mode in ("RGB", "RGBA", "P") else None)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float32)
        scale = 255.0 / (65535.0 if values.max(initial=0) > 255 else 255.0)
        return Image.fromarray((values * scale).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(layer, mask=layer.getchannel("A"))
        return paper
    return image.convert("RGB")


def _decode_raw(path: Path, max_megapixels: float) -> Picture:
    """Take the largest JPEG preview out of a camera RAW file."""
    best: tuple[int, bytes] | None = None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        position = raw.find(_JPEG_START)
        for _ in range(_MAX_PREVIEWS):
            if position < 0:
                break
            data = raw[position:]
            size = _preview_size(data)
            if size and (best is None or size > best[0]):
                best = (size, data)
            position = raw.find(_JPEG_START, position + 1)
    if best is None:
        raise PixelError("The RAW file could not be decoded: it holds no usable preview.")
    try:
        with Image.open(BytesIO(best[1])) as image:
            return _load(image, max_megapixels)
    except Exception as error:
        raise PixelError(_reason(error)) from error


def _preview_size(data: bytes) -> int | None:
    try:
        with Image.open(BytesIO(data)) as image:
            image.draft("RGB", (64, 64))
            image.load()
            with Image.open(BytesIO(data)) as full:
                width, height = full.size
    except Exception:  # noqa: BLE001 - broken files raise anything
        return None
    return width * height if max(width, height) >= _MIN_PREVIEW_SIDE else None


def _reason(error: Exception) -> str:
    text = str(error).lower()
    if "truncated" in text or "premature" in text or "broken" in text or "unexpected end" in text:
        return "The image file is truncated or damaged."
    return "The file could not be decoded as an image."
