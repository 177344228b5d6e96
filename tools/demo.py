"""``make demo``: sample photos from a bucket through Autoenhance and back, on a real Airflow, checked and shown."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tools.airflow_home import RUN, AirflowHome, migrate
from tools.console import detail, problem, size, step, table
from tools.dag_events import EventLog, RunRecord
from tools.demo_checks import PhotoResult, check_ledger, check_secrets, collect_results, save_sheet
from tools.local_service import (
    PHOTOS,
    RESULT_BUCKET,
    SOURCE_BUCKET,
    LocalService,
    fill_buckets,
    key_of,
    sample_photos,
    start_local_service,
)
from tools.processes import Child, Children, ProcessError, run_command

FOLDER = RUN / "demo"
DAG_ID = "autoenhance_quickstart"
_RUN_SECONDS = 900


def run_demo(children: Children, photos: list[Path], *, times: int) -> int:
    """Run the whole demo; return the exit status."""
    step("Starting the sandbox: a local Autoenhance, and an S3 beside it")
    service = start_local_service(children, FOLDER)
    detail(f"Autoenhance {service.api}, S3 {service.s3().meta.endpoint_url}")

    step(f"Putting {len(photos)} photos into s3://{SOURCE_BUCKET}/")
    fill_buckets(service, photos)
    for photo in photos:
        detail(f"{key_of(photo)} ({size(photo.stat().st_size)})")

    step("Making an Airflow of its own for the demo")
    home = AirflowHome(FOLDER / "airflow")
    home.create()
    environment = home.environment(service.connections)
    migrate(children, environment, FOLDER)

    step(f"Running DAG {DAG_ID}{f' {times} times under one run id' if times > 1 else ''}")
    detail(f"Airflow's own output: {FOLDER / 'airflow.log'}")
    run = run_dag(children, environment, len(photos), times=times)

    step("Checking results, accounts and logs")
    results = collect_results(service, photos, run)
    return report(service, results, run)


def run_dag(children: Children, environment: dict[str, str], photos: int, *, times: int) -> RunRecord:
    """Run the DAG, showing what it does; return the record of its last run."""
    events = FOLDER / "events.jsonl"
    conf = {"source": f"s3://{SOURCE_BUCKET}/", "destination": f"s3://{RESULT_BUCKET}/", "preview": False}
    options = ["--conf", json.dumps(conf), "--events", str(events), "--times", str(times)]
    child = children.start(
        f"DAG {DAG_ID}",
        [sys.executable, "-m", "tools.dag_run", DAG_ID, *options],
        environment=environment,
        log=FOLDER / "airflow.log",
    )
    log = follow(child, events, photos)
    if not log.runs or log.runs[-1].state == "none":
        raise ProcessError(f"DAG {DAG_ID} did not run to its end: {child.log}")
    return log.runs[-1]


def follow(child: Child, events: Path, photos: int) -> EventLog:
    """Show each task that ends, until the run has ended."""
    log = EventLog(events)
    names: dict[int, str] = {}
    deadline = time.monotonic() + _RUN_SECONDS
    while True:
        running = child.running()
        for event in log.news():
            if event["event"] == "run" and event["number"] > 1:
                detail(f"-- again, cleared (run {event['number']})")
            if event["event"] == "task" and event["state"] != "running":
                # The first task of a photo is labelled with its name, later ones may be labelled with its image id.
                name = names.setdefault(event["index"], event["label"])
                detail(_progress(event, f"{event['index'] + 1}/{photos} {name}".rstrip()))
        if not running:
            return log
        if time.monotonic() > deadline:
            raise ProcessError(f"{child.name} still ran after {_RUN_SECONDS} s: {child.log}")
        time.sleep(0.2)


def _progress(event: dict[str, Any], photo: str) -> str:
    task = event["task"].rpartition(".")[2]
    which = f" {photo}" if event["index"] >= 0 else ""
    state = {"success": "done"}.get(event["state"], event["state"])
    return f"{task}{which}: {state}" + (f", {event['error']}" if event["state"] == "failed" else "")


def report(service: LocalService, results: list[PhotoResult], run: RunRecord) -> int:
    """Print the table and what is wrong; return the exit status."""
    heads = ("photo", "status", "before", "after", "seconds", "credits")
    rows = [
        (r.key, r.status, size(r.bytes_before), size(r.bytes_after), f"{r.seconds:.1f}", str(r.credits))
        for r in results
    ]
    print(f"\n{table(heads, rows, right=(2, 3, 4, 5))}\n")
    problems = [f"{result.key}: {result.reason}" for result in results if result.reason]
    if run.state != "success" and not problems:
        problems.append(f"run {run.run_id} ended {run.state}: {FOLDER / 'airflow.log'}")
    problems += check_ledger(service, results)
    problems += check_secrets(service, FOLDER)
    books = service.ledger()
    print(
        f"Accounts  {books['images_created']} images made, {books['credits']['spent']} credits spent, "
        f"API key seen on {', '.join(books['api_key_hosts'])} (Autoenhance is {urlsplit(service.api).netloc})"
    )
    print(f"Compare   {save_sheet(results, FOLDER)}")
    print(f"Logs      {FOLDER}\n")
    for text in problems:
        problem(text)
    if problems:
        return 1
    print(f"All {len(results)} photos are enhanced, checked and paid for once.")
    return 0


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="run the DAG so often under one run id (default 1)")
    arguments = parser.parse_args()
    photos = sample_photos(brackets=False)
    if not photos:
        problem(f"no sample photos in {PHOTOS}; make samples renders them")
        return 1
    return run_command(FOLDER, lambda children: run_demo(children, photos, times=arguments.times))


if __name__ == "__main__":
    sys.exit(main())
