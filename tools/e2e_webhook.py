"""``make e2e-webhook``: an order finishes, the webhook calls a live Airflow, and a DAG runs, once; before that, a flood of forged calls.

The watcher's own polls are an hour apart, so that nothing but the webhook can have woken it.
"""

from __future__ import annotations

import argparse
import http.client
import secrets
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tools.airflow_home import RUN, AirflowHome, free_port
from tools.console import detail, problem, step
from tools.demo_checks import check_secrets
from tools.e2e import photo
from tools.e2e_events import DAG_ID, OrderEvents
from tools.live_airflow import start_live_airflow
from tools.local_service import RESULT_BUCKET, start_local_service
from tools.processes import Children, run_command

FOLDER = RUN / "e2e-webhook"
PATH = "/autoenhance/webhook"
_WATCH = {"AUTOENHANCE_ORDER_POLL_SECONDS": "3600", "AUTOENHANCE_ORDER_WEBHOOK": "true"}
_FLOOD_SECONDS = 10.0
_FLOOD_THREADS = 4


class Webhook(OrderEvents):
    """The webhook of a live Airflow, and the DAG that it wakes."""

    def play(self) -> list[str]:
        """Return what is wrong."""
        problems = self._check_refusals()
        self._watch()
        problems += self._flood()
        step("An order finishes, and the webhook reports it three times")
        credits = self.service.ledger()["credits"]["spent"]
        order = self.make_order("e2e webhook order")
        self._wait(lambda: self._succeeded() == 1, "a run for the order")
        return problems + self._check([order], credits)

    def _check(self, orders: list[str], credits: int) -> list[str]:
        time.sleep(12)  # two more looks for a hint: nothing else may come of the repeated calls
        reported = self._all_reported()
        runs = [run["state"] for run in self.airflow.api.get(f"dags/{DAG_ID}/dagRuns")["dag_runs"]]
        calls = [row["status"] for row in self.service.ledger()["webhooks"]]
        detail(f"{len(calls)} webhook calls, {len(reported)} events, {len(runs)} runs, {self._looks()} looks")
        problems = [] if reported == orders else [f"events of {reported}, for the orders {orders}"]
        problems += [] if runs == ["success"] else [f"the runs of one order are {runs}"]
        return problems + ([] if set(calls) == {204} else [f"the webhook answered {calls}"])

    def _check_refusals(self) -> list[str]:
        problems = []
        for token in ("", "x" * 32):
            status, body = self.post(PATH, token)
            problems += [] if (status, body) == (404, b"") else [f"a call with token {token!r} got {status} {body!r}"]
        return problems

    def _flood(self) -> list[str]:
        """Forged calls as fast as this machine can: none may have an effect, and the scheduler must go on."""
        step(f"{_FLOOD_SECONDS:.0f} s of forged calls")
        before, looks, events = self._heartbeats(), self._looks(), len(self._events())
        counts = [0] * _FLOOD_THREADS
        refused = [0] * _FLOOD_THREADS
        threads = [
            threading.Thread(target=self._forge, args=(number, counts, refused)) for number in range(_FLOOD_THREADS)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        during = self._heartbeats()
        for thread in threads:
            thread.join()
        rate = sum(counts) / (time.monotonic() - began)
        detail(f"{sum(counts)} calls, {rate:.0f} a second")
        detail(f"the scheduler's heartbeat was {before:.1f} s old at most before, {during:.1f} s during it")
        log = (self.airflow.folder / "api-server.log").read_text(errors="replace")
        ours = log.count("Refused webhook calls: ")
        problems = (
            [] if sum(refused) == sum(counts) else [f"{sum(counts) - sum(refused)} forged calls were not refused"]
        )
        problems += [] if during <= before + 5 else [f"the scheduler's heartbeat stood still for {during:.1f} s"]
        problems += [] if ours <= 3 else [f"{ours} lines about refused calls in the log"]
        problems += [] if self._looks() == looks else ["the watcher looked because of forged calls"]
        return problems + ([] if len(self._events()) == events else ["a forged call made an event"])

    def _forge(self, number: int, counts: list[int], refused: list[int]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.airflow.home.port, timeout=10)
        end = time.monotonic() + _FLOOD_SECONDS
        while time.monotonic() < end:
            connection.request("POST", PATH, b'{"event": "image_processed"}', {"Authentication": "forged" * 5})
            answer = connection.getresponse()
            refused[number] += (answer.status, answer.read()) == (404, b"")
            counts[number] += 1
        connection.close()

    def _heartbeats(self) -> float:
        """Return the oldest that the scheduler's heartbeat got while the flood lasts, in seconds."""
        database = f"file:{self.airflow.home.path / 'airflow.db'}?mode=ro"
        query = "select latest_heartbeat from job where job_type = 'SchedulerJob' order by id desc limit 1"
        ages = []
        with closing(sqlite3.connect(database, uri=True, timeout=30)) as connection:
            for _ in range(int(_FLOOD_SECONDS)):
                ((beat,),) = connection.execute(query)
                beaten = datetime.fromisoformat(beat)
                ages.append((datetime.now(UTC) - beaten.replace(tzinfo=beaten.tzinfo or UTC)).total_seconds())
                time.sleep(1)
        return max(ages)

    def post(self, path: str, token: str) -> tuple[int, bytes]:
        """Call the API server as the vendor does."""
        request = urllib.request.Request(
            f"{self.airflow.home.address}{path}", b"{}", {"Authentication": token}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def run(children: Children) -> int:
    """Run everything, and print what is wrong; return the exit status."""
    step("Starting the sandbox and an Airflow that receives its webhook")
    service = start_local_service(children, FOLDER, processing_seconds="1,2", more=["--render", "copy"])
    service.s3().create_bucket(Bucket=RESULT_BUCKET)
    token = secrets.token_urlsafe(24)
    home = AirflowHome(FOLDER / "airflow", port=free_port())
    extra = service.connections | _WATCH | {"AIRFLOW__AUTOENHANCE__WEBHOOK_TOKEN": token}
    airflow = start_live_airflow(children, home, FOLDER, extra)
    service.settings(webhook_url=f"{home.address}{PATH}", webhook_token=token, webhook_copies=3)
    problems = Webhook(airflow, service, photo("webhook", 1)).play()
    problems += check_secrets(service, FOLDER) + check_token(token, FOLDER)
    for text in problems:
        problem(text)
    if not problems:
        print("One finished order, one event, one run; forged calls did nothing.")
    return 1 if problems else 0


def check_token(token: str, folder: Path) -> list[str]:
    """Return the files below ``folder`` that hold the webhook's token."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [f"{file} contains the webhook's token" for file in files if token.encode() in file.read_bytes()]


def main() -> int:
    """Run from the command line."""
    argparse.ArgumentParser(prog="make e2e-webhook", description=__doc__).parse_args()
    return run_command(FOLDER, run)


if __name__ == "__main__":
    sys.exit(main())
