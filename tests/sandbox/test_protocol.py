"""Status codes, error bodies, limits and versions, as the contract says."""

from __future__ import annotations

import uuid
from typing import Any

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


def test_slashes_are_treated_as_flask_does(api: Api, sandbox: Sandbox) -> None:
    answer = api.http.post("/v3/images", json={"image_name": "a.jpg"})
    assert (answer.status_code, answer.headers["location"]) == (308, f"{sandbox.url}/v3/images/")
    assert answer.headers["content-type"].startswith("text/html")
    assert ok(api.http.post("/v3/images", json={"image_name": "a.jpg"}, follow_redirects=True))["image_id"]
    answer = api.http.get("/v3/orders", params={"per_page": 3})
    assert (answer.status_code, answer.headers["location"]) == (308, f"{sandbox.url}/v3/orders/?per_page=3")
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
        ({"image_name": "a", "enhance": "perhaps"}, "enhance", "Not a valid boolean."),
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
    for name, value in (("x-api-version", "yesterday"), ("x-dev-mode", "perhaps")):
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


NAMES = ("s3PutObjectUrl", "upload_url", "upload_file_url")


@pytest.mark.parametrize(
    ("version", "shape", "of_image", "of_bracket"),
    [
        (None, "s3PutObjectUrl", "s3PutObjectUrl", "upload_url"),
        (None, "upload_url", "upload_url", "upload_url"),
        (None, "upload_file_url", "upload_file_url", "upload_file_url"),
        ("2025-01-01", "upload_file_url", "s3PutObjectUrl", "upload_url"),
        ("2025-05-05", "s3PutObjectUrl", "upload_url", "upload_url"),
        ("2026-11-09", "s3PutObjectUrl", "upload_file_url", "upload_file_url"),
        ("2031-01-01", "s3PutObjectUrl", "upload_file_url", "upload_file_url"),
    ],
)
def test_the_upload_url_has_three_names(
    sandbox: Sandbox, version: str | None, shape: str, of_image: str, of_bracket: str
) -> None:
    sandbox.settings(account_shape=shape)
    headers = {"x-api-key": sandbox.api_key} | ({"x-api-version": version} if version else {})
    with httpx.Client(base_url=sandbox.url, headers=headers) as client:
        image = client.post("/v3/images/", json={"image_name": "a.jpg"}).json()
        bracket = client.post("/v3/brackets/", json={"name": "b.jpg", "order_id": image["order_id"]}).json()
    assert [[name for name in NAMES if name in made] for made in (image, bracket)] == [[of_image], [of_bracket]]


def test_without_a_version_the_accounts_applies(sandbox: Sandbox) -> None:
    headers, url = {"x-api-key": sandbox.api_key}, f"{sandbox.url}/v3/images/"
    body = {
        "image_name": "a.jpg",
        "window_pull_type": "WITH_SKIES",
        "restage": {"tvs": "BLACK_OUT"},
        "ai_version": "5.x",
    }
    made = httpx.post(url, json=body, headers=headers).json()
    assert (made["window_pull_type"], made["restage"], made["ai_version"]) == (
        "WINDOWS_WITH_SKIES", {"tvs": "BLACK_OUT"}, "5.3",
    )  # fmt: skip
    sandbox.settings(account_api_version="2024-11-01")
    assert httpx.post(url, json=body, headers=headers).json()["ai_version"] == "4.7"


def test_flags_stand_beside_status_unless_switched_off(api: Api, sandbox: Sandbox) -> None:
    path = f"/v3/images/{api.finished(photo())['image_id']}"
    for beside in (True, False):
        sandbox.settings(flags_beside_status=beside)
        for version in ("2024-06-30", "2024-07-01", "2025-01-01", "2026-11-09"):
            image = ok(api.http.get(path, headers={"x-api-version": version}))
            flags, status = [beside or version == "2024-06-30", beside or version != "2024-06-30"]
            assert ("enhanced" in image, "error" in image, "status" in image) == (flags, flags, status)
            assert (image.get("enhanced", True), image.get("status", "processed")) == (True, "processed")
            assert ("is_threesixty" in image) == (version <= "2025-01-01" if beside else flags)


@pytest.mark.parametrize(
    ("version", "asked", "answered"),
    [
        ("2024-10-01", "5.x", "4.7"), ("2024-10-01", "4.x", "4.x"), ("2025-01-01", None, "4.7"), ("2025-05-08", "5.x", "5.0"),
        ("2025-05-08", None, "5.0"), ("2025-08-31", "stable", "stable"), ("2025-08-31", "5.x", "5.3"),
    ],
)  # fmt: skip
def test_an_answer_names_an_ai_version_of_its_time(
    sandbox: Sandbox, version: str, asked: str | None, answered: str
) -> None:
    with Api(sandbox, version) as api:
        assert api.create("a.jpg", ai_version=asked)["ai_version"] == answered


def test_nulls_stand_for_what_is_not_set_and_clear_what_was(sandbox: Sandbox) -> None:
    with Api(sandbox, "2024-10-01") as old:
        made = old.create(
            "a.jpg", contrast_boost=None, enhance=None, order_id=None, rating=None, hdr=None, enhance_type=None
        )
        assert (made["enhance"], made["enhance_type"]) == (True, "neutral")
        assert "contrast_boost" not in made
    with Api(sandbox) as api:
        wanted = {
            "privacy": True,
            "cloud_type": "CLEAR",
            "restage": {"tvs": "BLACK_OUT"},
            "finetune_settings": {"a": 1},
        }
        image = api.finished(photo(), **wanted)
        assert {name: image[name] for name in wanted} == wanted
        cleared = ok(api.http.post(f"/v3/images/{image['image_id']}/process", json=dict.fromkeys(wanted)))
        assert [cleared[name] for name in wanted] == [False, None, None, None]


@pytest.mark.parametrize(
    ("body", "seen"), [({"rating": "4"}, 4), ({"rating": 4.0}, 4), ({"enhance": "no"}, False), ({"upscale": 1}, True)]
)
def test_numbers_and_booleans_may_be_text(api: Api, body: dict[str, Any], seen: object) -> None:
    assert api.create("a.jpg", **body)[next(iter(body))] == seen


def test_the_window_pull_type_of_the_prose_goes_from_may_2025_on(sandbox: Sandbox) -> None:
    with Api(sandbox, "2025-05-05") as api:
        assert api.create("a.jpg", window_pull_type="WITH_SKIES")["window_pull_type"] == "WINDOWS_WITH_SKIES"
        sandbox.settings(window_pull_type_from="2025-08-31")
        assert "window_pull_type" not in api.create("b.jpg", window_pull_type="WITH_SKIES")


def test_ids_of_images_may_be_chosen(api: Api, sandbox: Sandbox) -> None:
    assert api.create("a.jpg", image_id="mine")["image_id"] == "mine"
    assert api.http.post("/v3/images/", json={"image_name": "b.jpg", "image_id": "mine"}).status_code == 409
    sandbox.settings(chosen_image_ids="ignored")
    assert api.create("c.jpg", image_id="yours")["image_id"] != "yours"
    sandbox.settings(chosen_image_ids="refused")
    assert api.http.post("/v3/images/", json={"image_name": "d.jpg", "image_id": "yours"}).status_code == 422


def test_fields_come_and_go_with_the_version(api: Api, sandbox: Sandbox) -> None:
    path = f"/v3/images/{api.create(window_pull_type='ONLY_WINDOWS')['image_id']}"

    def fields(version: str) -> dict[str, object]:
        return ok(api.http.get(path, headers={"x-api-version": version}))

    assert "metadata" not in fields("2024-08-01")
    assert {"status", "metadata", "window_pull", "finetune_settings"} <= set(fields("2025-05-08"))
    assert "window_pull_type" not in fields("2025-05-04")
    assert fields("2025-08-31")["window_pull_type"] == "ONLY_WINDOWS"
    assert "window_pull" not in fields("2025-08-31")
    assert "perspective_correction" in fields("2026-09-02")


def test_downloads_were_paid_by_default_before_november_2024(api: Api, sandbox: Sandbox) -> None:
    image_id = api.finished(photo(width=1000))["image_id"]
    old = {"x-api-version": "2024-10-01"}
    for name in ("preview", "watermark"):
        assert api.http.get(f"/v3/images/{image_id}/{name}", headers=old).status_code == 302
        assert api.http.get(f"/v3/images/{image_id}/{name}").status_code == 404
    last = {"x-api-version": "2025-08-30"}
    assert api.http.get(f"/v3/images/{image_id}/preview", headers=last).status_code == 302
    assert api.http.get(f"/v3/images/{image_id}/watermark", headers=last).status_code == 404
    sandbox.settings(preview_path_until="2025-01-01")
    assert api.http.get(f"/v3/images/{image_id}/preview", headers=last).status_code == 404
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


def test_a_sky_is_told_in_the_words_of_each_version(api: Api) -> None:
    def seen(image_id: str, version: str) -> tuple[Any, Any, Any]:
        image = ok(api.http.get(f"/v3/images/{image_id}", headers={"x-api-version": version}))
        return image.get("sky_replacement"), image.get("cloud_type"), image.get("restage")

    new = {"x-api-version": "2026-07-01"}
    old = api.create("a.jpg", sky_replacement=True, cloud_type="HIGH_CLOUD")["image_id"]
    assert seen(old, "2024-10-01") == (True, "HIGH_CLOUD", None)
    assert seen(old, "2025-08-31") == (True, "HIGH_CLOUD", {"sky": "HIGH_CLOUD"})
    assert seen(old, "2026-07-01") == (None, None, {"sky": "HIGH_CLOUD"})
    body = {"image_name": "b.jpg", "restage": {"sky": "DUSK_CLOUD", "grass": "GREEN"}, "sky_replacement": False}
    young = ok(api.http.post("/v3/images/", json=body, headers=new))["image_id"]
    assert seen(young, "2026-11-09") == (None, None, {"sky": "DUSK_CLOUD", "grass": "GREEN"})
    assert seen(young, "2025-08-31") == (True, None, {"sky": "DUSK_CLOUD", "grass": "GREEN"})
    assert seen(api.create("c.jpg")["image_id"], "2026-07-01") == (None, None, {"sky": "AS_SHOT"})
    wrong = api.http.post("/v3/images/", json={"image_name": "d.jpg", "restage": {"sky": "RED"}}, headers=new)
    assert (wrong.status_code, list(wrong.json()["detail"]["json"]["restage"])) == (422, ["sky"])
