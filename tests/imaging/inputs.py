"""One photo in every format that comes in: taken with the camera on its side, with a wide colour profile and a place."""

from __future__ import annotations

import functools
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import IFDRational

from .icc import wide_gamut

Pixels = npt.NDArray[np.uint8]

WIDTH, HEIGHT = 64, 96
TAKEN = "2024:05:17 10:20:30"
DPI = 240

#: How each is stored; the rest turns it upright by EXIF orientation 6, HEIC and AVIF by a box of their own.
STORED_UPRIGHT = ("BMP", "GIF")
WITHOUT_PROFILE = ("BMP", "GIF")
INPUTS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIC")


@functools.cache
def upright() -> Pixels:
    """Return the photo as people see it: dark at the top left, green to the right, red to the bottom, blue against both."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    channels = (y * 230 // HEIGHT, x * 230 // WIDTH, 200 - (x + y) * 200 // (WIDTH + HEIGHT))
    return np.stack(channels, -1).astype(np.uint8)


def exif(orientation: int = 6) -> Image.Exif:
    """Return what a camera writes, maker note and old dimensions included."""
    block = Image.Exif()
    block.update({0x010F: "Canon", 0x0112: orientation, 0x8298: "A. Photographer"})
    block.update({0x011A: float(DPI), 0x011B: float(DPI), 0x0128: 2})
    shot: dict[int, Any] = {
        0x829A: IFDRational(1, 60),
        0x829D: IFDRational(8),
        0x8827: 400,
        0x9003: TAKEN,
        0x9286: b"ASCII\0\0\0hello",
        0xA002: 9999,
    }
    block.get_ifd(0x8769).update(shot | {0x927C: b"Canon\0note" * 20})
    block.get_ifd(0x8825).update({1: "N", 2: (50.0, 30.0, 1.5), 3: "E", 4: (8.0, 15.0, 0.0)})
    return block


def lying() -> Image.Image:
    """Return the picture as the camera stores it."""
    return Image.fromarray(upright()).transpose(Image.Transpose.ROTATE_90)


@functools.cache
def photo(form: str) -> bytes:
    """Return the photo in a format."""
    if form == "HEIC":
        # Made from lying(), exif() and wide_gamut() by pillow-heif 1.8.1, quality 95: nothing that we depend on writes HEIC.
        return (Path(__file__).parent / "data" / "lying.heic").read_bytes()
    if form in STORED_UPRIGHT:
        image = Image.fromarray(upright())
        return saved(
            image.quantize(256, dither=Image.Dither.NONE) if form == "GIF" else image,
            form,
            **({"dpi": (DPI, DPI)} if form == "BMP" else {}),
        )
    options: dict[str, Any] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    }.get(form, {})
    return saved(lying(), form, exif=exif().tobytes(), icc_profile=wide_gamut(), **options)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """Return a picture as a file."""
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@functools.cache
def decoded(form: str) -> Pixels:
    """Return the upright pixels of a format's photo, decoded by another library than the one that converts it, where there is one."""
    if form == "BMP":
        return upright()
    if form == "HEIC":
        import pi_heif

        return np.asarray(pi_heif.open_heif(BytesIO(photo(form)), convert_hdr_to_8bit=True).to_pillow().convert("RGB"))
    if form == "AVIF":  # its YUV comes out of libvips one level off, here and there
        with Image.open(BytesIO(photo(form))) as image:
            return np.asarray(ImageOps.exif_transpose(image))
    import pyvips

    return np.asarray(pyvips.Image.new_from_buffer(photo(form), "").autorot().numpy()[..., :3])
