"""JPEG files without their end marker: whole where the picture is, whatever small thing stands behind it."""

from __future__ import annotations

import os
import random
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from airflow_provider_autoenhance.api.errors import SourceError
from airflow_provider_autoenhance.hooks.photo import upload_body
from airflow_provider_autoenhance.imaging import jpeg_end
from airflow_provider_autoenhance.imaging.integrity import check_for, never_again
from airflow_provider_autoenhance.imaging.sniff import JPEG
from airflow_provider_autoenhance.storage import open_source

from .inputs import saved

KINDS: dict[str, dict[str, Any]] = {
    "4:2:0": {},
    "4:4:4": {"quality": 95, "subsampling": 0},
    "progressive": {"progressive": True},
    "restart": {"restart_marker_rows": 1},
    "grey": {"mode": "L"},
    "inks": {"mode": "CMYK", "quality": 90},
    "small": {"side": 37},
    "big": {"side": 2000, "quality": 92},
    "big progressive": {"side": 2000, "quality": 92, "progressive": True},
}
BIG = [kind for kind in KINDS if kind.startswith("big")]
SMALL = [kind for kind in KINDS if kind not in BIG]
FOLDER = os.environ.get("AUTOENHANCE_PHOTOS", "")
PHOTOS = sorted(Path(FOLDER).glob("*.[jJ][pP][gG]")) if FOLDER else []
NOTE = b"Edited with Snapbook 4.2 (build 1187), customer 99812, 2024-05-17 10:20:30.\r\n"
TRAILERS = {
    "note": NOTE,
    "notes": NOTE * 25,
    "note and padding": NOTE + bytes(500),
    "record": b"".join(struct.pack("<4sIHH8s", b"NOTE", each, 7, each * 3, b"\0\0lens\0\0") for each in range(12)),
    "digest": random.Random(4).randbytes(48).replace(b"\xff", b"x"),
    "with marks": b"\xff\xd8\xff\xe1 preview of nothing" * 3,
    "with segments": b"\xff\xe4\0\x10 fourteen more bytes and something",
}


@cache
def jpeg(kind: str) -> bytes:
    options = dict(KINDS[kind])
    side, mode = options.pop("side", 300), options.pop("mode", "RGB")
    y, x = np.mgrid[0:side, 0 : side + 40]
    grain = np.random.default_rng(3).normal(0, 9, (side, side + 40, 3))
    levels = np.stack((128 + 90 * np.sin(x / 47), 128 + 90 * np.cos(y / 31), 60 + (x + y) / side * 70), -1) + grain
    return saved(Image.fromarray(levels.clip(0, 255).astype(np.uint8)).convert(mode), "JPEG", **options)


def verdict(data: bytes, *, size: bool = True, again: bool = True) -> str | None:
    memory = (lambda at, length: data[at : at + length]) if again else None
    check = check_for(JPEG, len(data) if size else None, again=memory)
    for at in range(0, len(data), 1 << 18):
        check.feed(data[at : at + (1 << 18)])
    return check.finish()


def without_end(data: bytes) -> bytes:
    assert data.endswith(b"\xff\xd9")
    return data[:-2]


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("trailer", TRAILERS)
def test_a_whole_picture_with_a_small_trailer_is_whole(kind: str, trailer: str) -> None:
    assert verdict(without_end(jpeg(kind)) + TRAILERS[trailer]) is None


@pytest.mark.parametrize("kind", BIG)
@pytest.mark.parametrize("trailer", ["note", "with marks"])
def test_so_is_a_big_one_of_which_the_middle_is_passed_over(kind: str, trailer: str) -> None:
    data = without_end(jpeg(kind))
    assert verdict(data + TRAILERS[trailer]) is None
    assert verdict(data[:-600] + TRAILERS[trailer]) is not None


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("again", [True, False])
def test_whatever_is_known_of_the_file(size: bool, again: bool) -> None:
    data = without_end(jpeg("big"))
    assert verdict(data + NOTE, size=size, again=again) is None
    assert verdict(data[:-600] + NOTE, size=size, again=again) is not None


@pytest.mark.parametrize("kind", SMALL)
def test_without_anything_behind_it_it_is_cut(kind: str) -> None:
    data = jpeg(kind)
    for cut in (1, 2, 3, 10, 300):
        assert verdict(data[:-cut]) is not None


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
def test_what_is_cut_and_filled_is_cut(kind: str, filling: bytes) -> None:
    data = jpeg(kind)
    for cut in (1, 2, 3, 40, 700, len(data) // 2):
        for length in (1, 9, 100, 2000, 70_000):
            assert verdict(data[:-cut] + filling * length) is not None, (cut, length)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("trailer", ["note", "notes", "note and padding", "with marks"])
def test_what_is_cut_with_a_trailer_behind_it_is_cut(kind: str, trailer: str) -> None:
    """Its decoder takes the trailer for pixels, and complains of nothing."""
    data = jpeg(kind)
    for cut in (100, 300, 1000, len(data) // 3, len(data) // 2):
        assert verdict(data[:-cut] + TRAILERS[trailer]) is not None, cut


@pytest.mark.parametrize("kind", ["progressive", "big progressive"])
def test_a_progressive_picture_without_its_last_scans_is_cut(kind: str) -> None:
    data = jpeg(kind)
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    tables = [data.rindex(b"\xff\xc4", 0, at) for at in scans[2:]]
    for end in (*scans[1:], *tables):
        assert verdict(data[:end] + NOTE) is not None


def test_what_is_behind_it_is_small() -> None:
    data = without_end(jpeg("4:2:0"))
    assert verdict(data + b"note 1") is not None
    assert verdict(data + NOTE * 60) is not None


def test_what_cannot_be_read_again_is_cut() -> None:
    def gone(offset: int, length: int) -> bytes:
        raise SourceError("the address holds for one look")

    data = without_end(jpeg("4:2:0")) + NOTE
    for again in (never_again, gone, lambda at, length: data[at : at + length - 1]):
        check = check_for(JPEG, len(data), again=again)
        check.feed(data)
        assert "no end-of-image" in str(check.finish())


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff\xda", b"\xff\xd8\xff\xda\0\x02", b"\xff\xd8\xff\xc0\0\x03\x08\xff\xda\0\3\0" + NOTE]
)
def test_what_is_no_picture_is_cut(data: bytes) -> None:
    assert verdict(data) is not None


def test_a_picture_whose_header_claims_too_much_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(without_end(jpeg("4:2:0")) + NOTE)
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xdc\xff\xdc"
    monkeypatch.setattr(jpeg_end, "_bottom", None)
    assert verdict(bytes(data)) is not None


def test_a_photo_goes_up_as_it_is(tmp_path: Path) -> None:
    data = without_end(jpeg("big")) + NOTE
    (path := tmp_path / "photo.jpg").write_bytes(data)
    with open_source(str(path)) as source, upload_body(source) as body:
        assert body.read() == data
    path.write_bytes(jpeg("big")[:-900] + NOTE)
    with open_source(str(path)) as source, upload_body(source) as body, pytest.raises(SourceError, match="cut short"):
        body.read()


@pytest.mark.skipif(not PHOTOS, reason="AUTOENHANCE_PHOTOS names no folder with photographs")
@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.name)
def test_photographs(path: Path) -> None:
    data = path.read_bytes()
    data = data[: data.rindex(b"\xff\xd9")]
    for trailer in TRAILERS.values():
        assert verdict(data + trailer) is None
    for cut in (0, 20, 400, len(data) // 2):
        assert verdict(data[: len(data) - cut]) is not None
        assert verdict(data[: len(data) - cut] + bytes(1000)) is not None
        assert not cut or verdict(data[: len(data) - cut] + NOTE * 20) is not None
