"""Part ``throughput``: the same photos from bucket to bucket by each contender in turn, several rounds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.ceiling import ceiling
from tools.bench.contender import Size, run_contender
from tools.bench.dags import BATCH, MAPPED, DagRunner, dag_runner
from tools.bench.job import Job
from tools.bench.service import BenchService, Conditions, bench_service
from tools.console import detail, step

#: Contender to the program that it is; the DAGs run on a live Airflow.
PROGRAMS = {
    "batch": "batch",
    "batch-thumbnails": "batch",
    "floor": "floor",
    "sdk-threads": "sdk",
    "sdk-sequential": "sdk",
}
DAG_RUNS = {"batch-dag": BATCH, "mapped-dag": MAPPED}
CONTENDERS = (*PROGRAMS, *DAG_RUNS)
SLOW = ("sdk-sequential", "mapped-dag")


@dataclass(frozen=True)
class Throughput:
    """What is measured.

    :param fast: the work of those that move many photos at a time.
    :param slow: the work of the sequential script and of the mapped DAG, which are compared by rate.
    """

    fast: Size
    slow: Size
    rounds: int
    contenders: tuple[str, ...]
    concurrency: int = 16
    poll_seconds: float = 1.0

    def size(self, contender: str) -> Size:
        """How much a contender has to do."""
        return self.slow if contender in SLOW else self.fast


def measure_throughput(
    plan: Throughput, conditions: Conditions, folder: Path, keep: Callable[[dict[str, Any]], None]
) -> None:
    """Measure; all contenders take their turn in each round.

    :param keep: is given all that was measured so far, after each round.
    """
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in plan.contenders}
    with bench_service(folder, conditions) as bench, ExitStack() as stack:
        step(f"Filling the bucket with {plan.fast.count} and {plan.slow.count} photos")
        bench.fill("fast", plan.fast.count, plan.fast.size)
        bench.fill("slow", plan.slow.count, plan.slow.size)
        step("Measuring what the sandbox itself can do")
        limits = ceiling(bench, plan.concurrency, plan.fast.size)
        runner = None
        if set(plan.contenders) & set(DAG_RUNS):
            step("Starting an Airflow with a LocalExecutor")
            runner = stack.enter_context(dag_runner(bench, folder, concurrency=plan.concurrency))
        for number in range(1, plan.rounds + 1):
            step(f"Round {number} of {plan.rounds}")
            # There and back again, so that none always follows the same one, and works beside what that has left to be done.
            for name in plan.contenders if number % 2 else reversed(plan.contenders):
                sample = _once(bench, runner, plan, name, number)
                samples[name].append(sample)
                detail(f"{name:15} {sample['photos'] / sample['wall']:7.2f} photos/s {sample['cpu']:7.2f} s CPU")
            keep({"contenders": samples, "ceiling": limits})


def _once(bench: BenchService, runner: DagRunner | None, plan: Throughput, name: str, number: int) -> dict[str, Any]:
    size = plan.size(name)
    bench.reset()
    job = Job(
        source="slow" if name in SLOW else "fast",
        destination=f"{name}-{number}",
        concurrency=1 if name == "sdk-sequential" else plan.concurrency,
        poll_seconds=plan.poll_seconds,
        thumbnails=name == "batch-thumbnails",
    )
    try:
        if name in DAG_RUNS:
            assert runner is not None
            params = {"preview": False, "settings": {}} if name == "mapped-dag" else {}
            return runner.run(DAG_RUNS[name], job, size, params)
        return run_contender(bench, PROGRAMS[name], job, size)
    finally:
        bench.clear(job.destination)
