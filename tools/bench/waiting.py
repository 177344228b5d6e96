"""Part ``waiting``: many order triggers in one event loop, as in a triggerer, while nothing gets ready."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.airflow_home import REPOSITORY
from tools.bench.service import BenchService, Conditions, bench_service
from tools.bench_memory import photo_of
from tools.console import detail, step
from tools.processes import ProcessError

_HOURS = 10 * 3600.0


def measure_waiting(
    counts: list[int], seconds: float, rounds: int, poll_seconds: float, conditions: Conditions, folder: Path
) -> dict[str, Any]:
    """Measure; the numbers of orders take turns in each round.

    :param counts: numbers of waiting orders, each in a trigger of its own.
    :param seconds: how long to look, once the first polls are over.
    """
    samples: dict[str, list[dict[str, Any]]] = {str(count): [] for count in counts}
    with bench_service(folder, conditions) as bench:
        step(f"Making {max(counts)} orders whose images stay under way")
        bench.reset(latency_ms=0, processing_seconds=[_HOURS, _HOURS])
        images = make_images(bench, max(counts))
        send_photos(images)
        orders = [str(image["order_id"]) for image in images]
        _latency(bench, conditions.latency_ms)
        for number in range(1, rounds + 1):
            step(f"Round {number} of {rounds}")
            for count in counts:
                sample = _wait(bench, folder / "orders.json", orders[:count], seconds, poll_seconds)
                samples[str(count)].append(sample)
                detail(
                    f"{count:6} orders: {100 * sample['cpu'] / sample['wall']:.1f} % of a core, p99 {sample['lag_p99_ms']:.1f} ms"
                )
    return {"orders": samples}


def make_images(bench: BenchService, count: int) -> list[dict[str, Any]]:
    """Make images, each in an order of its own, whose photos are still to come; return what the API answered."""
    import urllib3

    http = urllib3.PoolManager(maxsize=16)
    headers = {
        "x-api-key": bench.service.api_key,
        "x-api-version": "2025-08-31",
        "Content-Type": "application/json",
    }

    def make(number: int) -> dict[str, Any]:
        body = json.dumps({"image_name": f"{number}.jpg"}).encode()
        return dict(http.request("POST", f"{bench.service.api}/v3/images/", body=body, headers=headers).json())

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(make, range(count)))


def send_photos(images: list[dict[str, Any]]) -> None:
    """Upload a photo for each of the images."""
    import urllib3

    http = urllib3.PoolManager(maxsize=16)
    photo = photo_of(5_000)

    def send(image: dict[str, Any]) -> None:
        http.request("PUT", image["upload_url"], body=photo, headers={"Content-Type": "image/jpeg"})

    with ThreadPoolExecutor(16) as pool:
        deque(pool.map(send, images), maxlen=0)


def _latency(bench: BenchService, milliseconds: float) -> None:
    bench.service.settings(latency_ms=milliseconds)


def _wait(bench: BenchService, file: Path, orders: list[str], seconds: float, poll_seconds: float) -> dict[str, Any]:
    file.write_text(json.dumps(orders))
    environment = bench.environment() | {"AIRFLOW_HOME": str(REPOSITORY / ".run" / "bench" / "airflow")}
    command = [sys.executable, "-m", "tools.bench.event_loop", str(file), str(seconds), str(poll_seconds)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProcessError(f"{len(orders)} triggers failed:\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))
