"""The example DAGs that no night shows: quickstart, HDR, print and web, each bought at full size once."""

from __future__ import annotations

import time
from typing import Any

from tools.console import detail, step
from tools.live_airflow import LiveAirflow
from tools.local_service import RESULT_BUCKET, LocalService, fill_buckets, sample_photos
from tools.processes import ProcessError

NAME = "quickstart, HDR, print and web"
#: With the pictures that come of the sample photos in their folder, and the files of each.
_DAGS = {"autoenhance_quickstart": "maple-street-12/", "autoenhance_hdr": "harbour-view-3/",
         "autoenhance_print_and_web": "print/maple-street-12/"}  # fmt: skip
_SECONDS = 420


def play_examples(airflow: LiveAirflow, service: LocalService) -> list[str]:
    """Run each twice; return what is wrong."""
    step(NAME)
    fill_buckets(service, sample_photos(brackets=True), all_dags=True)
    problems: list[str] = []
    for dag_id, folder in _DAGS.items():
        before = _books(service)
        states = [_run(airflow, dag_id, number) for number in (1, 2)]
        images, credits = (after - earlier for after, earlier in zip(_books(service), before, strict=True))
        files = service.s3().list_objects_v2(Bucket=RESULT_BUCKET, Prefix=folder).get("Contents", [])
        pictures = sum(file["Key"].endswith((".jpg", ".tif", ".webp")) for file in files)
        detail(f"{dag_id}: {', '.join(states)}; {images} live images, {credits} credits, {pictures} pictures landed")
        if states != ["success", "success"] or not images or images != credits or pictures < images:
            problems.append(f"{dag_id}: {states}, {images} live images, {credits} credits, {pictures} pictures")
    return problems


def _books(service: LocalService) -> tuple[int, int]:
    books: dict[str, Any] = service.ledger()
    return sum(not image["deleted"] for image in books["images"]), int(books["credits"]["spent"])


def _run(airflow: LiveAirflow, dag_id: str, number: int) -> str:
    """Run a DAG to its end; return its state."""
    run_id = f"e2e-{number}"
    body = {"dag_run_id": run_id, "logical_date": None, "conf": {"preview": False}}
    airflow.api.post(f"dags/{dag_id}/dagRuns", body)
    deadline = time.monotonic() + _SECONDS
    while (state := str(airflow.api.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"])) not in ("success", "failed"):
        if time.monotonic() > deadline:
            raise ProcessError(f"{dag_id} was {state} after {_SECONDS} s")
        time.sleep(1)
    return state
