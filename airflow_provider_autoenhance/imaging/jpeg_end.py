"""A JPEG without its end marker: does it show all of its picture, or is it cut short?

What was appended to a file, be it text or zeros, can be decoded as pixels, and its decoder does not complain. So it is asked which bytes
it needs: what follows the picture's last byte may be anything, and the pixels stay the same. What stands before that byte must be pixels'
data, and not the beginning of what was appended.
"""

from __future__ import annotations

import re
from contextlib import suppress
from io import BytesIO

from airflow_provider_autoenhance.api.errors import ConversionError, SourceError
from airflow_provider_autoenhance.imaging.budget import process_budget
from airflow_provider_autoenhance.imaging.decode import read_header
from airflow_provider_autoenhance.imaging.exif_blocks import STARTS_OF_FRAME
from airflow_provider_autoenhance.imaging.ranges import ReadRange

_LEAST_BEHIND = 8  # bytes; less is the rest of what was cut
_MOST_OF_FILE = 1 << 28
_MOST_SCANS = 100
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_END = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_SEGMENTS = frozenset({0xC4, 0xDB, 0xDA, 0xDD, 0xFE, *range(0xE0, 0xF0)}) | STARTS_OF_FRAME
_OTHER_PIXELS = b"\x55" * 64
_TEXT = bytes((*b"\0\t\n\r", *range(0x20, 0x7F)))
_BY_CHANCE = 4  # bytes of pixels in a row that look like text
_BOTTOM = 64  # rows, in which whatever is missing at the end shows
_BYTES_PER_PIXEL = 11.0  # of a progressive one, too


def shows_all(read: ReadRange, size: int, *, most_behind: int) -> bool:
    """Whether a JPEG has all of its picture, with a small trailer behind it. It is decoded up to a dozen times.

    :param read: gives bytes of the file.
    :param size: of the file, in bytes.
    :param most_behind: bytes of a small trailer.
    :returns: ``False`` where Pillow is not installed, too.
    """
    try:
        data = read(0, size) if size <= _MOST_OF_FILE else b""
    except SourceError:  # an address that holds for one look
        return False
    scan = _last_scan(data) if len(data) == size else None
    if scan is None:
        return False
    try:
        header = read_header(BytesIO(data), about="it")
    except (ConversionError, ImportError):
        return False
    megabytes = (_BYTES_PER_PIXEL * header.width * header.height + 3 * size) / 1e6
    with process_budget().reserve(megabytes):
        last = _last_needed(data, scan[1], max(scan[0], size - most_behind))
    return last is not None and _is_trailer(data[last:]) and not _is_appended(data[:last])


def _last_scan(data: bytes) -> tuple[int, int] | None:
    """Where the last scan's data begins, and where it ends at the latest; ``None`` where there are more scans to come."""
    at, begin, end, scans = 2, 0, 0, 0
    missing: set[tuple[int, int]] = set()  # component and frequency, of what has not come in full precision
    while found := _MARKER.search(data, at):
        kind, place = data[found.start() + 1], found.end()
        at = place + int.from_bytes(data[place : place + 2], "big")
        end = end or (found.start() if begin else 0)
        content = data[place + 2 : at]
        if kind not in _SEGMENTS or at > len(data) or not content:
            break
        if kind in STARTS_OF_FRAME:
            missing = {(component, each) for component in content[6::3] for each in range(64)}
        elif kind == _START_OF_SCAN:
            begin, end, scans = at, 0, scans + 1
            if scans > _MOST_SCANS:
                return None
            first, last, precision = content[-3:] if len(content) > 3 else (0, 0, 1)
            if not precision & 15:
                missing -= {(component, each) for component in content[1:-3:2] for each in range(first, last + 1)}
    return (begin, end or len(data)) if begin and not missing else None


def _last_needed(data: bytes, end: int, low: int) -> int | None:
    """Where what the pixels need ends; ``None`` where they need more than there is, or far less."""
    pixels = _bottom(data[:end] + _END)
    if pixels is None or low > end or not _is_enough(data, end, pixels) or _is_enough(data, low, pixels):
        return None
    while end - low > 1:
        middle = (low + end) // 2
        if _is_enough(data, middle, pixels):
            end = middle
        else:
            low = middle
    return end


def _is_enough(data: bytes, end: int, pixels: bytes) -> bool:
    """Whether the pixels stay what they are, whatever follows a place."""
    return _bottom(data[:end].rstrip(b"\xff") + _OTHER_PIXELS + _END) == pixels


def _bottom(data: bytes) -> bytes | None:
    from PIL import Image

    with suppress(Exception), Image.open(BytesIO(data), formats=("JPEG",)) as image:
        image.load()
        return image.crop((0, max(0, image.height - _BOTTOM), *image.size)).tobytes()
    return None


def _is_trailer(behind: bytes) -> bool:
    return len(behind.strip(b"\0\xff")) >= _LEAST_BEHIND


def _is_appended(data: bytes) -> bool:
    """Whether data ends with what is hardly pixels: text, or one byte over and over."""
    tail = data[-64:]
    return min(len(tail.rstrip(_TEXT)), len(tail.rstrip(tail[-1:]))) < len(tail) - _BY_CHANCE
