"""Thumbnails: small WEBP pictures for people, upright, in sRGB, without EXIF. Of pixels at hand, or of a copy of a file that passes.

Nothing that goes wrong here is an error of the photo: :class:`Copy` gives a reason in words instead of a picture.
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Self, cast

from airflow_provider_autoenhance.api.errors import ConversionError
from airflow_provider_autoenhance.imaging import color, decode, sniff
from airflow_provider_autoenhance.imaging.budget import process_budget
from airflow_provider_autoenhance.imaging.cost import megabytes_for
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.imaging.picture import Picture

if TYPE_CHECKING:
    from PIL import Image

#: Pixels.
LONGEST_SIDE = 640
#: Content-Type of a thumbnail.
MIME = "image/webp"
#: Bytes. A bigger file is not copied for its thumbnail's sake.
MOST_COPIED = 96 << 20

_QUALITIES = (70, 40)  # the second one for grainy pictures
_EFFORT = 1  # 0 makes files a third bigger, 4 takes thrice the time
_USUAL_BYTES = 60_000
_KINDS = (sniff.JPEG, sniff.PNG, sniff.WEBP, sniff.TIFF, sniff.HEIC, sniff.AVIF, sniff.BMP, sniff.GIF)
_HEAD = 4096

#: Threads that decode: each takes a core, and the C library keeps what it has taken once, a few megabytes.
_THREADS = max(2, min(4, os.cpu_count() or 2))


@dataclass(frozen=True)
class Thumbnail:
    """A thumbnail.

    :param data: the WEBP file.
    :param width: of the picture that it shows, upright, in pixels.
    """

    data: bytes = field(repr=False)
    width: int
    height: int


def thumbnail_of(source: Path | BinaryIO, *, about: str) -> Thumbnail:
    """Make the thumbnail of a picture file. A JPEG is decoded at a fraction of its size; others whole, within the memory budget.

    >>> thumbnail_of(Path("kitchen.jpg"), about="kitchen.jpg").width  # doctest: +SKIP
    6000

    :param source: an open one must be seekable.
    :raises ConversionError: it is not a picture that is decoded here, or it is damaged.
    """
    return _threads(os.getpid()).submit(_made, source, about).result()


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """The threads of a process; one that was forked off has none of another's."""
    return ThreadPoolExecutor(_THREADS, thread_name_prefix=f"autoenhance-thumbnails-{process}")


def _made(source: Path | BinaryIO, about: str) -> Thumbnail:
    if _kind(source) is sniff.JPEG:
        reduced, width, height = decode.decode_reduced(source, side=LONGEST_SIDE, about=about)
        return Thumbnail(_encoded(reduced), width, height)
    header = decode.read_header(source, about=about)
    if max(header.width, header.height) <= LONGEST_SIDE and (data := _plain_webp(source)):
        return Thumbnail(data, header.width, header.height)
    with process_budget().reserve(megabytes_for(header, [OutputSpec(format="webp", max_width=LONGEST_SIDE)])):
        return thumbnail_of_picture(decode.decode(source, about=about))


def thumbnail_of_picture(picture: Picture) -> Thumbnail:
    """Make the thumbnail of a decoded picture, which stays as it is."""
    width, height = picture.image.size
    return Thumbnail(_encoded(picture), width, height)


class Copy:
    """A copy of a file on its way, in a temporary file without a name, for its thumbnail: the bytes do not have to be read again.

    It looks on as a check of a stream does, and never finds anything wrong. Use it in a ``with`` statement.

    ::

        with Copy() as copy:
            destination.write(CheckedReader(download, name=name, size=size, checks=[copy.begun()]), ...)
            picture = copy.thumbnail("kitchen.jpg")

    :param most: bytes; of a longer file there is not a copy.
    """

    def __init__(self, most: int = MOST_COPIED) -> None:
        self._most = most
        self._too_big = f"it has more than {most >> 20} MB"
        self._file: IO[bytes] | None = None
        #: Bytes that have passed.
        self.length = 0
        self._whole = False
        self._made: Thumbnail | None = None
        #: Why there is not a thumbnail, in words.
        self.problem: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def begun(self, size: int | None = None) -> Self:
        """Begin anew: another try sends the file from its start.

        :param size: bytes, where that is known.
        """
        self._close()
        self.length, self._whole, self._made, self.problem = 0, False, None, None
        if size is not None and size > self._most:
            self._give_up(self._too_big)
        return self

    def feed(self, block: bytes, /) -> None:
        """Take the next bytes."""
        if self.problem or not block:
            return
        try:
            if self._file is None:
                kind = sniff.sniff(block[:_HEAD])
                if kind not in _KINDS:
                    self.problem = f"{kind.name if kind else 'what it is'} is not decoded here"
                    return
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the copy
            self.length += len(block)
            if self.length > self._most:
                self._give_up(self._too_big)
            else:
                self._file.write(block)
        except OSError as error:  # a full disk, most likely
            self._give_up(f"the temporary folder takes no copy ({error.strerror or type(error).__name__})")

    def finish(self) -> None:
        """Note that it has passed whole."""
        self._whole = True

    @staticmethod
    def size_of(head: bytes) -> dict[str, int]:
        """Return ``width`` and ``height`` of a picture, upright, as its first bytes show them; empty where they do not."""
        try:
            header = decode.read_header(BytesIO(head), about="")
        except ConversionError:
            return {}
        return {"width": header.width, "height": header.height}

    def look_at(self, picture: Picture) -> None:
        """Make the thumbnail of what is decoded anyway."""
        try:
            self._made = thumbnail_of_picture(picture)
        except Exception as error:  # noqa: BLE001 - never the photo's problem
            self._give_up(f"{error!s:.200}")

    def thumbnail(self, about: str) -> Thumbnail | None:
        """Return the thumbnail of what has passed; ``None`` where that cannot be, and :attr:`problem` says why."""
        try:
            if self._made is None and self._file is not None and self._whole and not self.problem:
                self._file.flush()
                self._made = thumbnail_of(cast("BinaryIO", self._file), about=about)
        except Exception as error:  # noqa: BLE001 - never the photo's problem
            self._give_up(f"{error!s:.200}")
        finally:
            self._close()
        return self._made

    def _give_up(self, problem: str) -> None:
        self.problem = problem
        self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:  # what could not be written any more
                return


def _kind(source: Path | BinaryIO) -> sniff.ImageFormat | None:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return sniff.sniff(file.read(_HEAD))
    source.seek(0)
    return sniff.sniff(source.read(_HEAD))


def _plain_webp(source: Path | BinaryIO) -> bytes | None:
    """Return a file that is as a thumbnail is: WEBP in its simple form, which has neither EXIF nor profile."""
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
        file.seek(0)
        data = file.read(_USUAL_BYTES + 1)
    length = int.from_bytes(data[16:20], "little")
    simple = data[8:16] == b"WEBPVP8 " and 0 <= len(data) - 20 - length <= 1  # chunks are filled up to even lengths
    return data if simple and len(data) <= _USUAL_BYTES else None


def _encoded(picture: Picture) -> bytes:
    small = replace(picture, image=_small(picture.image))
    if small.image.mode == "RGBA":
        small = replace(small, image=color.flattened(small.image))
    pixels = small.image
    if small.profile is None or not color.description(small.profile).startswith("sRGB"):
        pixels, _ = color.adapt(small, OutputSpec(color_profile="sRGB"), {})
    pixels.info = {}
    out = BytesIO()
    for quality in _QUALITIES:
        out = BytesIO()
        pixels.save(out, "WEBP", quality=quality, method=_EFFORT)
        if out.tell() <= _USUAL_BYTES:
            break
    return out.getvalue()


def _small(image: Image.Image) -> Image.Image:
    from PIL import Image

    if max(image.size) <= LONGEST_SIDE:
        return image.copy()
    part = LONGEST_SIDE / max(image.size)
    size = (max(1, round(image.width * part)), max(1, round(image.height * part)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
