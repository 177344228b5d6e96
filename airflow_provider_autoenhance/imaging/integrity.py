"""Is a picture file whole? Checked while its bytes pass, without decoding, in flat memory.

A check finds that bytes are missing at the end. It does not find bytes altered in the middle: digests do that.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from typing import Protocol

from airflow_provider_autoenhance.imaging import sniff
from airflow_provider_autoenhance.imaging.heif import furthest_byte
from airflow_provider_autoenhance.imaging.ranges import ReadRange
from airflow_provider_autoenhance.imaging.tiff import TiffParts


class StreamCheck(Protocol):
    """Takes a file's bytes in order; says at the end what is missing."""

    def feed(self, block: bytes, /) -> None:
        """Take the next bytes, in blocks of any size."""
        ...

    def finish(self) -> str | None:
        """Return what is missing, in words, or None if the file is whole."""
        ...


def never_again(offset: int, length: int) -> bytes:
    """A file of which nothing can be read once more."""
    return b""


def check_for(
    form: sniff.ImageFormat | None, size: int | None = None, *, again: ReadRange | None = None
) -> StreamCheck:
    """Return the check for a format, or one that finds nothing where the format has no end of its own (JPEG XL).

    :param size: bytes of the file, where they are known: then less has to be looked at.
    :param again: reads the file once more, where it has no end marker and may be whole all the same. Without it, the bytes are kept in a
        temporary file for that; with :func:`never_again`, a file without an end marker is cut short.
    """
    if form is sniff.JPEG:
        return _Jpeg(size, again)
    return _CHECKS.get(form, _NoCheck)() if form else _NoCheck()


def missing_by_head(form: sniff.ImageFormat, head: bytes, size: int) -> str | None:
    """What is missing of a file as far as its beginning says how long it has to be; of a file that is all head, whatever is.

    :param size: bytes of the file.
    """
    check = check_for(form, size, again=lambda offset, length: head[offset : offset + length])
    if isinstance(check, _Jpeg) and size > len(head):
        return None  # it ends where it ends
    check.feed(head)
    if size <= len(head):
        return check.finish()
    return check.missing_of(size) if isinstance(check, (_Sized, _IsoMedia)) else None


class _NoCheck:
    def feed(self, block: bytes, /) -> None:
        """Any bytes do."""

    def finish(self) -> str | None:
        return None


class _Walker:
    """Feeds a parser that asks for so many bytes to look at, or to skip.

    A parser is a method that returns what it needs next; ``_need`` bytes are gathered and given to ``_step``.
    """

    def __init__(self, need: int) -> None:
        self._need = need
        self._skip = 0
        self._gathered = bytearray()
        self.done = False

    def feed(self, block: bytes, /) -> None:
        at, end = 0, len(block)
        while at < end and not self.done:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                at += step
                continue
            missing = self._need - len(self._gathered)
            self._gathered += block[at : at + missing]
            at += min(missing, end - at)
            if len(self._gathered) == self._need:
                piece = bytes(self._gathered)
                self._gathered.clear()
                self._step(piece)

    def _step(self, piece: bytes) -> None:
        raise NotImplementedError


class _Png(_Walker):
    """Chunks up to IEND; what follows is not part of the picture."""

    def __init__(self) -> None:
        super().__init__(8)
        self._started = False
        self._last = False

    def _step(self, piece: bytes) -> None:
        if not self._started:
            self._started = True
        elif self._last:
            self.done = True
        elif piece[4:] == b"IEND":
            self._last, self._need = True, 4
        else:
            self._skip = int.from_bytes(piece[:4], "big") + 4

    def finish(self) -> str | None:
        return None if self.done else "the PNG has no IEND chunk"


class _IsoMedia(_Walker):
    """Top-level boxes of AVIF, HEIC and CR3: each complete, and a description and the pixels among them.

    A last box may leave its length open, as what camera-raw software writes does. Then the description says how far the items reach.
    """

    _WANTED = frozenset({b"mdat", b"meta", b"moov"})
    _MOST_OF_META = 1 << 20

    def __init__(self) -> None:
        super().__init__(8)
        self._kinds: set[bytes] = set()
        self._kind = b""
        self._long = self._describes = False
        self._total = self._rest = self._reach = 0
        self._pixels_inside = False

    def feed(self, block: bytes, /) -> None:
        self._total += len(block)
        super().feed(block)

    def _step(self, piece: bytes) -> None:
        if self._describes:
            self._describes, self._need, self._skip = False, 8, self._rest
            self._reach, self._pixels_inside = furthest_byte(piece)
            return
        if self._long:
            self._long, self._need = False, 8
            self._enter(int.from_bytes(piece, "big") - 16)
            return
        self._kind = piece[4:]
        size = int.from_bytes(piece[:4], "big")
        if not self._kind.isascii() or 1 < size < 8:
            self.done = True  # no box: something was appended
        elif size == 1:
            self._long = True
        elif size == 0:
            self._note()  # reaches to the file's end, wherever that is
            self.done = True
        else:
            self._enter(size - 8)

    def _enter(self, rest: int) -> None:
        self._skip = max(rest, 0)
        if self._kind == b"meta" and self._skip:
            self._describes, self._need = True, min(self._skip, self._MOST_OF_META)
            self._rest, self._skip = self._skip - self._need, 0
        self._note()

    def missing_of(self, size: int) -> str | None:
        """Say what is missing of the box that has begun, if the file has so many bytes."""
        left = self._skip - (size - self._total)
        return f"{left} bytes of its {self._kind.decode('ascii', 'replace')!r} box are missing" if left > 0 else None

    def _note(self) -> None:
        if self._kind in self._WANTED:  # and not each kind that a file can make up
            self._kinds.add(self._kind)

    def finish(self) -> str | None:
        missing = self._need - len(self._gathered) + self._rest if self._describes else self._skip
        if missing:
            return f"{missing} bytes of its {self._kind.decode('ascii', 'replace')!r} box are missing"
        if b"mdat" not in self._kinds and not (self._pixels_inside and not self._reach):
            return "the box with the pixels is missing"
        if not self._kinds & {b"meta", b"moov"}:
            return "the box that describes the pixels is missing"
        if self._long:
            return "a box is cut in its header"
        left = self._reach - self._total if self._kind == b"mdat" and self.done else 0
        return f"at least {left} bytes of its pixels are missing" if left > 0 else None


class _Gif(_Walker):
    """Blocks up to the trailer."""

    def __init__(self) -> None:
        super().__init__(13)
        self._next: Callable[[bytes], None] = self._screen

    def _step(self, piece: bytes) -> None:
        self._next(piece)

    def _then(self, need: int, step: Callable[[bytes], None]) -> None:
        self._need, self._next = need, step

    def _screen(self, piece: bytes) -> None:
        self._skip_colours(piece[10])
        self._then(1, self._block)

    def _block(self, piece: bytes) -> None:
        if piece == b"\x3b":
            self.done = True
        elif piece == b"\x21":
            self._skip = 1
            self._then(1, self._sub_block)
        elif piece == b"\x2c":
            self._then(9, self._picture)

    def _picture(self, piece: bytes) -> None:
        self._skip_colours(piece[8])
        self._skip += 1
        self._then(1, self._sub_block)

    def _sub_block(self, piece: bytes) -> None:
        self._skip = piece[0]
        if not self._skip:
            self._then(1, self._block)

    def _skip_colours(self, flags: int) -> None:
        if flags & 0x80:
            self._skip = 3 << ((flags & 7) + 1)

    def finish(self) -> str | None:
        return None if self.done else "the GIF has no trailer"


class _Jpeg:
    """Segments, and between them scans, up to the end-of-image marker.

    Segments are stepped over by their length, so the end of a thumbnail inside one does not count. Inside a scan a 0xFF
    byte is followed by 0 (stuffing) or a restart marker, everything else begins a segment.

    Of a big file the middle is passed over, as looking at each byte costs as much as encrypting it. A scan has a 0xFF byte in every few
    hundred; a block that ends otherwise is looked at, as padding may have begun in it. Where the end marker was passed over all the same,
    the last 256 KiB are not a scan but something appended, and show it by 0xFF bytes that are followed by what a scan never has.

    Without an end marker, and with less than that appended, the picture decides: :mod:`~airflow_provider_autoenhance.imaging.jpeg_end`.
    """

    _MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
    _END, _WITHOUT_LENGTH = 0xD9, frozenset({0x01, 0xD8})
    _SCAN, _BETWEEN_SCANS = 0xDA, frozenset({0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE})
    _LAST = 1 << 18
    _MOST_BEHIND = 4096  # bytes; with more behind it, a picture without an end marker is cut short
    _TELLING, _MOST_TELLING = 4096, 400  # bytes at a block's end, and how many of them are 0xFF at most

    def __init__(self, size: int | None, again: ReadRange | None) -> None:
        self._again = again
        self._copy = None if again else tempfile.SpooledTemporaryFile(self._LAST)  # noqa: SIM115 - goes with the check
        self._size, self._total = size or 0, 0
        self._carry = b""
        self._skip = 0
        self._ahead = max(0, (size or 0) - self._LAST)
        self._in_scan = self._resumed = False
        self.done = False

    def feed(self, block: bytes, /) -> None:
        self._total += len(block)
        self._keep(block)
        ahead, self._ahead = self._ahead, self._ahead - len(block)
        like_scan = ahead > 0 and self._ends_like_scan(block)
        if self.done:
            return
        if self._in_scan and like_scan:
            if self._ahead > 0:
                self._pass_over(block)
                return
            if ahead > self._TELLING:
                self._pass_over(block[:ahead])
                block = block[ahead:]
        if self._skip >= len(block):
            self._skip -= len(block)
            return
        data = self._carry + block[self._skip :] if self._carry or self._skip else block
        self._carry, self._skip = b"", 0
        at = 0
        while at < len(data) and not self.done:
            if self._in_scan and like_scan and self._ahead > 0:
                self._pass_over(data[at:])
                return
            found = self._MARKER.search(data, at)
            if found is None:
                self._carry = data[-1:] if data.endswith(b"\xff") else b""
                return
            at = self._after(data, found.start())

    def _keep(self, block: bytes) -> None:
        if self._copy is not None and not self.done:
            try:
                self._copy.write(block)
            except OSError:  # without room, there is nothing to look at once more
                self._copy, self._again = None, never_again

    def _read_again(self, offset: int, length: int) -> bytes:
        if self._copy is None:
            return self._again(offset, length) if self._again else b""
        self._copy.seek(offset)
        return self._copy.read(length)

    def _ends_like_scan(self, block: bytes) -> bool:
        return 0 < block.count(b"\xff", -self._TELLING) <= self._MOST_TELLING

    def _pass_over(self, block: bytes) -> None:
        """Keep as much of a block as the end marker may lie in, where the next one is looked at."""
        kept = self._TELLING + 2
        self._carry = block[-kept:] if len(block) >= kept else (self._carry + block)[-kept:]
        self._skip, self._resumed = 0, True

    def _after(self, data: bytes, at: int) -> int:
        """Return where the segment ends that begins at ``at``, and note what of it lies in later blocks."""
        marker = data[at + 1]
        self._in_scan |= marker == self._SCAN
        foreign = self._resumed and marker not in self._BETWEEN_SCANS
        behind = self._size - (self._total - len(data) + at)
        if marker == self._END or (foreign and behind > self._MOST_BEHIND):
            self.done = True
        if marker in self._WITHOUT_LENGTH or foreign or self.done:
            return at + 2
        if len(data) < at + 4:
            self._carry = data[at:]
            return len(data)
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        self._skip = max(0, end - len(data))
        return end

    def finish(self) -> str | None:
        if not self.done and self._in_scan:
            from airflow_provider_autoenhance.imaging.jpeg_end import shows_all

            self.done = shows_all(self._read_again, self._total, most_behind=self._MOST_BEHIND)
        return None if self.done else "the JPEG has no end-of-image marker"


class _Sized:
    """Base of formats whose header says how far the file must reach."""

    _HEAD = 1 << 20

    def __init__(self) -> None:
        self._begun = bytearray()
        self._total = 0

    def feed(self, block: bytes, /) -> None:
        if len(self._begun) < self._HEAD:
            self._begun += block[: self._HEAD - len(self._begun)]
        self._total += len(block)

    def finish(self) -> str | None:
        return self.missing_of(self._total)

    def missing_of(self, size: int) -> str | None:
        """Say what is missing, if the file has so many bytes."""
        self._total = size
        missing = self._expected(bytes(self._begun)) - size
        return f"at least {missing} bytes are missing" if missing > 0 else None

    def _expected(self, head: bytes) -> int:
        raise NotImplementedError


class _Webp(_Sized):
    """RIFF announces the number of bytes that follow."""

    _HEAD = 12

    def _expected(self, head: bytes) -> int:
        return max(12, 8 + int.from_bytes(head[4:8], "little"))


class _Bmp(_Sized):
    """Uncompressed pixels have a known size; the file size field is what some writers get wrong."""

    _HEAD = 54

    def _expected(self, head: bytes) -> int:
        number = [int.from_bytes(head[at : at + 4], "little", signed=True) for at in range(10, 38, 4)]
        offset, header, width, height, planes_bits, compression, size = [*number, *[0] * 7][:7]
        if header >= 40 and compression == 0:
            size = (width * (planes_bits >> 16) + 31) // 32 * 4 * abs(height)
        return max(26, offset + (size if header >= 40 else 0))


class _Raf(_Sized):
    """Fuji's header holds offset and length of preview, directory and sensor data."""

    _HEAD = 108

    def _expected(self, head: bytes) -> int:
        number = [int.from_bytes(head[at : at + 4], "big") for at in range(84, 108, 4)]
        return max(108, *(offset + length for offset, length in zip(number[::2], number[1::2], strict=True)))


class _Tiff(_Sized):
    """Directories, and the strips and tiles they point to, lie inside the file.

    The first MiB is kept, and 128 KiB from the first directory on, where that comes later (libtiff writes it last).
    What can be read of them counts; the rest is taken on trust.
    """

    _DIRECTORY = 1 << 17

    def __init__(self) -> None:
        super().__init__()
        self._directory = bytearray()

    def feed(self, block: bytes, /) -> None:
        start = self._total
        super().feed(block)
        first = self._first()
        if first is not None and first + 8 > len(self._begun) and len(self._directory) < self._DIRECTORY:
            at = max(0, first + len(self._directory) - start)
            self._directory += block[at : at + self._DIRECTORY - len(self._directory)]

    def _first(self) -> int | None:
        return TiffParts(bytes(self._begun[:16])).first

    def _expected(self, head: bytes) -> int:
        parts = TiffParts(head)
        if not parts.first:
            return self._total + 8
        parts.add(parts.first, bytes(self._directory))
        return max(parts.end(*found) for found in parts.directories())


_CHECKS: dict[sniff.ImageFormat | None, Callable[[], StreamCheck]] = {
    sniff.PNG: _Png,
    sniff.WEBP: _Webp,
    sniff.GIF: _Gif,
    sniff.BMP: _Bmp,
    sniff.RAF: _Raf,
    **dict.fromkeys((sniff.AVIF, sniff.HEIC, sniff.CR3), _IsoMedia),
    **dict.fromkeys((sniff.TIFF, sniff.DNG, sniff.CR2), _Tiff),
    **dict.fromkeys((sniff.NEF, sniff.NRW, sniff.ARW, sniff.SR2, sniff.SRF), _Tiff),
}
