"""What ``tools/dag_run.py`` prints about a run, read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class TaskRecord:
    """What happened to one task, or to one of its mapped instances, over all its starts."""

    state: str = "none"
    seconds: float = 0.0
    error: str = ""


@dataclass
class RunRecord:
    """One run of the DAG. Tasks are known by id without their group, and by map index (-1: not mapped)."""

    run_id: str = ""
    state: str = "none"
    tasks: dict[tuple[str, int], TaskRecord] = field(default_factory=dict)
    returned: dict[tuple[str, int], Any] = field(default_factory=dict)
    _running_since: dict[tuple[str, int], float] = field(default_factory=dict)

    def take(self, event: dict[str, Any]) -> None:
        """Note one event."""
        if event["event"] == "end":
            self.run_id, self.state = event["run_id"], event["state"]
            self.returned = {_key(row): row["value"] for row in event["returned"]}
        elif event["event"] == "task":
            self._take_task(event)

    def _take_task(self, event: dict[str, Any]) -> None:
        key = _key(event)
        record = self.tasks.setdefault(key, TaskRecord())
        # A task that waits counts as running twice; its wait is part of its time.
        began = self._running_since.setdefault(key, event["at"])
        record.state = event["state"]
        record.seconds = event["at"] - began
        record.error = event.get("error", "")


class EventLog:
    """The events of a run of ``tools/dag_run.py``, read as they are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self.runs: list[RunRecord] = []

    def news(self) -> Iterator[dict[str, Any]]:
        """Yield the events written since the last call, each after it was added to ``runs``."""
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as file:
            file.seek(self._read)
            for line in iter(file.readline, ""):
                if not line.endswith("\n"):
                    return
                self._read = file.tell()
                event = json.loads(line)
                if event["event"] == "run":
                    self.runs.append(RunRecord())
                self.runs[-1].take(event)
                yield event


def _key(row: dict[str, Any]) -> tuple[str, int]:
    return row["task"].rpartition(".")[2], row["index"]
