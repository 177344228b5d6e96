"""``PUT`` on an image: plain changes, and premium edits, by either hook."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from airflow_provider_autoenhance.api import calls, errors
from airflow_provider_autoenhance.api.models import Image
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox

DUSK = {"restage": {"environment": "dusk"}}

pytestmark = pytest.mark.usefixtures("short_waits")


@pytest.fixture
def image(autoenhance: Sandbox) -> Image:
    """An enhanced image."""
    hook = AutoenhanceHook()
    created = hook.create_image("maple/front.jpg", metadata={"listing": "maple"})
    upload(hook, created, photo())
    while not (found := hook.get_image(created.image.image_id)).status.final:
        time.sleep(0.02)
    return found


def test_a_plain_change_is_sent_and_answered(image: Image, autoenhance: Sandbox) -> None:
    hook = AutoenhanceHook()
    changed = hook.update_image(
        image.image_id, image_name="hall.jpg", metadata={"a": 1}, settings={"rating": 3, "enhance_type": "warm"}
    )
    assert (changed.image_id, changed.image_name, changed.metadata) == (image.image_id, "hall.jpg", {"a": 1})
    assert (changed.raw["rating"], changed.raw["enhance_type"]) == (3, "warm")
    assert autoenhance.ledger()["images"][0]["processing_runs"] == 1
    with pytest.raises(errors.SettingsError, match="nothing to change"):
        hook.update_image(image.image_id)


def test_a_premium_edit_is_a_child_of_its_parent(image: Image) -> None:
    hook = AutoenhanceHook()
    child = hook.update_image(image.image_id, settings=DUSK)
    assert (child.parent_image_id, child.premium_edit) == (image.image_id, "DUSK")
    assert (image.parent_image_id, image.premium_edit) == (None, None)
    order = hook.get_order(str(image.order_id))
    assert [each.image_id for each in order.originals] == [image.image_id]
    assert len(order.images) == 2


def test_the_triggerer_s_hook_carries_it_out_too(image: Image) -> None:
    call = calls.update_image(image.image_id, settings={"restage": {"environment": "DUSK"}})
    child = asyncio.run(AutoenhanceAsyncHook().run(call))
    assert child.parent_image_id == image.image_id


@pytest.mark.parametrize("kind", ["500", "reset"])
def test_a_premium_edit_whose_answer_got_lost_is_not_asked_for_again(
    image: Image, autoenhance: Sandbox, kind: str
) -> None:
    autoenhance.faults([{"endpoint": "update_image", "phase": "after", "kind": kind, "count": 1}])
    with pytest.raises(errors.ServerError if kind == "500" else errors.UnreachableError):
        AutoenhanceHook().update_image(image.image_id, settings=DUSK)
    assert autoenhance.ledger()["images_created"] == 2
    autoenhance.faults([{"endpoint": "update_image", "phase": "after", "kind": kind, "count": 1}])
    assert AutoenhanceHook().update_image(image.image_id, image_name="b.jpg").image_name == "b.jpg"


def test_errors_say_what_a_premium_edit_needs(image: Image, autoenhance: Sandbox) -> None:
    hook = AutoenhanceHook()
    fresh = hook.create_image("new.jpg").image.image_id
    with pytest.raises(
        errors.InvalidRequestError, match="PREMIUM_RESTAGE_ON_INITIAL_PROCESSING.*finished processing: wait"
    ):
        hook.update_image(fresh, settings=DUSK)
    autoenhance.settings(premium_edits=False)
    with pytest.raises(errors.AuthenticationError, match="enabled for an account on request"):
        hook.update_image(image.image_id, settings=DUSK)
    assert autoenhance.ledger()["images_created"] == 2


def test_elsewhere_a_premium_edit_is_refused_before_anything_is_sent(image: Image, autoenhance: Sandbox) -> None:
    hook = AutoenhanceHook()
    before = autoenhance.ledger()["requests"]
    for ask in (
        lambda: hook.create_image("a.jpg", settings=DUSK),
        lambda: hook.process_image(image.image_id, settings=DUSK),
        lambda: hook.process_order(str(image.order_id), settings=DUSK),
    ):
        with pytest.raises(errors.SettingsError, match="AutoenhancePremiumEditOperator"):
            ask()
    with pytest.raises(errors.SettingsError, match="AS_SHOT, DUSK"):
        hook.update_image(image.image_id, settings={"restage": {"environment": "NIGHT"}})
    assert autoenhance.ledger()["requests"] == before


def test_a_version_that_knows_no_restage_refuses_it(
    image: Image, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {
        "conn_type": "autoenhance",
        "host": autoenhance.url,
        "password": autoenhance.api_key,
        "extra": {"api_version": "2025-05-05"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
    with pytest.raises(errors.SettingsError, match="exists since 2025-08-31"):
        AutoenhanceHook().update_image(image.image_id, settings=DUSK)
