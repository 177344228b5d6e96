"""Section of the part ``waiting``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tools.bench.bars import core_percent, lag_p99, memory
from tools.bench.sections.words import conditions_of, in_words, markdown_table


def waiting(result: Mapping[str, Any]) -> Iterator[str]:
    """Write the section."""
    plan, conditions = result["plan"], conditions_of(result["conditions"], processing=False)
    yield "## Waiting\n"
    yield (
        f"Order triggers, one per order, in one event loop, polling every {plan['poll_seconds']:g} s as far as the connection's default of "
        f"50 requests per second allows; nothing gets ready. {conditions} Watched for {plan['seconds']:g} s, "
        f"{plan['rounds']} rounds in turns.\n"
    )
    rows = [
        (
            f"{int(count):,}",
            in_words(samples, core_percent),
            in_words(samples, memory, 0),
            in_words(samples, lambda sample: sample["lag_p50_ms"], 2),
            in_words(samples, lag_p99, 2),
            in_words(samples, lambda sample: sample["polls"] / sample["wall"]),
        )
        for count, samples in result["orders"].items()
    ]
    heads = ("orders", "% of a core", "peak MB", "loop lag p50 ms", "loop lag p99 ms", "polls/s")
    yield markdown_table(heads, rows) + "\n"
