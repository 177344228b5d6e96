"""TIFF directories read from whatever parts of a file are at hand. DNG, NEF, ARW and CR2 are TIFF inside."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SIZES[129] = 1  # UTF-8, since Exif 3.0
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MAX_DIRECTORIES = 64
_MAX_ENTRIES = 4096
_MAX_BYTES = 1 << 20  # of one field's value
_MAX_NUMBERS = 1 << 20  # of all fields together that are read as lists of numbers

NEW_SUBFILE_TYPE, COMPRESSION, PHOTOMETRIC, MAKE, MODEL = 254, 259, 262, 271, 272
STRIP_OFFSETS, STRIP_SIZES, TILE_OFFSETS, TILE_SIZES = 273, 279, 324, 325
SUB_DIRECTORIES, JPEG_OFFSET, JPEG_SIZE = 330, 513, 514
DNG_VERSION, SONY_PRIVATE = 50706, 50740

_CFA = 32803
_RAW_COMPRESSIONS = frozenset({32767, 34713})  # Sony ARW, Nikon NEF
_DATA = ((STRIP_OFFSETS, STRIP_SIZES), (TILE_OFFSETS, TILE_SIZES), (JPEG_OFFSET, JPEG_SIZE))
_FIRST_PRIVATE_TAG = 32768  # makers put what they like into these


@dataclass(frozen=True)
class Entry:
    """One field of a directory. Its value is read when it is asked for: fields can point to one place many times over.

    :param length: bytes of its value.
    :param end: file position after its value.
    """

    kind: int
    count: int
    length: int
    end: int


Directory = dict[int, Entry]


class TiffParts:
    """Parts of a TIFF file, by position.

    :param head: the beginning, at least 8 bytes (16 of a BigTIFF).
    """

    def __init__(self, head: bytes) -> None:
        self._parts = [(0, head)]
        self.order = "<" if head[:2] == b"II" else ">"
        self.big = head[2:4] in (b"+\0", b"\0+")
        at, width = (8, 8) if self.big else (4, 4)
        self.first = self.number(at, width)
        self._numbers_left = _MAX_NUMBERS

    def add(self, position: int, part: bytes) -> None:
        """Add a further part of the file."""
        self._parts.append((position, part))

    def bytes_at(self, position: int, length: int) -> bytes | None:
        """Return bytes of the file, or None where they are not at hand."""
        for start, part in self._parts:
            if start <= position and position + length <= start + len(part):
                return part[position - start : position - start + length]
        return None

    def number(self, position: int, width: int) -> int | None:
        """Return an unsigned integer of the file."""
        raw = self.bytes_at(position, width)
        return None if raw is None else int.from_bytes(raw, "little" if self.order == "<" else "big")

    def directories(self) -> Iterator[tuple[int, Directory]]:
        """Yield position and fields of the directories in the chain from the first one, and of those inside them.

        Of a directory that is not at hand only the position is known.
        """
        waiting, seen = deque([(self.first, True)]), set[int]()
        while waiting and len(seen) < _MAX_DIRECTORIES:
            position, in_chain = waiting.popleft()
            if not position or position in seen:
                continue
            seen.add(position)
            directory, following = self.directory(position) or ({}, None)
            yield position, directory
            inner = self.integers(directory.get(SUB_DIRECTORIES))[:_MAX_DIRECTORIES]
            waiting += [(inside, False) for inside in inner]
            if in_chain:  # inside, writers leave anything in this field
                waiting.append((following, True))

    def directory(self, position: int) -> tuple[Directory, int | None] | None:
        """Return the directory at a position and the next one's position."""
        count_width, entry_size, value_width = self._widths
        count = self.number(position, count_width)
        if count is None or not 0 < count <= _MAX_ENTRIES:
            return None
        start = position + count_width
        entries: Directory = {}
        for at in range(start, start + count * entry_size, entry_size):
            tag, kind, number = self.number(at, 2), self.number(at + 2, 2), self.number(at + 4, value_width)
            if tag is None or kind is None or number is None:
                return None
            entry = self._entry(at + 4 + value_width, value_width, kind, number)
            if entry is not None:
                entries[tag] = entry
        return entries, self.number(start + count * entry_size, value_width)

    @property
    def _widths(self) -> tuple[int, int, int]:
        """Bytes of a directory's count, of an entry, and of a value or position inside one."""
        return (8, 20, 8) if self.big else (2, 12, 4)

    def _directory_end(self, position: int) -> int:
        """Return the file position after a directory, as far as at hand."""
        count_width, entry_size, value_width = self._widths
        count = self.number(position, count_width)
        if count is None:
            return position + count_width
        return position + count_width + count * entry_size + value_width if 0 < count <= _MAX_ENTRIES else 0

    def _entry(self, at: int, width: int, kind: int, count: int) -> Entry | None:
        length = _SIZES.get(kind, 0) * count
        position = at if length <= width else self.number(at, width)
        if position is None or not length:
            return None
        return Entry(kind, count, length, position + length)

    def value(self, entry: Entry | None) -> bytes | None:
        """Return a field's bytes, or None where they are not at hand."""
        if entry is None or entry.length > _MAX_BYTES:
            return None
        return self.bytes_at(entry.end - entry.length, entry.length)

    def integers(self, entry: Entry | None) -> list[int]:
        """Return a field's whole numbers, or none where they are not at hand, or the file has had too many of them."""
        if entry is None or entry.kind not in _INTEGERS or entry.count > self._numbers_left:
            return []
        value = self.value(entry)
        if value is None:
            return []
        self._numbers_left -= entry.count
        return list(struct.unpack(f"{self.order}{entry.count}{_INTEGERS[entry.kind]}", value))

    def text(self, entry: Entry | None) -> str:
        """Return a field's text, or an empty one where it is not at hand."""
        return (self.value(entry) or b"").split(b"\0", 1)[0].decode("ascii", "replace").strip()

    def end(self, position: int, directory: Directory) -> int:
        """Return the file position after a directory and the picture data that it points to, as far as at hand."""
        ends = [self._directory_end(position)]
        ends += [entry.end for tag, entry in directory.items() if tag < _FIRST_PRIVATE_TAG]
        for offsets, sizes in _DATA:
            pairs = zip(self.integers(directory.get(offsets)), self.integers(directory.get(sizes)), strict=False)
            ends += [offset + size for offset, size in pairs if size]
        return max(ends)


class TiffHead:
    """What the beginning of a TIFF file shows about its origin.

    :param head: the first bytes of the file.
    """

    def __init__(self, head: bytes) -> None:
        parts = TiffParts(head)
        directories = [directory for _, directory in parts.directories()]
        first = directories[0] if directories else {}
        self.first_directory_seen = bool(first)
        self.make = parts.text(first.get(MAKE)).upper()
        self.model = parts.text(first.get(MODEL)).upper()
        self.has_dng_version = DNG_VERSION in first
        self.has_sensor_data = any(_is_sensor_data(parts, directory) for directory in directories) or (
            SUB_DIRECTORIES in first and _is_thumbnail(parts, first)
        )


def _is_sensor_data(parts: TiffParts, directory: Directory) -> bool:
    return (
        _CFA in parts.integers(directory.get(PHOTOMETRIC))
        or not _RAW_COMPRESSIONS.isdisjoint(parts.integers(directory.get(COMPRESSION)))
        or (SONY_PRIVATE in directory and parts.text(directory.get(MAKE)).upper().startswith("SONY"))
    )


def _is_thumbnail(parts: TiffParts, directory: Directory) -> bool:
    return any(kind & 1 for kind in parts.integers(directory.get(NEW_SUBFILE_TYPE)))
