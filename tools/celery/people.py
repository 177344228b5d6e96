"""Nights in which somebody clears a task, or marks it failed, in whatever state it is."""

from __future__ import annotations

from tools.celery.workers import at_uploads
from tools.console import detail
from tools.night_run import NightRun


def cleared_while_queued(run: NightRun) -> None:
    """A task is cleared that waits for a worker."""
    run.clear(_in_state(run, "queued"))


def cleared_while_running(run: NightRun) -> None:
    """A task is cleared that sends photos."""
    at_uploads(run)
    run.clear(_in_state(run, "running"))
    run.service.settings(latency_ms=0)


def cleared_when_done(run: NightRun) -> None:
    """A task is cleared whose photos have all landed."""
    run.wait_for_end()
    run.clear(_in_state(run, "success"))


def failed_while_running_then_cleared(run: NightRun) -> None:
    """A task is marked failed that sends photos, and cleared when the run has failed."""
    at_uploads(run)
    index = _in_state(run, "running")
    run.mark_failed(index)
    run.wait_for_end()
    run.service.settings(latency_ms=0)
    detail("clearing it")
    run.clear(index)


def _in_state(run: NightRun, state: str) -> int:
    """Wait until a task is in a state; return its map index."""
    found: list[int] = []

    def in_it() -> bool:
        found[:] = [int(task["map_index"]) for task in run.mapped() if task["state"] == state]
        return bool(found)

    run.wait_until(in_it, what=state, pause=0.05, may_end=True)
    detail(f"{run.label(found[0])} is {state}")
    return found[0]
