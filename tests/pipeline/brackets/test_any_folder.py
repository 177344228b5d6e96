"""What holds for the brackets of any folder of photos."""

from __future__ import annotations

import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.imaging.exif import CaptureFacts
from airflow_provider_autoenhance.pipeline.brackets.rules import GroupedShots, Shot, group_shots
from tests.support.shooting import NOON, bracket, shots_of


def sizes(grouping: GroupedShots) -> list[int]:
    return [len(group.shots) for group in grouping.groups]


@st.composite
def folders(draw: st.DrawFn) -> list[Shot]:
    """Photos of several cameras, folders and formats, some without EXIF, at times near each other or equal."""
    shots = []
    for _ in range(draw(st.integers(0, 40))):
        facts = CaptureFacts(
            captured_at=draw(st.none() | st.integers(0, 60).map(lambda half: NOON + timedelta(seconds=half / 2))),
            exposure_time=draw(st.none() | st.integers(-8, 3).map(lambda step: 2.0**step)),
            exposure_bias=draw(st.sampled_from([None, 0.0, -2.0, 2.0])),
            model=draw(st.sampled_from(["A", "B", None])),
            width=draw(st.sampled_from([None, 6000, 4000])),
        )
        folder, ending = draw(st.sampled_from(["a", "b/c", ""])), draw(st.sampled_from(["jpg", "CR3", "tif", "orf"]))
        path = f"{folder}/IMG_{draw(st.integers(1, 30))}.{ending}".removeprefix("/")
        if all(shot.path != path for shot in shots):
            shots.append(Shot(path, draw(st.sampled_from([facts, facts, facts, None]))))
    return shots


@given(folders(), st.sampled_from(["exif", "auto", "none", 2, 3, 9]), st.randoms())
def test_every_photo_lands_in_one_place_whatever_the_order(
    shots: list[Shot], brackets: str | int, chance: random.Random
) -> None:
    grouping = group_shots(shots, brackets)
    landed = [shot for group in grouping.groups for shot in group.shots]
    landed += [*grouping.ungrouped, *(each.shot for each in grouping.left_out)]
    assert sorted(landed, key=lambda shot: shot.path) == sorted(shots, key=lambda shot: shot.path)
    assert all(1 <= size <= 9 for size in sizes(grouping))
    assert all("\n" not in warning for warning in grouping.warnings)
    shuffled = list(shots)
    chance.shuffle(shuffled)
    assert group_shots(shuffled, brackets) == grouping


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(-9, 9), min_size=1, max_size=9, unique=True),
            st.floats(0.1, 3.5),
            st.floats(6, 600),
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_brackets_apart_in_time_are_as_many_images(
    brackets: list[tuple[list[int], float, float]], whole_seconds: bool
) -> None:
    plan = [
        shot
        for exposures, inside, pause in brackets
        for shot in bracket([exposure / 2 for exposure in exposures], inside=inside, pause=pause)
    ]
    shots = shots_of(plan, biases=[exposure for _, exposure in plan], whole_seconds=whole_seconds)
    assert sizes(group_shots(shots, "exif")) == [len(exposures) for exposures, _, _ in brackets]


@given(st.permutations([-4, -2, 0, 2, 4]), st.integers(1, 5), st.integers(1, 8), st.floats(0.1, 3))
def test_a_bracket_repeated_without_a_pause_is_as_many_images(
    order: list[int], length: int, times: int, pause: float
) -> None:
    plan = bracket(order[:length], inside=pause, pause=pause) * times
    assert sizes(group_shots(shots_of(plan), "exif")) == [length] * times
