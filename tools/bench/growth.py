"""Part ``growth``: the batch operator with more and more small photos; planned, run, and run again with nothing changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.bench.contender import Size, run_contender
from tools.bench.job import Job
from tools.bench.service import Conditions, bench_service
from tools.console import detail, step

#: So many photos take several minutes: they have a turn in one round of five.
_RARE, _RARE_EVERY = 10_000, 5


def measure_growth(counts: list[int], size: int, rounds: int, conditions: Conditions, folder: Path) -> dict[str, Any]:
    """Measure; the sizes take turns in each round.

    :param counts: numbers of photos.
    :param size: bytes of each.
    """
    samples: dict[str, list[dict[str, Any]]] = {str(count): [] for count in counts}
    with bench_service(folder, conditions) as bench:
        for count in counts:
            step(f"Filling the bucket with {count} photos")
            bench.fill(f"in-{count}", count, size)
        for number in range(1, rounds + 1):
            step(f"Round {number} of {rounds}")
            for count in counts:
                if count >= _RARE and number % _RARE_EVERY != 1:
                    continue
                bench.reset()
                place, work = f"out-{count}-{number}", Size(count, size)

                def job(run_id: str, *, plan_only: bool = False, count: int = count, place: str = place) -> Job:
                    return Job(f"in-{count}", place, run_id=run_id, plan_only=plan_only)

                plan = run_contender(bench, "batch", job("plan", plan_only=True), work, lands=False)
                first = run_contender(bench, "batch", job("first"), work)
                again = run_contender(bench, "batch", job("second"), work)
                if again["summary"]["skipped"] != count:
                    raise SystemExit(
                        f"the second run over {count} unchanged photos skipped {again['summary']['skipped']}"
                    )
                samples[str(count)].append({"plan": plan, "run": first, "again": again})
                detail(
                    f"{count:6} photos: {plan['wall']:.2f} s planned, {first['wall']:.1f} s run, {again['wall']:.2f} s again"
                )
                bench.clear(place)
    return {"sizes": samples}
