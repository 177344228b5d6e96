"""A picture file's first frame as upright RGB, RGBA or CMYK pixels of 8 bits, with the profile and the EXIF that describe them."""

from __future__ import annotations

import errno
import functools
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_autoenhance.api.errors import AutoenhanceError, ConversionError
from airflow_provider_autoenhance.imaging import apart, color, metadata, sniff
from airflow_provider_autoenhance.imaging.budget import process_budget
from airflow_provider_autoenhance.imaging.cost import Header
from airflow_provider_autoenhance.imaging.exif_blocks import heif_blocks
from airflow_provider_autoenhance.imaging.heif import MainPicture, main_picture
from airflow_provider_autoenhance.imaging.picture import Picture

if TYPE_CHECKING:
    from PIL import Image

#: More is taken for a decompression bomb. The biggest cameras make 151 megapixels; Pillow's own bound is 178.9.
MAX_MEGAPIXELS = 160.0

#: What is decoded in this process; HEIC and AVIF are not, see :mod:`~airflow_provider_autoenhance.imaging.apart`.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
#: What decoders raise on damaged files.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error, AttributeError),
    *(AssertionError, LookupError, TypeError, ArithmeticError),
)
#: What a disk says of a place that a damaged file leads to; ``None`` is what decoders say by themselves.
_NOT_OF_THE_DISK = (None, errno.EINVAL, errno.EOVERFLOW)
_APART = (sniff.HEIC, sniff.AVIF)
_ORIENTATION, _BITS, _PLANES = 0x0112, 258, 284
_ON_ITS_SIDE = range(5, 9)
_MOST_EXIF = 1 << 20  # bytes
_PROGRESSIVE = 6.0  # bytes for each pixel
_CUT = "more than 8 bits per channel cut to 8"
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def read_header(source: Path | BinaryIO, *, about: str) -> Header:
    """Look at a file's beginning; nothing is decoded yet.

    :raises ConversionError: not a picture, of a format that is not decoded, or too many pixels.
    """
    with _damage_named(about):
        return _header(source, about)


def _header(source: Path | BinaryIO, about: str) -> Header:
    if _kind(source) in _APART:
        main = _main(source, about)
        return Header(*main.shown, transparent=main.transparent, apart=True)
    with _opened(source, about) as image:
        width, height = image.size
        if "exif" in image.info and _orientation(image) in _ON_ITS_SIDE:
            width, height = height, width
        transparent = image.mode in _ALPHA or "transparency" in image.info
        return Header(width, height, transparent=transparent, cmyk=image.mode == "CMYK")


def decode(source: Path | BinaryIO, *, about: str) -> Picture:
    """Decode the first frame.

    :raises ConversionError: as :func:`read_header`, or the file is cut short or damaged.
    """
    with _damage_named(about):
        return _decoded(source, about)


def _decoded(source: Path | BinaryIO, about: str) -> Picture:
    notes: list[str] = []
    upright, profile, tags, dpi = _loaded(source, notes, about)
    transparency = "transparency" in upright.info
    upright.info = {name: value for name, value in upright.info.items() if name == "transparency"}
    if profile and not color.fits(profile, upright.mode):
        profile = None
        notes.append("its colour profile is damaged or of another colour space, and was left out")
    pixels, profile = _plain(upright, profile, transparency, about)
    pixels.info = {}
    return Picture(pixels, profile, tags, dpi, notes)


def decode_reduced(source: Path | BinaryIO, *, side: int, about: str) -> tuple[Picture, int, int]:
    """Decode a JPEG at an eighth, a quarter or half of its size, which takes a fraction of the time and memory.

    :param side: the longest side has at least so many pixels, as far as the file has them.
    :returns: the picture, without its EXIF; and the size of the whole one, upright.
    :raises ConversionError: as :func:`decode`.
    """
    from PIL import ImageOps

    with _damage_named(about), _opened(source, about) as image:
        width, height = image.size
        # A progressive one is kept whole while it is decoded.
        kept = width * height * _PROGRESSIVE / 1e6 if image.info.get("progressive") else 0.0
        orientation, profile = _orientation(image), image.info.get("icc_profile")
        fraction = next((each for each in (8, 4, 2) if max(width, height) // each >= side), 1)
        image.draft(None, (max(1, width // fraction), max(1, height // fraction)))
        with process_budget().reserve(kept) if kept else nullcontext():
            image.load()
        pixels = image.convert("RGB") if image.mode not in ("L", "RGB", "CMYK") else image.copy()
        pixels.info = {}
        pixels.getexif()[_ORIENTATION] = orientation
        pixels = ImageOps.exif_transpose(pixels)
        if profile and not color.fits(profile, pixels.mode):
            profile = None
        pixels, profile = _plain(pixels, profile, False, about)
        pixels.info = {}
    if orientation in _ON_ITS_SIDE:
        width, height = height, width
    return Picture(pixels, profile, metadata.Tags(), None, []), width, height


def _loaded(
    source: Path | BinaryIO, notes: list[str], about: str
) -> tuple[Image.Image, bytes | None, metadata.Tags, int | None]:
    """Decode and turn upright. The picture as stored is given back with this function's end."""
    from PIL import ImageOps

    kind = _kind(source)
    if kind in _APART:
        image, frames, orientation = _decoded_apart(source, kind is sniff.HEIC, notes, about)
        tags = metadata.read_tags(image, notes)
    else:
        with _opened(source, about) as image:
            frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
            # A TIFF's EXIF is in the file, which is closed after loading; PNG may have its EXIF behind the pixels.
            before = metadata.read_tags(image, notes) if image.format == "TIFF" else None
            deep = _is_deep(image)
            _mend_planes(image)
            image.load()
            for name in ("icc_profile", "transparency"):
                if isinstance(image.info.get(name), str):  # a text of a PNG, which may be called as it likes
                    del image.info[name]
            if deep:
                notes.append(_CUT)
            tags = before or metadata.read_tags(image, notes)
            orientation = _orientation(image)
    if frames > 1:
        notes.append(f"first of {frames} {'pages' if image.format == 'TIFF' else 'frames'}")
    dpi, profile = metadata.read_dpi(image), image.info.get("icc_profile") or None
    # Or Pillow spells the EXIF in its own way, and fails where a field is damaged.
    for name in ("exif", "Raw profile type exif"):
        image.info.pop(name, None)
    image.getexif()[_ORIENTATION] = orientation
    return ImageOps.exif_transpose(image), profile, tags, dpi


def _orientation(image: Image.Image) -> int:
    """As EXIF, or else XMP, says; a TIFF's is applied by Pillow."""
    if image.format == "TIFF":
        return 1
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything
        return 1
    return found if isinstance(found, int) else 1


def _mend_planes(image: Any) -> None:
    """Of an uncompressed TIFF with 16 bits per channel and a plane for each, Pillow reads every byte as a level."""
    fields: Any = getattr(image, "tag_v2", {})
    bits = fields.get(_BITS, (8,))
    if fields.get(_PLANES) != 2 or 16 not in (bits if isinstance(bits, tuple) else (bits,)):
        return
    order = "B" if fields.prefix == b"MM" else "" if image.mode == "I;16" else "L"
    image.tile = [
        tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:])) if len(str(tile.args[0])) == 1 else tile
        for tile in image.tile
    ]


def _decoded_apart(source: Path | BinaryIO, heic: bool, notes: list[str], about: str) -> tuple[Image.Image, int, int]:
    """Decode in a process of its own. Its EXIF is read here, for Pillow spells an AVIF's in its own way."""
    main = _main(source, about)
    decoded = apart.decode(source, pixels=main.width * main.height, heic=heic, about=about)
    image = decoded.image
    if decoded.deep:
        notes.append(_CUT)
    if main.odd_clean:
        notes.append("the part of it that is to be shown makes no sense, so all is shown")
    elif main.clean and not heic and image.size == (main.width, main.height):  # libheif cuts by itself
        info, image = image.info, image.crop(main.clean)
        image.info = info
    with _as_ranges(source) as file:
        for start in heif_blocks(file).starts:
            image.info["exif"] = file.read(start, _MOST_EXIF)
    return image, decoded.frames, 1 if heic else decoded.orientation  # libheif turns by itself, too


def _main(source: Path | BinaryIO, about: str) -> MainPicture:
    """Read a HEIC's or AVIF's header, without its decoder."""
    with _as_ranges(source) as file:
        found = main_picture(file)
    if found is None:
        raise ConversionError(f"{about} is not a picture that can be decoded, or is damaged at its beginning.")
    _check_size(found.width, found.height, about)
    return found


class _Seekable:
    """A seekable file, as ranges."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = file.seek(0, 2)
        self._file = file

    def read(self, offset: int, length: int) -> bytes:
        if not 0 <= offset < self.size:  # a damaged file leads to places that no file has
            return b""
        self._file.seek(offset)
        return self._file.read(max(0, min(length, _MOST_EXIF)))


@contextmanager
def _as_ranges(source: Path | BinaryIO) -> Iterator[_Seekable]:
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield _Seekable(file)
    else:
        yield _Seekable(source)


def _check_size(width: int, height: int, about: str) -> None:
    megapixels = width * height / 1e6
    if megapixels > MAX_MEGAPIXELS:
        raise _too_big(about, f"{megapixels:.0f} megapixels")


@contextmanager
def _opened(source: Path | BinaryIO, about: str) -> Iterator[Image.Image]:
    from PIL import Image

    _prepare_pillow()
    if not isinstance(source, Path):
        source.seek(0)
    with Image.open(source, formats=_FORMATS) as image:
        _check_size(*image.size, about)
        yield image


@functools.cache
def _prepare_pillow() -> None:
    """Pillow warns from 89 megapixels on, as of a bomb; up to our own bound it is a photo. And it would load all of its 40 formats to find
    one of those that it does not begin with."""
    import warnings

    from PIL import Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _plain(
    image: Image.Image, profile: bytes | None, transparency: bool, about: str
) -> tuple[Image.Image, bytes | None]:
    """Turn any mode into RGB, RGBA or CMYK; grey and Lab with what their profile means."""
    if image.mode in ("I", "F"):
        raise ConversionError(f"{about} has 32 bits per channel, which are not converted; save it with 8 or 16.")
    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda level: level * (1 / 257) + 0.5).convert("L")
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


def _kind(source: Path | BinaryIO) -> sniff.ImageFormat | None:
    with _as_ranges(source) as file:
        return sniff.sniff(file.read(0, 4096))


def _too_big(about: str, found: str) -> ConversionError:
    return ConversionError(
        f"{about} has {found}; more than {MAX_MEGAPIXELS:.0f} megapixels are taken for a decompression bomb."
    )


@contextmanager
def _damage_named(about: str) -> Iterator[None]:
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except AutoenhanceError:
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
        if isinstance(error, OSError) and error.errno not in _NOT_OF_THE_DISK:
            raise
        message = str(error).strip() or type(error).__name__
        raise ConversionError(f"{about} cannot be decoded, it is cut short or damaged ({message:.120}).") from None
