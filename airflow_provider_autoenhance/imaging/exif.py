"""When, with which camera and at which exposure a photo was taken, from the first kilobytes of its file.

JPEG, TIFF, HEIC, AVIF, DNG, CR2, CR3, NEF, NRW, ARW, SR2 and RAF. One read of 64 KiB is enough for nearly all; one to
three of 16 KiB follow where a HEIC keeps its EXIF behind the picture, a TIFF its directories at the end, or a JPEG much
metadata before the picture. A file that leads on and on is given up after 16 reads of together 1 MiB at most.

No library does that: Pillow and pi-heif know no RAW; ExifRead 3.5 (pure Python, typed) knows neither CR3 nor RAF and
needs a whole file, for it takes what is missing for zeros; exiv2's bindings are under the GPL.

What it cannot know: maker notes are not read, so a serial number or a lens that stands only there stays unknown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal

from airflow_provider_autoenhance.imaging.exif_blocks import GPANO_MARK, find_exif_blocks
from airflow_provider_autoenhance.imaging.ranges import RangedFile, ReadRange
from airflow_provider_autoenhance.imaging.tiff import MAKE, MODEL, SUB_DIRECTORIES, Directory, Entry, TiffParts

Value = str | Fraction
"""A field's first value: text, or a number."""

_WIDTH, _HEIGHT, _ORIENTATION, _XMP = 256, 257, 274, 700
_EXIF_DIRECTORY, _GPS_DIRECTORY, _DNG_SERIAL = 34665, 34853, 50735
_SOUTH_OR_NORTH, _LATITUDE, _WEST_OR_EAST, _LONGITUDE = 1, 2, 3, 4  # in the directory of GPS
_EXPOSURE_TIME, _F_NUMBER, _ISO, _RECOMMENDED_INDEX, _ISO_SPEED = 33434, 33437, 34855, 34866, 34867
_TAKEN, _DIGITIZED, _TAKEN_SUBSECOND, _DIGITIZED_SUBSECOND = 36867, 36868, 37521, 37522
_SHUTTER_VALUE, _APERTURE_VALUE, _BIAS = 37377, 37378, 37380
_PIXEL_WIDTH, _PIXEL_HEIGHT, _EXPOSURE_MODE, _SERIAL, _LENS = 40962, 40963, 41986, 42033, 42036
_WANTED = frozenset(
    {MAKE, MODEL, _ORIENTATION, _DNG_SERIAL, _EXPOSURE_TIME, _F_NUMBER, _ISO, _RECOMMENDED_INDEX, _ISO_SPEED}
    | {_TAKEN, _DIGITIZED, _TAKEN_SUBSECOND, _DIGITIZED_SUBSECOND, _SHUTTER_VALUE, _APERTURE_VALUE, _BIAS}
    | {_PIXEL_WIDTH, _PIXEL_HEIGHT, _EXPOSURE_MODE, _SERIAL, _LENS}
)

_AUTO_EXPOSURE, _AUTO_BRACKET = 0, 2
_ISO_TOO_BIG = 65535  # all that fits the field; the number stands in another one then
_MAX_APEX = 30
_MAX_FIELD, _MAX_NUMBERS = 1024, 8
_TEXTS, _RATIONALS, _SIGNED = frozenset({1, 2, 7, 129}), frozenset({5, 10}), frozenset({6, 8, 9, 10, 17})
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 13: 4, 16: 8, 17: 8, 18: 8, 129: 1}
_STAMP = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")


@dataclass(frozen=True, kw_only=True)
class CaptureFacts:
    """What the camera wrote about a shot; ``None`` where it did not.

    :param captured_at: begin of the exposure (some cameras: its end) by the camera's own clock, without a zone, to the
        microsecond as far as the camera records fractions of a second.
    :param exposure_time: seconds.
    :param f_number: the aperture's.
    :param iso: sensitivity.
    :param exposure_bias: EV; of a bracket's shots the step, unless exposure was set by hand.
    :param auto_bracket: the camera was set to bracket by itself. False proves nothing: some say so only outside of
        manual exposure.
    :param auto_exposure: the camera chose the exposure for this shot alone, by its own word. False where it says nothing.
    :param make: of the camera.
    :param model: of the camera.
    :param serial_number: of the camera's body.
    :param lens: its model.
    :param width: pixels as stored, before ``orientation`` is applied.
    :param height: likewise.
    :param orientation: 1 to 8, as EXIF counts.
    :param gpano: marked by Google's GPano XMP, as panoramas and 360 degree pictures are. Of TIFF-based files and HEIC
        it is not read beyond what is at hand.
    :param place: degrees north and east, of files whose GPS fields are at hand. Cameras that have not found theirs write zeros.
    """

    captured_at: datetime | None = None
    exposure_time: float | None = None
    f_number: float | None = None
    iso: float | None = None
    exposure_bias: float | None = None
    auto_bracket: bool | None = None
    auto_exposure: bool = False
    make: str | None = None
    model: str | None = None
    serial_number: str | None = None
    lens: str | None = None
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    gpano: bool = False
    place: tuple[float, float] | None = None

    @property
    def panorama(self) -> bool:
        """A 360 degree picture or another panorama: marked so, or exactly twice as wide as high."""
        return self.gpano or (self.width is not None and self.height is not None and self.width == 2 * self.height)

    @property
    def exposure_value(self) -> float | None:
        """EV at ISO 100; one more is half the light. None without an exposure time.

        Where aperture or ISO is missing (lenses without contacts, scanners) f/1 or ISO 100 stand in: differences
        between shots with the same setup stay right.
        """
        if self.exposure_time is None:
            return None
        return math.log2((self.f_number or 1.0) ** 2 / self.exposure_time) - math.log2((self.iso or 100.0) / 100.0)


def read_capture_facts(read_range: ReadRange, size: int) -> CaptureFacts:
    """Read a photo's capture facts.

    :param read_range: gives bytes of the file: offset, length -> bytes. Asked for 64 KiB first.
    :param size: of the file, in bytes.
    :returns: what was found; a file without EXIF, a damaged one or none of a picture gives facts that are all None.
    :raises Exception: what ``read_range`` raises, and nothing else.
    """
    return capture_facts(RangedFile(read_range, size))


def capture_facts(file: RangedFile) -> CaptureFacts:
    """Read the capture facts of a file of which something may be at hand; see :func:`read_capture_facts`."""
    blocks = find_exif_blocks(file)
    place: tuple[float, float] | None = None
    fields: dict[int, Value] = {}
    extents: list[tuple[int, int]] = []
    gpano = blocks.panorama
    for start in blocks.starts:
        block = _Block(file, start)
        for directory in block.directories_with_exif():
            fields |= block.values(directory)
        extents += block.extents()
        gpano = gpano or block.marks_panorama()
        place = place or block.place()
    return _facts(fields, blocks.pixels, extents, gpano, place)


class _Block(TiffParts):
    """A TIFF block somewhere in a file, read as far as it is asked for.

    :param start: the block's position; positions inside it count from there.
    """

    def __init__(self, file: RangedFile, start: int) -> None:
        self._file, self._start = file, start
        super().__init__(file.read(start, 16))
        self._first = self._directory_at(self.first)

    def bytes_at(self, position: int, length: int) -> bytes | None:
        """Return bytes of the block that are at hand."""
        return self._file.at_hand(self._start + position, length)

    def directories_with_exif(self) -> Iterator[Directory]:
        """Yield the first directory and then, as it knows better, the EXIF directory."""
        yield self._first
        for position in self._numbers(self._first, _EXIF_DIRECTORY)[:1]:
            yield self._directory_at(int(position))

    def values(self, directory: Directory) -> dict[int, Value]:
        """Return the first value of each wanted field."""
        found: dict[int, Value] = {}
        for tag in directory.keys() & _WANTED:
            entry = directory[tag]
            if entry.kind in _TEXTS:
                found[tag] = self._raw(entry).split(b"\0", 1)[0].decode("utf-8", "replace").strip()
            elif numbers := self._numbers(directory, tag):
                found[tag] = numbers[0]
        return found

    def extents(self) -> list[tuple[int, int]]:
        """Return width and height of each picture in the block: RAW files hold previews beside the big one."""
        inside = [self._directory_at(int(at)) for at in self._numbers(self._first, SUB_DIRECTORIES)]
        pairs = [(self._numbers(each, _WIDTH), self._numbers(each, _HEIGHT)) for each in (self._first, *inside)]
        return [(int(width[0]), int(height[0])) for width, height in pairs if width and height]

    def marks_panorama(self) -> bool:
        """Whether the XMP, as far as at hand, has fields of GPano."""
        return GPANO_MARK in (self.value(self._first.get(_XMP)) or b"")

    def place(self) -> tuple[float, float] | None:
        """Return degrees north and east, as far as at hand."""
        for position in self._numbers(self._first, _GPS_DIRECTORY)[:1]:
            found = (self.directory(int(position)) or ({}, None))[0]
            north = self._degrees(found, _LATITUDE, _SOUTH_OR_NORTH, b"S")
            east = self._degrees(found, _LONGITUDE, _WEST_OR_EAST, b"W")
            if north is not None and east is not None and (north or east) and abs(north) <= 90 and abs(east) <= 180:
                return north, east
        return None

    def _degrees(self, directory: Directory, tag: int, side: int, negative: bytes) -> float | None:
        parts = self._numbers(directory, tag)
        degrees = float(sum(part / 60**n for n, part in enumerate(parts[:3])))
        return None if not parts else -degrees if (self.value(directory.get(side)) or b"")[:1] == negative else degrees

    def _directory_at(self, position: int | None) -> Directory:
        if not position:
            return {}
        count_width, entry_size, value_width = self._widths
        self._file.read(self._start + position, count_width)
        count = self.number(position, count_width) or 0
        self._file.read(self._start + position, count_width + count * entry_size + value_width)
        return (self.directory(position) or ({}, None))[0]

    def _raw(self, entry: Entry) -> bytes:
        value = self.value(entry)
        if value is not None:
            return value
        length = entry.count * _WIDTHS.get(entry.kind, 0)
        return self._file.read(self._start + entry.end - length, length) if length <= _MAX_FIELD else b""

    def _numbers(self, directory: Directory, tag: int) -> list[Fraction]:
        """Return a field's first numbers, without fractions that divide by nothing."""
        entry = directory.get(tag)
        if entry is None or entry.kind in _TEXTS:
            return []
        width, signed = _WIDTHS.get(entry.kind, 0), entry.kind in _SIGNED
        order: Literal["little", "big"] = "little" if self.order == "<" else "big"
        half = width // 2 if entry.kind in _RATIONALS else width
        raw = self._raw(entry)[: _MAX_NUMBERS * width]
        whole = [int.from_bytes(raw[at : at + half], order, signed=signed) for at in range(0, len(raw), half or 1)]
        if entry.kind not in _RATIONALS:
            return [Fraction(number) for number in whole]
        pairs = zip(whole[::2], whole[1::2], strict=False)
        return [Fraction(above, below) for above, below in pairs if below]


def _facts(
    fields: dict[int, Value],
    pixels: tuple[int, int] | None,
    extents: list[tuple[int, int]],
    gpano: bool,
    place: tuple[float, float] | None,
) -> CaptureFacts:
    width, height = _integer(fields.get(_PIXEL_WIDTH)), _integer(fields.get(_PIXEL_HEIGHT))
    if pixels is None:  # what EXIF says comes last: editors forget to mend it
        pixels = max(extents, key=lambda extent: extent[0] * extent[1], default=None)
    if pixels is None and width and height:
        pixels = width, height
    orientation, mode = _integer(fields.get(_ORIENTATION)), _integer(fields.get(_EXPOSURE_MODE))
    bias = fields.get(_BIAS)
    return CaptureFacts(
        captured_at=_moment(fields.get(_TAKEN), fields.get(_TAKEN_SUBSECOND))
        or _moment(fields.get(_DIGITIZED), fields.get(_DIGITIZED_SUBSECOND)),
        exposure_time=_positive(fields.get(_EXPOSURE_TIME)) or _power_of_two(fields.get(_SHUTTER_VALUE), -1),
        f_number=_positive(fields.get(_F_NUMBER)) or _power_of_two(fields.get(_APERTURE_VALUE), 0.5),
        iso=_sensitivity(fields),
        exposure_bias=float(bias) if isinstance(bias, Fraction) else None,
        auto_bracket=None if mode is None else mode == _AUTO_BRACKET,
        auto_exposure=mode == _AUTO_EXPOSURE,
        make=_text(fields.get(MAKE)),
        model=_text(fields.get(MODEL)),
        serial_number=_text(fields.get(_SERIAL)) or _text(fields.get(_DNG_SERIAL)),
        lens=_text(fields.get(_LENS)),
        width=(pixels or (0, 0))[0] or None,
        height=(pixels or (0, 0))[1] or None,
        orientation=orientation if orientation in range(1, 9) else None,
        gpano=gpano,
        place=place,
    )


def _moment(stamp: Value | None, subsecond: Value | None) -> datetime | None:
    """A camera whose clock was never set writes zeros or blanks."""
    found = _STAMP.match(stamp) if isinstance(stamp, str) else None
    if found is None:
        return None
    digits = re.match(r"\d+", subsecond) if isinstance(subsecond, str) else None
    microsecond = int((digits[0] if digits else "0")[:6].ljust(6, "0"))
    try:
        return datetime(*(int(part) for part in found.groups()), microsecond=microsecond)  # type: ignore[misc,arg-type]
    except ValueError:
        return None


def _sensitivity(fields: dict[int, Value]) -> float | None:
    for tag in (_ISO, _RECOMMENDED_INDEX, _ISO_SPEED):
        iso = _positive(fields.get(tag))
        if iso is not None and iso != _ISO_TOO_BIG:
            return iso
    return None


def _power_of_two(value: Value | None, factor: float) -> float | None:
    """From APEX values, which some cameras write instead."""
    if not isinstance(value, Fraction) or not 0 < abs(value) < _MAX_APEX:
        return None
    return float(2.0 ** (factor * float(value)))


def _positive(value: Value | None) -> float | None:
    return float(value) if isinstance(value, Fraction) and value > 0 else None


def _integer(value: Value | None) -> int | None:
    return int(value) if isinstance(value, Fraction) else None


def _text(value: Value | None) -> str | None:
    return (value or None) if isinstance(value, str) else None
