"""EXIF and resolution: read from any picture, written into any.

Kept are the tags that describe the photo: camera, exposure, time, place, author. Left out is what describes the file it came from:
orientation (applied), dimensions and strips of the old pixels, thumbnails and maker notes, whose inner positions would be wrong.

Fields go out byte for byte as they came in. EXIF does not say in which encoding a text is, so nothing here decodes one.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_autoenhance.imaging.tiff import Directory, TiffParts

if TYPE_CHECKING:
    from PIL import Image

_EXIF, _GPS = 0x8769, 0x8825
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_ORIENTATION, _COLOR_SPACE, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0x0112, 0xA001, 0xA002, 0xA003

#: Description, make, model, software, time, artist, host computer, rating (2), copyright, and Windows' title to subject.
_ABOUT_THE_PHOTO = (
    *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298),
    *range(0x9C9B, 0x9CA0),
)
#: Maker note, interoperability, related sound file, padding, offset of the maker note.
_OF_THE_FILE = (0x927C, 0xA005, 0xA004, 0xEA1C, 0xEA1D)
_SRGB, _UNCALIBRATED = 1, 0xFFFF
_HEADER = b"II*\0\x08\0\0\0"
_MOST_BYTES = 65_000  # of a JPEG's EXIF, which is one segment

_SHORT, _LONG, _RATIONAL = 3, 4, 5
_WIDTHS = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8}
"""Bytes of a number by its kind; of a fraction, of each half. Other kinds are single bytes."""

_KINDS = frozenset({*range(1, 13), 129})
_TEXT, _NUMBER, _FRACTION = frozenset({2, 129}), frozenset({1, 3, 4, 6, 8, 9}), frozenset({5, 10})
_BYTES = frozenset({1, 2, 7, 129})
_EXIF_TEXT = (
    *(0x8824, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292),
    *(0xA420, 0xA430, 0xA431, *range(0xA433, 0xA43D)),
)
_EXIF_NUMBERS = (
    *(0x8822, 0x8827, *range(0x8830, 0x8836), 0x9207, 0x9208, 0x9209, 0x9214, 0xA001, 0xA002, 0xA003, 0xA210, 0xA214),
    *(0xA217, 0xA401, 0xA402, 0xA403, 0xA405, 0xA406, 0xA408, 0xA409, 0xA40A, 0xA40C, 0xA460, 0xA461),
)
_EXIF_FRACTIONS = (
    *(0x829A, 0x829D, 0x9102, *range(0x9201, 0x9207), 0x920A, *range(0x9400, 0x9406)),
    *(0xA20B, 0xA20E, 0xA20F, 0xA215, 0xA404, 0xA432, 0xA500),
)
_EXIF_BYTES = (0x8828, 0x9000, 0x9101, 0x9286, 0xA000, 0xA20C, 0xA300, 0xA301, 0xA302, 0xA40B, 0xA462)

#: Kinds that a field may have, by its directory; any kind does for what is not named.
_FITTING: dict[int, dict[int, frozenset[int]]] = {
    0: {
        **dict.fromkeys(_ABOUT_THE_PHOTO, _TEXT),
        **dict.fromkeys((0x4746, 0x4749), _NUMBER),
        **dict.fromkeys(range(0x9C9B, 0x9CA0), _BYTES),
    },
    _EXIF: {
        **dict.fromkeys(_EXIF_TEXT, _TEXT),
        **dict.fromkeys(_EXIF_NUMBERS, _NUMBER),
        **dict.fromkeys(_EXIF_FRACTIONS, _FRACTION),
        **dict.fromkeys(_EXIF_BYTES, _BYTES),
    },
    _GPS: {
        **dict.fromkeys((1, 3, 8, 9, 10, 12, 14, 16, 18, 19, 21, 23, 25, 29), _TEXT),
        **dict.fromkeys((0, 5, 30), _NUMBER),
        **dict.fromkeys((2, 4, 6, 7, 11, 13, 15, 17, 20, 22, 24, 26, 31), _FRACTION),
        **dict.fromkeys((27, 28), _BYTES),
    },
}


@dataclass(frozen=True)
class Field:
    """A field's value as files hold it.

    :param kind: TIFF's number for its type.
    :param raw: little-endian.
    """

    kind: int
    count: int
    raw: bytes


Fields = dict[int, Field]


@dataclass
class Tags:
    """EXIF fields by number: of the picture, of the shot, of the place."""

    main: Fields = field(default_factory=dict)
    shot: Fields = field(default_factory=dict)
    place: Fields = field(default_factory=dict)


def read_tags(image: Image.Image, notes: list[str]) -> Tags:
    """Read what describes the photo. What is damaged, of a wrong type or too long is left out, and noted.

    :param image: a TIFF must not have been loaded yet: its EXIF is in the file.
    """
    parts = _exif_of(image)
    if parts is None:
        return Tags()
    first = (parts.directory(parts.first or 0) or (None, None))[0]
    if first is None:
        notes.append("its EXIF is damaged, and was left out")
        return Tags()
    bad: list[int] = []
    inside = {tag: _inside(parts, first, tag, bad) for tag in (_EXIF, _GPS)}
    tags = Tags(
        _read(parts, {tag: first[tag] for tag in _ABOUT_THE_PHOTO if tag in first}, 0, bad),
        _read(parts, {tag: entry for tag, entry in inside[_EXIF].items() if tag not in _OF_THE_FILE}, _EXIF, bad),
        _read(parts, inside[_GPS], _GPS, bad),
    )
    bad += _too_long(tags)
    if bad:
        notes.append(f"EXIF fields that are damaged, of a wrong type or too long were left out: {_named(bad)}")
    return tags


def _exif_of(image: Image.Image) -> TiffParts | None:
    """The TIFF structure that holds a picture's EXIF; ``None`` where it has none."""
    if image.format == "TIFF":
        file = getattr(image, "fp", None)
        return _TiffFile(file) if file is not None else None
    data = image.info.get("exif")
    if data is None and "Raw profile type exif" in image.info:  # as ImageMagick writes it into PNG
        try:
            data = bytes.fromhex("".join(str(image.info["Raw profile type exif"]).split("\n")[3:]))
        except ValueError:
            data = b"damaged"
    if not isinstance(data, bytes) or not data:
        return None
    while data.startswith(b"Exif\0\0"):
        data = data[6:]
    return TiffParts(data)


class _TiffFile(TiffParts):
    """A TIFF file, read as far as it is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, 2)
        super().__init__(self.bytes_at(0, 16) or b"")

    def bytes_at(self, position: int, length: int) -> bytes | None:
        """Return bytes of the file."""
        if position + length > self._size:
            return None
        self._file.seek(position)
        found = self._file.read(length)
        return found if len(found) == length else None


def _inside(parts: TiffParts, first: Directory, tag: int, bad: list[int]) -> Directory:
    if tag not in first:
        return {}
    found = next((parts.directory(position) for position in parts.integers(first[tag])[:1]), None)
    if found is None:
        bad.append(tag)
    return found[0] if found else {}


def _read(parts: TiffParts, directory: Directory, group: int, bad: list[int]) -> Fields:
    fields: Fields = {}
    for tag, entry in directory.items():
        raw = parts.value(entry)
        if raw is None or entry.kind not in _FITTING[group].get(tag, _KINDS):
            bad.append(tag)
        else:
            fields[tag] = Field(entry.kind, entry.count, raw if parts.order == "<" else _turned(raw, entry.kind))
    return fields


def _turned(raw: bytes, kind: int) -> bytes:
    """Turn the bytes of each number round."""
    width = _WIDTHS.get(kind, 1)
    return b"".join(raw[at : at + width][::-1] for at in range(0, len(raw), width)) if width > 1 else raw


def _too_long(tags: Tags) -> list[int]:
    """Leave out the longest fields until all fit into a JPEG, and return which."""
    gone = []
    while len(_block(tags)) > _MOST_BYTES:
        every = [
            (len(found.raw), tag, part) for part in (tags.main, tags.shot, tags.place) for tag, found in part.items()
        ]
        _, tag, part = max(every, key=lambda each: each[:2])
        del part[tag]
        gone.append(tag)
    return gone


def _named(tags: list[int]) -> str:
    from PIL.ExifTags import TAGS

    shown = [str(TAGS.get(tag, f"0x{tag:04x}")) for tag in tags[:5]]
    return ", ".join(shown) + (f" and {len(tags) - 5} more" if len(tags) > 5 else "")


def read_dpi(image: Image.Image) -> int | None:
    """Dots per inch as the file says, if it does."""
    try:
        if "dpi" in image.info:
            dpi = float(image.info["dpi"][0])
        else:
            exif = image.getexif()
            dpi = float(exif.get(_X_RESOLUTION, 0)) * {3: 2.54}.get(exif.get(_RESOLUTION_UNIT, 2), 1)
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything
        return None
    return round(dpi) if 0.5 <= dpi <= 65535 else None


def for_output(tags: Tags, *, size: tuple[int, int], dpi: int | None, is_srgb: bool) -> Tags:
    """Return the tags as they are true of an output.

    :param dpi: said here too, because readers believe EXIF before the container, and WEBP and AVIF have nothing else.
    """
    main, shot = dict(tags.main), dict(tags.shot)
    if dpi is not None:
        resolution = Field(_RATIONAL, 1, struct.pack("<II", dpi, 1))
        main |= {_X_RESOLUTION: resolution, _Y_RESOLUTION: resolution, _RESOLUTION_UNIT: _number(2, _SHORT)}
    if shot:
        shot |= {_PIXEL_WIDTH: _number(size[0]), _PIXEL_HEIGHT: _number(size[1])}
        shot[_COLOR_SPACE] = _number(_SRGB if is_srgb else _UNCALIBRATED, _SHORT)
    return Tags(main, shot, dict(tags.place))


def exif_block(tags: Tags, *, upright: bool = True) -> bytes:
    """Spell tags as the EXIF block of JPEG, PNG, WEBP and AVIF; empty without tags.

    :param upright: say so.
    """
    if not (tags.main or tags.shot or tags.place):
        return b""
    main = tags.main | ({_ORIENTATION: _number(1, _SHORT)} if upright else {})
    return b"Exif\0\0" + _block(Tags(main, tags.shot, tags.place))


def append_to_tiff(path: Path, tags: Tags) -> None:
    """Add the tags to a TIFF file.

    Pillow can write neither fields of shot and place into a compressed TIFF (RuntimeError "Error setting from dictionary") nor texts
    beyond ASCII. So the file's directory is written again, behind its end, with these fields in it.
    """
    with path.open("r+b") as file:
        head = file.read(8)
        order = "<" if head[:2] == b"II" else ">"
        (start,) = struct.unpack(order + "I", head[4:])
        file.seek(start)
        (count,) = struct.unpack(order + "H", file.read(2))
        entries = {entry[:2]: entry for entry in (file.read(12) for _ in range(count))}
        at = file.seek(0, 2)
        file.write(bytes(at % 2))
        fields = dict(tags.main)
        for tag, part in ((_EXIF, tags.shot), (_GPS, tags.place)):
            if part:
                fields[tag] = _number(file.tell())
                file.write(_directory(part, file.tell(), order))
        values = b""
        for tag, each in fields.items():
            entry, behind = _entry(tag, each, file.tell() + len(values), order)
            entries[entry[:2]] = entry
            values += behind
        file.write(values)
        directory = file.tell()
        ordered = sorted(entries.values(), key=lambda entry: struct.unpack(order + "H", entry[:2]))
        file.write(struct.pack(order + "H", len(ordered)) + b"".join(ordered) + bytes(4))
        file.seek(4)
        file.write(struct.pack(order + "I", directory))


def _number(value: int, kind: int = _LONG) -> Field:
    return Field(kind, 1, value.to_bytes(_WIDTHS[kind], "little"))


def _block(tags: Tags) -> bytes:
    """A TIFF structure of the three directories."""
    parts = {tag: part for tag, part in ((_EXIF, tags.shot), (_GPS, tags.place)) if part}
    main = tags.main | {tag: _number(0) for tag in parts}
    at = len(_HEADER) + len(_directory(main, len(_HEADER)))
    behind = b""
    for tag, part in parts.items():
        main[tag] = _number(at + len(behind))
        behind += _directory(part, at + len(behind))
    return _HEADER + _directory(main, len(_HEADER)) + behind


def _directory(fields: Mapping[int, Field], at: int, order: str = "<") -> bytes:
    """Spell a directory that stands at a file position."""
    place = at + 2 + 12 * len(fields) + 4
    entries = values = b""
    for tag, each in sorted(fields.items()):
        entry, behind = _entry(tag, each, place + len(values), order)
        entries += entry
        values += behind
    return struct.pack(order + "H", len(fields)) + entries + bytes(4) + values


def _entry(tag: int, found: Field, place: int, order: str) -> tuple[bytes, bytes]:
    """Spell an entry, and what stands at a file position because the entry cannot hold it."""
    raw = found.raw if order == "<" else _turned(found.raw, found.kind)
    value, behind = (
        (raw.ljust(4, b"\0"), b"") if len(raw) <= 4 else (struct.pack(order + "I", place), raw + bytes(len(raw) % 2))
    )
    return struct.pack(order + "HHI", tag, found.kind, found.count) + value, behind
