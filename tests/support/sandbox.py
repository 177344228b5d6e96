"""The sandbox as a pytest fixture: one server for the session, fresh before each test."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest


class Sandbox:
    def __init__(self, lines: list[str]) -> None:
        self.env = {m[1]: m[2] for line in lines if (m := re.match(r"export (\w+)='(.*)'$", line))}
        conn = json.loads(self.env["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"])
        self.url, self.api_key = conn["host"], conn["password"]
        self.s3_url = json.loads(self.env["AIRFLOW_CONN_AWS_DEFAULT"])["extra"]["endpoint_url"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def ledger(self) -> dict[str, Any]:
        return self.call("GET", "/sandbox/ledger")

    def faults(self, rules: list[dict[str, Any]]) -> None:
        self.call("POST", "/sandbox/faults", rules)

    def clear_faults(self) -> None:
        self.call("DELETE", "/sandbox/faults")

    def reset(self, **settings: Any) -> None:
        self.call("POST", "/sandbox/reset", settings)

    def settings(self, **settings: Any) -> None:
        self.call("POST", "/sandbox/settings", settings)


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[Sandbox]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "airflow_provider_autoenhance.sandbox",
            "--port",
            "0",
            "--s3-port",
            "0",
            "--processing-seconds",
            "0.1,0.2",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.strip() == "ready":
            break
    yield Sandbox(lines)
    process.terminate()
    process.wait(20)


@pytest.fixture
def sandbox(sandbox_server: Sandbox) -> Sandbox:
    sandbox_server.reset()
    return sandbox_server


@pytest.fixture
def autoenhance(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox as Airflow's connection ``autoenhance_default``."""
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", sandbox.env["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"])
    return sandbox
