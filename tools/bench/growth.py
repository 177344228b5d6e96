"""Part ``growth``: the batch operator with more and more small photos; planned, run, and run again with nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.bench.contender import Size, run_contender
from tools.bench.job import Job
from tools.bench.service import BenchService, Conditions, bench_service
from tools.console import detail, step

#: So many photos take several minutes to enhance: they are in one round of five, and there planned and run again five times.
_RARE, _RARE_EVERY = 10_000, 5
_PHASES = ("plan", "run", "again")


def measure_growth(counts: list[int], size: int, rounds: int, conditions: Conditions, folder: Path) -> dict[str, Any]:
    """Measure; the sizes take turns in each round.

    :param counts: numbers of photos.
    :param size: bytes of each.
    """
    samples: dict[str, dict[str, list[dict[str, Any]]]] = {
        str(count): {each: [] for each in _PHASES} for count in counts
    }
    with bench_service(folder, conditions) as bench:
        for count in counts:
            step(f"Filling the bucket with {count} photos")
            bench.fill(f"in-{count}", count, size)
        for number in range(1, rounds + 1):
            step(f"Round {number} of {rounds}")
            for count in counts:
                rare = count >= _RARE
                if rare and number % _RARE_EVERY != 1:
                    continue
                times = min(rounds, _RARE_EVERY) if rare else 1
                for phase, sample in _night(bench, f"out-{count}-{number}", Size(count, size), times):
                    samples[str(count)][phase].append(sample)
                    detail(f"{count:6} photos: {phase:5} {sample['wall']:7.2f} s")
    return {"sizes": samples}


def _night(bench: BenchService, place: str, work: Size, times: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Plan, run, and run again with nothing changed; yield each phase's name with what it took.

    :param times: how often it is planned, and run again.
    """
    bench.reset()

    def job(run_id: str, *, plan_only: bool = False) -> Job:
        return Job(f"in-{work.count}", place, run_id=run_id, plan_only=plan_only)

    for number in range(times):
        yield "plan", run_contender(bench, "batch", job(f"plan-{number}", plan_only=True), work, paid=False)
    yield "run", run_contender(bench, "batch", job("first"), work)
    for number in range(times):
        again = run_contender(bench, "batch", job(f"again-{number}"), work)
        if again["summary"]["skipped"] != work.count:
            raise SystemExit(f"run again over {work.count} unchanged photos, it skipped {again['summary']['skipped']}")
        yield "again", again
    bench.clear(place)
