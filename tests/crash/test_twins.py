"""Several runs on one folder at the same moment: each photo is made and paid once, and every run ends well.

``TORTURE_EXAMPLES`` sets how many rounds are tried.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.crash.night import BracketNight, Files, Night, Worker
from tests.support.sandbox import Sandbox

ROUNDS = int(os.environ.get("TORTURE_EXAMPLES", "300")) // 100


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Worker()) for _ in range(5)]


def run_together(nights: list[Night], offsets: list[float]) -> list[dict[str, Any]]:
    """Run the same batch as so many DAG runs, each begun a little later."""

    def run(number: int) -> dict[str, Any]:
        time.sleep(offsets[number])
        return nights[number].run(f"night-{number}")

    with ThreadPoolExecutor(len(nights)) as threads:
        return list(threads.map(run, range(len(nights))))


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize("runs", [2, 5])
@pytest.mark.parametrize(
    ("kind", "options"), [(Night, {}), (BracketNight, {"brackets": "exif"})], ids=["photos", "brackets"]
)
def test_runs_on_one_folder_pay_each_photo_once(
    workers: list[Worker],
    copying_sandbox: Sandbox,
    tmp_path: Path,
    kind: type[Night],
    options: dict[str, Any],
    runs: int,
    deferrable: bool,
) -> None:
    for number in range(ROUNDS):
        drawn = random.Random(f"{number} {runs} {deferrable}")
        spread = drawn.choice([0.0, 0.1, 0.5, 1.5])
        copying_sandbox.reset(processing_seconds=[0.1, 0.3], latency_ms=drawn.choice([0, 20, 100]))
        store = Files(tmp_path / str(number))
        options |= {"deferrable": deferrable, "concurrency": 4, "patience": 30.0}
        nights = [kind(worker, copying_sandbox, store, **options) for worker in workers[:runs]]
        ended = run_together(nights, [drawn.uniform(0, spread) for _ in range(runs)])
        about = f"round {number}: {ended}"
        assert [each["end"] for each in ended] == ["success"] * runs, about
        nights[0].check()
        paid = len(copying_sandbox.ledger()["credits"]["by_image"])
        assert sum(each["summary"]["credits"] for each in ended) == paid, about
        assert sum(each["summary"]["landed"] for each in ended) == paid, about
