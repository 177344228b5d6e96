"""Section of the part ``throughput``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tools.bench.bars import Sample, cpu_per_gigabyte, memory, rate, wall
from tools.bench.figures import spread
from tools.bench.sections.words import conditions_of, in_words, markdown_table

NAMES = {
    "batch": "`AutoenhanceEnhanceOperator`",
    "batch-thumbnails": "the same, with thumbnails of each photo before and after",
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

_OBSTORE = (
    "obstore, a compiled client, was tried for the two legs to S3 (100 photos of 8 MB, 16 at a time, over TLS, beside other work: "
    "only the ratios hold) and is not taken. It took 3.4 CPU s/GB to read where botocore, as it is used here, took 2.2; and to "
    "write 1.9 in one PUT, for which it holds the whole photo in memory, or 3.0 in parts, where botocore took 2.9 and streams. At "
    "best that is a fifth off these two legs, and less off the whole; and its puts take no MD5 that the store would check.\n"
)


def throughput(result: Mapping[str, Any]) -> Iterator[str]:
    """Write the section."""
    plan, conditions = result["plan"], result["conditions"]
    yield "## Throughput and cost\n"
    taken: dict[str, list[Sample]] = result["contenders"]
    fast, slow, rounds = plan["fast"], plan["slow"], min(map(len, taken.values()), default=0)
    yield (
        f"{fast['count']} photos of {fast['size'] / 1e6:g} MB from S3 through Autoenhance to S3, {plan['concurrency']} at a time, "
        f"{rounds} rounds in turns. {conditions_of(conditions)} All look every {plan['poll_seconds']:g} s whether "
        f"enhancements are ready. The sequential script and the mapped DAG move {slow['count']} photos and are compared by rate. "
        "Only one makes thumbnails.\n"
    )
    heads = ("", "photos/s", "wall s", "CPU s", "CPU s/GB", "peak MB", "API calls/photo", "Airflow tasks")
    rows = [
        (
            NAMES[name],
            in_words(samples, rate, 2),
            in_words(samples, wall),
            in_words(samples, lambda sample: sample["cpu"], 2),
            in_words(samples, cpu_per_gigabyte, 2),
            in_words(samples, memory, 0),
            in_words(samples, lambda sample: sample["api_calls"] / sample["photos"], 2),
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
            in_words(samples, lambda sample: sample["start_wall"]),
            in_words(samples, lambda sample: sample["start_cpu"]),
            in_words(samples, lambda sample: sample["start_mb"], 0),
        )
        for name, samples in taken.items()
        if "start_mb" in samples[0]
    ]
    yield markdown_table(("", "seconds", "CPU s", "MB"), starts) + "\n"
    yield from _airflow_alone(taken)
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
            in_words(samples, lambda sample: sample["sandbox_cpu"] / sample["photos"], 3),
        )
        for name, samples in taken.items()
    ]
    yield markdown_table(("", "sandbox"), [*legs, *cost]) + "\n"
    yield _OBSTORE


def _airflow_alone(taken: Mapping[str, list[Sample]]) -> Iterator[str]:
    """Say why the bar on whole memory is out of reach, where it is."""
    if not (taken.get("batch") and taken.get("sdk-threads")):
        return
    held = spread(float(sample["start_mb"]) for sample in taken["batch"]).median
    share = held / spread(map(memory, taken["sdk-threads"])).median
    if share > 0.25:
        yield (
            f"Airflow alone holds {held:.0f} MB before any work, {share:.2f} x the peak of the SDK script with 16 threads: "
            "a quarter of that peak is out of reach of any task.\n"
        )
