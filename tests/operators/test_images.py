"""The single-image operators, as a worker runs them: on good days, on retries, and on bad input."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred
from jinja2 import Environment

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceDeleteImageOperator,
    AutoenhanceDownloadImageOperator,
    AutoenhanceReportImageOperator,
    AutoenhanceReprocessImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.sensors.status import AutoenhanceImageStatusSensor
from tests.support.batch import operator
from tests.support.photos import photo
from tests.support.photos import upload as put
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run

SOURCE = "s3://listings/maple/kitchen.jpg"


pytestmark = pytest.mark.usefixtures("short_waits")


def create(name: str = "maple/kitchen.jpg", **options: Any) -> dict[str, Any]:
    about = {key: options.pop(key) for key in ("map_index", "try_number", "run_id") if key in options}
    operator = AutoenhanceCreateImageOperator(task_id="create", image_name=name, **options)
    result: dict[str, Any] = run(operator, **about)
    return result


def upload(created: dict[str, Any], source: str = SOURCE, **options: Any) -> str:
    operator = AutoenhanceUploadImageOperator(
        task_id="upload", image_id=created["image_id"], upload_url=created["upload_url"], source=source, **options
    )
    result: str = run(operator)["image_id"]
    return result


def wait(image_id: str, **options: Any) -> dict[str, Any]:
    operator = AutoenhanceImageStatusSensor(
        task_id="wait", image_id=image_id, **{"poke_interval": 0.05, "timeout": 20, **options}
    )
    result: dict[str, Any] = run(operator)
    return result


def download(image_id: str, destination: str = "s3://enhanced/maple/kitchen.jpg", **options: Any) -> dict[str, Any]:
    operator = AutoenhanceDownloadImageOperator(
        task_id="download", image_id=image_id, destination=destination, **options
    )
    result: dict[str, Any] = run(operator)
    return result


def label(it: dict[str, Any]) -> str:
    """Render the map index's name as Airflow does after a task has run."""
    return Environment(autoescape=False).from_string(it["map_index_template"]).render(it)


# The good day, and all of it again


def test_a_photo_goes_through_and_a_second_run_of_every_task_changes_nothing(
    autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    s3.put("maple/kitchen.jpg", photo())
    landed = []
    for _ in range(2):
        image_id = wait(upload(create(settings={"enhance_type": "warm"})))["image_id"]
        landed.append(download(image_id, preview=False))
    assert landed[0]["credit_spent"] is True
    assert landed[1] == landed[0] | {"credit_spent": False}
    assert len(s3.get("maple/kitchen.jpg")) == landed[0]["size"]
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["uploads_received"], ledger["credits"]["spent"]) == (1, 1, 1)
    assert ledger["images"][0]["settings"]["enhance_type"] == "warm"
    assert ledger["orders"][0]["name"] == "nightly manual__1"


def test_results_are_pushed_key_by_key_for_mapped_groups(autoenhance: Sandbox) -> None:
    operator = AutoenhanceCreateImageOperator(task_id="create", image_name="a.jpg")
    it = context(operator)
    result = operator.execute(it)
    assert it["ti"].xcom == {name: value for name, value in result.items() if value is not None}
    assert label(it) == "a.jpg"
    assert set(result) > {"image_id", "order_id", "status", "upload_url", "enhance_type"}


def test_the_users_own_map_index_template_stays(autoenhance: Sandbox) -> None:
    operator = AutoenhanceCreateImageOperator(task_id="create", image_name="a.jpg")
    it = context(operator) | {"map_index_template": "mine"}
    operator.execute(it)
    assert label(it) == "mine"


def test_waiting_tasks_are_labelled_with_the_image_s_name(enhanced: str) -> None:
    sensor = AutoenhanceImageStatusSensor(task_id="wait", image_id=enhanced)
    it = context(sensor)
    sensor.execute(it)
    assert label(it) == "maple/kitchen.jpg"


def test_the_upload_url_is_handed_on_encrypted(autoenhance: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    created = create()
    assert "http" not in created["upload_url"]
    assert "Signature" not in json.dumps(created) + caplog.text
    assert autoenhance.api_key not in json.dumps(created) + caplog.text


# Create: retries adopt


def test_a_retry_replaces_an_image_whose_upload_url_is_lost(autoenhance: Sandbox) -> None:
    first, second = create(), create(try_number=2)
    assert first["image_id"] != second["image_id"]
    assert first["order_id"] == second["order_id"]
    assert autoenhance.ledger()["live_images"] == [second["image_id"]]


@pytest.mark.parametrize("kind", ["500", "reset"])
def test_a_creation_whose_answer_got_lost_is_looked_for_before_it_is_made_again(
    autoenhance: Sandbox, s3: SimpleNamespace, kind: str
) -> None:
    s3.put("maple/kitchen.jpg", photo())
    autoenhance.faults([{"endpoint": "create_image", "phase": "after", "kind": kind, "count": 2}])
    image_id = upload(create())
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["live_images"]) == (3, [image_id])


def test_a_creation_whose_answers_all_get_lost_is_left_to_the_next_try(autoenhance: Sandbox) -> None:
    autoenhance.faults([{"endpoint": "create_image", "phase": "after", "kind": "500", "count": 3}])
    with pytest.raises(errors.ServerError):
        create()
    create(try_number=2)
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["images_live"]) == (4, 1)


def test_of_two_images_of_one_creation_the_paid_one_is_gone_on_with(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    """As two tries leave behind, the first of which was taken for dead."""
    s3.put("maple/kitchen.jpg", photo())
    first = create()
    hook = AutoenhanceHook()
    metadata = hook.get_image(first["image_id"]).metadata
    second = hook.create_image("maple/kitchen.jpg", order_id=first["order_id"], metadata=metadata)
    put(hook, second, photo())
    upload(first)
    for image_id in (first["image_id"], second.image.image_id):
        wait(image_id)
    download(second.image.image_id, preview=False)
    again = create(try_number=2)
    assert again["image_id"] == upload(again) == second.image.image_id
    assert download(again["image_id"], preview=False)["credit_spent"] is False
    assert autoenhance.ledger()["credits"]["spent"] == 1


@pytest.mark.parametrize("left", [{"MIMEType": "image/jpeg"}, {}])
def test_an_image_whose_metadata_autoenhance_has_replaced_is_found_by_its_name(
    autoenhance: Sandbox, s3: SimpleNamespace, left: dict[str, Any]
) -> None:
    s3.put("maple/kitchen.jpg", photo())
    image_id = upload(create(source=SOURCE))
    AutoenhanceHook().process_image(image_id, settings={"extra": {"metadata": left}})
    assert create(source=SOURCE, try_number=2)["image_id"] == image_id
    create("maple/hall.jpg")
    assert autoenhance.ledger()["images_created"] == 2


def test_nothing_is_deleted_by_its_name_alone(autoenhance: Sandbox) -> None:
    stranger = (
        AutoenhanceHook().create_image("maple/kitchen.jpg", order_id="o1", metadata={"by": "hand"}).image.image_id
    )
    mine = create(order_id="o1")["image_id"]
    assert sorted(autoenhance.ledger()["live_images"]) == sorted([stranger, mine])


def test_a_photo_that_changes_before_its_upload_makes_its_image_again(
    autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    """So the fingerprint of an image always names the bytes that it has."""
    s3.put("maple/kitchen.jpg", photo())
    created = create(source=SOURCE)
    s3.put("maple/kitchen.jpg", photo(shade=90))
    image_id = upload(created)
    assert image_id != created["image_id"]
    assert create(source=SOURCE, try_number=2)["image_id"] == image_id
    assert autoenhance.ledger()["live_images"] == [image_id]


def test_a_photo_that_changes_after_its_upload_is_another_image(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/kitchen.jpg", photo())
    image_id = upload(create(source=SOURCE))
    s3.put("maple/kitchen.jpg", photo(shade=90))
    another = upload(create(source=SOURCE, try_number=2))
    assert sorted(autoenhance.ledger()["live_images"]) == sorted([image_id, another])


# Create: what a batch has made, and the other way round


def test_a_batch_leaves_alone_what_single_tasks_made_in_an_order_of_theirs(
    autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    """It would not be in the batch's record when the batch dies, and its tasks may enhance it again, or delete it."""
    s3.put("maple/kitchen.jpg", photo())
    image_id = upload(create(source=SOURCE))
    waiting = create("hall", source=SOURCE)["image_id"]
    assert run(operator(delete_on_kill=True), run_id="manual__1")["landed"] == 1
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["credits"]["by_image"].get(image_id, 0)) == (3, 0)
    assert {image_id, waiting} <= set(ledger["live_images"])


def test_tasks_of_one_run_share_no_image(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    """One may enhance it again, or delete it, while the other waits for it."""
    s3.put("maple/kitchen.jpg", photo())
    first = upload(create("a/kitchen.jpg", source=SOURCE))
    assert upload(create("b/kitchen.jpg", source=SOURCE)) != first


def test_an_image_that_somebody_else_made_is_not_taken_by_its_name(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/kitchen.jpg", photo())
    hook = AutoenhanceHook()
    made = hook.create_image("kitchen", order_id="mine", metadata={"crm": 5})
    hook.upload_photo(made.upload_url, photo(shade=90))
    assert create("kitchen", source=SOURCE, order_id="mine")["image_id"] != made.image.image_id
    assert made.image.image_id in autoenhance.ledger()["live_images"]


def test_a_single_task_goes_on_with_what_a_batch_has_made(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/kitchen.jpg", photo())
    (order_id,) = run(operator())["order_ids"]
    again = create("my name", source=SOURCE, order_id=order_id)
    assert (again["status"], again["upload_url"]) == ("processed", "")
    assert download(upload(again), preview=False)["credit_spent"] is False
    assert autoenhance.ledger()["images_created"] == 1
    for options in ({"metadata": {"room": "kitchen"}}, {"settings": {"enhance_type": "warm"}}, {"source": None}):
        create("my name", **{"source": SOURCE, "order_id": order_id, **options})
    s3.put("maple/kitchen.jpg", photo(shade=90))
    create("my name", source=SOURCE, order_id=order_id)
    assert autoenhance.ledger()["images_created"] == 5


def test_an_image_under_way_is_adopted(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    autoenhance.settings(processing_seconds=[30, 30])
    s3.put("maple/kitchen.jpg", photo())
    image_id = upload(create())
    again = create(try_number=2)
    assert (again["image_id"], again["status"], again["upload_url"]) == (image_id, "processing", "")
    assert upload(again) == image_id


def test_a_failed_image_is_made_anew_when_the_task_is_cleared(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    autoenhance.settings(fail_images={"*": "cannot decode"})
    s3.put("maple/kitchen.jpg", photo())
    image_id = upload(create())
    with pytest.raises(AirflowFailException, match="cannot decode"):
        wait(image_id)
    autoenhance.settings(fail_images={})
    again = create(try_number=2)
    assert again["image_id"] != image_id
    wait(upload(again))
    assert autoenhance.ledger()["images_live"] == 1


def test_other_runs_other_settings_and_other_sources_are_other_images(autoenhance: Sandbox) -> None:
    ids = [
        create()["image_id"],
        create(run_id="manual__2")["image_id"],
        create(settings={"enhance_type": "warm"})["image_id"],
        create(source="s3://listings/a")["image_id"],
        create(source="s3://listings/b")["image_id"],
        create(metadata={"room": "kitchen"})["image_id"],
        create(order_id="my-order")["image_id"],
    ]
    assert len(set(ids)) == 7
    assert autoenhance.ledger()["images_live"] == 7


def test_mapped_photos_of_one_name_are_kept_apart_or_refused(autoenhance: Sandbox) -> None:
    create("DSC1.jpg", map_index=0)
    with pytest.raises(AirflowFailException, match=r"'DSC1.jpg' of this run was already made .*\[0\].*pass 'source'"):
        create("DSC1.jpg", map_index=1)
    assert autoenhance.ledger()["images_created"] == 1
    first = create("DSC2.jpg", source="s3://listings/a/DSC2.jpg", map_index=2)
    second = create("DSC2.jpg", source="s3://listings/b/DSC2.jpg", map_index=3)
    assert first["image_id"] != second["image_id"]


def test_a_re_expanded_list_finds_its_images_by_source(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/kitchen.jpg", photo())
    image_id = upload(create(source=SOURCE, map_index=0))
    assert create(source=SOURCE, map_index=5)["image_id"] == image_id


def test_one_photo_twice_in_a_mapped_list_is_one_image(
    autoenhance: Sandbox, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("maple/kitchen.jpg", photo())
    tasks = 2
    met, make, send = threading.Barrier(tasks), AutoenhanceHook.create_image, AutoenhanceHook.upload
    waited = threading.local()

    def together(act: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*args: Any, **options: Any) -> Any:
            if not hasattr(waited, act.__name__):  # each has looked, and found nothing
                setattr(waited, act.__name__, True)
                met.wait(60)
            return act(*args, **options)

        return acting

    monkeypatch.setattr(AutoenhanceHook, "create_image", together(make))
    monkeypatch.setattr(AutoenhanceHook, "upload", together(send))

    def image(map_index: int) -> str:
        created = create(source=SOURCE, map_index=map_index)
        for tries_left in (2, 1, 0):  # as Airflow tries again
            try:
                return upload(created)
            except errors.AutoenhanceError as error:
                assert tries_left and error.retryable
        raise AssertionError("unreachable")

    with ThreadPoolExecutor(tasks) as pool:
        ids = set(pool.map(image, range(tasks)))
    live = [each for each in autoenhance.ledger()["images"] if not each["deleted"]]
    assert len(live) == 1
    assert live[0]["image_id"] in ids


def test_an_order_that_does_not_list_all_its_images_is_not_trusted(
    autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    create("a.jpg")
    read = AutoenhanceHook.get_order

    def cut(self: AutoenhanceHook, order_id: str) -> Any:
        order = read(self, order_id)
        return replace(order, images=(), raw={**order.raw, "total_images": 1})

    monkeypatch.setattr(AutoenhanceHook, "get_order", cut)
    with pytest.raises(AirflowFailException, match="lists 0 of its 1 images"):
        create("b.jpg")
    assert autoenhance.ledger()["images_created"] == 1


# Upload


def test_an_expired_upload_url_makes_the_image_again_with_its_settings(
    autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    s3.put("maple/kitchen.jpg", photo())
    created = create(settings={"enhance_type": "warm"}, metadata={"room": "kitchen"})
    autoenhance.settings(clock_offset_seconds=7200)
    image_id = upload(created)
    assert image_id != created["image_id"]
    assert upload(created) == image_id, "a retried upload finds the image that its first try made"
    image = next(each for each in autoenhance.ledger()["images"] if each["image_id"] == image_id)
    assert image["settings"]["enhance_type"] == "warm"
    assert image["metadata"]["room"] == "kitchen"
    assert autoenhance.ledger()["images_live"] == 1


def test_another_api_key_cannot_open_the_ticket(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/kitchen.jpg", photo())
    created = create()
    with pytest.raises(AirflowFailException, match="upload ticket cannot be opened"):
        upload(created | {"upload_url": "https://bucket/x?X-Amz-Signature=abc"})
    with pytest.raises(AirflowFailException, match="no upload ticket"):
        upload(created | {"upload_url": ""})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "kitchen.jpg is empty"),
        (b"hello, this is no picture at all", "not an image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), "is a JPEG XL file"),
        (b"GIF89a" + bytes(100), "damaged"),
        (photo()[:-40], "cut short"),
        (photo("PNG")[:-20], "cut short"),
        (None, "kitchen.jpg"),
    ],
)
def test_bad_photos_are_refused_and_nothing_is_sent(
    autoenhance: Sandbox, s3: SimpleNamespace, data: bytes | None, told: str
) -> None:
    if data is not None:
        s3.put("maple/kitchen.jpg", data)
    created = create()
    with pytest.raises(AirflowFailException, match=told) as caught:
        upload(created)
    assert "\n" not in str(caught.value)
    ledger = autoenhance.ledger()
    assert (ledger["uploads_received"], ledger["credits"]["spent"]) == (0, 0)
    s3.put("maple/kitchen.jpg", photo())
    assert upload(created) == created["image_id"], "the mended photo goes through with the same ticket"


def test_photos_come_from_local_files_too(autoenhance: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "kitchen.png"
    path.write_bytes(photo("PNG"))
    assert wait(upload(create(), source=str(path)))["status"] == "processed"


# Waiting


def test_the_sensor_returns_the_image(enhanced: str) -> None:
    assert wait(enhanced, mode="poke")["image_id"] == enhanced


def test_a_rescheduling_sensor_gives_its_slot_back(enhanced: str, autoenhance: Sandbox, airflow_db: None) -> None:
    from airflow.exceptions import AirflowRescheduleException

    assert wait(enhanced, mode="reschedule")["image_id"] == enhanced
    waiting = create("other.jpg")["image_id"]
    with pytest.raises(AirflowRescheduleException):
        wait(waiting, mode="reschedule")


def test_a_deferrable_sensor_looks_before_it_defers(enhanced: str) -> None:
    assert wait(enhanced, deferrable=True)["status"] == "processed"


def test_a_deferrable_sensor_hands_ids_and_an_absolute_deadline_to_its_trigger(autoenhance: Sandbox) -> None:
    created = create()
    before = time.time()
    with pytest.raises(TaskDeferred) as caught:
        wait(created["image_id"], deferrable=True, timeout=60)
    path, kwargs = caught.value.trigger.serialize()
    assert path.endswith("AutoenhanceImageTrigger")
    assert set(kwargs) == {"image_id", "autoenhance_conn_id", "poll_interval", "deadline"}
    assert before + 60 <= kwargs["deadline"] <= time.time() + 60
    assert caught.value.timeout is None
    assert autoenhance.api_key not in json.dumps(kwargs)


def test_a_wait_past_its_deadline_names_the_image(autoenhance: Sandbox) -> None:
    created = create()
    with pytest.raises(
        AirflowSensorTimeout, match=rf"{created['image_id']} was not finished within 0.2 s.*raise the sensor's timeout"
    ):
        wait(created["image_id"], timeout=0.2)


def test_the_sensor_survives_a_few_bad_polls_but_not_a_lasting_one(enhanced: str, autoenhance: Sandbox) -> None:
    autoenhance.faults([{"endpoint": "retrieve_image", "kind": "500", "count": 7}])
    assert wait(enhanced)["image_id"] == enhanced
    autoenhance.faults([{"endpoint": "retrieve_image", "kind": "401"}])
    with pytest.raises(AirflowFailException, match="API key"):
        wait(enhanced)


def test_an_image_that_expired_or_is_unknown_fails_at_once(autoenhance: Sandbox) -> None:
    created = create()
    autoenhance.settings(clock_offset_seconds=7200)
    with pytest.raises(AirflowFailException, match=r"kitchen.jpg.*expired"):
        wait(created["image_id"])
    with pytest.raises(AirflowFailException, match="image no-such-image: Autoenhance answered 404"):
        wait("no-such-image")


def test_the_trigger_s_event_becomes_a_result_or_an_error(enhanced: str) -> None:
    sensor = AutoenhanceImageStatusSensor(task_id="wait", image_id=enhanced)
    image = wait(enhanced)
    assert sensor.execute_complete(context(sensor), {"image": image}) == image
    with pytest.raises(AirflowFailException, match="it broke"):
        sensor.execute_complete(context(sensor), {"error": "ImageFailedError", "message": "it broke"})
    with pytest.raises(AirflowSensorTimeout, match="late"):
        sensor.execute_complete(context(sensor), {"error": "DeadlineError", "message": "late"})
    with pytest.raises(errors.UnreachableError, match="gone"):
        sensor.execute_complete(context(sensor), {"error": "UnreachableError", "message": "gone"})
    with pytest.raises(errors.ServerError, match="without saying why"):
        sensor.execute_complete(context(sensor), None)


# Reprocess


def reprocess(image_id: str, **options: Any) -> dict[str, Any]:
    about = {"try_number": options.pop("try_number", 1)}
    operator = AutoenhanceReprocessImageOperator(
        task_id="again", image_id=image_id, **{"poll_interval": 0.05, "timeout": 20, **options}
    )
    result: dict[str, Any] = run(operator, **about)
    return result


def test_reprocessing_waits_and_costs_nothing(enhanced: str, autoenhance: Sandbox) -> None:
    assert reprocess(enhanced, settings={"enhance_type": "warm"})["status"] == "processed"
    assert reprocess(enhanced, settings={"enhance_type": "warm"}, wait_for_completion=False)["status"] == "processing"
    ledger = autoenhance.ledger()
    assert ledger["images"][0]["settings"]["enhance_type"] == "warm"
    assert ledger["credits"]["spent"] == 0


def test_a_retried_reprocess_does_not_start_again(enhanced: str, autoenhance: Sandbox) -> None:
    reprocess(enhanced, settings={"enhance_type": "warm"})
    reprocess(enhanced, settings={"enhance_type": "warm"}, try_number=2)
    assert autoenhance.ledger()["requests"]["POST /v3/images/{id}/process"] == 1
    reprocess(enhanced, settings={"enhance_type": "neutral"}, try_number=2)
    assert autoenhance.ledger()["requests"]["POST /v3/images/{id}/process"] == 2


def test_reprocessing_deferred(enhanced: str, autoenhance: Sandbox) -> None:
    with pytest.raises(TaskDeferred) as caught:
        reprocess(enhanced, settings={"enhance_type": "warm"}, deferrable=True)
    assert caught.value.method_name == "execute_complete"
    operator = AutoenhanceReprocessImageOperator(task_id="again", image_id=enhanced)
    assert operator.execute_complete(context(operator), {"image": wait(enhanced)})["image_id"] == enhanced


# Download


@pytest.mark.parametrize(
    ("destination", "options", "magic", "name"),
    [
        ("s3://enhanced/x/a.jpg", {}, b"\xff\xd8", "x/a.jpg"),
        ("s3://enhanced/x/a.jpeg", {}, b"\xff\xd8", "x/a.jpeg"),
        ("s3://enhanced/x/a.png", {}, b"\x89PNG", "x/a.png"),
        ("s3://enhanced/x/a.webp", {"output_spec": {"quality": 50}}, b"RIFF", "x/a.webp"),
        ("s3://enhanced/x/noext", {"output_spec": "png"}, b"\x89PNG", "x/noext"),
        ("s3://enhanced/x/", {}, b"\xff\xd8", "x/maple/kitchen.jpg"),
        (
            "s3://enhanced/x/",
            {"output_spec": {"format": "png", "max_width": "80"}},
            b"\x89PNG",
            "x/maple/kitchen.jpg.png",
        ),
    ],
)
def test_format_and_name_follow_the_destination(
    enhanced: str, s3: SimpleNamespace, destination: str, options: dict[str, Any], magic: bytes, name: str
) -> None:
    result = download(enhanced, destination, **options)
    assert result["uri"] == f"s3://enhanced/{name}"
    assert s3.get(name).startswith(magic)


@pytest.mark.parametrize(
    ("destination", "options", "told"),
    [
        ("s3://enhanced/a.png", {"output_spec": "jpeg"}, "'a.png' does not fit output format 'jpeg'"),
        ("s3://enhanced/a.tif", {"output_spec": {"color_space": "CMYK"}}, "CMYK goes with format jpeg only"),
        ("s3://enhanced/a.jpg", {"output_spec": {"qualty": 5}}, "Did you mean 'quality'"),
        ("s3://enhanced/a.jpg", {"output_spec": {"quality": 101}}, "quality takes a number from 1 to 100"),
        ("s3://enhanced/a.jpg", {"output_spec": ["jpeg", "png"]}, "2 outputs need a folder"),
        ("s3://enhanced/", {"output_spec": ["jpeg", {"quality": 5}]}, "two outputs would both be named"),
        (
            "s3://enhanced/a.jpg",
            {"output_spec": {"color_profile": "/no/such.icc", "color_space": "RGB"}},
            "no/such.icc",
        ),
        ("s3://enhanced/a.jpg", {"output_spec": "bmp"}, "format takes one of"),
        ("s3://enhanced/a.jpg", {"preview": "perhaps"}, "preview takes true or false"),
        ("s3://no-such-bucket/a.jpg", {}, "no-such-bucket"),
        ("/proc/nowhere/a.jpg", {}, "/proc/nowhere"),
        ("https://web.example/a.jpg", {}, "https"),
        ("nowhere://x/a.jpg", {}, "nowhere"),
        ("", {}, "destination is empty"),
    ],
)
def test_what_cannot_be_written_is_refused_before_a_credit_is_spent(
    enhanced: str, autoenhance: Sandbox, destination: str, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(AirflowFailException, match=told) as caught:
        download(enhanced, destination, **{"preview": False, **options})
    assert "\n" not in str(caught.value)
    ledger = autoenhance.ledger()
    assert "GET /v3/images/{id}/enhanced" not in ledger["requests"]
    assert ledger["credits"]["spent"] == 0


def test_an_image_that_is_not_ready_is_not_bought(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    created = create()
    with pytest.raises(AirflowFailException, match=r"still waiting.*AutoenhanceImageStatusSensor"):
        download(created["image_id"], preview=False)
    assert autoenhance.ledger()["credits"]["spent"] == 0


@pytest.mark.parametrize("kind", ["truncate", "corrupt", "reset"])
def test_bytes_that_do_not_arrive_whole_are_never_published(
    enhanced: str, autoenhance: Sandbox, s3: SimpleNamespace, kind: str
) -> None:
    autoenhance.faults([{"endpoint": "get_object", "kind": kind, "phase": "mid-body"}])
    with pytest.raises(errors.AutoenhanceError) as caught:
        download(enhanced, preview=False)
    assert caught.value.retryable
    assert s3.keys() == []
    autoenhance.faults([])
    download(enhanced, preview=False)
    assert autoenhance.ledger()["credits"]["spent"] == 1


def test_without_credits_the_task_fails_once_and_says_what_to_do(enhanced: str, autoenhance: Sandbox) -> None:
    autoenhance.settings(credits=0)
    with pytest.raises(AirflowFailException, match=rf"{enhanced}.*buy credits"):
        download(enhanced, preview=False)
    assert autoenhance.ledger()["requests"]["GET /v3/images/{id}/enhanced"] == 1


def test_the_original_comes_back_as_it_was(enhanced: str, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    download(enhanced, "s3://enhanced/original", variant="original", preview=False)
    assert s3.get("original") == photo()
    assert autoenhance.ledger()["credits"]["spent"] == 0
    with pytest.raises(ValueError, match="variant"):
        AutoenhanceDownloadImageOperator(task_id="d", image_id="i", destination="x", variant="merged")  # type: ignore[arg-type]


# Delete and report


def test_delete_and_report(enhanced: str, autoenhance: Sandbox) -> None:
    report = AutoenhanceReportImageOperator(
        task_id="report", image_id=enhanced, categories=["NOISE"], score="2", comment="grainy"
    )
    assert run(report) == {"image_id": enhanced}
    assert autoenhance.ledger()["reports"][0]["score"] == 2
    for _ in range(2):
        assert run(AutoenhanceDeleteImageOperator(task_id="delete", image_id=enhanced)) == {"image_id": enhanced}
    assert autoenhance.ledger()["images_live"] == 0
    for bad in ({"categories": ["UGLY"]}, {"categories": "NOISE", "score": "many"}, {"categories": []}):
        with pytest.raises(AirflowFailException, match="AutoenhanceReportImageOperator: (categories|score) takes"):
            run(AutoenhanceReportImageOperator(task_id="report", image_id=enhanced, **bad))


# Bad input


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"settings": {"enhance_typ": "warm"}}, "Did you mean 'enhance_type'"),
        ({"settings": {"enhance_type": "sepia"}}, "takes one of property"),
        ({"settings": {"window_pull": True}}, "pins api_version 2026-11-09"),
        ({"metadata": "[1]"}, "metadata takes an object"),
        ({"metadata": {"fingerprint": "mine"}}, "metadata key 'fingerprint' is this provider's own"),
        ({"name": ""}, "image_name is empty"),
        ({"name": "None"}, "image_name is empty"),
    ],
)
def test_bad_input_to_create_sends_nothing(autoenhance: Sandbox, options: dict[str, Any], told: str) -> None:
    with pytest.raises(AirflowFailException, match=told):
        create(**options)
    assert autoenhance.ledger()["requests"] == {}


@pytest.mark.parametrize(
    ("password", "told"),
    [("", "has no API key; put it into the password field"), ("wrong", "API key is missing or wrong")],
)
def test_keys(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, password: str, told: str) -> None:
    fields = {"conn_type": "autoenhance", "host": autoenhance.url, "password": password}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(fields))
    with pytest.raises(AirflowFailException, match=told):
        create()


def test_a_cleared_creation_has_an_image_that_somebody_restyled_enhanced_as_asked(
    autoenhance: Sandbox, s3: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    s3.put("maple/kitchen.jpg", photo())
    asked = {"settings": {"enhance_type": "warm"}, "source": SOURCE}
    image_id = upload(create(**asked))
    wait(image_id)
    AutoenhanceHook().process_image(image_id, settings={"enhance_type": "modern"})
    wait(image_id)
    again = create(**asked, try_number=2)
    assert (again["image_id"], again["status"], again["upload_url"]) == (image_id, "processing", "")
    assert wait(upload(again))["image_id"] == image_id
    (image,) = autoenhance.ledger()["images"]
    assert (image["settings"]["enhance_type"], image["processing_runs"]) == ("warm", 3)
    assert "other settings since" in caplog.text
    create(**asked, try_number=3)
    assert autoenhance.ledger()["images"][0]["processing_runs"] == 3


def test_a_retry_of_a_reprocessing_does_not_take_another_style_that_is_under_way_for_its_own(
    autoenhance: Sandbox, enhanced: str
) -> None:
    autoenhance.settings(processing_seconds=[0.5, 0.5])
    AutoenhanceHook().process_image(enhanced, settings={"enhance_type": "modern"})
    task = AutoenhanceReprocessImageOperator(
        task_id="again", image_id=enhanced, settings={"enhance_type": "WARM"}, poll_interval=0.05
    )
    run(task, try_number=2)
    (image,) = autoenhance.ledger()["images"]
    assert (image["settings"]["enhance_type"], image["processing_runs"]) == ("warm", 3)
    run(task, try_number=3)
    assert autoenhance.ledger()["images"][0]["processing_runs"] == 3


@pytest.mark.parametrize("times", [1, 3])
def test_where_the_order_of_a_run_was_deleted_its_images_get_another(
    autoenhance: Sandbox, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.remote.images.LOST_ORDER_POLLS", (0.0,))
    autoenhance.settings(reuse_deleted_ids=False)
    s3.put("maple/kitchen.jpg", photo())
    for number in range(1, times + 1):
        order_id = create(source=SOURCE, try_number=number)["order_id"]
        AutoenhanceHook().delete_order(order_id)
    created = create(source=SOURCE, try_number=9)
    image_id = upload(created)
    assert created["order_id"] != order_id
    assert create(source=SOURCE, try_number=10)["image_id"] == image_id, "found again, and not made again"
    assert autoenhance.ledger()["live_images"] == [image_id]


def test_an_image_that_was_bought_and_has_failed_since_is_not_bought_again(
    autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    s3.put("maple/kitchen.jpg", photo())
    warm = {"enhance_type": "warm"}
    image_id = wait(upload(create(source=SOURCE, settings=warm)))["image_id"]
    download(image_id, preview=False)
    autoenhance.settings(fail_images={"*": "cannot decode"})
    AutoenhanceHook().process_image(image_id, settings={"enhance_type": "modern"})
    with pytest.raises(AirflowFailException):
        wait(image_id)
    autoenhance.settings(fail_images={})
    created = create(source=SOURCE, settings=warm, try_number=2)
    assert (created["image_id"], created["upload_url"]) == (image_id, "")
    assert wait(image_id)["image_id"] == image_id
    assert download(image_id, preview=False)["credit_spent"] is False
    (image,) = autoenhance.ledger()["images"]
    assert (image["settings"]["enhance_type"], autoenhance.ledger()["credits"]["spent"]) == ("warm", 1)
