"""What the sandbox itself can do, leg by leg, asked by threads that do nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urljoin

from tools.bench.photos import noisy_photo
from tools.bench.service import BenchService
from tools.local_service import RESULT_BUCKET

_EXCHANGES = 32
_FOLDER = "ceiling"


def ceiling(bench: BenchService, concurrency: int, size: int) -> dict[str, float]:
    """Measure megabytes per second of each leg of a photo's way, and API calls per second.

    The asking threads need processor time too, on the same machine: with a processor apart the sandbox would do more.

    :param size: bytes of a photo.
    """
    legs = _Legs(bench, concurrency, size)
    bench.reset(latency_ms=0, processing_seconds=[0, 0])
    megabytes = _EXCHANGES * size / 1e6
    found = {"api_calls_per_second": 20 * _EXCHANGES / _timed(legs.create, 20 * _EXCHANGES, concurrency)}
    for name, exchange in legs.moving():
        found[f"{name}_mb_per_second"] = megabytes / _timed(exchange, _EXCHANGES, concurrency)
    bench.reset()
    bench.clear(_FOLDER)
    return {name: round(value, 1) for name, value in found.items()}


def _timed(exchange: Callable[[int], Any], times: int, concurrency: int) -> float:
    with ThreadPoolExecutor(concurrency) as pool:
        began = time.monotonic()
        list(pool.map(exchange, range(times)))
        return time.monotonic() - began


class _Legs:
    """Each exchange alone."""

    def __init__(self, bench: BenchService, concurrency: int, size: int) -> None:
        import urllib3

        self._photo = noisy_photo(size)
        self._http = urllib3.PoolManager(maxsize=concurrency, blocksize=1 << 20)
        self._api = bench.service.api
        self._headers = {
            "x-api-key": bench.service.api_key,
            "x-api-version": "2025-08-31",
            "Content-Type": "application/json",
        }
        self._s3 = bench.service.s3()
        self._images: list[dict[str, str]] = []

    def moving(self) -> list[tuple[str, Callable[[int], None]]]:
        """The four legs on which photos move, in their order."""
        return [
            ("bucket_put", self._store),
            ("bucket_get", self._load),
            ("upload", self._upload),
            ("download", self._download),
        ]

    def create(self, number: int) -> None:
        """Make an image, as the cheapest call that changes something."""
        body = json.dumps({"image_name": f"{number}.jpg"}).encode()
        answer = self._http.request("POST", f"{self._api}/v3/images/", body=body, headers=self._headers)
        self._images.append(answer.json())

    def _store(self, number: int) -> None:
        self._s3.put_object(Bucket=RESULT_BUCKET, Key=f"{_FOLDER}/{number}.jpg", Body=self._photo)

    def _load(self, number: int) -> None:
        body = self._s3.get_object(Bucket=RESULT_BUCKET, Key=f"{_FOLDER}/{number}.jpg")["Body"]
        while body.read(1 << 20):
            pass

    def _upload(self, number: int) -> None:
        url = self._images[number]["upload_url"]
        self._http.request("PUT", url, body=self._photo, headers={"Content-Type": "image/jpeg"})

    def _download(self, number: int) -> None:
        url = f"{self._api}/v3/images/{self._images[number]['image_id']}/enhanced?format=jpeg&preview=true"
        moved = self._http.request("GET", url, headers=self._headers, redirect=False)
        answer = self._http.request("GET", urljoin(url, moved.headers["Location"]), preload_content=False)
        while answer.read(1 << 20):
            pass
        answer.release_conn()
