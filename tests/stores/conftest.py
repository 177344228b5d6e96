"""Real servers, which ``make stores`` starts and describes in a file: without it there is nothing to collect here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

ABOUT = os.environ.get("AUTOENHANCE_STORES")
PLACES: dict[str, dict[str, Any]] = (
    {each["name"]: each for each in json.loads(Path(ABOUT).read_text())} if ABOUT else {}
)

collect_ignore_glob = [] if ABOUT else ["test_*.py"]


class Store:
    """A folder of a test's own in a store.

    :param name: of the store.
    """

    def __init__(self, name: str) -> None:
        from airflow.sdk.io import attach

        self.name = name
        self.about = PLACES[name]
        self.conn_id = conn_id(name, "good")
        self.root = f"{self.about['root']}{uuid4().hex[:12]}/"
        self.filesystem = attach(self.root.partition("://")[0], self.conn_id).fs

    def path(self, uri: str) -> str:
        """What the filesystem calls a place."""
        rest = uri.partition("://")[2]
        return "/" + rest.partition("/")[2] if self.name == "sftp" else rest

    def put(self, uri: str, data: bytes) -> None:
        """Put a file as somebody else would."""
        path = self.path(uri)
        self.filesystem.pipe_file(path, data)

    def get(self, uri: str) -> bytes:
        """The bytes of a file."""
        self.filesystem.invalidate_cache()
        return bytes(self.filesystem.cat_file(self.path(uri)))

    def remove(self, uri: str) -> None:
        """Remove a file."""
        self.filesystem.rm_file(self.path(uri))
        self.filesystem.invalidate_cache()


def conn_id(store: str, kind: str) -> str:
    """Each store has its own: Airflow keeps one filesystem for each connection id."""
    return "".join(letter if letter.isalnum() else "_" for letter in f"{store} {kind}".lower())


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections of all stores."""
    for name, about in PLACES.items():
        for kind, connection in about["connections"].items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id(name, kind).upper()}", json.dumps(connection))


@pytest.fixture(params=list(PLACES))
def store(request: pytest.FixtureRequest, connections: None) -> Iterator[Store]:
    """An empty folder in each of the stores."""
    made = Store(request.param)
    if not made.filesystem.exists(root := made.path(made.about["root"]).rstrip("/")):
        made.filesystem.mkdir(root)
    yield made
