"""``make e2e-celery``: the services of docker-compose.yaml, run natively on loopback and attacked; books and files checked each night."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from urllib.parse import urlsplit

from tools import e2e, e2e_events
from tools.airflow_home import RUN
from tools.celery import triggerers
from tools.celery.cluster import CeleryAirflow
from tools.celery.door import Door
from tools.celery.examples import NAME as EXAMPLES
from tools.celery.examples import play_examples
from tools.celery.scenarios import BRIEFLY, NIGHTS, scenarios
from tools.console import problem, step
from tools.e2e import Scenario
from tools.kitchen import Kitchen
from tools.local_service import LocalService, start_local_service
from tools.processes import Children, ProcessError, run_command

FOLDER = RUN / "e2e-celery"
_PROCESSING = [3, 6]  # seconds, from and to
_CREDITS = 100_000  # for all nights together


def play_all(children: Children, scenarios: Sequence[Scenario], more: Collection[str]) -> int:
    """Play what is asked for; return the exit status.

    :param more: names of what is to be played beside the nights.
    """
    rows: list[list[str]] = []
    outcomes: dict[str, list[str]] = {}
    if triggerers.NAME in more:
        outcomes[triggerers.NAME] = _played(partial(triggerers.play, children, FOLDER / "triggerers"))
    if set(more) - {triggerers.NAME}:
        rows, found = _play_on_cluster(children, scenarios, more)
        outcomes |= found
    return e2e.report(FOLDER, rows, outcomes)


def _play_on_cluster(
    children: Children, scenarios: Sequence[Scenario], more: Collection[str]
) -> tuple[list[list[str]], dict[str, list[str]]]:
    """Start everything, and play each scenario; return the rows of the table, and the problems of each."""
    step("Starting the sandbox: a local Autoenhance, and an S3 beside it")
    with ExitStack() as temporary, Children() as ours, Door() as s3:
        options = f"--render copy --daily-limit 0 --credits {_CREDITS} --allow-host 127.0.0.1:{s3.port}".split()
        processing = "{},{}".format(*_PROCESSING)
        service = start_local_service(children, FOLDER, processing_seconds=processing, more=options)
        s3.leads_to = urlsplit(service.s3().meta.endpoint_url).port or 0
        with ThreadPoolExecutor(1) as beside:  # Airflow takes its time to start
            filled = beside.submit(e2e.fill, service, list(scenarios))
            kitchen = Kitchen(ours, temporary, FOLDER)
            airflow = CeleryAirflow.started(kitchen, FOLDER, service, s3, scheduling=e2e_events.NAME in more)
            filled.result()
        with airflow.kept_running():
            rows, outcomes = play_nights(airflow, service, scenarios)
            for name, play in _MORE.items():
                if name in more:
                    outcomes[name] = _played(partial(play, airflow, service))
    return rows, outcomes


def play_nights(
    airflow: CeleryAirflow, service: LocalService, scenarios: Sequence[Scenario]
) -> tuple[list[list[str]], dict[str, list[str]]]:
    """Play one night after the other; return the rows of the table, and the problems of each night."""
    rows: list[list[str]] = []
    outcomes: dict[str, list[str]] = {}
    for scenario in scenarios:
        try:
            row, outcomes[scenario.name] = e2e.play(airflow, service, scenario)
            rows.append(row)
        except ProcessError as failure:
            outcomes[scenario.name] = [str(failure)]
            service.clear_faults()
            service.settings(latency_ms=0, processing_seconds=_PROCESSING)
            airflow.mend()
        for text in outcomes[scenario.name]:
            problem(text)
    return rows, outcomes


def _played(play: Callable[[], list[str]]) -> list[str]:
    try:
        return play()
    except ProcessError as failure:
        return [str(failure)]


def _play_events(airflow: CeleryAirflow, service: LocalService) -> list[str]:
    return e2e_events.OrderEvents(airflow, service, e2e.photo("event", 1)).play()


#: What no night shows: the other example DAGs, and orders and arrivals that run a DAG.
_MORE: dict[str, Callable[[CeleryAirflow, LocalService], list[str]]] = {
    EXAMPLES: play_examples,
    e2e_events.NAME: _play_events,
}


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make e2e-celery", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="what has this in its name; may be repeated")
    parser.add_argument("--briefly", action="store_true", help=f"only: {', '.join(BRIEFLY)}")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="play each night so often")
    arguments = parser.parse_args()
    names = [*NIGHTS, *_MORE, triggerers.NAME]
    wanted = arguments.only or [""]
    chosen = [name for name in (BRIEFLY if arguments.briefly else names) if any(word in name for word in wanted)]
    if not chosen:
        parser.error(f"there is no such night; there are: {', '.join(names)}")
    if arguments.times < 1:
        parser.error("--times takes a number from 1 on")
    nights = scenarios(chosen, arguments.times)
    if not nights and not _MORE.keys() & set(chosen):  # the only one that was wanted is left out
        return 0
    return run_command(FOLDER, lambda children: play_all(children, nights, chosen))


if __name__ == "__main__":
    sys.exit(main())
