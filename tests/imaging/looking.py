"""Looks at a written file with other libraries than the one that wrote it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .inputs import Pixels


@dataclass(frozen=True)
class Look:
    """What a file holds.

    :param pixels: as a viewer shows them, before any colour conversion.
    :param container_dpi: of the format's own field, where it has one.
    :param exif: by names as ``GPSLatitude``, as text.
    """

    format: str
    pixels: Pixels
    orientation: int
    container_dpi: int | None
    exif: dict[str, str]
    profile: bytes | None
    progressive: bool


def look(path: Path, *, by_pillow: bool = False) -> Look:
    """Open a file.

    :param by_pillow: for what libvips wrote.
    """
    if by_pillow:
        return _by_pillow(path)
    import pyvips

    image = pyvips.Image.new_from_file(str(path), fail_on="warning")
    fields = image.get_fields()
    exif = {
        name.rpartition("-")[2]: re.sub(r" \(.*", "", image.get(name)) for name in fields if name.startswith("exif-ifd")
    }
    loader = image.get("vips-loader").removesuffix("load")
    if loader == "tiff":
        exif |= _tiff_tags(path)
    return Look(
        format={"heif": "avif"}.get(loader, loader),
        pixels=np.asarray(image.numpy()),
        orientation=image.get("orientation") if "orientation" in fields else 1,
        container_dpi=round(image.xres * 25.4) if loader in ("jpeg", "png", "tiff") else None,
        exif=exif,
        profile=image.get("icc-profile-data") if "icc-profile-data" in fields else None,
        progressive="interlaced" in fields,
    )


def _by_pillow(path: Path) -> Look:
    from PIL import Image
    from PIL.ExifTags import GPSTAGS, TAGS

    with Image.open(path) as image:
        image.load()
        block = image.getexif()
        exif = {TAGS[tag]: str(value) for tag, value in [*block.items(), *block.get_ifd(0x8769).items()] if tag in TAGS}
        exif |= {GPSTAGS[tag]: str(value) for tag, value in block.get_ifd(0x8825).items()}
        exif["PixelXDimension"] = exif.get("ExifImageWidth", "")
        profile = image.info.get("icc_profile")
        return Look(
            str(image.format).lower(), np.asarray(image), block.get(0x0112, 1), None, exif, profile, progressive=False
        )


def _tiff_tags(path: Path) -> dict[str, str]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        found = {tag.name: tag.value for tag in tags if tag.name not in ("StripOffsets", "StripByteCounts")}
    for name in ("ExifTag", "GPSTag"):
        found |= found.pop(name, {})
    return {name: str(value) for name, value in found.items()}


def separated(pixels: Pixels, source: Path | None, profile: Path) -> Pixels:
    """Convert RGB pixels to a profile's colours.

    :param source: profile of the pixels; sRGB without one.
    """
    import pyvips

    image = pyvips.Image.new_from_array(pixels, interpretation="srgb")
    options = {"intent": "relative", "black_point_compensation": True, "depth": 8}
    converted = image.icc_transform(str(profile), input_profile=str(source or "srgb"), **options)
    return np.asarray(converted.numpy())
