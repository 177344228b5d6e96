"""Hundreds of random nights over the tasks for single images.

``TORTURE_EXAMPLES`` sets how many examples are tried, four for one, with a fresh seed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.crash.effects import Effects
from tests.crash.image_nights import ImageNights, Shown
from tests.crash.nights import die, play
from tests.support.sandbox import Sandbox
from tests.support.tasks import connection_of

PARTS = 2
#: A quarter of what the batch gets: each task makes a client of its own, so that an example costs four times as much.
EXAMPLES = int(os.environ.get("TORTURE_EXAMPLES", "320")) // 4


@pytest.fixture(scope="module")
def watched(copying_sandbox: Sandbox) -> Iterator[None]:
    """Watch this process's own effects and logs, and keep waits short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_autoenhance.api.exchange.LONGEST_WAIT_SECONDS", 0.001)
        patch.setattr("airflow_provider_autoenhance.pipeline.remote.images.LOST_ORDER_POLLS", (0.0,))
        connection = json.loads(connection_of(copying_sandbox, "AUTOENHANCE_DEFAULT"))
        connection["extra"] = {"max_attempts": 2, "max_requests_per_second": 1e4}
        patch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
        ImageNights.sandbox, ImageNights.effects, ImageNights.shown = copying_sandbox, Effects(die), Shown()
        with ImageNights.effects.watching(), ImageNights.shown.listening():
            yield


@pytest.mark.parametrize("part", range(PARTS))
def test_no_night_breaks_a_promise(watched: None, part: int) -> None:
    play(ImageNights, part, examples=EXAMPLES // PARTS, steps=5)
