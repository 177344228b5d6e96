"""Read what ``python -X importtime`` writes: what each module of a DAG file took, and which of them its empty twin does without."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tools.bench.parser import MARK

PACKAGE = "airflow_provider_autoenhance"
_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)$")

#: Module to the milliseconds of its own, without what it imports.
Times = Mapping[str, float]


def modules_of(text: str) -> dict[str, Times]:
    """Return the modules that each target was the first to load, with the median of what they took.

    :param text: what ``tools.bench.parser`` under ``-X importtime`` has written to stderr.
    """
    taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    file = ""
    for line in text.splitlines():
        if line.startswith(MARK):
            file = line.removeprefix(MARK)
            taken[file]  # also where it loads nothing
        elif file and (found := _LINE.match(line)):
            taken[file][found[2]].append(int(found[1]) / 1e3)
    return {
        file: {module: statistics.median(times) for module, times in modules.items()} for file, modules in taken.items()
    }


def beyond(real: Times, twin: Times) -> dict[str, Any]:
    """Sum up what a DAG file loads and its twin does not: modules of the provider, those of others, and the dearest of all."""
    more = {module: taken for module, taken in real.items() if module not in twin}
    ours = {module: taken for module, taken in more.items() if module.partition(".")[0] == PACKAGE}
    dearest = max(more, key=lambda module: more[module], default="")
    return {
        "modules": len(ours),
        "ms": round(sum(ours.values()), 2),
        "other_modules": len(more) - len(ours),
        "other_ms": round(sum(more.values()) - sum(ours.values()), 2),
        "dearest": dearest,
        "dearest_ms": round(more.get(dearest, 0.0), 2),
    }
