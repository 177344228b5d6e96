"""The checks of ``make e2e`` find what they are there to find."""

from __future__ import annotations

import hashlib
import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from tools.e2e_checks import check_night
from tools.e2e_events import OrderEvents

DAY = "2026-03-01"
KEY = f"{DAY}/ash/1.jpg"
REPORT = {"photos": 1, "landed": 1, "credits": 1, "failed_listings": 0}


class FakeService:
    """A night of one photo, all well unless a test changes it."""

    api = "http://127.0.0.1:1"

    def __init__(self) -> None:
        row = {"source": f"s3://listings/{KEY}", "outputs": [{"sha256": hashlib.sha256(b"photo").hexdigest()}]}
        manifest = json.dumps(row).encode()
        self.files = {
            "listings": {KEY: b"photo"},
            "enhanced": {KEY: b"photo", f"{DAY}/ash/autoenhance-manifest.jsonl": manifest},
        }
        self.image: dict[str, Any] = {"image_id": "i1", "deleted": False, "metadata": {"source": row["source"]}}
        self.books: dict[str, Any] = {
            "images": [self.image],
            "credits": {"by_image": {"i1": 1}},
            "api_key_hosts": ["127.0.0.1:1"],
        }

    def ledger(self) -> dict[str, Any]:
        return self.books

    def s3(self) -> Any:
        def pages(Bucket: str, Prefix: str) -> list[dict[str, Any]]:  # noqa: N803
            return [{"Contents": [{"Key": key} for key in self.files[Bucket] if key.startswith(Prefix)]}]

        return SimpleNamespace(
            get_paginator=lambda _: SimpleNamespace(paginate=pages),
            list_multipart_uploads=lambda **_: {},
            get_object=lambda Bucket, Key: {"Body": io.BytesIO(self.files[Bucket][Key])},  # noqa: N803
        )


def problems(service: FakeService, report: dict[str, Any] = REPORT) -> list[str]:
    return check_night(service, DAY, report)[1]  # type: ignore[arg-type]


def test_a_good_night_has_no_problems() -> None:
    books, found = check_night(FakeService(), DAY, REPORT)  # type: ignore[arg-type]
    assert found == []
    assert (books.photos, books.created, books.live, books.credits) == (1, 1, 1, 1)


def test_a_second_image_and_a_second_credit_are_found() -> None:
    service = FakeService()
    service.books["images"] = [service.image, service.image | {"image_id": "i2"}]
    service.books["credits"]["by_image"]["i2"] = 1
    assert problems(service) == [f"{KEY}: 2 live images", f"{KEY}: 2 credits"]


def test_a_credit_of_a_deleted_image_counts() -> None:
    service = FakeService()
    service.books["images"] = [service.image, service.image | {"image_id": "i2", "deleted": True}]
    service.books["credits"]["by_image"]["i2"] = 1
    assert problems(service) == [f"{KEY}: 2 credits"]


@pytest.mark.parametrize(("content", "told"), [(None, "there is no output"), (b"other", "SHA-256 is not the one")])
def test_a_missing_or_damaged_output_is_found(content: bytes | None, told: str) -> None:
    service = FakeService()
    del service.files["enhanced"][KEY]
    if content:
        service.files["enhanced"][KEY] = content
    (found,) = problems(service)
    assert told in found


def test_a_manifest_that_does_not_know_the_photo_is_found() -> None:
    service = FakeService()
    del service.files["enhanced"][f"{DAY}/ash/autoenhance-manifest.jsonl"]
    assert problems(service) == [f"{KEY}: the manifest has no output"]


def test_a_wrong_report_and_a_stray_key_are_found() -> None:
    service = FakeService()
    service.books["api_key_hosts"] = ["127.0.0.1:1", "assets:2"]
    stray, report = problems(service, REPORT | {"landed": 0})
    assert "the API key was seen on 127.0.0.1:1, assets:2" in stray
    assert "the report says" in report


class FakeEvents(OrderEvents):
    """Two orders that ran a DAG each, all well unless a test changes it."""

    def __init__(self) -> None:
        self.told = ["o1", "o2"]
        self.runs = ["success", "success"]
        self.files = ["orders/a.jpg", "orders/b.jpg"]
        self.spent = 3
        runs = SimpleNamespace(get=lambda path: {"dag_runs": [{"state": state} for state in self.runs]})
        s3 = SimpleNamespace(list_objects_v2=lambda **about: {"Contents": [{"Key": key} for key in self.files]})
        service = SimpleNamespace(s3=lambda: s3, ledger=lambda: {"credits": {"spent": self.spent}})
        super().__init__(SimpleNamespace(api=runs), service, b"")  # type: ignore[arg-type]

    def _events(self) -> list[dict[str, Any]]:
        return [{"extra": {"payload": {"orders": [{"order_id": order_id}]}}} for order_id in self.told]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"told": ["o1", "o2", "o2"]}, "events of"),
        ({"told": ["o1"]}, "events of"),
        ({"runs": ["success"] * 3}, "the runs"),
        ({"runs": ["success", "failed"]}, "the runs"),
        ({"files": ["orders/a.jpg"]}, "1 files landed"),
        ({"spent": 4}, "1 credits were spent"),
    ],
)
def test_events_that_are_lost_doubled_or_paid_for_are_found(change: dict[str, Any], problem: str | None) -> None:
    events = FakeEvents()
    vars(events).update(change)
    found = events._check(["o2", "o1"], 3)
    assert [problem] == [each[: len(problem)] for each in found] if problem else found == []
