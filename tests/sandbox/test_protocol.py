"""Status codes, error bodies, limits and versions, as the contract says."""

from __future__ import annotations

import uuid

import httpx
import pytest

from tests.sandbox.api import Api, ok
from tests.support.pictures import bracket, photo
from tests.support.sandbox import Sandbox

UNAUTHORIZED = {"detail": {}, "message": "Unauthorized"}


@pytest.mark.parametrize("key", [None, "", "wrong"])
def test_a_missing_or_wrong_key_is_unauthorized(sandbox: Sandbox, key: str | None) -> None:
    headers = {} if key is None else {"x-api-key": key}
    calls = [("POST", "/v3/images/"), ("GET", "/v3/orders/"), ("DELETE", "/v3/orders/x"), ("POST", "/v3/brackets/")]
    for method, path in calls:
        answer = httpx.request(method, sandbox.url + path, headers=headers)
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)
        assert "WWW-Authenticate" in answer.headers


def test_reading_one_image_or_order_needs_no_key(api: Api) -> None:
    created = api.create()
    for path in (
        f"images/{created['image_id']}",
        f"orders/{created['order_id']}",
        f"orders/{created['order_id']}/brackets",
    ):
        assert api.plain.get(f"{api.sandbox.url}/v3/{path}").status_code == 200


def test_slashes_are_treated_as_flask_does(api: Api) -> None:
    answer = api.http.post("/v3/images", json={"image_name": "a.jpg"})
    assert (answer.status_code, answer.headers["location"]) == (308, "/v3/images/")
    assert answer.headers["content-type"].startswith("text/html")
    assert ok(api.http.post("/v3/images", json={"image_name": "a.jpg"}, follow_redirects=True))["image_id"]
    answer = api.http.get("/v3/orders", params={"per_page": 3})
    assert (answer.status_code, answer.headers["location"]) == (308, "/v3/orders/?per_page=3")
    created = api.create()
    answer = api.http.get(f"/v3/images/{created['image_id']}/")
    assert (answer.status_code, answer.json()) == (404, {"detail": {}, "message": "Not Found"})


def test_other_methods_are_not_allowed(api: Api) -> None:
    answer = api.http.put("/v3/images/")
    assert (answer.status_code, answer.json()["message"]) == (405, "Method Not Allowed")
    assert "POST" in answer.headers["allow"]
    assert api.http.options("/v3/images/").status_code == 200


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "image_name", "Missing data for required field."),
        ({"image_name": None}, "image_name", "Field may not be null."),
        ({"image_name": 3}, "image_name", "Not a valid string."),
        ({"image_name": "a", "enhance": "yes"}, "enhance", "Not a valid boolean."),
        ({"image_name": "a", "rating": 6}, "rating", "Must be greater than or equal to 0"),
        ({"image_name": "a", "rating": True}, "rating", "Not a valid integer."),
        ({"image_name": "a", "enhance_type": "WARM"}, "enhance_type", "Must be one of: property"),
        ({"image_name": "a", "metadata": []}, "metadata", "Not a valid mapping type."),
    ],
)
def test_bad_fields_are_named(api: Api, body: dict[str, object], field: str, message: str) -> None:
    answer = api.http.post("/v3/images/", json=body)
    assert answer.status_code == 422
    assert answer.json()["message"] == "Validation error"
    assert answer.json()["detail"]["json"][field][0].startswith(message)


def test_problems_of_nested_fields_lie_deeper(api: Api) -> None:
    answer = api.http.post("/v3/images/", json={"image_name": "a", "restage": {"grass": "BLUE"}})
    assert answer.json()["detail"]["json"] == {"restage": {"grass": ["Must be one of: AS_SHOT, GREEN."]}}
    path = f"/v3/orders/{api.order()['order_id']}/process"
    answer = api.http.post(path, json={"images": [{"bracket_ids": []}]})
    problem = "Length must be between 1 and 9."
    assert answer.json()["detail"]["json"] == {"images": {"0": {"bracket_ids": [problem]}}}


def test_bodies_that_are_no_json(api: Api) -> None:
    json_type = {"Content-Type": "application/json"}
    answer = api.http.post("/v3/images/", content="{", headers=json_type)
    assert (answer.status_code, answer.json()) == (400, {"detail": {}, "message": "Bad Request"})
    answer = api.http.post("/v3/images/", content='{"image_name": "a"}', headers={"Content-Type": "text/plain"})
    assert answer.json()["detail"]["json"] == {"image_name": ["Missing data for required field."]}
    answer = api.http.post("/v3/images/", content="[]", headers=json_type)
    assert answer.json()["detail"]["json"] == {"_schema": ["Invalid input type."]}


def test_unknown_fields_pass_unless_strict(api: Api, sandbox: Sandbox) -> None:
    body = {"name": "n", "colour": "blue"}
    assert api.http.post("/v3/orders/", json=body).status_code == 200
    sandbox.settings(strict=True)
    answer = api.http.post("/v3/orders/", json=body)
    assert answer.json()["detail"]["json"] == {"colour": ["Unknown field."]}
    old = api.http.post("/v3/images/", json={"image_name": "a", "window_pull": True})
    assert old.json()["detail"]["json"] == {"window_pull": ["Unknown field."]}


def test_headers_are_checked(api: Api) -> None:
    for name, value in (("x-api-version", "yesterday"), ("x-dev-mode", "yes")):
        answer = api.http.get("/v3/orders/", headers={name: value})
        assert (answer.status_code, list(answer.json()["detail"]["headers"])) == (422, [name])


def test_the_same_name_thirty_times_an_hour_is_too_often(api: Api, sandbox: Sandbox) -> None:
    for _ in range(30):
        api.create("DSC0001.jpg")
    answer = api.http.post("/v3/images/", json={"image_name": "DSC0001.jpg"})
    assert (answer.status_code, answer.json()) == (429, {"detail": {}, "message": "Too Many Requests"})
    assert "retry-after" not in answer.headers
    assert api.http.post("/v3/brackets/", json={"name": "DSC0001.jpg", "order_id": "x"}).status_code == 404
    api.create("DSC0002.jpg")
    sandbox.settings(retry_after=1200)
    answer = api.http.post("/v3/images/", json={"image_name": "DSC0001.jpg"})
    assert answer.headers["retry-after"] == "1200"
    sandbox.settings(clock_offset_seconds=3601)
    api.create("DSC0001.jpg")


def test_more_than_the_daily_limit_ends_in_error(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(daily_limit=2)
    images = [api.finished(photo(), f"{number}.jpg") for number in range(3)]
    assert [image["status"] for image in images] == ["processed", "processed", "error"]
    assert "Daily enhancement limit" in images[2]["status_reason"]
    sandbox.settings(clock_offset_seconds=86_400)
    assert api.finished(photo(), "tomorrow.jpg")["status"] == "processed"


def test_too_many_requests_per_second(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(requests_per_second=5)
    answers = {api.http.get("/v3/orders/").status_code for _ in range(40)}
    assert answers == {200, 429}


# Versions


def test_old_versions_hand_out_the_upload_url_under_its_old_name(sandbox: Sandbox) -> None:
    with Api(sandbox, "2025-01-01") as old:
        created = old.create("a.jpg", contentType="image/png")
        assert "upload_url" not in created
        url = created["s3PutObjectUrl"]
        assert old.plain.put(url, content=photo(), headers={"Content-Type": "image/jpeg"}).status_code == 403
        assert old.plain.put(url, content=photo(), headers={"Content-Type": "image/png"}).status_code == 200
        assert old.wait(created["image_id"])["status"] == "processed"


def test_without_a_version_the_accounts_applies(sandbox: Sandbox) -> None:
    headers = {"x-api-key": sandbox.api_key}
    body = {"image_name": "a.jpg"}
    assert "upload_url" in httpx.post(f"{sandbox.url}/v3/images/", json=body, headers=headers).json()
    sandbox.settings(account_api_version="2024-11-01")
    assert "s3PutObjectUrl" in httpx.post(f"{sandbox.url}/v3/images/", json=body, headers=headers).json()


def test_fields_come_and_go_with_the_version(api: Api, sandbox: Sandbox) -> None:
    path = f"/v3/images/{api.create(window_pull_type='ONLY_WINDOWS')['image_id']}"

    def fields(version: str) -> dict[str, object]:
        return ok(api.http.get(path, headers={"x-api-version": version}))

    assert {"enhanced", "error"} <= set(fields("2024-06-01"))
    assert "status" not in fields("2024-06-01")
    assert "metadata" not in fields("2024-08-01")
    assert {"status", "metadata", "window_pull", "finetune_settings"} <= set(fields("2025-05-08"))
    assert "window_pull_type" not in fields("2025-05-08")
    assert fields("2025-05-08")["ai_version"] == "5.x"
    assert fields("2025-08-31")["window_pull_type"] == "ONLY_WINDOWS"
    assert "window_pull" not in fields("2025-08-31")
    assert "perspective_correction" in fields("2026-09-02")


def test_downloads_were_paid_by_default_before_november_2024(api: Api, sandbox: Sandbox) -> None:
    image_id = api.finished(photo(width=1000))["image_id"]
    old = {"x-api-version": "2024-10-01"}
    for name in ("preview", "watermark"):
        assert api.http.get(f"/v3/images/{image_id}/{name}", headers=old).status_code == 302
        assert api.http.get(f"/v3/images/{image_id}/{name}").status_code == 404
    assert sandbox.ledger()["credits"]["spent"] == 0
    assert api.http.get(f"/v3/images/{image_id}/enhanced").status_code == 302
    assert sandbox.ledger()["credits"]["spent"] == 0
    assert api.http.get(f"/v3/images/{image_id}/enhanced", headers=old).status_code == 302
    assert sandbox.ledger()["credits"]["spent"] == 1


def test_hdr_as_it_was_before_brackets(sandbox: Sandbox) -> None:
    with Api(sandbox, "2025-01-01") as old:
        assert old.http.post("/v3/images/", json={"image_name": "a.jpg", "hdr": True}).status_code == 422
        order_id = str(uuid.uuid4())
        for number, shot in enumerate(bracket()):
            created = old.create(f"{number}.jpg", hdr=True, order_id=order_id, content_type="image/jpeg")
            answer = old.plain.put(created["s3PutObjectUrl"], content=shot, headers={"Content-Type": "image/jpeg"})
            assert answer.status_code == 200
            assert old.image(created["image_id"])["status"] == "processing"
        assert old.get_order(order_id)["images"] == []
        assert old.http.post(f"/v3/orders/{order_id}/merge", json={"enhance_type": "warm"}).status_code == 200
        assert [image["enhance_type"] for image in old.wait_order(order_id)["images"]] == ["warm"]
        new = old.http.post(f"/v3/orders/{order_id}/merge", json={}, headers={"x-api-version": "2025-05-08"})
        assert new.status_code == 404
