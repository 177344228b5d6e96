"""What lies at a destination: all of it, or an error. Half of it would be paid for again."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import DestinationError
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Job, Run
from airflow_provider_autoenhance.pipeline.plan.listing import list_present
from airflow_provider_autoenhance.pipeline.sources import Sources


def job(destination: Path) -> Job:
    return Job(run=Run("nightly", "enhance", "night-1"), sources=Sources(["s3://a/"]), destination=f"{destination}/")


def test_a_destination_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert list_present(job(tmp_path / "new")) == {}
    (tmp_path / "new" / "a.jpg").write_bytes(b"photo")
    assert list(list_present(job(tmp_path / "new"))) == [f"{tmp_path}/new/a.jpg"]


def test_a_destination_that_cannot_be_listed_whole_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / RECORDS_FOLDER).mkdir()
    (tmp_path / "a.jpg").write_bytes(b"photo")
    scandir = os.scandir

    def refusing(path: Any) -> Any:  # root, as which tests may run, may read everything
        if str(path).endswith(RECORDS_FOLDER):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DestinationError, match=r"no permission.*would be enhanced and charged again"):
        list_present(job(tmp_path))
