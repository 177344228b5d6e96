"""The sandbox as the benchmarks use it: with delays like the real service's, TLS on every port, and its own cost known."""

from __future__ import annotations

import json
import os
import urllib.request
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tools.airflow_home import clean_environment
from tools.bench.photos import noisy_photo, numbered
from tools.local_service import RESULT_BUCKET, SOURCE_BUCKET, LocalService, start_local_service
from tools.processes import Children

#: Where OpenSSL, boto3 and requests look for the certificates to trust.
_TRUST = ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


_FILLERS = 8


@dataclass(frozen=True)
class Conditions:
    """How the far side behaves.

    :param latency_ms: added to each API call.
    :param processing_seconds: shortest and longest enhancement; any number at a time.
    :param tls: https on all ports, with a certificate made for the run.
    """

    latency_ms: float = 50.0
    processing_seconds: tuple[float, float] = (2.0, 5.0)
    tls: bool = True


@dataclass(frozen=True)
class BenchService:
    """A running sandbox and the environment that leads programs to it."""

    service: LocalService
    process: psutil.Process
    trust: dict[str, str]

    def environment(self) -> dict[str, str]:
        """Return the whole environment of a program that works with the sandbox."""
        return clean_environment() | self.service.connections | self.trust

    def fill(self, folder: str, count: int, size: int) -> None:
        """Put ``count`` whole JPEG files of ``size`` bytes below ``folder`` of the source bucket."""
        s3, photo = self.service.s3(), noisy_photo(size)

        def put(number: int) -> None:
            key = f"{folder}/{number:05}.jpg"
            s3.put_object(Bucket=SOURCE_BUCKET, Key=key, Body=numbered(photo, number), ContentType="image/jpeg")

        with ThreadPoolExecutor(_FILLERS) as pool:
            deque(pool.map(put, range(count)), maxlen=0)

    def reset(self, **settings: Any) -> None:
        """Forget orders, images and accounts; the buckets stay."""
        body = json.dumps({"keep_s3": True, **settings}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.service.api}/sandbox/reset", body, headers)
        with urllib.request.urlopen(request, timeout=600):
            pass

    def books(self) -> dict[str, Any]:
        """Return the ledger's totals."""
        with urllib.request.urlopen(f"{self.service.api}/sandbox/ledger?summary=true", timeout=60) as answer:
            return dict(json.load(answer))

    def results(self, folder: str) -> list[int]:
        """Return the sizes of the JPEG files below ``folder`` of the result bucket."""
        pages = self.service.s3().get_paginator("list_objects_v2").paginate(Bucket=RESULT_BUCKET, Prefix=f"{folder}/")
        return [item["Size"] for page in pages for item in page.get("Contents", ()) if item["Key"].endswith(".jpg")]

    def clear(self, folder: str, *, bucket: str = RESULT_BUCKET) -> None:
        """Delete what lies below a folder of a bucket."""
        s3 = self.service.s3()
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/"):
            keys = [{"Key": item["Key"]} for item in page.get("Contents", ())]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})

    def cpu_seconds(self) -> float:
        """Return the processor time that the sandbox and its S3 have taken so far."""
        total = 0.0
        for process in (self.process, *self.process.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
        return total


def api_calls(books: dict[str, Any]) -> int:
    """Count the calls to the API proper; uploads and downloads go to the asset host."""
    return sum(count for label, count in books["requests"].items() if " /v3/" in label)


@contextmanager
def bench_service(folder: Path, conditions: Conditions) -> Iterator[BenchService]:
    """Start the sandbox, with both buckets; stop it in the end.

    :param folder: gets its log, its files and its certificate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = [f"--latency-ms={conditions.latency_ms}", f"--data-dir={folder / 'sandbox'}", "--render=copy-big"]
    options += ["--daily-limit=0", "--credits=1000000", "--set=upload_digests=false", "--set=requests_per_second=0"]
    trust: dict[str, str] = {}
    if conditions.tls:
        authority, certificate, key = _certificate(folder)
        options += [f"--tls-cert={certificate}", f"--tls-key={key}"]
        trust = dict.fromkeys(_TRUST, str(authority))
    before = {name: os.environ.get(name) for name in _TRUST}
    with Children() as children:
        low, high = conditions.processing_seconds
        service = start_local_service(children, folder, processing_seconds=f"{low},{high}", more=options)
        process = next(each for each in psutil.Process().children() if "--render=copy-big" in each.cmdline())
        os.environ.update(trust)
        try:
            made = BenchService(_trusting(service, trust), process, trust)
            for bucket in (SOURCE_BUCKET, RESULT_BUCKET):
                made.service.s3().create_bucket(Bucket=bucket)
            yield made
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def _certificate(folder: Path) -> tuple[Path, Path, Path]:
    """Make an authority for this run, and a certificate and key for loopback."""
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    paths = folder / "authority.pem", folder / "certificate.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(str(paths[0]))
    paths[1].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(paths[2]))
    paths[2].chmod(0o600)
    return paths


def _trusting(service: LocalService, trust: dict[str, str]) -> LocalService:
    """Let both Airflow connections name the certificate's authority."""
    if not trust:
        return service
    changed = {}
    for name, text in service.connections.items():
        connection = json.loads(text)
        connection["extra"] = {**connection.get("extra", {}), "verify": trust["SSL_CERT_FILE"]}
        changed[name] = json.dumps(connection)
    return LocalService(changed)
