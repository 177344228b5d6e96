"""The camera that makes photos of renders: exposures stop by stop, clipping, noise by seed, file size."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageStat

np = pytest.importorskip("numpy")

from samples.develop import MAX_BYTES, Shot, bracket, develop, save  # noqa: E402

SIZE = (240, 160)


def shot(exposure: float = 0.0, iso: int = 400) -> Shot:
    return Shot(
        taken=datetime(2026, 5, 14, 10, 0, 0, 500_000),
        exposure=exposure,
        shutter=Fraction(1, 15),
        iso=iso,
        description="A grey card",
    )


def grey(value: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, dtype=np.float32)


def level(photo: Image.Image) -> float:
    """Mean of the middle, where the lens does not darken."""
    width, height = photo.size
    middle = photo.crop((width * 2 // 5, height * 2 // 5, width * 3 // 5, height * 3 // 5))
    return float(ImageStat.Stat(middle.convert("L")).mean[0])


def test_one_stop_more_is_twice_the_light() -> None:
    assert level(develop(grey(0.1), shot(1.0), SIZE, 1)) == pytest.approx(
        level(develop(grey(0.2), shot(0.0), SIZE, 1)), abs=1.5
    )


def test_too_much_light_is_clipped_and_no_light_is_black() -> None:
    assert level(develop(grey(0.5), shot(4.0), SIZE, 1)) > 254
    assert level(develop(grey(0.0), shot(4.0), SIZE, 1)) < 4


def test_a_wrong_white_balance_shows_as_a_cast() -> None:
    warm = Shot(
        taken=datetime(2026, 5, 14), exposure=0, cast=(1.2, 1.0, 0.8), shutter=Fraction(1, 60), description="Warm"
    )
    red, green, blue = ImageStat.Stat(develop(grey(0.2), warm, SIZE, 1)).mean
    assert red > green + 5
    assert green > blue + 5


def test_the_seed_decides_the_noise() -> None:
    first, again, other = (develop(grey(0.2), shot(), SIZE, seed).tobytes() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_higher_iso_is_noisier() -> None:
    calm, noisy = (
        ImageStat.Stat(develop(grey(0.2), shot(iso=iso), SIZE, 1).crop((110, 70, 130, 90))) for iso in (100, 6400)
    )
    assert noisy.stddev[1] > 2 * calm.stddev[1]


def test_a_small_render_is_scaled_to_the_photo() -> None:
    assert develop(grey(0.2, (120, 80)), shot(), SIZE, 1).size == SIZE


def test_a_bracket_steps_by_its_biases() -> None:
    shots = bracket(shot(0.3), (-4, -2, 0, 2, 4))
    assert [s.bias for s in shots] == [-4, -2, 0, 2, 4]
    assert [s.exposure for s in shots] == pytest.approx([-3.7, -1.7, 0.3, 2.3, 4.3])
    assert [s.shutter for s in shots] == [
        Fraction(1, 250),
        Fraction(1, 60),
        Fraction(1, 15),
        Fraction(1, 4),
        Fraction(1),
    ]
    for earlier, later in pairwise(shots):
        assert later.taken - earlier.taken > timedelta(seconds=float(earlier.shutter))


def test_a_photo_that_can_not_be_made_small_enough_is_refused(tmp_path: Path) -> None:
    noise = Image.merge("RGB", [Image.effect_noise((3000, 2000), 200) for _ in range(3)])
    with pytest.raises(ValueError, match=f"noise.jpg: no JPEG quality brings it below {MAX_BYTES}"):
        save(noise, shot(), tmp_path / "noise.jpg")
    assert not (tmp_path / "noise.jpg").exists()


def test_the_same_photo_gives_the_same_file(tmp_path: Path) -> None:
    photo = develop(grey(0.2), shot(), SIZE, 1)
    save(photo, shot(), tmp_path / "one.jpg")
    save(photo, shot(), tmp_path / "two.jpg")
    assert (tmp_path / "one.jpg").read_bytes() == (tmp_path / "two.jpg").read_bytes()
