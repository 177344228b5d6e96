"""Run one contender in a process of its own: ``python -m tools.bench.contender NAME JOB`` prints what it took as JSON."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import psutil

from tools.airflow_home import REPOSITORY
from tools.bench.job import Job
from tools.bench.meter import cpu_seconds, peak_megabytes
from tools.bench.service import BenchService, api_calls
from tools.local_service import RESULT_BUCKET
from tools.processes import ProcessError


@dataclass(frozen=True)
class Size:
    """How much work: ``count`` photos of ``size`` bytes."""

    count: int
    size: int


def run_contender(bench: BenchService, name: str, job: Job, size: Size, *, paid: bool = True) -> dict[str, Any]:
    """Let a contender do a job, check that the work is done, and return what it took.

    The sandbox is not reset before: that is for the caller, who knows whether the contender may remember.

    :param paid: whether all photos have to be bought and to have landed by this.
    :raises ProcessError: it failed, or left something undone.
    """
    calls, sandbox_cpu = api_calls(bench.books()), bench.cpu_seconds()
    command = [sys.executable, "-m", "tools.bench.contender", name, json.dumps(job.as_json())]
    environment = bench.environment() | {"AIRFLOW_HOME": str(REPOSITORY / ".run" / "bench" / "airflow")}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProcessError(f"{name} failed:\n{done.stderr[-4000:]}")
    sample: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    books = bench.books()
    sample |= {
        "photos": size.count,
        "bytes": size.count * size.size,
        "api_calls": api_calls(books) - calls,
        "sandbox_cpu": round(bench.cpu_seconds() - sandbox_cpu, 3),
    }
    if paid:
        check_landed(bench, name, job, size, books)
    return sample


def check_landed(bench: BenchService, name: str, job: Job, size: Size, books: dict[str, Any]) -> None:
    """Hold a contender to its work.

    :raises ProcessError: photos are missing, damaged in size, or were not paid for exactly once.
    """
    landed = bench.results(job.destination)
    if len(landed) != size.count or set(landed) != {size.size}:
        raise ProcessError(
            f"{name} landed {len(landed)} photos of {size.count} in s3://{RESULT_BUCKET}/{job.destination}/"
        )
    if books["credits"]["spent"] != size.count:
        raise ProcessError(f"{name} spent {books['credits']['spent']} credits on {size.count} photos")


def main(name: str, text: str) -> None:
    """Be the contender."""
    module = importlib.import_module(f"tools.bench.contenders.{name}")
    job = Job(**json.loads(text))
    start_wall, start_cpu = time.time() - psutil.Process().create_time(), cpu_seconds()
    start_memory, began = peak_megabytes(), time.monotonic()
    more = module.run(job) or {}
    sample = {
        "wall": time.monotonic() - began,
        "cpu": cpu_seconds() - start_cpu,
        "peak_mb": peak_megabytes(),
        "start_wall": start_wall,
        "start_cpu": start_cpu,
        "start_mb": start_memory,
    }
    print(json.dumps({key: round(value, 3) for key, value in sample.items()} | more))


if __name__ == "__main__":
    main(*sys.argv[1:])
