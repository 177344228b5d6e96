"""Rendering: an image in the size, format, quality and resolution that a download asks for, with a watermark or without."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from airflow_provider_autoenhance.sandbox.photo.decoding import decode
from airflow_provider_autoenhance.sandbox.photo.files import Asset

PREVIEW_WIDTH = 800
PREVIEW_QUALITY = 60
FULL_QUALITY = 95
_DEFAULT_QUALITY = {"jpeg": 92, "webp": 90, "avif": 80}
_PIL_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF"}
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128


@dataclass(frozen=True)
class Rendering:
    """What the query of a download asks for. By default, the stored file as it is."""

    format: str | None = None
    quality: int | None = None
    max_width: int | None = None
    scale: float | None = None
    dpi: int | None = None
    preview: bool = False
    watermark: bool = False


def render(source: Path, name: str, target: Path, wanted: Rendering, max_megapixels: float) -> Asset:
    """Render one download.

    :param source: the stored picture.
    :param name: file name of the image; its extension marks camera RAW.
    :param target: file to write.
    :param wanted: size, format and so on.
    :param max_megapixels: of the biggest picture that is taken.
    """
    picture = decode(source, name if source.parent.name == "uploads" else "master.jpg", max_megapixels)
    image = _resize(Image.fromarray(picture.pixels), wanted)
    if wanted.watermark:
        image = _watermark(image)
    return _write(image, picture.icc, target, wanted)


def _write(image: Image.Image, icc: bytes | None, target: Path, wanted: Rendering) -> Asset:
    kind = wanted.format or "jpeg"
    options: dict[str, Any] = {}
    if icc:
        options["icc_profile"] = icc
    if kind == "png":
        options["compress_level"] = 3
    else:
        options["quality"] = wanted.quality or (PREVIEW_QUALITY if wanted.preview else _DEFAULT_QUALITY[kind])
    if kind == "avif":
        options["speed"] = 8
    if wanted.dpi and kind in ("jpeg", "png"):
        options["dpi"] = (wanted.dpi, wanted.dpi)
    elif wanted.dpi:
        exif = Image.Exif()
        exif[_X_RESOLUTION] = exif[_Y_RESOLUTION] = float(wanted.dpi)
        exif[_RESOLUTION_UNIT] = 2
        options["exif"] = exif
    image.save(target, _PIL_FORMATS[kind], **options)
    return measured(target, f"image/{kind}")


def stand_in(folder: Path, width: int, wanted: Rendering) -> Asset:
    """Return a grey picture in place of an image, for load tests: it is made once.

    :param folder: keeps it for the next who asks.
    """
    kind = wanted.format or "jpeg"
    target = folder / f"grey-{width}-{wanted.quality}.{kind}"
    if target.exists():
        return measured(target, f"image/{kind}")
    return _write(Image.effect_noise((width, width * 2 // 3 or 1), 6).convert("RGB"), None, target, wanted)


def measured(path: Path, content_type: str) -> Asset:
    """Describe a finished file.

    :param path: the file.
    :param content_type: its media type.
    """
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    return Asset(path, content_type, path.stat().st_size, md5)


def _resize(image: Image.Image, wanted: Rendering) -> Image.Image:
    width = float(image.width)
    if wanted.scale is not None:
        width *= wanted.scale
    if wanted.max_width:
        width = min(width, wanted.max_width)
    if wanted.preview:
        width = min(width, PREVIEW_WIDTH)
    if round(width) >= image.width:
        return image
    size = (max(1, round(width)), max(1, round(image.height * width / image.width)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _watermark(image: Image.Image) -> Image.Image:
    """Write the sandbox's name over the picture, repeated and half transparent."""
    layer = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(layer)
    size = max(8, image.width // 16)
    font = ImageFont.load_default(size)
    text = "autoenhance sandbox"
    step = max(1.0, draw.textlength(text, font=font) + size)
    for row, y in enumerate(range(0, image.height, size * 4)):
        x = -step / 2 if row % 2 else 0.0
        while x < image.width:
            draw.text((x, y), text, fill=110, font=font)
            x += step
    marked = image.copy()
    marked.paste((255, 255, 255), mask=layer)
    return marked
