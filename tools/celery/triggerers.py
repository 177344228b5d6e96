"""Thousands of orders that tasks wait for in two triggerers, one of which is killed. That needs neither workers nor a scheduler."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tools.bench.meter import ProcessesMeter
from tools.bench.service import Conditions, bench_service
from tools.bench.waiting import make_images, send_photos
from tools.celery.cluster import CeleryAirflow
from tools.celery.door import Door
from tools.celery.servers import PYTHON, install_environment
from tools.console import detail, step
from tools.kitchen import Kitchen
from tools.processes import Children, ProcessError

NAME = "5,000 orders in two triggerers, one killed"
_ORDERS = 5000
#: One task of so many is run to its end, by Airflow's own task runner; of each, the event is looked at.
_EACH = 50
_DAG = Path(__file__).with_name("waiting_dag.py")
_TASKS = Path(__file__).with_name("waiting_tasks.py")
_FIRST, _SECOND = "triggerer", "triggerer-2"
_LOOK_SECONDS = 60.0
_SECONDS = 1800.0
#: Either has room for all; and Airflow's own times for a dead triggerer, where the nights have shorter ones.
_AIRFLOWS = {
    "AIRFLOW__TRIGGERER__CAPACITY": str(_ORDERS),
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "5",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "30",
}

Ask = Callable[[str], dict[str, Any]]


def play(children: Children, folder: Path) -> list[str]:
    """Let a task wait for each order, kill a triggerer while orders finish; return what is wrong."""
    step(NAME)
    with bench_service(folder / "service", Conditions()) as bench, ExitStack() as temporary, Door() as s3:
        kitchen = Kitchen(children, temporary, folder)
        install_environment(kitchen)
        airflow = CeleryAirflow.made(kitchen, folder, bench.service, s3, {})
        shutil.rmtree(airflow.home.dags)
        airflow.home.dags.mkdir()
        shutil.copy(_DAG, airflow.home.dags)
        images, file = make_images(bench, _ORDERS), folder / "orders.json"
        file.write_text(json.dumps([image["order_id"] for image in images]))
        waiting = {"WAITING_ORDERS": str(file), "WAITING_EACH": str(_EACH)}
        airflow.compose.services[_FIRST]["environment"] |= _AIRFLOWS | bench.trust | bench.service.connections | waiting
        airflow.postgres.create()
        airflow.run("migrate")
        for words in (["reserialize"], ["trigger", "waiting"]):
            command = [str(PYTHON), "-P", "-m", "airflow", "dags", *words]
            environment = airflow.environment_of(_FIRST)
            children.run("dags", command, environment=environment, log=folder / "dags.log", seconds=_SECONDS)
        with _tasks(airflow) as ask:
            ask("defer")
            airflow.start(_FIRST)
            _until(lambda: bool(ask("held")), "the first triggerer holds orders")
            (first,) = ask("held")
            airflow.start(_SECOND)
            _until(lambda: sum(ask("held").values()) == _ORDERS, "both hold all orders")
            return _kill_first(airflow, first, ask, images)


def _kill_first(airflow: CeleryAirflow, first: str, ask: Ask, images: list[dict[str, Any]]) -> list[str]:
    """Look at both triggerers, kill the first when a tenth of the orders has finished, and hold each event to its order."""
    with ProcessesMeter([child.pid for child in airflow.components.values()]) as meter:
        time.sleep(_LOOK_SECONDS)
    share = 100 * meter.cpu / meter.wall
    files = [psutil.Process(child.pid).num_fds() for child in airflow.components.values()]
    detail(
        f"they hold {list(ask('held').values())} with {files} open files: {share:.0f} % of a core, {meter.peak_megabytes:.0f} MB together"
    )
    sender = threading.Thread(target=send_photos, args=[images], name="sender")
    sender.start()
    _until(lambda: ask("states").get("scheduled", 0) >= _ORDERS // 10, "a tenth of the tasks has its event")
    airflow.kill(_FIRST)
    began = time.monotonic()
    detail(f"killed one, which held {ask('held').get(first, 0)}; {ask('states')['scheduled']} tasks had their event")
    _until(lambda: first not in ask("held"), "the other triggerer has taken over")
    detail(f"the other had taken all over {time.monotonic() - began:.0f} s later")
    sender.join()
    _until(lambda: ask("states") == {"scheduled": _ORDERS}, "each task has its event")
    detail(f"each task had its event {time.monotonic() - began:.0f} s after the kill")
    problems = wrong(
        ask("events"), {number: {"event": {"orders": [image["order_id"]]}} for number, image in enumerate(images)}
    )
    ask("resume")
    return problems + wrong(
        {index: value["image_ids"] for index, value in ask("results").items()},
        {number: [image["image_id"]] for number, image in enumerate(images) if number % _EACH == 0},
    )


def wrong(found: dict[str, Any], wanted: dict[int, Any]) -> list[str]:
    """Compare task by task; return what is wrong."""
    wrong = [number for number, value in wanted.items() if found.get(str(number)) != value]
    detail(f"{len(wanted) - len(wrong)} of {len(wanted)} are right")
    return [f"task {number} has {found.get(str(number))}, not {wanted[number]}" for number in wrong[:10]]


@contextmanager
def _tasks(airflow: CeleryAirflow) -> Iterator[Ask]:
    """Start the process of the tasks; it answers word by word."""
    command = [str(PYTHON), "-P", str(_TASKS), str(_DAG)]
    environment = {**airflow.environment_of(_FIRST), "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"}
    with (
        (airflow.folder / "tasks.log").open("w") as log,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):

        def ask(word: str) -> dict[str, Any]:
            assert process.stdin and process.stdout
            print(word, file=process.stdin, flush=True)
            answer = process.stdout.readline()
            if not answer:
                raise ProcessError(f"the tasks' process ended: {log.name}")
            return dict(json.loads(answer))

        try:
            yield ask
        finally:
            process.kill()


def _until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise ProcessError(f"after {_SECONDS:.0f} s it is not so that {what}")
        time.sleep(1)
