"""HEIC and AVIF as their boxes show them: the main picture's size and turn, and where each item's bytes lie. Nothing is decoded.

Checks of a photo rest on this reader alone, because the libraries behind these formats have been crashed by damaged files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

_MAX_STEPS = 4096
_MAX_TABLE = 1 << 16  # bytes
_MAX_SIDE = 1 << 20


class Ranges(Protocol):
    """A file of which ranges can be read."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Return up to so many bytes; fewer at the end of what is there, and none behind it, however far."""
        ...


class Memory:
    """Bytes that are at hand, as :class:`Ranges`."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def read(self, offset: int, length: int) -> bytes:
        """Return up to so many bytes."""
        return self._data[offset : offset + max(0, length)]


class Numbers:
    """Unsigned big-endian numbers one after the other; zeros after the end."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    @property
    def at_end(self) -> bool:
        """Whether all have been taken."""
        return self._at >= len(self._raw)

    def skip(self, width: int) -> None:
        """Pass over so many bytes."""
        self._at += width

    def take(self, width: int) -> int:
        """Return the next number, of so many bytes."""
        self._at += width
        return int.from_bytes(self._raw[self._at - width : self._at], "big")


def boxes(file: Ranges, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of the content of each box of the ISO base media format."""
    end = min(end, file.size)  # a box can claim any length
    for _ in range(_MAX_STEPS):
        head = file.read(at, min(16, end - at)) if at < end else b""
        if len(head) < 8:
            return
        size, kind, begin = int.from_bytes(head[:4], "big"), head[4:8], at + 8
        if size == 1:
            size, begin = int.from_bytes(head[8:16], "big"), at + 16
        after = at + size if size else end
        if after < begin:
            return
        yield kind, begin, min(after, end)
        at = after


def item_extents(table: Numbers) -> Iterator[tuple[int, int, int, int]]:
    """Yield item, construction method (0 in the file, 1 in the item data box), offset and length of each extent of an ``iloc`` box."""
    version = table.take(4) >> 24
    sizes = table.take(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    width = 2 if version < 2 else 4
    for _ in range(table.take(width)):
        item = table.take(width)
        method = table.take(2) & 15 if version else 0
        table.skip(2)
        base = table.take(base_size)
        extents = table.take(2)
        if not offset_size + length_size + index_size:
            extents = min(extents, 1)  # they take no bytes, so a file can claim any number of them
        for _ in range(extents):
            table.skip(index_size)
            yield item, method, base + table.take(offset_size), table.take(length_size)
            if table.at_end:
                return
        if table.at_end:
            return


def furthest_byte(meta: bytes) -> tuple[int, bool]:
    """Return how far into the file items reach, and whether the pixels may lie in the item data box.

    :param meta: content of a ``meta`` box.
    """
    file = Memory(meta)
    inside = {kind: (begin, end) for kind, begin, end in boxes(file, 4, file.size)}
    begin, end = inside.get(b"iloc", (0, 0))
    reach, in_data = 0, False
    for _, method, offset, length in item_extents(Numbers(file.read(begin, end - begin))):
        if method == 0 and length:
            reach = max(reach, offset + length)
        in_data = in_data or (method == 1 and b"idat" in inside)
    return reach, in_data


@dataclass(frozen=True)
class MainPicture:
    """The picture that a file is opened for.

    :param width: pixels as stored.
    :param height: likewise.
    :param clean: what of it is to be shown, as left, top, right and bottom; ``None`` for all.
    :param odd_clean: it says what is to be shown, in a way that makes no sense.
    :param turned: shown on its side.
    :param transparent: something in the file is called transparency.
    """

    width: int
    height: int
    clean: tuple[int, int, int, int] | None = None
    odd_clean: bool = False
    turned: bool = False
    transparent: bool = False

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height as people see it."""
        left, top, right, bottom = self.clean or (0, 0, self.width, self.height)
        width, height = right - left, bottom - top
        return (height, width) if self.turned else (width, height)


def main_picture(file: Ranges) -> MainPicture | None:
    """Read the main picture's properties; ``None`` where the file, as far as at hand, does not show its size."""
    top = {kind: (begin, end) for kind, begin, end in boxes(file, 0, file.size)}
    if b"meta" in top:
        begin, end = top[b"meta"]
        found = _of_items(file, {kind: (at, until) for kind, at, until in boxes(file, begin + 4, end)})
        if found is not None:
            return found
    return _of_tracks(file, *top.get(b"moov", (0, 0)))


def _of_items(file: Ranges, meta: dict[bytes, tuple[int, int]]) -> MainPicture | None:
    known: list[tuple[bytes, bytes]] = []
    belonging: dict[int, list[int]] = {}
    for kind, begin, end in boxes(file, *meta.get(b"iprp", (0, 0))):
        if kind == b"ipco":
            known = [(name, file.read(at, min(until - at, 64))) for name, at, until in boxes(file, begin, end)]
        elif kind == b"ipma":
            belonging |= _associations(file.read(begin, min(end - begin, _MAX_TABLE)))
    main = Numbers(file.read(meta.get(b"pitm", (0, 0))[0], 8))
    item = main.take(2 if main.take(4) >> 24 == 0 else 4) if b"pitm" in meta else next(iter(belonging), 0)
    own = [known[index - 1] for index in belonging.get(item, ()) if 0 < index <= len(known)]
    sizes = [content for name, content in own if name == b"ispe"]
    if not sizes:
        return None
    width, height = int.from_bytes(sizes[0][4:8], "big"), int.from_bytes(sizes[0][8:12], "big")
    if not 0 < width <= _MAX_SIDE or not 0 < height <= _MAX_SIDE:
        return None
    clap = next((content for name, content in own if name == b"clap"), None)
    clean = None if clap is None else _clean(clap, width, height)
    return MainPicture(
        width,
        height,
        clean=clean,
        odd_clean=clap is not None and clean is None,
        turned=any(name == b"irot" and content[:1] and content[0] & 1 for name, content in own),
        transparent=any(name == b"auxC" and (b"alpha" in content or b"auxid:1" in content) for name, content in known),
    )


def _associations(table: bytes) -> dict[int, list[int]]:
    """Which properties belong to which item, as ``ipma`` says."""
    numbers, found = Numbers(table), dict[int, list[int]]()
    head = numbers.take(4)
    wide = head & 1
    for _ in range(min(numbers.take(4), _MAX_TABLE)):
        item = numbers.take(4 if head >> 24 else 2)
        each = [numbers.take(2) & 0x7FFF if wide else numbers.take(1) & 0x7F for _ in range(numbers.take(1))]
        found.setdefault(item, []).extend(each)
        if numbers.at_end:
            break
    return found


def _clean(clap: bytes, width: int, height: int) -> tuple[int, int, int, int] | None:
    """The clean aperture in pixels; ``None`` where it is not one inside the picture."""
    if len(clap) < 32:
        return None
    above = [int.from_bytes(clap[at : at + 4], "big", signed=at >= 16) for at in range(0, 32, 8)]
    below = [int.from_bytes(clap[at : at + 4], "big") for at in range(4, 32, 8)]
    if not all(below):
        return None
    wide, high, right, down = (Fraction(number, by) for number, by in zip(above, below, strict=True))
    left, top = right + (width - wide) / 2, down + (height - high) / 2
    box = round(left), round(top), round(left) + round(wide), round(top) + round(high)
    inside = 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
    return box if inside else None


def _of_tracks(file: Ranges, begin: int, end: int) -> MainPicture | None:
    """The biggest track of a sequence of pictures that has none of its own beside them."""
    sizes = []
    for kind, at, until in boxes(file, begin, end):
        if kind != b"trak":
            continue
        for name, _, after in boxes(file, at, until):
            if name == b"tkhd":
                raw = file.read(after - 8, 8)
                sizes.append((int.from_bytes(raw[:2], "big"), int.from_bytes(raw[4:6], "big")))
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    return MainPicture(width, height) if width and height else None
