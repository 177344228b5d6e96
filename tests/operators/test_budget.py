"""What a batch may ask for: few calls, no second work, bounded concurrency."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_autoenhance.dag_helpers.listings import list_groups
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.pipeline.batch.photo_steps import Transfer
from airflow_provider_autoenhance.pipeline.job import Job, Run
from airflow_provider_autoenhance.pipeline.plan.plan import make_plan
from airflow_provider_autoenhance.pipeline.sources import Sources
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import context

#: API calls that carry a photo forward: its creation, and the download's redirect. The PUT goes to another host.
OF_A_PHOTO = ("POST /v3/images/", "PUT /{bucket}/uploads/{key}", "GET /v3/images/{id}/enhanced")

Enhance = Callable[..., dict[str, Any]]


@pytest.fixture
def enhance(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Enhance:
    """Return a function that runs the operator as a worker would, through a deferral where there is one."""
    monkeypatch.setattr("airflow_provider_autoenhance.triggers.orders.EARLIEST_EVENT_SECONDS", 0.2)

    async def event_of(trigger: Any) -> Any:
        (event,) = [event.payload async for event in trigger.run()]
        return event

    def run(*, run_id: str = "night-1", map_index: int = -1, **options: Any) -> dict[str, Any]:
        def task() -> tuple[AutoenhanceEnhanceOperator, dict[str, Any]]:
            defaults = {"task_id": "enhance", "preview": False, "poll_interval": 0.3, "timeout": 60}
            operator = AutoenhanceEnhanceOperator(**defaults | options)
            return operator, context(operator, run_id=run_id, map_index=map_index)

        operator, about = task()
        try:
            return operator.execute(about)
        except TaskDeferred as deferral:
            event = asyncio.run(event_of(deferral.trigger))
        operator, about = task()
        return operator.execute_complete(about, event)

    return run


@pytest.fixture
def s3_calls(monkeypatch: pytest.MonkeyPatch, s3: SimpleNamespace) -> Iterator[Counter[str]]:
    """Count the operations of S3 clients made from now on."""
    from botocore.client import BaseClient

    calls: Counter[str] = Counter()
    original = BaseClient._make_api_call

    def counted(self: Any, operation: str, arguments: Any) -> Any:
        calls[operation] += 1
        return original(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", counted)
    yield calls


def folder_of(tmp_path: Path, count: int, name: str = "maple") -> dict[str, Any]:
    folder = tmp_path / "in" / name
    folder.mkdir(parents=True)
    data = photo(size=(40, 30))
    for number in range(count):
        (folder / f"{number:05}.jpg").write_bytes(data)
    return {"source": f"{folder}/", "destination": f"{tmp_path}/out/{name}/"}


def api_requests(sandbox: Sandbox) -> Counter[str]:
    found = sandbox.ledger(summary=True)["requests"]
    return Counter(
        {label: number for label, number in found.items() if "{bucket}" not in label and "{key}" not in label}
    )


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_calls_beyond_those_that_carry_a_photo(
    enhance: Enhance, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, deferrable: bool
) -> None:
    # Polls come further apart than enhancing takes, as they do in earnest.
    monkeypatch.setattr("airflow_provider_autoenhance.triggers.orders.EARLIEST_EVENT_SECONDS", 2.0)
    autoenhance.settings(processing_seconds=[0.3, 0.6], render="copy")
    summary = enhance(**folder_of(tmp_path, 50), deferrable=deferrable, poll_interval=3)
    assert summary["landed"] == 50
    requests = api_requests(autoenhance)
    assert (requests["POST /v3/images/"], requests["GET /v3/images/{id}/enhanced"]) == (50, 50)
    beyond = {label: number for label, number in requests.items() if label not in OF_A_PHOTO}
    assert sum(beyond.values()) / 50 <= 0.1, beyond


def test_an_unchanged_night_lists_and_reads_a_record_per_group(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, s3_calls: Counter[str]
) -> None:
    for name in ("maple/up/1.jpg", "maple/up/2.jpg", "maple/down/1.jpg"):
        s3.put(name, photo())
    where = {"source": "s3://listings/maple/", "destination": "s3://enhanced/maple/"}
    assert enhance(**where)["landed"] == 3
    before = autoenhance.ledger()["requests"]
    s3_calls.clear()
    assert enhance(**where, run_id="night-2")["skipped"] == 3
    # And the beginning of the manifest, which says whose it is; and whether the gallery is there.
    assert s3_calls == {"ListObjectsV2": 2, "GetObject": 2 + 1, "HeadObject": 2}
    assert autoenhance.ledger()["requests"] == before


def test_a_mapped_list_expanded_anew_with_a_folder_in_front_redoes_nothing(
    enhance: Enhance, autoenhance: Sandbox, tmp_path: Path
) -> None:
    folder_of(tmp_path, 2, "maple")
    folder_of(tmp_path, 2, "oak")

    def night() -> list[dict[str, Any]]:
        groups = list_groups(f"{tmp_path}/in", f"{tmp_path}/out")
        return [enhance(**group, map_index=number) for number, group in enumerate(groups)]

    first = night()
    before = autoenhance.ledger(summary=True)
    folder_of(tmp_path, 3, "ash")
    second = night()
    assert [summary["photos"] for summary in second] == [3, 2, 2]
    assert second[1:] == first
    after = autoenhance.ledger(summary=True)
    for count in ("images_created", "uploads_received"):
        assert after[count] == before[count] + 3
    assert after["credits"]["spent"] == before["credits"]["spent"] + 3


@pytest.mark.parametrize("poison", ["cut short", "too large", "refused"])
def test_one_poisoned_photo_in_fifty(enhance: Enhance, autoenhance: Sandbox, tmp_path: Path, poison: str) -> None:
    autoenhance.settings(render="copy")
    where = folder_of(tmp_path, 50)
    bad = Path(where["source"]) / "00025.jpg"
    if poison == "cut short":
        bad.write_bytes(photo()[:-60])
    elif poison == "too large":
        bad.write_bytes(photo(size=(400, 300)))
        autoenhance.settings(max_upload_bytes=2500)
    else:
        autoenhance.faults([{"endpoint": "create_image", "kind": "422", "match": "00025*"}])
    summary = enhance(**where, max_failures=1)
    assert (summary["landed"], summary["failed"]) == (49, 1)
    assert [failure["photo"] for failure in summary["failures"]] == ["00025.jpg"]
    assert len(list(Path(where["destination"]).glob("*.jpg"))) == 49


def test_ten_thousand_photos_are_planned_without_a_request(autoenhance: Sandbox, tmp_path: Path) -> None:
    """`make bench ARGS=growth` measures how long it takes."""
    from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook

    where = folder_of(tmp_path, 10_000)
    job = Job(
        run=Run("dag", "task", "run"),
        sources=Sources([where["source"]]),
        destination=where["destination"],
        preview=False,
    )
    plan = make_plan(job, AutoenhanceHook())
    assert len(plan.decisions) == 10_000
    assert len(plan.folders[0].free) == 40
    assert api_requests(autoenhance) == {}


def test_no_more_photos_are_moved_at_once_than_asked_for(
    enhance: Enhance, autoenhance: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    autoenhance.settings(render="copy", latency_ms=5)
    under_way: set[str] = set()
    most = 0

    def watched(name: str) -> Callable[..., Any]:
        original = getattr(Transfer, name)

        def move(self: Transfer, decision: Any, *arguments: Any) -> Any:
            nonlocal most
            under_way.add(decision.photo.path)
            most = max(most, len(under_way))
            try:
                return original(self, decision, *arguments)
            finally:
                under_way.discard(decision.photo.path)

        return move

    for name in ("submit", "fetch"):
        monkeypatch.setattr(Transfer, name, watched(name))
    assert enhance(**folder_of(tmp_path, 30), concurrency=4)["landed"] == 30
    assert 1 < most <= 4
