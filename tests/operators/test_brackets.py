"""Exposures in, merged photos out: one image and one credit per bracket, however they are grouped."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_autoenhance.api.errors import AutoenhanceError
from airflow_provider_autoenhance.pipeline.batch.manifest import MANIFEST
from airflow_provider_autoenhance.pipeline.job import Job
from tests.support.batch import Enhance, outputs
from tests.support.photos import exposure, photo
from tests.support.pictures import decode
from tests.support.sandbox import Sandbox

PHOTOS = Path(os.environ.get("AUTOENHANCE_PHOTOS", ""))
SHOTS = sorted(PHOTOS.glob("bracket-*.JPG")) if PHOTOS.name else []
STEPS = (-2.0, 0.0, 2.0)

Shoot = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.remote.process.ARRIVAL_POLLS", (0.0,) * 6)


@pytest.fixture
def shoot(s3: SimpleNamespace) -> Shoot:
    """Return a function that puts brackets into the folder, ten seconds apart, and gives back the first exposures' names."""

    def put(brackets: int, *, steps: tuple[float, ...] = STEPS, start: int = 0) -> list[str]:
        firsts = []
        for bracket in range(start, start + brackets):
            for number, step in enumerate(steps):
                name = f"maple/{bracket}{number}.jpg"
                s3.put(name, exposure(10 * bracket + 0.4 * number, step))
            firsts.append(f"maple/{bracket}0.jpg")
        return firsts

    return put


def rows(s3: SimpleNamespace) -> list[dict[str, Any]]:
    return [json.loads(line) for line in s3.get(f"maple/{MANIFEST}").splitlines()]


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("brackets", ["exif", 3, "auto"])
def test_brackets_become_photos_and_cost_a_credit_each(
    enhance: Enhance,
    shoot: Shoot,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    brackets: str | int,
    deferrable: bool,
) -> None:
    firsts = shoot(3)
    summary = enhance(brackets=brackets, deferrable=deferrable)
    assert (summary["photos"], summary["landed"], summary["credits"]) == (3, 3, 3)
    assert outputs(s3) == firsts
    told = rows(s3)
    assert [[each["source"][-6:] for each in row["exposures"]] for row in told] == [
        [f"{bracket}{number}.jpg" for number in range(3)] for bracket in range(3)
    ]
    ledger = autoenhance.ledger()
    assert ledger["credits"]["spent"] == 3
    assert ledger["requests"]["POST /v3/orders/{id}/process"] == 1
    again = enhance(brackets=brackets, deferrable=deferrable, run_id="night-2")
    assert (again["landed"], again["skipped"], again["credits"]) == (0, 3, 0)
    assert autoenhance.ledger()["images_created"] == 3


def test_a_lone_shot_is_a_photo_of_its_own(enhance: Enhance, shoot: Shoot, s3: SimpleNamespace) -> None:
    (first,) = shoot(1)
    s3.put("maple/9.jpg", exposure(50, 0))
    s3.put("maple/scan.jpg", photo())
    summary = enhance(brackets="exif")
    assert (summary["photos"], summary["landed"], summary["credits"]) == (3, 3, 3)
    assert outputs(s3) == [first, "maple/9.jpg", "maple/scan.jpg"]
    assert any("scan.jpg" in warning for warning in summary["warnings"]), "what has no EXIF is named"


def test_a_raw_twin_is_left_out_by_name(enhance: Enhance, shoot: Shoot, s3: SimpleNamespace) -> None:
    shoot(1)
    s3.put("maple/00.webp", photo("WEBP"))
    summary = enhance(brackets=3)
    assert summary["photos"] == 1
    (omitted,) = [row for row in rows(s3) if row["status"] == "omitted"]
    assert omitted["source"] == "s3://listings/maple/00.webp"
    assert "00.jpg" in omitted["reason"]


def test_a_dry_run_tells_what_brackets_cost(
    enhance: Enhance,
    shoot: Shoot,
    autoenhance: Sandbox,
) -> None:
    shoot(2)
    assert enhance(brackets="exif", plan_only=True)["credits"] == 2
    auto = enhance(brackets="auto", plan_only=True)
    assert (auto["credits"], "at most 6 credits" in auto["plan"]) == (6, True)
    assert autoenhance.ledger()["credits"]["spent"] == 0


def test_a_dry_run_tells_which_exposures_become_which_photo(
    enhance: Enhance, shoot: Shoot, autoenhance: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = ([f"{scene}{shot}.jpg" for shot in range(3)] for scene in range(2))
    shoot(2)
    caplog.set_level(logging.INFO)
    ahead = enhance(brackets="exif", plan_only=True, preview=True)
    assert ahead["merges"] == [f"{names[0]} is merged from {', '.join(names)}" for names in (first, second)]
    assert [line for line in caplog.messages if "is merged from" in line] == ahead["merges"]
    assert (ahead["credits"], ahead["full_size_credits"]) == (0, 2)
    auto = enhance(brackets="auto", plan_only=True, preview=True)
    assert auto["merges"] == [f"Autoenhance groups 6 exposures: {', '.join(first + second)}"]
    assert "0 credits (at most 6 credits with preview=False)" in auto["plan"]
    assert enhance(plan_only=True)["merges"] == []


def test_a_dry_run_names_brackets_that_rest_on_exposure_alone(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    for number, step in enumerate(STEPS):
        s3.put(f"maple/{number}.jpg", exposure(2.5 * number + 0.1, step, size=(800, 600)))
    (warning,) = enhance(brackets="exif", plan_only=True)["warnings"]
    assert "1 bracket by exposure alone" in warning
    assert "0.jpg to 2.jpg" in warning


def test_copies_in_a_bucket_shuffle_no_bracket(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    """The camera's clock has whole seconds, and a file was downloaded twice."""
    for number, step in enumerate(STEPS):
        s3.put(f"maple/{number}.jpg", exposure(30, step))
        s3.put(f"maple/{number} (1).jpg", exposure(30, step))
    ahead = enhance(brackets="exif", plan_only=True)
    assert "0.jpg is merged from 0.jpg, 1.jpg, 2.jpg" in ahead["merges"]
    assert any("copies of other shots" in warning and "2 (1).jpg" in warning for warning in ahead["warnings"])


@pytest.mark.parametrize("brackets", ["exif", "auto"])
def test_limits_count_photos_not_exposures(
    enhance: Enhance,
    shoot: Shoot,
    autoenhance: Sandbox,
    brackets: str,
) -> None:
    shoot(3)
    limited = enhance(brackets=brackets, max_credits=2)
    assert (limited["landed"], limited["held"], limited["credits"]) == (2, 1, 2)
    rest = enhance(brackets=brackets, run_id="night-2")
    assert (rest["landed"], rest["skipped"], rest["credits"]) == (1, 2, 1)
    live = [image for image in autoenhance.ledger()["images"] if not image["deleted"]]
    assert len(live) == 3


@pytest.mark.parametrize("brackets", ["exif", "auto"])
def test_what_comes_later_is_grouped_by_itself(
    enhance: Enhance,
    shoot: Shoot,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    brackets: str,
) -> None:
    shoot(2)
    enhance(brackets=brackets)
    shoot(1, start=5)
    summary = enhance(brackets=brackets, run_id="night-2")
    assert (summary["landed"], summary["skipped"], summary["credits"]) == (1, 2, 1)
    assert autoenhance.ledger()["images_created"] == 3


def test_another_exposure_makes_another_photo(
    enhance: Enhance,
    shoot: Shoot,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
) -> None:
    """Also where the first photo never landed, so that its order is read again."""
    (first,) = shoot(1)
    autoenhance.settings(fail_images={"*": "cannot decode"})
    with pytest.raises(AirflowFailException, match="cannot decode"):
        enhance(brackets="exif")
    autoenhance.settings(fail_images={})
    s3.put("maple/03.jpg", exposure(1.2, 4.0))
    assert enhance(brackets="exif", run_id="night-2")["landed"] == 1
    assert outputs(s3) == [first]
    assert [len(row["exposures"]) for row in rows(s3) if row["status"] == "landed"] == [4]


def test_unchanged_exposures_are_not_read_again(
    enhance: Enhance,
    shoot: Shoot,
    autoenhance: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shoot(2)
    enhance(brackets="exif")
    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.plan.heads.read_range", None)
    summary = enhance(brackets="exif", run_id="night-2")
    assert (summary["skipped"], summary["credits"]) == (2, 0)


@pytest.mark.parametrize("brackets", ["exif", "auto"])
def test_a_broken_exposure_fails_its_photo_alone(
    enhance: Enhance,
    shoot: Shoot,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    brackets: str,
) -> None:
    first, second = shoot(2)
    whole = exposure(10.4, 0)
    s3.put("maple/11.jpg", whole[: len(whole) // 2])
    with pytest.raises(AirflowFailException, match=r"11\.jpg"):
        enhance(brackets=brackets)
    landed = outputs(s3)
    assert first in landed
    assert (second in landed) is (brackets == "auto"), "Autoenhance groups what did arrive"
    s3.put("maple/11.jpg", whole)
    assert enhance(brackets=brackets, run_id="night-2")["failed"] == 0
    assert all(count == 1 for count in autoenhance.ledger()["credits"]["by_image"].values())


@pytest.mark.parametrize("brackets", ["exif", "auto"])
def test_what_landed_beside_a_failure_is_not_bought_again(
    enhance: Enhance, shoot: Shoot, s3: SimpleNamespace, autoenhance: Sandbox, brackets: str
) -> None:
    shoot(2)
    autoenhance.settings(fail_images={"00*": "cannot decode"})
    with pytest.raises(AirflowFailException, match=r"1 of 2 photos failed.* First: 00\.jpg: cannot decode"):
        enhance(brackets=brackets)
    assert [(row["status"], row["credits"]) for row in rows(s3)] == [("failed", 0), ("landed", 1)]
    autoenhance.settings(fail_images={})
    summary = enhance(brackets=brackets, run_id="night-2")
    assert (summary["landed"], summary["skipped"], summary["credits"]) == (1, 1, 1)
    assert autoenhance.ledger()["credits"]["spent"] == 2


def test_exposures_that_no_image_came_of_are_told(
    enhance: Enhance,
    shoot: Shoot,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
) -> None:
    """Where brackets cannot be deleted, the manifest names each that an earlier try left behind."""
    shoot(1)
    refusing = {"endpoint": "delete_bracket", "kind": "422", "phase": "before"}
    lost = {"endpoint": "v3_brackets_post", "kind": "500", "phase": "after", "count": 1}
    autoenhance.faults([refusing, lost])
    assert enhance(brackets="exif")["landed"] == 1
    (orphan,) = [row for row in rows(s3) if row["status"] == "orphaned"]
    assert orphan["source"].startswith("s3://listings/maple/0")
    assert "never uploaded" in orphan["reason"] and orphan["bracket_id"] and orphan["order_id"]


def test_a_process_call_whose_answer_got_lost_is_not_made_again(
    enhance: Enhance,
    shoot: Shoot,
    autoenhance: Sandbox,
) -> None:
    shoot(2)
    autoenhance.faults([{"endpoint": "process_order", "kind": "reset", "phase": "after", "count": 1}])
    assert enhance(brackets="exif")["landed"] == 2
    ledger = autoenhance.ledger()
    assert (ledger["requests"]["POST /v3/orders/{id}/process"], ledger["images_created"]) == (1, 2)


@pytest.mark.parametrize("brackets", ["exif", "auto"])
@pytest.mark.parametrize("kind", ["500", "reset"])
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize(
    "endpoint",
    [
        "create_order",
        "retrieve_order",
        "v3_brackets_post",
        "put_object",
        "v3_orders_order_id_brackets_get",
        "process_order",
    ],
)
def test_no_fault_merges_twice(
    enhance: Enhance,
    shoot: Shoot,
    autoenhance: Sandbox,
    endpoint: str,
    phase: str,
    kind: str,
    brackets: str,
) -> None:
    shoot(2)
    skip = 0 if endpoint in ("create_order", "process_order") else 1
    autoenhance.faults([{"endpoint": endpoint, "kind": kind, "phase": phase, "count": 4, "skip": skip}])
    for number in range(1, 6):
        try:
            summary = enhance(brackets=brackets, try_number=number, concurrency=1)
            break
        except AutoenhanceError as error:
            assert error.retryable, error
    assert (summary["landed"], summary["failed"]) == (2, 0)
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["credits"]["spent"]) == (2, 2)


def test_more_exposures_than_an_order_takes(
    enhance: Enhance,
    shoot: Shoot,
    autoenhance: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Job.__init__, "__kwdefaults__", {**Job.__init__.__kwdefaults__, "max_order_size": 7})
    shoot(5)
    summary = enhance(brackets="exif")
    assert (summary["landed"], len(summary["order_ids"])) == (5, 3)


@pytest.mark.parametrize("brackets", ["some", 1, 10, "0"])
def test_unknown_brackets_are_refused(enhance: Enhance, brackets: Any) -> None:
    with pytest.raises(AirflowFailException, match="brackets"):
        enhance(brackets=brackets)


@pytest.mark.skipif(len(SHOTS) != 5, reason="AUTOENHANCE_PHOTOS names no folder with the five-shot bracket")
def test_a_real_bracket_becomes_one_photo_that_shows_room_and_garden(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
) -> None:
    for shot in [*SHOTS, SHOTS[0].with_name("kitchen-2.jpg")]:
        s3.put(f"maple/{shot.name}", shot.read_bytes())
    summary = enhance(brackets="exif")
    assert (summary["photos"], summary["landed"], summary["credits"]) == (2, 2, 2)
    assert outputs(s3) == ["maple/bracket-1.JPG", "maple/kitchen-2.jpg"]
    assert sorted(len(row["exposures"]) for row in rows(s3)) == [0, 5]
    merged, brightest = decode(s3.get("maple/bracket-1.JPG")), decode(SHOTS[4].read_bytes())
    window, cupboards = np.s_[520:1000, 2050:2600], np.s_[1100:1700, 50:700]
    assert np.mean(merged[window] > 250) < 0.1 < np.mean(brightest[window] > 250), "the garden is blown out"
    assert merged[cupboards].mean() > decode(SHOTS[0].read_bytes())[cupboards].mean() + 60, "the room is dark"


@pytest.mark.parametrize("brackets", ["exif", 3, "auto"])
@pytest.mark.parametrize("change", [{}, {"settings": {"enhance_type": "modern"}}], ids=["as before", "another style"])
def test_what_is_left_of_a_bracket_that_was_bought_is_not_bought_again(
    enhance: Enhance,
    shoot: Shoot,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    brackets: str | int,
    change: dict[str, Any],
) -> None:
    shoot(2)
    assert enhance(brackets=brackets)["credits"] == 2
    there = s3.get("maple/00.jpg")
    s3.client.delete_object(Bucket="listings", Key="maple/01.jpg")
    shoot(1, start=3)
    summary = enhance(brackets=brackets, run_id="night-2", **change)
    assert (summary["photos"], summary["failed"], summary["credits"]) == (2, 0, 1)
    assert [each.partition(":")[0] for each in summary["warnings"] if "s3://listings/maple/01.jpg of that is gone" in each] == [
        "00.jpg is left out", "02.jpg is left out",
    ]  # fmt: skip
    assert [row["source"][-6:] for row in rows(s3) if row["status"] == "omitted"] == ["00.jpg", "02.jpg"]
    assert s3.get("maple/00.jpg") == there
    anew = enhance(brackets=brackets, run_id="night-3", on_existing="reenhance", include=["0*"])
    assert (anew["photos"], anew["credits"]) == (1, 1), "somebody asks for it"
    idle = enhance(brackets=brackets, run_id="night-4", include=["0*"])
    assert (idle["photos"], idle["failed"], idle["credits"]) == (1, 0, 0), "what is left has an image of its own by now"


def test_a_bracket_of_which_an_exposure_has_changed_is_another_photo(
    enhance: Enhance, shoot: Shoot, s3: SimpleNamespace
) -> None:
    shoot(1)
    enhance(brackets=3)
    s3.put("maple/01.jpg", exposure(0.4, 1.0))
    assert enhance(brackets=3, run_id="night-2")["credits"] == 1
