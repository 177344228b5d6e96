"""Places by the names that the connection gives them: ``storage://NAME/path``."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceDownloadImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.sensors.status import AutoenhanceImageStatusSensor
from airflow_provider_autoenhance.storage import list_files
from tests.support.batch import enhance_to, fill, outputs
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import run


@pytest.fixture(autouse=True)
def storages(autoenhance: Sandbox, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    places = {"photos": "s3://aws_default@listings/2026/", "print-shop": "s3://enhanced", "disk": str(tmp_path)}
    extra = {"storages": places}
    fields = {"conn_type": "autoenhance", "host": autoenhance.url, "password": autoenhance.api_key, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(fields))


def test_a_batch_goes_from_one_to_another_and_knows_its_photos_by_their_other_name(
    s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    names = fill(s3, 2, "2026/maple")
    summary = enhance_to("storage://photos/maple/", "storage://print-shop/out/")
    assert (summary["landed"], summary["source"]) == (2, "s3://aws_default@listings/2026/maple/")
    assert outputs(s3) == [f"out/{name}" for name in names]
    again = enhance_to(["s3://listings/2026/maple/"], "s3://enhanced/out/", run_id="night-2")
    assert (again["skipped"], autoenhance.ledger()["images_created"]) == (2, 2)


def test_tasks_for_single_images_take_them(s3: SimpleNamespace) -> None:
    s3.put("2026/maple/kitchen.jpg", photo())
    source = "storage://photos/maple/kitchen.jpg"
    created = run(AutoenhanceCreateImageOperator(task_id="create", image_name="kitchen.jpg", source=source))
    about = {"image_id": created["image_id"], "upload_url": created["upload_url"], "source": source}
    image_id = run(AutoenhanceUploadImageOperator(task_id="upload", **about))["image_id"]
    run(AutoenhanceImageStatusSensor(task_id="wait", image_id=image_id, poke_interval=0.05, timeout=20))
    destination = "storage://print-shop/12-maple/kitchen.jpg"
    spec = {"format": {"type": "jpeg", "quality": 85}, "metadata": {"dpi": 300}}
    task = AutoenhanceDownloadImageOperator(
        task_id="download", image_id=image_id, destination=destination, output_spec=spec, preview=False
    )
    assert run(task)["uri"] == "s3://enhanced/12-maple/kitchen.jpg"
    assert "12-maple/kitchen.jpg" in s3.keys()


def test_a_folder_on_a_disk_is_one_by_this_name_too(enhanced: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    task = AutoenhanceDownloadImageOperator(task_id="download", image_id=enhanced, destination="storage://disk/out")
    assert run(task)["uri"] == f"{tmp_path}/out/maple/kitchen.jpg"


def test_a_name_that_the_connection_does_not_know_is_refused_before_anything_is_sent(autoenhance: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="no storage of this name \\(known: disk, photos, print-shop\\)"):
        enhance_to("storage://photo/maple/", "s3://enhanced/out/")
    assert autoenhance.ledger()["requests"] == {}


def test_what_has_no_connection_says_who_takes_them() -> None:
    with pytest.raises(errors.SourceError, match="operators alone take storage://"):
        list(list_files("storage://photos/maple/"))
