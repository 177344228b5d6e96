"""``make e2e``: the nightly DAG on a live Airflow, through deferrals, kills and clears; books and files checked after each night."""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tools import e2e_events, e2e_leaks
from tools.airflow_home import RUN, AirflowHome, free_port
from tools.console import detail, problem, step, table
from tools.e2e_checks import check_night
from tools.live_airflow import LiveAirflow, start_live_airflow
from tools.local_service import RESULT_BUCKET, SOURCE_BUCKET, LocalService, start_local_service
from tools.night_run import NightRun
from tools.processes import Children, ProcessError, run_command

FOLDER = RUN / "e2e"
_QUICK = {
    # Airflow takes minutes to notice a dead triggerer and to try again; here seconds do.
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
}


@dataclass(frozen=True)
class Scenario:
    """A night, and what befalls it.

    :param act: is called when the run is under way.
    :param seconds: how long anything may take that is waited for.
    """

    name: str
    day: str
    listings: int
    act: Callable[[NightRun], None]
    photos: int = 8
    seconds: float = 240


def undisturbed(run: NightRun) -> None:
    """Nothing happens; but the tasks really are deferred."""
    run.wait_until(lambda: run.count("deferred") > 0, what="deferred")


def triggerer_killed(run: NightRun) -> None:
    """The triggerer dies while tasks wait in it, and another one starts."""
    run.wait_until(lambda: run.count("deferred") >= run.listings // 2, what="deferred")
    detail(f"killing the triggerer with {run.count('deferred')} tasks deferred")
    run.airflow.kill("triggerer")
    run.airflow.start("triggerer")


def deferred_task_cleared(run: NightRun) -> None:
    """A person clears a task that is deferred."""
    index = run.a_deferred()
    detail(f"clearing {run.label(index)}, which is deferred")
    run.clear(index)


def deferred_task_failed_then_cleared(run: NightRun) -> None:
    """A person marks a deferred task failed: the run fails, visibly, and the other photos are done; then it is cleared."""
    index = run.a_deferred()
    name = run.label(index)
    detail(f"marking {name} failed, which is deferred")
    run.mark_failed(index)
    state = run.wait_for_end()
    report = run.report()
    if state != "failed" or report["failed_listing_names"] != [name]:
        raise ProcessError(f"{name} was marked failed, but the run ended {state} with {report}")
    if report["landed"] != (run.listings - 1) * run.photos:
        raise ProcessError(f"{name} was marked failed, and only {report['landed']} photos of the others landed")
    detail(f"the run failed and its report names {name}; clearing it")
    run.clear(index)


def processes_killed(run: NightRun) -> None:
    """Task processes die while they move photos: one while it uploads, one while it downloads."""
    run.service.settings(latency_ms=300)
    for what, moved in (("uploads", run.uploads), ("downloads", run.purchases)):
        before = moved()
        run.wait_until(lambda moved=moved, before=before: moved() > before, what=f"at its {what}", pause=0.05)  # type: ignore[misc]
        detail(f"killed process {run.kill_a_task()} among the {what}")
    run.service.settings(latency_ms=0)


def running_task_failed_then_cleared(run: NightRun) -> None:
    """A person marks a task failed that is buying photos: it buys no more, and goes on from there when it is cleared."""
    run.a_deferred()
    run.service.settings(latency_ms=2000)
    run.wait_until(lambda: run.purchases() > 0, what="at its downloads", pause=0.2)
    detail(f"marking {run.label(0)} failed, which has bought {run.purchases()} of {run.photos} photos")
    run.mark_failed(0)
    run.wait_for_end()
    bought, before = run.purchases(), -1
    while bought != before:
        time.sleep(10)  # Airflow tells the task when that reports to it, and kills it five seconds later
        bought, before = run.purchases(), bought
    if bought == run.photos:
        raise ProcessError(f"all {bought} photos were bought by a task that was marked failed")
    detail(f"it stopped at {bought}; clearing it")
    run.service.settings(latency_ms=0)
    run.clear(0)


SCENARIOS = (
    Scenario("an undisturbed night", "2026-03-01", 12, undisturbed),
    Scenario("the triggerer killed", "2026-03-02", 4, triggerer_killed),
    Scenario("a deferred task cleared", "2026-03-03", 4, deferred_task_cleared),
    Scenario("a deferred task failed, then cleared", "2026-03-04", 4, deferred_task_failed_then_cleared),
    Scenario("task processes killed", "2026-03-05", 4, processes_killed),
    Scenario("a running task failed, then cleared", "2026-03-06", 1, running_task_failed_then_cleared, photos=240),
)


def photo(words: str, number: int) -> bytes:
    """Return a small JPEG unlike any other."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (96, 64), (40 + number * 7 % 200, 90, 120)).save(file, "JPEG", comment=f"{words} {number}")
    return file.getvalue()


def fill(service: LocalService, scenarios: list[Scenario]) -> None:
    """Put every night's photos into the bucket."""
    s3 = service.s3()
    for bucket in (SOURCE_BUCKET, RESULT_BUCKET):
        s3.create_bucket(Bucket=bucket)
    for scenario in scenarios:
        for listing in range(scenario.listings):
            folder = f"{scenario.day}/listing-{listing + 1:02}"
            for number in range(scenario.photos):
                s3.put_object(Bucket=SOURCE_BUCKET, Key=f"{folder}/{number}.jpg", Body=photo(folder, number))


def play(airflow: LiveAirflow, service: LocalService, scenario: Scenario) -> tuple[list[str], list[str]]:
    """Run one night; return its row of the table, and its problems."""
    step(f"{scenario.day}: {scenario.name}; {scenario.listings} listings of {scenario.photos} photos")
    began = time.monotonic()
    run = NightRun(airflow, service, scenario.day, scenario.listings, scenario.photos, seconds=scenario.seconds)
    run.trigger()
    scenario.act(run)
    state = run.wait_for_end()
    tries = sum(run.tries())
    books, problems = check_night(service, scenario.day, run.report() if state == "success" else {})
    if state != "success":
        problems.insert(0, f"the run ended {state}")
    seconds = time.monotonic() - began
    detail(f"{state} in {seconds:.0f} s: {books.photos} photos, {books.live} live images, {books.credits} credits")
    numbers = (scenario.listings, books.photos, books.created, books.live, books.credits, tries, round(seconds))
    return [scenario.day, scenario.name, state, *map(str, numbers)], problems


def run_again(airflow: LiveAirflow, service: LocalService, scenario: Scenario) -> list[str]:
    """Run a night that has landed once more, as another run: Autoenhance must not be asked anything."""
    step(f"{scenario.day}: the same night again, as another run")
    before = service.ledger()["requests"]
    run = NightRun(airflow, service, scenario.day, scenario.listings, scenario.photos, suffix="-again")
    run.trigger()
    state = run.wait_for_end()
    after = service.ledger()["requests"]
    return [] if (state, after) == ("success", before) else [f"{state}, {after} requests, before {before}"]


def run_all(children: Children, scenarios: list[Scenario], *, events: bool, leaks: bool) -> int:
    """Run everything; return the exit status.

    :param events: what no night shows, too: orders that finish and run a DAG.
    :param leaks: a night that fails at each stage. What any part has left is searched for secrets in any case.
    """
    step("Starting the sandbox: a local Autoenhance, and an S3 beside it")
    options = ["--render", "copy", "--daily-limit", "0"]
    service = start_local_service(children, FOLDER, processing_seconds="6,10", more=options)
    fill(service, scenarios)
    step("Making an Airflow of its own, and starting its components")
    night = e2e_leaks.LeakNight(service, FOLDER / "leaks", photo("leaks", 1))
    extra = service.connections | _QUICK | e2e_events.ENVIRONMENT | night.environment()
    home = AirflowHome(FOLDER / "airflow", night.dags, port=free_port())
    airflow = start_live_airflow(children, home, FOLDER, extra)
    rows: list[list[str]] = []
    outcomes: dict[str, list[str]] = {}
    try:
        for scenario in scenarios:
            outcomes[scenario.name] = ["it was not done"]
            row, outcomes[scenario.name] = play(airflow, service, scenario)
            rows.append(row)
        if scenarios:
            outcomes["the first night again"] = run_again(airflow, service, scenarios[0])
        if events:
            outcomes[e2e_events.NAME] = ["it was not done"]
            outcomes[e2e_events.NAME] = e2e_events.OrderEvents(airflow, service, photo("event", 1)).play()
        if leaks:
            outcomes[e2e_leaks.NAME] = ["it was not done"]
            outcomes[e2e_leaks.NAME] = night.play(airflow)
    except ProcessError as failure:  # a run that is stuck keeps the next one waiting
        outcomes[list(outcomes)[-1]] = [str(failure)]
    outcomes["no secret is left anywhere"] = night.leaks(home.fernet_key)
    status = report(FOLDER, rows, outcomes)
    if not status:
        print("Every photo has one live image, one credit, and a whole output; no secret is left anywhere.")
    return status


def report(folder: Path, rows: list[list[str]], outcomes: dict[str, list[str]]) -> int:
    """Print the table and what is wrong, and write the counts for CI; return the exit status.

    :param folder: of the logs; gets the counts.
    :param outcomes: the problems of each check.
    """
    heads = ("night", "what happened", "state", "listings", "photos", "created", "live", "credits", "tries", "seconds")
    if rows:
        print(f"\n{table(heads, rows, right=range(3, 10))}\n\nLogs  {folder}\n")
    suite = ElementTree.Element("testsuite", name=folder.name, tests=str(len(outcomes)))
    suite.set("failures", str(sum(bool(problems) for problems in outcomes.values())))
    for name, problems in outcomes.items():
        case = ElementTree.SubElement(suite, "testcase", name=name)
        for text in problems:
            ElementTree.SubElement(case, "failure", message=text)
            problem(f"{name}: {text}")
    ElementTree.ElementTree(suite).write(folder / "report.xml")
    return int(any(outcomes.values()))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make e2e", description=__doc__)
    parser.add_argument("--only", default="", help="only the parts whose name holds this")
    arguments = parser.parse_args()
    scenarios = [scenario for scenario in SCENARIOS if arguments.only in scenario.name]
    events = arguments.only in e2e_events.NAME
    leaks = arguments.only in e2e_leaks.NAME
    if not scenarios and not events and not leaks:
        names = (*(scenario.name for scenario in SCENARIOS), e2e_events.NAME, e2e_leaks.NAME)
        parser.error(f"there is no such night; there are: {', '.join(names)}")
    return run_command(FOLDER, lambda children: run_all(children, scenarios, events=events, leaks=leaks))


if __name__ == "__main__":
    sys.exit(main())
