"""The batch operator: a folder in, an enhanced folder out, each photo paid for once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.settings import SHARED_PRESETS
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.enhance import allowed_failures
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from airflow_provider_autoenhance.pipeline.plan import state
from tests.support.batch import Enhance, fill, manifest, operator, outputs
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import connection_of, context


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_folder_lands_whole_and_again_costs_nothing(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, deferrable: bool
) -> None:
    names = fill(s3, 6)
    summary = enhance(deferrable=deferrable, settings={"enhance_type": "warm"})
    assert (summary["photos"], summary["landed"], summary["credits"], summary["failed"]) == (6, 6, 6, 0)
    assert outputs(s3) == [f"maple/{name}" for name in names]
    rows = manifest(s3)
    assert [row["source"] for row in rows] == [f"s3://listings/maple/{name}" for name in names]
    assert all(row["credit_spent"] and row["status"] == "landed" and row["outputs"][0]["sha256"] for row in rows)
    before = autoenhance.ledger()
    assert (before["images_live"], before["credits"]["spent"]) == (6, 6)
    assert enhance(deferrable=deferrable, settings={"enhance_type": "warm"}) == summary
    another = enhance(deferrable=deferrable, settings={"enhance_type": "warm"}, run_id="night-2")
    assert (another["skipped"], another["landed"], another["credits"]) == (6, 0, 0)
    after = autoenhance.ledger()
    assert after["requests"] == before["requests"], "an unchanged run asks Autoenhance nothing"


def writes(autoenhance: Sandbox) -> list[str]:
    """Name the calls that change something."""
    return [call for call in autoenhance.ledger()["requests"] if not call.startswith("GET ")]


def test_settings_or_source_changed_is_enhanced_again_and_only_that(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 3)
    enhance()
    s3.put("maple/001.jpg", photo(shade=200))
    summary = enhance(run_id="night-2")
    assert (summary["landed"], summary["skipped"], summary["credits"]) == (1, 2, 1)
    assert enhance(run_id="night-3", settings={"enhance_type": "warm"})["landed"] == 3
    assert autoenhance.ledger()["credits"]["spent"] == 4, "the images that were bought are enhanced again"
    assert enhance(run_id="night-4", settings={"enhance_type": "modern"}, on_existing="skip")["credits"] == 3


def test_a_deleted_output_is_fetched_again_from_the_paid_image(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 3)
    enhance()
    s3.client.delete_object(Bucket="enhanced", Key="maple/001.jpg")
    summary = enhance(run_id="night-2")
    assert (summary["landed"], summary["skipped"], summary["credits"]) == (1, 2, 0)
    assert autoenhance.ledger()["images_created"] == 3
    assert autoenhance.ledger()["credits"]["spent"] == 3


def test_another_run_adopts_what_is_under_way(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    autoenhance.settings(processing_seconds=[2, 2])
    fill(s3, 4)
    with pytest.raises(TaskDeferred):
        it = operator(deferrable=True)
        it.execute(context(it, run_id="night-1"))
    summary = enhance(run_id="night-2")
    assert (summary["landed"], summary["credits"]) == (4, 4)
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["credits"]["spent"]) == (4, 4)
    assert enhance(run_id="night-1")["skipped"] == 4, "the first run finds what the second one landed"


def test_records_and_orders_of_many_folders_are_read_side_by_side(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    autoenhance.settings(processing_seconds=[30, 30])
    for folder in ("up", "down", "garden"):
        fill(s3, 1, f"maple/{folder}")
    with pytest.raises(TaskDeferred):
        it = operator(deferrable=True)
        it.execute(context(it, run_id="night-1"))

    def together(read: Callable[..., Any]) -> Callable[..., Any]:
        all_three = threading.Barrier(3, timeout=30)

        def wait_and_read(*args: Any, **options: Any) -> Any:
            all_three.wait()
            return read(*args, **options)

        return wait_and_read

    for name in ("read_record", "read_order"):
        monkeypatch.setattr(state, name, together(getattr(state, name)))
    assert enhance(run_id="night-2", plan_only=True)["plan"].startswith("3 photos in 3 folders: 3 wait;")


def test_previews_then_full_size_use_the_same_images(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 2)
    assert enhance(preview=True)["credits"] == 0
    assert enhance(preview=False, run_id="night-2")["credits"] == 2
    assert autoenhance.ledger()["images_created"] == 2


def test_on_existing(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 2)
    enhance()
    assert enhance(on_existing="redownload", run_id="night-2")["landed"] == 2
    assert autoenhance.ledger()["credits"]["spent"] == 2
    assert enhance(on_existing="reenhance", run_id="night-3")["landed"] == 2
    assert enhance(on_existing="reenhance", run_id="night-3")["landed"] == 2
    assert autoenhance.ledger()["credits"]["spent"] == 4


def test_max_credits_is_a_hard_ceiling_across_retries(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    names = fill(s3, 25)
    for try_number in (1, 2, 3):
        summary = enhance(max_credits=10, try_number=try_number)
        assert summary["held"] == 15
        assert outputs(s3) == [f"maple/{name}" for name in names[:10]]
        assert autoenhance.ledger()["credits"]["spent"] == 10
    assert enhance(max_credits=10, run_id="night-2")["landed"] == 10
    assert enhance(max_images=3, run_id="night-3")["landed"] == 3
    assert [row["status"] for row in manifest(s3)] == ["landed"] * 23 + ["held"] * 2
    assert autoenhance.ledger()["credits"]["spent"] == 23


def test_one_poisoned_photo_does_not_stop_the_others(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 9)
    s3.put("maple/bad.jpg", photo()[:-60])
    with pytest.raises(AirflowFailException, match=r"1 of 10 photos failed.*bad.jpg.*cut short"):
        enhance()
    assert len(outputs(s3)) == 9
    assert autoenhance.ledger()["images_live"] == 9
    summary = enhance(max_failures="10%", run_id="night-2")
    assert (summary["skipped"], summary["failed"]) == (9, 1)
    assert summary["failures"][0]["photo"] == "bad.jpg"
    s3.put("maple/bad.jpg", photo(shade=99))
    assert enhance(run_id="night-3")["landed"] == 1


def test_vendor_failures_are_named_and_tried_again_by_the_next_try(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    autoenhance.settings(fail_images={"*002*": "cannot decode"})
    fill(s3, 4)
    with pytest.raises(AirflowFailException, match=r"002.jpg: cannot decode"):
        enhance(deferrable=True)
    autoenhance.settings(fail_images={})
    assert enhance(try_number=2)["landed"] == 4
    assert autoenhance.ledger()["images_live"] == 4
    assert autoenhance.ledger()["credits"]["spent"] == 4


def test_what_is_over_the_daily_limit_is_left_for_the_next_night(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    autoenhance.settings(daily_limit=3)
    fill(s3, 5)
    summary = enhance()
    assert (summary["landed"], summary["postponed"], summary["failed"]) == (3, 2, 0)
    autoenhance.settings(daily_limit=3, clock_offset_seconds=86400)
    summary = enhance(run_id="night-2")
    assert (summary["landed"], summary["skipped"]) == (2, 3)
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["uploads_received"], ledger["credits"]["spent"]) == (5, 5, 5)


def test_a_camera_s_file_names_do_not_meet_the_limit_on_equal_names(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    for number in range(35):
        s3.put(f"maple/{number:02}/DSC0001.jpg", photo(shade=40 + number))
    assert enhance(group_by="all")["landed"] == 35
    assert autoenhance.ledger()["requests"]["POST /v3/images/"] == 35


def test_equal_names_on_purpose_are_told_and_left_for_later(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    autoenhance.settings(same_name_limit=3)
    fill(s3, 5)
    with pytest.raises(errors.ServerError, match=r"2 of 5 photos failed.*30 times within an hour"):
        enhance(image_name_template="same.jpg")
    autoenhance.settings(same_name_limit=3, clock_offset_seconds=3700)
    assert enhance(image_name_template="same.jpg", try_number=2)["landed"] == 5
    assert autoenhance.ledger()["credits"]["spent"] == 5


def test_a_lost_creation_never_costs_a_twin_s_image(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3, 1)
    create = AutoenhanceHook.create_image

    def twin_was_faster(self: AutoenhanceHook, *args: Any, **options: Any) -> Any:
        upload(self, create(self, *args, **options), photo(shade=40))
        raise errors.ServerError("the answer got lost")

    monkeypatch.setattr(AutoenhanceHook, "create_image", twin_was_faster)
    assert enhance()["landed"] == 1
    assert (autoenhance.ledger()["images_created"], autoenhance.ledger()["images_live"]) == (1, 1)


def test_dry_run_changes_nothing(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 3)
    summary = enhance(plan_only=True)
    assert (summary["photos"], summary["credits"]) == (3, 3)
    assert s3.keys() == []
    assert writes(autoenhance) == []


def test_a_price_of_a_credit_says_what_it_costs_in_money(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    fill(s3, 3)
    connection = json.loads(connection_of(autoenhance, "AUTOENHANCE_DEFAULT"))
    connection["extra"] = (connection.get("extra") or {}) | {"credit_price": "0.29", "currency": "€"}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
    ahead = enhance(plan_only=True, settings={"preset_id": "warm"})
    assert (ahead["cost"], ahead["currency"]) == (0.87, "€")
    assert ahead["plan"].endswith("3 credits, 0.87 €")
    assert enhance(plan_only=True, preview=True)["plan"].endswith("0 credits (3 credits, 0.87 € with preview=False)")
    summary = enhance(settings={"preset_id": "warm"})
    assert (summary["credits"], summary["cost"], summary["currency"]) == (3, 0.87, "€")
    assert "for 3 credits, 0.87 €." in caplog.text
    assert {image["settings"]["preset_id"] for image in autoenhance.ledger()["images"]} == {SHARED_PRESETS["WARM"]}


def test_folders_are_orders_and_all_is_one(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 2, "maple/up")
    fill(s3, 2, "maple/down")
    enhance()
    assert sorted(order["name"] for order in autoenhance.ledger()["orders"]) == ["down", "up"]
    enhance(group_by="all", on_existing="reenhance", run_id="night-2")
    assert len(autoenhance.ledger()["orders"]) == 3
    assert len(manifest(s3)) == 4


def test_lists_of_files_and_folders(enhance: Enhance, s3: SimpleNamespace) -> None:
    fill(s3, 2, "a")
    fill(s3, 1, "b")
    s3.put("c.jpg", photo())
    summary = enhance(
        source=["s3://listings/a/", "s3://listings/b/", "s3://listings/c.jpg"], destination="s3://enhanced/"
    )
    assert summary["landed"] == 4
    assert outputs(s3) == ["a/000.jpg", "a/001.jpg", "b/000.jpg", "c.jpg"]
    other = enhance(source=["s3://listings/a/", "s3://listings/b/"], destination="s3://enhanced/", run_id="night-2")
    assert other["skipped"] == 3
    assert (
        enhance(source="s3://listings/", destination="s3://enhanced/", recursive=False, run_id="night-3")["skipped"]
        == 1
    )
    assert s3.get(summary["manifest"].removeprefix("s3://enhanced/")).count(b"\n") == 4


def test_big_groups_become_several_orders(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_autoenhance.pipeline.job import Job

    monkeypatch.setattr(Job, "max_order_size", 4)
    monkeypatch.setattr(Job.__init__, "__kwdefaults__", {**Job.__init__.__kwdefaults__, "max_order_size": 4})
    fill(s3, 10)
    assert enhance()["landed"] == 10
    assert [len(order["image_ids"]) for order in autoenhance.ledger()["orders"]] == [4, 4, 2]


def test_a_transient_failure_makes_the_task_retry_and_the_retry_goes_on(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 4)
    autoenhance.faults([{"endpoint": "get_object", "kind": "truncate", "match": "*001*"}])
    with pytest.raises(errors.ServerError, match=r"1 of 4 photos failed"):
        enhance()
    autoenhance.faults([])
    summary = enhance(try_number=2)
    assert (summary["landed"], summary["skipped"]) == (4, 0)
    assert autoenhance.ledger()["credits"]["spent"] == 4


def test_a_wrong_key_stops_everything_at_once(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 8)
    autoenhance.faults([{"endpoint": "create_image", "kind": "401"}])
    with pytest.raises(AirflowFailException, match="API key"):
        enhance()
    autoenhance.faults([])
    assert enhance(try_number=2)["landed"] == 8


def test_a_damaged_record_is_named_and_nothing_is_paid_again(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 1)
    enhance()
    (record,) = [key for key in s3.keys() if RECORDS_FOLDER in key]
    s3.client.put_object(Bucket="enhanced", Key=record, Body=s3.get(record)[:-20])
    with pytest.raises(AirflowFailException, match=r"\.jsonl is damaged, line 2: .*\. Restore it\."):
        enhance(run_id="night-2")
    assert autoenhance.ledger()["images_created"] == 1


def test_a_damaged_record_holds_up_its_own_folder_alone(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    for folder in ("maple/a", "maple/b"):
        fill(s3, 2, folder)
    enhance()
    (record,) = [key for key in s3.keys() if RECORDS_FOLDER in key and key.startswith("maple/a")]
    whole, damaged = s3.get(record), s3.get(record).replace(b'"landed"', b'"lost"')
    s3.client.put_object(Bucket="enhanced", Key=record, Body=damaged)
    s3.put("maple/b/002.jpg", photo(shade=99))
    planned = enhance(plan_only=True)
    assert planned["credits"] == 1
    assert "its 'status' holds" in planned["warnings"][0]
    for run_id in ("night-1", "night-2"):
        with pytest.raises(
            AirflowFailException, match=r"2 of 5 photos failed.*a/\.autoenhance/.*jsonl is damaged, line 2: "
        ):
            enhance(run_id=run_id)
    assert s3.get(record) == damaged, "what somebody may restore by hand is not written over"
    assert "maple/b/002.jpg" in outputs(s3)
    reasons = {row["source"]: row["reason"] for row in manifest(s3) if row["status"] == "failed"}
    assert list(reasons) == ["s3://listings/maple/a/000.jpg", "s3://listings/maple/a/001.jpg"]
    s3.client.put_object(Bucket="enhanced", Key=record, Body=whole)
    summary = enhance(run_id="night-3")
    assert (summary["skipped"], summary["failed"], summary["credits"]) == (5, 0, 0)
    assert (autoenhance.ledger()["images_created"], autoenhance.ledger()["credits"]["spent"]) == (5, 5)


def test_a_deadline_passes_with_what_is_ready_landed(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    autoenhance.settings(processing_seconds=[30, 30])
    fill(s3, 2)
    with pytest.raises(AirflowFailException, match=r"2 of 2 photos failed.*deadline"):
        enhance(timeout=1)
    autoenhance.settings(processing_seconds=[0, 0])
    assert autoenhance.ledger()["images_created"] == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"source": []}, "source is an empty list"),
        ({"destination": ""}, "destination is empty"),
        ({"source": "s3://listings/x/", "destination": "s3://listings/"}, "never written over"),
        ({"settings": {"enhance_type": "sepia"}}, "takes one of property"),
        ({"max_failures": "many"}, "max_failures takes a number"),
        ({"image_name_template": "{nope}"}, "may hold {folder}"),
        ({"destination_template": "same.jpg"}, "would both become"),
        ({"source": "s3://no-such-bucket/x/"}, "no-such-bucket"),
        ({"destination": "s3://no-such-bucket/x/"}, "no-such-bucket"),
        ({"output_spec": "bmp"}, "format takes one of"),
    ],
)
def test_bad_arguments_send_nothing(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, options: dict[str, Any], told: str
) -> None:
    fill(s3, 2)
    with pytest.raises(AirflowFailException, match=told):
        enhance(**options)
    assert writes(autoenhance) == []


def test_max_failures() -> None:
    assert [allowed_failures(*each) for each in ((0, 10), ("3", 10), ("10%", 50), ("100%", 7))] == [0, 3, 5, 7]


def test_without_records_a_retry_still_finds_what_it_made(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 3)
    for try_number in (1, 2):
        assert enhance(durable=False, try_number=try_number)["landed"] == 3
    assert [key for key in s3.keys() if RECORDS_FOLDER in key] == []
    assert (autoenhance.ledger()["images_created"], autoenhance.ledger()["credits"]["spent"]) == (3, 3)


def test_a_dry_run_of_previews_tells_what_the_full_size_costs(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 3)

    def price(run_id: str = "plan", **options: Any) -> tuple[int, int]:
        ahead = enhance(run_id=run_id, plan_only=True, **options)
        assert f"credits ({ahead['full_size_credits']} credit" in ahead["plan"] or not options.get("preview", True)
        return ahead["credits"], ahead["full_size_credits"]

    assert price(preview=True) == (0, 3)
    assert price(preview=False) == (3, 3)
    assert price(preview=True, max_images=2) == (0, 2)
    assert price(preview=True, max_credits=1) == (0, 1)
    enhance(preview=True)  # what is up to date as a preview would be bought, too
    assert price(preview=True) == (0, 3)
    enhance(run_id="night-2", preview=False, max_credits=1)
    assert price(preview=True) == (0, 2)
    assert price(preview=False) == (2, 2)
    assert autoenhance.ledger()["credits"]["spent"] == 1


def test_an_empty_folder_is_no_failure(enhance: Enhance, s3: SimpleNamespace) -> None:
    assert enhance()["photos"] == 0


def test_killed_with_delete_leaves_nothing_unpaid(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    autoenhance.settings(processing_seconds=[30, 30])
    fill(s3, 2)
    it = operator(deferrable=True, delete_on_kill=True)
    with pytest.raises(TaskDeferred) as caught:
        it.execute(context(it))
    asyncio.run(caught.value.trigger.on_kill())
    assert autoenhance.ledger()["images_live"] == 0
    it.on_kill()
