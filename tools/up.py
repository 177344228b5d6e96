"""``make up``: a live Airflow with its UI on loopback, wired to the sandbox; Ctrl-C stops all of it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from urllib.parse import urlsplit

from tools.airflow_home import ADMIN, RUN, AirflowHome, free_port
from tools.console import detail, problem, step
from tools.live_airflow import LiveAirflow, start_live_airflow
from tools.local_service import (
    RESULT_BUCKET,
    SOURCE_BUCKET,
    LocalService,
    fill_buckets,
    sample_photos,
    start_local_service,
)
from tools.processes import Children, run_command

FOLDER = RUN / "up"

#: Of the tasks that call Autoenhance: 6 x 50 requests a second.
POOL = {
    "name": "autoenhance",
    "slots": 6,
    "description": "Tasks that call Autoenhance, 50 requests a second each",
    "include_deferred": False,
}


def start_all(children: Children, *, port: int) -> tuple[AirflowHome, LocalService]:
    """Start the sandbox, fill its buckets, and start Airflow's components; return when the UI shows the DAGs."""
    step("Starting the sandbox: a local Autoenhance, and an S3 beside it")
    service = start_local_service(
        children, FOLDER, port=free_port(8787), s3_port=free_port(8788), processing_seconds="3,8"
    )
    photos = sample_photos(brackets=True)
    fill_buckets(service, photos, all_dags=True)
    detail(f"{len(photos)} photos in s3://{SOURCE_BUCKET}/, and again in the folder of today for the nightly DAG")

    step("Making an Airflow of its own, and starting its components")
    home = AirflowHome(FOLDER / "airflow", port=free_port(port))
    airflow = start_live_airflow(children, home, FOLDER, {"AUTOENHANCE_POOL": POOL["name"]})
    airflow.api.post("pools", POOL)
    add_connections(airflow, service)
    return home, service


def add_connections(airflow: LiveAirflow, service: LocalService) -> None:
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
        airflow.api.post("connections", body)


def serve(children: Children, *, port: int) -> int:
    """Start everything, and say how to use it, until Ctrl-C; return the exit status."""
    home, service = start_all(children, port=port)
    step("Ready")
    print(f"\n  Airflow      {home.address}\n  Login        {ADMIN} / {home.password}")
    print(f"  Autoenhance  {service.api} (its accounts: {service.api}/sandbox/ledger)")
    endpoint = service.s3().meta.endpoint_url
    print(f"  S3           {endpoint} (buckets {SOURCE_BUCKET} and {RESULT_BUCKET})")
    print(f"  DAG files    {home.dags} (yours too)\n  Logs         {FOLDER}\n")
    print("Your own photos, one folder for each listing (the local S3 takes any key):\n")
    print(f"  export AWS_ENDPOINT_URL={endpoint} AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_REGION=us-east-1")
    print(f"  aws s3 cp --recursive photos/ s3://{SOURCE_BUCKET}/elm-4/\n")
    print("Ctrl-C stops all of it. The next start deletes what is in there.", flush=True)
    return run_until_stopped(children)


def run_until_stopped(children: Children) -> int:
    """Wait for Ctrl-C, or for a child that ends by itself; return the exit status."""
    try:
        while not (ended := children.ended()):
            time.sleep(1)
    except KeyboardInterrupt:
        print("\nStopping.")
        return 0
    problem(f"{ended.name} ended by itself: {ended.log}")
    return 1


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make up", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=8080, help="the UI's port, if it is free; else another (default 8080)"
    )
    arguments = parser.parse_args()
    return run_command(FOLDER, lambda children: serve(children, port=arguments.port))


if __name__ == "__main__":
    sys.exit(main())
