"""Section of the part ``growth``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tools.bench.bars import memory, wall
from tools.bench.sections.words import conditions_of, in_words, markdown_table


def growth(result: Mapping[str, Any]) -> Iterator[str]:
    """Write the section."""
    yield "## Growth, and running again\n"
    yield (
        f"`AutoenhanceEnhanceOperator` with photos of {result['plan']['size'] / 1e3:g} kB, in turns. "
        f"{conditions_of(result['conditions'])} First only planned, then run, then run again by another DAG run with nothing changed. "
        "The connection's default of 50 API requests per second bounds the big runs.\n"
    )
    rows = [
        (
            f"{int(count):,}",
            in_words(took["plan"], wall, 2),
            in_words(took["run"], wall),
            in_words(took["run"], memory, 0),
            in_words(took["run"], lambda sample: sample["api_calls"] / sample["photos"], 2),
            in_words(took["again"], wall, 2),
            in_words(took["again"], memory, 0),
            in_words(took["again"], lambda sample: sample["api_calls"], 0),
            f"{len(took['run'])}",
            f"{len(took['again'])}",
        )
        for count, took in result["sizes"].items()
    ]
    heads = (
        "photos",
        "planning s",
        "run s",
        "peak MB",
        "API calls/photo",
        "run again s",
        "peak MB",
        "API calls",
        "runs",
        "again",
    )
    yield markdown_table(heads, rows) + "\n"
