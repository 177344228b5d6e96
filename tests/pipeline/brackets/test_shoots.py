"""Whole shoots, simulated: how many of their photos ``brackets="exif"`` finds.

``SHOOTS=60 pytest -s tests/pipeline/brackets/test_shoots.py`` prints the score of so many of each kind.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_autoenhance.imaging.exif import CaptureFacts
from airflow_provider_autoenhance.pipeline.brackets.rules import Shot, group_shots
from tests.support.shooting import NOON

SHOOTS = int(os.environ.get("SHOOTS", "4"))
PHOTOS = 30


@dataclass
class Camera:
    """A camera on a shoot, and what has been taken with it.

    :param limits: shortest and longest time that its shutter has, in seconds.
    :param photos: the exposures of each photo.
    """

    chance: random.Random
    whole_seconds: bool
    name: str = "IMG_{:04}.JPG"
    usual: dict[str, Any] | None = None
    limits: tuple[float, float] = (1 / 8000, 30.0)

    def __post_init__(self) -> None:
        self.clock = NOON + timedelta(seconds=self.chance.uniform(0, 5))
        self.photos: list[list[Shot]] = []
        self._number = 0

    def take(self, steps: Sequence[float], *, pause: float, inside: float, time: float, **facts: Any) -> None:
        """Take a photo in so many exposures.

        :param time: seconds, of the middle one.
        """
        taken = []
        for number, step in enumerate(steps):
            self.clock += timedelta(seconds=inside if number else pause)
            seconds = min(max(time * 2**step, self.limits[0]), self.limits[1])
            stamp = self.clock.replace(microsecond=0) if self.whole_seconds else self.clock
            self._number += 1
            known = {"make": "Canon", "model": "EOS R", "width": 6000, "height": 4000, "orientation": 1} | (
                self.usual or {}
            )
            biases = facts.get("biases")
            own = {name: value for name, value in facts.items() if name != "biases"}
            bias = biases[number] if biases else 0.0
            told = CaptureFacts(
                captured_at=stamp, exposure_time=seconds, f_number=8.0, iso=100.0, exposure_bias=bias, **(known | own)
            )
            path = f"house/{self.name.format(self._number)}"
            taken.append(
                Shot(
                    path, told, size=9_000_000 + self.chance.randrange(10**6), etag=f"{self.chance.getrandbits(128):x}"
                )
            )
            self.clock += timedelta(seconds=seconds)
        self.photos.append(taken)


def steps_of(number: int, step: float, chance: random.Random) -> list[float]:
    """Steps of automatic bracketing, in one of the sequences that cameras have."""
    half = number // 2
    rising = [step * (n - half) for n in range(number)]
    if chance.random() < 0.5:
        return sorted(rising, key=lambda each: (abs(each), each))  # 0 - +
    return rising


def lone(camera: Camera) -> None:
    for _ in range(PHOTOS):
        time = 2 ** camera.chance.uniform(-9, 0)
        camera.take([0], pause=camera.chance.uniform(2, 8), inside=0, time=time, auto_exposure=True, auto_bracket=False)


def noted(number: int, **facts: Any) -> Callable[[Camera], None]:
    """Automatic bracketing with its steps noted, some lone shots between."""

    def shoot(camera: Camera) -> None:
        steps = steps_of(number, camera.chance.choice([2 / 3, 1, 2]), camera.chance)
        for _ in range(PHOTOS):
            pause, inside = camera.chance.uniform(5.5, 20), camera.chance.uniform(0.1, 0.4)
            time = 2 ** camera.chance.uniform(-8, -5)
            camera.take(steps, pause=pause, inside=inside, time=time, biases=steps, **facts)

    return shoot


def by_hand(mode: bool | None) -> Callable[[Camera], None]:
    """The dial turned between exposures; ``mode`` is whether the camera notes that it did not bracket by itself."""

    def shoot(camera: Camera) -> None:
        number = camera.chance.choice([3, 5])
        steps = steps_of(number, 2, camera.chance)
        for _ in range(PHOTOS):
            inside = camera.chance.uniform(0.8, 2.8)
            time = 2 ** camera.chance.uniform(-7, -5)
            camera.take(steps, pause=camera.chance.uniform(7, 20), inside=inside, time=time, auto_bracket=mode)

    return shoot


def in_manual_mode(camera: Camera) -> None:
    """Automatic bracketing around an exposure set by hand: the mode says so, the bias is always 0."""
    steps = steps_of(camera.chance.choice([3, 5, 7]), 1, camera.chance)
    for _ in range(PHOTOS):
        camera.take(steps, pause=camera.chance.uniform(6, 20), inside=0.2, time=1 / 60, auto_bracket=True)


def burst(camera: Camera) -> None:
    """Bracket after bracket, with the release held down."""
    steps = steps_of(camera.chance.choice([3, 5]), camera.chance.choice([1, 2]), camera.chance)
    for _ in range(PHOTOS):
        time = 2 ** camera.chance.uniform(-6.2, -6)
        camera.take(steps, pause=0.25, inside=0.2, time=time, biases=steps, auto_bracket=True)


def clamped(bright: bool) -> Callable[[Camera], None]:
    def shoot(camera: Camera) -> None:
        camera.limits = (1 / 8000, 30.0)
        steps = steps_of(5, 1, camera.chance)
        time = 1 / 5000 if bright else 16.0
        for _ in range(PHOTOS):
            camera.take(
                steps, pause=camera.chance.uniform(7, 20), inside=0.3, time=time, biases=steps, auto_bracket=True
            )

    return shoot


def flipping(camera: Camera) -> None:
    """Straight up and down, where the sensor for orientation does not know."""
    noted(5, auto_bracket=True)(camera)
    for photo in camera.photos:
        for n, shot in enumerate(photo):
            if shot.facts and camera.chance.random() < 0.3:
                photo[n] = replace(shot, facts=replace(shot.facts, orientation=6))


def copied(camera: Camera) -> None:
    noted(3, auto_bracket=True)(camera)
    for photo in list(camera.photos):
        if camera.chance.random() < 0.3:
            copies = [replace(shot, path=shot.path.replace(".JPG", " (1).JPG")) for shot in photo]
            camera.photos.append(copies)


def rooms_then_brackets(camera: Camera) -> None:
    """A look at each view first, then its bracket."""
    steps = steps_of(3, 2, camera.chance)
    for _ in range(PHOTOS // 2):
        time = 2 ** camera.chance.uniform(-7, -5)
        camera.take(
            [0], pause=camera.chance.uniform(8, 20), inside=0, time=time, auto_exposure=True, auto_bracket=False
        )
        camera.take(steps, pause=camera.chance.uniform(6, 8), inside=0.2, time=time, biases=steps, auto_bracket=True)


SCENES: dict[str, Callable[[Camera], None]] = {
    "lone shots, 2 to 8 s apart": lone,
    "automatic, 3 exposures": noted(3, auto_bracket=True),
    "automatic, 5 exposures": noted(5, auto_bracket=True),
    "automatic, 7 exposures": noted(7, auto_bracket=True),
    "automatic, 9 exposures": noted(9, auto_bracket=True),
    "automatic, mode not noted": noted(5),
    "automatic, noted as automatic exposure": noted(5, auto_exposure=True, auto_bracket=False),
    "automatic in manual mode": in_manual_mode,
    "by hand": by_hand(False),
    "by hand, mode not noted": by_hand(None),
    "bursts of brackets": burst,
    "clamped at 1/8000 s": clamped(bright=True),
    "clamped at 30 s": clamped(bright=False),
    "orientation that flips": flipping,
    "copies (1)": copied,
    "a lone shot, then its bracket": rooms_then_brackets,
}


def shoots(scene: str, whole_seconds: bool, cameras: int) -> Iterator[list[list[Shot]]]:
    for seed in range(SHOOTS):
        photos = []
        for number in range(cameras):
            chance = random.Random(f"{seed} {number} {scene}")
            usual = {"serial_number": str(number)} if number else None
            camera = Camera(chance, whole_seconds, "IMG_{:04}.JPG" if number == 0 else "DSC_{:04}.JPG", usual)
            SCENES[scene](camera)
            photos += camera.photos
        yield photos


def found_of(photos: list[list[Shot]]) -> int:
    shots = [shot for photo in photos for shot in photo]
    random.Random(1).shuffle(shots)
    found = {frozenset(shot.path for shot in group.shots) for group in group_shots(shots, "exif").groups}
    return sum(frozenset(shot.path for shot in photo) in found for photo in photos)


@pytest.mark.parametrize("cameras", [1, 2])
@pytest.mark.parametrize("clock", ["fractions", "whole seconds"])
@pytest.mark.parametrize("scene", SCENES)
def test_every_photo_of_a_shoot_is_found(scene: str, clock: str, cameras: int) -> None:
    asked = found = 0
    for photos in shoots(scene, clock == "whole seconds", cameras):
        asked += len(photos)
        found += found_of(photos)
    print(f"{scene:40} {clock:14} {cameras} camera{'s' * (cameras > 1):1} {100 * found / asked:6.2f} %")  # noqa: T201
    assert found == asked
