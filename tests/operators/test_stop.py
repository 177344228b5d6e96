"""Stop means stop: from the moment on in which Airflow says so, nothing is begun that was not under way."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.brackets import (
    AutoenhanceCreateBracketOperator,
    AutoenhanceUploadBracketOperator,
)
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceDownloadImageOperator,
    AutoenhanceReportImageOperator,
    AutoenhanceReprocessImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.operators.orders import (
    AutoenhanceCreateOrderOperator,
    AutoenhanceDownloadOrderOperator,
    AutoenhanceProcessOrderOperator,
    AutoenhanceUpdateOrderOperator,
)
from tests.support.batch import Enhance, event_of, fill, operator, outputs
from tests.support.photos import Sized, photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run

AT_ONCE = 4


class Killed:
    """A task in a thread, as Airflow stops it: ``on_kill`` is called while it works, and it goes on working.

    :param work: of ``task``.
    :param ready: when it is stopped.
    """

    def __init__(self, task: Any, work: Callable[[], Any], ready: Callable[[], bool]) -> None:
        self.error: Exception | None = None
        thread = threading.Thread(target=self._run, args=(work,))
        thread.start()
        while not ready():
            assert thread.is_alive(), self.error
            time.sleep(0.005)
        task.on_kill()
        self._thread = thread

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as error:
            self.error = error

    def ended(self) -> Exception | None:
        self._thread.join(60)
        return self.error


def slow(autoenhance: Sandbox, *endpoints: str, seconds: float = 0.4, **about: Any) -> None:
    rules = [{"endpoint": endpoint, "kind": "slow", "seconds": seconds, **about} for endpoint in endpoints]
    autoenhance.faults(rules)


def books(autoenhance: Sandbox) -> tuple[int, int]:
    ledger = autoenhance.ledger(summary=True)
    return int(ledger["images_created"]), int(ledger["credits"]["spent"])


def test_a_batch_that_uploads_makes_nothing_more(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    names = fill(s3, 30)
    slow(autoenhance, "create_image", "put_object")
    it = operator(concurrency=AT_ONCE)
    killed = Killed(it, lambda: run(it, run_id="night-1"), lambda: books(autoenhance)[0] >= AT_ONCE)
    before = books(autoenhance)[0]
    assert isinstance(killed.ended(), errors.StoppedError)
    assert books(autoenhance)[0] - before <= AT_ONCE
    autoenhance.faults([])
    assert enhance(try_number=2)["landed"] == 30
    assert outputs(s3) == [f"maple/{name}" for name in names]
    assert autoenhance.ledger()["images_live"] == autoenhance.ledger()["credits"]["spent"] == 30


def deferred(it: Any, autoenhance: Sandbox) -> Any:
    """Let a batch defer; return its trigger's event."""
    with pytest.raises(TaskDeferred) as deferral:
        run(it, run_id="night-1")
    return json.loads(json.dumps(asyncio.run(event_of(deferral.value.trigger))))


def test_a_batch_that_downloads_buys_nothing_more(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 30)
    autoenhance.settings(processing_seconds=[2, 2])
    options = {"concurrency": AT_ONCE, "deferrable": True}
    event = deferred(operator(**options), autoenhance)
    slow(autoenhance, "get_object")
    it = operator(**options)
    about = context(it, run_id="night-1")
    killed = Killed(it, lambda: it.execute_complete(about, event), lambda: books(autoenhance)[1] >= AT_ONCE)
    before = books(autoenhance)[1]
    assert isinstance(killed.ended(), errors.StoppedError)
    assert books(autoenhance)[1] - before <= AT_ONCE
    autoenhance.faults([])
    assert enhance(try_number=2)["credits"] == books(autoenhance)[1] == 30


@pytest.mark.parametrize("endpoint", ["create_image", "put_object"])
def test_with_delete_on_kill_what_was_just_being_made_goes_as_well(
    s3: SimpleNamespace, autoenhance: Sandbox, endpoint: str
) -> None:
    fill(s3, 20)
    slow(autoenhance, endpoint, seconds=0.8, phase="after")
    it = operator(concurrency=AT_ONCE, delete_on_kill=True)
    killed = Killed(it, lambda: run(it, run_id="night-1"), lambda: books(autoenhance)[0] >= AT_ONCE + 1)
    assert autoenhance.ledger()["images_live"] == 0
    assert isinstance(killed.ended(), errors.StoppedError)
    assert autoenhance.ledger()["images_live"] == 0


def test_what_another_run_waits_for_is_not_deleted(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 2)
    autoenhance.settings(processing_seconds=[60, 60])
    for night in ("night-1", "night-2"):
        with pytest.raises(TaskDeferred):
            run(operator(deferrable=True), run_id=night)
    adopted = [image["image_id"] for image in autoenhance.ledger()["images"]]
    s3.put("maple/new.jpg", photo(shade=9))
    it = operator(delete_on_kill=True)
    killed = Killed(it, lambda: run(it, run_id="night-1"), lambda: len(it._batch.in_flight if it._batch else ()) == 3)
    deleted = {image["image_id"]: image["deleted"] for image in autoenhance.ledger()["images"]}
    assert len(deleted) == 3
    assert deleted == {image_id: image_id not in adopted for image_id in deleted}
    delete(*adopted)
    assert killed.ended() is not None


def test_a_folder_on_which_another_run_works_is_left_alone(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 2)
    autoenhance.settings(processing_seconds=[60, 60])
    with pytest.raises(TaskDeferred):
        run(operator(deferrable=True), run_id="night-1")
    it, other = operator(delete_on_kill=True), operator()
    left = SimpleNamespace(on_kill=lambda: None)
    works = Killed(
        left, lambda: run(other, run_id="night-2"), lambda: len(other._batch.in_flight if other._batch else ()) == 2
    )
    killed = Killed(it, lambda: run(it, run_id="night-1"), lambda: bool(it._batch and it._batch._claims.blockers))
    assert [image["deleted"] for image in autoenhance.ledger()["images"]] == [False, False]
    delete(*(image["image_id"] for image in autoenhance.ledger()["images"]))
    assert works.ended() is not None
    assert killed.ended() is not None


def delete(*image_ids: str) -> None:
    """End the wait for images."""
    for image_id in image_ids:
        AutoenhanceHook().delete_image(image_id)


def test_a_signal_amid_anything_that_holds_a_lock_is_answered(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    """Its handler runs in the main thread, which holds what it held."""
    fill(s3, 2)
    autoenhance.settings(processing_seconds=[60, 60])
    it = operator(delete_on_kill=True)

    def in_flight() -> bool:
        return bool(it._batch and len(it._batch.in_flight) == 2)

    pace = it.hook._bucket._lock
    killed = Killed(
        SimpleNamespace(on_kill=lambda: within(pace, it.on_kill)), lambda: run(it, run_id="night-1"), in_flight
    )
    assert killed.ended() is not None
    until = time.monotonic() + 30
    while autoenhance.ledger()["images_live"] and time.monotonic() < until:
        time.sleep(0.05)
    assert autoenhance.ledger()["images_live"] == 0


def within(lock: Any, work: Callable[[], None]) -> None:
    with lock:
        work()


def test_previews_that_have_landed_are_not_deleted(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 12)
    it = operator(concurrency=AT_ONCE, delete_on_kill=True, preview=True)
    slow(autoenhance, "get_object")
    killed = Killed(it, lambda: run(it, run_id="night-1"), lambda: len(outputs(s3)) >= AT_ONCE)
    landed = [key.rpartition("/")[2] for key in outputs(s3)]
    killed.ended()
    left = [image["name"] for image in autoenhance.ledger()["images"] if not image["deleted"]]
    assert {name.partition(".")[0] for name in landed} <= {name.rpartition("/")[2].partition("-")[0] for name in left}


def test_what_is_being_downloaded_is_not_deleted(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 8)
    autoenhance.settings(processing_seconds=[2, 2])
    options = {"concurrency": AT_ONCE, "deferrable": True, "delete_on_kill": True}
    event = deferred(operator(**options), autoenhance)
    slow(autoenhance, "get_object")
    it = operator(**options)
    about = context(it, run_id="night-1")
    killed = Killed(it, lambda: it.execute_complete(about, event), lambda: books(autoenhance)[1] >= AT_ONCE)
    killed.ended()
    bought = [
        each
        for each in autoenhance.ledger()["images"]
        if each["image_id"] in autoenhance.ledger()["credits"]["by_image"]
    ]
    assert bought
    assert not [each for each in bought if each["deleted"]]


def test_an_order_s_download_drops_what_is_not_begun(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    hook = AutoenhanceHook()
    for number in range(20):
        upload(hook, hook.create_image(f"{number}.jpg", order_id="o1"), photo())
    while not hook.get_order("o1").finished:
        time.sleep(0.02)
    slow(autoenhance, "get_object")
    it = AutoenhanceDownloadOrderOperator(
        task_id="download", order_id="o1", destination="s3://enhanced/o1/", preview=False, concurrency=AT_ONCE
    )
    killed = Killed(it, lambda: run(it), lambda: books(autoenhance)[1] >= AT_ONCE)
    before, reads = books(autoenhance)[1], autoenhance.ledger()["requests"]["GET /v3/images/{id}"]
    assert isinstance(killed.ended(), errors.StoppedError)
    assert books(autoenhance)[1] - before <= AT_ONCE
    assert autoenhance.ledger()["requests"]["GET /v3/images/{id}"] - reads <= 2 * AT_ONCE


@pytest.mark.parametrize(
    "make",
    [
        lambda ids: AutoenhanceCreateImageOperator(task_id="t", image_name="a.jpg"),
        lambda ids: AutoenhanceUploadImageOperator(task_id="t", source="s3://listings/maple/000.jpg", **ids["waiting"]),
        lambda ids: AutoenhanceReprocessImageOperator(task_id="t", image_id=ids["image"], settings={"enhance_type": "warm"}),
        lambda ids: AutoenhanceDownloadImageOperator(task_id="t", image_id=ids["image"], destination="s3://enhanced/", preview=False),
        lambda ids: AutoenhanceDownloadImageOperator(
            task_id="t", image_id=ids["image"], destination="s3://enhanced/", preview=False, output_spec="tiff"
        ),
        lambda ids: AutoenhanceReportImageOperator(task_id="t", image_id=ids["image"], categories=["HDR"]),
        lambda ids: AutoenhanceCreateOrderOperator(task_id="t", name="elm"),
        lambda ids: AutoenhanceUpdateOrderOperator(task_id="t", order_id=ids["order"], name="elm"),
        lambda ids: AutoenhanceProcessOrderOperator(task_id="t", order_id=ids["shot"]),
        lambda ids: AutoenhanceDownloadOrderOperator(task_id="t", order_id=ids["order"], destination="s3://enhanced/o/", preview=False),
        lambda ids: AutoenhanceCreateBracketOperator(task_id="t", bracket_name="a.jpg", order_id=ids["order"]),
        lambda ids: AutoenhanceUploadBracketOperator(task_id="t", source="s3://listings/maple/000.jpg", **ids["bracket"]),
        lambda ids: operator(),
    ],
)  # fmt: skip
def test_a_stopped_task_of_any_kind_sends_nothing(
    s3: SimpleNamespace, autoenhance: Sandbox, enhanced: str, make: Callable[[dict[str, Any]], Any]
) -> None:
    fill(s3, 2)
    hook = AutoenhanceHook()
    order = hook.get_image(enhanced).order_id
    exposures, ready = hook.create_order().order_id, hook.create_order().order_id
    there = hook.create_bracket("c.jpg", order_id=ready)
    hook.upload(there.upload_url, lambda: nullcontext(Sized(photo())), about="c.jpg")
    created = run(AutoenhanceCreateImageOperator(task_id="c", image_name="b.jpg"))
    shot = run(AutoenhanceCreateBracketOperator(task_id="c", bracket_name="b.jpg", order_id=exposures))
    ids = {
        "image": enhanced,
        "order": order,
        "shot": ready,
        "waiting": {name: created[name] for name in ("image_id", "upload_url")},
        "bracket": {name: shot[name] for name in ("bracket_id", "order_id", "upload_url")},
    }
    before = autoenhance.ledger()
    task = make(ids)
    task.on_kill()
    with pytest.raises(errors.StoppedError):
        run(task)
    after = autoenhance.ledger()
    changed = {call: number for call, number in after["requests"].items() if not call.startswith("GET ")}
    assert changed == {call: number for call, number in before["requests"].items() if not call.startswith("GET ")}
    assert after["credits"]["spent"] == before["credits"]["spent"]


def test_a_pause_between_tries_ends_with_the_task(autoenhance: Sandbox) -> None:
    autoenhance.faults([{"endpoint": "create_image", "kind": "429", "retry_after": 50, "count": 1}])
    it = AutoenhanceCreateImageOperator(task_id="t", image_name="a.jpg")
    asked = lambda: bool(autoenhance.ledger()["requests"].get("POST /v3/images/"))  # noqa: E731
    killed = Killed(it, lambda: run(it), asked)
    assert isinstance(killed.ended(), errors.StoppedError)
    assert autoenhance.ledger()["requests"]["POST /v3/images/"] == 1
