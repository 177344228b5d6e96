"""What the demo says about a run is what happened: events, files, accounts and secrets."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tools import demo_checks
from tools.dag_events import EventLog, RunRecord, TaskRecord
from tools.demo_checks import PhotoResult, check_ledger, check_secrets, collect_results, save_sheet
from tools.local_service import PHOTOS

API = "127.0.0.1:8787"
KEY = "maple-street-12/kitchen.jpg"


class FakeStore:
    """The bucket, in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        from botocore.exceptions import ClientError

        if Key not in self.files:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.files[Key])}


class FakeService:
    """The sandbox's books and bucket, as a test wants them."""

    api = f"http://{API}"
    api_key = "5e" * 16
    s3_secret = "s3-secret-of-the-test"

    def __init__(self, files: dict[str, bytes] | None = None, **books: Any) -> None:
        self.files = files or {}
        self.books: dict[str, Any] = {
            "images_created": 1,
            "uploads_received": 1,
            "credits": {"spent": 1, "by_image": {"image-1": 1}},
            "api_key_hosts": [API],
        } | books

    def ledger(self) -> dict[str, Any]:
        return self.books

    def signatures(self) -> list[str]:
        return ["signature-1"]

    def s3(self) -> FakeStore:
        return FakeStore(self.files)


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    return file.getvalue()


def good_run(content: bytes) -> RunRecord:
    landed = {
        "uri": f"s3://enhanced/{KEY}",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "image_id": "image-1",
    }
    return RunRecord(
        run_id="run",
        state="success",
        tasks={(name, 0): TaskRecord("success", 1.5) for name in ("create", "upload", "wait", "download")},
        returned={("list_photos", -1): [{"source": f"s3://listings/{KEY}"}], ("download", 0): landed},
    )


@pytest.fixture(autouse=True)
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photo where the samples would be."""
    file = tmp_path / KEY
    file.parent.mkdir()
    file.write_bytes(jpeg())
    monkeypatch.setattr("tools.local_service.PHOTOS", tmp_path)
    return file


def only_result(service: FakeService, photo: Path, run: RunRecord) -> PhotoResult:
    (result,) = collect_results(service, [photo], run)  # type: ignore[arg-type]
    return result


def test_an_enhanced_photo_is_told_with_its_sizes_time_and_credit(photo: Path) -> None:
    content = jpeg()
    result = only_result(FakeService({KEY: content}), photo, good_run(content))
    assert (result.status, result.reason) == ("enhanced", "")
    assert (result.bytes_before, result.bytes_after) == (photo.stat().st_size, len(content))
    assert (result.seconds, result.credits) == (6.0, 1)


def test_a_result_that_is_not_in_the_bucket_fails(photo: Path) -> None:
    assert "is not in the bucket" in only_result(FakeService(), photo, good_run(jpeg())).reason


def test_a_result_that_differs_from_what_the_task_reported_fails(photo: Path) -> None:
    service = FakeService({KEY: jpeg() + b"x"})
    assert "is not the file that the task reported" in only_result(service, photo, good_run(jpeg())).reason


def test_a_result_that_is_no_picture_fails(photo: Path) -> None:
    content = b"not a picture"
    service = FakeService({KEY: content})
    assert "does not open" in only_result(service, photo, good_run(content)).reason


def test_a_failed_task_is_named_with_its_error(photo: Path) -> None:
    run = good_run(jpeg())
    run.tasks["upload", 0] = TaskRecord("failed", 1, "UploadError: kitchen.jpg is empty")
    assert only_result(FakeService(), photo, run).reason == "task upload failed: UploadError: kitchen.jpg is empty"


def test_a_photo_that_was_not_listed_fails(photo: Path) -> None:
    assert only_result(FakeService(), photo, RunRecord()).reason == "the DAG did not list it"


def enhanced(**changes: Any) -> PhotoResult:
    values = {
        "key": "a.jpg",
        "image_id": "image-1",
        "reason": "",
        "bytes_before": 1,
        "seconds": 1.0,
        "credits": 1,
        "content": b"x",
    }
    return PhotoResult(**(values | changes))


def problems(service: FakeService, *results: PhotoResult) -> list[str]:
    return check_ledger(service, list(results))  # type: ignore[arg-type]


def test_one_image_and_one_credit_for_a_photo_is_right() -> None:
    assert problems(FakeService(), enhanced()) == []


@pytest.mark.parametrize(
    ("books", "told"),
    [
        ({"images_created": 2}, "images created: 2"),
        ({"uploads_received": 0}, "uploads: 0"),
        ({"credits": {"spent": 2}}, "credits spent: 2"),
        ({"api_key_hosts": [API, "assets:1"]}, "the API key was seen on 127.0.0.1:8787, assets:1"),
        ({"api_key_hosts": []}, "the API key was seen on no host"),
    ],
)
def test_books_that_do_not_match_the_photos_are_told(books: dict[str, Any], told: str) -> None:
    (problem,) = problems(FakeService(**books), enhanced())
    assert problem.startswith(told)


def test_a_photo_that_was_not_charged_once_is_told() -> None:
    assert problems(FakeService(), enhanced(credits=2)) == ["a.jpg: 2 credits"]


def test_a_failed_photo_may_have_cost_nothing_but_never_more() -> None:
    failed = enhanced(reason="task upload failed", credits=0)
    nothing = {"images_created": 0, "uploads_received": 0, "credits": {"spent": 0}}
    assert problems(FakeService(**nothing), failed) == []
    assert problems(FakeService(**nothing | {"credits": {"spent": 2}}), failed) != []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (FakeService.api_key, "the API key"),
        (FakeService.s3_secret, "the secret key of S3"),
        ("https://bucket/x?X-Amz-Signature=0", "a presigned address"),
        ("https://bucket/x?AWSAccessKeyId=A&Expires=1", "a presigned address"),
        ("the bare signature-1", "the signature of an upload or a download"),
    ],
)
def test_a_secret_anywhere_below_the_folder_is_found(tmp_path: Path, text: str, what: str) -> None:
    log = tmp_path / "airflow" / "logs" / "task.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"all is well\n{text}\n")
    assert check_secrets(FakeService(), tmp_path) == [f"{log} contains {what}"]  # type: ignore[arg-type]
    log.write_text("all is well\n")
    assert check_secrets(FakeService(), tmp_path) == []  # type: ignore[arg-type]


def test_events_are_read_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    task = {"event": "task", "task": "enhance.wait", "index": 2, "label": "", "at": 10.0}
    written = [{"event": "run", "number": 1}, task | {"state": "running"}, task | {"state": "running", "at": 14.0}]
    log = EventLog(file)
    assert list(log.news()) == []
    file.write_text("".join(json.dumps(event) + "\n" for event in written) + '{"event": "ta')
    assert list(log.news()) == written
    assert log.runs[0].tasks["wait", 2].state == "running"

    ended = task | {"state": "failed", "error": "DeadlineError: too late", "at": 16.5}
    file.write_text("".join(json.dumps(event) + "\n" for event in [*written, ended]))
    assert list(log.news()) == [ended]
    assert log.runs[0].tasks["wait", 2] == TaskRecord("failed", 6.5, "DeadlineError: too late")


def test_every_step_of_the_quickstart_is_checked() -> None:
    dag = (PHOTOS.parents[1] / "dags" / "autoenhance_quickstart.py").read_text()
    assert [name for name in demo_checks._STEPS if f'task_id="{name}"' not in dag] == []


def test_the_sheet_shows_what_landed_and_names_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO()
    Image.new("RGB", (900, 600), "red").save(data, "JPEG")
    monkeypatch.setattr(demo_checks, "PHOTOS", tmp_path / "photos")
    (tmp_path / "photos" / KEY).parent.mkdir(parents=True)
    (tmp_path / "photos" / KEY).write_bytes(data.getvalue())
    landed = PhotoResult(KEY, "image-1", "", 100, 4.0, 1, data.getvalue())
    failed = PhotoResult("maple-street-12/<hall>.jpg", "", "task upload failed", 100, 0.0, 0, b"")
    sheet = save_sheet([landed, failed], tmp_path).read_text()
    assert sheet.count("data:image/webp;base64,") == 2
    assert "&lt;hall&gt;.jpg" in sheet
    assert "task upload failed" in sheet
    assert (tmp_path / "enhanced" / KEY).read_bytes() == data.getvalue()
