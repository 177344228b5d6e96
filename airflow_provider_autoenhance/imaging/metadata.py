"""EXIF and resolution: read from any picture, written into any.

Kept are the tags that describe the photo: camera, exposure, time, place, author. Left out is what describes the file it came from:
orientation (applied), dimensions and strips of the old pixels, thumbnails and maker notes, whose inner positions would be wrong.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

_EXIF, _GPS = 0x8769, 0x8825
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _PREDICTOR = 0x011A, 0x011B, 0x0128, 317
_ORIENTATION, _COLOR_SPACE, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0x0112, 0xA001, 0xA002, 0xA003

#: Description, make, model, software, time, artist, host computer, rating (2), copyright, and Windows' title to subject.
_ABOUT_THE_PHOTO = (
    *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298),
    *range(0x9C9B, 0x9CA0),
)
#: Maker note, interoperability, related sound file.
_OF_THE_FILE = (0x927C, 0xA005, 0xA004)
_SRGB, _UNCALIBRATED = 1, 0xFFFF
_UNDEFINED, _LONG = 7, 4
_HEADER = b"II*\0\x08\0\0\0"


@dataclass
class Tags:
    """EXIF tags by number: of the picture, of the shot, of the place."""

    main: dict[int, Any] = field(default_factory=dict)
    shot: dict[int, Any] = field(default_factory=dict)
    place: dict[int, Any] = field(default_factory=dict)


def read_tags(image: Image.Image, notes: list[str]) -> Tags:
    """Read what describes the photo; damaged EXIF is left out, and noted."""
    try:
        exif = image.getexif()
        main = {tag: exif[tag] for tag in _ABOUT_THE_PHOTO if tag in exif}
        shot = {tag: value for tag, value in exif.get_ifd(_EXIF).items() if tag not in _OF_THE_FILE}
        tags = Tags(main, shot, dict(exif.get_ifd(_GPS)))
        _block(tags)
    except (
        ValueError,
        TypeError,
        KeyError,
        SyntaxError,
        OSError,
        struct.error,
        AttributeError,
        IndexError,
        OverflowError,
        ZeroDivisionError,
    ):
        notes.append("its EXIF is damaged, and was left out")
        return Tags()
    return tags


def read_dpi(image: Image.Image) -> int | None:
    """Dots per inch as the file says, if it does."""
    try:
        if "dpi" in image.info:
            dpi = float(image.info["dpi"][0])
        else:
            exif = image.getexif()
            dpi = float(exif.get(_X_RESOLUTION, 0)) * {3: 2.54}.get(exif.get(_RESOLUTION_UNIT, 2), 1)
    except (ValueError, TypeError, ZeroDivisionError, SyntaxError, OSError, IndexError, struct.error):
        return None
    return round(dpi) if 0.5 <= dpi <= 65535 else None


def for_output(tags: Tags, *, size: tuple[int, int], dpi: int | None, is_srgb: bool) -> Tags:
    """Return the tags as they are true of an output.

    :param dpi: said here too, because readers believe EXIF before the container, and WEBP and AVIF have nothing else.
    """
    main, shot = dict(tags.main), dict(tags.shot)
    if dpi is not None:
        main |= {_X_RESOLUTION: float(dpi), _Y_RESOLUTION: float(dpi), _RESOLUTION_UNIT: 2}
    if shot:
        shot |= {_PIXEL_WIDTH: size[0], _PIXEL_HEIGHT: size[1], _COLOR_SPACE: _SRGB if is_srgb else _UNCALIBRATED}
    if main or shot or tags.place:
        main[_ORIENTATION] = 1
    return Tags(main, shot, dict(tags.place))


def exif_block(tags: Tags) -> bytes:
    """Spell tags as the EXIF block of JPEG, PNG, WEBP and AVIF; empty without tags."""
    return b"Exif\0\0" + _block(tags) if tags.main or tags.shot or tags.place else b""


def append_to_tiff(path: Path, tags: Tags) -> None:
    """Add the tags of shot and place to a TIFF file.

    Pillow cannot write them into a compressed TIFF (RuntimeError "Error setting from dictionary"). So the file's directory is written
    again, behind its end, with two entries more.
    """
    if not tags.shot and not tags.place:
        return
    with path.open("r+b") as file:
        head = file.read(8)
        order = "<" if head[:2] == b"II" else ">"
        (start,) = struct.unpack(order + "I", head[4:])
        file.seek(start)
        (count,) = struct.unpack(order + "H", file.read(2))
        entries = [file.read(12) for _ in range(count)]
        end = file.seek(0, 2)
        file.write(bytes(end % 2))
        for tag, part in ((_EXIF, tags.shot), (_GPS, tags.place)):
            if part:
                entries.append(struct.pack(order + "HHII", tag, _LONG, 1, file.tell()))
                block = _directory(part, file.tell(), tag, order)
                file.write(block + bytes(len(block) % 2))
        directory = file.tell()
        entries.sort(key=lambda entry: struct.unpack(order + "H", entry[:2]))
        file.write(struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4))
        file.seek(4)
        file.write(struct.pack(order + "I", directory))


def _block(tags: Tags) -> bytes:
    """A TIFF structure of the three directories."""
    main = dict(tags.main) | {tag: 0 for tag, part in ((_EXIF, tags.shot), (_GPS, tags.place)) if part}
    at = len(_HEADER) + len(_directory(main, len(_HEADER)))
    behind = b""
    for tag, part in ((_EXIF, tags.shot), (_GPS, tags.place)):
        if part:
            behind += bytes((at + len(behind)) % 2)
            main[tag] = at + len(behind)
            behind += _directory(part, at + len(behind), tag)
    return _HEADER + _directory(main, len(_HEADER)) + behind


def _directory(entries: dict[int, Any], at: int, group: int | None = None, order: str = "<") -> bytes:
    """Spell a directory that stands at a file position. Pillow chooses each field's type by its tag or value."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    directory = ImageFileDirectory_v2(b"II*\0\0\0\0\0" if order == "<" else b"MM\0*\0\0\0\0", group=group)
    for tag, value in entries.items():
        directory[tag] = value
        if tag in (_EXIF, _GPS):
            directory.tagtype[tag] = _LONG
        elif group == _EXIF and isinstance(value, bytes):
            directory.tagtype[tag] = _UNDEFINED
    return bytes(directory.tobytes(at))
