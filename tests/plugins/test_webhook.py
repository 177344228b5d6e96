"""The webhook, with the sandbox really calling it: who comes in, what a call can do, and what a flood of them cannot."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_1_PLUS

from airflow_provider_autoenhance.triggers import events, wakeup
from airflow_provider_autoenhance.triggers.wakeup import Wakeup, variable_of
from airflow_provider_autoenhance.triggers.watermark import Watermark
from tests.sandbox.api import Api
from tests.support.pictures import bracket, photo
from tests.support.sandbox import Sandbox

if not AIRFLOW_V_3_0_PLUS:
    pytest.skip("Airflow 2 has no FastAPI apps", allow_module_level=True)

import uvicorn
from fastapi import FastAPI

from airflow_provider_autoenhance.plugins import order_check as confirming
from airflow_provider_autoenhance.plugins.app import MAX_BODY_BYTES, build_app
from airflow_provider_autoenhance.plugins.order_check import MAX_ORDERS, OrderCheck

TOKEN = "a-token-that-nobody-guesses"
NEVER = "11111111-1111-4111-8111-111111111111"


class Webhook:
    """The app, mounted and served as Airflow's API server does, and the hints that it leaves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hints = 0
        self.order_check = OrderCheck("autoenhance_default")
        monkeypatch.setattr(self.order_check, "_leave_hint", self._count)
        parent = FastAPI()
        parent.mount("/autoenhance", build_app(TOKEN, self.order_check))
        config = uvicorn.Config(parent, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until(lambda: self._server.started)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/autoenhance/webhook"

    def _count(self) -> None:
        self.hints += 1

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    def call(
        self,
        event: Any = None,
        *,
        token: str | None = TOKEN,
        header: str = "Authentication",
        method: str = "POST",
        path: str = "/autoenhance/webhook",
        body: bytes | None = None,
        **headers: str,
    ) -> tuple[int, bytes, dict[str, str]]:
        """Call it; return status, body and headers of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            body = json.dumps(event).encode() if body is None else body
            connection.request(method, path, body, {**({header: token} if token is not None else {}), **headers})
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders() if name.lower() != "date"}
            return answer.status, answer.read(), told
        finally:
            connection.close()

    def processed(self, order_id: Any, *, under_way: bool = False, **about: Any) -> int:
        """Tell that an image of an order is done."""
        event = {
            "event": "image_processed",
            "image_id": "i",
            "error": False,
            "order_id": order_id,
            "order_is_processing": under_way,
        }
        return self.call(event, **about)[0]

    @property
    def idle(self) -> bool:
        """Nothing is left to be done."""
        task = self.order_check._task
        return task is not None and task.done()


def until(ready: Callable[[], Any]) -> None:
    for _ in range(2000):
        if ready():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, short_waits: None) -> None:
    monkeypatch.setattr(confirming, "PACE_SECONDS", 0.02)
    monkeypatch.setattr(confirming, "LATER_SECONDS", 0.3)
    monkeypatch.setattr(confirming, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(confirming, "LOOK_SECONDS", 0.05)


@pytest.fixture
def webhook(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    made = Webhook(monkeypatch)
    yield made
    made.stop()


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[Api]:
    with Api(sandbox) as client:
        yield client


def confirmations(sandbox: Sandbox) -> int:
    return sum(number for call, number in sandbox.ledger()["requests"].items() if call.startswith("GET /v3/orders/{"))


def test_a_finished_order_becomes_a_hint(api: Api, sandbox: Sandbox, webhook: Webhook) -> None:
    sandbox.settings(webhook_url=webhook.url, webhook_token=TOKEN)
    image = api.finished(photo())
    until(lambda: webhook.hints)
    until(lambda: webhook.idle)
    assert webhook.hints == 1
    assert [row["status"] for row in sandbox.ledger()["webhooks"]] == [204] * 3  # saved, registered, processed
    assert confirmations(sandbox) == 1, image


def test_a_whole_order_is_asked_about_a_few_times_and_not_per_image(
    api: Api, sandbox: Sandbox, webhook: Webhook
) -> None:
    sandbox.settings(webhook_url=webhook.url, webhook_token=TOKEN, webhook_copies=3, processing_seconds=[0.5, 1.0])
    order_id = api.order()["order_id"]
    for number in range(20):
        created = api.create(f"{number}.jpg", order_id=order_id)
        api.put(created["upload_url"], photo())
    until(lambda: len(sandbox.ledger()["webhooks"]) >= 1 + 3 * 40)
    until(lambda: webhook.hints and webhook.idle)
    assert confirmations(sandbox) < 20


def test_brackets_that_are_still_merging_are_no_finished_order(api: Api, sandbox: Sandbox, webhook: Webhook) -> None:
    sandbox.settings(merging_seconds=[60, 60])
    order_id = api.order()["order_id"]
    api.brackets(order_id, bracket())
    api.process(order_id, number_of_brackets_per_image=3)
    assert webhook.processed(order_id) == 204
    until(lambda: webhook.idle)
    assert confirmations(sandbox) > 0
    assert webhook.hints == 0


def test_a_fresh_order_looks_finished_and_is_not(api: Api, sandbox: Sandbox, webhook: Webhook) -> None:
    assert webhook.processed(api.order()["order_id"]) == 204
    until(lambda: webhook.idle)
    assert webhook.hints == 0


def test_repeated_and_reordered_calls_do_no_harm(api: Api, sandbox: Sandbox, webhook: Webhook) -> None:
    image = api.finished(photo())
    for under_way in (False, True, False, True):
        for _ in range(10):
            assert webhook.processed(image["order_id"], under_way=under_way) == 204
    until(lambda: webhook.hints and webhook.idle)
    assert confirmations(sandbox) <= 40
    assert api.image(image["image_id"]) == image
    assert sandbox.ledger()["credits"]["spent"] == 0


def test_the_last_call_may_overtake_the_others(api: Api, sandbox: Sandbox, webhook: Webhook) -> None:
    """Only a call that says "still under way" arrives, and none after it."""
    image = api.finished(photo())
    assert webhook.processed(image["order_id"], under_way=True) == 204
    until(lambda: webhook.hints)


FORGED: list[dict[str, Any]] = [
    {"token": None},
    {"token": ""},
    {"token": "x" * len(TOKEN)},
    {"token": TOKEN + "x"},
    {"token": TOKEN[:-1]},
    {"token": TOKEN.upper()},
    {"token": f"Basic {TOKEN}", "header": "Authorization"},
    {"token": TOKEN, "header": "X-Api-Key"},
    {"token": None, "method": "GET"},
    {"token": None, "path": "/autoenhance/"},
    {"token": None, "path": "/autoenhance/docs"},
    {"token": None, "body": b"x" * (MAX_BODY_BYTES + 1)},
    {"token": None, "body": b"{"},
]


def test_a_wrong_token_changes_nothing_and_says_nothing(
    api: Api, sandbox: Sandbox, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    order_id = api.finished(photo())["order_id"]
    before = sandbox.ledger()["requests"]
    with caplog.at_level(logging.DEBUG):
        answers = [webhook.call({"event": "image_processed", "order_id": order_id}, **about) for about in FORGED * 5]
    assert {(status, body) for status, body, _ in answers} == {(404, b"")}
    assert len({json.dumps(headers) for _, _, headers in answers}) == 1
    assert webhook.order_check._task is None, "something was queued"
    assert sandbox.ledger()["requests"] == before
    told = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_autoenhance")]
    assert told == ["Refused webhook calls: 1. The token is missing or wrong."]


@pytest.mark.parametrize(
    "about",
    [
        {"header": "authentication"},
        {"header": "Authorization"},
        {"header": "Authorization", "token": f"Bearer {TOKEN}"},
    ],
    ids=["authentication", "authorization", "bearer"],
)
def test_the_right_token_is_taken_wherever_it_stands(about: dict[str, str], webhook: Webhook) -> None:
    assert webhook.call({"event": "webhook_updated"}, **about)[:2] == (204, b"")


@pytest.mark.parametrize(
    ("status", "about"),
    [
        (204, {"body": b""}),
        (204, {"body": b"{"}),
        (204, {"body": b"[1]"}),
        (204, {"body": b"\xff\xfe"}),
        (204, {"body": b"[" * 60_000}),
        (204, {"event": {"event": "image_processed"}}),
        (204, {"event": {"event": "image_processed", "order_id": {"a": 1}}}),
        (204, {"event": {"event": "image_processed", "order_id": "../../v3/images/"}}),
        (204, {"event": {"event": ["image_processed"], "order_id": NEVER}}),
        (204, {"event": {"event": "image_registered", "order_id": NEVER}}),
        (413, {"body": b" " * (MAX_BODY_BYTES + 1)}),
        (405, {"method": "GET"}),
        (404, {"path": "/autoenhance/other"}),
    ],
)
def test_whatever_else_comes_with_the_token_does_no_harm(
    status: int, about: dict[str, Any], sandbox: Sandbox, webhook: Webhook
) -> None:
    assert webhook.call(**about)[0] == status
    assert webhook.order_check._task is None
    assert sandbox.ledger()["requests"] == {}


def test_a_body_without_a_length_is_read_no_further_than_allowed(webhook: Webhook) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", webhook.port, timeout=10)
    chunks = (b" " * 1024 for _ in range(MAX_BODY_BYTES // 1024 + 1))
    connection.request("POST", "/autoenhance/webhook", chunks, {"Authentication": TOKEN}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_an_order_that_is_not_ours_is_dropped(sandbox: Sandbox, webhook: Webhook) -> None:
    assert webhook.processed(NEVER) == 204
    until(lambda: webhook.idle)
    assert confirmations(sandbox) == 1
    assert webhook.hints == 0


def test_trouble_with_the_api_passes(api: Api, sandbox: Sandbox, webhook: Webhook) -> None:
    image = api.finished(photo())
    sandbox.faults([{"endpoint": "retrieve_order", "kind": 503, "count": 7}])
    webhook.processed(image["order_id"])
    until(lambda: webhook.hints)


def test_a_flood_with_the_right_token_is_bounded(
    sandbox: Sandbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirming, "PACE_SECONDS", 3600)

    async def flood() -> None:
        for number in range(3 * MAX_ORDERS):
            webhook.order_check.note(f"order-{number}", last=True)
            webhook.order_check.note(f"order-{number}", last=False)
        await asyncio.sleep(0.2)
        await webhook.order_check.stop()

    asyncio.run(flood())
    assert len(webhook.order_check._noted) <= MAX_ORDERS
    assert confirmations(sandbox) <= 1
    assert webhook.hints == 0


def test_a_failing_database_is_tried_again(api: Api, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []

    def leave() -> None:
        left.append("tried")
        if len(left) < 3:
            raise RuntimeError("the database is away")

    image = api.finished(photo())
    monkeypatch.setattr(webhook.order_check, "_leave_hint", leave)
    webhook.processed(image["order_id"])
    until(lambda: len(left) == 3 and webhook.idle)


@pytest.mark.usefixtures("airflow_db")
def test_the_hint_is_where_watchers_look() -> None:
    from airflow.models.variable import Variable

    order_check = OrderCheck("other_account")
    order_check._leave_hint()
    first = Variable.get(variable_of("other_account"))
    order_check._leave_hint()
    assert Variable.get(variable_of("other_account")) != first


def test_a_waiting_watcher_wakes_with_each_new_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    held: dict[str, Any] = {"value": None}

    async def read(_: Wakeup) -> str | None:
        if isinstance(held["value"], Exception):
            raise held["value"]
        return held["value"]  # type: ignore[no-any-return]

    monkeypatch.setattr(wakeup, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(Wakeup, "_read", read)

    async def watch() -> list[bool]:
        waiting = Wakeup()
        told = [await waiting.wait(0.05)]
        held["value"] = "10:00"
        told += [await waiting.wait(60), await waiting.wait(0.05)]
        held["value"] = RuntimeError("the API server is away")
        told += [await waiting.wait(0.05)]
        held["value"] = "10:05"
        return [*told, await waiting.wait(60)]

    assert asyncio.run(watch()) == [False, True, False, False, True]


def test_a_watcher_looks_but_once_for_a_hint_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow 3.0 and 3.1 log an error at each such look."""
    held: dict[str, str] = {}
    missing: list[str] = []

    def get(key: str, default: Any) -> Any:
        if key not in held:
            missing.append(key)
        return held.get(key, default)

    def put(key: str, value: str, description: str) -> None:
        held[key] = value

    monkeypatch.setattr(wakeup, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr("airflow.sdk.Variable.get", get)
    monkeypatch.setattr("airflow.sdk.Variable.set", put)

    async def watch() -> list[bool]:
        waiting = Wakeup("an_account")
        told = [await waiting.wait(0.2)]
        held[variable_of("an_account")] = "10:00"
        return [*told, await waiting.wait(60)]

    assert asyncio.run(watch()) == [False, True]
    assert missing == [variable_of("an_account")]


def test_from_the_call_to_one_event(
    api: Api, sandbox: Sandbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher polls once an hour; calls come three times each; the order is told once, and soon."""

    async def read_hint(_: Wakeup) -> str | None:
        return str(webhook.hints) if webhook.hints else None

    async def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(Wakeup, "_read", read_hint)
    monkeypatch.setattr(Watermark, "_read_variable", nothing)
    monkeypatch.setattr(Watermark, "_write_variable", nothing)
    monkeypatch.setattr(wakeup, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(events, "NOTED_AFTER_SECONDS", 0.02)
    sandbox.settings(webhook_url=webhook.url, webhook_token=TOKEN, webhook_copies=3)
    told: list[Any] = []

    async def watch() -> None:
        path, arguments = events.AutoenhanceOrderEventTrigger(poll_interval=3600, webhook=True).serialize()
        assert path.endswith("AutoenhanceOrderEventTrigger")
        async for event in events.AutoenhanceOrderEventTrigger(**arguments).run():
            told.extend(event.payload["orders"])

    async def play() -> str:
        task = asyncio.create_task(watch())
        await asyncio.to_thread(until, lambda: sandbox.ledger()["requests"].get("GET /v3/orders/"))
        await asyncio.sleep(0.2)
        image = await asyncio.to_thread(api.finished, photo())
        await asyncio.to_thread(until, lambda: told)
        await asyncio.to_thread(until, lambda: len(sandbox.ledger()["webhooks"]) == 9 and webhook.idle)
        await asyncio.sleep(0.3)
        task.cancel()
        return str(image["order_id"])

    order_id = asyncio.run(play())
    assert [event["order_id"] for event in told] == [order_id]


def run_python(code: str, **environment: str) -> Any:
    """Run code in a fresh Airflow process; return the JSON of its last line, and all that it printed."""
    import os

    names = {f"AIRFLOW__AUTOENHANCE__{name.upper()}": value for name, value in environment.items()}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command,
        check=False,
        text=True,
        env={**os.environ, **names},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout.splitlines()[-1]), done.stdout


_ROUTES = """
import json, sys
from airflow.plugins_manager import AirflowPlugin
from airflow.utils.providers_configuration_loader import providers_configuration_loaded
from airflow_provider_autoenhance.plugins.webhook import AutoenhanceWebhookPlugin
loaded = {"fastapi", "starlette", "httpx"} & set(sys.modules)
before = sorted(name for name in sys.modules if name.startswith("airflow_provider_autoenhance.plugins."))
apps = providers_configuration_loaded(lambda: AutoenhanceWebhookPlugin.fastapi_apps)()
print(json.dumps({"before": before, "prefixes": [app["url_prefix"] for app in apps],
                  "receives": [type(getattr(each, "endpoint", None)).__name__ for app in apps for each in app["app"].routes]}))
"""
#: From Airflow 3.1 on, the gallery is below the same path.
PREFIXES = ["/autoenhance"] if AIRFLOW_V_3_1_PLUS else []


@pytest.mark.parametrize(
    ("prefixes", "environment"),
    [
        (PREFIXES, {}),
        (PREFIXES, {"webhook_token": "  "}),
        (PREFIXES, {"webhook_token": "too-short"}),
        (["/autoenhance"], {"webhook_token": TOKEN}),
        (["/autoenhance"], {"webhook_token_cmd": f"echo {TOKEN}"}),
    ],
)
def test_it_is_off_unless_a_token_is_configured(prefixes: list[str], environment: dict[str, str]) -> None:
    told, output = run_python(_ROUTES, **environment)
    assert told["prefixes"] == prefixes
    assert told["before"] == ["airflow_provider_autoenhance.plugins.webhook"]
    assert ("WebhookEndpoint" in told["receives"]) == (TOKEN in "".join(environment.values()))
    assert ("stays off" in output) == (environment.get("webhook_token") == "too-short")
    assert "too-short" not in output
    assert TOKEN not in output


def test_airflow_finds_the_plugin() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "plugins", "--output", "json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "autoenhance_webhook" in done.stdout
