"""A worker's temporary folder that is full, and a destination that is: what is bought counts, and what can be known is known before."""

from __future__ import annotations

import asyncio
import errno
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.imaging import encode
from airflow_provider_autoenhance.operators.images import AutoenhanceDownloadImageOperator
from airflow_provider_autoenhance.operators.orders import AutoenhanceDownloadOrderOperator
from airflow_provider_autoenhance.pipeline.transfer.deliver import BOUGHT
from airflow_provider_autoenhance.storage import temporary
from airflow_provider_autoenhance.storage.local import LocalDestination
from tests.support.batch import Enhance, event_of, fill, fill_up_destination, manifest, operator, outputs
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run

FULL = SimpleNamespace(total=1 << 30, used=1 << 30, free=0)
ROOMY = SimpleNamespace(total=1 << 40, used=0, free=1 << 40)


class Disk:
    """Stands for the disk of the temporary folder, which no test may fill."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.found = ROOMY
        self.full_looks = 0
        patch.setattr(temporary.shutil, "disk_usage", self._look)

    def _look(self, folder: Path) -> SimpleNamespace:
        if not self.full_looks:
            return self.found
        self.full_looks -= 1
        return FULL


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_what_needs_room_is_not_bought_where_there_is_none_and_the_next_try_lands_it(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, disk: Disk
) -> None:
    fill(s3, 3)
    disk.found = FULL
    with pytest.raises(errors.ServerError, match=r"3 of 3 photos failed.*no room.*TMPDIR"):
        enhance(output_spec="tiff")
    assert all(row["transient"] for row in manifest(s3))
    assert autoenhance.ledger()["credits"]["spent"] == 0
    disk.found = ROOMY
    assert enhance(output_spec="tiff", try_number=2)["credits"] == 3


def test_what_needs_none_lands(enhance: Enhance, s3: SimpleNamespace, disk: Disk) -> None:
    fill(s3, 3)
    disk.found = FULL
    assert enhance()["landed"] == 3


def test_single_downloads_look_first(autoenhance: Sandbox, enhanced: str, disk: Disk) -> None:
    disk.found = FULL
    options: dict[str, Any] = {
        "task_id": "t",
        "destination": "s3://enhanced/x/",
        "preview": False,
        "output_spec": "tiff",
    }
    order_id = autoenhance.ledger()["orders"][0]["order_id"]
    for task in (
        AutoenhanceDownloadImageOperator(image_id=enhanced, **options),
        AutoenhanceDownloadOrderOperator(order_id=order_id, **options),
    ):
        with pytest.raises(errors.ServerError, match="TMPDIR"):
            run(task)
    assert autoenhance.ledger()["credits"]["spent"] == 0


@pytest.mark.parametrize("stage", ["bought", "encoded", "encoded by a library"])
def test_one_photo_that_meets_the_full_disk_fails_alone(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    """It is full while one is converted, and has room again when the others are."""
    fill(s3, 4)
    struck = iter([True])
    write, original = LocalDestination.write, encode._WRITERS["tiff"]

    def store(self: LocalDestination, body: Any, **about: Any) -> Any:
        if stage == "bought" and Path(self.uri).name == "bought.png" and next(struck, False):
            body.read(10)
            disk.full_looks = 1
            raise errors.DestinationFullError(f"{self.uri}: the disk is full.")
        return write(self, body, **about)

    def writer(encoding: Any, target: Path) -> None:
        if stage == "encoded" and next(struck, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        if stage == "encoded by a library" and next(struck, False):
            disk.full_looks = 2  # whether the bought file has room, and whether the folder had
            raise OSError("wbuffer_write: write failed")
        original(encoding, target)

    monkeypatch.setattr(LocalDestination, "write", store)
    monkeypatch.setitem(encode._WRITERS, "tiff", writer)
    it = operator(output_spec="tiff", concurrency=1)
    about = context(it, run_id="night-1")
    with pytest.raises(errors.ServerError, match=r"1 of 4 photos failed.*no room.*TMPDIR"):
        it.execute(about)
    assert len(outputs(s3)) == 3
    assert about["ti"].xcom["summary"]["credits"] == autoenhance.ledger()["credits"]["spent"] == 4
    assert enhance(output_spec="tiff", try_number=2)["credits"] == autoenhance.ledger()["credits"]["spent"] == 4


def test_a_damaged_picture_is_no_full_disk(s3: SimpleNamespace, disk: Disk) -> None:
    with pytest.raises(errors.ConversionError, match="damaged"), temporary.temporary_folder("photo 1"):
        raise errors.ConversionError("photo 1: damaged")
    disk.found = FULL
    with pytest.raises(errors.DestinationFullError, match="/data/x"), temporary.temporary_folder("photo 1"):
        raise errors.DestinationFullError("/data/x: the disk is full.")


@pytest.mark.parametrize("deferrable", [False, True])
def test_credits_are_said_where_a_full_destination_ends_the_batch(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    fill(s3, 3)
    fill_up_destination(monkeypatch)
    autoenhance.settings(processing_seconds=[0.5, 0.5])
    it = operator(deferrable=deferrable)
    about = context(it)
    with pytest.raises(Exception, match="full"):
        try:
            it.execute(about)
        except TaskDeferred as deferral:
            event = json.loads(json.dumps(asyncio.run(event_of(deferral.trigger))))
            it = operator(deferrable=deferrable)
            about = context(it)
            it.execute_complete(about, event)
    summary = about["ti"].xcom["summary"]
    assert summary["credits"] == autoenhance.ledger()["credits"]["spent"] > 0
    assert summary["failed"] == 3


def test_only_what_is_bought_is_said_to_be(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One photo finds the destination full, and all the others end with that."""
    fill(s3, 6)
    with monkeypatch.context() as patch:
        fill_up_destination(patch)
        with pytest.raises(AirflowFailException, match="destination is full"):
            enhance(concurrency=1)
    rows = manifest(s3)
    assert len(rows) == 6
    assert [row["reason"].endswith(BOUGHT) for row in rows] == [bool(row["credits"]) for row in rows]
    assert sum(row["credits"] for row in rows) == autoenhance.ledger()["credits"]["spent"] < 6
