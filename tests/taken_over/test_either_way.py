"""A photo is made once, whichever way: what one of batch operator and operators for single images made, the other finds, and both
judge alike what they find."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceDownloadImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.sensors.status import AutoenhanceImageStatusSensor
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import run
from tests.taken_over.state import files, restore, xcom

SETTINGS = {"enhance_type": "warm"}

pytestmark = pytest.mark.usefixtures("short_waits")


def enhance(folder: str, **options: Any) -> dict[str, Any]:
    task = AutoenhanceEnhanceOperator(
        task_id="enhance", source=f"s3://listings/{folder}/", destination=f"s3://enhanced/{folder}/", settings=SETTINGS,
        preview=False, concurrency=1, poll_interval=0.05, timeout=60, **options,
    )  # fmt: skip
    return dict(run(task, run_id="night-1"))


def single(path: str, order_id: str | None) -> str:
    """Bring a photo through by the operators for single images; returns the image's id."""
    source = f"s3://listings/{path}"
    create = AutoenhanceCreateImageOperator(
        task_id="create", image_name=path, source=source, order_id=order_id, settings=SETTINGS
    )
    created = run(create, run_id="night-1")
    put = AutoenhanceUploadImageOperator(
        task_id="upload", image_id=created["image_id"], upload_url=created["upload_url"], source=source
    )
    image_id = str(run(put)["image_id"])
    buy(image_id)
    return image_id


def buy(image_id: str) -> None:
    run(AutoenhanceImageStatusSensor(task_id="wait", image_id=image_id, poke_interval=0.05, timeout=60))
    task = AutoenhanceDownloadImageOperator(
        task_id="download", image_id=image_id, destination="s3://enhanced/single/", preview=False
    )
    run(task)


def test_single_tasks_find_what_a_batch_made(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/a.jpg", photo())
    summary = enhance("maple")
    (image,) = autoenhance.ledger()["images"]
    assert single("maple/a.jpg", summary["order_ids"][0]) == image["image_id"]
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["uploads_received"], ledger["credits"]["spent"]) == (1, 1, 1)


def test_single_tasks_find_what_a_batch_of_75f5810_made(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    restore(autoenhance, s3, "paid")
    (image,) = autoenhance.ledger()["images"]
    assert single("paid/a.jpg", image["order_id"]) == image["image_id"]
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["uploads_received"], ledger["credits"]["spent"]) == (1, 1, 1)


def test_a_batch_finds_what_single_tasks_made_in_its_order(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    """A photo that its batch had yet to make was made by hand, into the order of the others."""
    for name in "ab":
        s3.put(f"maple/{name}.jpg", photo(shade=40 + ord(name) % 40))
    (order_id,) = enhance("maple", max_images=1)["order_ids"]
    by_hand = single("maple/b.jpg", order_id)
    assert enhance("maple")["landed"] == 2
    ledger = autoenhance.ledger()
    assert by_hand in ledger["live_images"]
    assert (ledger["images_created"], ledger["uploads_received"], ledger["credits"]["spent"]) == (2, 2, 2)


def test_of_two_images_single_tasks_go_on_with_the_one_that_is_paid(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    """How there come to be two does not matter: the one that is paid is never the one to be left."""
    restore(autoenhance, s3, "single")
    hook = AutoenhanceHook()
    first = hook.get_image(xcom("kitchen")["upload"])
    second = hook.create_image(
        first.image_name, order_id=first.order_id, settings=SETTINGS, metadata=dict(first.metadata)
    )
    upload(hook, second, files("listings", "single")["single/kitchen.jpg"])
    buy(second.image.image_id)
    again = AutoenhanceCreateImageOperator(
        task_id="create", image_name=first.image_name, source="s3://listings/single/kitchen.jpg", settings=SETTINGS,
        metadata={"room": "kitchen"},
    )  # fmt: skip
    assert run(again, run_id="night-1", try_number=2)["image_id"] == second.image.image_id
