"""Premium edits as tasks: one child for each image, whatever dies, and whoever else asks."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.base import ArgumentError
from airflow_provider_autoenhance.operators.images import AutoenhanceDownloadImageOperator
from airflow_provider_autoenhance.operators.premium import AutoenhancePremiumEditOperator
from airflow_provider_autoenhance.pipeline.remote import edits
from airflow_provider_autoenhance.pipeline.remote.identity import edit_claim_id
from tests.crash.effects import Effects
from tests.crash.nights import Killed
from tests.support.batch import enhance_to, event_of, fill, outputs
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run

DUSK = {"restage": {"environment": "DUSK"}}

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, short_waits: None) -> None:
    monkeypatch.setattr(edits, "APPEARANCE_POLLS", (0.0, 0.05))
    monkeypatch.setattr(edits, "WATCH_SECONDS", 0.05)


@pytest.fixture
def days(autoenhance: Sandbox) -> Callable[[int], list[str]]:
    """Return a function that makes enhanced images, all in one order."""

    def make(number: int) -> list[str]:
        hook = AutoenhanceHook()
        made = [
            hook.create_image(
                f"maple/{each}.jpg", order_id="maple", metadata={"listing": "maple", "fingerprint": str(each)}
            )
            for each in range(number)
        ]
        for each in made:
            upload(hook, each, photo())
        while not hook.get_order("maple").finished:
            pass
        return [each.image.image_id for each in made]

    return make


def dusk(image_ids: Any = None, *, run_id: str = "night-1", try_number: int = 1, **options: Any) -> dict[str, Any]:
    """Run the task as a worker would, through its deferrals."""
    about = {"task_id": "dusk", "image_ids": image_ids, "poll_interval": 0.05, "timeout": 30} | options
    where = {"run_id": run_id, "try_number": try_number}
    task = AutoenhancePremiumEditOperator(**about)
    go: Callable[[], dict[str, Any]] = lambda: run(task, **where)  # noqa: E731
    while True:
        try:
            return go()
        except TaskDeferred as deferral:
            payload = json.loads(json.dumps(asyncio.run(event_of(deferral.trigger))))
            kwargs = json.loads(json.dumps(deferral.kwargs))
            again = AutoenhancePremiumEditOperator(**about)
            go = lambda again=again, kwargs=kwargs, payload=payload: again.execute_complete(  # type: ignore[misc] # noqa: E731
                context(again, **where), payload, **kwargs
            )


def children(sandbox: Sandbox) -> dict[str, list[str]]:
    """Return the live edits of each image that has some."""
    found: dict[str, list[str]] = {}
    for image in sandbox.ledger()["images"]:
        if image["parent_image_id"] and not image["deleted"]:
            found.setdefault(image["parent_image_id"], []).append(image["image_id"])
    return found


def claims(sandbox: Sandbox) -> list[str]:
    return [
        order["name"] for order in sandbox.ledger()["orders"] if order["order_id"] != "maple" and not order["deleted"]
    ]


def check(sandbox: Sandbox, parents: list[str]) -> None:
    """Each image has one edit, which was asked for once, and nothing else is left."""
    made = children(sandbox)
    assert {parent: len(ids) for parent, ids in made.items()} == dict.fromkeys(parents, 1)
    assert sandbox.ledger()["images_created"] == 2 * len(parents)
    assert claims(sandbox) == []


# The good day, and all of it again


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_one_image_has_one_edit_however_often_it_is_asked_for(
    autoenhance: Sandbox, days: Callable[[int], list[str]], deferrable: bool
) -> None:
    (parent,) = days(1)
    before = AutoenhanceHook().get_image(parent).raw
    autoenhance.settings(processing_seconds=[0.2, 0.2])
    made = [dusk(parent, run_id=run_id, deferrable=deferrable) for run_id in ("night-1", "night-1", "night-2")]
    assert made[0] == made[1] == made[2]
    result = made[0]
    assert (result["images"], result["processed"], result["failed"], result["failures"]) == (1, 1, 0, [])
    assert (result["parent_image_ids"], result["parent_image_id"]) == ([parent], parent)
    assert (result["image_ids"], result["restage"]["environment"]) == ([result["image_id"]], "DUSK")
    assert result["status"] == "processed"
    assert AutoenhanceHook().get_image(parent).raw == before, "the original stays as it is"
    check(autoenhance, [parent])
    assert autoenhance.ledger()["requests"]["PUT /v3/images/{id}"] == 1


def test_the_edit_costs_a_credit_when_it_is_downloaded(
    autoenhance: Sandbox, days: Callable[[int], list[str]], tmp_path: Any
) -> None:
    (parent,) = days(1)
    for _ in range(2):
        child = dusk(parent)["image_id"]
        assert autoenhance.ledger()["credits"]["spent"] in (0, 1)
        run(
            AutoenhanceDownloadImageOperator(
                task_id="download", image_id=child, destination=str(tmp_path / "dusk.jpg"), preview=False
            )
        )
    assert autoenhance.ledger()["credits"]["by_image"] == {child: 1}


def test_images_come_as_ids_as_results_and_by_order(autoenhance: Sandbox, days: Callable[[int], list[str]]) -> None:
    first, second, third = days(3)
    assert dusk([first, {"image_id": second}, f'["{second}"]', first])["parent_image_ids"] == [first, second]
    assert dusk(json.dumps({"image_ids": [second]}))["images"] == 1
    result = dusk(order_id="maple")
    assert result["parent_image_ids"] == [first, second, third]
    assert "image_id" not in result
    assert dusk(order_id="maple")["image_ids"] == result["image_ids"], "an edit is not edited again"
    assert dusk([])["images"] == 0
    check(autoenhance, [first, second, third])


def test_an_original_that_is_under_way_is_waited_for(autoenhance: Sandbox) -> None:
    autoenhance.settings(processing_seconds=[0.3, 0.3])
    hook = AutoenhanceHook()
    for name, deferrable in (("a.jpg", False), ("b.jpg", True)):
        created = hook.create_image(name, order_id="maple")
        upload(hook, created, photo())
        assert dusk(created.image.image_id, deferrable=deferrable)["processed"] == 1


def test_a_task_may_leave_the_wait_to_others(autoenhance: Sandbox, days: Callable[[int], list[str]]) -> None:
    (parent,) = days(1)
    autoenhance.settings(processing_seconds=[30, 30])
    result = dusk(parent, wait_for_completion=False)
    assert (result["processed"], result["status"]) == (0, "processing")
    with pytest.raises(AirflowSensorTimeout, match="past the deadline"):
        dusk(parent, timeout=0.1)
    check(autoenhance, [parent])


# Once


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"child_order": "own", "child_metadata": "none"}, {"edit_answers": "parent", "reuse_deleted_ids": False}],
    ids=["likeliest", "apart", "parent-answered"],
)
def test_killed_anywhere(
    autoenhance: Sandbox, days: Callable[[int], list[str]], before: bool, settings: dict[str, Any]
) -> None:
    def die() -> None:
        raise Killed

    effects = Effects(die)
    with effects.watching():
        for last in range(1, 60):
            effects.arm(0, before=False)
            autoenhance.reset(**settings)
            parents = days(2)
            effects.arm(last, before=before)
            try:
                dusk(parents)
            except Killed:
                killed = True
            else:
                killed = False
            effects.arm(0, before=False)
            dusk(parents, try_number=2)
            assert dusk(parents, run_id="night-2")["processed"] == 2
            made = children(autoenhance)
            assert [len(made[parent]) for parent in parents] == [1, 1], f"killed at effect {last}"
            assert autoenhance.ledger()["images_created"] == 4, f"killed at effect {last}"
            if not killed:
                assert last > 10, f"only {last} effects were seen"
                return
    raise AssertionError("it never ended")


@pytest.mark.parametrize("settings", [{}, {"child_order": "own"}], ids=["in-the-parent-s-order", "in-its-own"])
@pytest.mark.parametrize("kind", ["500", "reset", "timeout"])
def test_a_lost_answer_is_looked_for(
    autoenhance: Sandbox,
    days: Callable[[int], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    settings: dict[str, Any],
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"])
    connection["extra"] = {"timeout_seconds": 1}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
    (parent,) = days(1)
    autoenhance.settings(**settings)
    autoenhance.faults([{"endpoint": "update_image", "phase": "after", "kind": kind, "count": 1}])
    assert dusk(parent)["processed"] == 1
    assert len(children(autoenhance)[parent]) == 1
    autoenhance.settings(second_edit="another")
    assert dusk(parent, run_id="night-2")["processed"] == 1
    assert len(children(autoenhance)[parent]) == 1


def test_runs_at_the_same_moment_have_one_made(autoenhance: Sandbox, days: Callable[[int], list[str]]) -> None:
    parents = days(3)
    autoenhance.settings(latency_ms=20)
    begin = threading.Barrier(4)

    def one(number: int) -> dict[str, Any]:
        begin.wait()
        return dusk(parents, run_id=f"night-{number}")

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(one, range(4)))
    assert all(result["image_ids"] == results[0]["image_ids"] for result in results)
    check(autoenhance, parents)


def test_another_run_s_claim_is_taken_over_when_that_is_dead(
    autoenhance: Sandbox, days: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (parent,) = days(1)

    def dies(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(AutoenhanceHook, "update_image", dies)
        dusk(parent, run_id="night-1")
    assert len(claims(autoenhance)) == 1
    monkeypatch.setattr(edits, "patience_of", lambda hook: 0.2)
    assert dusk(parent, run_id="night-2")["processed"] == 1
    check(autoenhance, [parent])


def test_who_has_held_a_claim_for_long_claims_again_before_it_asks(
    autoenhance: Sandbox, days: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = days(2)
    monkeypatch.setattr(edits, "HOLD_SECONDS", -1.0)
    assert dusk(first)["processed"] == 1
    look = edits.find_edit

    def goes_on(hook: AutoenhanceHook, parent: Any, edit: str) -> Any:
        if claims(autoenhance) and len(claims(autoenhance)) == 1:
            hook.create_order(order_id=edit_claim_id(parent.image_id, edit, 1), name="another run has gone on")
        return look(hook, parent, edit)

    with monkeypatch.context() as patch, pytest.raises(errors.FolderBusyError, match="gone on with DUSK"):
        patch.setattr(edits, "find_edit", goes_on)
        dusk(second)
    assert children(autoenhance).keys() == {first}, "nothing was asked for"
    monkeypatch.setattr(edits, "patience_of", lambda hook: 0.1)
    assert dusk(second, try_number=2)["processed"] == 1
    check(autoenhance, [first, second])


def test_what_a_person_had_made_is_used(autoenhance: Sandbox, days: Callable[[int], list[str]]) -> None:
    (parent,) = days(1)
    by_hand = AutoenhanceHook().update_image(parent, settings=DUSK).image_id
    AutoenhanceHook().update_image(by_hand, image_name="evening.jpg", metadata={"other": True})
    assert dusk(parent)["image_ids"] == [by_hand]
    check(autoenhance, [parent])


def test_of_several_the_paid_one_is_used(autoenhance: Sandbox, days: Callable[[int], list[str]]) -> None:
    (parent,) = days(1)
    hook = AutoenhanceHook()
    _, second = (hook.update_image(parent, settings=DUSK).image_id for _ in range(2))
    while not hook.get_image(second).status.final:
        pass
    hook.download_image(second, lambda download: download.read(), preview=False)
    assert dusk(parent)["image_ids"] == [second]


def test_one_that_failed_is_enhanced_again(autoenhance: Sandbox, days: Callable[[int], list[str]]) -> None:
    first, second = days(2)
    autoenhance.settings(fail_images={"*0.jpg": "No sky in sight"})
    result = dusk([first, second])
    assert (result["processed"], result["failed"], result["parent_image_ids"]) == (1, 1, [second])
    assert result["failures"][0]["photo"].startswith("image 'maple/0.jpg'")
    assert "No sky in sight" in result["failures"][0]["reason"]
    with pytest.raises(AirflowFailException, match="None of 1 image has a DUSK edit.*No sky in sight"):
        dusk(first)
    autoenhance.settings(fail_images={})
    assert dusk([first, second])["processed"] == 2
    check(autoenhance, [first, second])


def test_one_that_somebody_deleted_is_made_again(autoenhance: Sandbox, days: Callable[[int], list[str]]) -> None:
    (parent,) = days(1)
    autoenhance.settings(reuse_deleted_ids=False)
    first = dusk(parent)["image_id"]
    AutoenhanceHook().delete_image(first)
    second = dusk(parent)["image_id"]
    assert (second != first, children(autoenhance)) == (True, {parent: [second]})
    assert claims(autoenhance) == []


def test_one_that_was_made_elsewhere_and_deleted_is_made_again_at_once(
    autoenhance: Sandbox, days: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim stays, and names it: nobody holds that any more."""
    (parent,) = days(1)
    autoenhance.settings(reuse_deleted_ids=False, child_order="own")
    first = dusk(parent)["image_id"]
    AutoenhanceHook().delete_image(first)
    monkeypatch.setattr(edits, "patience_of", lambda hook: pytest.fail("it waits for a claim that nobody holds"))
    second = dusk(parent, run_id="night-2")["image_id"]
    assert (second != first, children(autoenhance)) == (True, {parent: [second]})
    assert dusk(parent, run_id="night-3")["image_id"] == second


def test_an_order_is_read_once_for_the_edits_that_are_there(
    autoenhance: Sandbox, days: Callable[[int], list[str]]
) -> None:
    parents = days(6)
    dusk(parents)
    before = autoenhance.ledger()["requests"]["GET /v3/orders/{id}"]
    order_id = AutoenhanceHook().get_image(parents[0]).order_id
    dusk(None, order_id=order_id, run_id="night-2")
    claims_looked_for = len(parents)
    assert autoenhance.ledger()["requests"]["GET /v3/orders/{id}"] - before <= claims_looked_for + 2


def test_no_edit_is_asked_for_past_the_deadline(autoenhance: Sandbox, days: Callable[[int], list[str]]) -> None:
    parents = days(3)
    with pytest.raises(AirflowSensorTimeout, match="DUSK has still to be made"):
        dusk(parents, timeout=0)
    assert children(autoenhance) == {}


# Bad input


def test_what_cannot_be_edited_is_refused(autoenhance: Sandbox, days: Callable[[int], list[str]]) -> None:
    (parent,) = days(1)
    child = dusk(parent)["image_id"]
    for given, words in (
        ({"image_ids": child}, "is a premium edit itself"),
        ({"image_ids": ["missing"]}, "None of 1 image"),
        ({"image_ids": "None"}, "both empty"),
        ({"image_ids": [{"order_id": "maple"}]}, "results with an image_id"),
        ({"image_ids": parent, "edit": "NIGHT"}, "DUSK"),
    ):
        with pytest.raises((AirflowFailException, ArgumentError), match=words):
            dusk(**given)
    with pytest.raises(ArgumentError, match="not both"):
        AutoenhancePremiumEditOperator(task_id="dusk", image_ids=parent, order_id="maple")
    check(autoenhance, [parent])


def test_an_account_without_premium_edits_leaves_nothing_behind(
    autoenhance: Sandbox, days: Callable[[int], list[str]]
) -> None:
    (parent,) = days(1)
    autoenhance.settings(premium_edits=False)
    with pytest.raises(AirflowFailException, match="enabled for an account on request"):
        dusk(parent)
    assert claims(autoenhance) == []
    autoenhance.settings(premium_edits=True)
    assert dusk(parent, run_id="night-2")["processed"] == 1


def test_a_version_that_shows_no_parents_is_refused(
    autoenhance: Sandbox, days: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (parent,) = days(1)
    connection = json.loads(os.environ["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"])
    connection["extra"] = {"api_version": "2025-05-05"}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
    with pytest.raises(AirflowFailException, match="known since API version 2025-08-31"):
        dusk(parent)
    assert autoenhance.ledger()["images_created"] == 1


# Beside everything else


def test_an_edit_is_never_taken_for_its_parent(autoenhance: Sandbox, s3: Any) -> None:
    """It has the parent's name and metadata, and may be paid where the parent is not."""
    fill(s3, 1)
    about = {"source": "s3://listings/maple/", "destination": "s3://enhanced/maple/", "durable": False, "preview": True}
    enhance_to(**about)
    (file,) = outputs(s3)
    day = s3.get(file)
    (image,) = autoenhance.ledger()["images"]
    child = dusk(image["image_id"])["image_id"]
    AutoenhanceHook().download_image(child, lambda download: download.read(), preview=False)
    s3.client.delete_object(Bucket="enhanced", Key=file)
    enhance_to(**about)
    assert s3.get(file) == day
    assert autoenhance.ledger()["images_created"] == 2
