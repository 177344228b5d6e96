"""An S3 on loopback, reached as in production: through S3Hook and an Airflow connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest

from airflow_provider_autoenhance.storage.s3_client import forget_clients, s3_client

BUCKET = "listings"


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def aws_connection(address: str, **extra: Any) -> str:
    return json.dumps(
        {
            "conn_type": "aws",
            "login": "AKIAEXAMPLE",
            "password": "not-a-real-secret",
            "extra": {"endpoint_url": address, "region_name": "us-east-1", **extra},
        }
    )


@pytest.fixture
def s3(s3_address: str, aws_models: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty S3 with one bucket; the client is the one that the provider uses."""
    urlopen(Request(f"{s3_address}/moto-api/reset", method="POST")).read()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", aws_connection(s3_address))
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", aws_connection(s3_address))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    forget_clients()
    client = s3_client(None)
    client.create_bucket(Bucket=BUCKET)
    yield client
    forget_clients()
