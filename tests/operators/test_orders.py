"""The order and bracket operators, as a worker runs them: on good days, on retries, and on bad input."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.coerce import groups
from airflow_provider_autoenhance.api.models import ImageStatus
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.brackets import (
    AutoenhanceCreateBracketOperator,
    AutoenhanceUploadBracketOperator,
)
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.operators.orders import (
    AutoenhanceCreateOrderOperator,
    AutoenhanceDeleteOrderOperator,
    AutoenhanceDownloadOrderOperator,
    AutoenhanceProcessOrderOperator,
    AutoenhanceUpdateOrderOperator,
)
from airflow_provider_autoenhance.pipeline.remote import images as remote_images
from airflow_provider_autoenhance.pipeline.remote import process as remote_process
from airflow_provider_autoenhance.triggers import orders as order_triggers
from tests.support.photos import photo, upload
from tests.support.pictures import bracket as shots
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run

pytestmark = pytest.mark.usefixtures("short_waits")

FOLDER = "s3://listings/maple/"


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_process, "ARRIVAL_POLLS", (0.0, 0.01, 0.02))
    monkeypatch.setattr(remote_images, "LOST_ORDER_POLLS", (0.0, 0.01))


def create_order(name: str | None = "12 Maple Street", **options: Any) -> dict[str, Any]:
    about = {key: options.pop(key) for key in ("map_index", "try_number", "run_id") if key in options}
    result: dict[str, Any] = run(AutoenhanceCreateOrderOperator(task_id="order", name=name, **options), **about)
    return result


def create_bracket(order_id: str, name: str, **options: Any) -> dict[str, Any]:
    about = {key: options.pop(key) for key in ("map_index", "try_number") if key in options}
    operator = AutoenhanceCreateBracketOperator(task_id="bracket", bracket_name=name, order_id=order_id, **options)
    result: dict[str, Any] = run(operator, **about)
    return result


def upload_bracket(created: dict[str, Any], source: str) -> str:
    result: str = run(AutoenhanceUploadBracketOperator(task_id="upload", source=source, **created))["bracket_id"]
    return result


def process(order_id: str, *, try_number: int = 1, **options: Any) -> dict[str, Any]:
    options = {"poll_interval": 0.05, "timeout": 20, **options}
    operator = AutoenhanceProcessOrderOperator(task_id="process", order_id=order_id, **options)
    result: dict[str, Any] = run(operator, try_number=try_number)
    return result


def process_calls(sandbox: Sandbox) -> int:
    return sum(number for call, number in sandbox.ledger()["requests"].items() if call.endswith("/process"))


@pytest.fixture
def scenes(autoenhance: Sandbox, s3: SimpleNamespace) -> tuple[str, list[list[str]]]:
    """An order with two scenes of three uploaded exposures each, and their bracket ids."""
    order_id = create_order()["order_id"]
    return order_id, [add_scene(s3, order_id, scene) for scene in range(2)]


def add_scene(s3: SimpleNamespace, order_id: str, scene: int) -> list[str]:
    made = []
    for number, shot in enumerate(shots(second=10 + 20 * scene, seed=scene + 1)):
        name = f"maple/{scene}-{number}.jpg"
        s3.put(name, shot)
        source = f"s3://listings/{name}"
        made.append(upload_bracket(create_bracket(order_id, name, source=source), source))
    return made


# Orders


def test_an_order_is_made_once_however_often_its_task_runs(autoenhance: Sandbox) -> None:
    first, second, of_another_run = (
        create_order(),
        create_order(try_number=2, map_index=7),
        create_order(run_id="later"),
    )
    assert first == second == {"order_id": first["order_id"], "name": "12 Maple Street", "status": "waiting"}
    assert of_another_run["order_id"] != first["order_id"] != create_order("14 Maple Street")["order_id"]
    assert create_order(None)["name"] == "nightly manual__1"


def test_an_order_whose_creation_lost_its_answer_is_adopted(autoenhance: Sandbox) -> None:
    autoenhance.faults([{"endpoint": "create_order", "kind": "500", "phase": "after", "count": 1}])
    assert create_order(order_id="mine")["order_id"] == "mine"
    assert [order.order_id for order in AutoenhanceHook().list_orders()] == ["mine"]


def test_an_id_that_nobody_can_read_is_refused_with_a_way_out(autoenhance: Sandbox) -> None:
    autoenhance.settings(reuse_deleted_ids=False)
    create_order(order_id="gone")
    AutoenhanceHook().delete_order("gone")
    with pytest.raises(AirflowFailException, match="ConflictError: order gone: the id is taken.*another order_id"):
        create_order(order_id="gone")


def test_an_order_is_renamed_and_deleted(autoenhance: Sandbox) -> None:
    order_id = create_order()["order_id"]
    renamed = run(AutoenhanceUpdateOrderOperator(task_id="rename", order_id=order_id, name="12 Maple St"))
    assert renamed["name"] == AutoenhanceHook().get_order(order_id).name == "12 Maple St"
    for _ in range(2):
        assert run(AutoenhanceDeleteOrderOperator(task_id="delete", order_id=order_id)) == {"order_id": order_id}
    with pytest.raises(AirflowFailException, match=f"NotFoundError.*{order_id}"):
        run(AutoenhanceUpdateOrderOperator(task_id="rename", order_id=order_id, name="too late"))


@pytest.mark.parametrize(
    ("operator", "options"),
    [
        (AutoenhanceDeleteOrderOperator, {}),
        (AutoenhanceProcessOrderOperator, {}),
        (AutoenhanceUpdateOrderOperator, {"name": "n"}),
        (AutoenhanceDownloadOrderOperator, {"destination": "s3://enhanced/"}),
        (AutoenhanceCreateBracketOperator, {"bracket_name": "n"}),
    ],
)
def test_an_order_id_that_rendered_to_nothing_never_reaches_the_api(
    autoenhance: Sandbox, operator: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(AirflowFailException, match="order_id is empty"):
        run(operator(task_id="t", order_id="None", **options))
    assert autoenhance.ledger()["requests"] == {}


# Brackets: create and upload


def test_brackets_go_up_once_however_often_the_tasks_run(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    order_id = create_order()["order_id"]
    assert add_scene(s3, order_id, 0) == add_scene(s3, order_id, 0)
    ledger = autoenhance.ledger()
    assert (ledger["brackets_created"], ledger["uploads_received"]) == (3, 3)
    assert len(AutoenhanceHook().list_brackets(order_id)) == 3


def test_a_bracket_that_never_got_its_bytes_is_made_again(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/a.jpg", shots()[0])
    order_id = create_order()["order_id"]
    lost = create_bracket(order_id, "maple/a.jpg")
    again = create_bracket(order_id, "maple/a.jpg", try_number=2)
    assert again["bracket_id"] != lost["bracket_id"]
    assert upload_bracket(again, FOLDER + "a.jpg") == again["bracket_id"]
    assert [each.bracket_id for each in AutoenhanceHook().list_brackets(order_id)] == [again["bracket_id"]]
    adopted = create_bracket(order_id, "maple/a.jpg", try_number=3)
    assert adopted == {"bracket_id": again["bracket_id"], "order_id": order_id, "upload_url": ""}
    assert upload_bracket(adopted, FOLDER + "a.jpg") == again["bracket_id"]


def test_an_expired_upload_url_makes_the_bracket_again(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/a.jpg", shots()[0])
    order_id = create_order()["order_id"]
    created = create_bracket(order_id, "maple/a.jpg", metadata={"room": "kitchen"})
    autoenhance.settings(clock_offset_seconds=7200)
    holds = upload_bracket(created, FOLDER + "a.jpg")
    assert holds != created["bracket_id"]
    (only,) = AutoenhanceHook().list_brackets(order_id)
    assert (only.bracket_id, only.is_uploaded, only.metadata["room"]) == (holds, True, "kitchen")


def test_two_mapped_tasks_never_share_a_bracket(autoenhance: Sandbox) -> None:
    order_id = create_order()["order_id"]
    create_bracket(order_id, "a.jpg", map_index=0)
    with pytest.raises(AirflowFailException, match=r"exposure 'a.jpg'.*another mapped task.*pass 'source'"):
        create_bracket(order_id, "a.jpg", map_index=1)
    ids = {create_bracket(order_id, "b.jpg", map_index=n, source=f"s3://x/{n}/b.jpg")["bracket_id"] for n in (0, 1)}
    assert len(ids) == 2


def test_tickets_of_images_and_brackets_are_not_mixed_up(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/a.jpg", shots()[0])
    order_id = create_order()["order_id"]
    of_bracket = create_bracket(order_id, "a.jpg")
    of_image = run(AutoenhanceCreateImageOperator(task_id="image", image_name="b.jpg", order_id=order_id))
    with pytest.raises(AirflowFailException, match=r"ticket is for exposure 'a.jpg'.*AutoenhanceUploadBracketOperator"):
        run(
            AutoenhanceUploadImageOperator(
                task_id="u",
                image_id=of_bracket["bracket_id"],
                upload_url=of_bracket["upload_url"],
                source=FOLDER + "a.jpg",
            )
        )
    with pytest.raises(AirflowFailException, match=r"ticket is for image 'b.jpg'.*AutoenhanceUploadImageOperator"):
        upload_bracket(of_bracket | {"upload_url": of_image["upload_url"]}, FOLDER + "a.jpg")
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["brackets_created"], ledger["uploads_received"]) == (1, 1, 0)


def test_a_bracket_hands_on_no_presigned_url(autoenhance: Sandbox) -> None:
    created = create_bracket(create_order()["order_id"], "a.jpg")
    assert set(created) == {"bracket_id", "order_id", "upload_url"}
    assert "http" not in json.dumps(created)


def test_a_bracket_of_an_order_that_is_not_there_fails_at_once(autoenhance: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="NotFoundError.*no-such-order"):
        create_bracket("no-such-order", "a.jpg")


# Processing


@pytest.mark.parametrize("mode", ["groups", "number", "automatic"])
def test_an_order_is_processed_in_each_mode(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]], mode: str
) -> None:
    order_id, groups = scenes
    options = {"groups": {"groups": groups}, "number": {"number_of_brackets_per_image": "3"}, "automatic": {}}[mode]
    result = process(order_id, settings={"enhance_type": "warm"}, **options)
    assert result["processed"] == 2
    assert len(result["image_ids"]) == 2
    assert (result["images"], result["failed"], result["failures"]) == (2, 0, [])
    ledger = autoenhance.ledger()
    assert {image["settings"]["enhance_type"] for image in ledger["images"]} == {"warm"}
    merged = {each.image_id: [] for each in AutoenhanceHook().list_brackets(order_id)}
    for each in AutoenhanceHook().list_brackets(order_id):
        merged[each.image_id].append(each.bracket_id)
    assert sorted(map(sorted, merged.values())) == sorted(map(sorted, groups))


def test_groups_of_other_sizes_merge_as_told(autoenhance: Sandbox, scenes: tuple[str, list[list[str]]]) -> None:
    order_id, (first, second) = scenes
    result = process(order_id, groups=json.dumps([first[:2], [first[2]], second]))
    assert result["processed"] == 3


def test_a_second_try_waits_for_what_the_first_one_started(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]]
) -> None:
    order_id, groups = scenes
    autoenhance.settings(merging_seconds=(0.3, 0.3))
    process(order_id, groups=groups, wait_for_completion=False)
    first = process(order_id, groups=groups, try_number=2)
    assert process(order_id, groups=groups, try_number=3) == first
    assert process_calls(autoenhance) == 1
    assert len(autoenhance.ledger()["images"]) == 2


@pytest.mark.parametrize("kind", ["500", "503", "reset", "timeout"])
def test_a_process_call_whose_answer_got_lost_is_not_sent_again(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"conn_type": "autoenhance", "host": autoenhance.url, "password": autoenhance.api_key}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(fields | {"extra": {"timeout_seconds": 1}}))
    order_id, groups = scenes
    autoenhance.faults([{"endpoint": "process_order", "kind": kind, "phase": "after", "count": 1}])
    assert process(order_id, groups=groups)["processed"] == 2
    assert process_calls(autoenhance) == 1


def test_a_process_call_that_did_nothing_is_made_again(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]]
) -> None:
    order_id, groups = scenes
    autoenhance.faults([{"endpoint": "process_order", "kind": "503", "phase": "before", "count": 3}])
    with pytest.raises(errors.ServerError):
        process(order_id, groups=groups)
    autoenhance.faults([{"endpoint": "process_order", "kind": "503", "phase": "before", "count": 1}])
    assert process(order_id, groups=groups, try_number=2)["processed"] == 2
    assert process_calls(autoenhance) == 5


def test_an_exposure_whose_creation_lost_its_answer_is_looked_for(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/a.jpg", shots()[0])
    order_id = create_order()["order_id"]
    autoenhance.faults([{"endpoint": "v3_brackets_post", "kind": "500", "phase": "after", "count": 2}])
    created = create_bracket(order_id, "maple/a.jpg")
    assert upload_bracket(created, FOLDER + "a.jpg") == created["bracket_id"]
    (only,) = AutoenhanceHook().list_brackets(order_id)
    assert (only.bracket_id, only.is_uploaded) == (created["bracket_id"], True)


def test_an_order_whose_images_were_deleted_is_not_processed_again(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]]
) -> None:
    order_id, groups = scenes
    for image_id in process(order_id, groups=groups)["image_ids"]:
        AutoenhanceHook().delete_image(image_id)
    with pytest.raises(AirflowFailException, match="no longer lists 2 of 2 images"):
        process(order_id, groups=groups, try_number=2)
    assert process_calls(autoenhance) == 1


def test_brackets_without_bytes_are_named_before_anything_starts(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]]
) -> None:
    order_id, groups = scenes
    missing = create_bracket(order_id, "maple/hall.jpg")["bracket_id"]
    for options in ({}, {"number_of_brackets_per_image": 3}, {"groups": [*groups, [missing]]}):
        with pytest.raises(AirflowFailException, match="exposure 'maple/hall.jpg' never got their bytes"):
            process(order_id, **options)
    assert process_calls(autoenhance) == 0
    assert process(order_id, groups=groups)["processed"] == 2


def test_an_upload_that_is_noted_late_is_waited_for(
    autoenhance: Sandbox, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_process, "ARRIVAL_POLLS", (0.2,) * 20)
    autoenhance.settings(upload_flag_lag_seconds=0.5)
    order_id = create_order()["order_id"]
    made = add_scene(s3, order_id, 0)
    assert process(order_id, groups=[made])["processed"] == 1


def test_brackets_that_come_after_processing_are_not_forgotten_in_silence(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]], s3: SimpleNamespace
) -> None:
    order_id, groups = scenes
    process(order_id, groups=groups)
    add_scene(s3, order_id, 2)
    with pytest.raises(
        AirflowFailException, match=r"processed before exposures 'maple/2-0.jpg'.*an order of their own"
    ):
        process(order_id, try_number=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number_of_brackets_per_image": 1}, "takes 2 to 9, not 1"),
        ({"number_of_brackets_per_image": 10}, "takes 2 to 9, not 10"),
        ({"number_of_brackets_per_image": "many"}, "takes a whole number"),
        ({"groups": [["a"]], "number_of_brackets_per_image": 3}, "not both"),
        ({"groups": []}, "groups is empty"),
        ({"groups": [["a"], ["a", "b"]]}, "exposure a is in more than one group"),
        ({"groups": [["a", "a"]]}, "exposure a is in more than one group"),
        ({"groups": [[str(n) for n in range(10)]]}, "group 1 has 10 exposures"),
        ({"groups": ["a", "b"]}, "groups takes a list of bracket ids for each image"),
        ({"groups": "a, b"}, "groups takes a list of bracket ids for each image"),
        ({"groups": {"a": "b"}}, "groups takes a list of bracket ids for each image"),
        ({"settings": {"rating": 3}}, "rating"),
    ],
)
def test_bad_groups_and_settings_are_refused_before_anything_is_sent(
    autoenhance: Sandbox, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        process("some-order", **options)
    assert autoenhance.ledger()["requests"] == {}


def test_groups_may_be_json_or_whatever_xcom_makes_of_a_list() -> None:
    assert groups("Task", "groups", '[["a", "b"]]') == groups("Task", "groups", (("a", "b"),)) == [["a", "b"]]
    assert groups("Task", "groups", "None") is groups("Task", "groups", "") is groups("Task", "groups", None) is None


def test_unknown_brackets_and_an_order_without_any_are_refused(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]]
) -> None:
    order_id, _ = scenes
    with pytest.raises(AirflowFailException, match="has no exposure no-such"):
        process(order_id, groups=[["no-such"]])
    with pytest.raises(AirflowFailException, match="has no exposures"):
        process(create_order("empty")["order_id"])
    assert process_calls(autoenhance) == 0


def test_what_the_groups_leave_out_is_left_out_on_every_try(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]]
) -> None:
    order_id, (first, second) = scenes
    once = process(order_id, groups=[first])
    assert once["processed"] == 1
    assert process(order_id, groups=[first], try_number=2) == once
    with pytest.raises(AirflowFailException, match="processed before exposures 'maple/1-0.jpg'"):
        process(order_id, groups=[first, second])


def test_failed_images_are_named_and_fail_the_task_only_together(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]], s3: SimpleNamespace
) -> None:
    autoenhance.settings(fail_images={"maple/1-*": "too dark, see https://x.test/?sig=1"})
    order_id, groups = scenes
    result = process(order_id, groups=groups)
    assert (result["images"], result["processed"], result["failed"]) == (2, 1, 1)
    assert result["failures"] == [{"photo": "maple/1-0.jpg", "reason": "too dark, see https://x.test/"}]
    autoenhance.settings(fail_images={"*": "too dark"})
    alone = create_order("alone")["order_id"]
    made = add_scene(s3, alone, 3)
    with pytest.raises(AirflowFailException, match="none of its images could be enhanced.*too dark"):
        process(alone, groups=[made])


def test_processing_waits_in_the_triggerer(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_triggers, "EARLIEST_EVENT_SECONDS", 0.0)
    order_id, groups = scenes
    operator = AutoenhanceProcessOrderOperator(
        task_id="process", order_id=order_id, groups=groups, deferrable=True, poll_interval=0.05
    )
    with pytest.raises(TaskDeferred) as deferred:
        run(operator)

    async def wait() -> list[Any]:
        return [event.payload async for event in deferred.value.trigger.run()]

    (event,) = asyncio.run(asyncio.wait_for(wait(), 30))
    result = operator.execute_complete(context(operator), event)
    assert result["processed"] == 2
    assert set(json.loads(json.dumps(deferred.value.trigger.serialize()[1]["orders"]))) == {order_id}
    with pytest.raises(AirflowFailException, match="NotFoundError: gone"):
        operator.execute_complete(context(operator), {"error": "NotFoundError", "message": "gone"})


def test_what_is_finished_already_is_not_deferred(autoenhance: Sandbox, scenes: tuple[str, list[list[str]]]) -> None:
    order_id, groups = scenes
    first = process(order_id, groups=groups)
    assert process(order_id, groups=groups, deferrable=True) == first


def test_a_wait_that_takes_too_long_says_what_is_left(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]]
) -> None:
    autoenhance.settings(merging_seconds=(30, 30))
    order_id, groups = scenes
    with pytest.raises(AirflowSensorTimeout, match="0 of 2 images finished past the deadline"):
        process(order_id, groups=groups, timeout=0.2)


# Downloading


def test_an_order_lands_in_a_folder_and_again_for_free(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]], s3: SimpleNamespace
) -> None:
    order_id, groups = scenes
    process(order_id, groups=groups)
    options: dict[str, Any] = {"order_id": order_id, "destination": "s3://enhanced/maple", "preview": "false"}
    first, again = (run(AutoenhanceDownloadOrderOperator(task_id="d", **options)) for _ in range(2))
    assert (first["landed"], first["credits"], again["credits"]) == (2, 2, 0)
    assert s3.keys() == ["maple/maple/0-0.jpg", "maple/maple/1-0.jpg"]
    assert first["bytes"] == sum(len(s3.get(key)) for key in s3.keys())
    assert autoenhance.ledger()["credits"]["spent"] == 2


def test_images_of_one_name_and_names_that_climb_land_beside_each_other(
    autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    s3.put("maple/a.jpg", shots()[0])
    order_id = create_order()["order_id"]
    for number, name in enumerate(("same.jpg", "same.jpg", "../../up.jpg")):
        source = f"{FOLDER}a.jpg"
        made = run(
            AutoenhanceCreateImageOperator(
                task_id=f"c{number}", image_name=name, order_id=order_id, source=f"{source}#{number}"
            )
        )
        ticket = {key: made[key] for key in ("image_id", "upload_url")}
        run(AutoenhanceUploadImageOperator(task_id="u", source=source, **ticket))
    until_finished(order_id)
    run(AutoenhanceDownloadOrderOperator(task_id="d", order_id=order_id, destination="s3://enhanced/maple/"))
    keys = s3.keys()
    assert len(keys) == 3
    assert "maple/up.jpg" in keys
    assert all(key.startswith("maple/") for key in keys)


def test_one_download_that_fails_holds_up_no_other_and_fails_the_task(
    autoenhance: Sandbox, scenes: tuple[str, list[list[str]]], s3: SimpleNamespace
) -> None:
    order_id, groups = scenes
    process(order_id, groups=groups)
    autoenhance.settings(credits=1)
    operator = AutoenhanceDownloadOrderOperator(
        task_id="d", order_id=order_id, destination="s3://enhanced/maple/", preview=False, concurrency=1
    )
    with pytest.raises(AirflowFailException, match=r"NoCreditsError.*1 of 2 downloads failed \('maple/[01]-0.jpg'\)"):
        run(operator)
    assert len(s3.keys()) == 1
    autoenhance.settings(credits=5)
    assert run(operator)["credits"] == 1


def test_what_is_still_enhanced_fails_the_task_and_what_was_never_uploaded_is_named(
    autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    hook = AutoenhanceHook()
    hook.create_order(order_id="mixed", name="12 Maple Street")
    for name, seconds in (("ready", 0.0), ("slow", 60.0)):
        autoenhance.settings(processing_seconds=[seconds, seconds])
        upload(hook, hook.create_image(f"maple/{name}.jpg", order_id="mixed"), photo())
    while not any(image.status is ImageStatus.PROCESSED for image in hook.get_order("mixed").images):
        time.sleep(0.02)
    hook.create_image("maple/never.jpg", order_id="mixed")
    operator = AutoenhanceDownloadOrderOperator(
        task_id="d", order_id="mixed", destination="s3://enhanced/maple/", preview=False
    )
    with pytest.raises(
        AirflowFailException, match="1 of 2 downloads failed .*slow.jpg.* cost 1 credit.*still being enhanced"
    ):
        run(operator)
    assert [key for key in s3.keys() if key.endswith(".jpg")] == ["maple/maple/ready.jpg"]
    hook.delete_image(next(each.image_id for each in hook.get_order("mixed").images if "slow" in each.image_name))
    done = run(operator)
    assert (done["images"], done["landed"], done["failed"]) == (2, 1, 1)
    assert done["failures"] == [{"photo": "maple/never.jpg", "reason": "it waits for its upload"}]


def until_finished(order_id: str) -> None:
    for _ in range(200):
        if AutoenhanceHook().get_order(order_id).finished:
            return
        time.sleep(0.05)
    raise AssertionError(f"order {order_id} never finished")
