"""Thumbnails: small, upright, in sRGB, without a word of EXIF; and never an error of the photo."""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from airflow_provider_autoenhance.api.errors import ConversionError
from airflow_provider_autoenhance.imaging.budget import VARIABLE
from airflow_provider_autoenhance.imaging.profiles import load_profile
from airflow_provider_autoenhance.imaging.thumbnail import LONGEST_SIDE, Copy, thumbnail_of
from airflow_provider_autoenhance.storage.streams import CheckedReader

RED, BLUE = (200, 30, 30), (30, 30, 200)


def halves(size: tuple[int, int] = (2400, 1600), mode: str = "RGB") -> Image.Image:
    """Return a picture that is red on its left and blue on its right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image.convert(mode)


def saved(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    data = BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    assert image.format == "WEBP"
    return image


def close_to(pixel: Any, colour: tuple[int, ...], *, by: int = 25) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP"])
def test_each_format_is_shown_small(form: str) -> None:
    made = thumbnail_of(BytesIO(saved(halves(), form)), about="photo")
    shown = opened(made.data)
    assert (made.width, made.height) == (2400, 1600)
    assert max(shown.size) == LONGEST_SIDE
    assert abs(shown.width / shown.height - 1.5) < 0.01
    assert close_to(shown.getpixel((40, 200)), RED)
    assert close_to(shown.getpixel((560, 200)), BLUE)


def test_a_heic_is_shown_too() -> None:
    sample = Path(__file__).parent / "data" / "lying.heic"
    assert opened(thumbnail_of(sample, about="photo").data).size[0]


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize(("orientation", "red"), [(1, (10, 100)), (3, (590, 100)), (6, (100, 10)), (8, (100, 590))])
def test_it_is_upright(form: str, orientation: int, red: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    made = thumbnail_of(BytesIO(saved(halves(), form, exif=exif)), about="photo")
    shown = opened(made.data)
    assert close_to(shown.getpixel(red), RED)
    on_its_side = orientation in (6, 8)
    assert (shown.height > shown.width) is on_its_side
    assert (made.width, made.height) == ((1600, 2400) if on_its_side else (2400, 1600))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_nothing_of_the_photo_but_its_pixels_is_in_it(form: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRET CAMERA"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = thumbnail_of(BytesIO(saved(halves(), form, exif=exif, icc_profile=profile)), about="photo").data
    assert not [name for name in (b"EXIF", b"ICCP", b"XMP ", b"SECRET") if name in data]
    assert dict(opened(data).getexif()) == {}


def test_colours_become_srgb() -> None:
    wide = load_profile("AdobeRGB1998").data if _has("AdobeRGB1998") else None
    inks = load_profile("ISO_Coated").data
    image = ImageCms.profileToProfile(
        halves(), ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(BytesIO(inks)), outputMode="CMYK"
    )
    assert image is not None
    shown = opened(thumbnail_of(BytesIO(saved(image, icc_profile=inks)), about="photo").data)
    assert shown.mode == "RGB"
    assert close_to(shown.getpixel((40, 200)), RED, by=45)
    assert wide is None or close_to(
        opened(thumbnail_of(BytesIO(saved(halves(), icc_profile=wide)), about="photo").data).getpixel((600, 200)),
        BLUE,
        by=40,
    )


def _has(name: str) -> bool:
    try:
        load_profile(name)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_inks_without_a_profile(mode: str) -> None:
    shown = opened(thumbnail_of(BytesIO(saved(halves(mode=mode))), about="photo").data)
    assert shown.mode == "RGB"


def test_transparency_is_laid_on_white() -> None:
    image = halves((800, 600), "RGBA")
    image.putalpha(0)
    shown = opened(thumbnail_of(BytesIO(saved(image, "PNG")), about="photo").data)
    assert close_to(shown.getpixel((10, 10)), (255, 255, 255), by=4)


def test_what_is_a_thumbnail_already_is_taken_as_it_is() -> None:
    data = saved(halves((640, 426)), "WEBP", quality=70)
    made = thumbnail_of(BytesIO(data), about="photo")
    assert (made.data, made.width, made.height) == (data, 640, 426)


@pytest.mark.parametrize("tail", [b"EXIF\4\0\0\0SECR", b"SECRET"])
def test_what_stands_behind_a_small_picture_is_left_out(tail: bytes) -> None:
    data = saved(halves((640, 426)), "WEBP", quality=70) + tail
    assert b"SECR" not in thumbnail_of(BytesIO(data), about="photo").data


def test_a_small_picture_is_not_blown_up() -> None:
    assert opened(thumbnail_of(BytesIO(saved(halves((160, 120)))), about="photo").data).size == (160, 120)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1)])
def test_odd_shapes(size: tuple[int, int]) -> None:
    made = thumbnail_of(BytesIO(saved(halves(size))), about="photo")
    assert (made.width, made.height) == size
    assert max(opened(made.data).size) <= LONGEST_SIDE


@pytest.mark.parametrize("progressive", [False, True])
def test_a_grainy_photo_stays_small(progressive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "64")
    noise = Image.effect_noise((3000, 2000), 90).convert("RGB")
    data = thumbnail_of(BytesIO(saved(noise, quality=90, progressive=progressive)), about="photo").data
    assert len(data) < 100_000


def test_what_is_damaged_is_said_in_words() -> None:
    with pytest.raises(ConversionError, match="photo"):
        thumbnail_of(BytesIO(b"\xff\xd8\xff\xe0 not a photo"), about="photo")


def passed(copy: Copy, data: bytes) -> None:
    reader = CheckedReader(BytesIO(data), name="photo", size=len(data), checks=[copy.begun()])
    while reader.read(10_000):
        pass


def test_a_copy_looks_on_while_a_photo_passes() -> None:
    with Copy() as copy:
        passed(copy, saved(halves()))
        made = copy.thumbnail("photo")
    assert made is not None
    assert (made.width, copy.problem) == (2400, None)


def test_a_second_try_begins_anew() -> None:
    with Copy() as copy:
        copy.begun().feed(saved(halves((800, 600)))[:3000])
        passed(copy, saved(halves((900, 600))))
        made = copy.thumbnail("photo")
    assert made is not None
    assert made.width == 900


def test_what_broke_off_has_no_thumbnail() -> None:
    with Copy() as copy:
        copy.begun().feed(saved(halves())[:3000])
        assert copy.thumbnail("photo") is None


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"FUJIFILMCCD-RAW 0201" + bytes(9000), "RAF is not decoded"),
        (b"%PDF-1.4", "not decoded here"),
        (b"\xff\xd8\xff\xe0junk", ""),
    ],
)
def test_what_cannot_be_shown_says_why_and_passes(data: bytes, problem: str) -> None:
    with Copy() as copy:
        passed(copy, data)
        assert copy.thumbnail("photo") is None
        assert copy.problem is not None
        assert problem in copy.problem


def test_a_full_disk_is_not_the_photos_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with Copy() as copy:
        passed(copy, saved(halves()))
        assert copy.thumbnail("photo") is None
        assert "No space left" in str(copy.problem)
