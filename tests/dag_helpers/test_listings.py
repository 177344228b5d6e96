"""Folders of photos as mapped tasks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import SettingsError, SourceError
from airflow_provider_autoenhance.dag_helpers import listings as groups
from airflow_provider_autoenhance.dag_helpers.listings import (
    MAX_GROUPS,
    MOST_TOGETHER,
    group_name,
    list_groups,
    worker_slots,
)
from airflow_provider_autoenhance.pipeline.job import Job, Run
from airflow_provider_autoenhance.pipeline.plan.listing import list_folders
from airflow_provider_autoenhance.pipeline.sources import Sources
from airflow_provider_autoenhance.storage import StoredFile


def stored(uri: str) -> StoredFile:
    return StoredFile(uri=uri, size=1, etag=uri)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that says what the source holds."""

    def hold(uris: Iterable[str]) -> None:
        found = [stored(uri) for uri in uris]
        monkeypatch.setattr(groups, "list_files", lambda *_, **__: iter(found))

    return hold


def photos(folders: int, each: int) -> Iterator[str]:
    return (f"s3://in/{folder:05}/{number:03}.jpg" for folder in range(folders) for number in range(each))


def folders_of(items: list[dict[str, Any]]) -> list[str]:
    return [
        each for item in items for each in ([item["source"]] if isinstance(item["source"], str) else item["source"])
    ]


def test_fifty_thousand_photos_in_a_thousand_folders_are_a_thousand_tasks(listed: Any) -> None:
    listed(photos(1000, 50))
    items = list_groups("s3://in/", "s3://out/")
    assert len(items) == 1000
    assert items[7] == {"source": "s3://in/00007/", "destination": "s3://out/00007/", "recursive": True}


@pytest.mark.parametrize("folders", [MAX_GROUPS, MAX_GROUPS + 1, 3000, 10_000])
@pytest.mark.parametrize("root", [0, 1])
def test_more_folders_than_airflow_maps_share_tasks(listed: Any, folders: int, root: int) -> None:
    listed([*(["s3://in/loose.jpg"] * root), *photos(folders, 2)])
    items = list_groups("s3://in", "s3://out")
    assert MAX_GROUPS // 2 <= len(items) <= MAX_GROUPS
    assert folders_of(items) == ["s3://in/"] * root + [f"s3://in/{folder:05}/" for folder in range(folders)]


def test_the_order_is_that_of_names_whatever_the_listing_says(listed: Any) -> None:
    uris = list(photos(20, 1))
    listed(uris)
    items = list_groups("s3://in/", "s3://out/")
    listed(reversed(uris))
    assert list_groups("s3://in/", "s3://out/") == items
    listed(["s3://in/000/new.jpg", *uris])
    assert list_groups("s3://in/", "s3://out/")[1:] == items, "a folder in front moves the others, and changes none"


def sized(listings: dict[str, int]) -> list[StoredFile]:
    return [StoredFile(uri=f"s3://in/{name}/1.jpg", size=size, etag=name) for name, size in listings.items()]


@pytest.mark.parametrize("tasks", [1, 2, 7, 16])
def test_tasks_are_of_equal_size_by_bytes_and_hold_each_listing_once(
    monkeypatch: pytest.MonkeyPatch, tasks: int
) -> None:
    chance = random.Random(tasks)
    sizes = {f"{number:03}": int(1e6 * chance.lognormvariate(1, 1)) for number in range(200)}
    monkeypatch.setattr(groups, "list_files", lambda *_, **__: iter(sized(sizes)))
    items = list_groups("s3://in/", "s3://out/", tasks=tasks)
    assert (len(items), sorted(folders_of(items))) == (tasks, [f"s3://in/{name}/" for name in sizes])
    loads = [sum(sizes[group_name(each)] for each in item["source"]) for item in items]
    assert max(loads) <= 1.1 * min(loads)
    for item in items:
        assert (item["destination"], item["recursive"], item["listings"]) == ("s3://out/", True, True)
        assert item["source"] == sorted(item["source"])


def test_a_listing_alone_in_its_task_is_a_task_as_it_ever_was(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"huge": 1000, "a": 1, "b": 1}
    monkeypatch.setattr(groups, "list_files", lambda *_, **__: iter(sized(sizes)))
    together, alone = list_groups("s3://in/", "s3://out/", tasks=2)
    assert alone == {"source": "s3://in/huge/", "destination": "s3://out/huge/", "recursive": True}
    assert together["source"] == ["s3://in/a/", "s3://in/b/"]
    each = list_groups("s3://in/", "s3://out/")
    assert list_groups("s3://in/", "s3://out/", tasks=3) == list_groups("s3://in/", "s3://out/", tasks=99) == each


def test_tasks_are_bounded_by_what_airflow_maps_and_a_trigger_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"huge": 10**9} | {f"{number:05}": 1 for number in range(3 * MOST_TOGETHER - 1)}
    monkeypatch.setattr(groups, "list_files", lambda *_, **__: iter(sized(sizes)))
    items = list_groups("s3://in/", "s3://out/", tasks=1)
    assert len(items) == 3
    assert max(len(item["source"]) for item in items) <= MOST_TOGETHER
    assert len(list_groups("s3://in/", "s3://out/", tasks=5000)) == MAX_GROUPS
    assert sorted(folders_of(items)) == sorted(f"s3://in/{name}/" for name in sizes)


def test_photos_in_the_folder_itself_are_one_of_the_tasks(listed: Any) -> None:
    listed(["s3://in/loose.jpg", *photos(10, 2)])
    items = list_groups("s3://in/", "s3://out/", tasks=3)
    assert (len(items), items[0]) == (3, {"source": "s3://in/", "destination": "s3://out/", "recursive": False})


def test_one_listing_is_chosen_by_its_name(listed: Any) -> None:
    listed(["s3://in/elm/1.jpg", "s3://in/elm-4/1.jpg", "s3://in/oak [2]/1.jpg", "s3://in/loose.jpg"])
    chosen = [folders_of(list_groups("s3://in/", "s3://out/", only=only)) for only in ("elm", ["elm*"], "oak [2]")]
    assert chosen == [["s3://in/elm/"], ["s3://in/elm-4/", "s3://in/elm/"], ["s3://in/oak [2]/"]]
    with pytest.raises(SettingsError, match="only='eml' names no listing with photos in s3://in/"):
        list_groups("s3://in/", "s3://out/", only=["elm", "eml"])


@pytest.mark.parametrize(
    ("executor", "pod", "slots"),
    [("LocalExecutor", False, 3), ("CeleryExecutor", False, 8), ("LocalExecutor", True, 8), ("CeleryExecutor,LocalExecutor", False, 8)],
)  # fmt: skip
def test_worker_slots_are_those_that_can_work_at_once(
    monkeypatch: pytest.MonkeyPatch, executor: str, pod: bool, slots: int
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "32")
    monkeypatch.setenv("AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG", "8")
    monkeypatch.setattr(groups.os, "sched_getaffinity", lambda _: {0, 1, 5})
    if pod:
        monkeypatch.setenv("AIRFLOW_IS_K8S_EXECUTOR_POD", "True")
    assert worker_slots() == slots
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "2")
    assert worker_slots() == 2


def test_outputs_below_the_source_are_no_listing(listed: Any) -> None:
    listed(["s3://in/a/1.jpg", "s3://in/out/a/1.jpg"])
    assert folders_of(list_groups("s3://in/", "s3://in/out/")) == ["s3://in/a/"]
    listed(["s3://in/a/1.jpg", "s3://in/out/a/1.jpg"])
    assert folders_of(list_groups("s3://reader@in/", "s3://writer@in/out/")) == ["s3://reader@in/a/"]


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_the_operator_lands_each_photo_in_the_same_place_however_they_are_grouped(tmp_path: Path, most: int) -> None:
    source, destination = tmp_path / "in", tmp_path / "out"
    write(source, "loose.jpg", "a/1.jpg", "a/up/2.jpg", "b/1.jpg", "c/1.jpg", "c/notes.txt", "only-notes/read.me")
    items = list_groups(str(source), str(destination), max_groups=most)
    assert len(items) <= max(most, 2), "photos in the folder itself are a task of their own"
    landed = {}
    for item in items:
        given = item["source"]
        sources = [given] if isinstance(given, str) else given
        job = Job(
            run=Run("d", "t", "r"),
            sources=Sources(sources),
            destination=item["destination"],
            recursive=item["recursive"],
        )
        landed |= {photo.source: photo.targets[0] for group in list_folders(job, {}) for photo in group.photos}
    names = ["loose.jpg", "a/1.jpg", "a/up/2.jpg", "b/1.jpg", "c/1.jpg"]
    assert {_under(source, k): _under(destination, v) for k, v in landed.items()} == {name: name for name in names}


def _under(root: Path, uri: str) -> str:
    return uri.removeprefix("file://").removeprefix(f"{root}/")


def test_patterns_choose_photos(tmp_path: Path) -> None:
    write(tmp_path, "a/1.jpg", "b/1.png", "c/draft-1.jpg")
    items = list_groups(str(tmp_path), str(tmp_path / "out"), include=["*.jpg"], exclude=["draft*"])
    assert [group_name(item["source"]) for item in items] == ["a"]


def test_a_missing_day_is_no_error_but_a_missing_store_is(tmp_path: Path) -> None:
    assert list_groups(str(tmp_path / "2026-01-01"), "s3://out/", missing_ok=True) == []
    with pytest.raises(SourceError, match="does not exist"):
        list_groups(str(tmp_path / "2026-01-01"), "s3://out/")
    with pytest.raises(SourceError, match="does not exist"):
        list_groups(str(tmp_path / "no-mount" / "2026-01-01"), "s3://out/", missing_ok=True)


def test_names() -> None:
    assert group_name("s3://in/maple/") == "maple"
    assert group_name(["s3://in/ash/", "s3://in/elm/", "s3://in/oak/"]) == "ash … oak"


@pytest.mark.parametrize(
    "query",
    [
        "?AWSAccessKeyId=ASIA&Signature=x/c2VjcmV0&Expires=1",
        "?X-Amz-Credential=ASIA/20260301/s3/aws4_request&X-Amz-Signature=c2VjcmV0",
        "?t=/c2VjcmV0",
        "/?c2VjcmV0/",
    ],
)
def test_a_name_holds_no_credential(query: str) -> None:
    assert group_name(f"https://photos.example/day/1.jpg{query}") == "1.jpg"
    assert group_name([f"https://photos.example/1.jpg{query}", "s3://k:c2VjcmV0@in"]) == "1.jpg … in"


def test_a_name_is_one_line() -> None:
    assert group_name("s3://in/maple\n[ERROR] forged\x1b[2J/") == "maple [ERROR] forged [2J"
