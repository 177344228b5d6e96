"""The local Autoenhance and S3 that ``make demo`` and ``make up`` work with, and the sample photos in it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import sys
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from tools.airflow_home import REPOSITORY, clean_environment
from tools.processes import Children, ProcessError

PHOTOS = REPOSITORY / "samples" / "photos"
SOURCE_BUCKET = "listings"
RESULT_BUCKET = "enhanced"
PHOTOGRAPHERS = ZoneInfo("Europe/London")  # as in dags/autoenhance_nightly.py
_START_SECONDS = 60


@dataclass(frozen=True)
class LocalService:
    """A running sandbox.

    :param connections: the ``AIRFLOW_CONN_...`` variables that connect an Airflow to it.
    """

    connections: dict[str, str]

    @property
    def api(self) -> str:
        """The address of the Autoenhance API."""
        connection = self._connection("AUTOENHANCE")
        host = str(connection["host"])
        return host if "://" in host else f"http://{host}:{connection['port']}"

    @property
    def is_free(self) -> bool:
        """Whether it is a sandbox, which is the Autoenhance and the S3 of one host, and not the real Autoenhance."""
        endpoint = self._connection("AWS")["extra"]["endpoint_url"]
        return urlsplit(self.api).hostname == urlsplit(endpoint).hostname

    @property
    def assets(self) -> str:
        """The address of the host that takes uploads and hands out results."""
        with urllib.request.urlopen(f"{self.api}/sandbox/health", timeout=30) as answer:
            return str(json.load(answer)["assets"])

    @property
    def api_key(self) -> str:
        """The API key of its account, made for this run."""
        return str(self._connection("AUTOENHANCE")["password"])

    @property
    def s3_secret(self) -> str:
        """The secret key of its S3, which takes any; made for this run."""
        return str(self._connection("AWS")["password"])

    def signatures(self) -> list[str]:
        """Return the signature of each presigned address that it has handed out."""
        with urllib.request.urlopen(f"{self.api}/sandbox/signatures", timeout=30) as answer:
            return list(json.load(answer))

    def add_faults(self, *rules: dict[str, Any]) -> None:
        """Let some of what it is asked go wrong, as ``POST /sandbox/faults`` takes it."""
        self._post("faults", rules)

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        with urllib.request.urlopen(urllib.request.Request(f"{self.api}/sandbox/faults", method="DELETE"), timeout=30):
            pass

    def ledger(self) -> dict[str, Any]:
        """Return its books: what was created, uploaded, bought and deleted, and who saw an API key."""
        with urllib.request.urlopen(f"{self.api}/sandbox/ledger", timeout=30) as answer:
            return dict(json.load(answer))

    def settings(self, **changes: Any) -> None:
        """Change how it behaves."""
        self._post("settings", changes)

    def s3(self) -> Any:
        """Return a boto3 client of its S3."""
        import boto3
        from botocore.config import Config

        connection = self._connection("AWS")
        extra = connection.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
        return boto3.client(
            "s3",
            endpoint_url=extra["endpoint_url"],
            region_name=extra.get("region_name", "us-east-1"),
            aws_access_key_id=connection["login"],
            aws_secret_access_key=connection["password"],
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=64),
        )

    def _post(self, what: str, body: Any) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.api}/sandbox/{what}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30):
            pass

    def _connection(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.connections[f"AIRFLOW_CONN_{name}_DEFAULT"]))


def start_local_service(
    children: Children,
    folder: Path,
    *,
    port: int = 0,
    s3_port: int = 0,
    processing_seconds: str = "1,3",
    more: Sequence[str] = (),
) -> LocalService:
    """Start the sandbox and wait until it answers.

    :param folder: gets its log, which the API key and the S3 keys are kept out of.
    :param port: of the API; 0 takes a free one.
    :param s3_port: of S3; 0 takes a free one.
    :param processing_seconds: how long an enhancement takes, ``MIN,MAX``.
    :param more: further options of the sandbox.
    """
    options = {
        "--port": port,
        "--s3-port": s3_port,
        "--asset-port": 0,
        "--processing-seconds": processing_seconds,
    }
    command = [sys.executable, "-m", "airflow_provider_autoenhance.sandbox"]
    child = children.start(
        "sandbox",
        [*command, *(str(word) for option in options.items() for word in option), *more],
        environment=clean_environment() | {"AUTOENHANCE_SANDBOX_API_KEY": secrets.token_hex(16)},
        log=folder / "sandbox.log",
        private=lambda line: line.startswith("export "),
    )
    child.wait_for_line("ready", seconds=_START_SECONDS)
    words = [word for line in child.private_lines for word in shlex.split(line)[1:]]
    connections = dict(word.split("=", 1) for word in words)
    for name in ("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", "AIRFLOW_CONN_AWS_DEFAULT"):
        if name not in connections:
            raise ProcessError(f"sandbox did not print {name}: {child.log}")
    aws = json.loads(connections["AIRFLOW_CONN_AWS_DEFAULT"])
    keys = {"login": f"AKIA{secrets.token_hex(8).upper()}", "password": secrets.token_urlsafe(30)}
    return LocalService(connections | {"AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws | keys)})


def sample_photos(*, brackets: bool) -> list[Path]:
    """Return the sample photos.

    :param brackets: with all the shots of an exposure bracket; else with its middle one alone, as a photo of its own.
    """
    photos = sorted(PHOTOS.glob("*/*.jpg"))
    return photos if brackets else middle_shots(photos)


def middle_shots(photos: Iterable[Path]) -> list[Path]:
    """Return the middle shot of each exposure bracket, and the photos that stand alone."""
    scenes: dict[str, list[Path]] = {}
    for photo in photos:
        scene = re.sub(r"-\d$", "", str(photo.with_suffix("")))
        scenes.setdefault(scene, []).append(photo)
    return [shots[len(shots) // 2] for shots in scenes.values()]


def fill_buckets(service: LocalService, photos: list[Path], *, all_dags: bool = False) -> None:
    """Make both buckets and put the photos, one folder per listing, into the first.

    :param all_dags: put them where the DAG for print looks too, and into today's folder, where the nightly DAG looks when it is triggered;
        and one shot of each view into those of the days before, of which Airflow runs one as soon as it starts.
    """
    folders = {"": photos}
    if all_dags:
        today, *before = sample_days()
        folders |= {f"{today}/": photos, "print/": photos} | {f"{day}/": middle_shots(photos) for day in before}
    s3 = service.s3()
    for bucket in (SOURCE_BUCKET, RESULT_BUCKET):
        s3.create_bucket(Bucket=bucket)
    for folder, found in folders.items():
        for photo in found:
            key = folder + key_of(photo)
            s3.upload_file(str(photo), SOURCE_BUCKET, key, ExtraArgs={"ContentType": "image/jpeg"})


def sample_days() -> list[str]:
    """Return today, yesterday and the day before: Airflow starts with the nightly run of one of the last two."""
    today = datetime.now(PHOTOGRAPHERS).date()
    return [(today - timedelta(days=days)).isoformat() for days in range(3)]


def key_of(photo: Path) -> str:
    """Return the key of a sample photo in the bucket."""
    return photo.relative_to(PHOTOS).as_posix()


def main() -> None:
    """Fill the buckets of docker-compose.yaml; without photos where the real Autoenhance would be paid for them."""
    service = LocalService({name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_CONN_")})
    photos = sample_photos(brackets=True) if service.is_free else []
    fill_buckets(service, photos, all_dags=True)
    print(f"{len(photos)} sample photos lie in s3://{SOURCE_BUCKET}/")


if __name__ == "__main__":
    main()
