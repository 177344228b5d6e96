"""What all sections are written with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tools.bench.bars import Sample
from tools.bench.figures import spread


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table; the first column holds words, the others figures."""
    marks = ["---", *("---:" for _ in heads[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, marks, *rows))


def in_words(samples: list[Sample], of: Callable[[Sample], float], digits: int = 1) -> str:
    """Write the median of a figure of some samples, with the range."""
    return spread(of(sample) for sample in samples).written(digits)


def conditions_of(conditions: Mapping[str, Any], *, processing: bool = True) -> str:
    """Write what the sandbox adds and takes."""
    low, high = conditions["processing_seconds"]
    wire = "https on every leg" if conditions["tls"] else "plain http"
    enhancing = f" an enhancement takes {low:g} to {high:g} s," if processing else ""
    return f"{conditions['latency_ms']:g} ms are added to each API call,{enhancing} {wire}."
