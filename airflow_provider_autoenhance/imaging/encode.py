"""Pixels into a file, one function per format."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_autoenhance.api.errors import ConversionError, SettingsError
from airflow_provider_autoenhance.imaging import metadata, sniff
from airflow_provider_autoenhance.imaging.cost import FULL_COLOR_FROM, check_side
from airflow_provider_autoenhance.imaging.integrity import check_for, never_again
from airflow_provider_autoenhance.imaging.output import QUALITIES, OutputSpec

if TYPE_CHECKING:
    from PIL import Image

_PNG_LEVELS = {"fast": 1, "optimal": 4, "best": 9}  # 5 to 8 take twice the time of 4 for the same size
_HORIZONTAL_DIFFERENCING = 2  # without it, LZW makes photos bigger than they were
_MOST_PER_SAMPLE = 3  # bytes of JPEG, of pure noise at the highest quality
_AROUND = 1 << 18  # bytes of headers and EXIF
_BLOCK = 1 << 20
_FORMS = {"jpeg": sniff.JPEG, "png": sniff.PNG, "tiff": sniff.TIFF, "webp": sniff.WEBP, "avif": sniff.AVIF}
_buffers = threading.Lock()  # how big they are is one number for all threads


@dataclass(frozen=True)
class Encoding:
    """What goes into a file.

    :param image: mode RGB or CMYK, or RGBA where the format has transparency.
    :param profile: ICC profile to embed, if any.
    """

    image: Image.Image
    output: OutputSpec
    tags: metadata.Tags
    profile: bytes | None
    dpi: int | None

    @property
    def quality(self) -> int:
        """What was asked for, or the format's default."""
        return self.output.own_quality or QUALITIES[self.output.format or "jpeg"]

    @property
    def common(self) -> dict[str, Any]:
        """Arguments that all of Pillow's writers take, empty ones too: or it would take them from elsewhere."""
        # Pillow spells an AVIF's EXIF in its own way where that names an orientation, with question marks for what is not ASCII.
        return {
            "exif": metadata.exif_block(self.tags, upright=self.output.format != "avif"),
            "icc_profile": self.profile,
        }

    @property
    def resolution(self) -> dict[str, Any]:
        """The resolution, for formats that have a field for it."""
        return {} if self.dpi is None else {"dpi": (self.dpi, self.dpi)}


def keeps_transparency(output: OutputSpec) -> bool:
    """Whether an output's format has transparency."""
    return output.format in ("png", "webp", "avif") or (output.format == "tiff" and output.lossless)


def check_library(output: OutputSpec) -> None:
    """Check that what writes an output is installed.

    :raises SettingsError: it is not, with the command that installs it.
    """
    try:
        from PIL import features
    except ImportError:
        raise SettingsError(
            f"{output.why_local() or output.format} is encoded by this provider, which needs "
            "pip install 'airflow-provider-autoenhance[imaging]'."
        ) from None
    if output.format == "avif" and not output.lossless and not features.check("avif"):
        raise SettingsError("this Pillow was built without AVIF; install its wheel from PyPI.")
    if output.format == "avif" and output.lossless:
        try:
            import pyvips  # noqa: F401
        except (ImportError, OSError):
            raise SettingsError(
                "lossless AVIF needs pip install 'airflow-provider-autoenhance[avif-lossless]'; WEBP and PNG are lossless without it."
            ) from None


def encode(encoding: Encoding, target: Path, *, about: str) -> None:
    """Write a file.

    :raises ConversionError: the picture is too large for the format, or the encoder gave up.
    :raises OSError: the disk has not taken all of it.
    """
    format = encoding.output.format or "jpeg"
    check_side(format, max(encoding.image.size), about=about)
    try:
        _WRITERS[format](encoding, target)
    except MemoryError:
        raise ConversionError(f"{about} does not fit into this worker's memory as {format}.") from None
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        _ask_disk(target)
        raise ConversionError(f"{about} cannot be written as {format} ({error!s:.120}).") from None
    _check_whole(target, format)


def _ask_disk(target: Path) -> None:
    """Write on where a library gave up without a reason: where the disk was full, it still is."""
    with target.open("ab") as file:
        file.write(bytes(_BLOCK))


def _check_whole(target: Path, format: str) -> None:
    """Look whether the disk has taken all of a file. Libraries pass over a write of which it took a part alone."""
    check = check_for(_FORMS[format], target.stat().st_size, again=never_again)
    with target.open("rb") as file:
        while block := file.read(_BLOCK):
            check.feed(block)
    if check.finish():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))


def _save(image: Image.Image, target: Path, format: str, **options: Any) -> None:
    """Let Pillow write a file that is not its own: its own it removes when it fails, and with it the reason, a full disk."""
    with target.open("w+b") as file:
        image.save(file, format, **options)


def _jpeg(encoding: Encoding, target: Path) -> None:
    options: dict[str, Any] = {"quality": encoding.quality, "progressive": encoding.output.progressive is not False}
    if encoding.image.mode == "RGB":
        options["subsampling"] = 0 if encoding.quality >= FULL_COLOR_FROM else 2
    options |= {"optimize": True, **encoding.resolution, **encoding.common}
    try:
        _save(encoding.image, target, "JPEG", **options)
    except OSError as error:
        if error.errno is not None:
            raise
    else:
        return
    # Pillow keeps the whole file in a buffer that grainy pictures, inks and small pictures with much beside them do not fit into.
    width, height = (-(-side // 16) * 16 for side in encoding.image.size)
    samples = len(encoding.image.getbands()) * width * height
    with _room_for(samples * _MOST_PER_SAMPLE + len(encoding.profile or b"") + _AROUND):
        _save(encoding.image, target, "JPEG", **options)


@contextmanager
def _room_for(size: int) -> Iterator[None]:
    """Let Pillow's buffers be so big. They are taken from the system as far as they are filled."""
    from PIL import ImageFile

    with _buffers:
        usual, ImageFile.MAXBLOCK = ImageFile.MAXBLOCK, size
        try:
            yield
        finally:
            ImageFile.MAXBLOCK = usual


def _png(encoding: Encoding, target: Path) -> None:
    level = _PNG_LEVELS[encoding.output.compression or "optimal"]
    _save(encoding.image, target, "PNG", compress_level=level, **encoding.resolution, **encoding.common)


def _tiff(encoding: Encoding, target: Path) -> None:
    image, options = encoding.image, {"icc_profile": encoding.profile, **encoding.resolution}
    if encoding.output.lossless:
        _save(image, target, "TIFF", compression="tiff_lzw", tiffinfo={317: _HORIZONTAL_DIFFERENCING}, **options)
    else:
        _save(image.convert("YCbCr"), target, "TIFF", compression="jpeg", quality=encoding.quality, **options)
    metadata.append_to_tiff(target, encoding.tags)


def _webp(encoding: Encoding, target: Path) -> None:
    # exact: the colours under full transparency are pixels, too.
    options = {"lossless": True, "exact": True} if encoding.output.lossless else {"quality": encoding.quality}
    _save(encoding.image, target, "WEBP", **options, **encoding.common)


def _avif(encoding: Encoding, target: Path) -> None:
    if not encoding.output.lossless:
        _save(encoding.image, target, "AVIF", quality=encoding.quality, **encoding.common)
        return
    # Pillow's plugin has no way to store RGB as it is: at its best it is off by up to 3 of 255.
    import pyvips

    image, bands = encoding.image, len(encoding.image.getbands())
    pixels = pyvips.Image.new_from_memory(image.tobytes(), image.width, image.height, bands, "uchar")
    pixels = pixels.copy(interpretation="srgb")
    exif = metadata.exif_block(encoding.tags)
    if exif:
        pixels.set_type(pyvips.GValue.blob_type, "exif-data", exif)
    if encoding.profile:
        pixels.set_type(pyvips.GValue.blob_type, "icc-profile-data", encoding.profile)
    try:
        data: bytes = pixels.heifsave_buffer(compression="av1", lossless=True, effort=2)
    except pyvips.Error as error:
        raise OSError(str(error)) from None
    target.write_bytes(data)


_WRITERS: dict[str, Callable[[Encoding, Path], None]] = {
    "jpeg": _jpeg,
    "png": _png,
    "tiff": _tiff,
    "webp": _webp,
    "avif": _avif,
}
