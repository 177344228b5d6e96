"""The committed sample photos are what the demo and the other tests take them for."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageStat
from PIL.ExifTags import IFD, Base

PHOTOS = Path(__file__).parents[2] / "samples" / "photos"
SINGLE = [PHOTOS / "maple-street-12" / f"{room}.jpg" for room in ("living-room", "kitchen", "bedroom")]
BRACKET = [PHOTOS / "harbour-view-3" / f"living-room-{number}.jpg" for number in range(1, 6)]
BIASES = [-4, -2, 0, 2, 4]
HARBOUR_SEEN_THROUGH_THE_DOOR = (0.42, 0.36, 0.70, 0.62)

every_photo = pytest.mark.parametrize("path", SINGLE + BRACKET, ids=lambda path: f"{path.parent.name}/{path.stem}")


def camera_exif(path: Path) -> dict[int, Any]:
    with Image.open(path) as photo:
        exif = photo.getexif()
        return {**exif, **exif.get_ifd(IFD.Exif)}


def taken(path: Path) -> datetime:
    exif = camera_exif(path)
    stamp = f"{exif[Base.DateTimeOriginal]}.{exif[Base.SubsecTimeOriginal]}"
    return datetime.strptime(stamp, "%Y:%m:%d %H:%M:%S.%f")


def brightness(path: Path) -> float:
    with Image.open(path) as photo:
        return float(ImageStat.Stat(photo.convert("L")).mean[0])


def clipped_share(path: Path, part: tuple[float, float, float, float]) -> float:
    """Share of pixels in a part of the photo that are burnt out in the green channel."""
    with Image.open(path) as photo:
        left, top, right, bottom = part
        box = (int(left * photo.width), int(top * photo.height), int(right * photo.width), int(bottom * photo.height))
        counts = photo.crop(box).getchannel("G").histogram()
    return sum(counts[250:]) / sum(counts)


def test_no_other_photos_are_lying_around() -> None:
    assert sorted(PHOTOS.rglob("*.*")) == sorted(SINGLE + BRACKET)


@every_photo
def test_a_photo_is_a_full_size_jpeg_below_400_kb(path: Path) -> None:
    assert path.stat().st_size < 400_000
    with Image.open(path) as photo:
        photo.load()
        assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (2400, 1600))


def test_all_photos_together_stay_below_3_mb() -> None:
    assert sum(path.stat().st_size for path in SINGLE + BRACKET) < 3_000_000


@every_photo
def test_a_photo_carries_the_exif_of_a_camera(path: Path) -> None:
    exif = camera_exif(path)
    assert (exif[Base.Make], exif[Base.Model]) == ("Sample Camera", "Render 1")
    assert exif[Base.Orientation] == 1
    assert exif[Base.ColorSpace] == 1
    assert exif[Base.FNumber] == 8
    assert exif[Base.FocalLength] == 20
    assert exif[Base.ISOSpeedRatings] in (200, 400)
    assert 0 < exif[Base.ExposureTime] <= 1
    assert (exif[Base.ExifImageWidth], exif[Base.ExifImageHeight]) == (2400, 1600)
    assert taken(path).year == 2026


@every_photo
def test_a_photo_carries_the_srgb_profile(path: Path) -> None:
    with Image.open(path) as photo:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(photo.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)


@pytest.mark.parametrize("path", SINGLE, ids=lambda path: path.stem)
def test_a_single_photo_is_rather_dark_and_no_bracket(path: Path) -> None:
    assert 45 < brightness(path) < 125
    exif = camera_exif(path)
    assert exif[Base.ExposureMode] == 0
    assert exif[Base.ExposureBiasValue] == 0


def test_the_bracket_tells_its_exposures() -> None:
    exifs = [camera_exif(path) for path in BRACKET]
    assert [exif[Base.ExposureBiasValue] for exif in exifs] == BIASES
    assert {exif[Base.ExposureMode] for exif in exifs} == {2}
    times = [Fraction(1, 250), Fraction(1, 60), Fraction(1, 15), Fraction(1, 4), Fraction(1)]
    assert [Fraction(float(exif[Base.ExposureTime])).limit_denominator(8000) for exif in exifs] == times
    for name in (Base.FNumber, Base.ISOSpeedRatings, Base.FocalLength):
        assert len({exif[name] for exif in exifs}) == 1


def test_the_bracket_was_shot_in_one_go() -> None:
    for earlier, later in pairwise(BRACKET):
        assert timedelta(0) < taken(later) - taken(earlier) < timedelta(seconds=2)


def test_each_exposure_of_the_bracket_is_brighter_than_the_one_before() -> None:
    means = [brightness(path) for path in BRACKET]
    for darker, brighter in pairwise(means):
        assert brighter > darker + 15
    assert means[0] < 40
    assert means[-1] > 200


def test_the_view_is_kept_in_the_dark_exposure_only() -> None:
    shares = [clipped_share(path, HARBOUR_SEEN_THROUGH_THE_DOOR) for path in BRACKET]
    assert shares[0] < 0.02
    assert shares[2] > 0.3
    assert shares[3] > 0.8
    assert shares[4] > 0.9
