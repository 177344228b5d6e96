"""A picture file's first frame as upright RGB, RGBA or CMYK pixels of 8 bits, with the profile and the EXIF that describe them."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_autoenhance.api.errors import ConversionError
from airflow_provider_autoenhance.imaging import color, metadata, sniff
from airflow_provider_autoenhance.imaging.cost import Header
from airflow_provider_autoenhance.imaging.picture import Picture

if TYPE_CHECKING:
    from PIL import Image

#: More is taken for a decompression bomb. The biggest cameras make 151 megapixels; Pillow's own bound is 178.9.
MAX_MEGAPIXELS = 160.0

#: What decoders raise on damaged files.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error),
    *(KeyError, IndexError, TypeError, ZeroDivisionError, OverflowError),
)
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def read_header(source: Path | BinaryIO, *, about: str) -> Header:
    """Look at a file's beginning; nothing is decoded yet.

    :raises ConversionError: not a picture, of a format that is not decoded, or too many pixels.
    """
    with _opened(source, about) as image:
        transparent = image.mode in _ALPHA or "transparency" in image.info
        return Header(image.width, image.height, transparent=transparent, cmyk=image.mode == "CMYK")


def decode(source: Path | BinaryIO, *, about: str) -> Picture:
    """Decode the first frame.

    :raises ConversionError: as :func:`read_header`, or the file is cut short or damaged.
    """
    notes: list[str] = []
    with _damage_named(about):
        upright, profile, tags, dpi = _loaded(source, notes, about)
    transparency = "transparency" in upright.info
    upright.info = {name: value for name, value in upright.info.items() if name == "transparency"}
    if profile and not color.fits(profile, upright.mode):
        profile = None
        notes.append("its colour profile is damaged or of another colour space, and was left out")
    pixels, profile = _plain(upright, profile, transparency, about)
    pixels.info = {}
    return Picture(pixels, profile, tags, dpi, notes)


def _loaded(
    source: Path | BinaryIO, notes: list[str], about: str
) -> tuple[Image.Image, bytes | None, metadata.Tags, int | None]:
    """Decode and turn upright. The picture as stored is given back with this function's end."""
    from PIL import ImageOps

    with _opened(source, about) as image:
        frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
        if frames > 1:
            notes.append(f"first of {frames} {'pages' if image.format == 'TIFF' else 'frames'}")
        if _is_deep(image):
            notes.append("more than 8 bits per channel cut to 8")
        # A TIFF's directories are read from the file, which is closed after loading; PNG may have its EXIF behind the pixels.
        tags = metadata.read_tags(image, notes) if image.format == "TIFF" else None
        image.load()
        tags, dpi = tags or metadata.read_tags(image, notes), metadata.read_dpi(image)
        return ImageOps.exif_transpose(image), image.info.get("icc_profile") or None, tags, dpi


@contextmanager
def _opened(source: Path | BinaryIO, about: str) -> Iterator[Image.Image]:
    from PIL import Image

    _accept_big_photos()
    if not isinstance(source, Path):
        source.seek(0)
    if _is_heic(source):
        _register_heic(about)
    with _damage_named(about):
        image = Image.open(source)
    with image:
        megapixels = image.width * image.height / 1e6
        if megapixels > MAX_MEGAPIXELS:
            raise _too_big(about, f"{megapixels:.0f} megapixels")
        yield image


@functools.cache
def _accept_big_photos() -> None:
    """Pillow warns from 89 megapixels on, as of a bomb; up to our own bound it is a photo."""
    import warnings

    from PIL import Image

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _plain(
    image: Image.Image, profile: bytes | None, transparency: bool, about: str
) -> tuple[Image.Image, bytes | None]:
    """Turn any mode into RGB, RGBA or CMYK; grey and Lab with what their profile means."""
    if image.mode in ("I", "F"):
        raise ConversionError(f"{about} has 32 bits per channel, which are not converted; save it with 8 or 16.")
    if image.mode.startswith("I;16"):
        image = image.point(lambda level: level * (1 / 257)).convert("L")
        transparency = False
    if image.mode in ("RGB", "RGBA", "CMYK") and not transparency:
        return image, profile
    if image.mode == "LAB":
        return color.from_lab(image), color.srgb()
    if image.mode in ("1", "L", "LA", "La") and profile:
        return color.from_gray(image, profile), color.srgb()
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    return image.convert("RGBA" if transparency or image.mode in _ALPHA else "RGB"), profile


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has more than 8 bits per channel; Pillow cuts them while it decodes."""
    bits = getattr(image, "tag_v2", {}).get(258, (8,))
    raw = [str(tile[3]) for tile in getattr(image, "tile", ())]
    return (
        max(bits if isinstance(bits, tuple) else (bits,)) > 8
        or image.mode.startswith("I;16")
        or any(";16" in each for each in raw)
        or (image.info.get("bit_depth") or 8) > 8
    )


def _is_heic(source: Path | BinaryIO) -> bool:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return sniff.sniff(file.read(4096)) is sniff.HEIC
    head = source.read(4096)
    source.seek(0)
    return sniff.sniff(head) is sniff.HEIC


def _register_heic(about: str) -> None:
    try:
        from pi_heif import register_heif_opener
    except ImportError:
        raise ConversionError(
            f"{about} is HEIC; reading it needs pip install 'airflow-provider-autoenhance[imaging]'."
        ) from None
    register_heif_opener()


def _too_big(about: str, found: str) -> ConversionError:
    return ConversionError(
        f"{about} has {found}; more than {MAX_MEGAPIXELS:.0f} megapixels are taken for a decompression bomb."
    )


@contextmanager
def _damage_named(about: str) -> Iterator[None]:
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except ConversionError:
        raise
    except Image.DecompressionBombError:
        raise _too_big(about, "far too many pixels") from None
    except UnidentifiedImageError:
        raise ConversionError(
            f"{about} is not a picture that can be decoded, or is damaged at its beginning."
        ) from None
    except MemoryError:
        raise ConversionError(f"{about} does not fit into this worker's memory.") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        message = str(error).strip() or type(error).__name__
        raise ConversionError(f"{about} cannot be decoded, it is cut short or damaged ({message:.120}).") from None
