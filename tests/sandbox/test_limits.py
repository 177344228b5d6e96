"""What a client sends is bounded: bodies, heads, and how long it may keep them back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
import uvicorn

from airflow_provider_autoenhance.sandbox.http import wire
from airflow_provider_autoenhance.sandbox.http.call import MOST_BODY_BYTES
from tests.sandbox.api import Api
from tests.sandbox.raw import ask
from tests.support.sandbox import Sandbox

JSON = {"Content-Type": "application/json"}


def test_a_body_that_is_read_whole_is_bounded(api: Api, sandbox: Sandbox) -> None:
    most = json.dumps({"name": "x" * (MOST_BODY_BYTES - 12)})
    assert len(most) == MOST_BODY_BYTES
    assert api.http.post("/v3/orders/", content=most, headers=JSON).status_code == 200
    for path in ("/v3/orders/", "/sandbox/faults", "/sandbox/reset"):
        answer = api.http.post(path, content=f"{most} ", headers=JSON)
        assert answer.status_code == 413, path
    sandbox.faults([{"endpoint": "create_order", "kind": 500, "match": "a"}])
    assert api.http.post("/v3/orders/", content=f"{most} ", headers=JSON).status_code == 413
    assert len(sandbox.ledger()["orders"]) == 1


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, "1" * 100_000, '"\\ud800"', "\xff"])
def test_json_that_breaks_parsers_is_a_bad_request(api: Api, sandbox: Sandbox, body: str) -> None:
    sandbox.faults([{"endpoint": "create_order", "kind": 500, "match": "a"}])
    for path in ("/v3/orders/", "/sandbox/settings", "/sandbox/faults"):
        answer = api.http.post(path, content=body.encode("latin-1"), headers=JSON)
        assert 400 <= answer.status_code < 500, path


@pytest.mark.parametrize(
    "query",
    [
        "AWSAccessKeyId=a&Signature=%C3%A9&Expires=9999999999",
        "AWSAccessKeyId=a&Signature=a&Expires=99999999999999999999",
        "AWSAccessKeyId=a&Signature=a&Expires=" + "9" * 5000,
        "AWSAccessKeyId=a&Signature=a&Expires=-1",
        "AWSAccessKeyId=a&Signature=a&Expires=1",
        "AWSAccessKeyId=%00&Signature=%00&Expires=%FF",
    ],
)
@pytest.mark.parametrize("path", ["GET /autoenhanceapi-sandbox/renders/", "PUT /autoenhanceapi-sandbox/uploads/"])
@pytest.mark.parametrize("key", ["x", "..%2f..%2f..%2fetc%2fpasswd", "%00", "%ff"])
def test_urls_that_nobody_signed_are_refused(sandbox_server: Sandbox, path: str, key: str, query: str) -> None:
    assert ask(sandbox_server.asset_url, f"{path}{key}?{query}").status in (400, 403)


@pytest.mark.parametrize(
    ("length", "status"), [("-4", 400), ("x", 400), ("\xb2", 400), ("9" * 5000, 400), ("9" * 13, 413)]
)
def test_s3_reads_no_impossible_length(sandbox_server: Sandbox, length: str, status: int) -> None:
    address = urlsplit(sandbox_server.s3_url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection:
        head = f"PUT /photos/a.jpg HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1 << 16).split()[1] == str(status).encode()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 2_000_000,
        b"GET / HTTP/1.1\r\nX: " + b"x" * 2_000_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 400_000,
    ],
    ids=["target", "value", "headers"],
)
def test_a_head_without_end_is_refused(sandbox_server: Sandbox, head: bytes) -> None:
    address = urlsplit(sandbox_server.url)
    with (
        socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(head)
        while connection.recv(1 << 16):
            pass
    assert httpx.get(f"{sandbox_server.url}/sandbox/health").status_code == 200


def test_a_long_head_and_a_long_body_in_one_go_are_fine(api: Api) -> None:
    created = api.create()
    headers = {f"X-Amz-Meta-{number}": "x" * 1000 for number in range(40)}
    assert api.put(created["upload_url"], b"x" * 1_000_000, **headers).status_code == 200


async def _echo(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _answers_of(*requests: bytes) -> list[bytes]:
    """Send each on a connection of its own to a server with the sandbox's protocol; return what comes until it hangs up."""
    config = uvicorn.Config(_echo, http=wire.ExposingProtocol, port=0, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.ensure_future(server.serve([listening]))
        answers = []
        for request in requests:
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(request)
            try:
                answers.append(await reader.read())
            except ConnectionResetError:
                answers.append(b"")
            writer.close()
        server.should_exit = True
        await task
    return answers


def test_a_client_that_keeps_its_request_back_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PATIENCE_SECONDS", 0.2)
    whole = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    cut = [
        b"",
        b"GET",
        b"GET / HTTP/1.1\r\nHost: lo",
        b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc",
    ]
    answers = asyncio.run(_answers_of(whole, *cut))
    assert answers[0].startswith(b"HTTP/1.1 204")
    assert answers[1:] == [b""] * 4


def test_s3_keeps_what_fits(sandbox: Sandbox) -> None:
    """The limit is S3's own, of 5 GiB; chunked uploads go through."""
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=sandbox.s3_url, **keys)
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="a.jpg", Body=b"x" * 3_000_000)
    assert s3.head_object(Bucket="photos", Key="a.jpg")["ContentLength"] == 3_000_000

    def chunks() -> Any:
        yield from [b"y" * 500_000] * 3

    signed = s3.generate_presigned_url("put_object", {"Bucket": "photos", "Key": "b.jpg"})
    assert httpx.put(signed, content=chunks()).status_code == 200
    assert s3.head_object(Bucket="photos", Key="b.jpg")["ContentLength"] == 1_500_000
