from __future__ import annotations

import io
import random
import struct
import tracemalloc
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from airflow_provider_autoenhance.imaging import sniff as formats
from airflow_provider_autoenhance.imaging.integrity import StreamCheck, check_for
from airflow_provider_autoenhance.imaging.sniff import ImageFormat, sniff

from .exif_samples import block, heif
from .inputs import photo
from .moving import pixels_in_description
from .samples import PICTURES, box, heic, picture, tiff


def feed(check: StreamCheck, data: bytes, steps: list[int] | None = None) -> str | None:
    at = 0
    for step in steps or []:
        check.feed(data[at : at + step])
        at += step
    check.feed(data[at:])
    return check.finish()


def form_of(data: bytes) -> ImageFormat:
    found = sniff(data)
    assert found is not None
    return found


def verdict(data: bytes, form: ImageFormat | None = None) -> str | None:
    return feed(check_for(form or form_of(data)), data)


@pytest.mark.parametrize("name", PICTURES)
def test_whole_pictures_pass(name: str) -> None:
    assert verdict(picture(name)) is None


@pytest.mark.parametrize("name", PICTURES)
def test_a_cut_anywhere_is_found(name: str) -> None:
    data = picture(name)
    form = form_of(data)
    every = 1 if len(data) < 4000 else 3
    data = data.rstrip(b"\0") if name == "TIFF pages" else data  # padded
    lengths = [*range(64, len(data) - 64, every), *range(max(64, len(data) - 64), len(data))]
    assert [length for length in lengths if verdict(data[:length], form) is None] == []


@settings(max_examples=30)
@pytest.mark.parametrize("name", PICTURES)
@given(steps=st.lists(st.integers(0, 300), max_size=60), cut=st.integers(1, 200))
def test_the_size_of_the_blocks_does_not_matter(name: str, steps: list[int], cut: int) -> None:
    data = picture(name)
    form = form_of(data)
    assert feed(check_for(form), data, steps) is None
    assert feed(check_for(form), data[: -cut - (16 if name == "TIFF pages" else 0)], steps) is not None


@pytest.mark.parametrize("name", [name for name in PICTURES if name.split()[0] in ("JPEG", "PNG", "GIF")])
def test_what_follows_the_end_is_no_part_of_the_picture(name: str) -> None:
    """Phones append videos and depth maps."""
    assert verdict(picture(name) + b"\xff\xd8 and more") is None


@cache
def big_jpeg(progressive: bool) -> bytes:
    """About 4 MB of noise, in one scan or several."""
    data = io.BytesIO()
    Image.effect_noise((2400, 2400), 64).convert("RGB").save(data, "JPEG", quality=92, progressive=progressive)
    assert len(data.getvalue()) > 3 << 20
    return data.getvalue()


class TestJpeg:
    def test_the_end_of_a_thumbnail_does_not_count(self) -> None:
        data = picture("JPEG with thumbnail")
        end = data.index(b"\xff\xd9") + 2
        assert end < len(data) - 100
        assert "no end-of-image" in str(verdict(data[:end]))

    def test_an_end_inside_a_segment_between_scans_does_not_count(self) -> None:
        data = picture("JPEG progressive")
        scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
        comment = b"\xff\xfe" + struct.pack(">H", 6) + b"\xff\xd9\xff\xd9"
        assert verdict(data[:scan] + comment + data[scan:]) is None
        assert verdict(data[:scan] + comment) is not None

    def test_fill_bytes_before_a_marker(self) -> None:
        data = picture("JPEG")
        filled = data[:-2] + b"\xff\xff\xff" + data[-2:]
        assert verdict(filled) is None
        for at in range(len(filled) - 6, len(filled)):
            assert feed(check_for(formats.JPEG), filled, [at]) is None

    @pytest.mark.parametrize("progressive", [False, True])
    def test_of_a_big_file_the_ends_are_enough(self, progressive: bool) -> None:
        data = big_jpeg(progressive)
        video = random.Random(1).randbytes(3 << 20)
        for whole in (data, data + bytes(70_000), data + video, data + data):
            assert feed(check_for(formats.JPEG, len(whole)), whole, [1 << 18] * 40) is None

    @settings(max_examples=60, deadline=None)
    @given(cut=st.floats(0.001, 1.0, exclude_max=True), block=st.integers(1 << 12, 1 << 19), progressive=st.booleans())
    def test_a_big_file_that_is_cut_short_is_found(self, cut: float, block: int, progressive: bool) -> None:
        data = big_jpeg(progressive)
        cut_short = data[: int(len(data) * cut)]
        assert feed(check_for(formats.JPEG, len(cut_short)), cut_short, [block] * 999) is not None

    @pytest.mark.parametrize("progressive", [False, True])
    @pytest.mark.parametrize("padding", [1, 300, 70_000, 1_500_000, 5_000_000])
    @pytest.mark.parametrize("size_known", [False, True])
    @pytest.mark.parametrize("block", [1 << 16, 1 << 18, 1 << 20, (1 << 20) - 1])
    def test_padding_behind_the_end_is_no_truncation(
        self, progressive: bool, padding: int, size_known: bool, block: int
    ) -> None:
        """A phone's importer appends megabytes of zeros."""
        data = big_jpeg(progressive)
        for whole in (data + bytes(padding), data + b"\xff" * padding):
            check = check_for(formats.JPEG, len(whole) if size_known else None)
            assert feed(check, whole, [block] * 999) is None

    @settings(max_examples=40, deadline=None)
    @given(cut=st.floats(0.001, 1.0, exclude_max=True), padding=st.integers(1, 3 << 20), progressive=st.booleans())
    def test_a_file_that_is_cut_and_filled_with_zeros_is_found(
        self, cut: float, padding: int, progressive: bool
    ) -> None:
        data = big_jpeg(progressive)
        filled = data[: int(len(data) * cut)] + bytes(padding)
        assert feed(check_for(formats.JPEG, len(filled)), filled, [1 << 20] * 99) is not None

    def test_an_end_inside_a_segment_of_a_big_file_does_not_count(self) -> None:
        data = big_jpeg(progressive=True)
        scan = data.index(b"\xff\xda", len(data) // 3)
        comment = b"\xff\xfe" + struct.pack(">H", 6) + b"\xff\xd9\xff\xd9"
        whole = data[:scan] + comment + data[scan:]
        assert feed(check_for(formats.JPEG, len(whole)), whole, [1 << 18] * 99) is None
        cut = whole[:-1000]
        assert feed(check_for(formats.JPEG, len(cut)), cut, [1 << 18] * 99) is not None

    def test_memory_stays_flat(self) -> None:
        block = bytes(range(255)) * 4000
        check = check_for(formats.JPEG)
        check.feed(b"\xff\xd8")
        tracemalloc.start()
        try:
            for _ in range(50):
                check.feed(block)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2 * len(block)


class TestIsoMedia:
    def test_heic(self) -> None:
        data = heic()
        assert verdict(data) is None
        for length in range(64, len(data)):
            assert verdict(data[:length], formats.HEIC) is not None

    def test_what_is_missing_is_told(self) -> None:
        assert verdict(heic()[:-7]) == "7 bytes of its 'mdat' box are missing"

    def test_cr3(self) -> None:
        data = box(b"ftyp", b"crx " + bytes(4)) + box(b"moov", bytes(90)) + b"\0\0\0\1mdat" + struct.pack(">Q", 116)
        assert verdict(data + bytes(100)) is None
        assert verdict(data + bytes(99)) is not None
        assert verdict(data[:-3]) is not None

    def test_a_box_that_reaches_to_the_end(self) -> None:
        data = box(b"ftyp", b"avif" + bytes(4)) + box(b"meta", bytes(90)) + b"\0\0\0\0mdat" + bytes(50)
        assert verdict(data) is None

    @pytest.mark.parametrize("form", ["HEIC", "AVIF"])
    def test_a_last_box_of_open_length_is_checked_by_what_its_items_take(self, form: str) -> None:
        """As camera-raw software writes it."""
        whole = photo(form)
        at = whole.index(b"mdat") - 4
        assert at + int.from_bytes(whole[at : at + 4], "big") == len(whole)
        data = whole[:at] + bytes(4) + whole[at + 4 :]
        assert verdict(data) is None
        assert verdict(data + bytes(100)) is None
        for length in range(64, len(data), 7):
            assert verdict(data[:length], form_of(data)) is not None, length
        assert verdict(data[:-1]) == "at least 1 bytes of its pixels are missing"

    @pytest.mark.parametrize("form", ["HEIC", "AVIF"])
    def test_pixels_may_lie_in_the_description(self, form: str) -> None:
        data = pixels_in_description(photo(form))
        assert b"mdat" not in data
        assert verdict(data) is None
        for length in range(64, len(data), 7):
            assert verdict(data[:length], form_of(data)) is not None, length

    def test_pixels_that_are_said_to_be_elsewhere_are_missing_without_their_box(self) -> None:
        """The description holds a few bytes of its own in most files."""
        data = heif(block(), in_item_data=True)
        assert verdict(data) is None
        assert verdict(data[: data.index(b"mdat") - 4]) is not None

    def test_appended_bytes_that_are_no_box(self) -> None:
        assert verdict(heic() + b"\xff\xff\xff\xff\xff\xff\xff\xff trailer") is None
        assert verdict(heic() + b"\0\0\0\4free") is None


class TestByHeader:
    def test_raf(self) -> None:
        head = b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(">6I", 200, 100, 300, 50, 400, 600)
        assert verdict(head.ljust(1000, b"\0")) is None
        assert verdict(head.ljust(993, b"\0")) == "at least 7 bytes are missing"
        assert verdict(head[:90]) is not None

    def test_bmp_whose_pixels_are_compressed(self) -> None:
        header = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54) + struct.pack(
            "<IiiHHIIiiII", 40, 9, 9, 1, 8, 1, 70, 0, 0, 0, 0
        )
        assert verdict(header + bytes(70)) is None
        assert verdict(header + bytes(69)) is not None

    def test_raw_inside_tiff_reaches_to_its_sensor_data(self) -> None:
        data = tiff({271: "NIKON CORPORATION", 254: 1}, {262: 32803, 273: 600, 279: 5000})
        assert form_of(data) == formats.NEF
        assert verdict(data[:600].ljust(5600, b"\0")) is None
        assert verdict(data[:600].ljust(5599, b"\0")) == "at least 1 bytes are missing"

    def test_a_private_field_may_say_what_it_likes(self) -> None:
        data = bytearray(tiff({262: 1, 40000: b"x" * 20}))
        at = data.index(struct.pack("<H", 40000))
        struct.pack_into("<I", data, at + 8, 1 << 30)
        assert verdict(bytes(data)) is None

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_a_directory_that_comes_last(self, order: str) -> None:
        body = tiff({262: 1, 273: 8, 279: 1 << 21}, order=order)[8:]
        first = 8 + (1 << 21)
        data = tiff({}, order=order)[:4] + struct.pack(order + "I", first) + bytes(1 << 21) + body
        steps = [1 << 20] * 3
        form = formats.TIFF
        assert feed(check_for(form), data, steps) is None
        assert feed(check_for(form), data[: first + 30], steps) is not None
        assert feed(check_for(form), data[: first + 1], steps) is not None
        assert feed(check_for(form), data[: first - 1], steps) is not None


def test_a_format_without_an_end_of_its_own_passes() -> None:
    for form in (None, formats.JXL, formats.OTHER_RAW):
        assert feed(check_for(form), b"anything") is None


@given(form=st.sampled_from(formats.FORMATS), data=st.binary(max_size=400), step=st.integers(1, 100))
def test_any_bytes_get_a_verdict(form: ImageFormat, data: bytes, step: int) -> None:
    steps = [step] * (len(data) // step)
    assert feed(check_for(form), data, steps) == feed(check_for(form), data)


@given(
    data=st.binary(max_size=600),
    beginning=st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0"]),
)
def test_any_tiff_gets_a_verdict(data: bytes, beginning: bytes) -> None:
    whole = feed(check_for(formats.TIFF), beginning + data, [50] * 10)
    assert whole is None or "missing" in whole
