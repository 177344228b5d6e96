"""``make up``: a live Airflow with its UI on loopback, wired to the sandbox; Ctrl-C stops all of it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from urllib.parse import urlsplit

from tools.airflow_api import AirflowApi, ApiError
from tools.airflow_home import ADMIN, RUN, AirflowHome, free_port
from tools.console import problem, step
from tools.live_airflow import LiveAirflow, start_live_airflow
from tools.local_service import (
    RESULT_BUCKET,
    SOURCE_BUCKET,
    LocalService,
    fill_buckets,
    sample_days,
    sample_photos,
    start_local_service,
)
from tools.processes import Children, run_command

FOLDER = RUN / "up"
#: Between two looks at what runs and at the DAG files, which Airflow reads again every 10 seconds.
_LOOK_SECONDS = 5

#: Of the tasks that call Autoenhance: 6 x 50 requests a second.
POOL = {
    "name": "autoenhance",
    "slots": 6,
    "description": "Tasks that call Autoenhance, 50 requests a second each",
    "include_deferred": False,
}


def start_all(children: Children, *, port: int) -> tuple[LiveAirflow, LocalService]:
    """Start the sandbox, fill its buckets, and start Airflow's components; return when the UI shows the DAGs."""
    step("Starting the sandbox: a local Autoenhance, and an S3 beside it")
    service = start_local_service(
        children, FOLDER, port=free_port(8787), s3_port=free_port(8788), processing_seconds="3,8"
    )
    fill_buckets(service, sample_photos(brackets=True), all_dags=True)

    step("Making an Airflow of its own, and starting its components")
    home = AirflowHome(FOLDER / "airflow", port=free_port(port))

    def prepare(api: AirflowApi) -> None:
        api.post("pools", POOL)
        add_connections(api, service)

    environment = {"AUTOENHANCE_POOL": POOL["name"]}
    return start_live_airflow(children, home, FOLDER, environment, prepare=prepare, foreign_dags=True), service


def add_connections(api: AirflowApi, service: LocalService) -> None:
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
        api.post("connections", body)


def serve(children: Children, *, port: int) -> int:
    """Start everything, and say how to use it, until Ctrl-C; return the exit status."""
    airflow, service = start_all(children, port=port)
    step("Ready")
    print(guide(airflow.home, service), flush=True)
    return run_until_stopped(children, airflow)


def guide(home: AirflowHome, service: LocalService) -> str:
    """Say where everything is."""
    endpoint = service.s3().meta.endpoint_url
    today, yesterday, _ = sample_days()
    return f"""
  Airflow      {home.address}
  Login        {ADMIN} / {home.password}
  Photos       click Browse, Photos, and the run of autoenhance_nightly: it has begun with samples,
               and shows them before and after within a minute
  Your DAG     put its file into {home.dags}
  Logs         {FOLDER}

  Autoenhance  {service.api}, a sandbox; connection autoenhance_default
  API key      {service.api_key}
  Its books    {service.api}/sandbox/ledger
  S3           {endpoint}, any key; connection aws_default
  Source       s3://{SOURCE_BUCKET}/ holds harbour-view-3/ (5 exposures of a view), maple-street-12/ (3 photos);
               both again in {today}/ and print/; of each view one in {yesterday}/ and the day before
  Results      s3://{RESULT_BUCKET}/

Your own photos, one folder for each listing:

  export AWS_ENDPOINT_URL={endpoint} AWS_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any
  aws s3 cp --recursive photos/ s3://{SOURCE_BUCKET}/elm-4/

Ctrl-C stops all of it. The next start deletes what is in there. More: docs/getting-started.md"""


def run_until_stopped(children: Children, airflow: LiveAirflow) -> int:
    """Wait for Ctrl-C, or for a child that ends by itself, and name DAG files that break; return the exit status."""
    named: dict[str, str] = {}
    try:
        while not (ended := children.ended()):
            named = name_broken_files(airflow, named)
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        print("\nStopping.")
        return 0
    problem(f"{ended.name} ended by itself: {ended.log}")
    return 1


def name_broken_files(airflow: LiveAirflow, named: dict[str, str]) -> dict[str, str]:
    """Print the DAG files that Airflow cannot read, and return them with the reasons.

    :param named: those that have been printed.
    """
    try:
        broken = airflow.api.broken_files()
    except ApiError:
        return named
    for file, reason in broken.items():
        if named.get(file) != reason:
            problem(f"{airflow.home.dags / file}: {reason}")
    return broken


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
