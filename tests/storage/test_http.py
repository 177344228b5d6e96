from __future__ import annotations

import datetime
import http.server
import os
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    IntegrityError,
    ServerError,
    SourceError,
    UnreachableError,
)
from airflow_provider_autoenhance.storage import CheckedReader, SourceAccess, open_source
from airflow_provider_autoenhance.storage import http as web
from airflow_provider_autoenhance.transport import addresses

from .web_host import Answer, Host, certificate

PHOTO = os.urandom(2_000_003)


def reply(status: int = 200, body: bytes = PHOTO, length: int | None = None, **headers: str) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return answer


def redirect(target: str, status: int = 302) -> Answer:
    return reply(status, b"moved", Location=target)


def chunked(*parts: bytes, whole: bool = True) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in parts:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if whole:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return answer


def reset(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(PHOTO)))
    handler.end_headers()
    handler.wfile.write(PHOTO[:1000])
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


@pytest.fixture(autouse=True)
def no_proxy_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A name service of our own: host name -> addresses."""
    known: dict[str, list[str]] = {}

    def getaddrinfo(name: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        name = name.decode() if isinstance(name, bytes) else name
        found = known.get(name) or ([name] if name.replace(".", "").isdigit() or ":" in name else None)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.fixture
def loopback_counts_as_public(monkeypatch: pytest.MonkeyPatch) -> None:
    original = addresses.is_public
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1" or original(address))


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a socket was connected")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


def read(url: str, **options: Any) -> bytes:
    with open_source(url, access=SourceAccess(private_hosts=True), **options) as source:
        return source.read()


class TestReading:
    def test_gives_the_bytes_and_what_is_known_about_them(self, host: Host) -> None:
        changed = "Wed, 21 Oct 2015 07:28:00 GMT"
        host.paths["/42/my%20kitchen.jpg"] = reply(ETag='W/"abc"', Last_Modified=changed)
        with open_source(
            host.url("/42/my%20kitchen.jpg?sig=secret"), access=SourceAccess(private_hosts=True)
        ) as source:
            assert source.uri == host.url("/42/my%20kitchen.jpg")
            assert (source.name, source.etag, len(source)) == ("my kitchen.jpg", "abc", len(PHOTO))
            assert source.modified == datetime.datetime(2015, 10, 21, 7, 28, tzinfo=datetime.UTC)
            assert source.peek(9) == PHOTO[:9]
            assert source.read() == PHOTO
        path, headers = host.seen[0]
        assert path == "/42/my%20kitchen.jpg?sig=secret"
        assert headers["Accept-Encoding"] == "identity"

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_follows_redirects(self, host: Host, status: int) -> None:
        host.paths |= {"/a": redirect("b?x=1", status), "/b": redirect(host.url("/c"), status), "/c": reply()}
        assert read(host.url("/a")) == PHOTO

    def test_a_password_in_the_url_stays_with_its_host(self, host: Host) -> None:
        with Host() as other:
            host.paths["/a"] = redirect(other.url("/b"))
            other.paths["/b"] = reply()
            assert read(f"http://user:pw@127.0.0.1:{host.port}/a") == PHOTO
            assert "Authorization" in host.seen[0][1]
            assert "Authorization" not in other.seen[0][1]

    def test_without_a_length_the_size_is_found(self, host: Host) -> None:
        host.paths["/a"] = chunked(PHOTO[:1000], PHOTO[1000:])
        with open_source(host.url("/a"), access=SourceAccess(private_hosts=True)) as source:
            assert source.size == len(PHOTO)
            assert source.read() == PHOTO

    def test_a_long_address_passes_with_a_warning(self, host: Host, caplog: pytest.LogCaptureFixture) -> None:
        host.paths["/a"] = reply()
        assert read(host.url("/a?x=1")) == PHOTO
        assert caplog.text == ""
        longest = host.url("/a?secret=")
        assert read(longest + "x" * (4096 - len(longest))) == PHOTO
        assert "the address has 4096 characters" in caplog.text
        assert "secret" not in caplog.text
        with pytest.raises(SourceError, match="4097 characters long"):
            read(longest + "x" * (4097 - len(longest)))

    def test_etag_falls_back_to_the_date(self, host: Host) -> None:
        host.paths["/a"] = reply(Last_Modified="Wed, 21 Oct 2015 07:28:00 GMT")
        host.paths["/b"] = reply(Last_Modified="yesterday")
        with open_source(host.url("/a"), access=SourceAccess(private_hosts=True)) as source:
            assert source.etag == "Wed, 21 Oct 2015 07:28:00 GMT"
        with open_source(host.url("/b"), access=SourceAccess(private_hosts=True)) as source:
            assert source.etag is None


class TestFaults:
    @pytest.mark.parametrize(
        ("answer", "kind", "says"),
        [
            (reply(403), SourceError, "may have expired"),
            (reply(401), SourceError, "refuses access"),
            (reply(404), SourceError, "does not exist"),
            (reply(410), SourceError, "does not exist"),
            (reply(204, b""), SourceError, "answered 204"),
            (reply(206), SourceError, "answered 206"),
            (reply(500), ServerError, "answered 500"),
            (reply(503, b"", Retry_After="7"), ServerError, "answered 503"),
            (reply(429, b""), ServerError, "answered 429"),
            (reply(302, b""), SourceError, "redirects to nowhere"),
            (redirect("ftp://host/a?sig=secret"), SourceError, "ftp://host/a, which is not a plain web address"),
            (redirect("file:///etc/passwd"), SourceError, "not a plain web address"),
            (redirect("/a"), SourceError, "more than 5 redirects"),
            (reply(Content_Encoding="gzip"), SourceError, "compressed"),
            (reset, UnreachableError, "try again"),
            (reply(body=PHOTO[:-1], length=len(PHOTO)), AutoenhanceError, "again"),
            (chunked(PHOTO, whole=False), UnreachableError, "again|broke off"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_each_has_its_line(self, host: Host, answer: Answer, kind: type[AutoenhanceError], says: str) -> None:
        host.paths["/a"] = answer
        with pytest.raises(kind, match=says) as caught:
            read(host.url("/a?X-Amz-Signature=secret"))
        assert host.url("/a") in str(caught.value)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.retryable is (kind is not SourceError)

    def test_the_wait_that_the_host_asks_for_is_kept(self, host: Host) -> None:
        host.paths["/a"] = reply(503, b"", Retry_After="7")
        with pytest.raises(ServerError) as caught:
            read(host.url("/a"))
        assert (caught.value.status_code, caught.value.retry_after) == (503, 7.0)

    def test_a_cut_body_never_gives_its_last_bytes(self, host: Host) -> None:
        host.paths["/a"] = reply(body=PHOTO[:-1], length=len(PHOTO))
        released = b""
        with open_source(host.url("/a"), access=SourceAccess(private_hosts=True)) as source:
            reader = CheckedReader(source, name="a", size=source.size)
            with pytest.raises((IntegrityError, UnreachableError)):
                while block := reader.read(4096):
                    released += block
        assert len(released) < len(PHOTO) - 1

    def test_nobody_there(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            with pytest.raises(UnreachableError, match="try again"):
                read(f"http://127.0.0.1:{free.getsockname()[1]}/a")

    @pytest.mark.parametrize("known", [True, False])
    def test_a_limit_on_the_size(self, host: Host, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
        host.paths["/a"] = reply() if known else chunked(PHOTO)
        location = web.Location("http", "", "a", None, host.url("/a"), host.url("/a"))
        with pytest.raises(SourceError, match="more than the 1000"):
            web.WebStore(location, SourceAccess(private_hosts=True), max_bytes=1000).open()

    def test_a_connection_id_is_not_silently_dropped(self) -> None:
        with pytest.raises(SourceError, match="'my_conn'"):
            open_source("https://host/a", conn_id="my_conn")

    @pytest.mark.parametrize("url", ["http://[::1/a", "http://host:port/a", "http://a b/", "http://" + "a" * 300 + "/"])
    def test_what_is_no_address(self, names: dict[str, list[str]], no_sockets: None, url: str) -> None:
        with pytest.raises(SourceError):
            open_source(url)


class TestPrivateHosts:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "fe80::1%eth0",
            "::1%lo",
            "fec0::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::7f00:1",
            "::127.0.0.1",
            "::ffff:0:10.0.0.1",
            "2001:0:4136:e378:8000:63bf:80ff:fffe",
            "2606:4700::5efe:169.254.169.254",
            "2606:4700::200:5efe:10.0.0.1",
            "3fff::1",
            "192.88.99.1",
        ],
    )
    @pytest.mark.parametrize("also_public", [True, False])
    def test_are_refused_before_any_socket(
        self, names: dict[str, list[str]], no_sockets: None, address: str, also_public: bool
    ) -> None:
        names["photos.example"] = ["8.8.8.8", address] if also_public else [address]
        for scheme in ("http", "https"):
            with pytest.raises(SourceError, match=r"not a public internet address.*allow_private_sources") as caught:
                open_source(f"{scheme}://photos.example/a.jpg?sig=secret")
            assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        "host",
        [
            *(
                "127.0.0.1",
                "127.1",
                "2130706433",
                "0x7f000001",
                "0x7f.1",
                "0177.0.0.1",
                "017700000001",
                "0",
                "localhost",
                "LOCALHOST",
            ),
            *(
                "127.0.0.1.",
                "[::1]",
                "[::]",
                "[::ffff:127.0.0.1]",
                "[::ffff:7f00:1]",
                "[0:0:0:0:0:0:0:1]",
                "[fe80::1%251]",
                "[::1%251]",
            ),
            *(
                "169.254.169.254",
                "2852039166",
                "0xa9fea9fe",
                "0251.0376.0251.0376",
                "[64:ff9b::a9fe:a9fe]",
                "[2002:a9fe:a9fe::1]",
            ),
            *(
                "8.8.8.8@127.0.0.1",
                "8.8.8.8:80@127.0.0.1",
                "user:pw@[::1]:8080",
                "127.0.0.1:80\\@8.8.8.8",
                "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
            ),
        ],
    )
    def test_are_refused_however_they_are_written(self, no_sockets: None, host: str) -> None:
        with pytest.raises(
            SourceError, match=r"not a public internet address|no host|no valid host|not a valid web address"
        ):
            open_source(f"http://{host}/a.jpg")

    def test_no_redirect_leads_there_through_a_proxy_either(
        self, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The operator's own proxy would fetch whatever it is asked for."""
        targets = ["http://2130706433/", "http://[::ffff:10.0.0.1]/", "https://0xa9fea9fe/latest/", "//127.1/"]
        names |= {"photos.example": ["8.8.8.8"], "0xa9fea9fe": ["169.254.169.254"], "127.1": ["127.0.0.1"]}
        names["2130706433"] = ["127.0.0.1"]
        with Host() as host:
            monkeypatch.setenv("http_proxy", host.url(""))
            for target in targets:
                host.paths["http://photos.example/a"] = redirect(target)
                with pytest.raises(SourceError, match="not a public internet address"):
                    open_source("http://photos.example/a")
            assert {path for path, _ in host.seen} == {"http://photos.example/a"}

    def test_public_ones_pass(self) -> None:
        for address in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1%eth0"):
            assert addresses.is_public(address)

    def test_a_name_that_is_unknown(self, names: dict[str, list[str]], no_sockets: None) -> None:
        with pytest.raises(SourceError, match=r"no host 'photos\.example'"):
            open_source("https://photos.example/a.jpg")

    def test_a_name_service_that_is_down(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def silent(*_: Any, **__: Any) -> None:
            raise socket.gaierror(socket.EAI_AGAIN, "later")

        monkeypatch.setattr(socket, "getaddrinfo", silent)
        with pytest.raises(UnreachableError, match="name service"):
            open_source("https://photos.example/a.jpg")


@pytest.mark.usefixtures("loopback_counts_as_public")
class TestCheckedConnections:
    def test_the_checked_address_is_connected_and_the_name_kept(self, host: Host, names: dict[str, list[str]]) -> None:
        names["photos.example"] = ["127.0.0.1"]
        host.paths["/a"] = reply()
        with open_source(host.url("/a", "photos.example")) as source:
            assert source.read() == PHOTO
        assert host.seen[0][1]["Host"] == f"photos.example:{host.port}"

    def test_the_name_is_asked_once_per_connection(
        self, host: Host, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A second answer could be a private address: DNS rebinding."""
        asked: list[str] = []

        def rebinding(name: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
            asked.append(name)
            if not name[0].isdigit() and len([n for n in asked if n == name]) > 1:
                raise AssertionError("asked twice")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        host.paths["/a"] = reply()
        with open_source(host.url("/a", "photos.example")) as source:
            assert source.read() == PHOTO
        assert asked[0] == "photos.example"

    def test_a_redirect_to_a_private_host_is_not_followed(self, host: Host, names: dict[str, list[str]]) -> None:
        names |= {"photos.example": ["127.0.0.1"], "internal.example": ["10.0.0.1"]}
        for target in ("http://169.254.169.254/latest/meta-data", "http://internal.example/", "//10.1.2.3/"):
            host.paths["/a"] = redirect(target)
            with pytest.raises(SourceError, match="not a public internet address"):
                open_source(host.url("/a", "photos.example"))

    def test_the_next_address_is_tried(self, host: Host, names: dict[str, list[str]]) -> None:
        names["photos.example"] = ["2606:4700::1111", "127.0.0.1"]
        host.paths["/a"] = reply()
        original = socket.socket.connect

        def connect(self: socket.socket, address: Any) -> None:
            if address[0] != "127.0.0.1":
                raise OSError("no route")
            original(self, address)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket.socket, "connect", connect)
            with open_source(host.url("/a", "photos.example")) as source:
                assert source.read() == PHOTO

    def test_tls_still_checks_the_name(
        self, names: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names |= {"photos.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate(tmp_path, "photos.example")))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "host.pem")
        with Host(context) as host:
            host.paths |= {"/a": reply(), "/b": redirect("http://photos.example/a?sig=secret")}
            with open_source(host.url("/a", "photos.example", "https")) as source:
                assert source.read() == PHOTO
            with pytest.raises(SourceError, match="certificate is not trusted"):
                open_source(host.url("/a", "other.example", "https"))
            with pytest.raises(SourceError, match=r"redirects to http://photos\.example/a, which leads from https"):
                open_source(host.url("/b", "photos.example", "https"))


class TestProxy:
    def test_the_operators_proxy_is_used(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", host.url(""))
        host.paths["http://photos.invalid/a"] = reply()
        with open_source("http://photos.invalid/a") as source:
            assert source.read() == PHOTO

    def test_private_hosts_stay_refused_behind_it(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", host.url(""))
        with pytest.raises(SourceError, match="not a public internet address"):
            open_source("http://169.254.169.254/latest/meta-data")
        assert host.seen == []
