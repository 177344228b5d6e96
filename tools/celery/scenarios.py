"""The table: each night, and what befalls it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, timedelta

from tools import e2e
from tools.celery import limits, outages, parts, people, workers
from tools.celery.small_disk import can_mount
from tools.console import detail
from tools.e2e import Scenario
from tools.night_run import NightRun

DISK_FULL = "disk full"
#: What happens, by the night's name.
NIGHTS: dict[str, Callable[[NightRun], None]] = {
    "undisturbed": e2e.undisturbed,
    "worker killed at upload": workers.killed_at_upload,
    "worker killed at download": workers.killed_at_download,
    "worker killed after purchase": workers.killed_after_purchase,
    "worker stopped warmly": workers.drained,
    "worker frozen and thawed": workers.frozen,
    "workers' clocks apart": workers.clocks_apart,
    "task processes killed": e2e.processes_killed,
    "triggerer killed": e2e.triggerer_killed,
    "triggerer frozen beside a second": parts.triggerer_frozen,
    "scheduler restarted": parts.scheduler_restarted,
    "scheduler killed with a worker": parts.scheduler_killed_with_a_worker,
    "API server killed": parts.api_server_killed,
    "API server frozen": parts.api_server_frozen,
    "Redis killed": parts.redis_killed,
    "Redis emptied": parts.redis_emptied,
    "PostgreSQL stopped at once": parts.postgres_stopped,
    "S3 answers 503": outages.s3_unavailable,
    "S3 answers nothing": outages.s3_silent,
    "Autoenhance answers 503": outages.vendor_unavailable,
    "Autoenhance answers nothing": outages.vendor_silent,
    "deadline passed": limits.deadline_passed,
    DISK_FULL: limits.disk_full,
    "DAG file changed": parts.dag_file_changed,
    "cleared while queued": people.cleared_while_queued,
    "cleared while running": people.cleared_while_running,
    "cleared while deferred": e2e.deferred_task_cleared,
    "cleared when done": people.cleared_when_done,
    "failed while running, then cleared": people.failed_while_running_then_cleared,
    "failed while deferred, then cleared": e2e.deferred_task_failed_then_cleared,
}
_FIRST_DAY = date(2026, 3, 1)
_LISTINGS = 2
_PHOTOS = 40
_SECONDS = 420

BRIEFLY = ("undisturbed", "worker killed at upload")


def scenarios(names: Collection[str], times: int = 1) -> list[Scenario]:
    """Return the nights of these names, one after the other, and all of them again; each has a day of its own."""
    chosen = [name for name in NIGHTS if name in names]
    if DISK_FULL in chosen and not can_mount():
        detail(f"left out: {DISK_FULL}. This machine's users may not mount a disk (unshare --map-root-user --mount)")
        chosen.remove(DISK_FULL)
    nights = [(name, turn) for turn in range(1, times + 1) for name in chosen]
    return [
        Scenario(
            name if turn == 1 else f"{name} ({turn})",
            (_FIRST_DAY + timedelta(days=number)).isoformat(),
            _LISTINGS,
            NIGHTS[name],
            _PHOTOS,
            _SECONDS,
        )
        for number, (name, turn) in enumerate(nights)
    ]
