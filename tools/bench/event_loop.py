"""Be an event loop full of order triggers: ``python -m tools.bench.event_loop ORDERS SECONDS POLL_SECONDS`` prints what it took."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from airflow_provider_autoenhance.transport import httpx_client
from airflow_provider_autoenhance.triggers.images import EARLIEST_EVENT_SECONDS
from airflow_provider_autoenhance.triggers.orders import AutoenhanceOrderTrigger
from tools.bench.figures import percentile
from tools.bench.meter import cpu_seconds, peak_megabytes

_BEAT_SECONDS = 0.01


class Polls:
    """Counts what goes over the wire."""

    def __init__(self) -> None:
        self.count = 0
        self._send = httpx_client.send_once
        httpx_client.send_once = self._counting

    async def _counting(self, *arguments: Any) -> Any:
        self.count += 1
        return await self._send(*arguments)


async def lag(seconds: float) -> list[float]:
    """Sleep in short beats, and return by how many milliseconds the loop came late to each."""
    late = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await asyncio.sleep(_BEAT_SECONDS)
        late.append(max(0.0, time.perf_counter() - began - _BEAT_SECONDS) * 1e3)
    return late


async def consume(trigger: AutoenhanceOrderTrigger) -> None:
    """Run a trigger, which must not fire: nothing gets ready."""
    async for event in trigger.run():
        raise SystemExit(f"a trigger fired: {event.payload}")


async def wait(orders: list[str], seconds: float, poll_seconds: float) -> dict[str, float]:
    """Let all triggers wait, and look for some seconds once polls flow evenly."""
    start_memory, polls = peak_megabytes(), Polls()
    triggers = [AutoenhanceOrderTrigger(orders={order: 1}, poll_interval=poll_seconds) for order in orders]
    tasks = [asyncio.create_task(consume(trigger)) for trigger in triggers]
    # Every trigger's first poll comes at once; then they spread.
    await asyncio.sleep(EARLIEST_EVENT_SECONDS + 3)
    cpu, count, began = cpu_seconds(), polls.count, time.perf_counter()
    late = await lag(seconds)
    wall = time.perf_counter() - began
    sample = {
        "wall": wall,
        "cpu": cpu_seconds() - cpu,
        "polls": polls.count - count,
        "start_mb": start_memory,
        "peak_mb": peak_megabytes(),
        "lag_p50_ms": percentile(late, 50),
        "lag_p99_ms": percentile(late, 99),
        "lag_most_ms": max(late),
    }
    failed = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    if failed:
        raise SystemExit(f"{len(failed)} triggers ended: {failed[0]!r}")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {name: round(value, 3) for name, value in sample.items()}


def main(file: str, seconds: str, poll_seconds: str) -> None:
    """Run from the command line."""
    orders = json.loads(Path(file).read_text())
    print(json.dumps(asyncio.run(wait(orders, float(seconds), float(poll_seconds)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
