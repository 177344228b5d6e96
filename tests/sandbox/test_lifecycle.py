"""One image from registration to download, and everything that can happen to it on the way."""

from __future__ import annotations

import hashlib
import uuid

from tests.sandbox.api import Api
from tests.support.pictures import encode, photo, room
from tests.support.sandbox import Sandbox


def test_an_uploaded_photo_is_enhanced_and_bought_once(api: Api, sandbox: Sandbox) -> None:
    data = photo(exposure=0.4)
    created = api.create("living-room.jpg", metadata={"source": "s3://in/1.jpg"})
    assert created["status"] == "waiting"
    assert api.put(created["upload_url"], data).status_code == 200
    image = api.wait(created["image_id"])
    assert (image["status"], image["scene"], image["downloaded"]) == ("processed", "living_room", False)
    first = api.bytes(image["image_id"], preview=False)
    assert api.image(image["image_id"])["downloaded"] is True
    assert api.bytes(image["image_id"], preview=False) == first
    books = sandbox.ledger()
    assert books["credits"]["by_image"] == {image["image_id"]: 1}
    assert books["credits"]["remaining"] == 999
    assert books["uploads"][0]["sha256"] == hashlib.sha256(data).hexdigest()
    assert books["images"][0]["metadata"] == {"source": "s3://in/1.jpg", "MIMEType": "image/jpeg"}
    assert books["api_key_hosts"] == [sandbox.address]


def test_an_image_that_was_never_uploaded_expires_with_its_url(api: Api, sandbox: Sandbox) -> None:
    created = api.create()
    sandbox.settings(clock_offset_seconds=3601)
    image = api.image(created["image_id"])
    assert image["status"] == "expired"
    assert "expired" in image["status_reason"]
    answer = api.put(created["upload_url"], photo())
    assert answer.status_code == 403
    assert "Request has expired" in answer.text


def test_an_upload_url_can_live_shorter(api: Api, sandbox: Sandbox) -> None:
    sandbox.reset(upload_url_seconds=5)
    created = api.create()
    sandbox.settings(clock_offset_seconds=6)
    assert api.put(created["upload_url"], photo()).status_code == 403


def test_a_broken_file_ends_in_error_with_a_reason(api: Api) -> None:
    cases = {
        "garbage.jpg": (b"this is no photo" * 40, "could not be decoded"),
        "empty.jpg": (b"", "empty"),
        "truncated.jpg": (photo()[:2000], "truncated"),
        "drawing.bmp": (encode(room(), "BMP"), "Unsupported file format BMP"),
        "moving.gif": (encode(room(), "GIF"), "Unsupported file format GIF"),
        "camera.cr2": (b"II*\x00" + bytes(2000), "RAW"),
    }
    for name, (data, reason) in cases.items():
        image = api.finished(data, name)
        assert image["status"] == "error", name
        assert reason in image["status_reason"], name
        assert api.enhanced(image["image_id"], preview=False).status_code == 404


def test_a_photo_above_the_megapixel_limit_ends_in_error(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(max_megapixels=0.01)
    assert "too large" in api.finished(photo())["status_reason"]


def test_named_photos_fail_when_told_to(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(fail_images={"*poison*": "No scene could be detected."})
    assert api.finished(photo(), "a-poison-1.jpg")["status_reason"] == "No scene could be detected."
    assert api.finished(photo(), "b.jpg")["status"] == "processed"


def test_a_second_upload_replaces_the_file_but_runs_nothing(api: Api, sandbox: Sandbox) -> None:
    created = api.create()
    other = photo(seed=2)
    assert api.put(created["upload_url"], photo()).status_code == 200
    api.wait(created["image_id"])
    assert api.put(created["upload_url"], other).status_code == 200
    assert api.image(created["image_id"])["status"] == "processed"
    assert sandbox.ledger()["images"][0]["processing_runs"] == 1
    original = api.http.get(f"/v3/images/{created['image_id']}/original")
    assert api.asset(original).content == other


def test_reprocessing_keeps_settings_that_are_not_named_and_costs_nothing(api: Api, sandbox: Sandbox) -> None:
    image = api.finished(photo(exposure=0.3), enhance_type="warm", rating=4)
    before = api.bytes(image["image_id"], preview=False)
    answer = api.http.post(f"/v3/images/{image['image_id']}/process", json={"enhance": False})
    assert answer.json()["status"] == "processing"
    again = api.wait(image["image_id"])
    assert (again["enhance"], again["enhance_type"], again["rating"], again["downloaded"]) == (False, "warm", 4, True)
    after = api.bytes(image["image_id"], preview=False)
    assert after != before
    assert sandbox.ledger()["credits"]["spent"] == 1


def test_reprocessing_before_the_upload_is_refused(api: Api) -> None:
    created = api.create()
    assert api.http.post(f"/v3/images/{created['image_id']}/process", json={}).status_code == 422


def test_a_deleted_image_is_gone_and_stays_in_the_books(api: Api, sandbox: Sandbox) -> None:
    created = api.create()
    path = f"/v3/images/{created['image_id']}"
    assert api.http.delete(path).status_code == 204
    assert api.http.delete(path).status_code == 404
    assert api.http.get(path).status_code == 404
    assert api.get_order(created["order_id"])["images"] == []
    assert api.put(created["upload_url"], photo()).status_code == 200
    books = sandbox.ledger()
    assert (books["images_created"], books["images_live"]) == (1, 0)
    assert [row["id"] for row in books["deletions"]] == [created["image_id"]]


def test_deleting_while_processing_ends_the_image(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(processing_seconds=[0.3, 0.3])
    created = api.create()
    api.put(created["upload_url"], photo())
    assert api.image(created["image_id"])["status"] == "processing"
    assert api.http.delete(f"/v3/images/{created['image_id']}").status_code == 204
    assert api.http.get(f"/v3/images/{created['image_id']}").status_code == 404


def test_a_report_is_kept(api: Api, sandbox: Sandbox) -> None:
    created = api.create()
    body = {"categories": ["EXPOSURE"], "comment": "too dark", "score": 2}
    assert api.http.post(f"/v3/images/{created['image_id']}/report", json=body).status_code == 200
    assert sandbox.ledger()["reports"][0]["comment"] == "too dark"


def test_ids_may_be_chosen_but_only_once(api: Api) -> None:
    image_id, order_id = str(uuid.uuid4()), str(uuid.uuid4())
    created = api.create(image_id=image_id, order_id=order_id)
    assert (created["image_id"], created["order_id"]) == (image_id, order_id)
    assert api.get_order(order_id)["total_images"] == 1
    again = api.http.post("/v3/images/", json={"image_name": "b.jpg", "image_id": image_id})
    assert (again.status_code, again.json()) == (409, {"detail": {}, "message": "Conflict"})


def test_another_account_sees_nothing(sandbox: Sandbox) -> None:
    server = Sandbox.start("--no-s3", more_keys=("second-key",))
    try:
        with Api(server) as mine, Api(server, key="second-key") as theirs:
            created = mine.create()
            path = f"/v3/images/{created['image_id']}"
            assert theirs.http.get(path).status_code == 404
            assert theirs.http.delete(path).status_code == 404
            assert theirs.http.post("/v3/orders/", json={"order_id": created["order_id"]}).status_code == 409
            assert mine.http.get(path).status_code == 200
            assert len(server.ledger()["accounts"]) == 2
    finally:
        server.stop()
