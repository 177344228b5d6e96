"""Whole batches, and single tasks that are tried again, at every API version that a connection may pin."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_autoenhance.api.versions import DEFAULT_VERSION
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceReprocessImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.sensors.status import AutoenhanceImageStatusSensor
from tests.support.batch import Enhance, fill, operator, outputs
from tests.support.photos import exposure, photo
from tests.support.pins import PINS, pin_version
from tests.support.sandbox import Sandbox
from tests.support.tasks import run

#: What stands in the sandbox where the matter is open, or once was otherwise.
OTHERWISE = {"flags_beside_status": False, "metadata_written": "instead", "upload_url_names_type": False}
SKY = {"sky_replacement": True, "cloud_type": "HIGH_CLOUD"}


@pytest.fixture(params=PINS, ids=lambda pin: pin or "the account's")
def pin(request: pytest.FixtureRequest, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch) -> str:
    """An API version that the connection pins."""
    fields = {"conn_type": "autoenhance", "host": autoenhance.url, "password": autoenhance.api_key}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(fields))
    pin_version(request.param)
    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.remote.process.ARRIVAL_POLLS", (0.0,) * 6)
    return str(request.param)


def test_the_newest_pin_that_is_run_is_the_default() -> None:
    assert max(PINS) == DEFAULT_VERSION


@pytest.mark.parametrize("switches", [{}, OTHERWISE], ids=["as is likely", "otherwise"])
def test_a_folder_lands_whole_and_again_costs_nothing(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, pin: str, switches: dict[str, Any]
) -> None:
    autoenhance.settings(**switches)
    names = fill(s3, 3)
    summary = enhance(settings=SKY)
    assert (summary["photos"], summary["landed"], summary["credits"], summary["failed"]) == (3, 3, 3, 0)
    assert outputs(s3) == [f"maple/{name}" for name in names]
    assert all(image["settings"] == SKY for image in autoenhance.ledger()["images"])
    again = enhance(run_id="night-2", settings={"restage": {"sky": "high_cloud"}} if pin >= "2025-08-31" else SKY)
    assert (again["skipped"], again["credits"]) == (3, 0)
    books = autoenhance.ledger()
    assert (books["images_created"], books["credits"]["spent"]) == (3, 3)


@pytest.mark.parametrize("settings", [{}, {"ai_version": "5.3"}, {"ai_version": "5.x", **SKY}])
@pytest.mark.parametrize("first", [PINS[0], DEFAULT_VERSION])
def test_an_image_is_as_asked_at_another_pin_too(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, first: str, pin: str, settings: dict[str, Any]
) -> None:
    fill(s3, 1)
    for night, version in enumerate((first, pin, first, pin)):
        pin_version(version)
        for key in outputs(s3):
            s3.client.delete_object(Bucket="enhanced", Key=key)
        summary = enhance(run_id=f"night-{night}", settings=settings, thumbnails=False)
        assert (summary["landed"], summary["failed"]) == (1, 0)
    books = autoenhance.ledger()
    assert (books["images_created"], books["credits"]["spent"]) == (1, 1)
    assert books["images"][0]["processing_runs"] == 1, "enhanced again for nothing"


@pytest.mark.parametrize("switches", [{}, OTHERWISE], ids=["as is likely", "otherwise"])
@pytest.mark.parametrize("brackets", ["exif", "auto"])
def test_brackets_cost_a_credit_each_and_nothing_again(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    pin: str,
    switches: dict[str, Any],
    brackets: str,
) -> None:
    autoenhance.settings(**switches)
    for name, (second, step) in {f"{b}{n}": (10 * b + 0.4 * n, 2 * n - 2) for b in range(2) for n in range(3)}.items():
        s3.put(f"maple/{name}.jpg", exposure(second, step))
    for night in ("night-1", "night-2"):
        summary = enhance(brackets=brackets, run_id=night)
        assert (summary["photos"], summary["failed"], summary["credits"]) == (2, 0, 2 if night == "night-1" else 0)
    books = autoenhance.ledger()
    assert (books["images_created"], books["credits"]["spent"]) == (2, 2)
    assert outputs(s3) == ["maple/00.jpg", "maple/10.jpg"]


@pytest.mark.parametrize("switches", [{}, OTHERWISE], ids=["as is likely", "otherwise"])
@pytest.mark.usefixtures("short_waits")
def test_a_create_task_that_is_tried_again_adopts_nothing_without_its_bytes(
    s3: SimpleNamespace, autoenhance: Sandbox, pin: str, switches: dict[str, Any]
) -> None:
    autoenhance.settings(**switches)
    s3.put("maple/kitchen.jpg", photo())
    source = "s3://listings/maple/kitchen.jpg"

    def create(try_number: int) -> dict[str, Any]:
        task = AutoenhanceCreateImageOperator(task_id="create", image_name="maple/kitchen.jpg", source=source)
        return dict(run(task, try_number=try_number))

    first, second = create(1), create(2)
    assert second["upload_url"], "it has no bytes yet"
    about = {"image_id": second["image_id"], "upload_url": second["upload_url"], "source": source}
    image_id = run(AutoenhanceUploadImageOperator(task_id="upload", **about))["image_id"]
    sensor = AutoenhanceImageStatusSensor(task_id="wait", image_id=image_id, poke_interval=0.05, timeout=20)
    assert run(sensor)["status"] == "processed"
    assert create(3)["image_id"] == image_id
    assert first["order_id"] == second["order_id"]


@pytest.mark.usefixtures("short_waits")
def test_photos_of_one_name_and_styles_of_one_photo_are_images_of_their_own(
    s3: SimpleNamespace, autoenhance: Sandbox, pin: str
) -> None:
    """Where answers say nothing of metadata, the ids tell them apart."""
    made: dict[tuple[str, str], set[str]] = {}
    for _ in range(2):  # cleared, each finds its own
        for folder in ("maple", "oak"):
            s3.put(f"{folder}/kitchen.jpg", photo(shade=40 if folder == "maple" else 200))
            for style in ("warm", "neutral"):
                source = f"s3://listings/{folder}/kitchen.jpg"
                about = {"image_name": "kitchen.jpg", "source": source, "settings": {"enhance_type": style}}
                created = run(AutoenhanceCreateImageOperator(task_id=style, **about))
                about = {key: created[key] for key in ("image_id", "upload_url")} | {"source": source}
                uploaded = run(AutoenhanceUploadImageOperator(task_id="upload", **about))
                made.setdefault((folder, style), set()).add(uploaded["image_id"])
    assert sorted(map(len, made.values())) == [1] * 4
    assert len(set.union(*made.values())) == autoenhance.ledger()["images_created"] == 4


def test_a_photo_that_is_replaced_while_it_is_waited_for_is_another_one_of_its_name(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, pin: str
) -> None:
    fill(s3, 1)
    autoenhance.settings(processing_seconds=[600, 600])
    named: dict[str, Any] = {"image_name_template": "{name}", "deferrable": True}
    with pytest.raises(TaskDeferred):
        run(operator(**named), run_id="night-1")
    autoenhance.settings(processing_seconds=[0, 0])
    s3.put("maple/000.jpg", photo(shade=200))
    assert enhance(try_number=2, image_name_template="{name}")["landed"] == 1
    assert autoenhance.ledger()["images_created"] == 2


def test_an_image_that_was_made_and_refused_is_deleted(s3: SimpleNamespace, autoenhance: Sandbox, pin: str) -> None:
    """It has the id that was chosen for it, so it is known at versions that answer without metadata too."""
    s3.put("maple/kitchen.jpg", photo())
    source = "s3://listings/maple/kitchen.jpg"
    create = AutoenhanceCreateImageOperator(task_id="create", image_name="maple/kitchen.jpg", source=source)
    autoenhance.faults([{"endpoint": "create_image", "kind": "400", "phase": "after", "count": 1}])
    made = run(create)
    about = {"image_id": made["image_id"], "upload_url": made["upload_url"], "source": source}
    run(AutoenhanceUploadImageOperator(task_id="upload", **about))
    assert run(create, try_number=2)["image_id"] == made["image_id"]
    assert [each["image_id"] for each in autoenhance.ledger()["images"] if not each["deleted"]] == [made["image_id"]]


def test_the_seeds_settings_go_through_as_they_stand(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, pin: str
) -> None:
    fill(s3, 1)
    enhance()
    (image,) = autoenhance.ledger()["images"]
    page_003 = {"ai_version": "4.x", "enhance": True, "enhance_type": "neutral", "hdr": True}
    page_000 = {
        "content_type": "image/jpeg",
        "hdr": False,
        "is_threesixty": False,
        "contrast_boost": "LOW",
        "sharpen_level": "HIGH",
    }
    for settings in (page_003, page_000):
        assert AutoenhanceHook().process_image(image["image_id"], settings=settings).image_id == image["image_id"]
        task = AutoenhanceReprocessImageOperator(
            task_id="again", image_id=image["image_id"], settings=settings, poll_interval=0.1, deferrable=False
        )
        result = run(task)
        answered = AutoenhanceHook().get_image(image["image_id"])
        assert {**answered.raw, "status": "processed"}.items() <= {**answered.raw, **result}.items()
        assert result.keys() >= answered.raw.keys()
        assert (result["enhance"], result["downloaded"], result["user_id"]) == (True, True, answered.raw["user_id"])


@pytest.mark.parametrize("shape", ["s3PutObjectUrl", "upload_url", "upload_file_url"])
def test_a_batch_takes_every_name_of_an_upload_url(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    fields = {"conn_type": "autoenhance", "host": autoenhance.url, "password": autoenhance.api_key}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(fields | {"extra": {"api_version": ""}}))
    for date in ("2024-10-01", "2025-08-31", "2026-11-09"):
        autoenhance.settings(account_shape=shape, account_api_version=date)
        fill(s3, 2)
        assert enhance(settings=SKY, run_id=date, destination=f"s3://enhanced/{date}/")["landed"] == 2
