"""Where a picture file keeps its EXIF: a TIFF block inside JPEG, HEIC, CR3 and RAF; a TIFF-based file is one itself.

Nothing here raises on a damaged file: what cannot be read is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_provider_autoenhance.imaging.heif import Numbers as _Numbers
from airflow_provider_autoenhance.imaging.heif import Ranges, item_extents
from airflow_provider_autoenhance.imaging.heif import boxes as _boxes
from airflow_provider_autoenhance.imaging.ranges import MAX_READ, RangedFile
from airflow_provider_autoenhance.imaging.sniff import AVIF, CR3, HEIC, JPEG, RAF, sniff

GPANO_MARK = b"GPano:"
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_EXIF_MARK = b"Exif\0"
_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
_CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_RAF_JPEG_AT = 84
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1
STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_MAX_WALK_READS = 4  # a JPEG can carry megabytes of extended XMP before its picture
_MAX_STEPS = 4096
_MOST_BETWEEN = 4096  # bytes between two segments that belong to none; decoders pass over them


@dataclass
class ExifBlocks:
    """What a container holds.

    :param starts: file positions of TIFF blocks that hold EXIF fields, in order.
    :param pixels: width and height of the picture as stored, where the container states them.
    :param panorama: marked as a panorama by Google's GPano XMP.
    """

    starts: list[int] = field(default_factory=list)
    pixels: tuple[int, int] | None = None
    panorama: bool = False


def find_exif_blocks(file: RangedFile) -> ExifBlocks:
    """Find a file's EXIF, by its content.

    :raises Exception: only what reading the storage raises.
    """
    head = file.read(0, MAX_READ)
    form = sniff(head)
    if form is JPEG:
        return _jpeg(file, 0)
    if form is RAF:
        return _jpeg(file, int.from_bytes(head[_RAF_JPEG_AT : _RAF_JPEG_AT + 4], "big"))
    if form is CR3:
        return _cr3(file)
    if form in (HEIC, AVIF):
        return heif_blocks(file)
    return ExifBlocks([0] if head.startswith(TIFF_MARKS) else [])


def _jpeg(file: RangedFile, start: int) -> ExifBlocks:
    found = ExifBlocks()
    for kind, at, length in _segments(file, start):
        if kind == _APP1:
            mark = file.read(at, len(_XMP_MARK))
            if mark.startswith(_EXIF_MARK) and not found.starts:
                found.starts.append(at + 6)
            elif mark == _XMP_MARK:
                found.panorama = found.panorama or GPANO_MARK in file.read(at, length)
        elif kind in STARTS_OF_FRAME:
            frame = file.read(at, 5)
            found.pixels = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
            break
        if found.starts and file.reads >= _MAX_WALK_READS:
            break
    return found


def _segments(file: RangedFile, start: int) -> Iterator[tuple[int, int, int]]:
    """Yield kind, position and length of the content of each segment before the picture data."""
    at = start + 2 if file.read(start, 2) == b"\xff\xd8" else file.size
    for _ in range(_MAX_STEPS):
        head = file.read(at, 4)
        if len(head) < 2:
            return
        if head[0] != 0xFF or not head[1]:
            further = file.read(at + 1, _MOST_BETWEEN).find(b"\xff")
            if further < 0:
                return
            at += 1 + further
            continue
        kind = head[1]
        if kind == 0xFF:  # padding
            at += 1
        elif kind in _WITHOUT_LENGTH:
            at += 2
        else:
            length = int.from_bytes(head[2:4], "big")
            if kind in (_START_OF_SCAN, _END_OF_IMAGE) or length < 2:
                return
            yield kind, at + 4, length - 2
            at += 2 + length


def _cr3(file: RangedFile) -> ExifBlocks:
    """Canon's uuid box holds IFD0 (CMT1) and the EXIF directory (CMT2) as TIFF blocks of their own."""
    starts: dict[bytes, int] = {}
    for kind, begin, end in _boxes(file, 0, file.size):
        if kind != b"moov":
            continue
        for inner, at, until in _boxes(file, begin, end):
            if inner == b"uuid" and file.read(at, 16) == _CANON_UUID:
                starts |= {name: place for name, place, _ in _boxes(file, at + 16, until)}
        break
    return ExifBlocks([starts[name] for name in (b"CMT1", b"CMT2") if name in starts])


def heif_blocks(file: Ranges) -> ExifBlocks:
    """Find the EXIF of a HEIC or AVIF."""
    meta = next(((begin, end) for kind, begin, end in _boxes(file, 0, file.size) if kind == b"meta"), None)
    if meta is None:
        return ExifBlocks()
    inside = {kind: (begin, end) for kind, begin, end in _boxes(file, meta[0] + 4, meta[1])}
    found = ExifBlocks(pixels=_largest_extent(file, *inside.get(b"iprp", (0, 0))))
    item = _exif_item(file, *inside.get(b"iinf", (0, 0)))
    place = _item_place(file, item, *inside.get(b"iloc", (0, 0))) if item is not None else None
    if place is not None:
        in_item_data, offset = place
        offset += inside.get(b"idat", (0, 0))[0] if in_item_data else 0
        start = _tiff_start(file, offset)
        found.starts += [start] if start is not None else []
    return found


def _largest_extent(file: Ranges, begin: int, begins: int) -> tuple[int, int] | None:
    """Pictures in tiles note the tiles' extent as well as their own."""
    extents = []
    for kind, inner, until in _boxes(file, begin, begins):
        if kind == b"ipco":
            for name, at, _ in _boxes(file, inner, until):
                if name == b"ispe":
                    raw = file.read(at + 4, 8)
                    extents.append((int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:8], "big")))
    return max(extents, key=lambda extent: extent[0] * extent[1], default=None)


def _exif_item(file: Ranges, begin: int, begins: int) -> int | None:
    wide = file.read(begin, 1) != b"\0"
    for _, at, _ in _boxes(file, begin + (8 if wide else 6), begins):
        entry = file.read(at, 14)
        width = 2 if entry[:1] == b"\2" else 4
        if entry[6 + width : 10 + width] == b"Exif":
            return int.from_bytes(entry[4 : 4 + width], "big")
    return None


def _item_place(file: Ranges, item: int, begin: int, begins: int) -> tuple[bool, int] | None:
    """Return whether an item lies in the item data box, and its offset there or in the file."""
    extents = item_extents(_Numbers(file.read(begin, begins - begin)))
    return next(((method == 1, offset) for number, method, offset, _ in extents if number == item), None)


def _tiff_start(file: Ranges, offset: int) -> int | None:
    """Where the TIFF block begins in an Exif item; some phones count its offset wrong."""
    head = file.read(offset, 64)
    begins = 4 + int.from_bytes(head[:4], "big")
    if head[begins : begins + 4] in TIFF_MARKS:
        return offset + begins
    places = [place for mark in TIFF_MARKS[:2] if (place := head.find(mark)) >= 0]
    return offset + min(places) if places else None
