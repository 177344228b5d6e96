"""Other names, other origins and other sites are refused on all three ports, before anything happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import boto3
import httpx
import pytest
import requests
import yaml
from botocore.config import Config

from airflow_provider_autoenhance.sandbox.http.gate import Gate
from tests.sandbox.api import Api
from tests.sandbox.raw import Answer, ask
from tests.support.pictures import photo
from tests.support.sandbox import ROOT, Sandbox

#: What each port answers to a GET that is let in: the path, and the status.
PORTS = {"api": ("/sandbox/health", 200), "assets": ("/anything", 404), "s3": ("/", 200)}
EVIL = "http://evil.example"
SIGNED = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/%s/aws4_request, SignedHeaders=host, Signature=x"
KEYS = {"aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox", "region_name": "us-east-1"}

each_port = pytest.mark.parametrize("port", list(PORTS))


def address(server: Sandbox, port: str) -> str:
    return {"api": server.url, "assets": server.asset_url, "s3": server.s3_url}[port]


def get(server: Sandbox, port: str, *headers: str, host: str | None = None, start: str = "GET {path}") -> Answer:
    url = address(server, port)
    number = str(urlsplit(url).port)
    filled = [text.replace("{port}", number) for text in (start, *headers)]
    path = PORTS[port][0]
    return ask(url, filled[0].replace("{path}", path), *filled[1:], host=host and host.replace("{port}", number))


def is_refused_by_name(answer: Answer) -> bool:
    assert answer.shared_with == []
    return answer.status == 421 and "--allow-host" in answer.body


@pytest.fixture(scope="module")
def open_sandbox() -> Iterator[Sandbox]:
    """One that answers to more names and origins, and listens on all addresses."""
    options = ["--host", "0.0.0.0", "--allow-host", "sandbox", "--allow-host", "Gateway.Example:8000"]
    server = Sandbox.start(*options, "--allow-origin", "https://app.example")
    try:
        yield server
    finally:
        server.stop()


class TestNames:
    @each_port
    @pytest.mark.parametrize(
        "host",
        [
            "evil.example:{port}",
            "evil.example",
            "localhost.evil.example:{port}",
            "127.0.0.1.evil.example:{port}",
            "127.evil.example:{port}",
            "notlocalhost:{port}",
            "localhost",
            "localhost:1",
            "localhost:{port}0",
            "localhost:{port}@evil.example",
            "evil.example@localhost:{port}",
            "localhost:{port}, evil.example",
            "localhost:{port}/",
            "localhost:{port}?",
            "localhost:{port}\\",
            "localhost:-{port}",
            "localhost..:{port}",
            "0.0.0.0:{port}",
            "[::]:{port}",
            "127.1:{port}",
            "2130706433:{port}",
            "0x7f.0.0.1:{port}",
            "127.0.0.01:{port}",
            "128.0.0.1:{port}",
            "[127.0.0.1]:{port}",
            "[::1:{port}",
            "::1:{port}",
            "[::2]:{port}",
            "[::1%25lo]:{port}",
            "\xb2:{port}",
            "localhost:\xb2",
            "sandbox:{port}",
            " ",
        ],
    )
    def test_others_are_refused(self, sandbox_server: Sandbox, port: str, host: str) -> None:
        assert is_refused_by_name(get(sandbox_server, port, host=host))

    @each_port
    @pytest.mark.parametrize(
        "host",
        [
            "localhost:{port}",
            "LocalHost:{port}",
            "localhost.:{port}",
            "127.0.0.1:{port}",
            "127.255.0.9:{port}",
            "[::1]:{port}",
            "[0:0:0:0:0:0:0:1]:{port}",
            "\tlocalhost:{port}\t",
        ],
    )
    def test_its_own_are_answered(self, sandbox_server: Sandbox, port: str, host: str) -> None:
        assert get(sandbox_server, port, host=host).status == PORTS[port][1]

    @each_port
    @pytest.mark.parametrize(
        ("start", "headers", "host"),
        [
            ("GET {path} HTTP/1.1", [], ""),
            ("GET {path} HTTP/1.0", [], ""),
            ("GET {path}", ["Host: localhost:{port}"], None),
            ("GET {path}", ["Host: evil.example"], None),
            ("GET {path}", ["hOsT: evil.example"], None),
            ("GET http://evil.example{path}", [], None),
            ("GET http://evil.example:{port}{path}", [], None),
            ("GET http://localhost:{port}@evil.example{path}", [], None),
            ("GET http://localhost:{port}{path}", [], "evil.example"),
        ],
    )
    def test_there_is_one_and_the_target_agrees(
        self, sandbox_server: Sandbox, port: str, start: str, headers: list[str], host: str | None
    ) -> None:
        answer = get(sandbox_server, port, *headers, start=start, host=host)
        assert is_refused_by_name(answer) or answer.status == 400

    @each_port
    def test_a_target_may_name_it(self, sandbox_server: Sandbox, port: str) -> None:
        assert get(sandbox_server, port, start="GET http://localhost:{port}{path}").status == PORTS[port][1]

    @each_port
    @pytest.mark.parametrize("line", ["Host : localhost:{port}", "Host: localhost:{port}\r\n .evil.example"])
    def test_a_header_that_is_none_is_refused(self, sandbox_server: Sandbox, port: str, line: str) -> None:
        assert get(sandbox_server, port, line, host="").status in (400, 421)

    @each_port
    @pytest.mark.parametrize(
        "start", ["GET http://[evil.example/", "CONNECT evil.example:80", "GET HTTP:evil.example/"]
    )
    def test_a_target_that_is_none_is_answered_in_order(self, sandbox_server: Sandbox, port: str, start: str) -> None:
        assert 400 <= get(sandbox_server, port, start=start).status < 500

    def test_s3_knows_buckets_below_its_names(self, sandbox: Sandbox) -> None:
        s3 = boto3.client("s3", endpoint_url=sandbox.s3_url, **KEYS)
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="a.jpg", Body=b"bytes")
        answer = get(
            sandbox, "s3", f"Authorization: {SIGNED % 's3'}", start="GET /a.jpg", host="photos.localhost:{port}"
        )
        assert (answer.status, answer.body) == (200, "bytes")
        for host in ("photos.localhost.evil.example:{port}", "photos.127.0.0.1:{port}", "photos.localhost:1"):
            assert is_refused_by_name(get(sandbox, "s3", start="GET /a.jpg", host=host)), host
        for port in ("api", "assets"):
            assert is_refused_by_name(get(sandbox, port, host="photos.localhost:{port}"))

    @each_port
    def test_more_can_be_allowed(self, open_sandbox: Sandbox, port: str) -> None:
        for host in (
            "sandbox:{port}",
            "SANDBOX.:{port}",
            "gateway.example:8000",
            "localhost:{port}",
        ):
            assert not is_refused_by_name(get(open_sandbox, port, host=host)), host
        for host in (
            "sandbox:8000",
            "gateway.example:{port}",
            "gateway.example",
            "0.0.0.0:{port}",
            "evil.example:{port}",
        ):
            assert is_refused_by_name(get(open_sandbox, port, host=host)), host

    def test_the_answer_is_one_line_in_the_style_of_its_host(self, sandbox_server: Sandbox) -> None:
        api = httpx.get(f"{sandbox_server.url}/v3/orders/", headers={"Host": "evil.example"})
        assert api.json()["message"].startswith("The Host header does not name this sandbox.")
        s3 = boto3.client("s3", endpoint_url=sandbox_server.s3_url, **KEYS)
        s3.meta.events.register(
            "before-send.s3", lambda request, **_: request.headers.__setitem__("Host", "evil.example")
        )
        with pytest.raises(s3.exceptions.ClientError, match="The Host header does not name this sandbox"):
            s3.list_buckets()

    def test_compose_allows_the_names_that_its_services_use(self) -> None:
        services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
        command = services["sandbox"]["command"]
        gate = Gate(8787, tls=False, names=[command[command.index("--allow-host") + 1]])
        assert gate.admit("GET", "/", "/", [(b"host", b"sandbox:8787")]) is None
        assert "http://sandbox:8787" in str(services["worker"]["environment"])


class TestPages:
    @pytest.mark.parametrize("origin", [EVIL, "null", "", "https://localhost:3000", "file://", "{own}"])
    def test_no_origin_gets_anything_done(self, api: Api, sandbox: Sandbox, origin: str) -> None:
        headers = {"Origin": origin.replace("{own}", sandbox.url)}
        created = api.create()
        s3 = boto3.client("s3", endpoint_url=sandbox.s3_url, **KEYS)
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="a.jpg", Body=b"bytes")
        before = sandbox.ledger()
        with httpx.Client(headers=headers) as page:
            answers = [
                page.post(
                    f"{sandbox.url}/v3/images/",
                    json={"image_name": "b.jpg"},
                    headers={"x-api-key": api.sandbox.api_key},
                ),
                page.get(f"{sandbox.url}/v3/images/{created['image_id']}"),
                page.post(f"{sandbox.url}/sandbox/reset"),
                page.get(f"{sandbox.url}/sandbox/ledger"),
                page.delete(f"{sandbox.url}/sandbox/faults"),
                page.put(created["upload_url"], content=photo(), headers={"Content-Type": "image/jpeg"}),
                page.get(f"{sandbox.s3_url}/photos/a.jpg"),
                page.get(f"{sandbox.s3_url}/photos?list-type=2"),
                page.delete(f"{sandbox.s3_url}/photos/a.jpg"),
                page.put(f"{sandbox.s3_url}/photos/b.jpg", content=b"other"),
                *(
                    page.options(url, headers={"Access-Control-Request-Method": "PUT"})
                    for url in (sandbox.url, sandbox.s3_url)
                ),
            ]
        assert {answer.status_code for answer in answers} == {403}
        assert not [name for answer in answers for name in answer.headers if name.startswith("access-control")]
        assert sandbox.ledger() == before
        assert [found["Key"] for found in s3.list_objects_v2(Bucket="photos")["Contents"]] == ["a.jpg"]

    @each_port
    @pytest.mark.parametrize("headers", [[f"Origin: {EVIL}", "Origin: https://app.example"], ["oRiGiN: null"]])
    def test_headers_are_read_as_http_does(self, open_sandbox: Sandbox, port: str, headers: list[str]) -> None:
        assert get(open_sandbox, port, *headers).status == 403

    @each_port
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    @pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "anything"])
    def test_other_sites_change_nothing(self, sandbox_server: Sandbox, port: str, method: str, site: str) -> None:
        answer = get(sandbox_server, port, f"Sec-Fetch-Site: {site}", start=f"{method} {{path}}")
        assert (answer.status, answer.shared_with) == (403, [])

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
    @pytest.mark.parametrize("path", ["faults", "settings", "reset", "ledger", "anything"])
    def test_other_sites_steer_nothing(self, sandbox_server: Sandbox, method: str, path: str) -> None:
        assert get(sandbox_server, "api", "Sec-Fetch-Site: cross-site", start=f"{method} /sandbox/{path}").status == 403

    @each_port
    def test_what_a_person_opens_is_shown(self, sandbox_server: Sandbox, port: str) -> None:
        assert get(sandbox_server, port, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate").status == PORTS[port][1]

    def test_nothing_is_shared_unasked(self, sandbox_server: Sandbox) -> None:
        for port in PORTS:
            assert get(sandbox_server, port).shared_with == []
            assert get(sandbox_server, port, start="OPTIONS {path}").shared_with == []

    def test_an_allowed_page_works_with_the_api_and_uploads(self, open_sandbox: Sandbox) -> None:
        page = httpx.Client(headers={"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"})
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}
        with page, Api(open_sandbox) as api:
            answers = [page.options(f"{open_sandbox.url}/v3/images/", headers=asked)]
            assert answers[0].status_code == 204
            assert answers[0].headers["access-control-allow-headers"] == "content-type,x-api-key"
            assert "POST" in answers[0].headers["access-control-allow-methods"]
            key = {"x-api-key": open_sandbox.api_key, "x-api-version": "2025-08-31"}
            answers.append(page.post(f"{open_sandbox.url}/v3/images/", json={"image_name": "a.jpg"}, headers=key))
            created = answers[-1].json()
            answers.append(page.options(created["upload_url"], headers=asked))
            answers.append(page.put(created["upload_url"], content=photo(), headers={"Content-Type": "image/jpeg"}))
            assert answers[-1].status_code == 200
            answers.append(page.get(f"{open_sandbox.url}/v3/nothing"))
            assert api.wait(created["image_id"])["status"] == "processed"
        for answer in answers:
            assert answer.headers["access-control-allow-origin"] == "https://app.example"
            assert answer.headers["vary"] == "Origin"

    @pytest.mark.parametrize("path", ["ledger", "reset", "settings"])
    def test_an_allowed_page_steers_nothing(self, open_sandbox: Sandbox, path: str) -> None:
        for method in ("GET", "POST", "OPTIONS"):
            answer = get(open_sandbox, "api", "Origin: https://app.example", start=f"{method} /sandbox/{path}")
            assert (answer.status, answer.shared_with) == (403, [])

    @pytest.mark.parametrize(
        "path", ["//sandbox/ledger", "///sandbox/ledger", "/%73andbox/ledger", "/./sandbox/ledger"]
    )
    def test_another_spelling_does_not_help(self, open_sandbox: Sandbox, path: str) -> None:
        assert get(open_sandbox, "api", "Origin: https://app.example", start=f"GET {path}").status == 404

    def test_an_allowed_page_has_no_s3(self, open_sandbox: Sandbox) -> None:
        answer = get(open_sandbox, "s3", "Origin: https://app.example")
        assert (answer.status, answer.shared_with) == (403, [])

    @pytest.mark.parametrize("port", ["api", "assets"])
    @pytest.mark.parametrize(
        "origin", ["http://app.example", "https://app.example:8443", "https://app.example.evil", "null"]
    )
    def test_its_likes_are_not_allowed(self, open_sandbox: Sandbox, port: str, origin: str) -> None:
        assert get(open_sandbox, port, f"Origin: {origin}", start="GET /v3/orders/").status == 403


class TestMoto:
    @pytest.mark.parametrize(
        "path", ["/moto-api/", "/moto-api/reset", "/moto-api/data.json", "/moto-api/seed?a=1", "/moto-api"]
    )
    def test_its_own_api_is_off(self, sandbox: Sandbox, path: str) -> None:
        s3 = boto3.client("s3", endpoint_url=sandbox.s3_url, **KEYS)
        s3.create_bucket(Bucket="photos")
        for method in ("GET", "POST"):
            assert get(sandbox, "s3", start=f"{method} {path}").status == 404
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["photos"]

    def test_its_other_services_are_off(self, sandbox: Sandbox) -> None:
        assert boto3.client("sts", endpoint_url=sandbox.s3_url, **KEYS).get_caller_identity()["Account"]
        ssm = boto3.client("ssm", endpoint_url=sandbox.s3_url, **KEYS)
        assert "Parameters" not in ssm.describe_parameters()
        assert get(sandbox, "s3", start="GET /latest/meta-data/iam/security-credentials/").status == 404

    def test_a_wrong_service_is_not_taken_for_a_key(self, sandbox: Sandbox) -> None:
        get(sandbox, "s3", f"Authorization: {SIGNED % 'nothing'}")
        sandbox.reset(keep_s3=True)
        assert sandbox.ledger()["api_key_hosts"] == []


class TestOrdinaryClients:
    @each_port
    def test_libraries(self, sandbox_server: Sandbox, port: str) -> None:
        path, status = PORTS[port]
        for name in ("127.0.0.1", "localhost"):
            url = f"http://{name}:{urlsplit(address(sandbox_server, port)).port}{path}"
            assert requests.get(url, timeout=30).status_code == status
            assert httpx.get(url).status_code == status
            if status == 200:
                with urlopen(url, timeout=30) as answer:
                    assert answer.status == status

    @pytest.mark.parametrize("style", ["path", "virtual"])
    def test_boto3(self, sandbox: Sandbox, style: str) -> None:
        """``bucket.localhost`` needs a resolver that knows it; S3 as its own proxy does without, and gets whole URLs as targets."""
        endpoint = f"http://localhost:{urlsplit(sandbox.s3_url).port}"
        config = Config(
            s3={"addressing_style": style}, proxies={"http": sandbox.s3_url} if style == "virtual" else None
        )
        s3 = boto3.client("s3", endpoint_url=endpoint, config=config, **KEYS)
        s3.create_bucket(Bucket="photos")
        s3.put_object(Bucket="photos", Key="in/\u00e9.jpg", Body=b"bytes")
        assert s3.get_object(Bucket="photos", Key="in/\u00e9.jpg")["Body"].read() == b"bytes"
        assert [found["Key"] for found in s3.list_objects_v2(Bucket="photos")["Contents"]] == ["in/\u00e9.jpg"]
        s3.delete_object(Bucket="photos", Key="in/\u00e9.jpg")
        assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 0


def test_a_folder_for_files_is_private(tmp_path: Path) -> None:
    data, env_file = tmp_path / "data", tmp_path / "sandbox.env"
    env_file.write_text("an earlier one")
    env_file.chmod(0o644)
    server = Sandbox.start("--no-s3", "--data-dir", str(data), "--env-file", str(env_file))
    try:
        assert {path.stat().st_mode & 0o777 for path in (data, *data.iterdir())} == {0o700}
        assert env_file.stat().st_mode & 0o777 == 0o600
        assert server.api_key in env_file.read_text()
    finally:
        server.stop()
