"""Premium edits: a dusk of a day picture is an image of its own, made of a finished one."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from airflow_provider_autoenhance.sandbox.photo.dusk import dusk
from tests.sandbox.api import Api, ok
from tests.support.pictures import bracket, photo, room
from tests.support.sandbox import Sandbox

CODE = "PREMIUM_RESTAGE_ON_INITIAL_PROCESSING"
DUSK = {"restage": {"environment": "DUSK"}}


def put(api: Api, image_id: str, **body: Any) -> httpx.Response:
    return api.http.put(f"/v3/images/{image_id}", json=body)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"), float)


def test_a_dusk_is_made_of_a_finished_image_which_stays_as_it_is(api: Api, sandbox: Sandbox) -> None:
    parent = api.finished(photo(), metadata={"mine": 1}, restage={"grass": "GREEN"}, rating=4)
    day = api.bytes(parent["image_id"], preview=False)
    made = ok(put(api, parent["image_id"], **DUSK))
    assert (made["parent_image_id"], made["order_id"]) == (parent["image_id"], parent["order_id"])
    assert made["restage"] == {"grass": "GREEN", "environment": "DUSK"}
    child = api.wait(made["image_id"])
    assert (child["status"], child["downloaded"], child["rating"]) == ("processed", False, 4)
    assert child["metadata"] == api.image(parent["image_id"])["metadata"]
    evening = api.bytes(child["image_id"], preview=False)
    assert pixels(evening).mean() < 0.7 * pixels(day).mean()
    assert api.bytes(parent["image_id"], preview=False) == day
    assert api.image(parent["image_id"]) == parent | {"downloaded": True}
    order = api.get_order(parent["order_id"])
    assert [image["image_id"] for image in order["images"]] == [parent["image_id"], child["image_id"]]
    ledger = sandbox.ledger()
    assert ledger["credits"]["by_image"] == {parent["image_id"]: 1, child["image_id"]: 1}
    assert [image["parent_image_id"] for image in ledger["images"]] == [None, parent["image_id"]]


def test_a_merged_photo_has_its_dusk_too(api: Api) -> None:
    order_id = api.order()["order_id"]
    api.brackets(order_id, bracket((-2, 0, 2)))
    ok(api.process(order_id))
    (merged,) = api.wait_order(order_id)["images"]
    child = api.wait(ok(put(api, merged["image_id"], **DUSK))["image_id"])
    day, evening = (api.bytes(image["image_id"], preview=False) for image in (merged, child))
    assert pixels(evening).mean() < 0.7 * pixels(day).mean()


def test_asked_for_too_early_it_is_refused_with_its_code(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(processing_seconds=[30, 30])
    created = api.create()
    assert api.put(created["upload_url"], photo()).status_code == 200
    order_id = api.order()["order_id"]
    refused = [
        api.http.post("/v3/images/", json={"image_name": "a.jpg", **DUSK}),
        api.process(order_id, **DUSK),
        api.http.post(f"/v3/images/{created['image_id']}/process", json=DUSK),
        put(api, created["image_id"], **DUSK),
        put(api, api.create("b.jpg")["image_id"], **DUSK),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(422, CODE)] * 5
    assert all(CODE in answer.json()["detail"]["json"]["restage"]["environment"][0] for answer in refused)
    assert sandbox.ledger()["images_created"] == 2


@pytest.mark.parametrize("environment", ["AS_SHOT", None])
def test_what_is_no_edit_passes_everywhere(api: Api, environment: str | None) -> None:
    body = {"restage": {"environment": environment}}
    image = api.finished(photo(), **body)
    order_id = api.order()["order_id"]
    assert ok(api.process(order_id, **body))["images"] == []
    assert ok(put(api, image["image_id"], **body))["image_id"] == image["image_id"]


def test_a_plain_update_changes_the_image_and_enhances_nothing(api: Api, sandbox: Sandbox) -> None:
    image = api.finished(photo())
    changed = ok(put(api, image["image_id"], image_name="hall.jpg", rating=2, enhance_type="warm", metadata={"a": 1}))
    new = {"image_name": "hall.jpg", "rating": 2, "enhance_type": "warm", "metadata": {"a": 1}}
    assert changed == image | new == api.image(image["image_id"])
    assert sandbox.ledger()["images"][0]["processing_runs"] == 1
    assert put(api, image["image_id"], restage={"environment": "NIGHT"}).status_code == 422
    assert put(api, "unknown", image_name="a.jpg").status_code == 404


def test_an_account_that_is_not_enabled_is_refused(api: Api, sandbox: Sandbox) -> None:
    image = api.finished(photo())
    sandbox.settings(premium_edits=False)
    answer = put(api, image["image_id"], **DUSK)
    assert (answer.status_code, answer.json()["message"]) == (403, "Premium edits are not enabled for this account.")
    assert sandbox.ledger()["images_created"] == 1


def test_what_nobody_knows_has_a_switch(api: Api, sandbox: Sandbox) -> None:
    parent = api.finished(photo(), metadata={"mine": 1})
    first, second = (ok(put(api, parent["image_id"], **DUSK)) for _ in range(2))
    assert first["image_id"] != second["image_id"]
    sandbox.settings(second_edit="same", edit_answers="parent")
    assert ok(put(api, parent["image_id"], **DUSK))["image_id"] == parent["image_id"]
    assert sandbox.ledger()["images_created"] == 3
    sandbox.settings(
        second_edit="another", edit_answers="child", child_order="own", child_metadata="none", child_credits=0
    )
    apart = api.wait(ok(put(api, parent["image_id"], **DUSK))["image_id"])
    assert apart["order_id"] != parent["order_id"]
    assert apart["metadata"] is None
    assert len(api.get_order(parent["order_id"])["images"]) == 3
    api.bytes(apart["image_id"], preview=False)
    assert (sandbox.ledger()["credits"]["spent"], api.image(apart["image_id"])["downloaded"]) == (0, True)


def test_a_room_becomes_dim_and_blue_and_its_light_warm() -> None:
    day = room(exposure=1.0)
    evening = dusk(day)
    assert (evening.shape, evening.dtype) == (day.shape, day.dtype)
    shadows = day.mean(axis=2) < 120
    assert evening[shadows].mean() < 0.6 * day[shadows].mean()

    def blue(picture: np.ndarray) -> float:
        return float(picture[shadows][:, 2].mean() / picture[shadows][:, 0].mean())

    assert blue(evening) > 1.2 * blue(day)
    lamp = np.full((200, 200, 3), 60, np.uint8)
    lamp[150:170, 90:110] = 250
    lit = dusk(lamp)[160, 100].astype(int)
    assert lit[0] > 180, "a lamp stays bright"
    assert lit[0] > lit[2] + 40, "and its light is warm"


def test_the_sky_of_a_street_becomes_an_evening_s() -> None:
    street = np.full((200, 300, 3), (90, 85, 80), np.uint8)
    street[:100] = (150, 190, 235)
    evening = dusk(street).astype(int)
    assert evening[10].mean() < 80
    assert evening[10, :, 2].mean() > 2 * evening[10, :, 0].mean(), "blue overhead"
    assert evening[92, :, 0].mean() > evening[10, :, 0].mean() * 2, "red at the horizon"


@pytest.mark.parametrize("size", [(1, 1, 3), (40, 3, 3), (300, 300, 3)])
def test_flat_and_tiny_pictures_survive(size: tuple[int, int, int]) -> None:
    for value in (0, 128, 255):
        assert dusk(np.full(size, value, np.uint8)).shape == size
