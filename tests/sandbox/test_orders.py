"""Orders, brackets, grouping and HDR merging over HTTP."""

from __future__ import annotations

import time
import uuid

import numpy as np
import pytest

from tests.sandbox.api import Api
from tests.support.pictures import bracket, decode, photo
from tests.support.sandbox import Sandbox


def test_a_fresh_order_looks_finished(api: Api) -> None:
    order = api.order(name="12 Elm Street")
    assert order["name"] == "12 Elm Street"
    assert order["status"] == "waiting"
    assert (order["is_merging"], order["is_processing"], order["images"], order["total_images"]) == (
        False,
        False,
        [],
        0,
    )
    assert "+" not in order["created_at"]
    assert len(order["created_at"].partition(".")[2]) == 6


def test_an_order_id_can_be_used_once(api: Api, sandbox: Sandbox) -> None:
    order_id = str(uuid.uuid4())
    api.order(order_id=order_id)
    again = api.http.post("/v3/orders/", json={"order_id": order_id})
    assert (again.status_code, again.json()) == (409, {"detail": {}, "message": "Conflict"})
    api.http.delete(f"/v3/orders/{order_id}")
    sandbox.settings(reuse_deleted_ids=False)
    assert api.http.post("/v3/orders/", json={"order_id": order_id}).status_code == 409
    sandbox.settings(reuse_deleted_ids=True)
    assert api.order(order_id=order_id)["images"] == []


def test_images_create_the_order_they_name(api: Api) -> None:
    order_id = str(uuid.uuid4())
    for name in ("b.jpg", "a.jpg"):
        api.create(name, order_id=order_id)
    order = api.get_order(order_id)
    assert [image["image_name"] for image in order["images"]] == ["b.jpg", "a.jpg"]
    by_name = api.http.get(f"/v3/orders/{order_id}", params={"sort_images_by": "-image_name"}).json()
    assert [image["image_name"] for image in by_name["images"]] == ["b.jpg", "a.jpg"]
    by_name = api.http.get(f"/v3/orders/{order_id}", params={"sort_images_by": "image_name"}).json()
    assert [image["image_name"] for image in by_name["images"]] == ["a.jpg", "b.jpg"]


def test_orders_are_listed_in_pages(api: Api, sandbox: Sandbox) -> None:
    made = [api.order()["order_id"] for _ in range(12)]
    for short in (False, True):
        sandbox.settings(short_pages=short)
        seen, offset = [], None
        while True:
            params = {"per_page": 5} | ({"offset": offset} if offset else {})
            page = api.http.get("/v3/orders/", params=params).json()
            assert len(page["orders"]) <= 5 - short
            seen += [order["order_id"] for order in page["orders"]]
            offset = page["pagination"]["next_offset"]
            if offset is None:
                break
        assert seen == made[::-1]
    assert len(api.http.get("/v3/orders/").json()["orders"]) == 4
    for bad in ({"per_page": 16}, {"per_page": "many"}, {"offset": "elsewhere"}):
        answer = api.http.get("/v3/orders/", params=bad)
        assert (answer.status_code, list(answer.json()["detail"]["query"])) == (422, list(bad))


def test_only_the_name_of_an_order_changes(api: Api) -> None:
    order = api.order(name="old")
    answer = api.http.patch(f"/v3/orders/{order['order_id']}", json={"name": "new", "order_id": "other"})
    assert (answer.json()["name"], answer.json()["order_id"]) == ("new", order["order_id"])


def test_deleting_an_order_deletes_what_is_in_it(api: Api, sandbox: Sandbox) -> None:
    image = api.create()
    order_id = image["order_id"]
    made = api.bracket(order_id, "b.jpg")
    assert api.http.delete(f"/v3/orders/{order_id}").status_code == 204
    for path in (f"orders/{order_id}", f"orders/{order_id}/brackets", f"images/{image['image_id']}"):
        assert api.http.get(f"/v3/{path}").status_code == 404, path
    assert api.http.get(f"/v3/brackets/{made['bracket_id']}").status_code == 404
    assert {row["kind"] for row in sandbox.ledger()["deletions"]} == {"order", "image", "bracket"}


def test_an_order_tells_how_its_photos_fare(api: Api) -> None:
    order_id = api.order()["order_id"]
    good = api.finished(photo(), "good.jpg", order_id=order_id)
    assert api.get_order(order_id)["status"] == "processed"
    api.finished(b"junk", "bad.jpg", order_id=order_id)
    order = api.get_order(order_id)
    assert (order["status"], order["is_processing"]) == ("processed", False)
    assert {image["status"] for image in order["images"]} == {"processed", "error"}
    api.http.delete(f"/v3/images/{good['image_id']}")
    assert api.get_order(order_id)["status"] == "error"


def test_brackets_pass_through_the_phases_and_cost_one_credit(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(merging_seconds=[0.3, 0.3], processing_seconds=[0.3, 0.3])
    order_id = api.order()["order_id"]
    ids = api.brackets(order_id, bracket((-2, 0, 2)))
    order = api.get_order(order_id)
    assert (order["status"], order["images"], order["is_merging"]) == ("waiting", [], False)
    order = api.process(order_id, images=[{"bracket_ids": ids}], enhance_type="warm").json()
    assert (order["status"], order["is_merging"], order["images"]) == ("processing", True, [])
    phases = set()
    while order["status"] == "processing":
        phases.add((order["is_merging"], order["is_processing"], len(order["images"])))
        time.sleep(0.03)
        order = api.get_order(order_id)
    assert phases == {(True, False, 0), (False, True, 1)}
    assert (order["is_merging"], order["is_processing"], order["total_images"]) == (False, False, 1)
    image = order["images"][0]
    assert (image["status"], image["enhance_type"]) == ("processed", "warm")
    listed = api.http.get(f"/v3/orders/{order_id}/brackets").json()["brackets"]
    assert {row["image_id"] for row in listed} == {image["image_id"]}
    api.bytes(image["image_id"], preview=False)
    assert sandbox.ledger()["credits"]["by_image"] == {image["image_id"]: 1}


def test_a_merge_shows_the_room_and_the_window(api: Api) -> None:
    shots = bracket((-4, -2, 0, 2, 4))
    order_id = api.order()["order_id"]
    ids = api.brackets(order_id, shots)
    api.process(order_id, images=[{"bracket_ids": ids}])
    image_id = api.wait_order(order_id)["images"][0]["image_id"]
    enhanced = decode(api.bytes(image_id, preview=False))
    merged = decode(api.asset(api.http.get(f"/v3/images/{image_id}/original")).content)
    darkest, middle = decode(shots[0]), decode(shots[2])
    window, room = np.s_[36:76, 156:204], np.s_[100:]
    assert middle[window].std() < 8, "the middle exposure should clip the window"
    for picture in (merged, enhanced):
        assert picture.shape == middle.shape
        assert picture[window].std() > 15, "the merge lost the window's pattern"
        assert picture[room].mean() > darkest[room].mean() + 40, "the merge left the room dark"
    assert enhanced[room].mean() > merged[room].mean()


def test_fixed_groups_follow_the_order_of_registration(api: Api) -> None:
    order_id = api.order()["order_id"]
    ids = api.brackets(order_id, [*bracket(seed=1), *bracket(seed=2), photo(seed=3)])
    api.process(order_id, number_of_brackets_per_image=3)
    images = api.wait_order(order_id)["images"]
    listed = api.http.get(f"/v3/orders/{order_id}/brackets").json()["brackets"]
    groups = [[row["bracket_id"] for row in listed if row["image_id"] == image["image_id"]] for image in images]
    assert groups == [ids[:3], ids[3:6], ids[6:]]


def test_automatic_groups_follow_the_cameras_clock(api: Api) -> None:
    order_id = api.order()["order_id"]
    shots = [*bracket((-2, 0, 2), second=10), *bracket((-2, 0, 2), second=50, seed=2)]
    ids = api.brackets(order_id, shots)
    api.process(order_id)
    assert len(api.wait_order(order_id)["images"]) == 2
    listed = api.http.get(f"/v3/orders/{order_id}/brackets").json()["brackets"]
    owner = {row["bracket_id"]: row["image_id"] for row in listed}
    assert len({owner[bracket_id] for bracket_id in ids[:3]}) == 1


@pytest.mark.parametrize("case", ["twice", "ten", "none", "unknown", "foreign", "negative"])
def test_groups_that_make_no_sense_are_refused(api: Api, case: str) -> None:
    order_id = api.order()["order_id"]
    ids = api.brackets(order_id, bracket())
    foreign = api.bracket(api.order()["order_id"], "x.jpg")["bracket_id"]
    body = {
        "twice": {"images": [{"bracket_ids": ids}, {"bracket_ids": ids[:1]}]},
        "ten": {"images": [{"bracket_ids": ids * 4}]},
        "none": {"images": [{"bracket_ids": []}]},
        "unknown": {"images": [{"bracket_ids": ["nope"]}]},
        "foreign": {"images": [{"bracket_ids": [foreign]}]},
        "negative": {"number_of_brackets_per_image": -1},
    }[case]
    answer = api.process(order_id, **body)
    assert answer.status_code == 422
    assert answer.json()["detail"]["json"]
    assert api.get_order(order_id)["is_merging"] is False


def test_processing_again_merges_only_what_is_new(api: Api, sandbox: Sandbox) -> None:
    order_id = api.order()["order_id"]
    ids = api.brackets(order_id, bracket())
    api.process(order_id, images=[{"bracket_ids": ids}])
    api.process(order_id, images=[{"bracket_ids": ids}])
    api.wait_order(order_id)
    assert api.process(order_id).json()["is_merging"] is False
    more = api.brackets(order_id, bracket(second=50, seed=4))
    api.process(order_id, images=[{"bracket_ids": more}])
    while len(order := api.wait_order(order_id)["images"]) < 2:
        time.sleep(0.02)
    assert [image["status"] for image in order] == ["processed", "processed"]
    assert sandbox.ledger()["images_created"] == 2


def test_brackets_that_were_never_uploaded_are_left_out(api: Api) -> None:
    order_id = api.order()["order_id"]
    api.brackets(order_id, bracket())
    lost = api.bracket(order_id, "lost.jpg")
    api.process(order_id)
    assert len(api.wait_order(order_id)["images"]) == 1
    row = api.http.get(f"/v3/brackets/{lost['bracket_id']}").json()
    assert (row["is_uploaded"], row["image_id"]) == (False, None)
    assert api.process(api.order()["order_id"]).json()["is_merging"] is False


def test_exposures_of_different_size_end_in_error(api: Api) -> None:
    order_id = api.order()["order_id"]
    ids = api.brackets(order_id, [photo(), photo(width=100)])
    api.process(order_id, images=[{"bracket_ids": ids}])
    image = api.wait_order(order_id)["images"][0]
    assert (image["status"], "differ in size" in image["status_reason"]) == ("error", True)


def test_a_bracket_is_kept_as_sent_and_can_be_deleted(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(upload_flag_lag_seconds=100)
    order_id = api.order()["order_id"]
    made = api.bracket(order_id, "dsc1.jpg", metadata={"etag": "abc"})
    api.put(made["upload_url"], photo())
    row = api.http.get(f"/v3/orders/{order_id}/brackets").json()["brackets"][0]
    assert (row["name"], row["metadata"], row["is_uploaded"]) == (
        "dsc1.jpg", {"etag": "abc", "MIMEType": "image/jpeg"}, False,
    )  # fmt: skip
    sandbox.settings(clock_offset_seconds=101)
    assert api.http.get(f"/v3/brackets/{made['bracket_id']}").json()["is_uploaded"] is True
    assert api.http.delete(f"/v3/brackets/{made['bracket_id']}").status_code == 204
    assert api.http.get(f"/v3/orders/{order_id}/brackets").json()["brackets"] == []
    assert api.http.post("/v3/brackets/", json={"order_id": "none", "name": "a.jpg"}).status_code == 404


@pytest.mark.parametrize(
    ("written", "uploaded", "merged"),
    [
        ("beside", {"mine": 1, "MIMEType": "image/jpeg"}, {"Manually Grouped": True}),
        ("instead", {"MIMEType": "image/jpeg"}, {"Manually Grouped": True}),
        ("never", {"mine": 1}, None),
    ],
)
def test_autoenhance_writes_into_the_metadata(
    api: Api, sandbox: Sandbox, written: str, uploaded: dict[str, object], merged: dict[str, object] | None
) -> None:
    sandbox.settings(metadata_written=written)
    assert api.finished(photo(), metadata={"mine": 1})["metadata"] == uploaded
    order_id = api.order()["order_id"]
    made = [api.bracket(order_id, f"{number}.jpg", metadata={"mine": 1}) for number in range(2)]
    assert [
        api.put(each["upload_url"], shot).status_code for each, shot in zip(made, bracket((0, 2)), strict=True)
    ] == [200, 200]
    listed = api.http.get(f"/v3/orders/{order_id}/brackets").json()["brackets"]
    assert [each["metadata"] for each in listed] == [uploaded, uploaded]
    api.process(order_id, images=[{"bracket_ids": [each["bracket_id"] for each in made]}])
    assert api.wait_order(order_id)["images"][0]["metadata"] == merged


def test_processing_an_order_of_images_makes_a_second_image_of_each(api: Api, sandbox: Sandbox) -> None:
    first = api.finished(photo(), "kitchen.jpg", metadata={"mine": 1})
    order_id = first["order_id"]

    def brackets() -> list[tuple[str, str]]:
        listed = api.http.get(f"/v3/orders/{order_id}/brackets").json()["brackets"]
        return [(each["name"], each["image_id"]) for each in listed]

    assert brackets() == [("kitchen.jpg", first["image_id"])]
    assert api.process(order_id, enhance_type="warm").status_code == 200
    time.sleep(0.6)
    images = api.wait_order(order_id)["images"]
    assert images[0] == first | {"metadata": first["metadata"]}
    second = images[1]
    assert (second["image_name"], second["metadata"]) == ("kitchen.jpg", {"Manually Grouped": False})
    assert (second["enhance_type"], bool(second["preset_id"]), second["downloaded"]) == ("warm", True, False)
    assert brackets() == [("kitchen.jpg", second["image_id"])]
    api.process(order_id)
    time.sleep(0.6)
    assert len(api.wait_order(order_id)["images"]) == 2


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ({}, ["c", "A elm", "b", "a Elm"]),
        ({"sort": "-date"}, ["c", "A elm", "b", "a Elm"]),
        ({"sort": "date"}, ["a Elm", "b", "A elm", "c"]),
        ({"sort": "name"}, ["a Elm", "A elm", "b", "c"]),
        ({"sort": "-name"}, ["c", "b", "A elm", "a Elm"]),
        ({"q": "ELM"}, ["A elm", "a Elm"]),
        ({"q": "elm", "sort": "date"}, ["a Elm", "A elm"]),
        ({"q": "oak"}, []),
    ],
)
def test_orders_are_searched_and_sorted(sandbox: Sandbox, query: dict[str, str], listed: list[str]) -> None:
    with Api(sandbox, "2026-11-09") as api:
        for name in ("a Elm", "b", "A elm", "c"):
            api.order(name=name)
        found, offset = [], "0"
        while offset is not None:
            page = api.http.get("/v3/orders/", params={**query, "per_page": "1", "offset": offset}).json()
            found += [order["name"] for order in page["orders"]]
            offset = page["pagination"]["next_offset"]
        assert found == listed
        assert api.http.get("/v3/orders/", params={"sort": "size"}).status_code == 422
