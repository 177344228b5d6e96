"""Whose file lies at a place: a photo is told from others by file and store, and a place by where it really is."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.storage.location import ALIASES
from tests.support.batch import Enhance, enhanced_by, fill, operator
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import run

try:
    from airflow.sdk.io import attach
except ImportError:
    from airflow.io.store import attach


@pytest.mark.parametrize("by", ["another task", "another night", "a mapped sibling"])
def test_a_photo_of_another_store_is_another_photo(
    enhance: Enhance, s3: SimpleNamespace, other_store: Any, autoenhance: Sandbox, by: str
) -> None:
    """The same URI, in a bucket of the same name."""
    fill(s3, 2)
    other_store.put_object(Bucket="listings", Key="maple/000.jpg", Body=photo(shade=200))
    first, second = {"source": "s3://aws_default@listings/maple/"}, {"source": "s3://other@listings/maple/"}
    if by == "a mapped sibling":
        enhanced_by(0, **first)
    else:
        enhance(**first)
    there = s3.get("maple/000.jpg")
    with pytest.raises(AirflowFailException, match=r"s3://listings/maple/000\.jpg of another store"):
        if by == "a mapped sibling":
            enhanced_by(1, **second)
        else:
            enhance(run_id="night-2", task_id="other" if by == "another task" else "enhance", **second)
    assert s3.get("maple/000.jpg") == there
    assert autoenhance.ledger()["images_created"] == 2
    assert enhance(run_id="night-3", **first)["skipped"] == 2
    other_store.put_object(
        Bucket="listings",
        Key="maple/000.jpg",
        Body=s3.client.get_object(Bucket="listings", Key="maple/000.jpg")["Body"].read(),
    )
    again = enhance(run_id="night-4", task_id="other", **second)
    assert (again["skipped"], again["credits"]) == (1, 0), "the same bytes are the same photo, wherever they lie"


def test_a_store_that_an_older_record_does_not_name_may_be_this_one(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 2)
    enhance(run_id="night-1")
    (name,) = (key for key in s3.keys() if key.endswith(".jsonl") and "/.autoenhance/" in key)
    record = s3.get(name)
    assert b'"store": ' in record
    older = b"".join(line.replace(b', "store": ', b', "unknown": ') for line in record.splitlines(keepends=True))
    s3.client.put_object(Bucket="enhanced", Key=name, Body=older)
    assert enhance(run_id="night-2")["skipped"] == 2
    s3.put("maple/000.jpg", photo(shade=200))
    assert enhance(run_id="night-3")["landed"] == 1


def test_a_cleared_run_writes_over_no_photo_that_it_made_of_another_file(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    """Two source folders have one name, and never a photo of that name at once."""
    fold: dict[str, Any] = {
        "source": ["s3://listings/a/maple/", "s3://listings/b/maple/"], "destination": "s3://enhanced/all/", "group_by": "all",
        "max_failures": 1,
    }  # fmt: skip
    s3.put("a/maple/0.jpg", photo(shade=40))
    s3.put("b/maple/1.jpg", photo(shade=60))
    assert enhance(**fold)["landed"] == 2
    there = s3.get("all/maple/0.jpg")
    s3.client.delete_object(Bucket="listings", Key="a/maple/0.jpg")
    s3.put("b/maple/0.jpg", photo(shade=200))
    s3.put("b/maple/2.jpg", photo(shade=90))
    summary = enhance(try_number=2, **fold)
    (failure,) = summary["failures"]
    assert "made from s3://listings/a/maple/0.jpg" in failure["reason"]
    assert s3.get("all/maple/0.jpg") == there
    assert autoenhance.ledger()["images_created"] == 3


@pytest.mark.parametrize("template", ["web/{folder}{stem}.jpg", "web/{folder}up/{stem}.jpg"])
def test_what_a_template_has_put_beside_is_not_written_over(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, tmp_path: Path, template: str
) -> None:
    """Its record lies in another folder than its files."""
    s3.put("day/maple/0.jpg", photo(shade=40))
    s3.put("other/0.jpg", photo(shade=90))
    up = "up/" if "up/" in template else ""
    for place in ("s3://enhanced/day/", f"{tmp_path}/out/"):
        enhance(source="s3://listings/day/", destination=place, destination_template=template)
        made = autoenhance.ledger()["images_created"]
        with pytest.raises(AirflowFailException, match=r"made from s3://listings/day/maple/0\.jpg \(nightly/enhance"):
            enhance(task_id="other", source="s3://listings/other/", destination=f"{place}web/maple/{up}")
        assert autoenhance.ledger()["images_created"] == made
    assert (
        enhance(run_id="night-2", source="s3://listings/day/", destination=place, destination_template=template)[
            "skipped"
        ]
        == 1
    )


@pytest.mark.parametrize("ways", [("real", "link"), ("link", "real"), ("link", "other"), ("up/out", "real")])
def test_what_lies_behind_a_link_is_not_written_over(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, tmp_path: Path, ways: tuple[str, str]
) -> None:
    """Two tasks reach one folder by two names."""
    fill(s3, 1)
    s3.put("oak/000.jpg", photo(shade=200))
    (tmp_path / "disk" / "out").mkdir(parents=True)
    for name in ("real", "link", "other"):
        (tmp_path / name).symlink_to(tmp_path / "disk" / "out")
    (tmp_path / "up").symlink_to(tmp_path / "disk")
    first, second = (f"{tmp_path}/{way}/" for way in ways)
    enhance(destination=first)
    there = (tmp_path / "disk" / "out" / "000.jpg").read_bytes()
    for place in (second, f"{tmp_path}/disk/out/"):
        with pytest.raises(AirflowFailException, match=r"made from s3://listings/maple/000\.jpg"):
            enhance(task_id="other", source="s3://listings/oak/", destination=place)
    assert (tmp_path / "disk" / "out" / "000.jpg").read_bytes() == there
    assert autoenhance.ledger()["images_created"] == 1
    again = enhance(run_id="night-2", destination=second)
    assert (again["failed"], again["credits"]) == (0, 0), "the same photo by the same task"


def test_what_was_landed_above_the_folder_behind_a_link_is_not_written_over(
    s3: SimpleNamespace, autoenhance: Sandbox, tmp_path: Path
) -> None:
    s3.put("day/maple/0.jpg", photo(shade=40))
    s3.put("other/0.jpg", photo(shade=90))
    (tmp_path / "out").mkdir()
    run(operator(source="s3://listings/day/", destination=f"{tmp_path}/out/", group_by="all"), run_id="night-1")
    (tmp_path / "link").symlink_to(tmp_path / "out" / "maple")
    with pytest.raises(AirflowFailException, match=r"made from s3://listings/day/maple/0\.jpg"):
        run(operator(task_id="other", source="s3://listings/other/", destination=f"{tmp_path}/link/"))
    assert autoenhance.ledger()["images_created"] == 1


def test_names_that_become_one_fail_alone(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    for number, name in enumerate(("a#1.jpg", "a_1.jpg", "b.jpg", "c.jpg")):
        s3.put(f"maple/{name}", photo(shade=40 + number))
    summary = enhance(max_failures=2)
    assert (summary["landed"], summary["failed"], summary["credits"]) == (2, 2, 2)
    assert {each["photo"] for each in summary["failures"]} == {"a#1.jpg", "a_1.jpg"}
    assert all(
        "would both become s3://enhanced/maple/a_1.jpg; rename one" in each["reason"] for each in summary["failures"]
    )
    assert autoenhance.ledger()["images_created"] == 2
    s3.client.delete_object(Bucket="listings", Key="maple/a#1.jpg")
    assert enhance(run_id="night-2")["landed"] == 1
    there = s3.get("maple/a_1.jpg")
    s3.put("maple/a#1.jpg", photo(shade=200))
    for night, count in (("night-3", 4), ("night-4", 4)):
        summary = enhance(run_id=night, max_failures=1)
        assert (summary["skipped"], summary["failed"], summary["photos"]) == (3, 1, count), (
            "what has landed stays up to date"
        )
        assert summary["failures"][0]["photo"] == "a#1.jpg"
    assert s3.get("maple/a_1.jpg") == there
    assert autoenhance.ledger()["images_created"] == 3


def test_a_name_that_becomes_one_with_another_while_that_is_waited_for_fails_alone(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    s3.put("maple/a_1.jpg", photo(shade=40))
    autoenhance.settings(processing_seconds=[1, 1])
    first = operator(deferrable=True)
    with pytest.raises(TaskDeferred):
        run(first, run_id="night-1")
    s3.put("maple/a#1.jpg", photo(shade=200))
    summary = enhance(try_number=2, max_failures=1)
    assert (summary["landed"], summary["failed"], summary["credits"]) == (1, 1, 1)
    assert autoenhance.ledger()["images_created"] == 1


def test_names_that_a_disk_takes_for_one_fail_alone(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("A.jpg", "a.jpg", "b.jpg")):
        s3.put(f"maple/{name}", photo(shade=40 + number))
    with monkeypatch.context() as disk:
        disk.setattr("airflow_provider_autoenhance.pipeline.plan.names._is_folded", lambda *_: True)
        summary = enhance(destination=f"{tmp_path}/out/", max_failures=2)
    assert (summary["landed"], summary["failed"]) == (1, 2)
    assert "which are one file there" in summary["failures"][0]["reason"]
    assert enhance(run_id="night-2", destination=f"{tmp_path}/out/")["landed"] == 2
    assert enhance(run_id="night-3")["landed"] == 3, "S3 tells them apart"


def test_mapped_tasks_over_two_stores_have_books_of_their_own(
    s3: SimpleNamespace, other_store: Any, autoenhance: Sandbox
) -> None:
    fill(s3, 1)
    other_store.put_object(Bucket="listings", Key="maple/001.jpg", Body=photo(shade=200))
    for _ in range(2):  # cleared, each says the same again
        summaries = [
            enhanced_by(number, source=f"s3://{conn_id}@listings/maple/")
            for number, conn_id in enumerate(("aws_default", "other"))
        ]
        assert [(each["photos"], each["landed"], each["credits"]) for each in summaries] == [(1, 1, 1)] * 2
        assert len({order for each in summaries for order in each["order_ids"]}) == 2
        assert len({each["manifest"] for each in summaries}) == 2
    assert autoenhance.ledger()["images_created"] == 2


@pytest.mark.parametrize("durable", [True, False])
def test_mapped_tasks_into_two_stores_have_books_of_their_own(
    s3: SimpleNamespace, other_store: Any, autoenhance: Sandbox, durable: bool
) -> None:
    """Neither store knows of the other's records, nor who is at work there."""
    names = fill(s3, 2)
    for _ in range(2):  # cleared, each says the same again
        summaries = [
            enhanced_by(number, destination=f"s3://{conn_id}@enhanced/maple/", durable=durable)
            for number, conn_id in enumerate(("aws_default", "other"))
        ]
        assert [each["landed"] for each in summaries] == [2, 2]
    for client in (s3.client, other_store):
        keys = [each["Key"] for each in client.list_objects_v2(Bucket="enhanced")["Contents"]]
        assert {f"maple/{name}" for name in names} <= set(keys)
    assert (autoenhance.ledger()["images_created"], autoenhance.ledger()["credits"]["spent"]) == (4, 4)


@pytest.mark.parametrize("durable", [True, False])
def test_what_was_made_before_connections_were_part_of_the_identity_is_taken_over(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    fill(s3, 2)
    options: dict[str, Any] = {"source": "s3://aws_default@listings/maple/", "durable": durable}
    with monkeypatch.context() as earlier:
        earlier.setattr(Job, "selection", Job.earlier_selection)
        before = enhanced_by(0, **options)
    again = enhanced_by(0, **options)
    assert before["manifest"] == again["manifest"]
    assert (before["landed"], again["failed"]) == (2, 0)
    assert (autoenhance.ledger()["images_created"], autoenhance.ledger()["credits"]["spent"]) == (2, 2)


class Shelf(MemoryFileSystem):
    """A store of two schemes."""

    cachable = False

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(path.partition("://")[2] if "://" in path else path)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        opened = super()._open(path, mode, **options)
        return io.BytesIO(opened.getvalue()) if mode == "rb" else opened  # all threads would share one position


@pytest.mark.parametrize("on_existing", ["reprocess", "skip"])
@pytest.mark.parametrize("brackets", ["none", 2])
def test_what_was_made_before_a_store_had_one_scheme_is_not_made_again(
    enhance: Enhance, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, on_existing: str, brackets: Any
) -> None:
    """Records of then name ``gcs://``, in fingerprints too."""
    shelf = Shelf()
    monkeypatch.setitem(attach.__globals__, "_STORE_CACHE", {})  # Airflow keeps what another test has attached
    for scheme in ("gcs", "gs"):
        attach(scheme, fs=shelf)
    monkeypatch.setattr(Shelf, "store", {})
    for number in range(2):
        shelf.pipe_file(f"/shop/maple/{number}.jpg", photo(shade=40 + number))
    asked: dict[str, Any] = {"on_existing": on_existing, "brackets": brackets, "thumbnails": False}
    with monkeypatch.context() as earlier:
        earlier.delitem(ALIASES, "gcs")
        before = enhance(source="gcs://shop/maple/", destination="gcs://shop/out/", **asked)
    again = enhance(source="gcs://shop/maple/", destination="gcs://shop/out/", run_id="night-2", **asked)
    photos = 2 if brackets == "none" else 1
    assert (before["landed"], again["skipped"], again["photos"]) == (photos, photos, photos)
    assert autoenhance.ledger()["credits"]["spent"] == photos
