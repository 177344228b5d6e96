"""``make up``: a live Airflow with its UI on loopback, wired to the sandbox; Ctrl-C stops all of it."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from tools.airflow_home import ADMIN, DAGS, RUN, AirflowHome, free_port, migrate
from tools.console import detail, problem, step
from tools.local_service import SOURCE_BUCKET, LocalService, fill_buckets, sample_photos, start_local_service
from tools.processes import Child, Children, ProcessError, leave_on_signals

FOLDER = RUN / "up"
# Log servers are left out: all components share one log folder, and nothing should listen beyond loopback.
COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
_START_SECONDS = 180


def start_all(children: Children, *, port: int) -> tuple[AirflowHome, LocalService]:
    """Start the sandbox, fill its buckets, and start Airflow's components; return when the UI shows the DAGs."""
    step("Starting the sandbox: a local Autoenhance, and an S3 beside it")
    service = start_local_service(
        children, FOLDER, port=free_port(8787), s3_port=free_port(8788), processing_seconds="3,8"
    )
    photos = sample_photos(brackets=True)
    fill_buckets(service, photos)
    detail(f"{len(photos)} photos in s3://{SOURCE_BUCKET}/")

    step("Making an Airflow of its own")
    home = AirflowHome(FOLDER / "airflow", port=free_port(port))
    home.create()
    environment = home.environment({}) | {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(max(4, os.cpu_count() or 1)),
    }
    migrate(children, environment, FOLDER)

    step(f"Starting {', '.join(COMPONENTS)}")
    components = {
        name: children.start(
            name, [sys.executable, "-m", "airflow", *words], environment=environment, log=FOLDER / f"{name}.log"
        )
        for name, words in COMPONENTS.items()
    }
    wait_until_usable(home, components)
    add_connections(home, service)
    return home, service


def add_connections(home: AirflowHome, service: LocalService) -> None:
    """Put the connections into the database, where the UI shows them."""
    for variable, text in service.connections.items():
        connection = json.loads(text)
        extra = connection.pop("extra", None)
        # Airflow 3.3 up to 3.3.2 refuses to test a connection that has no port (apache/airflow#73298).
        connection.setdefault("port", urlsplit(connection.get("host") or "").port)
        body = {
            "connection_id": variable.removeprefix("AIRFLOW_CONN_").lower(),
            **connection,
            **({"extra": json.dumps(extra)} if extra else {}),
        }
        _call(home, "/api/v2/connections", body, token=_token(home))


def wait_until_usable(home: AirflowHome, components: dict[str, Child]) -> None:
    """Wait until the API answers, every component reports healthy, and every DAG file has been read."""
    api = components["api-server"]
    api.wait_until(lambda: _healthy(home), seconds=_START_SECONDS, what="healthy")
    expected = sum("@dag" in file.read_text() for file in DAGS.glob("*.py"))
    components["dag-processor"].wait_until(
        lambda: len(dag_ids(home)) >= expected, seconds=_START_SECONDS, what=f"done reading {DAGS}"
    )


def dag_ids(home: AirflowHome) -> list[str]:
    """Return the ids of the DAGs that the UI shows."""
    return [dag["dag_id"] for dag in _call(home, "/api/v2/dags", token=_token(home))["dags"]]


def _token(home: AirflowHome) -> str:
    return str(_call(home, "/auth/token", {"username": ADMIN, "password": home.password})["access_token"])


def _healthy(home: AirflowHome) -> bool:
    with suppress(urllib.error.URLError, OSError):
        health = _call(home, "/api/v2/monitor/health")
        return all(
            health[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "dag_processor", "triggerer")
        )
    return False


def _call(home: AirflowHome, path: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = json.dumps(body).encode() if body else None
    with urllib.request.urlopen(urllib.request.Request(f"{home.address}{path}", data, headers), timeout=10) as answer:
        return json.load(answer)


def run_until_stopped(children: Children) -> int:
    """Wait for Ctrl-C, or for a child that ends by itself; return the exit status."""
    while True:
        if ended := children.ended():
            problem(f"{ended.name} ended by itself: {ended.log}")
            return 1
        time.sleep(1)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make up", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=8080, help="the UI's port, if it is free; else another (default 8080)"
    )
    arguments = parser.parse_args()
    leave_on_signals()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    step(f"Airflow {importlib.metadata.version('apache-airflow')}")
    try:
        with Children() as children:
            home, service = start_all(children, port=arguments.port)
            step("Ready")
            print(f"\n  Airflow      {home.address}\n  Login        {ADMIN} / {home.password}")
            print(f"  Autoenhance  {service.api} (its accounts: {service.api}/sandbox/ledger)")
            print(
                f"  S3           {service.s3().meta.endpoint_url}\n  Logs         {FOLDER}\n\nCtrl-C stops all of it.",
                flush=True,
            )
            return run_until_stopped(children)
    except ProcessError as failure:
        problem(str(failure))
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0


if __name__ == "__main__":
    sys.exit(main())
