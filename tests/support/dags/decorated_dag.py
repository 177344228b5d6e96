"""Two listings, each named by a function, mapped; and a task that reads the summaries."""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

DEFERRABLE = bool(json.loads(sys.argv[3]).get("deferrable"))


@dag(schedule=None)
def decorated_dag() -> None:
    @task.autoenhance(preview=False, poll_interval=0.2, deferrable=DEFERRABLE)
    def tonight(folder: str, bucket: str, ti: Any = None) -> dict[str, Any]:
        print(f"asked for {folder} by {ti.task_id}")  # noqa: T201 - the test counts these
        return {"source": f"s3://{bucket}/{folder}", "destination": f"s3://enhanced/{folder}"}

    @task
    def add_up(summaries: list[dict[str, Any]], credits: list[int]) -> None:
        assert [each["landed"] for each in summaries] == [1, 1]
        assert list(credits) == [1, 1]

    done = tonight.partial(bucket="listings").expand(folder=["elm", "oak"])
    add_up(done, done["credits"])


decorated_dag()
