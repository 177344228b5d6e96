"""Answers of older and newer API versions, and odd ones."""

from __future__ import annotations

import pytest

from airflow_provider_autoenhance.api import models
from airflow_provider_autoenhance.api.models import ImageStatus


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"status": "waiting"}, ImageStatus.WAITING),
        ({"status": "PROCESSED"}, ImageStatus.PROCESSED),
        ({"status": "expired"}, ImageStatus.EXPIRED),
        ({"status": "failed"}, ImageStatus.ERROR),
        ({"status": "completed"}, ImageStatus.PROCESSED),
        ({"status": "uploading"}, ImageStatus.WAITING),
        ({"status": "polishing"}, ImageStatus.PROCESSING),
        ({}, ImageStatus.PROCESSING),
        ({"enhanced": True}, ImageStatus.PROCESSED),
        ({"error": True, "enhanced": True}, ImageStatus.ERROR),
        ({"error": "bad file"}, ImageStatus.ERROR),
        ({"status": "processing", "error": True}, ImageStatus.ERROR),
        ({"status": "processing", "enhanced": True}, ImageStatus.PROCESSING),
        ({"status": "processed", "error": False}, ImageStatus.PROCESSED),
        ({"status": "processed", "error": False, "enhanced": True}, ImageStatus.PROCESSED),
        ({"status": "waiting", "error": False, "enhanced": False}, ImageStatus.WAITING),
        ({"status": "expired", "error": True, "enhanced": False}, ImageStatus.EXPIRED),
        ({"error": False, "enhanced": False}, ImageStatus.WAITING),
        ({"status": "polishing", "enhanced": False}, ImageStatus.PROCESSING),
    ],
)
def test_status_of_any_version(answer: dict[str, object], status: ImageStatus) -> None:
    assert models.parse_image({"image_id": "i", **answer}).status is status


def test_an_image_keeps_what_is_not_modelled_and_never_the_upload_url() -> None:
    body = {
        "image_id": 7,
        "image_name": "a",
        "new": 1,
        "upload_url": "https://s3/x?X-Amz-Signature=abc",
        "metadata": None,
    }
    created = models.parse_created_image(body)
    assert created.image.image_id == "7"
    assert created.image.raw["new"] == 1
    assert created.image.metadata == {}
    assert created.upload_url.endswith("abc")
    assert "abc" not in repr(created)
    assert "upload_url" not in created.image.raw


def test_old_accounts_name_the_upload_url_otherwise() -> None:
    for name in ("upload_url", "upload_file_url", "s3PutObjectUrl"):
        assert models.parse_created_image({"image_id": "i", name: "https://x"}).upload_url == "https://x"
        assert models.parse_created_bracket({"bracket_id": "i", name: "https://x"}).upload_url == "https://x"
    with pytest.raises(ValueError, match=r"not an upload URL .*image_id, other"):
        models.parse_created_image({"image_id": "i", "other": 1})


@pytest.mark.parametrize("body", [None, [], "text", {}, {"message": "hello"}, {"image_id": None}])
def test_an_answer_that_is_not_the_contract_is_said_so(body: object) -> None:
    with pytest.raises(ValueError, match="where an image with 'image_id' was expected"):
        models.parse_image(body)


def test_a_fresh_order_looks_done_but_is_not_finished() -> None:
    fresh = {"order_id": "o", "is_merging": False, "is_processing": False, "images": []}
    done = {"image_id": "i", "status": "processed"}
    assert not models.parse_order(fresh).finished
    assert models.parse_order({**fresh, "images": [done]}).finished
    assert not models.parse_order({**fresh, "images": [done, {"image_id": "j", "status": "processing"}]}).finished
    assert not models.parse_order({**fresh, "is_merging": True, "images": [done]}).finished
    assert models.parse_order({"order_id": "o", "images": [{"no": "id"}, done]}).images[0].image_id == "i"


@pytest.mark.parametrize(
    ("created_at", "seconds"),
    [
        ("2026-11-26T10:00:00", 1795687200.0),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00+23:59", None),
        (5, None),
        ("x", None),
    ],
)
def test_the_time_of_an_order_is_one_that_can_be_shown(created_at: object, seconds: float | None) -> None:
    assert models.parse_order({"order_id": "o", "created_at": created_at}).created_at == seconds


@pytest.mark.parametrize("number", [-1, True, "5", 1e400, float("nan"), 10**40])
def test_a_number_that_cannot_be_one_is_left_out(number: object) -> None:
    assert models.parse_order({"order_id": "o", "total_images": number}).total_images is None
    assert models.parse_image({"image_id": "i", "date_added": number}).date_added == 0


def test_pages_and_brackets() -> None:
    page = models.parse_order_page({"orders": [{"order_id": "o"}], "pagination": {"next_offset": "abc"}})
    assert (page.orders[0].order_id, page.next_offset) == ("o", "abc")
    assert models.parse_order_page({"orders": []}).next_offset is None
    brackets = models.parse_brackets({"brackets": [{"bracket_id": "b", "is_uploaded": True, "image_id": "i"}]})
    assert brackets[0].is_uploaded
    assert brackets[0].image_id == "i"
    assert models.parse_created_bracket({"bracket_id": "b", "upload_url": "u"}).upload_url == "u"


def test_an_image_hands_on_every_field_that_can_be_an_xcom() -> None:
    body = {
        "image_id": "i",
        "enhance": True,
        "new_field": [1],
        "upload_url": "https://x?Signature=y",
        "status": "processed",
    }
    odd = {"return_value": 1, "skipmixin_key": 1, "": 1, "a b": 1, "x" * 200: 1}
    details = models.parse_image(body | odd).details
    assert {"enhance": True, "new_field": [1], "image_id": "i", "status": "processed"}.items() <= details.items()
    assert not (odd.keys() | {"upload_url"}) & details.keys()


def test_details_hand_on_no_credential() -> None:
    """A DAG may have given a presigned address as metadata, which comes back."""
    secret = "https://host.example/one.jpg?X-Amz-Signature=c2VjcmV0"
    image = models.parse_image({"image_id": "i", "metadata": {"from": [secret]}, "later_field": {"link": secret}})
    assert "c2VjcmV0" not in repr(image.details)
    assert image.details["later_field"] == {"link": "https://host.example/one.jpg"}
    assert image.metadata == {"from": [secret]}, "a retry still knows its own"
