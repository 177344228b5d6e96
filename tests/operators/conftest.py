"""What tests of operators share."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_autoenhance.api.models import ImageStatus
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.batch import claims, lease
from tests.support.batch import Enhance, event_of, fill, operator
from tests.support.elsewhere import Begin, Elsewhere
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import connection_of, context


@pytest.fixture(autouse=True)
def early_events(monkeypatch: pytest.MonkeyPatch, short_waits: None) -> None:
    monkeypatch.setattr("airflow_provider_autoenhance.triggers.orders.EARLIEST_EVENT_SECONDS", 0.1)
    monkeypatch.setattr(claims, "POLL_SECONDS", (0.02,))


@pytest.fixture
def elsewhere(s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Return a function that lets a run over some photos begin on another worker, with the seconds that count for leases from then on."""
    begun: list[Elsewhere] = []

    def begin(photos: int = 2, *, patience: float = 60.0, renew: float = 10.0, **options: Any) -> Elsewhere:
        monkeypatch.setattr(lease, "PATIENCE_SECONDS", patience)
        monkeypatch.setattr(lease, "RENEW_SECONDS", renew)
        fill(s3, photos)
        begun.append(Elsewhere(monkeypatch, **options))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


@pytest.fixture
def other_store(s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Another S3 with buckets of the same names, behind the connection ``other``."""
    server = Sandbox.start()
    try:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", connection_of(server, "AWS_DEFAULT"))
        keys = {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"}
        client = boto3.client("s3", endpoint_url=server.s3_url, region_name="us-east-1", **keys)
        for bucket in ("listings", "enhanced"):
            client.create_bucket(Bucket=bucket)
        yield client
    finally:
        server.stop()


@pytest.fixture
def enhance(autoenhance: Sandbox, s3: SimpleNamespace) -> Enhance:
    """Return a function that runs the operator as a worker would, through its deferrals where there are some."""

    def run(*, run_id: str = "night-1", try_number: int = 1, **options: Any) -> dict[str, Any]:
        event: list[Any] = []
        while True:
            it = operator(**options)
            about = context(it, run_id=run_id, try_number=try_number)
            try:
                return it.execute_complete(about, *event) if event else it.execute(about)
            except TaskDeferred as deferral:
                event = [json.loads(json.dumps(asyncio.run(event_of(deferral.trigger))))]

    return run


@pytest.fixture
def enhanced(autoenhance: Sandbox, s3: SimpleNamespace) -> str:
    """Id of an enhanced image."""
    hook = AutoenhanceHook()
    created = hook.create_image("maple/kitchen.jpg")
    upload(hook, created, photo())
    while hook.get_image(created.image.image_id).status is not ImageStatus.PROCESSED:
        time.sleep(0.02)
    return created.image.image_id
