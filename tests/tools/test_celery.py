"""``make e2e-celery`` takes what docker-compose.yaml says of each service, and its door to S3 opens and shuts."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.celery.cluster import LASTING
from tools.celery.compose import Compose
from tools.celery.door import Door
from tools.celery.scenarios import BRIEFLY, NIGHTS, scenarios
from tools.celery.triggerers import wrong
from tools.processes import ProcessError

HERE = {
    "http://api-server:8080": "http://127.0.0.1:1",
    "http://127.0.0.1:8080": "http://127.0.0.1:1",
    "http://sandbox:8787": "http://127.0.0.1:2",
    "http://sandbox:8788": "http://127.0.0.1:3",
    "@postgres/": "@127.0.0.1:4/",
    "@redis:6379/": "@127.0.0.1:5/",
}
SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer", "worker", "migrate", "pool")


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    made = Compose(tmp_path / "secrets", HERE, {"AUTOENHANCE_API_KEY": "ours"})
    made.make_secrets()
    return made


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_keeps_its_environment_and_reads_files_that_are_there(compose: Compose, name: str) -> None:
    found = compose.environment(name)
    assert set(found) == set(compose.services[name]["environment"])
    assert json.loads(found["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"]) == {
        "conn_type": "autoenhance", "host": "http://127.0.0.1:2", "password": "ours", "extra": {"allow_http": True},
    }  # fmt: skip
    files = [Path(value.removeprefix("cat ")) for option, value in found.items() if option.endswith("_CMD")]
    assert len(files) >= 3
    assert [file for file in files if not file.is_file()] == []


def test_secrets_lead_to_our_servers(compose: Compose) -> None:
    broker = (compose.secrets / "worker" / "celery-broker-url").read_text()
    assert broker.endswith("@127.0.0.1:5/0")
    assert (compose.secrets / "server" / "sql-alchemy-conn").read_text().endswith("@127.0.0.1:4/airflow")


def test_a_worker_gets_its_own_secrets(compose: Compose) -> None:
    assert f"{compose.secrets}/worker/" in compose.environment("worker")["AIRFLOW__CELERY__BROKER_URL_CMD"]
    assert f"{compose.secrets}/server/" in compose.environment("scheduler")["AIRFLOW__CELERY__BROKER_URL_CMD"]


@pytest.mark.parametrize(
    "value", ["cat /run/somewhere/else", "http://redis:6379/", "db+postgresql://airflow@postgres:5432/x"]
)
def test_what_only_a_container_has_is_refused_by_name(compose: Compose, value: str) -> None:
    compose.services["worker"]["environment"]["SOME_OPTION"] = value
    with pytest.raises(ProcessError, match="SOME_OPTION of worker"):
        compose.environment("worker")


def test_every_lasting_part_of_airflow_is_started(compose: Compose) -> None:
    airflow = {
        name
        for name, service in compose.services.items()
        if service.get("restart") != "no" and service["image"].startswith("airflow-autoenhance") and name != "sandbox"
    }
    assert {name.removesuffix("-1").removesuffix("-2") for name in LASTING} == airflow


def test_nights_have_names_and_days_of_their_own() -> None:
    nights = scenarios(NIGHTS, times=3)
    assert len({night.name for night in nights}) == len({night.day for night in nights}) == len(nights)
    assert {night.name for night in nights} >= {"Redis killed", "Redis killed (3)", *BRIEFLY}


@pytest.mark.parametrize("can", [False, True])
def test_a_disk_fills_up_where_one_can_be_mounted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], can: bool
) -> None:
    monkeypatch.setattr("tools.celery.scenarios.can_mount", lambda: can)
    assert [night.name for night in scenarios(["disk full", "undisturbed"])] == ["undisturbed", *["disk full"] * can]
    assert ("left out: disk full" in capsys.readouterr().out) is not can


def test_a_task_without_its_own_event_is_named() -> None:
    found = {"0": "of order 0", "1": "of order 0"}
    assert wrong(found, {0: "of order 0"}) == []
    problems = wrong(found, {0: "of order 0", 1: "of order 1", 2: "of order 2"})
    assert problems == ["task 1 has of order 0, not of order 1", "task 2 has None, not of order 2"]


class _Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def door() -> Iterator[Door]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Door() as door:
            door.leads_to = server.server_port
            yield door
        server.shutdown()


def _get(door: Door) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=1)
    connection.request("GET", "/")
    return connection.getresponse().status


def test_the_door_relays_refuses_and_says_nothing(door: Door) -> None:
    assert _get(door) == 200
    door.set("unavailable")
    assert _get(door) == 503
    door.set("silent")
    with pytest.raises(TimeoutError):
        _get(door)
    door.set("open")
    assert _get(door) == 200


def test_the_door_cuts_off_what_is_under_way(door: Door) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"hello"
    door.set("silent")
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        connection.request("GET", "/")
        connection.getresponse()
