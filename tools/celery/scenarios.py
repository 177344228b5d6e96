"""The table: each night, and what befalls it."""

from __future__ import annotations

from collections.abc import Callable

from tools import e2e
from tools.celery import workers
from tools.e2e import Scenario
from tools.night_run import NightRun

Act = Callable[[NightRun], None]

#: By name: what happens, listings, photos in each.
_NIGHTS: dict[str, tuple[Act, int, int]] = {
    "undisturbed": (e2e.undisturbed, 8, 6),
    "worker killed at upload": (workers.killed_at_upload, 4, 12),
    "worker killed at download": (workers.killed_at_download, 4, 12),
    "worker killed after purchase": (workers.killed_after_purchase, 4, 12),
    "worker stopped warmly": (workers.drained, 4, 12),
    "worker frozen and thawed": (workers.frozen, 4, 12),
    "task processes killed": (e2e.processes_killed, 4, 12),
}
_SECONDS = 420

SCENARIOS = tuple(
    Scenario(name, f"2026-03-{number:02}", listings, act, photos, _SECONDS)
    for number, (name, (act, listings, photos)) in enumerate(_NIGHTS.items(), start=1)
)
BRIEFLY = ("undisturbed", "worker killed at upload")
