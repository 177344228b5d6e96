"""Listings that share a task: tonight with these neighbours, tomorrow with others, or with none."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias, TaskDeferred

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.dag_helpers.listings import list_groups
from airflow_provider_autoenhance.dag_helpers.report import NightReport
from airflow_provider_autoenhance.pipeline.batch import lease, photo_steps
from airflow_provider_autoenhance.pipeline.batch.manifest import MANIFEST
from tests.support.batch import Enhance, operator, outputs
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, execute

DAY = "s3://listings/day/", "s3://enhanced/day/"
NAMES = ("ash", "birch", "cedar", "elm", "fir", "maple", "oak")

Night = Callable[..., list[dict[str, Any]]]


def fill_day(s3: SimpleNamespace, *names: str, photos: int = 2) -> None:
    for place, name in enumerate(names):
        for number in range(photos):
            s3.put(f"day/{name}/{number}.jpg", photo(shade=20 + 10 * place + number))


def pack(tasks: int | None, **chosen: Any) -> list[dict[str, Any]]:
    groups = list_groups(*DAY, tasks=tasks, **chosen)
    assert tasks is None or len(groups) <= tasks
    return groups


@pytest.fixture
def night(enhance: Enhance, monkeypatch: pytest.MonkeyPatch) -> Night:
    """Return a function that enhances the day as the nightly DAG does, packed into so many tasks."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 1.0)

    def run(tasks: int | None, *, run_id: str, **options: Any) -> list[dict[str, Any]]:
        return [enhance(run_id=run_id, **each, **options) for each in pack(tasks)]

    return run


def paid(autoenhance: Sandbox) -> tuple[int, int]:
    """Return how many images were made, and how many credits spent."""
    books = autoenhance.ledger()
    return books["images_created"], sum(books["credits"]["by_image"].values())


def manifests(s3: SimpleNamespace) -> dict[str, dict[str, str]]:
    """Return what each manifest says of its photos."""
    found = {}
    for key in (key for key in s3.keys() if "autoenhance-manifest" in key):
        rows = [json.loads(line) for line in s3.get(key).splitlines()]
        found[key] = {row["source"].rpartition("/")[2]: row["status"] for row in rows}
    return found


def true_manifests(*names: str, photos: int = 2) -> dict[str, dict[str, str]]:
    return {f"day/{name}/{MANIFEST}": {f"{number}.jpg": "landed" for number in range(photos)} for name in sorted(names)}


def test_a_listing_is_bought_once_however_it_is_packed_each_night(
    night: Night, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill_day(s3, *NAMES)
    first = night(3, run_id="night-1")
    assert (len(first), sum(each["landed"] for each in first), paid(autoenhance)) == (3, 14, (14, 14))
    files, calls = outputs(s3), autoenhance.ledger()["requests"]
    assert files == [f"day/{name}/{number}.jpg" for name in NAMES for number in range(2)]
    assert manifests(s3) == true_manifests(*NAMES)
    for number, tasks in enumerate((5, None, 1, 3)):
        again = night(tasks, run_id=f"night-{2 + number}")
        assert (sum(each["skipped"] for each in again), sum(each["credits"] for each in again)) == (14, 0)
    assert (outputs(s3), manifests(s3)) == (files, true_manifests(*NAMES))
    assert autoenhance.ledger()["requests"] == calls, "an idle night asks Autoenhance for nothing"


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_what_changed_or_is_new_alone_is_bought_in_another_packing(
    night: Night, s3: SimpleNamespace, autoenhance: Sandbox, deferrable: bool
) -> None:
    fill_day(s3, *NAMES)
    night(None, run_id="night-1", deferrable=deferrable)
    s3.put("day/elm/1.jpg", photo(shade=201))
    fill_day(s3, "willow", "acorn")
    second = night(2, run_id="night-2", deferrable=deferrable)
    assert sum(each["credits"] for each in second) == 5
    assert paid(autoenhance) == (19, 19)
    assert manifests(s3) == true_manifests(*NAMES, "willow", "acorn")


TEMPLATES: list[dict[str, Any]] = [
    {"destination_template": "web/{folder}{stem}.jpg"},
    {"destination_template": "{stem}.jpg"},
    {"group_by": "all"},
    {"image_name_template": "{stem}-{fingerprint}.jpg"},
    {"output_spec": [{"format": "jpeg", "name_template": "print/{folder}{stem}.{extension}"}, {"format": "webp"}]},
]


@pytest.mark.parametrize("options", TEMPLATES, ids=["web", "flat", "all", "named", "two outputs"])
@pytest.mark.parametrize("nights", [(2, None), (None, 2), (2, 3)], ids=["apart later", "together later", "otherwise"])
def test_files_and_records_lie_where_they_would_for_a_listing_alone(
    night: Night, s3: SimpleNamespace, autoenhance: Sandbox, options: dict[str, Any], nights: tuple[int | None, ...]
) -> None:
    fill_day(s3, *NAMES[:4])
    s3.put("day/ash/up/attic.jpg", photo(shade=200))
    night(nights[0], run_id="night-1", **options)
    files, told = outputs(s3), manifests(s3)
    again = night(nights[1], run_id="night-2", **options)
    assert (sum(each["skipped"] for each in again), paid(autoenhance)) == (9, (9, 9))
    assert (outputs(s3), manifests(s3)) == (files, told)
    assert {key.split("/")[1] for key in files} == set(NAMES[:4])


@pytest.mark.parametrize("metadata", ["beside", "instead"])
@pytest.mark.parametrize("tasks", [(3, 2), (1, None), (None, 1)])
def test_a_killed_task_is_gone_on_with_in_another_packing(
    night: Night,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tasks: tuple[int | None, int | None],
    metadata: str,
) -> None:
    """Of what was made, nobody has written more than the orders; where metadata is lost, images are known by their names."""
    fill_day(s3, *NAMES)
    autoenhance.settings(metadata_written=metadata)
    made, uploaded = photo_steps.upload_new, 0

    class Killed(BaseException):
        """SIGKILL, as far as a test can."""

    def dies(*about: Any) -> Any:
        nonlocal uploaded
        uploaded += 1
        if uploaded > 4:
            raise Killed
        return made(*about)

    with monkeypatch.context() as patch:
        patch.setattr(photo_steps, "upload_new", dies)
        patch.setattr(lease.Lease, "end", lambda self: self._ended.set())
        patch.setattr("airflow_provider_autoenhance.pipeline.batch.books.Books.checkpoint", lambda *_: None)
        patch.setattr(
            "airflow_provider_autoenhance.pipeline.batch.claims.Claims.release", lambda self: self._lease.end()
        )
        with pytest.raises(Killed):
            night(tasks[0], run_id="night-1", concurrency=1)
    assert paid(autoenhance)[0] == 4
    after = night(tasks[1], run_id="night-1")
    assert (sum(each["landed"] + each["skipped"] for each in after), paid(autoenhance)) == (14, (14, 14))
    assert manifests(s3) == true_manifests(*NAMES)


def test_a_clear_in_the_same_run_with_another_packing_buys_nothing(
    night: Night, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    """As it is where somebody clears the task that lists, too: without that, the packing is what its XCom holds."""
    fill_day(s3, *NAMES)
    autoenhance.settings(processing_seconds=[2, 2])
    for group in pack(3):
        it = operator(deferrable=True, **group)
        with pytest.raises(TaskDeferred):
            execute(it, context(it, run_id="night-1", map_index=0))
    fill_day(s3, *NAMES, "acorn")
    after = night(2, run_id="night-1")
    assert (sum(each["landed"] + each["skipped"] for each in after), paid(autoenhance)) == (16, (16, 16))
    assert manifests(s3) == true_manifests(*NAMES, "acorn")


def test_each_listing_is_told_for_itself(night: Night, s3: SimpleNamespace) -> None:
    fill_day(s3, "ash", "elm", photos=3)
    s3.put("day/elm/bad.jpg", photo()[:-60])
    (summary,) = night(1, run_id="night-1", max_failures=1)
    ash, elm = summary["listings"]
    assert (ash["source"], ash["destination"]) == ("s3://listings/day/ash/", "s3://enhanced/day/ash/")
    assert ash["manifest"] == f"s3://enhanced/day/ash/{MANIFEST}"
    assert (ash["photos"], ash["landed"], ash["credits"], ash["failures"], ash["status"]) == (3, 3, 3, [], "ok")
    assert (elm["photos"], elm["landed"], elm["failed"], elm["status"]) == (4, 3, 1, "ok")
    assert [each["photo"] for each in elm["failures"]] == ["bad.jpg"]
    assert (summary["photos"], summary["landed"], summary["failed"], summary["credits"]) == (7, 6, 1, 6)
    assert [each["photo"] for each in summary["failures"]] == ["elm/bad.jpg"]
    report = NightReport(pack(1), [summary], [summary])
    assert [(each.name, each.status) for each in report.listings] == [("ash", "ok"), ("elm", "ok")]
    assert report.result()["problems"] == [f"elm/bad.jpg: {elm['failures'][0]['reason']}"]


class Events(dict[str, Any]):
    """Stands for Airflow's accessors: the assets that were added to each outlet. Before Airflow 3.2 an alias cannot be a key."""

    def __getitem__(self, outlet: Any) -> Any:
        name = outlet.name if hasattr(outlet, "name") else outlet.uri
        told: list[Any] = []
        accessor = SimpleNamespace(extra={}, told=told, add=lambda *each, **more: told.append((*each, more)))
        return self.setdefault(name, accessor)


ALIAS = AssetAlias("enhanced")


def packed_task(tries: int = 0, **options: Any) -> tuple[Any, dict[str, Any]]:
    it = operator(**pack(1)[0], **options)
    about = context(it, map_index=0)
    about["ti"].max_tries = tries
    about["outlet_events"] = Events()
    return it, about


def test_a_bad_listing_fails_by_name_and_harms_no_other(
    s3: SimpleNamespace, autoenhance: Sandbox, short_waits: None
) -> None:
    fill_day(s3, "ash", "elm", "oak", photos=3)
    s3.put("day/elm/bad.jpg", photo()[:-60])
    it, about = packed_task(max_failures="20%")
    with pytest.raises(
        Exception, match=r"1 of 3 listings failed, and the others are done\. elm: 1 of 4 photos failed.*bad.jpg"
    ):
        execute(it, about)
    summary = about["ti"].xcom["summary"]
    assert [each["status"] for each in summary["listings"]] == ["ok", "failed", "ok"]
    assert paid(autoenhance)[1] == 9
    report = NightReport(pack(1), [summary], None)
    assert report.result()["failed_listing_names"] == ["elm"]
    assert [line.split()[:2] for line in report.lines()][1:4] == [["ash", "ok"], ["elm", "failed"], ["oak", "ok"]]
    s3.put("day/elm/bad.jpg", photo(shade=77))
    it, about = packed_task()
    assert execute(it, about)["landed"] == 10, "cleared, it redoes what is not landed, and says what the run has done"
    assert paid(autoenhance)[1] == 10


def test_the_events_of_good_listings_are_not_lost_with_a_bad_one(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill_day(s3, "ash", "elm", "oak")
    s3.put("day/elm/bad.jpg", photo()[:-60])
    whole = Asset("s3://enhanced/day")
    it, about = packed_task(tries=2, outlets=[ALIAS, whole])
    execute(it, about)
    told = about["outlet_events"][ALIAS].told
    assert [asset.uri for asset, _ in told] == [f"s3://enhanced/day/{name}" for name in ("ash", "elm", "oak")]
    for (_, more), name, failed in zip(told, ("ash", "elm", "oak"), (0, 1, 0), strict=True):
        extra = more["extra"]
        assert (extra["folder"], extra["sources"]) == (f"s3://enhanced/day/{name}/", f"s3://listings/day/{name}/")
        assert (extra["landed"], extra["failed"], len(extra["order_ids"].split())) == (2, failed, 1)
    assert about["outlet_events"][whole].extra["landed"] == 6


def test_a_failure_that_passes_is_tried_again_before_the_others_are_told(
    s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill_day(s3, "ash", "elm")
    autoenhance.faults([{"endpoint": "create_image", "kind": "500", "match": "1-*"}])
    it, about = packed_task(tries=1, outlets=[ALIAS])
    with pytest.raises(errors.ServerError, match="2 of 2 listings failed"):
        execute(it, about)
    autoenhance.faults([])
    it, about = packed_task(tries=1, outlets=[ALIAS])
    about["ti"].try_number = 2
    assert execute(it, about)["landed"] == 4
    assert len(about["outlet_events"][ALIAS].told) == 2


def test_a_listing_with_a_damaged_record_stops_no_other(s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill_day(s3, "ash", "elm")
    it, about = packed_task()
    execute(it, about)
    (record,) = [key for key in s3.keys() if "/elm/.autoenhance/" in key and key.endswith(".jsonl")]
    s3.client.put_object(Bucket="enhanced", Key=record, Body=b"{")
    s3.put("day/ash/new.jpg", photo(shade=99))
    it, about = packed_task()
    with pytest.raises(Exception, match=r"1 of 2 listings failed.*elm: DestinationError: .*is damaged"):
        execute(it, about)
    summary = about["ti"].xcom["summary"]
    assert [each["status"] for each in summary["listings"]] == ["ok", "failed"]
    assert (paid(autoenhance), NightReport(pack(1), summary, None).result()["failed_listing_names"]) == (
        (5, 5),
        ["elm"],
    )


def test_limits_count_in_each_listing(night: Night, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill_day(s3, "ash", "elm", photos=3)
    (summary,) = night(1, run_id="night-1", max_credits=2)
    assert [(each["landed"], each["held"]) for each in summary["listings"]] == [(2, 1), (2, 1)]
    assert paid(autoenhance) == (4, 4)


def test_a_dry_run_says_what_each_listing_would_cost(night: Night, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill_day(s3, "ash", "elm", photos=3)
    (summary,) = night(1, run_id="night-1", plan_only=True, max_credits=2)
    assert [(each["photos"], each["credits"], each["held"]) for each in summary["listings"]] == [(3, 2, 1)] * 2
    report = NightReport(pack(1), summary, summary)
    assert report.totals() == {"photos": 6, "skipped": 0, "held": 2, "credits": 4, "full_size_credits": 4}
    assert paid(autoenhance) == (0, 0)


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        (["s3://listings/a/elm/", "s3://listings/b/elm/"], "have one name"),
        (["s3://listings/a/", "s3://listings/a/elm/"], "lies in s3://listings/a/"),
        (["s3://listings/a/", "s3://listings/b/1.jpg"], "is a file"),
    ],
)
def test_listings_that_are_not_apart_are_refused(
    enhance: Enhance, autoenhance: Sandbox, sources: list[str], problem: str
) -> None:
    with pytest.raises(Exception, match=problem):
        enhance(source=sources, listings=True)
    assert autoenhance.ledger()["requests"] == {}


def test_the_map_index_names_each_listing() -> None:
    it = operator(source=["s3://in/ash/", "s3://in/elm/", "s3://in/oak/"], listings=True)
    assert it.listing == "ash, elm, oak"
