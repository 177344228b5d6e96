"""The hooks against the sandbox, over real HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_autoenhance.api import calls, errors
from airflow_provider_autoenhance.api.models import CreatedImage, Image, ImageStatus
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook
from airflow_provider_autoenhance.hooks.download import Download
from airflow_provider_autoenhance.hooks.rate import TokenBucket
from airflow_provider_autoenhance.transport import httpx_client
from tests.support.photos import photo, upload
from tests.support.pictures import bracket
from tests.support.sandbox import Sandbox
from tools.leaks import LeakSearch

FAST = {"max_attempts": 3, "timeout_seconds": 3}


@pytest.fixture
def connect(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch, short_waits: None) -> Callable[..., AutoenhanceHook]:
    """Return a function that makes a hook with a changed connection; waits between tries are cut short."""

    def make(*, host: str = autoenhance.url, password: str = autoenhance.api_key, **extra: Any) -> AutoenhanceHook:
        fields = {"conn_type": "autoenhance", "host": host, "password": password, "extra": FAST | extra}
        monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(fields))
        return AutoenhanceHook()

    return make


@pytest.fixture
def hook(connect: Callable[..., AutoenhanceHook]) -> AutoenhanceHook:
    return connect()


def processed(hook: AutoenhanceHook, name: str = "kitchen.jpg", **options: Any) -> Image:
    created = hook.create_image(name, **options)
    upload(hook, created, photo())
    return until_final(hook, created.image.image_id)


def until_final(hook: AutoenhanceHook, image_id: str) -> Image:
    import time

    for _ in range(200):
        image = hook.get_image(image_id)
        if image.status.final:
            return image
        time.sleep(0.05)
    raise AssertionError(f"{image} never became final")


def read_all(download: Download) -> bytes:
    return download.read()


def test_an_image_goes_through_its_whole_life(hook: AutoenhanceHook, autoenhance: Sandbox) -> None:
    image = processed(hook, settings={"enhance_type": "warm"}, metadata={"listing": "maple"})
    assert image.status is ImageStatus.PROCESSED
    assert image.metadata == {"listing": "maple", "MIMEType": "image/jpeg"}
    assert image.raw["enhance_type"] == "warm"
    preview = hook.download_image(image.image_id, read_all)
    assert not hook.get_image(image.image_id).downloaded
    full = hook.download_image(image.image_id, read_all, preview=False, rendering={"format": "png"})
    assert (preview[:2], full[:4]) == (b"\xff\xd8", b"\x89PNG")
    assert hook.get_image(image.image_id).downloaded
    again = hook.process_image(image.image_id, settings={"enhance_type": "neutral"})
    assert again.status is ImageStatus.PROCESSING
    until_final(hook, image.image_id)
    hook.report_image(image.image_id, categories=["noise"], comment="grainy", score=2)
    assert hook.download_image(image.image_id, read_all, variant="original", preview=False) == photo()
    hook.delete_image(image.image_id)
    hook.delete_image(image.image_id)
    with pytest.raises(errors.NotFoundError, match=image.image_id):
        hook.get_image(image.image_id)
    ledger = autoenhance.ledger()
    assert ledger["credits"]["spent"] == 1
    assert ledger["images_created"] == 1
    assert ledger["reports"][0]["comment"] == "grainy"


def test_orders_and_brackets(hook: AutoenhanceHook) -> None:
    order = hook.create_order(order_id="order-1", name="12 Maple Street")
    assert not order.finished
    with pytest.raises(errors.ConflictError, match="order-1"):
        hook.create_order(order_id="order-1")
    assert hook.update_order("order-1", name="12 Maple St").name == "12 Maple St"
    brackets = []
    for exposure in range(3):
        created = hook.create_bracket(f"living-{exposure}.jpg", order_id="order-1", metadata={"n": exposure})
        hook_upload = CreatedImage(
            Image(created.bracket.bracket_id, created.bracket.name, None, ImageStatus.WAITING), created.upload_url
        )
        upload(hook, hook_upload, photo(shade=40 + 80 * exposure))
        brackets.append(created.bracket.bracket_id)
    assert [each.is_uploaded for each in hook.list_brackets("order-1")] == [True] * 3
    assert hook.get_bracket(brackets[0]).metadata == {"n": 0, "MIMEType": "image/jpeg"}
    hook.process_order("order-1", groups=[brackets], settings={"enhance_type": "warm"})
    for _ in range(100):
        order = hook.get_order("order-1")
        if order.finished:
            break
        asyncio.run(asyncio.sleep(0.05))
    assert [image.status for image in order.images] == [ImageStatus.PROCESSED]
    hook.delete_bracket(hook.create_bracket("spare.jpg", order_id="order-1").bracket.bracket_id)
    hook.delete_order("order-1")
    hook.delete_order("order-1")


def test_all_orders_are_listed_page_by_page(hook: AutoenhanceHook) -> None:
    names = {hook.create_order(order_id=f"order-{n:02}").order_id for n in range(33)}
    assert {order.order_id for order in hook.list_orders()} == names


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_pages_are_followed_to_their_end_by_both_hooks(
    hook: AutoenhanceHook, autoenhance: Sandbox, mode: str, short: bool
) -> None:
    autoenhance.settings(short_pages=short)
    names = {hook.create_order(order_id=f"order-{n:02}").order_id for n in range(17)}

    async def walk() -> list[str]:
        return [order.order_id async for order in AutoenhanceAsyncHook().list_orders()]

    found = asyncio.run(walk()) if mode == "async" else [order.order_id for order in hook.list_orders()]
    assert len(found) == len(names)
    assert set(found) == names
    first = hook.list_orders_page(per_page=4)
    second = hook.list_orders_page(per_page=4, offset=first.next_offset)
    assert len(first.orders) == len(second.orders) == 4 - short
    assert not {order.order_id for order in first.orders} & {order.order_id for order in second.orders}


@pytest.mark.parametrize("per_page", [0, 16])
def test_pages_of_a_size_that_the_api_refuses_are_never_asked_for(
    hook: AutoenhanceHook, autoenhance: Sandbox, per_page: int
) -> None:
    with pytest.raises(errors.SettingsError, match="from 1 to 15"):
        next(hook.list_orders(per_page=per_page))
    assert autoenhance.ledger()["requests"] == {}


@pytest.mark.parametrize("mode", ["groups", "number", "automatic"])
def test_brackets_are_merged_in_each_mode(hook: AutoenhanceHook, mode: str) -> None:
    hook.create_order(order_id="o", name="n")
    made = []
    for number, shot in enumerate(bracket()):
        created = hook.create_bracket(f"{number}.jpg", order_id="o", metadata={"n": number})
        as_image = CreatedImage(Image(created.bracket.bracket_id, "n", "o", ImageStatus.WAITING), created.upload_url)
        upload(hook, as_image, shot)
        made.append(created.bracket.bracket_id)
    options: dict[str, Any] = {"groups": {"groups": [made[:2], made[2:]]}, "number": {"brackets_per_image": 2}}.get(
        mode, {}
    )
    answer = hook.process_order("o", settings={"enhance_type": "warm"}, **options)
    assert answer is not None
    assert answer.is_merging
    for _ in range(200):
        if (order := hook.get_order("o")).finished:
            break
        asyncio.run(asyncio.sleep(0.05))
    images = [
        [each.bracket_id for each in hook.list_brackets("o") if each.image_id == image.image_id]
        for image in order.images
    ]
    assert sorted(images) == sorted([made] if mode == "automatic" else [made[:2], made[2:]])


def test_an_order_tells_when_it_was_made(hook: AutoenhanceHook) -> None:
    created = hook.create_order(order_id="o").created_at
    assert created is not None
    assert abs(created - time.time()) < 60


@pytest.mark.parametrize("content_type", [None, "image/jpeg", "application/octet-stream"])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("version", ["2024-10-01", "2025-01-01", "2025-05-08", "2025-08-31", "2026-10-01"])
def test_every_pinned_version_works(
    connect: Callable[..., AutoenhanceHook], autoenhance: Sandbox, version: str, named: bool, content_type: str | None
) -> None:
    autoenhance.settings(upload_url_names_type=named)
    hook = connect(api_version=version)
    created = hook.create_image("kitchen.jpg", content_type=content_type)
    hook.upload_photo(created.upload_url, photo(), sent_at_creation=content_type)
    image = until_final(hook, created.image.image_id)
    hook.download_image(image.image_id, read_all)
    assert autoenhance.ledger()["credits"]["spent"] == 0
    hook.download_image(image.image_id, read_all, preview=False)
    assert autoenhance.ledger()["credits"]["spent"] == 1


def test_dev_mode_spends_nothing(connect: Callable[..., AutoenhanceHook], autoenhance: Sandbox) -> None:
    hook = connect(dev_mode=True)
    hook.download_image(processed(hook).image_id, read_all, preview=False)
    assert autoenhance.ledger()["credits"]["spent"] == 0


# The key and the presigned URLs


def test_the_key_is_seen_by_the_api_alone(hook: AutoenhanceHook, autoenhance: Sandbox) -> None:
    autoenhance.settings(asset_hops=2)
    hook.download_image(processed(hook).image_id, read_all, preview=False)
    assert autoenhance.ledger()["api_key_hosts"] == [autoenhance.url.removeprefix("http://")]


def test_no_secret_reaches_the_log_even_at_debug(
    hook: AutoenhanceHook, autoenhance: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    autoenhance.faults(
        [
            {"endpoint": "put_object", "kind": "500", "count": 1},
            {"endpoint": "get_object", "kind": "truncate", "count": 1},
            {"endpoint": "retrieve_image", "kind": "503", "count": 1},
        ]
    )
    hook.download_image(processed(hook).image_id, read_all, preview=False)
    assert len(caplog.records) > 5
    assert LeakSearch({}).look(caplog.text.encode()) == set()
    assert autoenhance.api_key not in caplog.text


# Wrong keys and unreachable hosts


def test_the_connection_test_tells_a_wrong_key_from_a_missing_host(
    connect: Callable[..., AutoenhanceHook], autoenhance: Sandbox
) -> None:
    assert connect().test_connection()[0] is True
    ok, message = connect(password="wrong-key").test_connection()
    assert (ok, "refuses the API key" in message, "wrong-key" in message) == (False, True, False)
    ok, message = connect(host="http://127.0.0.1:9").test_connection()
    assert (ok, "cannot be reached" in message) == (False, True)
    ok, message = connect(host=autoenhance.s3_url).test_connection()
    assert (ok, "check the host" in message) == (False, True)
    ok, message = connect(password="").test_connection()
    assert (ok, "no API key" in message) == (False, True)


def test_a_wrong_key_fails_at_once(connect: Callable[..., AutoenhanceHook], autoenhance: Sandbox) -> None:
    with pytest.raises(errors.AuthenticationError, match=r"image 'a.jpg'.*connection's password"):
        connect(password="wrong").create_image("a.jpg")
    assert autoenhance.ledger()["requests"] == {"POST /v3/images/": 1}


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "http://localhost:9"])
def test_an_unreachable_host_is_certainly_not_reached(connect: Callable[..., AutoenhanceHook], host: str) -> None:
    with pytest.raises(errors.UnreachableError, match="no connection to") as caught:
        connect(host=host, max_attempts=2).create_image("a.jpg")
    assert not caught.value.maybe_received


# Faults


@pytest.mark.parametrize("kind", ["500", "503", "429", "reset", "timeout"])
@pytest.mark.parametrize("phase", ["before", "after"])
def test_reading_outlives_every_passing_fault(
    connect: Callable[..., AutoenhanceHook], autoenhance: Sandbox, kind: str, phase: str
) -> None:
    image = connect().create_image("a.jpg").image
    hook = connect(timeout_seconds=1, max_attempts=6)  # a busy machine may be slow once or twice more
    autoenhance.faults([{"endpoint": "retrieve_image", "kind": kind, "phase": phase, "count": 2}])
    assert hook.get_image(image.image_id).image_id == image.image_id


@pytest.mark.parametrize("kind", ["500", "503", "reset", "timeout"])
@pytest.mark.parametrize(("phase", "made"), [("before", 0), ("after", 1)])
def test_a_creation_is_never_repeated_blindly(
    connect: Callable[..., AutoenhanceHook], autoenhance: Sandbox, kind: str, phase: str, made: int
) -> None:
    autoenhance.faults([{"endpoint": "create_image", "kind": kind, "phase": phase, "count": 1}])
    with pytest.raises((errors.ServerError, errors.UnreachableError)) as caught:
        connect(timeout_seconds=1 if kind == "timeout" else 3).create_image("a.jpg")
    assert caught.value.retryable
    ledger = autoenhance.ledger()
    assert ledger["images_created"] == made
    assert ledger["requests"]["POST /v3/images/"] == 1


def test_a_creation_refused_with_429_is_repeated_as_told(hook: AutoenhanceHook, autoenhance: Sandbox) -> None:
    autoenhance.faults([{"endpoint": "create_image", "kind": "429", "retry_after": 1, "count": 1}])
    hook.create_image("a.jpg")
    assert autoenhance.ledger()["images_created"] == 1


@pytest.mark.parametrize("kind", ["truncate", "reset", "500", "503"])
@pytest.mark.parametrize("endpoint", ["get_object", "download_enhanced_image"])
def test_a_download_that_breaks_is_read_again_and_paid_once(
    hook: AutoenhanceHook, autoenhance: Sandbox, kind: str, endpoint: str
) -> None:
    image = processed(hook)
    whole = hook.download_image(image.image_id, read_all, preview=False)
    phase = "mid-body" if kind in ("truncate", "reset") and endpoint == "get_object" else "before"
    if kind == "truncate" and endpoint != "get_object":
        kind = "reset"
    autoenhance.faults([{"endpoint": endpoint, "kind": kind, "phase": phase, "count": 2}])
    assert (
        hashlib.sha256(hook.download_image(image.image_id, read_all, preview=False)).digest()
        == hashlib.sha256(whole).digest()
    )
    assert autoenhance.ledger()["credits"]["spent"] == 1


def test_an_upload_that_breaks_is_sent_again_from_its_start(hook: AutoenhanceHook, autoenhance: Sandbox) -> None:
    autoenhance.faults(
        [
            {"endpoint": "put_object", "kind": "reset", "phase": "mid-body", "count": 1},
            {"endpoint": "put_object", "kind": "503", "count": 1},
        ]
    )
    assert processed(hook).status is ImageStatus.PROCESSED
    assert autoenhance.ledger()["uploads"][0]["sha256"] == hashlib.sha256(photo()).hexdigest()


def test_an_expired_upload_url_is_told_apart_from_a_wrong_content_type(
    hook: AutoenhanceHook, autoenhance: Sandbox
) -> None:
    created = hook.create_image("a.jpg")
    wrong = CreatedImage(created.image, created.upload_url.replace("content-type", "content-typo"))
    with pytest.raises(errors.UploadError, match=r"a.jpg.*signature"):
        upload(hook, wrong, photo())
    autoenhance.settings(clock_offset_seconds=7200)
    with pytest.raises(errors.UploadUrlExpiredError, match=r"a.jpg.*expired"):
        upload(hook, created, photo())


def test_without_credits_nothing_is_lost(hook: AutoenhanceHook, autoenhance: Sandbox) -> None:
    autoenhance.settings(credits=0)
    image = processed(hook)
    with pytest.raises(errors.NoCreditsError, match=r"buy credits.*kept and waits"):
        hook.download_image(image.image_id, read_all, preview=False)
    hook.download_image(image.image_id, read_all)


def test_bad_settings_are_never_sent(hook: AutoenhanceHook, autoenhance: Sandbox) -> None:
    for settings in ({"enhance_typ": "warm"}, {"enhance_type": "odd"}, {"window_pull": True}):
        with pytest.raises(errors.SettingsError):
            hook.create_image("a.jpg", settings=settings)
    assert autoenhance.ledger()["requests"] == {}


# The async hook: the same decisions


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (None, None),
        ({"kind": "503", "count": 2}, None),
        ({"kind": "reset", "count": 2}, None),
        ({"kind": "timeout", "count": 1}, None),
        ({"kind": "429", "count": 1, "retry_after": 1}, None),
        ({"kind": "500"}, errors.ServerError),
        ({"kind": "reset"}, errors.UnreachableError),
        ({"kind": "401"}, errors.AuthenticationError),
        ({"kind": "404"}, errors.NotFoundError),
    ],
)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_both_hooks_decide_alike(
    connect: Callable[..., AutoenhanceHook],
    autoenhance: Sandbox,
    mode: str,
    fault: dict[str, Any] | None,
    error: type[Exception] | None,
) -> None:
    image_id = connect().create_image("a.jpg").image.image_id
    hook = connect(timeout_seconds=1 if fault and fault["kind"] == "timeout" else 3)
    if fault:
        autoenhance.faults([{"endpoint": "retrieve_image", **fault}])
    call = calls.retrieve_image(image_id)

    def read() -> Image:
        return hook.run(call) if mode == "sync" else asyncio.run(AutoenhanceAsyncHook().run(call))

    if error is None:
        assert read().image_id == image_id
    else:
        with pytest.raises(error):
            read()


def test_the_async_hook_cannot_reach_a_host_either(connect: Callable[..., AutoenhanceHook]) -> None:
    connect(host="http://127.0.0.1:9", max_attempts=1)
    with pytest.raises(errors.UnreachableError, match="no connection to 127.0.0.1:9"):
        asyncio.run(AutoenhanceAsyncHook().run(calls.retrieve_image("i")))


def test_triggers_that_begin_at_once_share_one_client_and_one_rate(
    hook: AutoenhanceHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As thousands do when a triggerer starts; that the first of them is cancelled meanwhile is nothing to the others."""
    image_id = hook.create_image("a.jpg").image.image_id
    made: list[Any] = []
    rates: list[TokenBucket] = []
    new_client, reserve = httpx_client.new_client, TokenBucket.reserve

    def counting(config: Any) -> Any:
        made.append(new_client(config))
        return made[-1]

    def noted(self: TokenBucket) -> float:
        rates.append(self)
        return reserve(self)

    monkeypatch.setattr(httpx_client, "new_client", counting)
    monkeypatch.setattr(TokenBucket, "reserve", noted)

    async def poll() -> list[Image]:
        first = asyncio.create_task(AutoenhanceAsyncHook().run(calls.retrieve_image(image_id)))
        others = [asyncio.create_task(AutoenhanceAsyncHook().run(calls.retrieve_image(image_id))) for _ in range(20)]
        await asyncio.sleep(0)
        first.cancel()
        return await asyncio.gather(*others)

    assert {image.image_id for image in asyncio.run(poll())} == {image_id}
    assert (len(made), len({id(rate) for rate in rates})) == (1, 1)


def test_a_client_that_could_not_be_made_is_made_again(hook: AutoenhanceHook, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = hook.create_image("a.jpg").image.image_id
    new_client = httpx_client.new_client
    failures = iter([OSError("no such bundle")])

    def failing_once(config: Any) -> Any:
        for error in failures:
            raise error
        return new_client(config)

    monkeypatch.setattr(httpx_client, "new_client", failing_once)

    async def poll() -> Image:
        with pytest.raises(OSError, match="no such bundle"):
            await AutoenhanceAsyncHook().run(calls.retrieve_image(image_id))
        return await AutoenhanceAsyncHook().run(calls.retrieve_image(image_id))

    assert asyncio.run(poll()).image_id == image_id


# Versions and variants


@pytest.mark.parametrize("account", ["2024-10-01", "2026-10-01"])
@pytest.mark.parametrize("version", ["2024-10-01", "2025-08-31", "2026-07-01", "2026-11-09", ""])
@pytest.mark.parametrize(
    "given",
    [
        {"sky_replacement": True, "cloud_type": "HIGH_CLOUD"},
        {"restage": {"sky": "HIGH_CLOUD"}},
        {"sky_replacement": False},
    ],
)
def test_a_sky_arrives_in_either_spelling_at_either_version(
    connect: Callable[..., AutoenhanceHook], autoenhance: Sandbox, version: str, account: str, given: dict[str, Any]
) -> None:
    autoenhance.settings(account_api_version=account)
    connect(api_version=version).create_image("a.jpg", settings=given)
    (image,) = autoenhance.ledger()["images"]
    replaced = given.get("sky_replacement", True)
    assert image["settings"] == {"sky_replacement": replaced, **({"cloud_type": "HIGH_CLOUD"} if replaced else {})}


def test_without_a_pin_no_version_is_sent(connect: Callable[..., AutoenhanceHook], autoenhance: Sandbox) -> None:
    hook = connect(api_version="")
    autoenhance.settings(account_api_version="2024-10-01")
    assert "window_pull_type" not in hook.create_image("a.jpg").image.raw
    autoenhance.settings(account_api_version="2026-10-01")
    assert "perspective_correction" in hook.create_image("a.jpg").image.raw
    assert hook.test_connection() == (True, f"Connected to {autoenhance.url} with the account's own API version.")


def test_a_setting_is_cleared_with_a_null(hook: AutoenhanceHook, autoenhance: Sandbox) -> None:
    image = processed(hook, settings={"privacy": True, "restage": {"grass": "GREEN"}})
    hook.process_image(image.image_id, settings={"clear": ["privacy", "restage"]})
    assert autoenhance.ledger()["images"][0]["settings"] == {}


def test_an_id_of_the_callers_choice_is_taken_once(hook: AutoenhanceHook, autoenhance: Sandbox) -> None:
    assert hook.create_image("a.jpg", image_id="mine").image.image_id == "mine"
    with pytest.raises(errors.ConflictError):
        hook.create_image("a.jpg", image_id="mine")
    autoenhance.settings(chosen_image_ids="ignored")
    assert hook.create_image("a.jpg", image_id="yours").image.image_id != "yours"
    with pytest.raises(errors.SettingsError, match="another address"):
        hook.create_image("a.jpg", image_id="..")


def test_orders_are_searched_and_sorted(connect: Callable[..., AutoenhanceHook]) -> None:
    hook = connect(api_version="2026-11-09")
    for name in ("b elm", "oak", "a elm"):
        hook.create_order(name=name)
    assert [order.name for order in hook.list_orders(q="elm", sort="name", per_page=1)] == ["a elm", "b elm"]
    assert [order.name for order in hook.list_orders(sort="date")] == ["b elm", "oak", "a elm"]
    with pytest.raises(errors.SettingsError, match="-date, date, name, -name"):
        hook.list_orders_page(sort="size")
