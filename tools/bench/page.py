"""Writes ``docs/performance.md`` from what was measured. Nothing in that page is written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tools.bench.bars import NOT_MEASURED, Results, bars
from tools.bench.sections.conversion import conversion
from tools.bench.sections.growth import growth
from tools.bench.sections.night import night
from tools.bench.sections.parse import parse
from tools.bench.sections.throughput import throughput
from tools.bench.sections.waiting import waiting
from tools.bench.sections.words import markdown_table

#: Part to its section, in their order.
SECTIONS: Final = {
    "throughput": throughput,
    "night": night,
    "growth": growth,
    "waiting": waiting,
    "parse": parse,
    "conversion": conversion,
}
_INTRODUCTION = """# Performance

Measured, and this page written, by `make bench`; don't edit it. Each table gives the median of the rounds, with the range.
The far side is the [sandbox](sandbox.md), which hands uploads back as they are; it shares the processor with what is measured.
"""


def page(results: Results) -> str:
    """Return the page.

    :param results: part to its JSON, of the parts that were measured.
    """
    sections = [_INTRODUCTION, _bars(results)]
    for name, write in SECTIONS.items():
        if name in results:
            sections += ["\n".join(write(results[name])), _measured(results[name]["machine"])]
    return "\n".join(sections).rstrip() + "\n"


def _bars(results: Results) -> str:
    rows = [(bar.what, bar.limit, bar.measured or "-", _bold(bar.verdict)) for bar in bars(results)]
    return "## What should hold\n\n" + markdown_table(("bar", "limit", "measured", "verdict"), rows) + "\n"


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict not in ("met", NOT_MEASURED) else verdict


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
