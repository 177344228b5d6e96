"""Webhooks: what is sent, to whom, with which header."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandbox.api import Api
from tests.support.pictures import bracket, photo
from tests.support.sandbox import Sandbox


class Receiver:
    """Keeps what it gets; answers with the statuses it is given, then 200."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []
        self.statuses: list[int] = []
        self.location = ""
        self.gets = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.events.append(json.loads(body))
                receiver.tokens.append(self.headers["Authentication"])
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.end_headers()

            def do_GET(self) -> None:
                receiver.gets += 1
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        for _ in range(1000):
            if len(self.events) >= count:
                return self.events
            time.sleep(0.02)
        raise AssertionError(f"{len(self.events)} of {count} events came: {self.events}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_events_of_a_photo(api: Api, sandbox: Sandbox, receiver: Receiver) -> None:
    shown = sandbox.settings(webhook_url=receiver.url, webhook_token="sesame")
    assert "webhook_token" not in shown
    assert receiver.wait_for(1) == [{"event": "webhook_updated"}]
    image = api.finished(photo())
    ids = {"image_id": image["image_id"], "order_id": image["order_id"]}
    assert receiver.wait_for(3)[1:] == [
        {"event": "image_registered", **ids},
        {"event": "image_processed", **ids, "error": False, "order_is_processing": False},
    ]
    assert receiver.tokens == ["sesame"] * 3
    assert [row["status"] for row in sandbox.ledger()["webhooks"]][:2] == [200, 200]


def test_the_last_image_of_an_order_says_so(api: Api, sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.settings(webhook_url=receiver.url, processing_seconds=[0.05, 0.4])
    order_id = api.order()["order_id"]
    api.brackets(order_id, [*bracket(), *bracket(seed=2, second=50)])
    api.process(order_id, number_of_brackets_per_image=3)
    events = receiver.wait_for(5)
    assert [event["order_is_processing"] for event in events if event["event"] == "image_processed"] == [True, False]


def test_errors_are_told(api: Api, sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.settings(webhook_url=receiver.url)
    api.finished(b"junk")
    assert receiver.wait_for(3)[-1]["error"] is True


def test_events_are_sent_once_unless_told_otherwise(api: Api, sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.statuses = [500]
    sandbox.settings(webhook_url=receiver.url)
    api.create()
    events = [event["event"] for event in receiver.wait_for(2)]
    assert events == ["webhook_updated", "image_registered"]
    sandbox.settings(webhook_attempts=3, webhook_copies=2)
    receiver.statuses = [500, 503]
    api.create()
    assert [event["event"] for event in receiver.wait_for(6)[2:]] == ["image_registered"] * 4


def test_a_receiver_that_is_down_stops_nothing(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(webhook_url="http://127.0.0.1:9/hook")
    assert api.finished(photo())["status"] == "processed"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/",
        "data:text/plain,x",
        "javascript:alert(1)",
        "/hook",
        "//127.0.0.1/hook",
        "127.0.0.1:8080/hook",
        "http://",
        "http:///hook",
        "http://:80/hook",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://127.0.0.1:0/",
        "http://[::1/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX: y",
        "http://127.0.0.1\\@evil.example/",
        "http://\u2100.example/",
        " http://127.0.0.1/",
        "http://user:hunter2@127.0.0.1/",
        "http://127.0.0.1/" + "x" * 2000,
        7,
        ["http://127.0.0.1/"],
    ],
)
def test_only_web_addresses_are_taken_and_no_password_comes_back(sandbox: Sandbox, url: object) -> None:
    for name in ("settings", "reset"):
        answer = httpx.post(f"{sandbox.url}/sandbox/{name}", json={"webhook_url": url})
        assert answer.status_code == 422
        assert "webhook_url" in answer.json()["detail"]["json"]
        assert "hunter2" not in answer.text
    assert sandbox.control("GET", "settings")["webhook_url"] is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/h", "https://hooks.example/h?a=b", "HTTP://[::1]:9/"])
def test_web_addresses_are_taken(sandbox: Sandbox, url: str) -> None:
    assert sandbox.settings(webhook_url=url)["webhook_url"] == url
    assert sandbox.settings(webhook_url=None)["webhook_url"] is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(sandbox: Sandbox, receiver: Receiver, tmp_path: Path, status: int) -> None:
    receiver.statuses = [status, status]
    receiver.location = f"{receiver.url}/other"
    sandbox.settings(webhook_url=receiver.url, webhook_token="sesame")
    receiver.wait_for(1)
    receiver.location = (tmp_path / "secret").as_uri()
    sandbox.settings(webhook_url=f"{receiver.url}?2")
    receiver.wait_for(2)
    sandbox.settings(webhook_url=f"{receiver.url}?3")
    assert len(receiver.wait_for(3)) == 3
    assert receiver.gets == 0
    assert [row["status"] for row in sandbox.ledger()["webhooks"]][:2] == [status, status]


def test_a_receiver_that_answers_nonsense_stops_nothing(sandbox: Sandbox, receiver: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sandbox.settings(webhook_url=f"http://127.0.0.1:{server.getsockname()[1]}/")
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"nonsense\r\n\r\n")
    sandbox.settings(webhook_url=receiver.url)
    assert receiver.wait_for(1) == [{"event": "webhook_updated"}]
