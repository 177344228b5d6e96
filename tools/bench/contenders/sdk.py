"""The vendor's own SDK in the script that one writes with it: create, upload, poll, download; photo by photo, held in memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import autoenhance
import requests

from tools.bench.job import Job, service_of_environment
from tools.local_service import RESULT_BUCKET, SOURCE_BUCKET

_UNDER_WAY = ("waiting", "processing")


def run(job: Job) -> dict[str, Any]:
    """Enhance the folder; with a concurrency of 1 in a plain loop, else in threads."""
    service = service_of_environment()
    client: Any = autoenhance.Autoenhance(apiKey=service.api_key, baseURL=service.api)
    s3: Any = service.s3()

    def enhance(name: str) -> None:
        photo = s3.get_object(Bucket=SOURCE_BUCKET, Key=f"{job.source}/{name}")["Body"].read()
        created = client.create_image(image_name=name)
        headers = {"Content-Type": "image/jpeg"}
        requests.put(created.upload_url, data=photo, headers=headers, timeout=60).raise_for_status()
        while client.retrieve_image(id=created.image_id).status in _UNDER_WAY:
            time.sleep(job.poll_seconds)
        data = client.download_enhanced_image(id=created.image_id, preview=False, format="jpeg")
        s3.put_object(Bucket=RESULT_BUCKET, Key=f"{job.destination}/{name}", Body=bytes(data))

    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=SOURCE_BUCKET, Prefix=f"{job.source}/")
    names = [item["Key"].rpartition("/")[2] for page in pages for item in page.get("Contents", ())]
    if job.concurrency == 1:
        for name in names:
            enhance(name)
    else:
        with ThreadPoolExecutor(job.concurrency) as pool:
            list(pool.map(enhance, names))
    return {"tasks": 0}
