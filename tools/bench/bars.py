"""The bars that the provider has set itself, held against what was measured in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.bench.figures import Spread, spread

Sample = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Any]]

MET, NOT_MET, NOT_MEASURED = "met", "not met", "not measured"


@dataclass(frozen=True)
class Bar:
    """One promise in numbers.

    :param measured: in words, empty where it was not.
    """

    what: str
    limit: str
    measured: str
    verdict: str


def rate(sample: Sample) -> float:
    """Photos per second."""
    return float(sample["photos"] / sample["wall"])


def cpu_per_gigabyte(sample: Sample) -> float:
    """Processor seconds per gigabyte of photos that were moved from bucket to bucket."""
    return float(sample["cpu"] / (sample["bytes"] / 1e9))


def wall(sample: Sample) -> float:
    """Seconds."""
    return float(sample["wall"])


def cpu(sample: Sample) -> float:
    """Processor time, in the sample's unit."""
    return float(sample["cpu"])


def memory(sample: Sample) -> float:
    """Peak of resident memory, in MB."""
    return float(sample["peak_mb"])


def memory_of_work(sample: Sample) -> float:
    """What the peak is above what the program, for the batch with all of Airflow, holds before any work, in MB."""
    return float(sample["peak_mb"] - sample["start_mb"])


def ratio(over: list[Sample], under: list[Sample], of: Callable[[Sample], float]) -> Spread:
    """Divide round by round, so that what slowed a whole round down cancels out."""
    return spread(of(one) / of(other) for one, other in zip(over, under, strict=True))


def bars(results: Results) -> list[Bar]:
    """Return all bars.

    :param results: part to its JSON; parts that are missing were not measured.
    """
    return [
        *_throughput(results.get("throughput", {})),
        *_night(results.get("night", {})),
        *_growth(results.get("growth", {})),
        *_waiting(results.get("waiting", {})),
        *_parse(results.get("parse", {})),
        *_conversion(results.get("conversion", {})),
    ]


def _comparing(result: Mapping[str, Any]) -> Callable[..., Bar]:
    """Return what holds two contenders against each other, round by round."""
    taken = result.get("contenders", {})

    def compare(
        what: str, one: str, other: str, of: Callable[[Sample], float], *, most: float = 0.0, least: float = 0.0
    ) -> Bar:
        limit = f"at most {most:.3g} x" if most else f"at least {least:g} x"
        if not (taken.get(one) and taken.get(other)):
            return Bar(what, limit, "", NOT_MEASURED)
        found = ratio(taken[one], taken[other], of)
        good = found.median <= most if most else found.median >= least
        return Bar(what, limit, f"{found.written(2)} x", MET if good else NOT_MET)

    return compare


def _throughput(result: Mapping[str, Any]) -> Iterator[Bar]:
    compare = _comparing(result)
    yield compare("Wall time of the batch, over the floor's", "batch", "floor", wall, most=1.15)
    yield compare(
        "Wall time of the batch with thumbnails, over that without", "batch-thumbnails", "batch", wall, most=1.05
    )
    yield compare(
        "Processor seconds per GB of the batch, over the floor's", "batch", "floor", cpu_per_gigabyte, most=1.3
    )
    yield compare(
        "Photos per second of the batch, over the sequential SDK script's", "batch", "sdk-sequential", rate, least=25
    )
    yield compare(
        "Photos per second of the batch, over the 16-thread SDK script's", "batch", "sdk-threads", rate, least=2
    )
    yield compare(
        "Peak memory of the batch, over the 16-thread SDK script's", "batch", "sdk-threads", memory, most=0.25
    )
    yield compare(
        "The same, of each without what it holds before any work", "batch", "sdk-threads", memory_of_work, most=0.25
    )
    yield compare("Photos per second of the batch, over the mapped DAG's", "batch-dag", "mapped-dag", rate, least=7)


def _night(result: Mapping[str, Any]) -> Iterator[Bar]:
    compare = _comparing(result)
    yield compare("Wall time of a packed night, over the floor's", "packed", "floor", wall, most=1.5)
    yield compare("The same, over that of a task for each listing", "packed", "each", wall, most=1 / 3)


def _growth(result: Mapping[str, Any]) -> Iterator[Bar]:
    sizes = result.get("sizes", {})
    few, many = sizes.get("100"), sizes.get("10000")
    what, limit = "Peak memory at 10,000 photos, above that at 100: planned, run or run again", "at most 25 MB"
    if few and many:
        grown = max(_peak(many, phase) - _peak(few, phase) for phase in ("plan", "run", "again"))
        yield Bar(what, limit, f"{grown:.1f} MB", MET if grown <= 25 else NOT_MET)
    else:
        yield Bar(what, limit, "", NOT_MEASURED)
    for name, words, seconds in (
        ("plan", "Planning 10,000 photos", 3),
        ("again", "A re-run over 10,000 unchanged photos", 10),
    ):
        limit = f"under {seconds} s"
        if not many:
            yield Bar(words, limit, "", NOT_MEASURED)
            continue
        found = spread(wall(each) for each in many[name])
        yield Bar(words, limit, f"{found.written(2)} s", MET if found.median < seconds else NOT_MET)


def _peak(took: Mapping[str, list[Sample]], phase: str) -> float:
    return spread(memory(each) for each in took[phase]).median


def _waiting(result: Mapping[str, Any]) -> Iterator[Bar]:
    taken = result.get("orders", {}).get("5000")
    for what, limit, most, unit, of in (
        ("One core's share that 5,000 waiting orders take", "under 25 %", 25, "%", core_percent),
        ("Loop lag (p99) with 5,000 waiting orders", "under 100 ms", 100, "ms", lag_p99),
    ):
        if not taken:
            yield Bar(what, limit, "", NOT_MEASURED)
            continue
        found = spread(of(sample) for sample in taken)
        yield Bar(what, limit, f"{found.written()} {unit}", MET if found.median < most else NOT_MET)


def core_percent(sample: Sample) -> float:
    """Share of one core, in percent."""
    return float(100 * sample["cpu"] / sample["wall"])


def lag_p99(sample: Sample) -> float:
    """Milliseconds that 99 of 100 beats of the loop did not come later than."""
    return float(sample["lag_p99_ms"])


def _parse(result: Mapping[str, Any]) -> Iterator[Bar]:
    dags = {name: spread(over_twin(found)) for name, found in result.get("dags", {}).items()}
    modules = {name: spread(map(cpu, samples)) for name, samples in result.get("modules", {}).items()}
    for what, found in (
        ("Parsing the dearest example DAG, above its empty twin", dags),
        ("Importing the dearest public module, above Airflow's base classes", modules),
    ):
        if not found:
            yield Bar(what, "at most 15 ms", "", NOT_MEASURED)
            continue
        name, most = max(found.items(), key=lambda each: each[1].median)
        yield Bar(what, "at most 15 ms", f"`{name}` {most.written()} ms", MET if most.median <= 15 else NOT_MET)


def over_twin(found: Mapping[str, list[Sample]]) -> list[float]:
    """Milliseconds of processor time that a DAG file takes above its empty twin, parse by parse."""
    return [cpu(real) - cpu(twin) for real, twin in zip(found["real"], found["twin"], strict=True)]


def _conversion(result: Mapping[str, Any]) -> Iterator[Bar]:
    what, limit = "Peak memory of a conversion, over what is reserved for it", "at most 1 x"
    ratios = {
        name: spread(grown(sample) / sample["promised"] for sample in samples)
        for name, samples in result.get("cases", {}).items()
    }
    if not ratios:
        yield Bar(what, limit, "", NOT_MEASURED)
        return
    name, worst = max(ratios.items(), key=lambda each: each[1].most)
    yield Bar(what, limit, f"{name} {worst.written(2)} x", MET if worst.most <= 1 else NOT_MET)


def grown(sample: Sample) -> float:
    """Peak of resident memory beyond what the process held before, in MB."""
    return float(sample["peak"] - sample["start"])
