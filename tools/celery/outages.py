"""Nights in which S3 or Autoenhance is away for a minute."""

from __future__ import annotations

import time
from typing import Any

from tools.celery.door import Mode
from tools.celery.workers import at_uploads, cluster
from tools.console import detail
from tools.night_run import NightRun

_SECONDS = 60


def s3_unavailable(run: NightRun) -> None:
    """S3 answers 503."""
    _s3(run, "unavailable")


def s3_silent(run: NightRun) -> None:
    """S3 takes connections, and answers nothing."""
    _s3(run, "silent")


def vendor_unavailable(run: NightRun) -> None:
    """Autoenhance answers 503 to everything."""
    _vendor(run, {"kind": 503})


def vendor_silent(run: NightRun) -> None:
    """Autoenhance takes requests, and answers nothing."""
    _vendor(run, {"kind": "timeout", "seconds": _SECONDS})


def _s3(run: NightRun, mode: Mode) -> None:
    at_uploads(run)
    cluster(run).s3.set(mode)
    detail(f"S3 is {mode} for {_SECONDS} s; {run.uploads()} photos are uploaded")
    try:
        run.service.settings(latency_ms=0)
        time.sleep(_SECONDS)
    finally:
        cluster(run).s3.set("open")


def _vendor(run: NightRun, rule: dict[str, Any]) -> None:
    at_uploads(run)
    run.service.add_faults(rule)
    detail(f"Autoenhance fails for {_SECONDS} s ({rule['kind']}); {run.uploads()} photos are uploaded")
    run.service.settings(latency_ms=0)
    time.sleep(_SECONDS)
    run.service.clear_faults()
