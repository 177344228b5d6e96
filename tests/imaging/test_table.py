"""Each format in, through each option of each format out: opened by another library, it is what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_provider_autoenhance.imaging.convert import converter_for
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.imaging.profiles import CARRIED

from .icc import wide_gamut
from .inputs import DPI, HEIGHT, INPUTS, TAKEN, WIDTH, WITHOUT_PROFILE, Pixels, decoded, photo
from .looking import Look, look, separated

#: What is asked for. ``error``: most that pixels may differ on average, in levels of 255.
OUTPUTS: dict[str, tuple[dict[str, Any], float]] = {
    "jpeg": ({}, 2.5),
    "jpeg quality 1": ({"quality": 1}, 40),
    "jpeg quality 100": ({"quality": 100}, 1),
    "jpeg progressive": ({"progressive": True}, 2.5),
    "jpeg baseline": ({"progressive": False}, 2.5),
    "jpeg dpi": ({"dpi": 300}, 2.5),
    "jpeg dpi least": ({"dpi": 1}, 2.5),
    "jpeg dpi most": ({"dpi": 65535}, 2.5),
    "jpeg max_width": ({"max_width": 32, "quality": 95}, 2.5),
    "jpeg max_width above": ({"max_width": 5000}, 2.5),
    "jpeg scale": ({"scale": 0.25, "quality": 95}, 4),
    "jpeg rgb": ({"color_space": "RGB"}, 2.5),
    "jpeg srgb": ({"color_profile": "sRGB"}, 2.5),
    "jpeg bare": ({"embed_profile": False}, 2.5),
    "jpeg cmyk": ({"color_space": "CMYK", "dpi": 300, "quality": 95}, 2),
    "jpeg iso coated": ({"color_profile": "ISO_Coated", "quality": 95}, 2),
    "jpeg iso uncoated": ({"color_profile": "ISO_Uncoated", "quality": 95}, 2),
    "jpeg usweb coated": ({"color_profile": "USWeb_Coated", "quality": 95}, 2),
    "jpeg usweb uncoated": ({"color_profile": "USWeb_Uncoated", "quality": 95}, 2),
    "jpeg own cmyk": ({"color_space": "CMYK", "color_profile": "Own.icc", "quality": 95}, 2),
    "jpeg own rgb": ({"color_space": "RGB", "color_profile": "Wide.icc", "quality": 95}, 3),
    "jpeg cmyk bare": ({"color_space": "CMYK", "embed_profile": False, "quality": 95}, 2),
    "png": ({"format": "png"}, 0),
    "png fast": ({"format": "png", "compression": "fast"}, 0),
    "png optimal": ({"format": "png", "compression": "optimal"}, 0),
    "png best": ({"format": "png", "compression": "best"}, 0),
    "png options": ({"format": "png", "dpi": 300, "max_width": 32}, 1.5),
    "png srgb": ({"format": "png", "color_profile": "sRGB"}, 1),
    "png bare": ({"format": "png", "embed_profile": False}, 1),
    "tiff": ({"format": "tiff"}, 0),
    "tiff lossless": ({"format": "tiff", "compression": "lossless"}, 0),
    "tiff lossy": ({"format": "tiff", "compression": "lossy"}, 2.5),
    "tiff quality": ({"format": "tiff", "quality": 95}, 1.5),
    "tiff options": ({"format": "tiff", "dpi": 300, "scale": 0.5}, 1.5),
    "tiff bare": ({"format": "tiff", "embed_profile": False}, 1),
    "webp": ({"format": "webp"}, 3),
    "webp lossy": ({"format": "webp", "compression": "lossy", "quality": 95}, 2.5),
    "webp lossless": ({"format": "webp", "compression": "lossless"}, 0),
    "webp options": ({"format": "webp", "compression": "lossless", "dpi": 300, "max_width": 32}, 1.5),
    "webp bare": ({"format": "webp", "compression": "lossless", "embed_profile": False}, 1),
    "avif": ({"format": "avif"}, 4),
    "avif quality": ({"format": "avif", "quality": 95}, 2.5),
    "avif lossless": ({"format": "avif", "compression": "lossless"}, 0),
    "avif options": ({"format": "avif", "compression": "lossless", "dpi": 300, "scale": 0.5}, 1.5),
    "avif bare": ({"format": "avif", "compression": "lossless", "embed_profile": False}, 1),
}

CARRIED_FILES = {
    "ISO_Coated": CARRIED / "fogra39l_330.icc",
    "ISO_Uncoated": CARRIED / "fogra29l_300.icc",
    "USWeb_Coated": CARRIED / "tr003_300.icc",
}


@pytest.fixture(scope="module")
def icc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder of profiles. GRACoL's own may not be carried along, so another takes its place."""
    folder = tmp_path_factory.mktemp("icc")
    (folder / "GRACoL2013UNC_CRPC3.icc").write_bytes(CARRIED_FILES["ISO_Uncoated"].read_bytes())
    (folder / "Own.icc").write_bytes(CARRIED_FILES["USWeb_Coated"].read_bytes())
    (folder / "Wide.icc").write_bytes(wide_gamut())
    return folder


@pytest.mark.parametrize("asked", OUTPUTS)
@pytest.mark.parametrize("form", INPUTS)
def test_it_is_what_was_asked_for(form: str, asked: str, icc_folder: Path, tmp_path: Path) -> None:
    fields, error = OUTPUTS[asked]
    output = OutputSpec.of(fields).with_format()
    source = tmp_path / "photo"
    source.write_bytes(photo(form))
    converter = converter_for([output], profile_directories=[icc_folder])
    (made,) = converter.convert(source, tmp_path, about="photo")

    seen = look(made.path, by_pillow=output.format == "avif" and output.lossless)
    assert seen.format == output.format == made.format
    assert made.mime == f"image/{output.format}"
    assert made.size == made.path.stat().st_size

    width = min(WIDTH, fields.get("max_width", WIDTH), WIDTH * fields.get("scale", 1))
    assert (made.width, made.height) == (width, width * HEIGHT // WIDTH)
    assert seen.pixels.shape[:2] == (made.height, made.width)
    assert seen.orientation == 1
    assert (output.progressive is not False and output.format == "jpeg") == seen.progressive

    check_dpi(seen, form, fields.get("dpi"), made.dpi)
    check_color(seen, form, output, icc_folder, made.color_space, made.color_profile)
    check_pixels(seen, form, output, icc_folder, error)
    if form not in ("BMP", "GIF"):
        assert seen.exif["DateTimeOriginal"] == TAKEN
        assert "GPSLatitude" in seen.exif
        assert seen.exif["PixelXDimension"] == str(made.width)
        assert seen.exif["Copyright"].startswith("A. Photographer")


def check_dpi(seen: Look, form: str, asked: int | None, told: int | None) -> None:
    expected = asked or (None if form == "GIF" else DPI)
    assert told == expected
    if expected is None:
        return
    assert seen.container_dpi in (None, expected)
    said = seen.exif["XResolution"].strip("()").replace(", ", "/").split("/")
    assert round(float(said[0]) / float(said[1] if len(said) > 1 else 1)) == expected


def check_color(seen: Look, form: str, output: OutputSpec, folder: Path, space: str, profile: str | None) -> None:
    assert space == (output.color_space or "RGB")
    assert seen.pixels.shape[2] == (4 if space == "CMYK" else 3)
    if not output.embed_profile:
        assert seen.profile is None
        return
    expected = expected_profile(form, output, folder)
    if output.profile_name == "sRGB":
        assert profile == "sRGB"
        assert seen.profile is not None
        assert b"s\0R\0G\0B" in seen.profile
    else:
        assert seen.profile == expected
        assert (profile is None) == (expected is None)
        assert profile in (output.profile_name, "Wide test RGB", None)


def expected_profile(form: str, output: OutputSpec, folder: Path) -> bytes | None:
    name = output.profile_name
    if name is None:
        return None if form in WITHOUT_PROFILE else wide_gamut()
    return profile_file(name, folder).read_bytes() if name != "sRGB" else None


def profile_file(name: str, folder: Path) -> Path:
    return CARRIED_FILES.get(name, folder / ("GRACoL2013UNC_CRPC3.icc" if name == "USWeb_Uncoated" else name))


def check_pixels(seen: Look, form: str, output: OutputSpec, folder: Path, error: float) -> None:
    expected = expected_pixels(form, output, folder).astype(float)
    height, width = seen.pixels.shape[:2]
    step = expected.shape[1] // width
    shrunk = expected.reshape(height, step, width, step, -1).mean((1, 3))
    difference = np.abs(seen.pixels.astype(float) - shrunk)
    if error == 0:
        assert difference.max() == 0
    else:
        assert difference.mean() <= error * (1.6 if form == "GIF" else 1)  # few colours make noise


def expected_pixels(form: str, output: OutputSpec, folder: Path) -> Pixels:
    """Colours that are converted, by another library than the converter's."""
    tagged = form not in WITHOUT_PROFILE
    source = folder / "Wide.icc" if tagged else None
    name = output.profile_name or (None if output.embed_profile or not tagged else "sRGB")
    if name is None or (name == "sRGB" and not tagged):
        return decoded(form)
    return separated(decoded(form), source, Path("srgb") if name == "sRGB" else profile_file(name, folder))
