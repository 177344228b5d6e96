"""``make e2e-celery``: the services of docker-compose.yaml, run natively on loopback and attacked; books and files checked each night."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit

from tools import e2e, e2e_events
from tools.airflow_home import RUN
from tools.celery.cluster import CeleryAirflow
from tools.celery.examples import NAME as EXAMPLES
from tools.celery.examples import play_examples
from tools.celery.gate import Gate
from tools.celery.scenarios import BRIEFLY, SCENARIOS
from tools.console import step
from tools.e2e import Scenario
from tools.kitchen import Kitchen
from tools.local_service import start_local_service
from tools.processes import Children, ProcessError, run_command

FOLDER = RUN / "e2e-celery"


def play_all(children: Children, scenarios: Sequence[Scenario], more: Collection[str]) -> int:
    """Start everything, and play each scenario; return the exit status.

    :param more: what no night shows: the other example DAGs, and orders and arrivals that run a DAG.
    """
    step("Starting the sandbox: a local Autoenhance, and an S3 beside it")
    options = ["--render", "copy", "--daily-limit", "0"]
    service = start_local_service(children, FOLDER, processing_seconds="3,6", more=options)
    e2e.fill(service, list(scenarios))
    rows: list[list[str]] = []
    outcomes: dict[str, list[str]] = {}
    s3_port = urlsplit(service.s3().meta.endpoint_url).port or 0
    with ExitStack() as temporary, Children() as ours, Gate(s3_port) as s3:
        airflow = CeleryAirflow.started(Kitchen(ours, temporary, FOLDER), FOLDER, service, s3)
        try:
            for scenario in scenarios:
                outcomes[scenario.name] = ["it was not done"]
                row, outcomes[scenario.name] = e2e.play(airflow, service, scenario)
                rows.append(row)
            if EXAMPLES in more:
                outcomes[EXAMPLES] = ["they were not done"]
                outcomes[EXAMPLES] = play_examples(airflow, service)
            if e2e_events.NAME in more:
                outcomes[e2e_events.NAME] = ["it was not done"]
                outcomes[e2e_events.NAME] = e2e_events.OrderEvents(airflow, service, e2e.photo("event", 1)).play()
        except ProcessError as failure:  # a run that is stuck keeps the next one waiting
            outcomes[list(outcomes)[-1]] = [str(failure)]
    for name in (*(scenario.name for scenario in scenarios), *(set(more) & {EXAMPLES, e2e_events.NAME})):
        outcomes.setdefault(name, ["it was not done"])
    return e2e.report(FOLDER, rows, outcomes)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make e2e-celery", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="what has this in its name; may be repeated")
    parser.add_argument("--briefly", action="store_true", help=f"only: {', '.join(BRIEFLY)}")
    arguments = parser.parse_args()
    names = [*(scenario.name for scenario in SCENARIOS), EXAMPLES, e2e_events.NAME]
    wanted = arguments.only or [""]
    chosen = [name for name in (BRIEFLY if arguments.briefly else names) if any(word in name for word in wanted)]
    if not chosen:
        parser.error(f"there is no such night; there are: {', '.join(names)}")
    nights = [scenario for scenario in SCENARIOS if scenario.name in chosen]
    return run_command(FOLDER, lambda children: play_all(children, nights, chosen))


if __name__ == "__main__":
    sys.exit(main())
