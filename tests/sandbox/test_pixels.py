"""The enhancement improves photos, and reads and writes what it should."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from airflow_provider_autoenhance.sandbox.photo import decoding, enhancing, fusing, grouping, opening
from airflow_provider_autoenhance.sandbox.photo.decoding import PixelError
from tests.imaging.inputs import upright
from tests.support.pictures import bracket, camera_exif, encode, photo, room

WINDOW = np.s_[36:76, 156:204]
WALL = np.s_[60:100, 120:150]


def decode(tmp_path: Path, data: bytes, name: str = "photo.jpg") -> decoding.Picture:
    path = tmp_path / name
    path.write_bytes(data)
    return decoding.decode(path, name, 50)


def test_a_dark_room_becomes_bright_and_the_window_stays() -> None:
    dark = room(exposure=0.25)
    bright = enhancing.enhance(dark, {})
    assert bright.shape == dark.shape
    assert bright[100:].mean() > dark[100:].mean() * 1.3
    assert bright[WALL].mean() > 100
    assert np.mean(bright[WINDOW] > 252) < 0.5, "the window is blown out"
    assert bright[WINDOW].std() > 10


def test_a_colour_cast_is_reduced() -> None:
    def cast(pixels: np.ndarray) -> float:
        means = pixels[WALL].reshape(-1, 3).mean(axis=0)
        return float((means.max() - means.min()) / means.mean())

    yellow = room(exposure=0.6, cast=(1.15, 1.0, 0.7))
    assert cast(enhancing.enhance(yellow, {"enhance_type": "neutral"})) < 0.5 * cast(yellow)


def test_a_bright_photo_is_left_in_peace() -> None:
    bright = room(exposure=2.2)
    assert abs(float(enhancing.enhance(bright, {}).mean()) - float(bright.mean())) < 25


def test_settings_are_honoured() -> None:
    pixels = room(exposure=0.4)
    assert np.array_equal(enhancing.enhance(pixels, {"enhance": False}), pixels)
    warm, neutral = (enhancing.enhance(pixels, {"enhance_type": kind}).astype(float) for kind in ("warm", "neutral"))
    assert (warm[..., 0] - warm[..., 2]).mean() > (neutral[..., 0] - neutral[..., 2]).mean() + 2
    assert enhancing.enhance(pixels, {"upscale": True}).shape == (320, 480, 3)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_and_tiny_pictures_survive(value: int) -> None:
    for size in ((1, 1, 3), (40, 3, 3), (300, 300, 3)):
        flat = np.full(size, value, np.uint8)
        assert enhancing.enhance(flat, {}).shape == size
        assert fusing.fuse([flat, flat]).shape == size


def test_merging_aligns_hand_held_shots(tmp_path: Path) -> None:
    shots = [room(320, 240, exposure=2.0**step, seed=5) for step in (-2, 0, 2)]
    shifted = [shots[0], shots[1], np.roll(shots[2], (3, 5), axis=(0, 1))]
    merged = fusing.fuse(shots).astype(float)[20:-20, 20:-20]
    aligned = fusing.fuse(shifted).astype(float)[20:-20, 20:-20]
    assert np.abs(merged - aligned).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_accepted_formats_are_read(tmp_path: Path, kind: str) -> None:
    pixels = room()
    options = {"quality": 95} if kind in ("WEBP", "AVIF") else {}
    read = decode(tmp_path, encode(pixels, kind, **options)).pixels
    assert np.abs(read.astype(float) - pixels).mean() < 6


HEIC = Path(__file__).parents[1] / "imaging" / "data" / "lying.heic"


def test_heic_is_taken(tmp_path: Path) -> None:
    picture = decode(tmp_path, HEIC.read_bytes(), "photo.heic")
    assert picture.icc
    assert np.abs(picture.pixels.astype(int) - upright()).mean() < 6
    assert (decoding.check(HEIC, "photo.heic"), decoding.media_type(HEIC)) == ("image/heif", "image/heif")
    with pytest.raises(PixelError, match="too large: 64 x 96 pixels"):
        decoding.decode(HEIC, "photo.heic", 0.001)


@pytest.mark.parametrize(
    "does", ["import os; os.kill(os.getpid(), 11)", "import sys; sys.exit('broken box')", "print('?')"]
)
def test_a_file_that_crashes_its_decoder_costs_one_image(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        program = tmp_path / "decoder.py"
        program.write_text(does)
        patch.setattr(opening.decoder, "__file__", str(program))
        for data in (HEIC.read_bytes(), encode(room(), "AVIF")):
            with pytest.raises(PixelError):
                decode(tmp_path, data, "photo.heic")
            assert decoding.media_type(tmp_path / "photo.heic") is None
    assert decode(tmp_path, HEIC.read_bytes(), "photo.heic").pixels.shape == (96, 64, 3)


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(tmp_path, encode(room(), exif=exif.tobytes())).pixels.shape == (240, 160, 3)


def test_the_colour_profile_is_kept(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(tmp_path, encode(room(), icc_profile=profile)).icc == profile


def test_other_modes_become_rgb(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    read = decode(tmp_path, encode(deep, "PNG"), "deep.png").pixels
    assert (read.shape, int(read.max()), int(read.min())) == ((48, 64, 3), 255, 0)
    clear = np.zeros((8, 8, 4), np.uint8)
    assert decode(tmp_path, encode(clear, "PNG"), "clear.png").pixels.min() == 255
    file = BytesIO()
    Image.fromarray(room()).convert("CMYK").save(file, "JPEG")
    assert decode(tmp_path, file.getvalue()).pixels.shape == (160, 240, 3)


def test_a_raw_file_gives_its_largest_preview(tmp_path: Path) -> None:
    small, large = photo(width=640, height=480), photo(width=900, height=600, seed=3)
    raw = b"II*\x00" + bytes(500) + small + bytes(300) + large + bytes(5000)
    picture = decode(tmp_path, raw, "shot.CR2")
    assert picture.pixels.shape == (600, 900, 3)
    with pytest.raises(PixelError, match="RAW"):
        decode(tmp_path, b"II*\x00" + bytes(5000) + photo(width=160, height=120), "shot.nef")


def shots(tmp_path: Path, files: list[bytes]) -> list[grouping.ExposureFile]:
    made = []
    for number, data in enumerate(files):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(data)
        made.append(grouping.ExposureFile(str(number), path.name, path))
    return made


def test_shots_are_grouped_by_clock_and_exposure(tmp_path: Path) -> None:
    five = bracket((0, -4, -2, 2, 4), second=10)
    three = bracket((-2, 0, 2), second=12, seed=2)
    alone = [encode(room(seed=9), exif=camera_exif(0.01, taken="2024:05:17 11:00:00"))]
    other = [encode(room(seed=8), exif=camera_exif(0.02, taken="2024:05:17 11:00:01", model="Other"))]
    found = grouping.find_brackets(shots(tmp_path, [*five, *three, *alone, *other]))
    assert sorted(map(sorted, found)) == [["0", "1", "2", "3", "4"], ["5", "6", "7"], ["8"], ["9"]]


def test_no_group_is_bigger_than_nine(tmp_path: Path) -> None:
    many = bracket(tuple(number / 2 for number in range(-5, 6)), second=10)
    assert [len(group) for group in grouping.find_brackets(shots(tmp_path, many))] == [9, 2]


def test_without_exif_likeness_decides(tmp_path: Path) -> None:
    inverted = [encode(np.flipud(room(exposure=2.0**step))) for step in (1, 0, -1)]
    files = [*bracket((-1, 0, 1), exif=False), *inverted, b"junk"]
    assert grouping.find_brackets(shots(tmp_path, files)) == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
