"""Several tasks whose destinations lie in one source: the results of one are no photos of another."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_autoenhance.dag_helpers.arrivals import changed_folders
from airflow_provider_autoenhance.dag_helpers.listings import list_groups
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import run

pytestmark = pytest.mark.usefixtures("short_waits", "autoenhance")

PHOTOS = ["0.jpg", "maple/1.jpg", "maple/up/2.jpg"]


@pytest.fixture(params=["disk", "s3"])
def source(request: pytest.FixtureRequest, tmp_path: Path, s3: SimpleNamespace) -> str:
    """Three photos, one of them in the folder itself."""
    for number, name in enumerate(PHOTOS):
        if request.param == "s3":
            s3.put(f"in/{name}", photo(shade=40 + number))
        else:
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photo(shade=40 + number))
    return "s3://listings/in/" if request.param == "s3" else f"{tmp_path}/in/"


def enhance(task_id: str, source: Any, destination: str, *, run_id: str, **options: Any) -> dict[str, Any]:
    about = {"source": source, "destination": destination, "preview": False, "poll_interval": 0.1} | options
    return dict(run(AutoenhanceEnhanceOperator(task_id=task_id, **about), run_id=run_id))


def spent(autoenhance: Sandbox) -> int:
    return int(autoenhance.ledger()["credits"]["spent"])


@pytest.mark.parametrize("more", [{}, {"group_by": "all"}, {"destination_template": "{stem}.jpg"}], ids=str)
def test_two_tasks_do_not_feed_on_each_other(
    autoenhance: Sandbox, source: str, caplog: pytest.LogCaptureFixture, more: dict[str, Any]
) -> None:
    for night in range(3):
        for task in ("web", "print"):
            summary = enhance(task, source, f"{source}{task}/", run_id=f"night-{night}", **more)
            assert summary["photos"] == 3
    assert spent(autoenhance) <= 6
    assert f"Left out of {source}: 'web/'" in caplog.text
    assert "print/web" not in caplog.text


def test_nor_by_way_of_listings_or_arrivals(autoenhance: Sandbox, source: str) -> None:
    for night in range(2):
        for task in ("web", "print"):
            items = list_groups(source, f"{source}{task}/")
            assert [each["source"] for each in items] == [source, f"{source}maple/"]
            assert sum(enhance(task, run_id=f"night-{night}", **each)["photos"] for each in items) == 3
    assert changed_folders(source, None) == [source, f"{source}maple/", f"{source}maple/up/"]
    assert spent(autoenhance) <= 6


def test_an_earlier_destination_is_no_source(autoenhance: Sandbox, source: str) -> None:
    for night, place in enumerate(("a/", "b/", "b/c/", "a/")):
        summary = enhance("enhance", source, source + place, run_id=f"night-{night}")
        assert summary["photos"] == 3
    assert (summary["skipped"], summary["credits"]) == (3, 0)


def test_a_destination_of_other_sources_is_a_source_from_any_height(
    autoenhance: Sandbox, source: str, tmp_path: Path
) -> None:
    outside = tmp_path / "elsewhere" / "oak"
    outside.mkdir(parents=True)
    (outside / "9.jpg").write_bytes(photo(shade=90))
    enhance("first", f"{outside}/", f"{source}oak/", run_id="night-1")
    assert enhance("second", source, f"{tmp_path}/out/", run_id="night-1")["photos"] == 4
    assert f"{source}oak/" in [each["source"] for each in list_groups(source, f"{tmp_path}/out/")]
    assert f"{source}oak/" in changed_folders(source, None)


def test_results_that_are_asked_for_are_photos(autoenhance: Sandbox, source: str, tmp_path: Path) -> None:
    enhance("web", source, f"{source}web/", run_id="night-1")
    for asked, photos in (
        (f"{source}web/", 3),
        ([source, f"{source}web/"], 6),
        ([f"{source}web/0.jpg", f"{source}maple/1.jpg"], 2),
        ([source, f"{source}web/0.jpg"], 4),
    ):
        summary = enhance("again", asked, f"{tmp_path}/out/", run_id=f"night-{photos}", plan_only=True)
        assert summary["photos"] == photos


def test_a_damaged_record_of_results_is_read_as_far_as_it_goes(
    source: str, tmp_path: Path, s3: SimpleNamespace
) -> None:
    enhance("web", source, f"{source}web/", run_id="night-1", group_by="all")
    if source.startswith("s3:"):
        (key,) = (key for key in s3.keys("listings") if key.endswith(".jsonl") and ".autoenhance" in key)
        s3.put(key, b"{]\n" + s3.client.get_object(Bucket="listings", Key=key)["Body"].read())
    else:
        (file,) = (Path(source) / "web" / ".autoenhance").glob("*.jsonl")
        file.write_bytes(b"{]\n" + file.read_bytes())
    assert enhance("print", source, f"{tmp_path}/out/", run_id="night-1", plan_only=True)["photos"] == 3


def test_where_nobody_has_kept_records_nothing_is_read(s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.client import BaseClient

    for name in PHOTOS:
        s3.put(f"in/{name}", photo())
    enhance("web", "s3://listings/in/", "s3://listings/in/web/", run_id="night-1")
    calls: Counter[str] = Counter()
    call = BaseClient._make_api_call

    def counted(self: Any, operation: str, arguments: Any) -> Any:
        calls[operation] += 1
        return call(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", counted)
    assert len(list_groups("s3://listings/in/", "s3://listings/in/web/")) == 2
    assert calls == {"ListObjectsV2": 1}
