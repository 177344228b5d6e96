"""Simulated folders with planted faults: how many the pre-flight finds, and how often it is wrong.

``SHOOTS=200 pytest -s tests/pipeline/test_preflight.py`` prints the score of so many folders of each kind instead of a few.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from airflow_provider_autoenhance.imaging.head import Head, read_head
from airflow_provider_autoenhance.imaging.ranges import FIRST_READ
from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS
from airflow_provider_autoenhance.pipeline.preflight import (
    APART,
    BRACKET,
    DAMAGED,
    SMALL,
    TWICE,
    SeenFile,
    SeenPhoto,
    content_of,
    find_doubts,
)
from tests.imaging import exif_samples as samples
from tests.support.shooting import NOON

SHOOTS = int(os.environ.get("SHOOTS", "8"))
SAMPLES = Path(__file__).parents[2] / "samples"
HOUSE = (51.5, 7.25)
DEGREE_KILOMETRES = 111.2

Folder = list[SeenPhoto]


def shoot(
    chance: random.Random,
    photos: int = 25,
    *,
    exposures: int = 1,
    name: str = "IMG_{:04}.JPG",
    start: float = 0.0,
    longest: float = 240,
    pixels: tuple[int, int] = (6000, 4000),
    noise: float = 0.2,
    same_size: bool = False,
    camera: str = "a camera",
) -> Folder:
    """Photos of one camera in one house.

    :param start: hours from noon.
    :param longest: seconds between two photos.
    :param noise: kilometres by which a place is off.
    :param same_size: files without compression.
    :param camera: has a clock of its own.
    """
    found, clock, number = [], NOON + timedelta(hours=start), 0
    for _ in range(photos):
        clock += timedelta(seconds=chance.uniform(5, longest))
        files = []
        for _ in range(exposures):
            number += 1
            clock += timedelta(seconds=0.3)
            place = tuple(each + chance.gauss(0, noise / DEGREE_KILOMETRES) for each in HOUSE)
            head = Head(
                digest=f"{chance.getrandbits(64):x}",
                taken=clock,
                place=(place[0], place[1]),
                pixels=pixels if chance.random() < 0.8 else pixels[::-1],
                camera=camera,
            )
            size = 72_000_000 if same_size else chance.randrange(6_000_000, 12_000_000)
            files.append(SeenFile(name.format(number), size, f"{chance.getrandbits(128):032x}", head))
        found.append(_photo(files))
    return found


def _photo(files: list[SeenFile]) -> SeenPhoto:
    files = [replace(file, content=content_of(file.size, file.etag, file.head, FIRST_READ)) for file in files]
    return SeenPhoto(files[0].name, files)


SCENES: dict[str, Callable[[random.Random], Folder]] = {
    "single photos": shoot,
    "brackets of 5": lambda chance: shoot(chance, exposures=5),
    "brackets and single photos": lambda chance: [
        *shoot(chance, 12, exposures=3),
        *shoot(chance, 6, name="DSC_{:04}.JPG"),
    ],
    "brackets of 5, and of 3": lambda chance: [
        *shoot(chance, 10, exposures=5),
        *shoot(chance, 6, exposures=3, name="DSC_{:04}.JPG"),
    ],
    "brackets of 5, and two of 3 outdoors": lambda chance: [
        *shoot(chance, 20, exposures=5),
        *shoot(chance, 2, exposures=3, name="DSC_{:04}.JPG"),
    ],
    "two cameras, clocks an hour apart": lambda chance: [
        *shoot(chance),
        *shoot(chance, 8, name="DJI_{:04}.JPG", start=1, pixels=(4000, 3000), camera="a drone"),
    ],
    "a phone without a fix": lambda chance: shoot(chance, noise=0.5),
    "two photos of a drone, its clock a day off": lambda chance: [
        *shoot(chance),
        *shoot(chance, 2, name="DJI_{:04}.JPG", start=chance.choice([-24, 24]), camera="a drone"),
    ],
    "a photo of a phone, the camera in another zone": lambda chance: [
        *shoot(chance),
        *shoot(chance, 1, name="PXL_{:04}.JPG", start=chance.uniform(-11, 14), camera="a phone"),
    ],
    "two photos at dusk": lambda chance: [*shoot(chance), *shoot(chance, 2, name="DUSK_{:04}.JPG", start=9)],
    "a phone that has yet to find itself": lambda chance: [
        _with_head(photo, place=(HOUSE[0] + 0.2, HOUSE[1])) if number < 2 else photo
        for number, photo in enumerate(shoot(chance, longest=120))
    ],
    "dusk, three photos": lambda chance: [*shoot(chance), *shoot(chance, 3, name="DUSK_{:04}.JPG", start=9)],
    "two days": lambda chance: [*shoot(chance, 12), *shoot(chance, 10, name="DSC_{:04}.JPG", start=24)],
    "some photos of other years": lambda chance: [
        *shoot(chance),
        *(photo for year in range(3) for photo in shoot(chance, 1, name=f"{year}_{{}}.JPG", start=8760 * (year + 1))),
    ],
    "a drone whose clock was never set": lambda chance: [
        *shoot(chance),
        *shoot(
            chance, 2, name="DJI_{:04}.JPG", start=(datetime(2000, 1, 1) - NOON) / timedelta(hours=1), camera="a drone"
        ),
    ],
    "files of one size": lambda chance: shoot(chance, name="IMG_{:04}.TIF", same_size=True),
    "few photos over years": lambda chance: [
        photo for year in range(4) for photo in shoot(chance, 1, name=f"{year}_{{}}.JPG", start=8760 * year)
    ],
    "no EXIF": lambda chance: [
        replace(
            photo,
            files=[replace(file, head=replace(file.head or Head(""), taken=None, place=None)) for file in photo.files],
        )
        for photo in shoot(chance)
    ],
}


def _with_head(photo: SeenPhoto, **changed: object) -> SeenPhoto:
    first = photo.files[0]
    head = replace(first.head or Head(""), **changed)  # type: ignore[arg-type]
    return _photo([replace(first, head=head), *photo.files[1:]])


def _copy(chance: random.Random, photo: SeenPhoto) -> SeenPhoto:
    files = [replace(file, name=file.name.replace(".", " (1).")) for file in photo.files]
    return _photo(files)


FAULTS: dict[str, tuple[str, Callable[[random.Random, SeenPhoto], SeenPhoto]]] = {
    "a copy": (TWICE, _copy),
    "a thumbnail": (SMALL, lambda chance, photo: _with_head(photo, pixels=(chance.randrange(160, 639), 160))),
    "of another day": (
        APART,
        lambda chance, photo: _with_head(
            photo, taken=NOON + timedelta(hours=chance.choice([-9, 14]) * chance.uniform(1, 200))
        ),
    ),
    "of another town": (
        APART,
        lambda chance, photo: _with_head(
            photo,
            taken=NOON - timedelta(hours=3),
            place=(HOUSE[0] + chance.uniform(5, 300) / DEGREE_KILOMETRES, HOUSE[1]),
        ),
    ),
    "a damaged head": (DAMAGED, lambda chance, photo: _with_head(photo, damage="its JPEG header is damaged")),
    "an empty file": (DAMAGED, lambda chance, photo: _photo([replace(photo.files[0], size=0, head=None)])),
}


@pytest.mark.parametrize("scene", SCENES)
def test_what_photographers_do_is_not_doubted(scene: str) -> None:
    photos, alarms = 0, Counter[str]()
    for seed in range(SHOOTS):
        folder = SCENES[scene](random.Random(f"{scene} {seed}"))
        photos += len(folder)
        found = find_doubts(folder, width=0)
        alarms.update(each.kind for doubts in found.values() for each in doubts)
    print(f"{scene:36} {photos:6} photos {alarms.total():4} false alarms")  # noqa: T201
    assert not alarms


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str) -> None:
    kind, plant = FAULTS[fault]
    planted, found, false = 0, 0, 0
    for scene in ("single photos", "brackets of 5", "two cameras, clocks an hour apart", "a phone without a fix"):
        for seed in range(SHOOTS):
            chance = random.Random(f"{fault} {scene} {seed}")
            folder = SCENES[scene](chance)
            at = chance.randrange(len(folder))
            wrong = plant(chance, folder[at])
            folder[at : at + 1] = [folder[at], wrong] if fault == "a copy" else [wrong]
            doubts = find_doubts(folder, width=0)
            kinds = {each.kind for each in doubts.get(wrong.key, ())}
            planted, found = planted + 1, found + (kinds == {kind})
            false += len(doubts.keys() - {wrong.key})
    print(f"{fault:36} {planted:6} planted, {100 * found / planted:6.2f} % found, {false} false alarms")  # noqa: T201
    assert (found, false) == (planted, 0)


def test_a_bracket_that_lacks_an_exposure_is_doubted() -> None:
    folder = shoot(random.Random(1), 10, exposures=3)
    folder[4] = _photo(list(folder[4].files[:2]))
    (doubt,) = find_doubts(folder, width=0)[folder[4].key]
    assert (doubt.kind, doubt.reason) == (BRACKET, "2 exposures, where the others have 3")


def test_a_photo_narrower_than_what_is_asked_is_doubted_unless_it_is_enlarged() -> None:
    folder = [*shoot(random.Random(1), 3), *shoot(random.Random(2), 1, name="OLD_{}.JPG", pixels=(1600, 1200))]
    (doubt,) = find_doubts(folder, width=2048)["OLD_1.JPG"]
    assert "max_width=2048" in doubt.reason
    assert find_doubts(folder, width=0) == find_doubts(folder, width=None) == {}
    assert find_doubts(folder, width=1800) == {}, "a width is a ceiling, and this comes near enough"


def test_only_what_is_looked_at_is_doubted_and_the_first_of_two_is_not() -> None:
    one, other = shoot(random.Random(1), 2)
    copy = _copy(random.Random(1), one)
    assert list(find_doubts([replace(copy, doubted=False), one, other], width=0)) == [one.key]
    assert find_doubts([replace(each, doubted=False) for each in (one, copy)], width=0) == {}


def _encoded(form: str) -> bytes:
    with Image.open(SAMPLES / "photos" / "maple-street-12" / "living-room.jpg") as image:
        data = BytesIO()
        image.save(data, form, **({"compression": "tiff_lzw"} if form == "TIFF" else {}))
        return data.getvalue()


def _head(data: bytes, name: str = "photo.jpg") -> Head:
    return read_head(lambda offset, length: data[offset : offset + length], len(data), name)[0]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP"])
def test_damage_shows_in_a_head_of_each_format(form: str) -> None:
    data = _encoded(form)
    whole = _head(data)
    assert (whole.damage, whole.pixels) == (None, (2400, 1600))
    for wrong in (b"", b"\0" * len(data), b"<html>404</html>", data[:24], data[100:]):
        assert _head(wrong).damage, wrong[:20]
    if form in ("TIFF", "WEBP", "AVIF", "BMP"):  # these say how long they have to be
        assert "missing" in str(_head(data[: len(data) // 2]).damage)


@pytest.mark.parametrize("between", [b"\0" * 4, b"left over", b"\xff" * 9, b"\xff\0"])
def test_what_lies_between_two_segments_is_passed_over_as_decoders_do(between: bytes) -> None:
    data = _encoded("JPEG")
    odd = data[:20] + between + data[20:]  # behind the first segment
    with Image.open(BytesIO(odd)) as image:
        image.load()
    assert (_head(odd).damage, _head(odd).pixels) == (None, (2400, 1600))
    for wrong in (
        data[:20] + bytes(len(data)),
        data.replace(b"\xff\xdb", b"\xff\xec"),
        data.replace(b"\xff\xc0", b"\xff\xec"),
    ):
        assert _head(wrong).damage, "nothing follows, or no tables, or no frame"


def test_what_is_remembered_of_a_head_is_read_back() -> None:
    head = replace(_head(_encoded("JPEG")), taken=NOON, place=(51.512, -7.25), damage="it is empty", camera="ab")
    assert Head.from_json(head.to_json()) == head
    for altered in (
        {},
        {"digest": "a", "taken": 3},
        {"digest": "a", "place": ["x", 1]},
        {"digest": "a", "pixels": [1]},
    ):
        assert Head.from_json(altered) is None
    assert Head.from_json({"digest": "a", "damage": 5}) == Head("a", damage="5")


def test_the_preview_in_a_raw_file_is_not_its_size() -> None:
    whole = samples.raf(samples.block())
    head, facts = read_head(lambda offset, length: whole[offset : offset + length], len(whole), "photo.raf")
    assert ((facts.width, facts.height), head.pixels, head.damage) == ((1920, 1280), None, None)


@pytest.mark.skipif(not os.environ.get("AUTOENHANCE_PHOTOS"), reason="AUTOENHANCE_PHOTOS names no folder with photos")
def test_real_photos_are_not_doubted() -> None:
    folders: dict[Path, Folder] = defaultdict(list)
    for each in sorted(Path(os.environ["AUTOENHANCE_PHOTOS"]).rglob("*")):
        if each.suffix.lower() in PHOTO_EXTENSIONS:
            data = each.read_bytes()
            etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
            folders[each.parent].append(_photo([SeenFile(each.name, len(data), etag, _head(data, each.name))]))
    found = {key: doubts for folder in folders.values() for key, doubts in find_doubts(folder, width=0).items()}
    print(f"{sum(map(len, folders.values()))} real photos, {len(found)} doubted")  # noqa: T201
    assert found == {}
