"""What cannot be seen is not taken for what is not there: nothing is paid again because a list, a link or a record hid it."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Order
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from airflow_provider_autoenhance.pipeline.transfer.deliver import Delivery
from airflow_provider_autoenhance.storage import local
from tests.support.batch import fill, operator
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import context


def night(run_id: str = "night-1", try_number: int = 1, **options: Any) -> dict[str, Any]:
    task = operator(**options)
    return task.execute(context(task, run_id=run_id, try_number=try_number))


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    for number, name in enumerate(("maple", "oak")):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "1.jpg").write_bytes(photo(shade=50 + number))
    (tmp_path / "out" / "maple").mkdir(parents=True)
    return {"source": str(tmp_path / "in"), "destination": str(tmp_path / "out")}


@pytest.mark.parametrize("linked", ["maple", f"maple/{RECORDS_FOLDER}"])
def test_a_link_in_the_destination_is_followed_in_reading_as_in_writing(
    s3: SimpleNamespace, autoenhance: Sandbox, folders: dict[str, str], tmp_path: Path, linked: str
) -> None:
    (tmp_path / "other disk").mkdir()
    link = tmp_path / "out" / linked
    if link.exists():
        link.rmdir()
    link.symlink_to(tmp_path / "other disk")
    (tmp_path / "out" / "maple" / "round").symlink_to(tmp_path / "out" / "maple")
    assert night(**folders)["landed"] == 2
    assert night("night-2", **folders)["skipped"] == 2
    assert autoenhance.ledger()["credits"]["spent"] == 2


@pytest.mark.parametrize("kind", ["pipe", "dangling", "circle"])
def test_a_record_that_cannot_be_opened_holds_up_its_own_folder_alone(
    s3: SimpleNamespace, autoenhance: Sandbox, folders: dict[str, str], tmp_path: Path, kind: str
) -> None:
    night(**folders)
    (record,) = (tmp_path / "out" / "maple" / RECORDS_FOLDER).iterdir()
    record.unlink()
    if kind == "pipe":
        os.mkfifo(record)
    else:
        record.symlink_to(record if kind == "circle" else tmp_path / "nowhere")
    (tmp_path / "in" / "oak" / "2.jpg").write_bytes(photo(shade=90))
    summary = night("night-2", max_failures="50%", **folders)
    assert (summary["landed"], summary["skipped"], summary["failed"]) == (1, 1, 1)
    assert record.name in summary["failures"][0]["reason"]
    assert autoenhance.ledger()["credits"]["spent"] == 3


def test_a_paid_image_that_its_order_does_not_list_is_asked_for_by_its_id(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3, 1)
    deliver, read = Delivery.deliver, AutoenhanceHook.get_order

    def break_down(self: Delivery, *args: Any, **options: Any) -> Any:
        deliver(self, *args, **options)
        raise RuntimeError("after the purchase")

    def lag(self: AutoenhanceHook, order_id: str) -> Order:
        return replace(read(self, order_id), images=(), total_images=0)

    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "deliver", break_down)
        with pytest.raises(errors.ServerError, match="1 of 1 photo failed"):
            night()
    with monkeypatch.context() as patch:
        patch.setattr(AutoenhanceHook, "get_order", lag)
        assert night(try_number=2)["landed"] == 1
    assert (autoenhance.ledger()["images_created"], autoenhance.ledger()["credits"]["spent"]) == (1, 1)


def test_a_full_disk_stops_the_batch_before_all_photos_are_bought(
    s3: SimpleNamespace, autoenhance: Sandbox, folders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is still room for a probe, but not for a photo."""
    for number in range(12):
        (tmp_path / "in" / "maple" / f"{number + 2}.jpg").write_bytes(photo(shade=60 + number))
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if (
            "/out/maple/" in (name := str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            and RECORDS_FOLDER + "/" not in name
        ):
            raise OSError(errno.ENOSPC, "full")
        sync(descriptor)

    monkeypatch.setattr(local.os, "fsync", fsync)
    with pytest.raises(AirflowFailException, match="the disk is full"):
        night(concurrency=2, **folders)
    assert autoenhance.ledger()["credits"]["spent"] < 9


def test_a_folder_that_would_break_its_line_is_left_out_and_the_others_land(
    s3: SimpleNamespace, autoenhance: Sandbox, folders: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in" / "maple\n[ERROR]").mkdir()
    (tmp_path / "in" / "maple\n[ERROR]" / "1.jpg").write_bytes(photo(shade=91))
    assert night(**folders)["landed"] == 2
    assert caplog.text.count("its folder's name holds a control character") == 1
