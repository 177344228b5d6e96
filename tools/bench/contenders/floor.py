"""The least that any program can do: five exchanges per photo and a poll per order, in threads; no checks, no retries, no books."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urljoin

from tools.bench.job import Job, service_of_environment
from tools.local_service import RESULT_BUCKET, SOURCE_BUCKET

_BLOCK = 1 << 20
_ORDER_SIZE = 250


class Floor:
    """The loop's two clients."""

    def __init__(self, job: Job) -> None:
        import boto3
        import urllib3
        from botocore.config import Config

        self.job = job
        service = service_of_environment()
        self._api = service.api
        self._headers = {
            "x-api-key": service.api_key,
            "x-api-version": "2025-08-31",
            "Content-Type": "application/json",
        }
        self._http = urllib3.PoolManager(maxsize=job.concurrency, num_pools=4, blocksize=_BLOCK)
        connection = json.loads(service.connections["AIRFLOW_CONN_AWS_DEFAULT"])
        config = Config(
            max_pool_connections=2 * job.concurrency,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"payload_signing_enabled": False, "addressing_style": "path"},
        )
        self._s3 = boto3.client(
            "s3",
            endpoint_url=connection["extra"]["endpoint_url"],
            region_name="us-east-1",
            aws_access_key_id=connection["login"],
            aws_secret_access_key=connection["password"],
            config=config,
        )

    def names(self) -> list[str]:
        """List the folder; each photo by its path in it."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=SOURCE_BUCKET, Prefix=f"{self.job.source}/")
        return [item["Key"].removeprefix(f"{self.job.source}/") for page in pages for item in page.get("Contents", ())]

    def upload(self, name: str, order_id: str) -> tuple[str, str]:
        """Create an image and send its bytes from bucket to upload URL; returns its id and name."""
        body = json.dumps({"image_name": name, "order_id": order_id}).encode()
        created = self._http.request("POST", f"{self._api}/v3/images/", body=body, headers=self._headers).json()
        photo = self._s3.get_object(Bucket=SOURCE_BUCKET, Key=f"{self.job.source}/{name}")
        headers = {"Content-Type": "image/jpeg", "Content-Length": str(photo["ContentLength"])}
        answer = self._http.request("PUT", created["upload_url"], body=photo["Body"], headers=headers)
        if answer.status != 200:
            raise SystemExit(f"upload answered {answer.status}")
        return created["image_id"], name

    def ready(self, order_id: str) -> set[str]:
        """Poll an order; returns the ids of its enhanced images."""
        order = self._http.request("GET", f"{self._api}/v3/orders/{order_id}", headers=self._headers).json()
        return {image["image_id"] for image in order["images"] if image["status"] == "processed"}

    def download(self, image_id: str, name: str) -> None:
        """Send an enhanced image's bytes from the asset host to the bucket."""
        url = f"{self._api}/v3/images/{image_id}/enhanced?format=jpeg&preview=false"
        moved = self._http.request("GET", url, headers=self._headers, redirect=False)
        where = urljoin(url, moved.headers["Location"])
        photo = self._http.request("GET", where, preload_content=False)
        size = int(photo.headers["Content-Length"])
        key = f"{self.job.destination}/{name}"
        self._s3.put_object(Bucket=RESULT_BUCKET, Key=key, Body=photo, ContentLength=size, ContentType="image/jpeg")
        photo.release_conn()


def run(job: Job) -> dict[str, Any]:
    """Upload all, and download each as soon as a poll shows it enhanced."""
    floor = Floor(job)
    names = floor.names()
    orders = [str(uuid.uuid4()) for _ in range(0, len(names), _ORDER_SIZE)]
    with ThreadPoolExecutor(job.concurrency) as pool:
        submitted = [pool.submit(floor.upload, name, orders[at // _ORDER_SIZE]) for at, name in enumerate(names)]
        downloads: dict[str, Future[None]] = {}
        while len(downloads) < len(names):
            time.sleep(job.poll_seconds)
            known = dict(each.result() for each in submitted if each.done())
            for order_id in orders[: 1 + (len(known) - 1) // _ORDER_SIZE]:
                for image_id in floor.ready(order_id) - downloads.keys():
                    if image_id in known:
                        downloads[image_id] = pool.submit(floor.download, image_id, known[image_id])
        for each in downloads.values():
            each.result()
    return {"tasks": 0}
