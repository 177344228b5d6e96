from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.imaging import sniff as formats
from airflow_provider_autoenhance.imaging.sniff import ImageFormat, sniff

from .samples import PICTURES, heic, iso_media, picture, tiff

CFA = {262: 32803, 259: 34713}
PREVIEW = {254: 1, 259: 6}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_pillow_writes(name: str) -> None:
    data = picture(name)
    found = sniff(data[: 1 << 16])
    assert found is not None
    assert found.name == name.split(maxsplit=1)[0]
    assert sniff(data[: 1 << 16], "wrong.dng") == found or found == formats.TIFF


def test_heic() -> None:
    assert sniff(heic()) == formats.HEIC


@pytest.mark.parametrize(
    ("major", "others", "form"),
    [
        (b"avif", [b"mif1", b"miaf"], formats.AVIF),
        (b"avis", [b"avif", b"msf1"], formats.AVIF),
        (b"mif1", [b"avif", b"miaf"], formats.AVIF),
        (b"heic", [b"mif1"], formats.HEIC),
        (b"heix", [b"mif1", b"heic"], formats.HEIC),
        (b"mif1", [b"heic"], formats.HEIC),
        (b"mif1", [b"miaf"], formats.HEIC),
        (b"crx ", [b"crx ", b"isom"], formats.CR3),
        (b"isom", [b"mp42"], None),
        (b"qt  ", [], None),
    ],
)
def test_iso_media_by_brand(major: bytes, others: list[bytes], form: ImageFormat | None) -> None:
    assert sniff(iso_media(major, others)) == form


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("first", "inside", "name", "form"),
    [
        ({271: "Canon", 262: 2}, None, "a.tif", formats.TIFF),
        ({262: 2}, None, None, formats.TIFF),
        ({50706: b"\x01\x04\0\0", 271: "NIKON CORPORATION"}, CFA, "a.nef", formats.DNG),
        ({50706: b"\x01\x04\0\0", 271: "Apple"}, CFA, "IMG_1.DNG", formats.DNG),
        ({271: "NIKON CORPORATION", 272: "NIKON Z 7_2", **PREVIEW}, CFA, "a.nef", formats.NEF),
        ({271: "NIKON CORPORATION", 272: "NIKON D850"}, CFA, "renamed.jpg", formats.NEF),
        ({271: "NIKON", 272: "COOLPIX P7000", **PREVIEW}, CFA, None, formats.NRW),
        ({271: "NIKON", 272: "COOLPIX P7000", **PREVIEW}, CFA, "a.nef", formats.NEF),
        ({271: "NIKON CORPORATION", 254: 0, 262: 2}, None, "export.tif", formats.TIFF),
        ({271: "NIKON CORPORATION", 254: 0, 262: 2}, {254: 1, 262: 2}, "pyramid.tif", formats.TIFF),
        ({271: "NIKON CORPORATION", 262: 2}, None, "a.NEF", formats.NEF),
        ({271: "SONY", 272: "ILCE-7M4", **PREVIEW}, {259: 32767}, None, formats.ARW),
        ({271: "SONY", 272: "ILCE-7M4", 50740: 7}, None, None, formats.ARW),
        ({271: "SONY", 272: "DSC-R1", **PREVIEW}, CFA, None, formats.SR2),
        ({271: "SONY", 272: "DSC-F828", **PREVIEW}, CFA, None, formats.SRF),
        ({271: "SONY", 272: "ILCE-7M4", **PREVIEW}, CFA, "a.nef", formats.ARW),
        ({271: "SONY", 272: "ILCE-7M4", 262: 2}, None, "a.tiff", formats.TIFF),
        ({271: "PENTAX", 262: 32803}, None, "a.pef", formats.OTHER_RAW),
    ],
)
def test_camera_raw_inside_tiff(
    first: dict[int, int | str | bytes],
    inside: dict[int, int | str | bytes] | None,
    name: str | None,
    form: ImageFormat,
    order: str,
    big: bool,
) -> None:
    assert sniff(tiff(first, inside, order=order, big=big), name) == form


def test_cr2_by_its_mark() -> None:
    head = b"II*\0\x10\0\0\0CR\x02\0" + bytes(100)
    assert sniff(head, "a.tif") == formats.CR2


@pytest.mark.parametrize(
    ("name", "form"), [("a.nef", formats.NEF), ("a.DNG", formats.DNG), ("a.jpg", formats.TIFF), (None, formats.TIFF)]
)
def test_the_name_decides_where_the_directory_is_out_of_sight(name: str | None, form: ImageFormat) -> None:
    assert sniff(b"II*\0" + struct.pack("<I", 40_000_000) + bytes(60_000), name) == form


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b"FUJIFILMCCD-RAW 0201", formats.RAF),
        (b"GIF89a", formats.GIF),
        (b"\xff\x0a\xfa\x1f", formats.JXL),
        (b"\0\0\0\x0cJXL \r\n\x87\n", formats.JXL),
        (b"IIRO\x08\0\0\0", formats.OTHER_RAW),
        (b"IIU\0\x18\0\0\0", formats.OTHER_RAW),
        (b"", None),
        (b"\xff", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"BM, a letter to you", None),
        (b"<!DOCTYPE html><title>Sign in</title>", None),
        (b"%PDF-1.7", None),
        (b"8BPS\0\1", None),
    ],
)
def test_other_beginnings(head: bytes, form: ImageFormat | None) -> None:
    assert sniff(head, "photo.jpg") == form


def test_what_autoenhance_takes() -> None:
    refused = {form.name for form in formats.FORMATS if not form.accepted}
    assert refused == {"BMP", "GIF", "JPEG XL", "JPEG 2000", formats.OTHER_RAW.name}
    assert {".jpg", ".jpeg", ".heic", ".cr3", ".srf"} <= set(formats.PHOTO_EXTENSIONS)
    assert {".gif", ".bmp"} <= set(formats.PHOTO_EXTENSIONS), "they go up as PNG"
    assert {".jxl", ".orf"}.isdisjoint(formats.PHOTO_EXTENSIONS)


def test_mime_types_are_the_contracts() -> None:
    assert {form.name: form.mime for form in formats.FORMATS if form.raw and form.accepted} == {
        "DNG": "image/x-adobe-dng",
        "CR2": "image/x-canon-cr2",
        "CR3": "image/x-canon-cr3",
        "NEF": "image/x-nikon-nef",
        "NRW": "image/x-nikon-nrw",
        "ARW": "image/x-sony-arw",
        "SR2": "image/x-sony-sr2",
        "SRF": "image/x-sony-srf",
        "RAF": "image/x-fuji-raf",
    }


@given(
    st.sampled_from([b"", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\0\0\0\x20ftyp", b"BM", b"RIFF"]),
    st.binary(max_size=600),
)
def test_any_bytes_get_an_answer(beginning: bytes, rest: bytes) -> None:
    found = sniff(beginning + rest, "a.nef")
    assert found is None or found in formats.FORMATS


def test_a_loop_of_directories_ends() -> None:
    data = bytearray(tiff({262: 2}))
    at = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, at)[0]
    struct.pack_into("<I", data, at + 2 + count * 12, at)
    assert sniff(bytes(data)) == formats.TIFF


def test_pillow_agrees_on_the_hand_made_tiff() -> None:
    image_module = pytest.importorskip("PIL.Image")
    with image_module.open(
        io.BytesIO(tiff({256: 2, 257: 2, 258: 8, 259: 1, 262: 1, 273: 200, 278: 2, 279: 4}))
    ) as image:
        assert image.size == (2, 2)
