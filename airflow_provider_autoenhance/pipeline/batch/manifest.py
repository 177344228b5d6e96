"""The manifest: a JSONL file beside the outputs with a row per photo, for people.

Each task has a file of its own. The first one at a destination has the plain name; others find that theirs, and add a piece of a digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.records import to_line, write_lines
from airflow_provider_autoenhance.storage import EVERYWHERE, HEAD, open_destination, read_range

MANIFEST = "autoenhance-manifest.jsonl"


def find_manifest(job: Job) -> tuple[str, bool]:
    """Where the rows of a batch lie, and whether they are there. Tasks over a list of sources name them by these."""
    sources = job.sources.uris
    uri = job.destination + (MANIFEST if len(sources) == 1 else _digested(*sources))
    there = _is_there(uri, job)
    if not there or _is_own(job, uri):
        return uri, there
    uri = job.destination + _digested(job.run.dag_id, job.run.task_id, job.selection)
    return uri, _is_there(uri, job)


def write_manifest(job: Job, uri: str, lines: Callable[[], Iterable[bytes]]) -> None:
    """Write the rows.

    :param lines: gives the rows, the same each time.
    """
    whose = to_line(_owner(job))[1:]

    def owned() -> Iterator[bytes]:
        for line in lines():
            yield line.removesuffix(b"}\n") + b", " + whose

    write_lines(uri, job.destination_conn_id, owned)


def _owner(job: Job) -> dict[str, str]:
    """What each row says of the task that wrote it."""
    run = job.run
    return {"dag_id": run.dag_id, "task_id": run.task_id, "run_id": run.run_id, "selection": job.selection[:8]}


def _is_there(uri: str, job: Job) -> bool:
    return open_destination(uri, conn_id=job.destination_conn_id).stat() is not None


def _is_own(job: Job, uri: str) -> bool:
    """Whether a manifest is this task's to write over.

    The file of a mapped task is its own only if it is about the same photos: those beside it have the same name.
    """
    line = read_range(uri, 0, HEAD, conn_id=job.destination_conn_id, access=EVERYWHERE).partition(b"\n")[0]
    own, found = _owner(job), {}
    with suppress(ValueError):
        found = json.loads(line)
    if not isinstance(found, dict) or "dag_id" not in found:
        return True  # as written before rows named their task
    same_task = (found["dag_id"], found.get("task_id")) == (own["dag_id"], own["task_id"])
    return same_task and (not job.run.mapped or found.get("selection") in (own["selection"], job.earlier_selection[:8]))


def _digested(*parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return MANIFEST.replace(".", f"-{digest[:8]}.")
