"""Writes ``docs/performance.md`` from what was measured. Nothing in that page is written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tools.bench.bars import (
    NOT_MEASURED,
    Results,
    Sample,
    bars,
    core_percent,
    cpu_per_gigabyte,
    lag_p99,
    memory,
    rate,
    wall,
)
from tools.bench.figures import spread

NAMES = {
    "batch": "`AutoenhanceEnhanceOperator`",
    "floor": "the floor: the same exchanges in a bare loop",
    "sdk-threads": "the vendor's SDK, script with 16 threads",
    "sdk-sequential": "the vendor's SDK, script photo by photo",
    "batch-dag": "`AutoenhanceEnhanceOperator` in a DAG run",
    "mapped-dag": "four mapped tasks per photo in a DAG run",
}
_LEGS = {
    "api_calls_per_second": "API calls per second",
    "bucket_get_mb_per_second": "reading from the bucket, MB/s",
    "upload_mb_per_second": "uploads to Autoenhance, MB/s",
    "download_mb_per_second": "downloads from Autoenhance, MB/s",
    "bucket_put_mb_per_second": "writing to the bucket, MB/s",
}
_INTRODUCTION = """# Performance

Measured, and this page written, by `make bench`; don't edit it. Each table gives the median of the rounds, with the range.
The far side is the [sandbox](sandbox.md), which hands uploads back as they are; it shares the processor with what is measured.
"""


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table; the first column holds words, the others figures."""
    marks = ["---", *("---:" for _ in heads[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, marks, *rows))


def page(results: Results) -> str:
    """Return the page.

    :param results: part to its JSON, of the parts that were measured.
    """
    sections = [_INTRODUCTION, _bars(results)]
    for name, write in (("throughput", _throughput), ("growth", _growth), ("waiting", _waiting)):
        if name in results:
            sections += ["\n".join(write(results[name])), _measured(results[name]["machine"])]
    return "\n".join(sections).rstrip() + "\n"


def _bars(results: Results) -> str:
    rows = [(bar.what, bar.limit, bar.measured or "-", _bold(bar.verdict)) for bar in bars(results)]
    return "## What should hold\n\n" + markdown_table(("bar", "limit", "measured", "verdict"), rows) + "\n"


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict not in ("met", NOT_MEASURED) else verdict


def _told(samples: list[Sample], of: Callable[[Sample], float], digits: int = 1) -> str:
    return spread(of(sample) for sample in samples).written(digits)


def _throughput(result: Mapping[str, Any]) -> Iterator[str]:
    plan, conditions = result["plan"], result["conditions"]
    yield "## Throughput and cost\n"
    taken: dict[str, list[Sample]] = result["contenders"]
    fast, slow, rounds = plan["fast"], plan["slow"], min(map(len, taken.values()), default=0)
    yield (
        f"{fast['count']} photos of {fast['size'] / 1e6:g} MB from S3 through Autoenhance to S3, {plan['concurrency']} at a time, "
        f"{rounds} rounds in turns. {_conditions(conditions)} All look every {plan['poll_seconds']:g} s whether "
        f"enhancements are ready. The sequential script and the mapped DAG move {slow['count']} photos and are compared by rate.\n"
    )
    heads = ("", "photos/s", "wall s", "CPU s", "CPU s/GB", "peak MB", "API calls/photo", "Airflow tasks")
    rows = [
        (
            NAMES[name],
            _told(samples, rate, 2),
            _told(samples, wall),
            _told(samples, lambda sample: sample["cpu"], 2),
            _told(samples, cpu_per_gigabyte, 2),
            _told(samples, memory, 0),
            _told(samples, lambda sample: sample["api_calls"] / sample["photos"], 2),
            f"{samples[0]['tasks']}",
        )
        for name, samples in taken.items()
    ]
    yield markdown_table(heads, rows) + "\n"
    yield (
        "Programs count from the moment at which what they import at their top has been loaded (for the operator that is "
        "Airflow); what they load later counts. Loading takes, and holds before any work:\n"
    )
    starts = [
        (
            NAMES[name],
            _told(samples, lambda sample: sample["start_wall"]),
            _told(samples, lambda sample: sample["start_cpu"]),
            _told(samples, lambda sample: sample["start_mb"], 0),
        )
        for name, samples in taken.items()
        if "start_mb" in samples[0]
    ]
    yield markdown_table(("", "seconds", "CPU s", "MB"), starts) + "\n"
    if any("dag" in name for name in taken):
        yield (
            "DAG runs count from being queued to their end; processor time and memory are those of all of Airflow's processes "
            "together, what they share counted in each.\n"
        )
    yield "What the sandbox itself can do, asked by 16 threads on the same machine, and the processor time it took of each photo:\n"
    legs = [(_LEGS[name], f"{value:,.0f}") for name, value in result["ceiling"].items()]
    cost = [
        (
            f"sandbox CPU s per photo under {NAMES[name]}",
            _told(samples, lambda sample: sample["sandbox_cpu"] / sample["photos"], 3),
        )
        for name, samples in taken.items()
    ]
    yield markdown_table(("", "sandbox"), [*legs, *cost]) + "\n"


def _growth(result: Mapping[str, Any]) -> Iterator[str]:
    yield "## Growth, and running again\n"
    yield (
        f"`AutoenhanceEnhanceOperator` with photos of {result['plan']['size'] / 1e3:g} kB, {result['plan']['rounds']} rounds in turns. "
        f"{_conditions(result['conditions'])} First only planned, then run, then run again by another DAG run with nothing changed.\n"
    )
    rows = [
        (
            f"{int(count):,}",
            _told([each["plan"] for each in samples], wall, 2),
            _told([each["run"] for each in samples], wall),
            _told([each["run"] for each in samples], memory, 0),
            _told([each["run"] for each in samples], lambda sample: sample["api_calls"] / sample["photos"], 2),
            _told([each["again"] for each in samples], wall, 2),
            _told([each["again"] for each in samples], lambda sample: sample["api_calls"], 0),
        )
        for count, samples in result["sizes"].items()
    ]
    heads = ("photos", "planning s", "run s", "peak MB", "API calls/photo", "run again s", "API calls of it")
    yield markdown_table(heads, rows) + "\n"


def _waiting(result: Mapping[str, Any]) -> Iterator[str]:
    plan, conditions = result["plan"], _conditions(result["conditions"], processing=False)
    yield "## Waiting\n"
    yield (
        f"Order triggers, one per order, in one event loop, polling every {plan['poll_seconds']:g} s as far as the connection's default of "
        f"50 requests per second allows; nothing gets ready. {conditions} Watched for {plan['seconds']:g} s, "
        f"{plan['rounds']} rounds in turns.\n"
    )
    rows = [
        (
            f"{int(count):,}",
            _told(samples, core_percent),
            _told(samples, memory, 0),
            _told(samples, lambda sample: sample["lag_p50_ms"], 2),
            _told(samples, lag_p99, 2),
            _told(samples, lambda sample: sample["polls"] / sample["wall"]),
        )
        for count, samples in result["orders"].items()
    ]
    heads = ("orders", "% of a core", "peak MB", "loop lag p50 ms", "loop lag p99 ms", "polls/s")
    yield markdown_table(heads, rows) + "\n"


def _conditions(conditions: Mapping[str, Any], *, processing: bool = True) -> str:
    low, high = conditions["processing_seconds"]
    wire = "https on every leg" if conditions["tls"] else "plain http"
    enhancing = f" an enhancement takes {low:g} to {high:g} s," if processing else ""
    return f"{conditions['latency_ms']:g} ms are added to each API call,{enhancing} {wire}."


def _measured(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    text = (
        f"Measured {machine['date']} at {machine['commit']} with `{machine['command']}` on {machine['cores']} cores "
        f"({machine['processor']}), {machine['memory_gb']:g} GB, {machine['system']}; Python {machine['python']}, {versions}."
    )
    if machine["load_before"] > 0.25 * machine["cores"]:
        text += (
            f" **The machine was busy with other work** (load {machine['load_before']:g} before this began): "
            "seconds are too high, and ratios less sure than on a quiet one."
        )
    return text + "\n"
