"""Capture facts: the same from every format, from a few kilobytes, and never an exception but the storage's."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.imaging.exif import CaptureFacts, read_capture_facts
from airflow_provider_autoenhance.imaging.ranges import FIRST_READ, MAX_READS
from airflow_provider_autoenhance.imaging.sniff import sniff

from . import exif_samples as samples
from .exif_samples import EXIF, FIRST, block, gpano, jpeg, segment
from .samples import picture

FOLDER = Path(os.environ.get("AUTOENHANCE_PHOTOS", ""))
SAMPLES = Path(__file__).parents[2] / "samples" / "photos"

EXPECTED = CaptureFacts(
    captured_at=datetime(2026, 5, 14, 10, 32, 7, 410_000),
    exposure_time=1 / 60,
    f_number=8.0,
    iso=400.0,
    exposure_bias=float(Fraction(-4, 3)),
    auto_bracket=True,
    make="Maker",
    model="Model 7",
    serial_number="S/N 0815",
    lens="16-35mm F4",
    width=6000,
    height=4000,
    orientation=6,
)


class Storage:
    """A file that notes what was read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length > 0
        assert offset + length <= len(self.data)
        self.reads.append((offset, length))
        return self.data[offset : offset + length]

    @property
    def taken(self) -> int:
        return sum(length for _, length in self.reads)


def facts_of(data: bytes) -> CaptureFacts:
    return read_capture_facts(Storage(data).read, len(data))


FILES: dict[str, tuple[Callable[[], bytes], CaptureFacts, int]] = {
    "JPEG": (lambda: jpeg(block()), EXPECTED, 1),
    "TIFF": (lambda: block({**FIRST, 256: 6000, 257: 4000}) + bytes(200_000), EXPECTED, 1),
    "DNG": (lambda: samples.raw("DNG"), replace(EXPECTED, width=6048, height=4024), 1),
    "NEF": (lambda: samples.raw("NEF"), replace(EXPECTED, make="NIKON CORPORATION", width=6048, height=4024), 1),
    "ARW": (lambda: samples.raw("ARW"), replace(EXPECTED, make="SONY", width=6048, height=4024), 1),
    "CR2": (lambda: samples.raw("CR2"), replace(EXPECTED, make="Canon", width=6048, height=4024), 1),
    "CR3": (lambda: samples.cr3(block(exif=None), block(EXIF, None)), EXPECTED, 1),
    "RAF": (lambda: samples.raf(block()), replace(EXPECTED, width=1920, height=1280), 1),
    "HEIC": (lambda: samples.heif(block()), replace(EXPECTED, width=4032, height=3024), 2),
    "AVIF": (lambda: samples.heif(block(), brand=b"avif"), replace(EXPECTED, width=4032, height=3024), 2),
}


BEGINNINGS = {name: build()[:4000] for name, (build, _, _) in FILES.items()}


@pytest.mark.parametrize("name", FILES)
def test_every_format_tells_the_same_in_a_read_or_two(name: str) -> None:
    build, expected, reads = FILES[name]
    data = build()
    form = sniff(data[:FIRST_READ])
    assert form is not None
    assert form.name == name
    storage = Storage(data)
    assert read_capture_facts(storage.read, len(data)) == expected
    assert len(storage.reads) == reads
    assert storage.taken <= (FIRST_READ + (1 << 14))
    assert storage.taken < len(data) / 2


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("gap", [0, 40_000, 60_000])
def test_values_behind_big_maker_notes_and_previews_are_fetched_alone(order: str, gap: int) -> None:
    data = block({**FIRST, 256: 6000, 257: 4000}, order=order, gap=gap, sub=samples.cfa()) + bytes(900_000)
    storage = Storage(data)
    assert read_capture_facts(storage.read, len(data)) == replace(EXPECTED, width=6048, height=4024)
    assert storage.taken < 160_000


@pytest.mark.parametrize(("version", "in_item_data"), [(0, False), (1, False), (2, False), (1, True), (2, True)])
def test_heic_keeps_its_exif_near_or_far(version: int, in_item_data: bool) -> None:
    data = samples.heif(block(), version=version, in_item_data=in_item_data, far=5_000_000)
    storage = Storage(data)
    assert read_capture_facts(storage.read, len(data)) == replace(EXPECTED, width=4032, height=3024)
    assert storage.taken <= 2 * FIRST_READ


@pytest.mark.parametrize(
    "payload",
    [
        struct.pack(">I", 0) + block(),
        struct.pack(">I", 6) + b"Exif\0\0" + block(order=">"),
        struct.pack(">I", 0) + b"Exif\0\0" + block(),
        b"\xff\xe1\1\2Exif\0\0" + block(),
    ],
    ids=["at once", "big-endian", "offset forgotten", "as in a JPEG"],
)
def test_phones_that_count_the_offset_their_own_way(payload: bytes) -> None:
    usual = struct.pack(">I", 6) + b"Exif\0\0" + block()
    data = samples.heif(block()).replace(usual, payload.ljust(len(usual), b"\0"))
    assert facts_of(data) == replace(EXPECTED, width=4032, height=3024)


def test_boxes_longer_than_32_bits_count() -> None:
    whole = samples.cr3(block(exif=None), block(EXIF, None))
    at = whole.index(b"moov") - 4
    size = int.from_bytes(whole[at : at + 4], "big")
    wide = struct.pack(">I4sQ", 1, b"moov", size + 8)
    assert facts_of(whole[:at] + wide + whole[at + 8 :]) == EXPECTED


def test_padding_between_segments() -> None:
    assert facts_of(jpeg(block(), before=b"\xff\xff\xff" + segment(0xFE, b"hello") + b"\xff\x01")) == EXPECTED


def test_exif_behind_a_long_comment_and_colour_profile() -> None:
    filling = segment(0xE2, bytes(65_000)) + segment(0xFE, bytes(65_000))
    assert facts_of(jpeg(block(), before=filling)) == EXPECTED


def test_megabytes_of_extended_xmp_are_not_read() -> None:
    extended = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000)) * 40
    data = jpeg(block(), after=extended)
    storage = Storage(data)
    assert read_capture_facts(storage.read, len(data)) == EXPECTED
    assert storage.taken < 160_000


def test_a_jpeg_of_endless_segments_is_given_up() -> None:
    data = b"\xff\xd8" + segment(0xE2, bytes(65_000)) * 100
    storage = Storage(data)
    assert read_capture_facts(storage.read, len(data)) == CaptureFacts()
    assert len(storage.reads) <= MAX_READS
    assert storage.taken <= 1 << 20


def test_the_pixels_of_the_file_count_not_what_an_editor_forgot_in_its_exif() -> None:
    cropped = facts_of(jpeg(block(), size=(3000, 3000)))
    assert (cropped.width, cropped.height) == (3000, 3000)
    cropped = facts_of(block({**FIRST, 256: 3000, 257: 3000}))
    assert (cropped.width, cropped.height) == (3000, 3000)


def test_360_pictures_by_mark_and_by_shape() -> None:
    assert not EXPECTED.panorama
    marked = facts_of(jpeg(block(), after=gpano()))
    assert marked.gpano
    assert marked.panorama
    shaped = facts_of(jpeg(block(), size=(6720, 3360)))
    assert not shaped.gpano
    assert shaped.panorama
    assert facts_of(block({**FIRST, 700: gpano()})).panorama


def changed(**fields: object) -> CaptureFacts:
    tags = {"time": 33434, "aperture": 33437, "iso": 34855, "taken": 36867, "subsecond": 37521, "bias": 37380}
    tags |= {"index": 34866, "shutter_value": 37377, "aperture_value": 37378, "digitized": 36868}
    told = {tag: value for tag, value in EXIF.items() if tag not in [tags[name] for name in fields]}
    return facts_of(jpeg(block(exif=told | {tags[name]: value for name, value in fields.items() if value is not None})))


@pytest.mark.parametrize(
    ("subsecond", "microsecond"),
    [("4", 400_000), ("041", 41_000), ("123456789", 123_456), ("  ", 0), ("", 0), ("x", 0), (None, 0)],
)
def test_fractions_of_a_second(subsecond: str | None, microsecond: int) -> None:
    moment = changed(subsecond=subsecond).captured_at
    assert moment is not None
    assert moment.microsecond == microsecond


@pytest.mark.parametrize(
    "taken", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2026:13:40 99:00:00", "yesterday", ""]
)
def test_a_clock_that_was_never_set_tells_no_time(taken: str) -> None:
    assert changed(taken=taken).captured_at is None
    assert changed(taken=taken, digitized="2026:05:14 10:32:09").captured_at == datetime(2026, 5, 14, 10, 32, 9)


def test_apex_values_stand_in_for_missing_ones() -> None:
    facts = changed(time=None, aperture=None, shutter_value=(Fraction(6),), aperture_value=Fraction(4))
    assert (facts.exposure_time, facts.f_number) == (1 / 64, 4.0)


def test_sensitivities_too_big_for_their_field() -> None:
    assert changed(iso=65535, index=102_400).iso == 102_400


def test_values_that_mean_nothing_are_none() -> None:
    facts = changed(time=Fraction(0), aperture=Fraction(0), iso=0)
    assert (facts.exposure_time, facts.f_number, facts.iso, facts.exposure_value) == (None, None, None, None)


@pytest.mark.parametrize(
    ("facts", "value"),
    [
        (CaptureFacts(exposure_time=1.0, f_number=1.0, iso=100), 0),
        (CaptureFacts(exposure_time=1 / 128, f_number=8.0, iso=100), 13),
        (CaptureFacts(exposure_time=1 / 128, f_number=8.0, iso=400), 11),
        (CaptureFacts(exposure_time=0.25), 2),
        (CaptureFacts(f_number=8.0, iso=100), None),
    ],
)
def test_exposure_value(facts: CaptureFacts, value: float | None) -> None:
    assert facts.exposure_value == value


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_what_pillow_writes_is_read_alike(name: str) -> None:
    from PIL import Image
    from PIL.TiffImagePlugin import IFDRational

    exif = Image.Exif()
    exif[271], exif[272] = "Maker", "Model 7"
    exif.get_ifd(34665).update({33434: IFDRational(1, 60), 34855: 400, 36867: samples.TAKEN, 37521: "41"})
    file = io.BytesIO()
    Image.new("RGB", (640, 480)).save(file, name, exif=exif.tobytes())
    facts = facts_of(file.getvalue())
    assert (facts.captured_at, facts.iso, facts.model) == (EXPECTED.captured_at, 400, "Model 7")
    assert (facts.width, facts.height) == (640, 480)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_a_picture_without_exif_tells_nothing_of_its_capture(name: str) -> None:
    assert replace(facts_of(picture(name)), width=None, height=None) == CaptureFacts()


@pytest.mark.parametrize("data", [b"", b"\xff", b"II*\0", b"FUJIFILMCCD-RAW", b"%PDF-1.7", b"\xff\xd8\xff", bytes(100)])
def test_what_is_no_picture_tells_nothing(data: bytes) -> None:
    assert facts_of(data) == CaptureFacts()


@pytest.mark.parametrize("name", FILES)
@given(st.data())
def test_a_damaged_file_never_raises(name: str, data: st.DataObject) -> None:
    whole = bytearray(BEGINNINGS[name])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + 4] = data.draw(st.binary(min_size=1, max_size=4))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    storage = Storage(cut)
    read_capture_facts(storage.read, len(cut))
    assert len(storage.reads) <= MAX_READS


@given(
    st.sampled_from([b"II*\0\x08\0\0\0", b"\xff\xd8\xff\xe1", b"\0\0\0\x18ftypcrx ", b"\0\0\0\x18ftypheic", b""]),
    st.binary(),
)
def test_noise_never_raises(beginning: bytes, noise: bytes) -> None:
    facts_of(beginning + noise)


def test_storage_that_cannot_be_read_raises() -> None:
    data = samples.heif(block())

    def broken(offset: int, length: int) -> bytes:
        if offset:
            raise ConnectionResetError("gone")
        return data[:length]

    with pytest.raises(ConnectionResetError):
        read_capture_facts(broken, len(data))


def test_the_sample_bracket_tells_its_steps() -> None:
    shots = [facts_of(path.read_bytes()) for path in sorted((SAMPLES / "harbour-view-3").glob("*.jpg"))]
    assert [shot.exposure_bias for shot in shots] == [-4, -2, 0, 2, 4]
    assert {(shot.auto_bracket, shot.width, shot.height) for shot in shots} == {(True, 2400, 1600)}
    values = [shot.exposure_value or 0 for shot in shots]
    assert values == sorted(values, reverse=True)


@pytest.mark.skipif(not FOLDER.name, reason="AUTOENHANCE_PHOTOS names no folder with photos")
def test_a_real_bracket_is_read_with_64_kib_each() -> None:
    values = []
    for path in sorted(FOLDER.glob("bracket-*.JPG")):
        storage = Storage(path.read_bytes())
        facts = read_capture_facts(storage.read, len(storage.data))
        assert storage.reads == [(0, FIRST_READ)]
        assert (facts.make, facts.model, facts.orientation) == ("Canon", "Canon EOS 6D", 1)
        assert facts.captured_at is not None
        assert facts.captured_at.microsecond
        values.append(facts.exposure_value or 0)
    assert [round(value - values[0]) for value in values] == [0, 4, 2, -2, -4]
