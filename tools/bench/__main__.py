"""``make bench``: measure, keep the figures as JSON in ``.run/bench``, and write ``docs/performance.md`` from them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.airflow_home import REPOSITORY, RUN
from tools.bench.contender import Size
from tools.bench.conversion import AT_ONCE, CASES, SIZE, measure_conversion
from tools.bench.machine import described
from tools.bench.night import CONTENDERS as NIGHT_CONTENDERS
from tools.bench.night import Night, measure_night
from tools.bench.page import page
from tools.bench.service import Conditions
from tools.bench.throughput import CONTENDERS, Throughput, measure_throughput
from tools.console import problem, step
from tools.processes import ProcessError, leave_on_signals

FOLDER = RUN / "bench"
PAGE = REPOSITORY / "docs" / "performance.md"
PARTS = ("throughput", "night", "growth", "waiting", "parse", "conversion")


def main(words: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    arguments = _parser().parse_args(words)
    unknown = set(arguments.parts) - {*PARTS, "page"}
    if unknown:
        problem(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)} and page")
        return 2
    leave_on_signals()
    machine = described()  # before the first part makes it busy itself
    try:
        for part in arguments.parts:
            if part != "page":
                step(f"Part {part}")
                _measure(part, arguments, machine)
    except ProcessError as error:
        problem(str(error))
        return 1
    results = {part: json.loads(_file(part).read_text()) for part in PARTS if _file(part).exists()}
    arguments.page.write_text(page(results), encoding="utf-8")
    step(f"Written: {arguments.page}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    add = parser.add_argument
    add(
        "parts",
        nargs="*",
        default=list(PARTS),
        help=f"{', '.join(PARTS)}; page: only write the page (default all)",
    )
    add("--rounds", type=int, default=5, help="rounds of each part (%(default)s)")
    add("--page", type=Path, default=PAGE, help="the file to write (docs/performance.md)")
    add("--latency-ms", type=float, default=50.0, help="added to each API call (%(default)s)")
    add("--processing-seconds", type=_numbers, default=[2.0, 5.0], metavar="MIN,MAX", help="of an enhancement (2,5)")
    add("--no-tls", action="store_true", help="plain http instead of https")
    group = parser.add_argument_group("throughput").add_argument
    group("--photos", type=int, default=200, help="photos of the fast contenders (%(default)s)")
    group("--megabytes", type=float, default=8.0, help="size of a photo (%(default)s)")
    group("--slow-photos", type=int, default=5, help="photos of the sequential script and the mapped DAG (%(default)s)")
    group("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="those to measure (all)")
    group = parser.add_argument_group("night").add_argument
    group("--listings", type=int, default=200, help="listings of the night (%(default)s)")
    group("--photos-each", type=int, default=5, help="photos of a listing (%(default)s)")
    group("--photo-megabytes", type=float, default=1.0, help="size of a photo (%(default)s)")
    group("--ways", nargs="+", choices=NIGHT_CONTENDERS, default=list(NIGHT_CONTENDERS), help="those to measure (all)")
    group = parser.add_argument_group("growth").add_argument
    group(
        "--sizes",
        type=_counts,
        default=[10, 100, 1000, 10000],
        metavar="N,N",
        help="numbers of photos (10,100,1000,10000); 10000 in one round of five",
    )
    group("--kilobytes", type=float, default=200.0, help="size of a photo (%(default)s)")
    group = parser.add_argument_group("waiting").add_argument
    group(
        "--orders",
        type=_counts,
        default=[1, 100, 1000, 5000],
        metavar="N,N",
        help="numbers of orders (1,100,1000,5000)",
    )
    group("--seconds", type=float, default=30.0, help="how long to look (%(default)s)")
    group("--poll-seconds", type=float, default=20.0, help="between polls of an order (%(default)s)")
    group = parser.add_argument_group("parse").add_argument
    group("--times", type=int, default=15, help="how often each file is parsed in a round (%(default)s)")
    group = parser.add_argument_group("conversion").add_argument
    group("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=f"of {', '.join(CASES)} (all)")
    return parser


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split(",")]


def _counts(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _measure(part: str, arguments: argparse.Namespace, machine: dict[str, Any]) -> None:
    from tools.bench.growth import measure_growth
    from tools.bench.parse import measure_parse
    from tools.bench.waiting import measure_waiting

    low, high = arguments.processing_seconds
    conditions = Conditions(arguments.latency_ms, (low, high), tls=not arguments.no_tls)
    about: dict[str, Any] = {"machine": machine, "conditions": asdict(conditions)}
    folder, rounds = FOLDER / part, arguments.rounds
    if part == "throughput":
        size = int(arguments.megabytes * 1e6)
        fast, slow = Size(arguments.photos, size), Size(arguments.slow_photos, size)
        plan = Throughput(fast, slow, rounds, tuple(arguments.contenders))
        about["plan"] = asdict(plan)
        measure_throughput(plan, conditions, folder, lambda measured: _keep(part, {**about, **measured}))
    elif part == "night":
        size, ways = int(arguments.photo_megabytes * 1e6), tuple(arguments.ways)
        night = Night(arguments.listings, arguments.photos_each, size, rounds, ways)
        about["plan"] = asdict(night)
        measure_night(night, conditions, folder, lambda measured: _keep(part, {**about, **measured}))
    elif part == "growth":
        size = int(arguments.kilobytes * 1e3)
        about["plan"] = {"size": size, "rounds": rounds}
        _keep(part, {**about, **measure_growth(arguments.sizes, size, rounds, conditions, folder)})
    elif part == "parse":
        about["plan"] = {"rounds": rounds, "times": arguments.times}
        _keep(part, {**about, **measure_parse(rounds, arguments.times, folder)})
    elif part == "conversion":
        about["plan"] = {"rounds": rounds, "size": SIZE, "at_once": AT_ONCE}
        _keep(part, {**about, **measure_conversion(arguments.cases, rounds, folder)})
    else:
        seconds, poll_seconds = arguments.seconds, arguments.poll_seconds
        about["plan"] = {"seconds": seconds, "poll_seconds": poll_seconds, "rounds": rounds}
        measured = measure_waiting(arguments.orders, seconds, rounds, poll_seconds, conditions, folder)
        _keep(part, {**about, **measured})


def _file(part: str) -> Path:
    return FOLDER / f"{part}.json"


def _keep(part: str, result: dict[str, Any]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    _file(part).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    sys.exit(main())
