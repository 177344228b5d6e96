"""Over https an MD5 that the sender vouches for is checked by S3 itself, before it publishes anything."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import AutoenhanceError, IntegrityError
from airflow_provider_autoenhance.storage import CheckedReader, open_destination
from airflow_provider_autoenhance.storage.s3_client import forget_clients, s3_client

from .conftest import BUCKET, aws_connection
from .web_host import certificate

PHOTO = os.urandom(1_000_000)
MD5 = hashlib.md5(PHOTO).hexdigest()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The sandbox's S3 on https: its address, and the certificate to trust."""
    folder = tmp_path_factory.mktemp("s3")
    trusted = certificate(folder, "localhost")
    options = {"host": "127.0.0.1", "port": 0, "tls": [str(folder / "host.pem")] * 2, "names": []}
    command = [sys.executable, "-m", "airflow_provider_autoenhance.sandbox.store.s3", json.dumps(options)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"https://localhost:{json.loads(process.stdout.readline())['port']}", trusted
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


@pytest.fixture(params=["legacy", "standard"])
def s3(store: tuple[str, Path], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket with one object; botocore's ``legacy`` retries repeat what was refused for its digest, and a stream cannot be repeated."""
    address, trusted = store
    retries = {"retries": {"mode": request.param}}
    connection = aws_connection(address, verify=str(trusted), config_kwargs=retries)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection)
    forget_clients()
    client = s3_client(None)
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key="a.jpg", Body=b"the earlier one")
    yield client
    forget_clients()


def write(digests: dict[str, str]) -> tuple[CheckedReader, Any]:
    body = CheckedReader(io.BytesIO(PHOTO), name="kitchen.jpg", size=len(PHOTO), digests=digests)
    return body, open_destination(f"s3://{BUCKET}/a.jpg").write(body, size=len(PHOTO), content_type="image/jpeg")


def kept(s3: Any) -> bytes:
    data: bytes = s3.get_object(Bucket=BUCKET, Key="a.jpg")["Body"].read()
    return data


def test_the_store_checks_what_the_sender_vouches_for(s3: Any) -> None:
    body, stored = write({"md5": MD5})
    assert (stored.md5, stored.etag, stored.sha256) == (MD5, MD5, hashlib.sha256(PHOTO).hexdigest())
    assert body.hexdigest("md5") is None, "computed twice"
    assert kept(s3) == PHOTO


def test_other_bytes_are_not_published(s3: Any) -> None:
    with pytest.raises(AutoenhanceError, match=r"try again|Nothing was published") as caught:
        write({"md5": "0" * 32})
    assert caught.value.retryable
    assert kept(s3) == b"the earlier one"


def test_another_digest_is_checked_here(s3: Any) -> None:
    with pytest.raises(IntegrityError, match="sha256"):
        write({"sha256": "0" * 64})
    assert kept(s3) == b"the earlier one"


def test_without_a_digest_the_size_counts(s3: Any) -> None:
    body, stored = write({})
    assert (body.hexdigest("md5"), stored.size) == (None, len(PHOTO))
    assert kept(s3) == PHOTO
