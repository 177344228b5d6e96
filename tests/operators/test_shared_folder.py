"""Several tasks and runs on one folder or one destination: each photo is paid once, nothing is written over, nothing is lost."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.batch import lease, photo_steps
from airflow_provider_autoenhance.pipeline.batch.claims import Claims
from airflow_provider_autoenhance.pipeline.plan.listing import list_present
from airflow_provider_autoenhance.pipeline.records import is_record
from airflow_provider_autoenhance.storage.s3 import S3Destination
from tests.support.batch import Enhance, enhanced_by, event_of, fill, fill_up_destination, manifest, operator, outputs
from tests.support.elsewhere import Begin
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run


def leases(s3: SimpleNamespace) -> list[str]:
    return [key for key in s3.keys() if key.endswith(".lease")]


def records(s3: SimpleNamespace) -> list[dict[str, Any]]:
    return [json.loads(s3.get(key).splitlines()[0]) for key in s3.keys() if key.endswith(".jsonl") and "/.auto" in key]


def test_a_run_waits_for_the_one_at_work_and_finds_everything_done(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, elsewhere: Begin, caplog: Any
) -> None:
    other = elsewhere(3)
    threading.Timer(0.5, other.go_on.set).start()
    summary = enhance(run_id="here")
    other.end()
    assert (other.summary["landed"], other.summary["credits"]) == (3, 3)
    assert (summary["landed"], summary["skipped"], summary["credits"]) == (0, 3, 0)
    assert autoenhance.ledger()["images_created"] == 3
    assert "nightly/enhance elsewhere works on the same folder" in caplog.text
    assert leases(s3) == [] and [each["claim"] for each in records(s3)] == [None]


@pytest.mark.parametrize("template", [None, "a/{stem}.jpg"])
@pytest.mark.parametrize("records", ["before", "after"])
def test_what_lands_after_the_files_were_listed_is_not_fetched_again(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    template: str | None,
    records: str,
) -> None:
    """Records and outputs are listed one after the other: a record may be as it was before, or say already what has landed meanwhile."""
    fill(s3, 1)
    options = {"destination_template": template}
    assert enhance(run_id="there", **options)["landed"] == 1
    fill(s3, 3)
    begun: list[dict[str, Any]] = []

    def listed(job: Any) -> Any:
        found = list_present(job)
        if not begun:
            begun.append({})
            begun.append(enhance(run_id="there", **options))  # cleared, it goes on
            if records == "after":
                found |= {uri: file for uri, file in list_present(job).items() if is_record(uri)}
        return found

    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.plan.plan.list_present", listed)
    summary = enhance(run_id="here", **options)
    assert begun[1]["landed"] == 3
    assert (summary["landed"], summary["skipped"], summary["credits"]) == (0, 3, 0)
    assert autoenhance.ledger()["credits"]["spent"] == 3
    assert {row["credit_spent"] for row in manifest(s3)} == {True}


def test_a_run_that_waits_too_long_names_the_other_and_can_be_retried(
    enhance: Enhance, autoenhance: Sandbox, elsewhere: Begin
) -> None:
    other = elsewhere()
    with pytest.raises(errors.FolderBusyError, match="nightly/enhance elsewhere is still at work") as raised:
        enhance(run_id="here", timeout=0.1)
    assert raised.value.retryable
    assert autoenhance.ledger()["images_created"] == 0
    other.end()
    assert enhance(run_id="here")["skipped"] == 2


def test_other_folders_do_not_wait(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, elsewhere: Begin
) -> None:
    fill(s3, 2, "day/maple")
    fill(s3, 2, "day/oak")
    other = elsewhere(source="s3://listings/day/maple/", destination="s3://enhanced/day/maple/")
    threading.Timer(1.0, other.go_on.set).start()
    summary = enhance(run_id="here", source="s3://listings/day/", destination="s3://enhanced/day/")
    other.end()
    assert (summary["landed"], summary["skipped"], summary["credits"]) == (2, 2, 2)
    assert autoenhance.ledger()["images_created"] == 4


def test_a_claim_that_nobody_renews_is_taken_over_and_who_stood_still_makes_nothing(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, elsewhere: Begin
) -> None:
    other = elsewhere(patience=0.5, renew=60.0)
    assert enhance(run_id="here")["landed"] == 2
    other.end()
    assert isinstance(other.error, errors.FolderBusyError) and "stood still" in str(other.error)
    assert autoenhance.ledger()["images_created"] == 2
    assert enhance(run_id="elsewhere", try_number=2)["skipped"] == 2
    assert leases(s3) == []


def test_a_frozen_worker_that_thaws_looks_before_it_goes_on(
    enhance: Enhance, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, elsewhere: Begin
) -> None:
    """All its threads stood still, the one that renews the lease among them, which is the first to run again."""
    keep, frozen, renewed = lease.Lease._keep, [], threading.Event()

    def keep_when_thawed(held: lease.Lease) -> None:
        frozen[:] = frozen or [held]
        if held is frozen[0]:
            renewed.wait(60)
        keep(held)

    monkeypatch.setattr(lease.Lease, "_keep", keep_when_thawed)
    other = elsewhere(patience=1.0, renew=0.1)
    assert enhance(run_id="here")["landed"] == 2
    renewed.set()
    time.sleep(0.5)
    other.end()
    assert isinstance(other.error, errors.FolderBusyError)
    assert autoenhance.ledger()["images_created"] == 2


def test_no_thread_goes_on_before_another_one_has_looked(
    autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, elsewhere: Begin
) -> None:
    """The thread that looks has renewed the lease by then."""
    other = elsewhere(renew=60.0)
    (held,), looks, looking, seen = other.claims, Claims._look, threading.Event(), threading.Event()

    def look(*args: Any) -> Any:
        looking.set()
        seen.wait(60)
        return looks(*args)

    monkeypatch.setattr(Claims, "_look", look)
    held._lease._renewed -= 3600
    threads = [threading.Thread(target=other.check, args=(held,)) for _ in range(2)]
    threads[0].start()
    assert looking.wait(60)
    threads[1].start()
    threads[1].join(0.3)
    assert threads[1].is_alive()
    seen.set()
    for thread in threads:
        thread.join(60)
    other.end()
    assert other.summary["landed"] == 2


def test_who_stood_still_goes_on_where_nobody_took_its_place(autoenhance: Sandbox, elsewhere: Begin) -> None:
    other = elsewhere(patience=0.2)
    time.sleep(0.5)
    other.end()
    assert other.summary["landed"] == 2


def test_a_new_try_ends_the_one_before_it(enhance: Enhance, autoenhance: Sandbox, elsewhere: Begin) -> None:
    """Airflow may take a task for dead that still runs; its next try lets it notice, and the first one writes over nothing."""
    other = elsewhere(renew=0.3)
    assert enhance(run_id="elsewhere", try_number=2)["landed"] == 2
    other.end()
    assert isinstance(other.error, errors.FolderBusyError)
    assert autoenhance.ledger()["images_created"] == 2
    assert enhance(run_id="elsewhere", try_number=3)["credits"] == 2


@pytest.mark.parametrize("left", [{"ended": True}, {"token": "of another try"}, None, b"", b"[]", b'{"token": 1}'])
def test_a_lease_that_proves_nothing_holds_nobody_up(
    enhance: Enhance, s3: SimpleNamespace, elsewhere: Begin, left: Any
) -> None:
    other = elsewhere(1, renew=60.0)  # nobody writes it again
    (key,) = leases(s3)
    if isinstance(left, dict):
        left = json.dumps(json.loads(s3.get(key)) | left).encode()
    if left is None:
        s3.client.delete_object(Bucket="enhanced", Key=key)
    else:
        s3.client.put_object(Bucket="enhanced", Key=key, Body=left)
    assert enhance(run_id="here", timeout=20)["landed"] == 1
    other.end()


def test_a_bucket_that_lets_nobody_delete_is_enough(
    enhance: Enhance, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3, 1)
    monkeypatch.setattr(S3Destination, "remove", lambda self: False)
    assert enhance(run_id="night-1")["landed"] == 1
    (key,) = leases(s3)
    assert json.loads(s3.get(key))["ended"] is True
    s3.put("maple/new.jpg", photo(shade=9))
    assert enhance(run_id="night-2", timeout=20)["landed"] == 1


def test_a_killed_run_deletes_only_what_it_made(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    """What it adopted, another run waits for."""
    fill(s3, 2)
    autoenhance.settings(processing_seconds=[30, 30])
    with pytest.raises(TaskDeferred):
        first = operator(deferrable=True)
        first.execute(context(first, run_id="night-1"))
    second = operator(deferrable=True, delete_on_kill=True)
    with pytest.raises(TaskDeferred) as deferred:
        second.execute(context(second, run_id="night-2"))
    second.on_kill()
    assert deferred.value.trigger.serialize()[1]["image_ids"] == []
    assert [image["deleted"] for image in autoenhance.ledger()["images"]] == [False, False]


@pytest.mark.parametrize(
    "siblings",
    [
        [{"paths": ["000.jpg", "001.jpg"]}, {"paths": ["002.jpg", "003.jpg"]}],
        [{"include": ["00[01]*"]}, {"include": ["00[23]*"]}],
        [{"exclude": ["00[23]*"]}, {"exclude": ["00[01]*"]}],
        [{"source": [f"s3://listings/maple/{name}.jpg" for name in names]} for names in (("000", "001"), ("002", "003"))],
        [{"settings": {"enhance_type": style}, "destination_template": "{stem}-" + style + ".jpg"} for style in ("warm", "modern")],
    ],
    ids=["paths", "include", "exclude", "files", "settings"],
)  # fmt: skip
def test_mapped_tasks_on_one_folder_have_books_of_their_own(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, siblings: list[dict[str, Any]]
) -> None:
    fill(s3, 4)
    first = [enhanced_by(number, max_credits=4, **each) for number, each in enumerate(siblings)]
    landed = 8 if "settings" in siblings[0] else 4
    assert [each["landed"] for each in first] == [landed // 2] * 2
    paid = [4, 0] if "settings" in siblings[0] else [2, 2]  # another style of a photo that is bought costs nothing
    assert [each["credits"] for each in first] == paid
    assert len({order for each in first for order in each["order_ids"]}) == len(list(filter(None, paid)))
    assert len(_rows(s3, first)) == landed, "each has a manifest, or a place in one"
    again = [enhanced_by(number, max_credits=4, **each) for number, each in enumerate(reversed(siblings))]
    assert [each["landed"] for each in again] == [landed // 2] * 2, "cleared, it says the same again"
    assert [each["credits"] for each in again] == paid[::-1]
    for order in autoenhance.ledger()["orders"]:
        AutoenhanceHook().delete_order(order["order_id"])
    idle = [enhance(run_id="night-2", **each) for each in siblings]
    assert [(each["skipped"], each["credits"]) for each in idle] == [(landed // 2, 0)] * 2
    assert autoenhance.ledger()["images_created"] == sum(paid)


def _rows(s3: SimpleNamespace, summaries: list[dict[str, Any]]) -> set[str]:
    uris = {each["manifest"] for each in summaries}
    lines = [line for uri in uris for line in s3.get(uri.removeprefix("s3://enhanced/")).splitlines()]
    return {row["fingerprint"] for row in map(json.loads, lines)}


def other_source(s3: SimpleNamespace) -> dict[str, Any]:
    s3.put("oak/000.jpg", photo(shade=200))
    return {"source": "s3://listings/oak/"}


def other_style(s3: SimpleNamespace) -> dict[str, Any]:
    return {"settings": {"enhance_type": "modern"}}


def other_output(s3: SimpleNamespace) -> dict[str, Any]:
    return {"output_spec": {"quality": 50}}


@pytest.mark.parametrize(
    ("other", "under_way"),
    [(other_source, False), (other_source, True), (other_style, False), (other_style, True), (other_output, False)],
)
def test_what_another_task_lands_is_not_written_over(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, other: Callable[..., dict[str, Any]], under_way: bool
) -> None:
    fill(s3, 1)
    if under_way:
        autoenhance.settings(processing_seconds=[30, 30])
        with pytest.raises(TaskDeferred):
            first = operator(deferrable=True)
            first.execute(context(first, run_id="night-1"))
    else:
        enhance(run_id="night-1")
    made, there = autoenhance.ledger()["images_created"], outputs(s3)
    with pytest.raises(
        AirflowFailException, match=r"would become s3://enhanced/maple/000.jpg.* \(?nightly/enhance night-1"
    ) as raised:
        enhance(run_id="night-1", task_id="other", **other(s3))
    assert "destination_template" in str(raised.value)
    assert (autoenhance.ledger()["images_created"], outputs(s3)) == (made, there)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"preview": True}, {"preview": False}),
        ({"settings": {"enhance_type": "warm"}}, {"settings": {"enhance_type": "modern"}}),
        ({}, {"output_spec": {"quality": 50}}),
        ({}, {"include": ["*.jpg"]}),
    ],
    ids=["full size", "settings", "output", "selection"],
)
def test_a_run_that_is_cleared_after_its_dag_was_edited_writes_over_its_own(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, first: dict[str, Any], second: dict[str, Any]
) -> None:
    fill(s3, 2)
    assert enhance(**first)["landed"] == 2
    summary = enhance(try_number=2, **second)
    assert summary["landed"] + summary["skipped"] == 2
    assert sum(autoenhance.ledger()["credits"]["by_image"].values()) == 2


def test_a_photo_that_changed_is_enhanced_by_whichever_task_sees_it_first(
    enhance: Enhance, s3: SimpleNamespace
) -> None:
    fill(s3, 2)
    enhance(run_id="night-1")
    s3.put("maple/000.jpg", photo(shade=200))
    assert enhance(run_id="night-2", task_id="renamed")["landed"] == 1


def test_two_styles_of_a_photo_may_be_under_way_at_once(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    """The second finds that its photo is bought by now. Its own image is not gone."""
    fill(s3, 2)
    autoenhance.settings(processing_seconds=[2, 2])
    deferred = []
    for number, style in enumerate(("warm", "modern")):
        options = {
            "settings": {"enhance_type": style},
            "destination_template": "{stem}-" + style + ".jpg",
            "deferrable": True,
        }
        it = operator(**options)
        with pytest.raises(TaskDeferred) as deferral:
            it.execute(context(it, map_index=number))
        deferred.append((number, options, deferral.value.trigger))
    for number, options, trigger in deferred:
        event = json.loads(json.dumps(asyncio.run(event_of(trigger))))
        again = operator(**options | {"deferrable": False})
        assert again.execute_complete(context(again, map_index=number), event)["landed"] == 2


def test_groups_that_share_a_folder_of_outputs_keep_each_other_s_rows(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = []
    for number, folder in enumerate("abc"):
        s3.put(f"{folder}/maple/{number}.jpg", photo(shade=40 + number))
        sources.append(f"s3://listings/{folder}/maple/{number}.jpg")
    with monkeypatch.context() as broken:
        broken.setattr(photo_steps, "upload_new", lambda *_: (_ for _ in ()).throw(errors.AuthenticationError("no")))
        with pytest.raises(Exception, match="no"):
            enhance(source=sources)
    assert enhance(source=sources, try_number=2)["landed"] == 3
    idle = enhance(source=sources, run_id="night-2")
    assert (idle["skipped"], idle["credits"]) == (3, 0)
    assert sum(autoenhance.ledger()["credits"]["by_image"].values()) == 3


def test_what_changed_or_is_asked_for_anew_by_the_same_task_is_written_over(
    enhance: Enhance, s3: SimpleNamespace
) -> None:
    fill(s3, 1)
    enhance(run_id="night-1")
    s3.put("maple/000.jpg", photo(shade=200))
    assert enhance(run_id="night-2")["landed"] == 1
    assert enhance(run_id="night-3", output_spec={"quality": 50})["landed"] == 1


def test_two_tasks_at_one_destination_each_have_a_manifest(enhance: Enhance, s3: SimpleNamespace) -> None:
    fill(s3, 2, "maple")
    s3.put("oak/kitchen.jpg", photo(shade=200))
    for run_id in ("night-1", "night-2"):
        first = enhance(run_id=run_id, destination="s3://enhanced/all/")
        second = enhance(run_id=run_id, destination="s3://enhanced/all/", task_id="other", source="s3://listings/oak/")
        assert first["manifest"] == "s3://enhanced/all/autoenhance-manifest.jsonl" != second["manifest"]
        assert len(_rows(s3, [first])) == 2 and len(_rows(s3, [second])) == 1


def test_credits_are_said_where_publishing_failed_for_all(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full ends the batch; what was bought before counts."""
    fill(s3, 1)
    fill_up_destination(monkeypatch)
    it = operator()
    about = context(it)
    with pytest.raises(Exception, match="full"):
        it.execute(about)
    spent = sum(autoenhance.ledger()["credits"]["by_image"].values())
    assert about["ti"].xcom["summary"]["credits"] == spent == 1


@pytest.mark.parametrize("options", [[{}, {}], [{"dusk": "000.jpg"}, {"dusk": "001.jpg"}]], ids=["nothing", "dusk"])
def test_mapped_tasks_that_share_their_books_work_one_after_the_other(
    s3: SimpleNamespace, autoenhance: Sandbox, elsewhere: Begin, options: list[dict[str, Any]], caplog: Any
) -> None:
    """They differ in what is no part of their identity, or not at all."""
    other = elsewhere(2, renew=0.2, map_index=1, **options[1])
    time.sleep(0.5)  # it renews its lease
    waits = "another mapped task of nightly/enhance elsewhere works on the same folder"

    def go_on_once_the_other_waits() -> None:
        for _ in range(600):
            if waits in caplog.text:
                break
            time.sleep(0.1)
        other.go_on.set()

    threading.Thread(target=go_on_once_the_other_waits).start()
    here = operator(**options[0])
    summary = run(here, run_id="elsewhere", map_index=0)
    other.end()
    assert other.error is None, "nobody has taken its place"
    assert waits in caplog.text
    assert (other.summary["failed"], summary["failed"]) == (0, 0)
    edits = 2 if "dusk" in options[0] else 0
    assert len(outputs(s3)) == 2 + edits
    assert sum(autoenhance.ledger()["credits"]["by_image"].values()) == 2 + edits
    assert leases(s3) == []


def test_mapped_tasks_that_share_their_books_and_begin_at_one_moment(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 4)
    summaries: list[Any] = []
    begin = threading.Barrier(3)

    def work(map_index: int) -> None:
        begin.wait(60)
        summaries.append(run(operator(), run_id="night-1", map_index=map_index))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert [each["failed"] for each in summaries] == [0, 0, 0]
    assert autoenhance.ledger()["images_created"] == 4
    assert autoenhance.ledger()["credits"]["spent"] == 4
    assert leases(s3) == []


def test_a_try_whose_successor_has_begun_says_so(autoenhance: Sandbox, elsewhere: Begin) -> None:
    other = elsewhere(renew=60.0)
    (held,) = other.claims
    successor = lease.Lease(held._lease.uri, None)
    assert successor.begin()
    held._lease._renewed -= 3600
    other.end()
    successor.end()
    assert "another try of this task has begun" in str(other.error)
