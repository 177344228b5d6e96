"""Ours: one task with the batch operator, executed as a worker would."""

from __future__ import annotations

from typing import Any

from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from tests.support.tasks import run as execute
from tools.bench.job import Job
from tools.local_service import RESULT_BUCKET, SOURCE_BUCKET


def run(job: Job) -> dict[str, Any]:
    """Enhance the folder; with ``plan_only`` just plan it."""
    operator = AutoenhanceEnhanceOperator(
        task_id="enhance",
        source=f"s3://{SOURCE_BUCKET}/{job.source}/",
        destination=f"s3://{RESULT_BUCKET}/{job.destination}/",
        preview=False,
        output_spec="jpeg",
        concurrency=job.concurrency,
        poll_interval=job.poll_seconds,
        plan_only=job.plan_only,
        thumbnails=job.thumbnails,
    )
    summary = execute(operator, run_id=job.run_id)
    return {
        "tasks": 1,
        "summary": {name: summary[name] for name in ("photos", "skipped", "credits") if name in summary},
    }
