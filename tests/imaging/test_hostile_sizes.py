"""Files that make much of little: what looking at them takes grows with their size, and with nothing else."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_autoenhance.imaging import exif_blocks, sniff
from airflow_provider_autoenhance.imaging.exif import read_capture_facts
from airflow_provider_autoenhance.imaging.integrity import check_for
from airflow_provider_autoenhance.imaging.tiff import SUB_DIRECTORIES, TiffParts
from airflow_provider_autoenhance.storage import StoredFile
from airflow_provider_autoenhance.storage.base import HEAD, Source

MEGABYTE = 1 << 20


def directory(*entries: tuple[int, int, int, int]) -> bytes:
    return struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)


def tiff(values: bytes, *entries: tuple[int, int, int, int]) -> bytes:
    """A TIFF whose values stand at position 8, before its directory."""
    return b"II*\0" + struct.pack("<I", 8 + len(values)) + values + directory(*entries)


def peak(act: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def check(data: bytes, form: sniff.ImageFormat = sniff.TIFF) -> None:
    it = check_for(form)
    for at in range(0, len(data), 1 << 18):
        it.feed(data[at : at + (1 << 18)])
    it.finish()


def test_a_quarter_million_pointers_are_not_waited_for_one_by_one() -> None:
    data = tiff(bytes(1_000_000), (SUB_DIRECTORIES, 4, 250_000, 8))
    assert peak(lambda: check(data)) < 8 * MEGABYTE  # 28 with a place in the queue for each
    assert [position for position, _ in TiffParts(data).directories()] == [1_000_008]


def test_directories_that_share_their_pointers_are_not_read_over_and_over() -> None:
    """64 directories, each with the same 200,000 pointers."""
    first = 8 + 800_000
    places = [first + number * len(directory((0, 0, 0, 0))) for number in range(64)]
    values = struct.pack("<64I", *places) + bytes(800_000 - 256)
    shared = directory((SUB_DIRECTORIES, 4, 200_000, 8))
    data = b"II*\0" + struct.pack("<I", first) + values + shared * 64
    read: list[int] = []

    class Counting(TiffParts):
        def integers(self, entry: Any) -> list[int]:
            found = super().integers(entry)
            read.append(len(found))
            return found

    assert len(list(Counting(data).directories())) == 64
    assert sum(read) <= MEGABYTE
    assert peak(lambda: check(data)) < 8 * MEGABYTE


def test_fields_that_point_to_one_place_are_not_copied_each() -> None:
    data = tiff(bytes(500_000), *((tag, 1, 500_000, 8) for tag in range(1, 2001)))
    assert peak(lambda: check(data)) < 20 * MEGABYTE  # a gigabyte with a copy for each
    assert peak(lambda: sniff.sniff(data[:HEAD])) < MEGABYTE
    assert peak(lambda: read_capture_facts(lambda at, n: data[at : at + n], len(data))) < 2 * MEGABYTE


def test_items_of_a_heic_without_size_are_stepped_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item table whose 10,000 items each claim 65,535 extents of no bytes."""
    takes = 0
    take = exif_blocks._Numbers.take

    def counted(self: Any, width: int) -> int:
        nonlocal takes
        takes += 1
        return take(self, width)

    monkeypatch.setattr(exif_blocks._Numbers, "take", counted)
    table = bytes(4) + b"\0\0" + struct.pack(">H", 10_000) + struct.pack(">HHH", 7, 0, 0xFFFF) * 10_000
    file = exif_blocks.RangedFile(lambda at, n: table[at : at + n], len(table))
    assert exif_blocks._item_place(file, 9, 0, len(table)) is None
    assert takes < 60_000


def test_boxes_of_made_up_kinds_are_not_remembered() -> None:
    data = b"".join(struct.pack(">I", 8) + f"{number:05x}"[1:].encode() for number in range(1 << 16))
    assert peak(lambda: check(data, sniff.AVIF)) < MEGABYTE


class ByteByByte:
    """A store that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def seek(self, at: int) -> None:
        self._at = at

    def read(self, n: int = -1, /) -> bytes:
        self._at += 1
        return self._data[self._at - 1 : self._at]


def test_a_store_that_gives_little_at_a_time_is_read_right() -> None:
    data = bytes(range(256)) * 40

    def opened() -> Source:
        return Source(StoredFile("s3://b/a.jpg", len(data)), ByteByByte(data), lambda error: pytest.fail(str(error)))

    source = opened()
    assert source.peek(10) == data[:10]
    assert source.peek(300) == data[:300]
    assert source.read(7) + source.read(400) + source.read() == data
    assert opened().read_range(250, 9000) == data[250:9250]
