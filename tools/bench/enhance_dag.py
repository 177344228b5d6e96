"""The DAG whose one task enhances a folder, for the benchmark's live Airflow; the mapped one is dags/autoenhance_quickstart.py."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import dag

from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator


@dag(schedule=None, catchup=False, params={"source": "", "destination": "", "poll_seconds": 1.0})
def bench_enhance() -> None:
    AutoenhanceEnhanceOperator(
        task_id="enhance",
        source="{{ params.source }}",
        destination="{{ params.destination }}",
        output_spec="jpeg",
        preview=False,
        poll_interval=1.0,
        thumbnails=False,  # as the scripts beside it
    )


bench_enhance()
