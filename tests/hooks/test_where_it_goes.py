"""Where requests of the hooks go, and where they refuse to go: to whom an answer leads, past which proxy, with which cookies."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from airflow_provider_autoenhance.api import calls, errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook
from airflow_provider_autoenhance.hooks.config import read_connection
from airflow_provider_autoenhance.hooks.download import Download
from airflow_provider_autoenhance.transport import addresses, httpx_client
from tests.storage.web_host import Host
from tests.support.photos import photo

KEY = "test-key-of-the-api"


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> Callable[[Any], None]:
    def reply(handler: Any) -> None:
        handler.send_response(status)
        for name, value in {"Content_Type": "application/json", "Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(body)

    return reply


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine as an internet: 127.0.0.1 is public and bears the API's name, all other loopback addresses are private."""
    original, resolve = addresses.is_public, socket.getaddrinfo
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1" or original(address))

    def getaddrinfo(name: Any, *args: Any, **named: Any) -> Any:
        return resolve("127.0.0.1" if name in ("api.example", b"api.example") else name, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def api() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def connect(api: Host, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AutoenhanceHook]:
    def make(host: str = f"http://api.example:{api.port}", **extra: Any) -> AutoenhanceHook:
        extra = {"max_attempts": 1, "timeout_seconds": 5, "allow_http": True} | extra
        fields = {"conn_type": "autoenhance", "host": host, "password": KEY, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(fields))
        return AutoenhanceHook()

    return make


def download(hook: AutoenhanceHook) -> bytes:
    def take(image: Download) -> bytes:
        return image.read()

    return hook.download_image("i", take, preview=False)


def upload(hook: AutoenhanceHook, url: str) -> None:
    hook.upload_photo(url, io.BytesIO(photo()))


@pytest.fixture
def private() -> Iterator[Host]:
    with Host(address="127.0.0.2") as host:
        yield host


@pytest.mark.usefixtures("internet")
class TestPrivateHosts:
    def test_a_download_is_not_led_there(
        self, api: Host, private: Host, connect: Callable[..., AutoenhanceHook]
    ) -> None:
        api.paths["/v3/images/i/enhanced"] = answer(302, Location=f"http://127.0.0.2:{private.port}/secret")
        private.paths["/secret"] = answer(200, b"bytes", Content_Type="image/jpeg")
        with pytest.raises(errors.ForbiddenAddressError, match=r"127\.0\.0\.2, which is not a public"):
            download(connect())
        assert private.seen == []
        assert download(connect(allow_private_sources=True)) == b"bytes"
        assert "x-api-key" in api.seen[0][1]
        assert "x-api-key" not in private.seen[0][1]

    def test_a_photo_is_not_sent_there(self, private: Host, connect: Callable[..., AutoenhanceHook]) -> None:
        private.paths["/put"] = answer()
        url = f"http://127.0.0.2:{private.port}/put?Signature=s3cret"
        with pytest.raises(errors.ForbiddenAddressError, match="not a public"):
            upload(connect(), url)
        assert private.seen == []
        upload(connect(allow_private_sources=True), url)
        assert len(private.seen) == 1

    def test_they_are_neighbours_of_an_api_that_is_private_itself(
        self, private: Host, connect: Callable[..., AutoenhanceHook]
    ) -> None:
        with Host(address="127.0.0.3") as assets:
            private.paths["/v3/images/i/enhanced"] = answer(302, Location=f"http://127.0.0.3:{assets.port}/bytes")
            assets.paths["/bytes"] = answer(200, b"bytes", Content_Type="image/jpeg")
            assert download(connect(host=f"http://127.0.0.2:{private.port}")) == b"bytes"


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example\\@127.0.0.1/",
        "http://u:pw@127.0.0.1/",
        "ftp://127.0.0.1/",
        "http://[::1/",
        "/relative/only\n",
        "",
    ],
)
def test_an_upload_address_that_parsers_read_differently_is_not_used(
    connect: Callable[..., AutoenhanceHook], url: str
) -> None:
    with pytest.raises(errors.ForbiddenAddressError) as refused:
        upload(connect(), url)
    assert "pw" not in str(refused.value)


def test_an_upload_address_that_holds_the_key_is_not_used(connect: Callable[..., AutoenhanceHook]) -> None:
    with pytest.raises(errors.ForbiddenAddressError) as refused:
        upload(connect(), f"http://127.0.0.1:1/put?k={KEY}")
    assert KEY not in str(refused.value)


def test_a_photo_is_not_sent_unencrypted_where_the_api_is_encrypted(connect: Callable[..., AutoenhanceHook]) -> None:
    with pytest.raises(errors.ForbiddenAddressError, match="from https to plain http"):
        upload(connect(host="https://127.0.0.1:1"), "http://127.0.0.1:1/put")


@pytest.mark.parametrize("content_type", ["image/jp\u20acg", "image/jpeg%0d%0ax-evil: 1", "%ff%00", "x" * 300])
def test_a_content_type_that_cannot_be_sent_is_one_error(
    connect: Callable[..., AutoenhanceHook], content_type: str
) -> None:
    with pytest.raises(errors.ServerError, match="cannot be sent as a header"):
        upload(connect(), f"http://127.0.0.1:1/put?content-type={content_type}")


def test_the_triggerer_keeps_no_cookies(api: Host, connect: Callable[..., AutoenhanceHook]) -> None:
    api.paths["/v3/images/i"] = answer(200, b'{"image_id": "i"}', Set_Cookie="session=of-another-task; Path=/")
    connect(host=f"http://127.0.0.1:{api.port}")

    async def twice() -> None:
        hook = AutoenhanceAsyncHook()
        await hook.run(calls.retrieve_image("i"))
        await hook.run(calls.retrieve_image("i"))

    asyncio.run(twice())
    assert len(api.seen) == 2
    assert not any("Cookie" in headers for _, headers in api.seen)


def test_the_triggerer_honours_certificates_through_a_proxy(
    tmp_path: Path, connect: Callable[..., AutoenhanceHook]
) -> None:
    """Each of the transports that a proxy needs trusts exactly what the connection says."""
    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    hook = connect(verify=str(bundle), proxies={"https": "http://127.0.0.1:9", "http": "http://127.0.0.1:9"})
    client = httpx_client.new_client(read_connection(hook.get_connection(hook.autoenhance_conn_id)))
    transport = client._transport_for_url(httpx.URL("https://api.autoenhance.ai"))
    assert isinstance(transport, httpx.AsyncHTTPTransport)
    context: Any = transport._pool._ssl_context
    assert [each["subject"] for each in context.get_ca_certs()] == [each["subject"] for each in _certificates(bundle)]


def _certificates(bundle: Path) -> list[Any]:
    import ssl

    return ssl.create_default_context(cafile=str(bundle)).get_ca_certs()
