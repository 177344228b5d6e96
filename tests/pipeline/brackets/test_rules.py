"""Which photos become one image: the rules of docs/brackets.md, case by case."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.imaging.exif import read_capture_facts
from airflow_provider_autoenhance.pipeline.brackets.rules import GroupedShots, Shot, check_brackets, group_shots
from tests.support.shooting import AEB, NOON, bracket, shots_of

FOLDER = Path(os.environ.get("AUTOENHANCE_PHOTOS", ""))
SAMPLES = Path(__file__).parents[3] / "samples" / "photos"


def names(grouping: GroupedShots) -> list[list[str]]:
    return [[shot.name for shot in group.shots] for group in grouping.groups]


def sizes(grouping: GroupedShots) -> list[int]:
    return [len(group.shots) for group in grouping.groups]


def by_exif(shots: Iterable[Shot]) -> GroupedShots:
    return group_shots(shots, "exif")


# One bracket


@pytest.mark.parametrize("order", [(0, -2, 2), (-2, 0, 2), (2, 0, -2), (0, 2, -2), (0, -4, -2, 2, 4), (-1, 1)])
@pytest.mark.parametrize("clock", [{}, {"whole_seconds": True}, {"stamped_at_end": True}])
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_bracket_is_one_image_in_whatever_order_it_was_shot(
    order: Sequence[float], clock: dict[str, bool], by_hand: bool
) -> None:
    shots = shots_of(bracket(order), biases=None if by_hand else order, **clock)
    grouping = by_exif(shots)
    assert names(grouping) == [[shot.name for shot in shots]]
    assert grouping.warnings == ()


@pytest.mark.parametrize("clock", [{}, {"whole_seconds": True}])
def test_what_the_camera_does_not_note_is_named(clock: dict[str, bool]) -> None:
    """Exposures set by hand look like different views of different light, and are worth a second look."""
    slow = bracket(inside=2.1)
    noted = shots_of(slow * 2, biases=AEB * 2, **clock)
    by_mode = shots_of(slow * 2, auto_bracket=True, **clock)
    fast = shots_of(bracket() * 2, auto_bracket=False, **clock)
    assert [by_exif(each).warnings for each in (noted, by_mode, fast)] == [(), (), ()]
    (warning,) = by_exif(shots_of(slow * 7, auto_bracket=False, **clock)).warnings
    assert warning.startswith("house: 7 brackets by exposure alone")
    assert "IMG_0001.JPG to IMG_0003.JPG, IMG_0004.JPG to IMG_0006.JPG, " in warning
    assert "IMG_0013.JPG to IMG_0015.JPG and 2 more" in warning


@pytest.mark.parametrize("stamped_at_end", [False, True])
def test_long_exposures_and_a_hand_on_the_dial_do_not_part_a_bracket(stamped_at_end: bool) -> None:
    shots = shots_of(bracket((0, 2, 4, 6, 8, 10), inside=3.5), stamped_at_end=stamped_at_end)
    assert sizes(by_exif(shots)) == [6]


def test_shots_of_one_second_come_in_the_order_of_their_numbers() -> None:
    shots = shots_of(bracket(inside=0.1), first=9, name="IMG_{}.JPG", whole_seconds=True)
    assert names(by_exif(shots)) == [["IMG_9.JPG", "IMG_10.JPG", "IMG_11.JPG"]]


@pytest.mark.parametrize("clock", [{}, {"whole_seconds": True}, {"stamped_at_end": True}])
def test_a_pause_parts_shots_even_of_different_exposure(clock: dict[str, bool]) -> None:
    assert sizes(by_exif(shots_of([(0, 0), (6, -2), (6, 2)], **clock))) == [1, 1, 1]


def test_a_lone_shot_becomes_an_image_of_its_own() -> None:
    shots = shots_of([(0, 0), *bracket(), (20, -1)])
    assert sizes(by_exif(shots)) == [1, 3, 1]


def test_shots_alike_are_no_bracket() -> None:
    assert sizes(by_exif(shots_of([(0.2, 0), (0.2, 0), (0.2, 0.1)]))) == [1, 1, 1]


def test_a_test_shot_right_before_the_bracket_stays_out() -> None:
    assert sizes(by_exif(shots_of([(0, 0), *bracket(pause=1)]))) == [1, 3]


@pytest.mark.parametrize("clock", [{}, {"whole_seconds": True}])
@pytest.mark.parametrize("bias", [0.0, -0.3, None])
def test_with_automatic_exposure_another_exposure_is_another_scene(clock: dict[str, bool], bias: float | None) -> None:
    rooms = [(3.2, exposure) for exposure in (0, 2, -1.3, 0.7, 3)]
    lone = shots_of(rooms, auto_exposure=True, auto_bracket=False, biases=[bias] * 5, **clock)
    grouping = by_exif(lone)
    assert sizes(grouping) == [1] * 5
    assert grouping.warnings == ()


@pytest.mark.parametrize("clock", [{}, {"whole_seconds": True}])
def test_steps_of_automatic_exposure_are_a_bracket(clock: dict[str, bool]) -> None:
    """Some cameras bracket by themselves and note neither that nor the mode, but the steps."""
    shots = shots_of(bracket() * 2, biases=AEB * 2, auto_exposure=True, auto_bracket=False, **clock)
    assert sizes(by_exif(shots)) == [3, 3]


STEPS = (0, -1, 1, -2, 2)


@pytest.mark.parametrize("clock", [{}, {"whole_seconds": True}])
@pytest.mark.parametrize("limit", [-1.0, -0.9, 0.9, 1.0, 0.0])
@pytest.mark.parametrize("pause", [30, 0.3])
def test_a_bracket_at_the_shutters_limit_stays_one(limit: float, pause: float, clock: dict[str, bool]) -> None:
    """Two frames or three at the shortest time that the shutter has, or the longest."""
    reached = [max(step, limit) if limit < 0 else min(step, limit) for step in STEPS]
    shots = shots_of(bracket(reached, pause=pause) * 3, biases=STEPS * 3, **clock)
    assert sizes(by_exif(shots)) == [5, 5, 5]


@pytest.mark.parametrize("noted", [{"biases": AEB * 2}, {"auto_bracket": True}, {}])
@pytest.mark.parametrize("flipped", range(6))
def test_a_flag_that_flips_where_the_camera_looks_up_tears_no_bracket(noted: dict[str, Any], flipped: int) -> None:
    shots = shots_of(bracket() * 2, orientation=1, **noted)
    facts = shots[flipped].facts
    assert facts is not None
    shots[flipped] = replace(shots[flipped], facts=replace(facts, orientation=8))
    assert sizes(by_exif(shots)) == [3, 3]


# Several in a row


@pytest.mark.parametrize("pause", [30.0, 2.0, 0.2])
@pytest.mark.parametrize("clock", [{}, {"whole_seconds": True}, {"stamped_at_end": True}])
@pytest.mark.parametrize("order", [(0, -2, 2), (-2, 0, 2), (0, -4, -2, 2, 4)])
def test_brackets_without_a_pause_part_where_the_exposures_repeat(
    pause: float, clock: dict[str, bool], order: Sequence[float]
) -> None:
    shots = shots_of(bracket(order, pause=pause) * 4, **clock)
    assert sizes(by_exif(shots)) == [len(order)] * 4


def test_a_repeated_step_begins_a_bracket_though_the_light_has_changed() -> None:
    exposures = (0, -2, 2, 0.4, -1.6, 2.4, -0.3, -2.3, 1.7)
    told = shots_of(bracket(exposures), biases=AEB * 3)
    assert sizes(by_exif(told)) == [3, 3, 3]
    untold = shots_of(bracket(exposures))
    assert sizes(by_exif(untold)) == [3, 3, 3]
    much_brighter = shots_of(bracket((0, -2, 2, 1, -1, 3)), biases=AEB * 2)
    assert sizes(by_exif(much_brighter)) == [3, 3]


def test_even_steps_are_no_repetition() -> None:
    assert sizes(by_exif(shots_of(bracket((-4, 2, -2, 4))))) == [4]
    assert sizes(by_exif(shots_of(bracket((-3, -1, 1, 3))))) == [4]
    assert sizes(by_exif(shots_of(bracket((0, -1, 1, -2, 2, -3, 3, -4, 4))))) == [9]


def test_a_wrapped_file_counter_does_not_matter() -> None:
    late = shots_of(bracket()[:2], first=9998, name="DSC_{:04}.JPG")
    early = shots_of([(30.5, 2)], first=1, name="DSC_{:04}.JPG")
    assert names(by_exif([*late, *early])) == [["DSC_9998.JPG", "DSC_9999.JPG", "DSC_0001.JPG"]]


@pytest.mark.parametrize("inside", [0.2, 0.35])
@pytest.mark.parametrize("steps", [(0, -4, -2, 2, 4), (4, 2, 0, -2, -4)])
def test_brackets_of_different_length_in_a_row(inside: float, steps: tuple[int, ...]) -> None:
    plan = [shot for each in (steps, steps[:3], steps[:3]) for shot in bracket(each, pause=0.3, inside=inside)]
    assert sizes(by_exif(shots_of(plan))) == [5, 3, 3]


# A missing shot


@pytest.mark.parametrize("missing", range(5))
def test_a_missing_shot_leaves_the_rest_together(missing: int) -> None:
    shots = shots_of(bracket((0, -4, -2, 2, 4)))
    del shots[missing]
    assert sizes(by_exif(shots)) == [4]


@pytest.mark.parametrize("missing", range(9))
def test_a_missing_shot_spoils_no_bracket_beside_it(missing: int) -> None:
    shots = shots_of(bracket(pause=1.5) * 3)
    del shots[missing]
    assert sizes(by_exif(shots)) == [2 if n == missing // 3 else 3 for n in range(3)]


# Cameras, shapes, folders


def test_two_photographers_in_one_folder() -> None:
    one = shots_of(bracket(pause=5) * 3, name="IMG_{:04}.JPG")
    other = shots_of(bracket(pause=5.1) * 3, name="DSC_{:04}.JPG", make="NIKON", model="Z 6", serial_number="2")
    grouping = by_exif([shot for pair in zip(one, other, strict=True) for shot in pair])
    assert sizes(grouping) == [3] * 6
    for group in names(grouping):
        assert len({name[:3] for name in group}) == 1


def test_two_bodies_of_one_model_by_serial_number_or_lens() -> None:
    plan = bracket(pause=5) * 2
    for difference in ({"serial_number": "2"}, {"lens": "24mm"}):
        both = shots_of(plan) + shots_of([(5.1, 0), *plan[1:]], first=100, **difference)
        assert sizes(by_exif(both)) == [3] * 4


def test_a_turned_camera_begins_anew() -> None:
    landscape = shots_of(bracket((0, -2)), orientation=1)
    portrait = shots_of([(1, 2), (0.2, 1)], first=3, start=NOON + timedelta(seconds=30.5), orientation=8)
    assert sizes(by_exif(landscape + portrait)) == [2, 2]
    cropped = shots_of([(1, 2)], first=3, start=NOON + timedelta(seconds=30.5), orientation=1, width=4500)
    assert sizes(by_exif(landscape + cropped)) == [2, 1]
    unknown = [replace(shot, facts=replace(shot.facts, orientation=None)) for shot in portrait if shot.facts]
    assert sizes(by_exif(landscape + unknown)) == [4]


def test_360_pictures_group_among_themselves() -> None:
    shape = {"make": "RICOH", "model": "THETA Z1", "width": 6720, "height": 3360, "gpano": True}
    assert sizes(by_exif(shots_of(bracket(pause=1) * 2, **shape))) == [3, 3]
    half = shots_of(bracket((0, -2)), **shape | {"height": 3000})
    flat = [
        replace(shot, facts=replace(shot.facts, gpano=False))
        for shot in shots_of(bracket(), **shape | {"height": 3000})
        if shot.facts
    ][2:]
    assert sizes(by_exif(half + flat)) == [2, 1]


def test_a_bracket_never_spans_folders() -> None:
    kitchen, copies = shots_of(bracket(), folder="a/kitchen"), shots_of(bracket(), folder="b/kitchen")
    assert [[shot.path for shot in group.shots] for group in by_exif(kitchen + copies).groups] == [
        [shot.path for shot in kitchen],
        [shot.path for shot in copies],
    ]


@pytest.mark.parametrize("copied", [[0], [1, 2], [0, 1, 2]])
def test_a_shot_that_was_downloaded_twice_spoils_no_bracket(copied: list[int]) -> None:
    shots = shots_of(bracket())
    copies = [replace(shots[n], path=shots[n].path.replace(".JPG", " (1).JPG")) for n in copied]
    grouping = by_exif(shots + copies)
    assert sorted(sizes(grouping)) == sorted([3, len(copies)])
    (warning,) = grouping.warnings
    assert "copies" in warning
    assert all(copy.name in warning for copy in copies)


@pytest.mark.parametrize("copied", [[0], [1, 2], [0, 1, 2], [0, 1, 2, 3, 4, 5]])
@pytest.mark.parametrize("etags", ["of the content", "of the file", None])
@pytest.mark.parametrize("mark", [" (1)", "(1)", " (2)", " - Copy", " copy", "_copy 2"])
def test_copies_on_a_clock_of_whole_seconds_are_told_by_their_listing(
    mark: str, etags: str | None, copied: list[int]
) -> None:
    shots = [
        replace(shot, size=5_000_000 + number, etag=etags and f"{number:032x}")
        for number, shot in enumerate(shots_of(bracket() * 2, whole_seconds=True))
    ]
    copies = [replace(shots[n], path=shots[n].path.replace(".JPG", f"{mark}.JPG")) for n in copied]
    if etags == "of the file":
        copies = [replace(copy, etag=f"{copy.etag}-later") for copy in copies]
    grouping = by_exif(shots + copies)
    originals = [group for group in names(grouping) if not any(mark in name for name in group)]
    assert originals == [[shot.name for shot in shots[:3]], [shot.name for shot in shots[3:]]]
    assert all(name in str(grouping.warnings) for name in [copy.name for copy in copies][:5])
    assert any("copies" in warning for warning in grouping.warnings)


def test_a_burst_within_a_second_is_no_copy() -> None:
    """Uncompressed files are all of one size."""
    shots = [replace(shot, size=5_000_000, etag=shot.path) for shot in shots_of([(0.1, 0)] * 4, whole_seconds=True)]
    grouping = by_exif(shots)
    assert (sizes(grouping), grouping.warnings) == ([1] * 4, ())


# Missing EXIF


@pytest.mark.parametrize("lost", [None, "captured_at", "exposure_time"])
def test_photos_without_exif_stand_alone_and_are_named(lost: str | None) -> None:
    shots = shots_of(bracket() * 2)
    facts = shots[1].facts
    assert facts is not None
    shots[1] = replace(shots[1], facts=replace(facts, **{lost: None}) if lost else None)
    grouping = by_exif(shots)
    assert sorted(sizes(grouping)) == [1, 2, 3]
    assert [group.reason for group in grouping.groups if shots[1] in group.shots] == [
        "no capture time and exposure in its EXIF"
    ]
    (warning,) = grouping.warnings
    assert shots[1].name in warning
    assert "\n" not in warning


def test_a_warning_names_a_few_of_many() -> None:
    (warning,) = by_exif(Shot(f"house/{number}.jpg") for number in range(5000)).warnings
    assert "0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 4995 more" in warning
    assert warning.startswith("house: ")


# RAW and JPEG


@pytest.mark.parametrize("brackets", ["exif", "auto", 3])
@pytest.mark.parametrize("raw", ["CR3", "dng", "ARW", "NEF", "raf"])
def test_of_raw_and_jpeg_the_raw_is_taken(brackets: str | int, raw: str) -> None:
    jpegs = shots_of(bracket() * 2)
    raws = shots_of(bracket() * 2, name="IMG_{:04}." + raw, width=6020, height=4020)
    grouping = group_shots(jpegs + raws, brackets)
    taken = [shot for group in grouping.groups for shot in group.shots] + list(grouping.ungrouped)
    assert sorted(shot.path for shot in taken) == sorted(shot.path for shot in raws)
    assert [each.shot for each in grouping.left_out] == jpegs
    for each, chosen in zip(grouping.left_out, raws, strict=True):
        assert chosen.name in each.reason
        assert f"exclude '*.{raw}'" in each.reason
    (warning,) = grouping.warnings
    assert "IMG_0001.JPG" in warning
    if brackets == "exif":
        assert sizes(grouping) == [3, 3]


def test_the_same_name_at_another_time_is_another_shot() -> None:
    raw = shots_of([(0, 0)], name="IMG_{}.CR3")
    later = shots_of([(2, 0)], name="IMG_{}.JPG")
    assert by_exif(raw + later).left_out == ()
    edited = shots_of([(0, 0)], name="IMG_{}.JPG", whole_seconds=True)
    assert len(by_exif(raw + edited).left_out) == 1
    assert len(by_exif([*raw, Shot("house/IMG_1.JPG")]).left_out) == 1
    assert by_exif([*raw, Shot("other/IMG_1.JPG")]).left_out == ()


def test_a_raw_that_autoenhance_does_not_take_gives_way() -> None:
    grouping = by_exif([Shot("a/x.ORF"), Shot("a/x.jpg")])
    assert [each.shot.name for each in grouping.left_out] == ["x.ORF"]


def test_raw_and_developed_shots_do_not_mix() -> None:
    shots = shots_of(bracket())
    shots[2] = replace(shots[2], path="house/IMG_0003.CR3")
    assert sizes(by_exif(shots)) == [2, 1]


# Over nine


@pytest.mark.parametrize(("number", "parts"), [(9, [9]), (10, [5, 5]), (19, [6, 6, 7]), (27, [9, 9, 9])])
def test_more_than_nine_exposures_split_in_order_and_evenly(number: int, parts: list[int]) -> None:
    shots = shots_of(bracket([n / 3 - 4 for n in range(number)]))
    grouping = by_exif(shots)
    assert sizes(grouping) == parts
    assert [shot for group in grouping.groups for shot in group.shots] == shots
    assert [f"{number} exposures" in warning for warning in grouping.warnings] == [True] * (number > 9)


# By number, by Autoenhance, not at all


def test_a_number_groups_by_file_name_within_each_folder() -> None:
    shots = [Shot(f"{folder}/IMG_{n}.jpg") for folder in ("a", "b") for n in range(7, 13)]
    random.Random(1).shuffle(shots)
    grouping = group_shots(shots, 3)
    expected = [["IMG_7.jpg", "IMG_8.jpg", "IMG_9.jpg"], ["IMG_10.jpg", "IMG_11.jpg", "IMG_12.jpg"]]
    assert names(grouping) == expected * 2
    assert grouping.warnings == ()


@pytest.mark.parametrize(("photos", "rest"), [(7, 1), (8, 2), (2, 2)])
def test_what_a_number_leaves_over_is_grouped_and_named(photos: int, rest: int) -> None:
    grouping = group_shots([Shot(f"a/{n}.jpg") for n in range(photos)], "3")
    assert sizes(grouping) == [3] * (photos // 3) + [rest]
    (warning,) = grouping.warnings
    assert warning.startswith(f"a: {photos} photos cannot be cut into brackets of 3")
    assert f"{photos - 1}.jpg" in warning


def test_auto_leaves_all_photos_to_autoenhance() -> None:
    shots = shots_of(bracket() * 5)
    grouping = group_shots(shots, "auto")
    assert (grouping.groups, grouping.ungrouped) == ((), tuple(shots))


def test_none_makes_an_image_of_each_and_leaves_nothing_out() -> None:
    assert sizes(group_shots([*shots_of(bracket() * 2), Shot("house/IMG_0001.CR3")], "none")) == [1] * 7


@pytest.mark.parametrize("brackets", ["none", "auto", "exif", "2", "9", 2, 9, " EXIF "])
def test_what_brackets_may_be(brackets: str | int) -> None:
    assert str(check_brackets(brackets)) == str(brackets).strip().lower()
    assert group_shots([], brackets) == GroupedShots()


@pytest.mark.parametrize("brackets", ["", "all", 0, 1, 10, -3, "1", "3.0", True, None, 3.0])
def test_what_brackets_may_not_be(brackets: Any) -> None:
    with pytest.raises(SettingsError, match="brackets="):
        group_shots([], brackets)


# Photos


def photos(paths: Iterable[Path]) -> list[Shot]:
    found = []
    for path in paths:
        data = path.read_bytes()
        found.append(
            Shot(f"listing/{path.name}", read_capture_facts(lambda at, n, data=data: data[at : at + n], len(data)))
        )
    return found


def test_the_sample_bracket_is_one_image_and_single_samples_stay_single() -> None:
    assert sizes(by_exif(photos(sorted((SAMPLES / "harbour-view-3").glob("*.jpg"))))) == [5]
    assert sizes(by_exif(photos(sorted((SAMPLES / "maple-street-12").glob("*.jpg"))))) == [1, 1, 1]


@pytest.mark.skipif(not FOLDER.name, reason="AUTOENHANCE_PHOTOS names no folder with photos")
def test_a_real_bracket_is_one_image_beside_a_single_photo() -> None:
    grouping = by_exif(photos(sorted(FOLDER.iterdir())))
    assert names(grouping) == [[f"bracket-{n}.JPG" for n in range(1, 6)], ["kitchen-2.jpg"]]
    assert grouping.left_out == ()
    assert ["kitchen-2.jpg" in warning for warning in grouping.warnings] == [True]
