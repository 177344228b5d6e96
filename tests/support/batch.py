"""The batch operator in tests, and what it leaves in the bucket."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.pipeline.batch.manifest import MANIFEST
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from airflow_provider_autoenhance.storage.s3 import S3Destination
from tests.support.photos import photo
from tests.support.tasks import context, run

Enhance = Callable[..., dict[str, Any]]


def enhance_to(source: Any, destination: str, *, run_id: str = "night-1", **options: Any) -> dict[str, Any]:
    """Run the operator from one place to another."""
    about = {"source": source, "destination": destination, "preview": False, "poll_interval": 0.1} | options
    return dict(run(AutoenhanceEnhanceOperator(task_id="enhance", **about), run_id=run_id))


def operator(**options: Any) -> AutoenhanceEnhanceOperator:
    defaults: dict[str, Any] = {
        "task_id": "enhance",
        "source": "s3://listings/maple/",
        "destination": "s3://enhanced/maple/",
        "preview": False,
        "poll_interval": 0.1,
        "timeout": 60,
        "concurrency": 4,
    }
    return AutoenhanceEnhanceOperator(**defaults | options)


def enhanced_by(sibling: int, **options: Any) -> dict[str, Any]:
    """Run one of several mapped tasks."""
    it = operator(**options)
    return it.execute(context(it, map_index=sibling))


async def event_of(trigger: Any) -> Any:
    """Return a trigger's one event."""
    (event,) = [event.payload async for event in trigger.run()]
    return event


def fill_up_destination(patch: pytest.MonkeyPatch) -> None:
    """No photo finds room at its destination in S3 any more; what is written beside them does."""
    original = S3Destination.write

    def write(self: S3Destination, body: Any, **about: Any) -> Any:
        if self.uri.endswith(".jpg"):
            body.read(10)
            raise errors.DestinationFullError(f"{self.uri}: the destination is full.")
        return original(self, body, **about)

    patch.setattr(S3Destination, "write", write)


def fill(s3: SimpleNamespace, count: int, folder: str = "maple") -> list[str]:
    names = [f"{number:03}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        s3.put(f"{folder}/{name}", photo(shade=40 + number))
    return names


def outputs(s3: SimpleNamespace) -> list[str]:
    return [key for key in s3.keys() if RECORDS_FOLDER not in key and "autoenhance-manifest" not in key]


def manifest(s3: SimpleNamespace, folder: str = "maple") -> list[dict[str, Any]]:
    return [json.loads(line) for line in s3.get(f"{folder}/{MANIFEST}").splitlines()]
