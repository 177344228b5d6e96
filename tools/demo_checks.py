"""What ``make demo`` checks: the files in the bucket, the accounts, and that no secret got into a log."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tools.dag_events import RunRecord
from tools.leaks import search_for
from tools.local_service import PHOTOS, RESULT_BUCKET, SOURCE_BUCKET, LocalService, key_of

_STEPS = ("create", "upload", "wait", "download")


@dataclass(frozen=True)
class PhotoResult:
    """One photo after the run.

    :param reason: why it is not enhanced; empty when it is.
    :param seconds: the sum of its tasks' times, waiting included.
    :param content: the enhanced file's bytes; empty when there is not any.
    """

    key: str
    image_id: str
    reason: str
    bytes_before: int
    seconds: float
    credits: int
    content: bytes

    @property
    def status(self) -> str:
        """``enhanced`` or ``failed``."""
        return "failed" if self.reason else "enhanced"

    @property
    def bytes_after(self) -> int:
        """Size of the enhanced file."""
        return len(self.content)


def collect_results(service: LocalService, photos: list[Path], run: RunRecord) -> list[PhotoResult]:
    """Compare what was put in, what the run says, and what lies in the bucket; one result for each photo put in."""
    indexes = {row["source"]: index for index, row in enumerate(run.returned.get(("list_photos", -1)) or [])}
    credits = service.ledger()["credits"]["by_image"]
    return [_result(service, photo, run, indexes, credits) for photo in photos]


def _result(
    service: LocalService, photo: Path, run: RunRecord, indexes: dict[str, int], credits: dict[str, int]
) -> PhotoResult:
    key = key_of(photo)
    index = indexes.get(f"s3://{SOURCE_BUCKET}/{key}")
    tasks = [run.tasks[name, index] for name in _STEPS if index is not None and (name, index) in run.tasks]
    landed: dict[str, Any] = run.returned.get(("download", index)) or {} if index is not None else {}
    reason, content = _failure(run, index), b""
    if not reason:
        reason, content = _check_file(service, landed)
    image_id = str(landed.get("image_id", ""))
    return PhotoResult(
        key,
        image_id,
        reason,
        photo.stat().st_size,
        sum(task.seconds for task in tasks),
        credits.get(image_id, 0),
        content,
    )


def _failure(run: RunRecord, index: int | None) -> str:
    """Say why the run has no result for this photo, or nothing when it has one."""
    listing = run.tasks.get(("list_photos", -1))
    if index is None:
        return listing.error if listing and listing.error else "the DAG did not list it"
    for name in _STEPS:
        task = run.tasks.get((name, index))
        if task is None:
            return f"task {name} did not run"
        if task.state != "success":
            return f"task {name} {task.state}: {task.error}"
    return ""


def _check_file(service: LocalService, landed: dict[str, Any]) -> tuple[str, bytes]:
    """Download the enhanced file; return what is wrong with it, and its bytes."""
    from botocore.exceptions import ClientError
    from PIL import Image

    key = urlsplit(landed["uri"]).path.removeprefix("/")
    try:
        content = service.s3().get_object(Bucket=RESULT_BUCKET, Key=key)["Body"].read()
    except ClientError:
        return f"{landed['uri']} is not in the bucket", b""
    if len(content) != landed["size"] or hashlib.sha256(content).hexdigest() != landed["sha256"]:
        return f"{landed['uri']} is not the file that the task reported (size or SHA-256 differs)", content
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except OSError as error:
        return f"{landed['uri']} does not open: {error}", content
    return "", content


def check_ledger(service: LocalService, results: list[PhotoResult]) -> list[str]:
    """Return what is wrong in the accounts: not one image, one upload and one credit for each photo, or a key gone astray.

    Photos that failed may have less, never more.
    """
    books = service.ledger()
    found = {
        "images created": books["images_created"],
        "uploads": books["uploads_received"],
        "credits spent": books["credits"]["spent"],
    }
    photos, enhanced = len(results), sum(not result.reason for result in results)
    problems = [
        f"{what}: {count}, for {photos} photos, {enhanced} of them enhanced"
        for what, count in found.items()
        if not enhanced <= count <= photos
    ]
    problems += [
        f"{result.key}: {result.credits} credits" for result in results if result.credits != 1 and not result.reason
    ]
    if books["api_key_hosts"] != [urlsplit(service.api).netloc]:
        problems.append(f"the API key was seen on {', '.join(books['api_key_hosts']) or 'no host'}")
    return problems


def check_secrets(service: LocalService, folder: Path) -> list[str]:
    """Return the files below ``folder``, logs and metadata database alike, that hold an API key or a presigned address."""
    return search_for(service, {}).files(folder)


def save_sheet(results: list[PhotoResult], folder: Path) -> Path:
    """Save the enhanced photos below ``folder``, and beside them the contact sheet that a task writes; return its path."""
    from airflow_provider_autoenhance.imaging.thumbnail import thumbnail_of
    from airflow_provider_autoenhance.pipeline.gallery.rows import Entry
    from airflow_provider_autoenhance.pipeline.gallery.sheet import render

    entries: list[Entry] = []
    pictures: dict[str, bytes] = {}
    for result in results:
        listing, _, name = result.key.rpartition("/")
        entry = Entry(name=name, listing=listing, state="failed" if result.reason else "landed", reason=result.reason)
        if not result.reason:
            after = folder / "enhanced" / result.key
            after.parent.mkdir(parents=True, exist_ok=True)
            after.write_bytes(result.content)
            entry |= Entry(before=f"{result.key} before", after=f"{result.key} after", credits=result.credits)
            entry |= Entry(seconds=result.seconds, outputs=[{"name": result.key, "bytes": result.bytes_after}])
            for side, path in ((f"{result.key} before", PHOTOS / result.key), (f"{result.key} after", after)):
                pictures[side] = thumbnail_of(path, about=result.key).data
        entries.append(entry)
    sheet = folder / "contact-sheet.html"
    with sheet.open("wb") as file:
        file.writelines(render({"dag_id": "autoenhance_quickstart"}, lambda: entries, pictures.get))
    return sheet
