"""Section of the part ``parse``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tools.bench.bars import cpu, over_twin, wall
from tools.bench.figures import spread
from tools.bench.importtime import PACKAGE
from tools.bench.sections.words import in_words, markdown_table


def parse(result: Mapping[str, Any]) -> Iterator[str]:
    """Write the section."""
    plan = result["plan"]
    yield "## Import and parse\n"
    yield (
        "Each example DAG against its empty twin: the same file, with Airflow's own empty operators where it uses the provider. Each is "
        f"parsed in a fork of an interpreter that has loaded the base classes of Airflow, as in the DAG processor; {plan['times']} times "
        f"by turns in each of {plan['rounds']} interpreters, with everything compiled. Parsing only computes, so its processor time is "
        "what it takes on a quiet machine; *above* is that of the file less that of its twin.\n"
    )
    rows = [
        (
            f"`{name}`",
            in_words(found["real"], cpu),
            in_words(found["twin"], cpu),
            spread(over_twin(found)).written(),
            in_words(found["real"], wall),
            in_words(found["twin"], wall),
        )
        for name, found in result["dags"].items()
    ]
    yield markdown_table(("DAG file", "CPU ms", "twin's", "above", "wall ms", "twin's"), rows) + "\n"
    yield (
        "What Airflow's DAG processor itself notes as a file's parse time (with its fork, the serialization, and the hand-over), and what "
        "the file imports that its twin does not, as `python -X importtime` shows (which makes imports slower):\n"
    )
    rows = [
        (
            f"`{name}`",
            spread(found["processor"]["real"]).written(0),
            spread(found["processor"]["twin"]).written(0),
            f"{found['imports']['ms']:.1f} ({found['imports']['modules']})",
            f"{found['imports']['other_ms']:.1f} ({found['imports']['other_modules']})",
            _dearest(found["imports"]),
        )
        for name, found in result["dags"].items()
    ]
    heads = ("DAG file", "processor ms", "twin's", "our modules ms (n)", "others ms (n)", "the dearest of them")
    yield markdown_table(heads, rows) + "\n"
    yield "What importing each public module adds to such an interpreter once it has loaded Airflow's base class of triggers too:\n"
    modules = [
        (f"`{module}`", in_words(samples, cpu), in_words(samples, wall))
        for module, samples in result["modules"].items()
    ]
    yield markdown_table(("module", "CPU ms", "wall ms"), modules) + "\n"


def _dearest(imports: Mapping[str, Any]) -> str:
    if not imports["dearest"]:
        return "-"
    return f"`{imports['dearest'].removeprefix(PACKAGE + '.')}` {imports['dearest_ms']:.1f} ms"
