"""Thousands of random nights, over single photos and over exposures.

``TORTURE_EXAMPLES`` sets how many examples are tried, with a fresh seed.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.crash.bracket_nights import AutoBracketNights, BracketNights
from tests.crash.effects import Effects
from tests.crash.nights import Nights, die, play
from tests.support.sandbox import Sandbox
from tests.support.tasks import connection_of

#: Kinds of nights, each with a seed; two of the same kind, so that two processes share them.
PARTS: list[tuple[type[Nights], int]] = [(Nights, 0), (BracketNights, 0), (Nights, 1), (AutoBracketNights, 0)]
EXAMPLES = int(os.environ.get("TORTURE_EXAMPLES", "600"))


@pytest.fixture(scope="module")
def watched(copying_sandbox: Sandbox) -> Any:
    """Watch this process's own effects, and keep waits short."""
    patch = pytest.MonkeyPatch()
    patch.setattr("airflow_provider_autoenhance.api.exchange.LONGEST_WAIT_SECONDS", 0.001)
    patch.setattr("airflow_provider_autoenhance.pipeline.batch.claims.POLL_SECONDS", (0.01,))
    patch.setattr("airflow_provider_autoenhance.pipeline.batch.lease.Watched.is_judged", True)
    patch.setattr("airflow_provider_autoenhance.pipeline.remote.process.ARRIVAL_POLLS", (0.0, 0.01, 0.01))
    patch.setattr("airflow_provider_autoenhance.pipeline.remote.images.LOST_ORDER_POLLS", (0.0, 0.01))
    connection = json.loads(connection_of(copying_sandbox, "AUTOENHANCE_DEFAULT"))
    connection["extra"] = {"max_attempts": 2, "max_requests_per_second": 1e4}
    patch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
    Nights.sandbox, Nights.effects = copying_sandbox, Effects(die)
    with Nights.effects.watching():
        yield
    patch.undo()


@pytest.mark.parametrize(("kind", "part"), PARTS)
def test_no_night_breaks_a_promise(watched: None, kind: type[Nights], part: int) -> None:
    play(kind, part, examples=EXAMPLES // len(PARTS), steps=9)


def test_other_sources_find_what_has_no_marks(watched: None) -> None:
    """Before 2024-09-01, images are answered without metadata, and their names begin with a folder that the sources give."""
    nights = Nights()
    nights.begin(version="2024-06-30")
    about = {"before": False, "concurrency": 1, "deferrable": False, "event": "finished", "processing": 0.0}
    nights.night(**about, run_id="night-1", last=10, happens="death", selection="all")
    nights.night(**about, run_id="night-1", last=0, happens="death", selection="overlapping")
    nights.teardown()
