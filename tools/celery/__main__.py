"""``make e2e-celery``: the services of docker-compose.yaml, run natively on loopback and attacked; books and files checked each night."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from tools import e2e
from tools.airflow_home import RUN
from tools.celery.cluster import CeleryAirflow
from tools.celery.scenarios import BRIEFLY, SCENARIOS
from tools.console import step
from tools.e2e import Scenario
from tools.kitchen import Kitchen
from tools.local_service import start_local_service
from tools.processes import Children, ProcessError, run_command

FOLDER = RUN / "e2e-celery"


def play_all(children: Children, scenarios: Sequence[Scenario]) -> int:
    """Start everything, and play each scenario; return the exit status."""
    step("Starting the sandbox: a local Autoenhance, and an S3 beside it")
    options = ["--render", "copy", "--daily-limit", "0"]
    service = start_local_service(children, FOLDER, processing_seconds="3,6", more=options)
    e2e.fill(service, list(scenarios))
    rows: list[list[str]] = []
    outcomes: dict[str, list[str]] = {}
    with ExitStack() as temporary, Children() as ours:
        airflow = CeleryAirflow.started(Kitchen(ours, temporary, FOLDER), FOLDER, service)
        for scenario in scenarios:
            try:
                row, outcomes[scenario.name] = e2e.play(airflow, service, scenario)
                rows.append(row)
            except ProcessError as failure:  # a run that is stuck keeps the next one waiting
                outcomes[scenario.name] = [str(failure)]
                break
    for scenario in scenarios:
        outcomes.setdefault(scenario.name, ["it was not done"])
    return e2e.report(FOLDER, rows, outcomes)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make e2e-celery", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="only the nights whose name holds this")
    parser.add_argument("--briefly", action="store_true", help=f"only: {', '.join(BRIEFLY)}")
    arguments = parser.parse_args()
    chosen = [each for each in SCENARIOS if arguments.only in each.name]
    if arguments.briefly:
        chosen = [each for each in chosen if each.name in BRIEFLY]
    if not chosen:
        parser.error(f"there is no such night; there are: {', '.join(each.name for each in SCENARIOS)}")
    return run_command(FOLDER, lambda children: play_all(children, chosen))


if __name__ == "__main__":
    sys.exit(main())
