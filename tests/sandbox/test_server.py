"""Starting, stopping, resetting, and what the sandbox says about itself."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import httpx
import psutil
import pytest

from tests.sandbox.api import Api
from tests.support.pictures import photo
from tests.support.sandbox import ROOT, Sandbox

COMMAND = [sys.executable, "-m", "airflow_provider_autoenhance.sandbox"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_says_how_to_connect_and_stops_cleanly(tmp_path: Path, number: int) -> None:
    env_file, data = tmp_path / "sandbox.env", tmp_path / "data"
    server = Sandbox.start("--env-file", str(env_file), "--data-dir", str(data))
    try:
        lines = server.output.splitlines()
        assert env_file.read_text().splitlines() == lines
        found = {}
        for line in lines:
            export, _, assignment = line.partition(" ")
            name, _, value = shlex.split(assignment)[0].partition("=")
            assert export == "export"
            found[name] = json.loads(value)
        assert found["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"] == {
            "conn_type": "autoenhance",
            "host": server.url,
            "password": server.api_key,
        }
        assert found["AIRFLOW_CONN_AWS_DEFAULT"]["extra"] == {"endpoint_url": server.s3_url, "region_name": "us-east-1"}
        with Api(server) as api:
            api.finished(photo())
        assert list(data.glob("*/run-1/uploads/*"))
    finally:
        status = server.stop(number)
    assert status == 0
    assert list(data.iterdir()) == []
    for url in (server.url, server.asset_url, server.s3_url):
        host, _, port = urlsplit(url).netloc.partition(":")
        with socket.socket() as probe:
            assert probe.connect_ex((host, int(port))) != 0, url


def test_it_ends_with_its_parent() -> None:
    server = Sandbox.start("--no-s3")
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.process.wait(30) == 0
    server.stop()


def test_its_s3_ends_with_it_even_when_killed(tmp_path: Path) -> None:
    server = Sandbox.start("--data-dir", str(tmp_path))
    host, _, port = urlsplit(server.s3_url).netloc.partition(":")
    server.stop(signal.SIGKILL)
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) != 0:
                return
        time.sleep(0.02)
    raise AssertionError("S3 outlived the sandbox")


def test_it_stops_while_clients_wait() -> None:
    server = Sandbox.start("--no-s3")
    server.faults([{"kind": "timeout"}])
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(httpx.get, f"{server.url}/v3/orders/", timeout=60) for _ in range(4)]
        while server.ledger()["requests"].get("GET /v3/orders/", 0) < 4:
            pass
        assert server.stop() == 0
        for call in waiting:
            with pytest.raises(httpx.TransportError):
                call.result(30)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--port", str(port), "--asset-port", "0", "--no-s3")
    assert done.returncode == 1
    assert f"Can't listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "colour=1"], "colour"),
        (["--processing-seconds", "3,1"], "MIN,MAX"),
        (["--tls-cert", "a.pem"], "--tls-key"),
        (["--faults", "missing.json"], "missing.json"),
        (["--api-key-file", "missing.txt"], "missing.txt"),
        (["--api-key-file", os.devnull], "is empty"),
        (["--webhook-token-file", "missing.txt"], "missing.txt"),
        (["--api-key", "hunter2"], "unrecognized arguments"),
        (["--webhook-token", "hunter2"], "unrecognized arguments"),
        (["--set", "webhook_token=hunter2"], "--webhook-token-file"),
        (["--webhook-url", "file:///etc/passwd"], "webhook_url"),
        (["--allow-host", "evil@localhost"], "evil@localhost"),
        (["--allow-host", "*"], "NAME:PORT"),
        (["--allow-host", "sandbox:99999"], "NAME:PORT"),
        (["--allow-host", "http://sandbox"], "NAME:PORT"),
        (["--allow-origin", "*"], "is not an origin"),
        (["--allow-origin", "app.example"], "is not an origin"),
        (["--allow-origin", "https://app.example/"], "is not an origin"),
    ],
)
def test_bad_options_are_named(arguments: list[str], said: str) -> None:
    done = run("--port", "0", "--no-s3", *arguments)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_options_reach_the_settings(tmp_path: Path) -> None:
    rules = tmp_path / "faults.json"
    rules.write_text(json.dumps([{"endpoint": "list_orders", "kind": 500}]))
    options = ["--no-s3", "--strict", "--render", "copy", "--credits", "7", "--daily-limit", "9"]
    options += ["--latency-ms", "1", "--upload-url-seconds", "60"]
    server = Sandbox.start(*options, "--processing-seconds", "0,0.01", "--faults", str(rules))
    try:
        shown = server.control("GET", "settings")
        assert (shown["credits"], shown["daily_limit"], shown["strict"]) == (7, 9, True)
        assert (shown["latency_ms"], shown["upload_url_seconds"], shown["render"]) == (1, 60, "copy")
        assert shown["processing_seconds"] == [0, 0.01]
        assert server.s3_url == ""
        assert "AWS" not in server.output
        data = photo()
        with Api(server) as api:
            assert api.http.get("/v3/orders/").status_code == 500
            image = api.finished(data)
            assert api.bytes(image["image_id"], preview=False) == data
            assert api.finished(b"junk", "junk.jpg")["status"] == "error"
    finally:
        server.stop()


def test_secrets_come_from_files_or_the_environment_and_go_no_further(tmp_path: Path) -> None:
    keys, token = tmp_path / "keys", tmp_path / "token"
    keys.write_text("first-of-file\nsecond-of-file\n")
    token.write_text("hook-of-file\n")
    options = ["--api-key-file", str(keys), "--webhook-token-file", str(token), "--webhook-url", "http://127.0.0.1:9/"]
    for given, wanted in (([], ["first-of-env", "second-of-env"]), (options, ["first-of-file", "second-of-file"])):
        server = Sandbox.start(*given, api_key="first-of-env", more_keys=("second-of-env",))
        try:
            for key in ("first-of-env", "second-of-env", "first-of-file", "second-of-file"):
                allowed = httpx.get(f"{server.url}/v3/orders/", headers={"x-api-key": key}).status_code == 200
                assert allowed == (key in wanted), key
            assert wanted[0] in server.output
            process = psutil.Process(server.process.pid)
            family = [process, *process.children(recursive=True)]
            assert len(family) == 2
            words = [word for each in family for word in each.cmdline()]
            words += family[1].environ().values()
            assert [word for word in words if "of-file" in word or "of-env" in word] == []
            assert "of-file" not in json.dumps(server.control("GET", "settings"))
        finally:
            server.stop()


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("::", True)])
def test_it_warns_when_others_can_reach_it(host: str, warned: bool) -> None:
    command = [*COMMAND, "--port", "0", "--no-s3", "--stop-on-eof", "--host", host]
    done = subprocess.run(command, cwd=ROOT, input="", capture_output=True, text=True, timeout=60, check=True)
    assert ("beyond this machine" in done.stderr) == warned
    url = json.loads(shlex.split(done.stdout.splitlines()[0])[1].partition("=")[2])["host"]
    assert urlsplit(url).hostname == ("127.0.0.1" if "." in host else "::1")


def test_the_public_host_is_its_own() -> None:
    command = [*COMMAND, "--port", "0", "--no-s3", "--stop-on-eof", "--public-host", "photos.test"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = json.loads(shlex.split(process.stdout.readline())[1].partition("=")[2])["host"]
        assert process.stdout.readline() == "ready\n"
        address = urlsplit(url)
        assert address.hostname == "photos.test"
        near = f"http://127.0.0.1:{address.port}"
        key = {"x-api-key": "sandbox-key", "Host": address.netloc}
        created = httpx.post(f"{near}/v3/images/", json={"image_name": "a.jpg"}, headers=key)
        assert created.status_code == 200
        assert "http://photos.test:" in created.text
    finally:
        process.stdin.close()
        assert process.wait(30) == 0
        process.stdout.close()


def test_https_on_all_ports(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    import ssl

    trusted = ssl.create_default_context(cafile=str(certificate))
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--tls-cert", str(certificate), "--tls-key", str(key)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        host = json.loads(shlex.split(lines[0])[1].partition("=")[2])["host"]
        assert host.startswith("https://")
        with httpx.Client(verify=trusted, headers={"x-api-key": "sandbox-key"}) as client:
            created = client.post(f"{host}/v3/images/", json={"image_name": "a.jpg"}).json()
            assert created["s3PutObjectUrl"].startswith("https://")
            put = client.put(created["s3PutObjectUrl"], content=photo(), headers={"Content-Type": "image/jpeg"})
            assert put.status_code == 200
            s3 = client.get(f"{host}/sandbox/health").json()["s3"]
            assert client.put(f"{s3}/photos").status_code == 200
            client.post(f"{host}/sandbox/faults", json={"kind": "reset", "endpoint": "list_orders"})
            with pytest.raises(httpx.TransportError):
                client.get(f"{host}/v3/orders/")
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stdout.close()


def test_s3_keeps_objects_until_a_reset(sandbox: Sandbox) -> None:
    connection = json.loads(shlex.split(sandbox.output.splitlines()[1])[1].partition("=")[2])
    keys = {"aws_access_key_id": connection["login"], "aws_secret_access_key": connection["password"]}
    s3 = boto3.client("s3", **keys, **connection["extra"])
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="in/1.jpg", Body=b"bytes")
    sandbox.reset(keep_s3=True)
    assert s3.get_object(Bucket="photos", Key="in/1.jpg")["Body"].read() == b"bytes"
    sandbox.reset()
    assert s3.list_buckets()["Buckets"] == []


def test_a_key_sent_to_s3_is_noticed(sandbox: Sandbox) -> None:
    httpx.get(f"{sandbox.s3_url}/photos", headers={"x-api-key": sandbox.api_key})
    address = urlsplit(sandbox.s3_url).netloc
    for _ in range(200):
        if address in sandbox.ledger()["api_key_hosts"]:
            break
    assert sandbox.ledger()["api_key_hosts"] == [address]


def test_a_reset_forgets_everything_even_work_under_way(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(processing_seconds=[0.2, 0.2], credits=3)
    api.bytes(api.finished(photo())["image_id"], preview=False)
    late = api.create("late.jpg")
    api.put(late["upload_url"], photo())
    sandbox.faults([{"endpoint": "report_image", "kind": 500}])
    sandbox.reset(daily_limit=5)
    books = sandbox.ledger()
    assert (books["images"], books["requests"], books["api_key_hosts"]) == ([], {}, [])
    assert books["credits"] == {"spent": 0, "remaining": 1000, "by_image": {}}
    assert sandbox.control("GET", "faults") == []
    assert sandbox.control("GET", "settings")["daily_limit"] == 5
    assert api.http.get(f"/v3/images/{late['image_id']}").status_code == 404
    assert api.put(late["upload_url"], photo()).status_code == 403
    assert api.finished(photo())["status"] == "processed"


def test_the_ledger_counts_requests_and_answers(api: Api, sandbox: Sandbox) -> None:
    image_id = api.finished(photo())["image_id"]
    api.bytes(image_id)
    api.http.get("/v3/images/unknown")
    books = sandbox.ledger(summary=True)
    assert books["requests"]["POST /v3/images/"] == 1
    assert books["requests"]["GET /v3/images/{id}/enhanced"] == 1
    assert sum(count for label, count in books["requests"].items() if label.startswith("PUT ")) == 1
    assert books["responses"]["GET /v3/images/{id} 404"] == 1
    assert books["responses"]["GET /v3/images/{id}/enhanced 302"] == 1
    assert not any("/sandbox/" in label for label in books["requests"])
    assert "images" not in books


def test_bad_settings_are_refused_and_change_nothing(sandbox: Sandbox) -> None:
    for body in ({"credits": -1}, {"colour": 1}, {"processing_seconds": [2, 1]}, {"account_api_version": "new"}):
        for name in ("settings", "reset"):
            answer = httpx.post(f"{sandbox.url}/sandbox/{name}", json=body)
            assert answer.status_code == 422, body
    assert sandbox.control("GET", "settings")["credits"] == 1000


def test_many_uploads_at_once_arrive_whole(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(render="copy", processing_seconds=[0, 0])
    data = photo() + bytes(2_000_000)
    made = [api.create(f"{number}.jpg") for number in range(24)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda image: api.put(image["upload_url"], data).status_code, made))
    assert answers == [200] * 24
    assert {upload["size"] for upload in sandbox.ledger()["uploads"]} == {len(data)}
