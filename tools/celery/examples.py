"""The example DAGs that no night shows: quickstart, HDR, print and web, each bought at full size once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tools.console import detail, step
from tools.live_airflow import LiveAirflow
from tools.local_service import RESULT_BUCKET, LocalService, fill_buckets, sample_photos
from tools.processes import ProcessError

NAME = "quickstart, HDR, print and web"


@dataclass(frozen=True)
class Example:
    """A DAG, and what it makes of the sample photos.

    :param folder: where its files land.
    :param images: images that its first run makes and buys.
    :param again: those of its second run.
    """

    dag_id: str
    folder: str
    images: int
    again: int


_EXAMPLES = (
    # Its operators know the images of their own run alone.
    Example("autoenhance_quickstart", "maple-street-12/", images=3, again=3),
    Example("autoenhance_hdr", "harbour-view-3/", images=1, again=0),
    Example("autoenhance_print_and_web", "print/maple-street-12/", images=3, again=0),
)
_SECONDS = 420


def play_examples(airflow: LiveAirflow, service: LocalService) -> list[str]:
    """Run each twice; return what is wrong."""
    step(NAME)
    fill_buckets(service, sample_photos(brackets=True), all_dags=True)
    service.settings(render="enhance")  # what is asked for as PNG has to arrive as PNG
    problems = [problem for example in _EXAMPLES for problem in _play(airflow, service, example)]
    service.settings(render="copy")
    return problems


def _play(airflow: LiveAirflow, service: LocalService, example: Example) -> Iterator[str]:
    for number, wanted in enumerate((example.images, example.again), start=1):
        before = _books(service)
        state = _run(airflow, example.dag_id, number)
        images, credits = (after - earlier for after, earlier in zip(_books(service), before, strict=True))
        files = service.s3().list_objects_v2(Bucket=RESULT_BUCKET, Prefix=example.folder).get("Contents", [])
        landed = sum(file["Key"].endswith((".jpg", ".jpeg", ".tif", ".webp")) for file in files)
        said = (
            f"{example.dag_id}, run {number}: {state}, {images} live images, {credits} credits, {landed} pictures there"
        )
        detail(said)
        if state != "success" or (images, credits) != (wanted, wanted) or landed < example.images:
            yield f"{said}; {wanted} images were to be made and bought"


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
