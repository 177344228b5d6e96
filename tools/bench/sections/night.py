"""Section of the part ``night``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tools.bench.bars import Sample, cpu, wall
from tools.bench.sections.words import conditions_of, in_words, markdown_table

_NAMES = {
    "packed": "the nightly DAG, listings packed into as many tasks as can work at once",
    "each": "the nightly DAG, a task for each listing (`tasks` = their number)",
    "batch": "one `AutoenhanceEnhanceOperator` over all of it, in a process",
    "floor": "the floor: the same exchanges in a bare loop",
}


def night(result: Mapping[str, Any]) -> Iterator[str]:
    """Write the section."""
    plan, conditions = result["plan"], result["conditions"]
    taken: dict[str, list[Sample]] = result["contenders"]
    yield "## A night of many listings\n"
    yield (
        f"{plan['listings']} listings of {plan['photos']} photos of {plan['size'] / 1e6:g} MB, on an Airflow with a LocalExecutor for "
        f"{plan['slots']} tasks at a time, {min(map(len, taken.values()), default=0)} rounds in turns. {conditions_of(conditions)}\n"
    )
    heads = ("", "wall s", "CPU s", "Airflow tasks")
    rows = [
        (_NAMES[name], in_words(samples, wall), in_words(samples, cpu), f"{samples[0]['tasks']}")
        for name, samples in taken.items()
    ]
    yield markdown_table(heads, rows) + "\n"
    yield (
        "DAG runs count from being queued to their end; processor time is that of all of Airflow's processes together. "
        "Each mapped task costs Airflow its start, twice where it was deferred, whatever it holds.\n"
    )
