"""A file of which only a few ranges are read, each once, and never all of it."""

from __future__ import annotations

from collections.abc import Callable

ReadRange = Callable[[int, int], bytes]
"""Returns the bytes of a file at an offset (first argument), as many as asked for (second) or all up to its end. Raises
when the storage cannot be read."""

FIRST_READ = 1 << 16
"""Bytes of the first range: 64 KiB hold what nearly every camera writes about a shot."""

FURTHER_READ = 1 << 14
MAX_READ = 1 << 16
MAX_READS = 16


class RangedFile:
    """Remembers the ranges that were read. After ``MAX_READS`` ranges (at most 1 MiB) the file looks as if it ended.

    :param read_range: where the bytes come from.
    :param size: of the file, in bytes.
    """

    def __init__(self, read_range: ReadRange, size: int) -> None:
        self.size = size
        self.reads = 0
        self._read_range = read_range
        self._parts: list[tuple[int, bytes]] = []

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes (64 KiB at most); fewer at the end of the file.

        :raises Exception: what ``read_range`` raises.
        """
        length = max(0, min(length, MAX_READ, self.size - offset))
        found = self.at_hand(offset, length)
        if found is None and length and offset >= 0 and self.reads < MAX_READS:
            wanted = max(length, FURTHER_READ if self.reads else FIRST_READ)
            self.reads += 1
            self._parts.append((offset, self._read_range(offset, min(wanted, self.size - offset))))
            found = self._parts[-1][1][:length]
        return found or b""

    def at_hand(self, offset: int, length: int) -> bytes | None:
        """Return bytes that were read before, or None."""
        for start, part in self._parts:
            if start <= offset and offset + length <= start + len(part):
                return part[offset - start : offset - start + length]
        return None
