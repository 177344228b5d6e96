"""What ``make e2e`` checks after each night: the accounts, the files, the manifests and the report."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tools.local_service import RESULT_BUCKET, SOURCE_BUCKET, LocalService

_MANIFEST = "autoenhance-manifest.jsonl"


@dataclass(frozen=True)
class NightBooks:
    """A night in numbers.

    :param created: images made, those included that were deleted again.
    :param live: images that are there.
    """

    photos: int
    created: int
    live: int
    credits: int


def check_night(service: LocalService, day: str, report: dict[str, Any]) -> tuple[NightBooks, list[str]]:
    """Count a night, and return what is wrong with it.

    :param report: what the report task returned.
    """
    sources, outputs = (_files(service, bucket, f"{day}/") for bucket in (SOURCE_BUCKET, RESULT_BUCKET))
    ledger = service.ledger()
    prefix = f"s3://{SOURCE_BUCKET}/"
    images = [image for image in ledger["images"] if str(image["metadata"].get("source")).startswith(f"{prefix}{day}/")]
    live = Counter(image["metadata"]["source"].removeprefix(prefix) for image in images if not image["deleted"])
    paid: Counter[str] = Counter()
    for image in images:
        paid[image["metadata"]["source"].removeprefix(prefix)] += ledger["credits"]["by_image"].get(
            image["image_id"], 0
        )
    books = NightBooks(len(sources), len(images), live.total(), paid.total())
    problems = [f"{key}: {live[key]} live images" for key in sources if live[key] != 1]
    problems += [f"{key}: {paid[key]} credits" for key in sources if paid[key] != 1]
    problems += _check_files(sources, outputs)
    problems += _left_hanging(service, day, outputs)
    if ledger["api_key_hosts"] != [urlsplit(service.api).netloc]:
        problems.append(f"the API key was seen on {', '.join(ledger['api_key_hosts']) or 'no host'}")
    said = {name: report.get(name) for name in ("photos", "landed", "credits", "failed_listings")}
    if said != {"photos": len(sources), "landed": len(sources), "credits": len(sources), "failed_listings": 0}:
        problems.append(f"the report says {said}, for {len(sources)} photos")
    return books, problems


def _check_files(sources: dict[str, bytes], outputs: dict[str, bytes]) -> Iterator[str]:
    """The sandbox hands uploads back as they are, so an output equals its source."""
    rows = {
        row["source"].removeprefix(f"s3://{SOURCE_BUCKET}/"): row
        for key, content in outputs.items()
        if key.endswith(_MANIFEST)
        for row in map(json.loads, content.splitlines())
    }
    for key, content in sources.items():
        digest = hashlib.sha256(content).hexdigest()
        said = [output["sha256"] for output in rows.get(key, {}).get("outputs", [])]
        if key not in outputs:
            yield f"{key}: there is no output"
        elif hashlib.sha256(outputs[key]).hexdigest() != digest:
            yield f"{key}: the output's SHA-256 is not the one that Autoenhance sent"
        if said != [digest]:
            yield f"{key}: the manifest has {said or 'no output'}"


def _left_hanging(service: LocalService, day: str, outputs: dict[str, bytes]) -> Iterator[str]:
    """What an ended night has no use for: proofs that a process lives, and uploads that nobody completes."""
    yield from (f"{key}: the lease of no process" for key in outputs if key.endswith(".lease"))
    uploads = service.s3().list_multipart_uploads(Bucket=RESULT_BUCKET, Prefix=f"{day}/").get("Uploads", [])
    yield from (f"{upload['Key']}: a multipart upload that nobody completed" for upload in uploads)


def _files(service: LocalService, bucket: str, prefix: str) -> dict[str, bytes]:
    s3 = service.s3()
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
