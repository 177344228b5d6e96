"""One run of the nightly DAG on a live Airflow: started, watched and interfered with through the REST API."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil

from tools.live_airflow import LiveAirflow
from tools.local_service import SOURCE_BUCKET, LocalService
from tools.processes import ProcessError

DAG_ID = "autoenhance_nightly"
_TASK = "enhance"
_ENDED = ("success", "failed")


class NightRun:
    """A run of one day.

    :param listings: folders of the day.
    :param photos: photos in each.
    :param seconds: how long anything may take that is waited for.
    """

    def __init__(
        self,
        airflow: LiveAirflow,
        service: LocalService,
        day: str,
        listings: int,
        photos: int,
        suffix: str = "",
        seconds: float = 240,
    ) -> None:
        self.airflow = airflow
        self.service = service
        self.day = day
        self.listings = listings
        self.photos = photos
        self.seconds = seconds
        self._run_id = f"e2e-{day}{suffix}"
        self._path = f"dags/{DAG_ID}/dagRuns/{self._run_id}"

    def trigger(self) -> None:
        """Start it as the Trigger form does."""
        conf = {"date": self.day, "preview": False, "enhance_type": "neutral", "tasks": self.listings}
        body = {"dag_run_id": self._run_id, "logical_date": None, "conf": conf}
        self.airflow.api.post(f"dags/{DAG_ID}/dagRuns", body)

    def state(self) -> str:
        """State of the run."""
        return str(self.airflow.api.get(self._path)["state"])

    def wait_for_end(self) -> str:
        """Wait for the run's end; return its state."""
        self.wait_until(lambda: self.state() in _ENDED, what="ended", may_end=True)
        return self.state()

    def wait_until(self, ready: Callable[[], bool], *, what: str, pause: float = 0.3, may_end: bool = False) -> None:
        """Wait for something to happen in the run.

        :raises ProcessError: it did not, or the run ended before.
        """
        deadline = time.monotonic() + self.seconds
        while not ready():
            if not may_end and self.state() in _ENDED:
                raise ProcessError(f"run {self._run_id} ended {self.state()} before it was {what}")
            if time.monotonic() > deadline:
                raise ProcessError(f"run {self._run_id} was not {what} within {self.seconds:.0f} s: {self._states()}")
            time.sleep(pause)

    def mapped(self) -> list[dict[str, Any]]:
        """The listings' tasks."""
        found = self.airflow.api.get(f"{self._path}/taskInstances?limit=1000")["task_instances"]
        return [task for task in found if task["task_id"] == _TASK and task["map_index"] >= 0]

    def count(self, state: str) -> int:
        """How many listings' tasks are in a state."""
        return sum(task["state"] == state for task in self.mapped())

    def tries(self) -> list[int]:
        """How often each listing's task was begun."""
        return [task["try_number"] for task in self.mapped()]

    def a_deferred(self) -> int:
        """Wait for a deferred task; return its map index."""
        self.wait_until(lambda: self.count("deferred") > 0, what="deferred")
        return next(int(task["map_index"]) for task in self.mapped() if task["state"] == "deferred")

    def label(self, index: int) -> str:
        """Name of a mapped task in the UI."""
        return next(str(task["rendered_map_index"]) for task in self.mapped() if task["map_index"] == index)

    def clear(self, *indexes: int) -> None:
        """Clear listings' tasks and what comes after, at once: the report has to be made again too."""
        body = {"dry_run": False, "dag_run_id": self._run_id, "reset_dag_runs": True, "only_failed": False}
        self.airflow.api.post(
            f"dags/{DAG_ID}/clearTaskInstances",
            body | {"task_ids": [[_TASK, each] for each in indexes], "include_downstream": True},
        )

    def mark_failed(self, index: int) -> None:
        """Mark one listing's task failed."""
        self.airflow.api.patch(f"{self._path}/taskInstances/{_TASK}/{index}", {"new_state": "failed"})

    def report(self) -> dict[str, Any]:
        """What the report task returned."""
        entry = self.airflow.api.get(f"{self._path}/taskInstances/report/xcomEntries/return_value?deserialize=true")
        return dict(entry["value"])

    def said(self, words: str) -> int:
        """How many listings' tasks have these words in the log of a try."""
        logs = self.airflow.home.logs / f"dag_id={DAG_ID}" / f"run_id={self._run_id}" / f"task_id={_TASK}"
        return sum(any(words in log.read_text() for log in task.glob("*.log")) for task in logs.glob("map_index=*"))

    def uploads(self) -> int:
        """Photos of the day that Autoenhance has received."""
        books = self.service.ledger()
        mine = {image["image_id"] for image in books["images"] if self._is_mine(image)}
        return sum(upload.get("image_id") in mine for upload in books["uploads"])

    def processed(self) -> int:
        """Photos of the day that Autoenhance has enhanced."""
        images = self.service.ledger()["images"]
        return sum(image["status"] == "processed" for image in images if self._is_mine(image))

    def purchases(self) -> int:
        """Photos of the day that were paid for."""
        books = self.service.ledger()
        mine = {image["image_id"] for image in books["images"] if self._is_mine(image)}
        return len(mine & set(books["credits"]["by_image"]))

    def kill_a_task(self) -> int:
        """Kill a running listing's process; return its id."""
        parents = [psutil.Process(child.pid) for child in self.airflow.components.values()]
        ours = {process.pid for parent in parents for process in parent.children(recursive=True)}
        for task in self.mapped():
            if task["state"] == "running" and task["pid"] in ours:
                os.kill(task["pid"], signal.SIGKILL)
                return int(task["pid"])
        raise ProcessError(f"run {self._run_id}: no running task to kill: {self._states()}")

    def _is_mine(self, image: dict[str, Any]) -> bool:
        return str(image["metadata"].get("source", "")).startswith(f"s3://{SOURCE_BUCKET}/{self.day}/")

    def _states(self) -> str:
        return ", ".join(f"{task['rendered_map_index']} {task['state']}" for task in self.mapped())
