"""Part ``night``: a night of many small listings on a live Airflow, packed and not, beside the same photos without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.contender import Size, run_contender
from tools.bench.dags import NIGHTLY, DagRunner, dag_runner
from tools.bench.job import Job
from tools.bench.service import BenchService, Conditions, bench_service
from tools.console import detail, step

PROGRAMS = {"batch": "batch", "floor": "floor"}
PACKED, EACH = "packed", "each"
CONTENDERS = (PACKED, EACH, *PROGRAMS)
_SOURCE = "night"


@dataclass(frozen=True)
class Night:
    """What is measured.

    :param photos: of each listing.
    :param size: bytes of a photo.
    :param slots: tasks that Airflow's LocalExecutor works on at a time.
    """

    listings: int
    photos: int
    size: int
    rounds: int
    contenders: tuple[str, ...]
    slots: int = 4
    concurrency: int = 16
    poll_seconds: float = 1.0

    @property
    def work(self) -> Size:
        """All photos of the night."""
        return Size(self.listings * self.photos, self.size)


def measure_night(plan: Night, conditions: Conditions, folder: Path, keep: Callable[[dict[str, Any]], None]) -> None:
    """Measure; all contenders take their turn in each round.

    :param keep: is given all that was measured so far, after each round.
    """
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in plan.contenders}
    with bench_service(folder, conditions) as bench:
        step(f"Filling the bucket with {plan.listings} listings of {plan.photos} photos")
        for listing in range(plan.listings):
            bench.fill(f"{_SOURCE}/{listing:04}", plan.photos, plan.size)
        step("Starting an Airflow with a LocalExecutor")
        with dag_runner(bench, folder, concurrency=plan.slots, dags=(NIGHTLY,)) as runner:
            runner.settle(NIGHTLY)
            for number in range(1, plan.rounds + 1):
                step(f"Round {number} of {plan.rounds}")
                for name in plan.contenders if number % 2 else reversed(plan.contenders):
                    sample = _once(bench, runner, plan, name, number)
                    samples[name].append(sample)
                    detail(f"{name:8} {sample['wall']:7.2f} s {sample['cpu']:7.2f} s CPU")
                keep({"contenders": samples})


def _once(bench: BenchService, runner: DagRunner, plan: Night, name: str, number: int) -> dict[str, Any]:
    bench.reset()
    job = Job(_SOURCE, f"{name}-{number}", concurrency=plan.concurrency, poll_seconds=plan.poll_seconds)
    try:
        if name in PROGRAMS:
            return run_contender(bench, PROGRAMS[name], job, plan.work)
        tasks = plan.listings if name == EACH else None
        return runner.run(NIGHTLY, job, plan.work, {"preview": False, "tasks": tasks})
    finally:
        bench.clear(job.destination)
