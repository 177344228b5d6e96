"""Which connections lead to one store."""

from __future__ import annotations

import json
from itertools import product

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_autoenhance.api.errors import SourceError
from airflow_provider_autoenhance.storage import path_in_store, same_store
from airflow_provider_autoenhance.storage.location import Location, locate
from airflow_provider_autoenhance.storage.s3_client import forget_clients

try:
    from airflow.sdk.io import attach
except ImportError:
    from airflow.io.store import attach

CONNECTIONS = {
    "london": {"region_name": "eu-west-2"},
    "oregon": {"region_name": "us-west-2"},
    "global": {},
    "dualstack": {"endpoint_url": "https://s3.dualstack.eu-west-2.amazonaws.com"},
    "peking": {"region_name": "cn-north-1"},
    "minio": {"endpoint_url": "http://minio.example:9000"},
    "minio-again": {"endpoint_url": "http://MINIO.example:9000/"},
    "minio-beside": {"endpoint_url": "http://minio.example:9001"},
    "here": {"endpoint_url": "http://localhost:9000"},
    "here-too": {"endpoint_url": "http://127.0.0.1:9000"},
}


class Azure(MemoryFileSystem):
    cachable = False


def place(conn_id: str | None, scheme: str = "s3") -> Location:
    return locate(f"{scheme}://photos/in/", conn_id=conn_id, error=SourceError)


@pytest.mark.usefixtures("aws_models")
def test_an_endpoint_is_a_store_and_a_region_of_aws_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, extra in CONNECTIONS.items():
        about = {"conn_type": "aws", "login": "key", "password": "secret", "extra": json.dumps(extra)}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(about))
    forget_clients()
    stores = [
        ["london", "oregon", "global", "dualstack"], ["peking"], ["minio", "minio-again"], ["minio-beside"], ["here", "here-too"],
    ]  # fmt: skip
    of = {name: number for number, names in enumerate(stores) for name in names}
    assert of.keys() == CONNECTIONS.keys()
    for (one, its), (other, others) in product(of.items(), repeat=2):
        assert same_store(place(one), place(other)) == (its == others), (one, other)
    assert path_in_store(place("london"), place("oregon")) == ""
    assert path_in_store(place("london"), place("minio")) is None


def test_an_account_is_a_store() -> None:
    for name, account in (("north", "one"), ("north-again", "one"), ("south", "two")):
        attach("abfs", conn_id=name, fs=Azure(account_name=account))
    assert same_store(place("north", "abfs"), place("north-again", "abfs"))
    assert not same_store(place("north", "abfs"), place("south", "abfs"))
    assert path_in_store(place("north", "abfs"), place("south", "abfs")) is None


def test_a_disk_is_one_store() -> None:
    one, other = (locate("/data/in/", conn_id=conn_id, error=SourceError) for conn_id in ("a", None))
    assert path_in_store(one, other) == ""
