"""What S3 can do in the middle of a transfer, on a store that answers as told."""

from __future__ import annotations

import http.server
import io
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import AutoenhanceError, IntegrityError
from airflow_provider_autoenhance.storage import open_destination, open_source
from airflow_provider_autoenhance.storage.s3_client import forget_clients

from .conftest import aws_connection
from .web_host import Host

PHOTO = os.urandom(3_000_000)
Handler = http.server.BaseHTTPRequestHandler


class OneWay:
    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, n: int = -1, /) -> bytes:
        return self._file.read(n)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with Host() as host:
        options = {"s3": {"addressing_style": "path"}, "retries": {"max_attempts": 2, "mode": "standard"}}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", aws_connection(host.url(""), config_kwargs=options))
        forget_clients()
        yield host
    forget_clients()


def respond(handler: Handler, status: int, body: bytes = b"", length: int | None = None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(body)
    handler.close_connection = True


def hang_up(handler: Handler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def put() -> None:
    open_destination("s3://bucket/a.jpg").write(OneWay(PHOTO), size=len(PHOTO), content_type="image/jpeg")


def test_the_body_goes_plain_and_unsigned(host: Host) -> None:
    """Neither in aws-chunked form, which S3 clones refuse, nor hashed before it is sent."""
    received: list[bytes] = []

    def take(handler: Handler) -> None:
        received.append(handler.rfile.read(int(handler.headers["Content-Length"])))
        respond(handler, 200)

    host.paths["/bucket/a.jpg"] = take
    put()
    assert received == [PHOTO]
    headers = {name.lower(): value for name, value in host.seen[0][1].items()}
    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert headers["content-type"] == "image/jpeg"
    assert {"transfer-encoding", "content-encoding", "x-amz-trailer"}.isdisjoint(headers)


def test_a_connection_that_fails_at_first_is_tried_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was read from the stream yet, so the client's own retry can send it."""
    import urllib3.util.connection

    original = urllib3.util.connection.create_connection
    failures = [ConnectionRefusedError()]

    def connect(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return original(*args, **options)

    def take(handler: Handler) -> None:
        assert handler.rfile.read(int(handler.headers["Content-Length"])) == PHOTO
        respond(handler, 200)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", connect)
    host.paths["/bucket/a.jpg"] = take
    put()
    assert failures == []
    assert len(host.seen) == 1


@pytest.mark.parametrize("fault", ["busy after the body", "reset in mid-body", "reset at once"])
def test_an_upload_that_fails_later_is_worth_a_retry_of_the_whole(host: Host, fault: str) -> None:
    def fail(handler: Handler) -> None:
        if fault == "busy after the body":
            handler.rfile.read(int(handler.headers["Content-Length"]))
            respond(handler, 503)
            return
        if fault == "reset in mid-body":
            handler.rfile.read(1_000_000)
        hang_up(handler)

    host.paths["/bucket/a.jpg"] = fail
    with pytest.raises(AutoenhanceError, match="try again") as caught:
        put()
    assert caught.value.retryable
    assert "s3://bucket/a.jpg" in str(caught.value)


def test_a_store_that_answers_with_another_md5(host: Host) -> None:
    deleted: list[str] = []

    def take(handler: Handler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.send_response(200)
        handler.send_header("ETag", '"' + "0" * 32 + '"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    host.paths["/bucket/a.jpg"] = take
    host.on_delete = lambda handler: (deleted.append(handler.path), respond(handler, 204))
    with pytest.raises(IntegrityError, match="other bytes"):
        put()
    assert deleted == ["/bucket/a.jpg"]


def test_a_download_that_is_cut_short(host: Host) -> None:
    host.paths["/bucket/a.jpg"] = lambda handler: respond(handler, 200, PHOTO[:-1], len(PHOTO))
    released = 0
    with open_source("s3://bucket/a.jpg") as source, pytest.raises(AutoenhanceError) as caught:
        for block in source:
            released += len(block)
    assert caught.value.retryable
    assert released < len(PHOTO)
