"""How the commands ask a live Airflow: again where that is safe and may help, and never again what it refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tools import airflow_api
from tools.airflow_api import AirflowApi, ApiError
from tools.airflow_home import AirflowHome


@contextmanager
def airflow(*statuses: int) -> Iterator[tuple[HTTPServer, list[str]]]:
    """An Airflow that logs in whoever asks, and answers everything else with ``statuses``, one after the other; 0 hangs up."""
    left, asked = list(statuses), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/auth/token":
                return self.answer(201)
            asked.append(self.path)
            self.answer(left.pop(0))

        def do_GET(self) -> None:
            asked.append(self.path)
            if status := left.pop(0):
                self.answer(status)

        def answer(self, status: int) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"access_token": "t", "detail": "told so"}).encode())

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server, asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "_PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("statuses", "asked"),
    [((200,), 1), ((500, 503, 200), 3), ((500,) * 4 + (200,), 5)],
)
def test_a_failing_airflow_is_asked_again(tmp_path: Path, statuses: tuple[int, ...], asked: int) -> None:
    with airflow(*statuses) as (server, paths):
        api = AirflowApi(AirflowHome(tmp_path, port=server.server_port))
        assert api.post("dags/x/dagRuns", {})["detail"] == "told so"
    assert paths == ["/api/v2/dags/x/dagRuns"] * asked


def test_a_look_that_was_not_answered_is_taken_again(tmp_path: Path) -> None:
    with airflow(0, 0, 200) as (server, paths):
        assert AirflowApi(AirflowHome(tmp_path, port=server.server_port)).get("dags")["detail"] == "told so"
    assert len(paths) == 3


@pytest.mark.parametrize(("statuses", "asked"), [((409,), 1), ((500,) * 5, 5), ((500, 404), 2)])
def test_a_refusal_is_told_with_airflows_own_words(tmp_path: Path, statuses: tuple[int, ...], asked: int) -> None:
    with airflow(*statuses) as (server, paths):
        api = AirflowApi(AirflowHome(tmp_path, port=server.server_port))
        with pytest.raises(ApiError, match=rf"answered {statuses[-1]} to POST /api/v2/dags/x/dagRuns: .*told so"):
            api.post("dags/x/dagRuns", {})
    assert len(paths) == asked


def test_silence_is_told(tmp_path: Path) -> None:
    with airflow() as (server, _):
        home = AirflowHome(tmp_path, port=server.server_port)
    with pytest.raises(ApiError, match="did not answer POST /auth/token"):
        AirflowApi(home).get("dags")
