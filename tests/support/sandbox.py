"""A sandbox in a process of its own, for tests of anything that talks to Autoenhance."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "test-key-5f2d81"
QUICK = {"processing_seconds": (0.0, 0.02), "merging_seconds": (0.0, 0.02), "requests_per_second": 0}


class Sandbox:
    """
    A running sandbox.

    :param process: the server.
    :param output: what it printed before ``ready``.
    :param api_key: key of its first account.
    """

    def __init__(self, process: subprocess.Popen[str], output: str, api_key: str) -> None:
        self.process = process
        self.output = output
        self.api_key = api_key
        lines = dict(line.removeprefix("export ").split("=", 1) for line in output.splitlines() if "=" in line)
        self.url: str = json.loads(lines["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"].strip("'"))["host"]
        addresses = self.control("GET", "health")
        self.asset_url: str = addresses["assets"]
        self.s3_url: str = addresses["s3"] or ""

    @classmethod
    def start(cls, *arguments: str, api_key: str = API_KEY, more_keys: tuple[str, ...] = ()) -> Sandbox:
        """
        Start one on free ports and wait until it is ready.

        :param arguments: further command-line options.
        :param more_keys: of further accounts.
        """
        command = [sys.executable, "-m", "airflow_provider_autoenhance.sandbox"]
        command += ["--port", "0", "--stop-on-eof"]
        for name, value in QUICK.items():
            command += ["--set", f"{name}={json.dumps(value)}"]
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                [*command, *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    "AUTOENHANCE_SANDBOX_API_KEY": " ".join([api_key, *more_keys]),
                },
            )
            output = _until_ready(process)
            if output is None:
                errors.seek(0)
                raise RuntimeError(f"The sandbox did not start (exit {process.wait()}):\n{errors.read()}")
        return cls(process, output, api_key)

    @property
    def address(self) -> str:
        """Return host:port of the API, as the ledger writes it."""
        return urlsplit(self.url).netloc

    def control(self, method: str, name: str, body: Any = None) -> Any:
        """Call ``/sandbox/<name>``."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/sandbox/{name}", data, {"Content-Type": "application/json"}, method=method)
        with urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def ledger(self, *, summary: bool = False) -> dict[str, Any]:
        """Return the books; ``summary`` leaves out the rows."""
        return dict(self.control("GET", f"ledger?summary={'true' if summary else 'false'}"))

    def faults(self, rules: list[dict[str, Any]]) -> None:
        """Replace the fault rules in force; see ``FaultRule`` for their fields."""
        self.control("DELETE", "faults")
        if rules:
            self.control("POST", "faults", rules)

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change settings while it runs; see ``Settings`` for their names."""
        return dict(self.control("POST", "settings", changes))

    def reset(self, **settings: Any) -> None:
        """Forget everything, and go back to the settings of the start but for these."""
        self.control("POST", "reset", settings)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe:
                    pipe.close()


def _until_ready(process: subprocess.Popen[str]) -> str | None:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        if line.strip() == "ready":
            return "".join(lines)
        lines.append(line)
    return None


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[Sandbox]:
    """One sandbox for the whole session; use ``sandbox`` instead, which is fresh for each test."""
    server = Sandbox.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def sandbox(sandbox_server: Sandbox) -> Sandbox:
    """A sandbox without images, orders, faults or buckets."""
    sandbox_server.reset()
    return sandbox_server
