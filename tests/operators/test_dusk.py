"""A batch with premium edits: a dusk of chosen photos, made once of each after it has landed, beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.base import ArgumentError
from airflow_provider_autoenhance.pipeline.remote import edits
from tests.support.batch import Enhance, enhance_to, fill, manifest, operator, outputs
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run

DUSK = {"restage": {"environment": "DUSK"}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "APPEARANCE_POLLS", (0.0, 0.05))


def children(sandbox: Sandbox) -> dict[str, str]:
    """Return the names of originals by their edit."""
    images = {image["image_id"]: image for image in sandbox.ledger()["images"] if not image["deleted"]}
    return {
        image_id: images[image["parent_image_id"]]["metadata"]["source"].rpartition("/")[2]
        for image_id, image in images.items()
        if image["parent_image_id"]
    }


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_chosen_photos_get_a_dusk_beside_them_once(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, deferrable: bool
) -> None:
    fill(s3, 3)
    autoenhance.settings(processing_seconds=[0.15, 0.15])
    chosen = {"dusk": ["001.jpg", "*2.jpg"], "deferrable": deferrable}
    summary = enhance(**chosen)
    assert (summary["photos"], summary["edits"], summary["landed"], summary["credits"]) == (5, 2, 5, 5)
    files = [f"maple/{name}" for name in ("000.jpg", "001.jpg", "001_dusk.jpg", "002.jpg", "002_dusk.jpg")]
    assert outputs(s3) == files
    assert s3.get("maple/001_dusk.jpg") != s3.get("maple/001.jpg")
    made = children(autoenhance)
    assert sorted(made.values()) == ["001.jpg", "002.jpg"]
    rows = manifest(s3)
    assert [row["outputs"][0]["uri"].removeprefix("s3://enhanced/") for row in rows] == files
    assert [row["image_id"] in made for row in rows] == [False, False, True, False, True]
    for original, edit in ((rows[1], rows[2]), (rows[3], rows[4])):
        parent = {"environment": "DUSK", "of": original["fingerprint"], "parent_image_id": original["image_id"]}
        assert (edit["edit"], edit["credits"], edit["credit_spent"]) == (parent, 1, True)
    assert enhance(**chosen) == summary, "cleared, it finds everything done"
    again = enhance(run_id="night-2", **chosen)
    assert (again["skipped"], again["landed"], again["credits"]) == (5, 0, 0)
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["credits"]["spent"]) == (5, 5)
    assert ledger["requests"]["PUT /v3/images/{id}"] == 2


def test_what_is_chosen_later_is_made_then(enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, 3)
    enhance()
    first, second, third = (row["image_id"] for row in manifest(s3))
    summary = enhance(dusk=f'["{second}"]')
    assert (summary["landed"], summary["edits"], summary["credits"]) == (4, 1, 4)
    summary = enhance(run_id="night-2", dusk=[second, "s3://listings/maple/002.jpg"])
    assert (summary["skipped"], summary["landed"], summary["credits"]) == (4, 1, 1)
    assert sorted(children(autoenhance).values()) == ["001.jpg", "002.jpg"]
    assert enhance(dusk=[])["photos"] == 3
    assert (first, third) != (second, second)


def test_a_dusk_that_is_gone_from_the_destination_costs_nothing_again(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    fill(s3, 1)
    enhance(dusk="*")
    dusk = s3.get("maple/000_dusk.jpg")
    s3.client.delete_object(Bucket="enhanced", Key="maple/000_dusk.jpg")
    assert enhance(run_id="night-2", dusk="*")["credits"] == 0
    assert s3.get("maple/000_dusk.jpg") == dusk
    assert enhance(run_id="night-3", dusk="*", output_spec="webp")["credits"] == 0
    assert "maple/000_dusk.jpg.webp" in outputs(s3)
    assert autoenhance.ledger()["images_created"] == 2


@pytest.mark.parametrize("on_existing", ["reprocess", "skip"])
def test_in_other_settings_one_dusk_of_one_image(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, on_existing: str
) -> None:
    fill(s3, 2)
    enhance(dusk="*", settings={"enhance_type": "warm"})
    summary = enhance(run_id="night-2", dusk="*", settings={"enhance_type": "modern"}, on_existing=on_existing)
    assert summary["landed"] == 4
    kept = on_existing == "reprocess"
    assert summary["credits"] == (0 if kept else 4)
    assert autoenhance.ledger()["images_created"] == (4 if kept else 8)


def test_a_merged_photo_gets_one_too(enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    for number in range(6):
        s3.put(f"maple/{number}.jpg", photo(shade=30 + 5 * number))
    summary = enhance(brackets=3, dusk="3.jpg")
    assert (summary["photos"], summary["edits"], summary["credits"]) == (3, 1, 3)
    assert outputs(s3) == ["maple/0.jpg", "maple/3.jpg", "maple/3_dusk.jpg"]
    assert enhance(run_id="night-2", brackets=3, dusk="3.jpg")["credits"] == 0


def test_the_plan_and_the_limits_count_it(enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, 3)
    ahead = enhance(dusk="*", plan_only=True)
    assert (ahead["photos"], ahead["edits"], ahead["credits"], ahead["full_size_credits"]) == (6, 3, 6, 6)
    assert "3 edit" in ahead["plan"]
    assert autoenhance.ledger()["images_created"] == 0
    limited = enhance(dusk="*", max_credits=3)
    assert (limited["landed"], limited["held"], limited["credits"]) == (3, 3, 3)
    assert outputs(s3) == ["maple/000.jpg", "maple/000_dusk.jpg", "maple/001.jpg"]
    assert enhance(dusk="*", max_credits=3)["credits"] == 3
    assert autoenhance.ledger()["credits"]["spent"] == 3
    rest = enhance(run_id="night-2", dusk="*")
    assert (rest["landed"], rest["credits"]) == (3, 3)
    assert autoenhance.ledger()["images_created"] == 6


def test_a_photo_that_is_held_has_its_dusk_held(enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, 1)
    assert enhance(dusk="*", max_images=0, preview=True)["held"] == 2
    assert autoenhance.ledger()["images_created"] == 0


def test_what_somebody_had_made_is_used(enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, 1)
    enhance()
    hook = AutoenhanceHook()
    child = hook.update_image(manifest(s3)[0]["image_id"], settings=DUSK).image_id
    while not hook.get_image(child).status.final:
        pass
    hook.download_image(child, lambda download: download.read(), preview=False)
    enhance(run_id="night-2", dusk="*")
    assert manifest(s3)[1]["image_id"] == child
    assert autoenhance.ledger()["images_created"] == 2
    assert autoenhance.ledger()["credits"]["by_image"][child] == 1


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_one_that_fails_is_named_and_made_again_of_the_same_image(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, deferrable: bool
) -> None:
    fill(s3, 2)
    enhance()
    about = {"run_id": "night-2", "dusk": "*", "deferrable": deferrable}
    autoenhance.settings(fail_images={"*000*": "No sky in sight"})
    summary = enhance(max_failures=1, **about)
    assert (summary["failed"], summary["landed"]) == (1, 1)
    assert summary["failures"] == [{"photo": "000_dusk.jpg", "reason": "No sky in sight"}]
    autoenhance.settings(fail_images={})
    assert enhance(**about)["landed"] == 2
    assert autoenhance.ledger()["images_created"] == 4


def test_one_that_is_deleted_while_it_is_waited_for_ends_the_wait(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    fill(s3, 1)
    autoenhance.settings(reuse_deleted_ids=False)
    enhance()
    about = {"dusk": "*", "deferrable": True}
    autoenhance.settings(processing_seconds=[20, 20])
    it = operator(**about)
    with pytest.raises(TaskDeferred):
        run(it, run_id="night-2")
    (child,) = children(autoenhance)
    AutoenhanceHook().delete_image(child)
    autoenhance.settings(processing_seconds=[0.1, 0.1])
    it = operator(max_failures=1, **about)
    summary = it.execute_complete(context(it, run_id="night-2"), {"status": "finished"})
    assert (summary["failed"], summary["transient"]) == (1, 1)
    assert "is gone from Autoenhance" in summary["failures"][0]["reason"]
    assert enhance(run_id="night-2", **about)["landed"] == 1


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_what_every_photo_met_does_not_stay_with_the_dusk(
    enhance: Enhance,
    autoenhance: Sandbox,
    s3: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
) -> None:
    fill(s3, 1)
    about = {"dusk": "*", "deferrable": deferrable}
    connection = json.loads(os.environ["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"])
    with monkeypatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection | {"password": "not-the-key"}))
        with pytest.raises(AirflowFailException, match="API key"):
            enhance(**about)
    assert enhance(**about)["landed"] == 2


def test_an_original_that_is_gone_is_told_once_and_fails_nothing(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    fill(s3, 2)
    enhance()
    AutoenhanceHook().delete_image(manifest(s3)[0]["image_id"])
    for night in ("night-2", "night-3"):
        summary = enhance(run_id=night, dusk="*")
        assert (summary["failed"], summary["held"]) == (0, 1)
        assert any(warning.startswith("000_dusk.jpg: its original is gone") for warning in summary["warnings"])
    assert manifest(s3)[1]["status"] == "held"
    assert enhance(run_id="night-4", dusk="*", on_existing="reenhance")["landed"] == 4


def test_other_formats_of_one_dusk_are_left_to_each_other(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    fill(s3, 2)
    tasks: list[dict[str, Any]] = [{"dusk": "*", "output_spec": {"format": name}} for name in ("png", "jpeg")]
    for number, about in enumerate(tasks):
        enhance(run_id=f"night-{number}", **about)
    for night in ("night-3", "night-4"):
        for about in tasks:
            assert enhance(run_id=f"{night} {about['output_spec']}", **about)["skipped"] == 4
    assert autoenhance.ledger()["credits"]["spent"] == 4


@pytest.mark.parametrize(
    "pick",
    [
        "s3://listings/maple/000.jpg",
        "s3a://listings/maple/000.jpg",
        "s3://aws_default@listings/maple/00?.jpg",
        "*/maple/0*",
    ],
)
def test_uris_are_matched_in_any_spelling(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, pick: str
) -> None:
    fill(s3, 1)
    summary = enhance(dusk=[pick])
    assert (summary["edits"], summary["landed"], summary["warnings"]) == (1, 2, [])


def test_while_exposures_are_to_be_grouped_misspelled_picks_alone_are_named(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    fill(s3, 3)
    planned = enhance(dusk=["000.jpg", "misspelled.jpg"], brackets="auto", plan_only=True)
    assert [warning for warning in planned["warnings"] if "dusk matches" in warning] == [
        "dusk matches no photo with 'misspelled.jpg'; check its spelling."
    ]


def test_a_photo_that_fails_has_no_dusk(enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, 2)
    autoenhance.settings(fail_images={"*000*": "Too blurred"})
    summary = enhance(dusk="*", max_failures=1)
    assert (summary["failed"], summary["landed"], summary["held"]) == (1, 2, 1)
    row = manifest(s3)[1]
    assert (row["status"], row["reason"]) == ("held", "its original has not landed")
    autoenhance.settings(fail_images={})
    assert enhance(dusk="*")["landed"] == 4
    assert autoenhance.ledger()["credits"]["spent"] == 4


def test_an_account_without_premium_edits_lands_its_photos(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    fill(s3, 2)
    autoenhance.settings(premium_edits=False)
    with pytest.raises(AirflowFailException, match="enabled for an account on request"):
        enhance(dusk="000.jpg")
    assert outputs(s3) == ["maple/000.jpg", "maple/001.jpg"]
    autoenhance.settings(premium_edits=True)
    assert enhance(dusk="000.jpg")["landed"] == 3
    assert autoenhance.ledger()["credits"]["spent"] == 3


def test_names_are_checked(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 2)
    with pytest.raises(ArgumentError, match="name of its original"):
        operator(dusk="*", dusk_template="{folder}{stem}")
    s3.put("maple/000_dusk.jpg", photo())
    with pytest.raises(AirflowFailException, match="2 of 4 photos failed.*would both become"):
        enhance(dusk="000.jpg")
    with pytest.raises(AirflowFailException, match="set dusk_template"):
        enhance(dusk="000.jpg", destination_template="all-{extension}", include="000.jpg")
    assert (autoenhance.ledger()["images_created"], autoenhance.ledger()["credits"]["spent"]) == (2, 2), "the others"
    summary = enhance(dusk=["000.jpg", "missing.jpg"], dusk_template="{folder}evening/{stem}")
    assert "maple/evening/000.jpg" in outputs(s3)
    assert summary["warnings"] == ["dusk matches no photo with 'missing.jpg'; check its spelling."]


def test_no_dusk_is_written_over_an_original(tmp_path: Path, autoenhance: Sandbox) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    original = tmp_path / "out" / "evening-new.jpg"
    for place in (tmp_path / "in" / "a.jpg", original):
        place.write_bytes(photo())
    names = {"destination_template": "{stem}-new", "dusk_template": "evening"}
    with pytest.raises(AirflowFailException, match="evening-new.jpg would be written over by the output of .*/a.jpg"):
        enhance_to([f"{tmp_path}/in/a.jpg", str(original)], f"{tmp_path}/out/", dusk="a.jpg", **names)
    assert original.read_bytes() == photo()
    assert autoenhance.ledger()["images_created"] == 0


def test_a_version_without_premium_edits_is_refused_before_anything_is_sent(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3, 1)
    connection = json.loads(os.environ["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"]) | {"extra": {"api_version": "2025-05-05"}}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
    with pytest.raises(AirflowFailException, match="dusk needs API version 2025-08-31"):
        enhance(dusk="*")
    assert autoenhance.ledger()["requests"] == {}


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize(
    "settings",
    [{"child_order": "own", "child_metadata": "none"}, {"edit_answers": "parent"}, {}],
    ids=["apart", "parent-answered", "lost"],
)
def test_what_nobody_knows_of_the_api_changes_nothing(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, settings: dict[str, str], deferrable: bool
) -> None:
    fill(s3, 2)
    autoenhance.settings(**settings)
    if not settings:
        autoenhance.faults([{"endpoint": "update_image", "phase": "after", "kind": "reset", "count": 1}])
    about = {"dusk": "*", "deferrable": deferrable}
    assert enhance(**about)["credits"] == 4
    assert enhance(run_id="night-2", **about)["skipped"] == 4
    s3.client.delete_object(Bucket="enhanced", Key="maple/000_dusk.jpg")
    assert enhance(run_id="night-3", **about)["credits"] == 0
    assert len(outputs(s3)) == 4
    assert sorted(children(autoenhance).values()) == ["000.jpg", "001.jpg"]
    assert autoenhance.ledger()["images_created"] == 4
