"""Images that a worker has made twice: it stood still amid its uploads, and went on beside its retry."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from tests.support.batch import event_of, fill, operator, outputs
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import context


@pytest.fixture(autouse=True)
def slow(autoenhance: Sandbox) -> None:
    """An enhancement outlasts the uploads, so that a batch defers."""
    autoenhance.settings(processing_seconds=[1.5, 1.5])


def deferred(s3: SimpleNamespace, photos: int, **options: Any) -> Any:
    """Run a batch up to its deferral; return its trigger."""
    fill(s3, photos)
    it = operator(deferrable=True, **options)
    with pytest.raises(TaskDeferred) as deferral:
        it.execute(context(it, run_id="night-1"))
    return deferral.value.trigger


def goes_on(trigger: Any, **options: Any) -> dict[str, Any]:
    event = json.loads(json.dumps(asyncio.run(event_of(trigger))))
    it = operator(**options)
    return dict(it.execute_complete(context(it, run_id="night-1"), event))


def twin_of(image: dict[str, Any], data: bytes, **metadata: Any) -> str:
    """Make an image as the other try does."""
    hook = AutoenhanceHook()
    made = hook.create_image(image["name"], order_id=image["order_id"], metadata=image["metadata"] | metadata)
    upload(hook, made, data)
    while not hook.get_image(made.image.image_id).status.final:
        time.sleep(0.02)
    return made.image.image_id


def images(autoenhance: Sandbox) -> list[dict[str, Any]]:
    return sorted(
        (image for image in autoenhance.ledger()["images"] if not image["deleted"]), key=lambda each: str(each["name"])
    )


@pytest.mark.parametrize("preview", [False, True])
def test_unpaid_twins_are_deleted_at_the_end_and_counted(
    s3: SimpleNamespace, autoenhance: Sandbox, preview: bool
) -> None:
    trigger = deferred(s3, 4, preview=preview)
    for image in images(autoenhance)[:2]:
        twin_of(image, photo())
    assert len(images(autoenhance)) == 6
    summary = goes_on(trigger, preview=preview)
    assert (summary["landed"], summary["twins"], summary["credits"]) == (4, 2, 0 if preview else 4)
    ledger = autoenhance.ledger()
    assert (ledger["images_live"], ledger["credits"]["spent"]) == (4, 0 if preview else 4)
    assert outputs(s3) == [f"maple/{number:03}.jpg" for number in range(4)]
    before = autoenhance.ledger()["requests"]
    it = operator(preview=preview)
    assert it.execute(context(it, run_id="night-2"))["skipped"] == 4
    assert autoenhance.ledger()["requests"] == before, "the records are closed"


def bought(image_id: str) -> None:
    AutoenhanceHook().download_image(image_id, lambda download: download.read(), preview=False)


def test_the_one_that_is_bought_stays(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    """It is gone on with, and the other one is the twin."""
    trigger = deferred(s3, 2)
    twin = twin_of(images(autoenhance)[0], photo())
    bought(twin)
    summary = goes_on(trigger)
    assert (summary["landed"], summary["twins"], summary["credits"]) == (2, 1, 2)
    assert twin in {image["image_id"] for image in images(autoenhance)}
    assert autoenhance.ledger()["credits"]["spent"] == 2


@pytest.mark.parametrize("fingerprint", ["somebody else's", None], ids=["another photo", "a stranger"])
def test_what_may_be_somebody_else_s_stays(s3: SimpleNamespace, autoenhance: Sandbox, fingerprint: str | None) -> None:
    trigger = deferred(s3, 2)
    twin = twin_of(images(autoenhance)[0], photo(), fingerprint=fingerprint)
    assert goes_on(trigger)["twins"] == 0
    assert twin in {image["image_id"] for image in images(autoenhance)}


def test_a_twin_that_another_run_waits_for_stays(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    """It has adopted that one: its record names it."""
    trigger = deferred(s3, 1)
    (image,) = images(autoenhance)
    twin_of(image, photo())
    (key,) = [key for key in s3.keys() if key.endswith(".jsonl")]
    head, row = map(json.loads, s3.get(key).splitlines())
    twin = next(each for each in images(autoenhance) if each["image_id"] != row["image_id"])
    other = "00000000-0000-5000-8000-000000000001"
    head |= {"run": other, "origin": "nightly/enhance night-0"}
    row |= {"run": other, "image_id": twin["image_id"], "at": "2026-01-01T00:00:00.000+00:00"}
    body = "".join(f"{json.dumps(line)}\n" for line in (head, row)).encode()
    s3.client.put_object(Bucket="enhanced", Key=f"maple/.autoenhance/{other}.jsonl", Body=body)
    assert goes_on(trigger)["twins"] == 0
    assert len(images(autoenhance)) == 2


def test_a_twin_of_a_photo_that_failed_stays_for_the_next_try(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    autoenhance.settings(fail_images={"*000*": "too dark"})
    trigger = deferred(s3, 2)
    twin_of(images(autoenhance)[0], photo())
    assert goes_on(trigger, max_failures=1)["twins"] == 0
    assert len(images(autoenhance)) == 3
