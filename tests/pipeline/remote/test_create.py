"""Each image and exposure made once, for a batch: over real HTTP, with answers that get lost and addresses that grow old."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import CreatedBracket, CreatedImage, ImageStatus
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.remote.create import ensure
from airflow_provider_autoenhance.pipeline.remote.identity import EXPOSURE_KEY, FINGERPRINT_KEY
from airflow_provider_autoenhance.pipeline.remote.ticket import Kind, UploadTicket
from tests.support.batch import operator
from tests.support.photos import exposure, photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import run

pytestmark = pytest.mark.usefixtures("short_waits")


def wanted(kind: Kind, fingerprint: str = "f1", **metadata: str) -> UploadTicket:
    return UploadTicket(f"a-{fingerprint}.jpg", "o1", {}, {FINGERPRINT_KEY: fingerprint, **metadata}, kind=kind)


def aged(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Two hours pass after the first call of a hook's method has been answered."""
    call, passed = getattr(AutoenhanceHook, name), iter([7200])

    def slow(self: AutoenhanceHook, *args: Any, **options: Any) -> CreatedImage | CreatedBracket:
        made = call(self, *args, **options)
        if hours := next(passed, None):
            autoenhance.settings(clock_offset_seconds=hours)
        return made

    monkeypatch.setattr(AutoenhanceHook, name, slow)


@pytest.mark.parametrize("kind", ["image", "bracket"])
def test_what_lost_answers_left_is_deleted_before_it_is_made_again(autoenhance: Sandbox, kind: Kind) -> None:
    hook = AutoenhanceHook()
    hook.create_order(order_id="o1")
    endpoint = {"image": "create_image", "bracket": "v3_brackets_post"}[kind]
    autoenhance.faults([{"endpoint": endpoint, "kind": "reset", "phase": "after", "count": 2}])
    made = ensure(hook, wanted(kind), fresh=True)
    ledger = autoenhance.ledger()
    left = {"image": ledger["images"], "bracket": ledger["brackets"]}[kind]
    assert [each[f"{kind}_id"] for each in left if not each["deleted"]] == [made.id]
    assert (len(left), made.adopted) == (3, False)


@pytest.mark.parametrize("chosen", ["taken", "ignored", "refused"])
def test_an_image_that_is_there_is_gone_on_with_though_nobody_has_looked(autoenhance: Sandbox, chosen: str) -> None:
    """Ids of our choice keep a second one from being made; where Autoenhance chooses them, a lost answer is searched for."""
    autoenhance.settings(chosen_image_ids=chosen)
    taken = chosen == "taken"
    hook = AutoenhanceHook()
    hook.create_order(order_id="o1")
    first = ensure(hook, wanted("image"), fresh=True)
    hook.upload_photo(first.ticket.upload_url, photo())
    if not taken:
        autoenhance.faults([{"endpoint": "create_image", "kind": "500", "phase": "before", "count": 1}])
    again = ensure(hook, wanted("image"), fresh=True)
    ledger = autoenhance.ledger()
    assert (again.id, again.adopted, ledger["images_created"]) == (first.id, True, 1)
    assert ("GET /v3/orders/{id}" in ledger["requests"]) is not taken, "an id needs no search"


def test_a_lost_answer_needs_no_search(autoenhance: Sandbox) -> None:
    hook = AutoenhanceHook()
    hook.create_order(order_id="o1")
    autoenhance.faults([{"endpoint": "create_image", "kind": "reset", "phase": "after", "count": 1}])
    made = ensure(hook, wanted("image"), fresh=True)
    ledger = autoenhance.ledger()
    assert (ledger["live_images"], ledger["images_created"], made.adopted) == ([made.id], 2, False)
    assert "GET /v3/orders/{id}" not in ledger["requests"]


def test_the_id_of_a_deleted_image_is_in_nobodys_way(autoenhance: Sandbox) -> None:
    hook = AutoenhanceHook()
    hook.create_order(order_id="o1")
    hook.delete_image(ensure(hook, wanted("image"), fresh=True).id)
    made = ensure(hook, wanted("image"))
    assert (autoenhance.ledger()["live_images"], made.adopted) == ([made.id], False)


def test_what_did_not_reach_the_server_is_not_looked_for(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def unreachable(self: AutoenhanceHook, *args: Any, **options: Any) -> CreatedImage:
        calls.append(args)
        raise errors.UnreachableError("no connection", maybe_received=False)

    monkeypatch.setattr(AutoenhanceHook, "create_image", unreachable)
    with pytest.raises(errors.UnreachableError):
        ensure(AutoenhanceHook(), wanted("image"), fresh=True)
    assert (len(calls), autoenhance.ledger()["requests"]) == (1, {})


def test_a_twin_s_image_with_bytes_is_adopted_after_a_lost_answer(autoenhance: Sandbox) -> None:
    """As when a task that was taken for dead goes on beside its retry."""
    hook = AutoenhanceHook()
    twin = hook.create_image("a-f1.jpg", order_id="o1", metadata={FINGERPRINT_KEY: "f1"})
    upload(hook, twin, photo())
    autoenhance.faults([{"endpoint": "create_image", "kind": "500", "phase": "before", "count": 1}])
    made = ensure(hook, wanted("image"), fresh=True)
    assert (made.id, made.adopted) == (twin.image.image_id, True)
    assert made.status in (ImageStatus.PROCESSING, ImageStatus.PROCESSED)
    assert autoenhance.ledger()["images_created"] == 1


def test_another_photo_s_exposure_is_not_this_one(autoenhance: Sandbox) -> None:
    hook = AutoenhanceHook()
    hook.create_order(order_id="o1")
    first = ensure(hook, wanted("bracket", **{EXPOSURE_KEY: "e1"}))
    for other in (wanted("bracket", **{EXPOSURE_KEY: "e2"}), wanted("bracket", "f2", **{EXPOSURE_KEY: "e1"})):
        ensure(hook, other)
    assert len(hook.list_brackets("o1")) == 3
    again = ensure(hook, wanted("bracket", **{EXPOSURE_KEY: "e1"}))
    assert again.id != first.id
    assert len(hook.list_brackets("o1")) == 3


@pytest.mark.parametrize(("brackets", "made"), [("none", "create_image"), ("exif", "create_bracket")])
def test_a_batch_makes_again_what_waited_longer_than_its_upload_url_lives(
    autoenhance: Sandbox, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, brackets: str, made: str
) -> None:
    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.remote.process.ARRIVAL_POLLS", (0.0, 0.01))
    for number, stop in enumerate((-2, 0, 2)):
        s3.put(f"maple/{number}.jpg", exposure(0.4 * number, stop))
    aged(autoenhance, monkeypatch, made)
    assert run(operator(brackets=brackets, concurrency=1))["landed"] == (3 if brackets == "none" else 1)
    ledger = autoenhance.ledger()
    assert ledger["credits"]["spent"] == ledger["images_live"] == (3 if brackets == "none" else 1)
    assert ledger["images_created" if brackets == "none" else "brackets_created"] == 4
