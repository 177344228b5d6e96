"""The search for secrets finds each, however it is spelled, packed or encrypted, and nothing where they were taken out."""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tools.leaks import LeakSearch, planted

SECRET = "pB5/jZ+q0w=Tk9yYt"
KEY = Fernet.generate_key().decode()
KINDS = planted(SECRET, KEY)
WITHOUT = planted("***", KEY)


@pytest.fixture
def search() -> LeakSearch:
    return LeakSearch({"a signature": [SECRET]}, [Fernet.generate_key().decode(), KEY])


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found(kind: str, search: LeakSearch) -> None:
    assert "a signature" in search.look(KINDS[kind])
    assert "a signature" in search.look(b"words before " + KINDS[kind]) or kind.startswith("packed by")


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_is_found_by_its_marks_alone(kind: str) -> None:
    unknown = LeakSearch({}, [KEY])
    assert unknown.look(KINDS[kind]) == (set() if kind == "in a text" else {"a presigned address"})


@pytest.mark.parametrize(
    "text",
    [
        "GET /a.jpg?Signature=***&Expires=1",
        "https://bucket.example/a.jpg",
        "Authorization: AWS4-HMAC-SHA256 Credential=***, SignedHeaders=host, Signature=***",
        'def f(signature="x"): ...',
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0",
    ],
)
def test_what_was_redacted_is_no_leak(text: str, search: LeakSearch) -> None:
    assert search.look(text.encode()) == set()


def test_without_secrets_only_addresses_are_looked_for() -> None:
    assert LeakSearch({}).look(b"anything") == set()


def test_a_database_is_read_value_by_value(tmp_path: Path, search: LeakSearch) -> None:
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database:
        database.execute("CREATE TABLE trigger (id INTEGER, kwargs TEXT, data BLOB)")
        database.execute("INSERT INTO trigger VALUES (1, 'all is well', NULL)")
        database.commit()
        assert search.files(tmp_path) == []
        told = zlib.compress(json.dumps({"reason": SECRET}).encode())
        database.execute("INSERT INTO trigger VALUES (2, ?, ?)", (KINDS["encrypted by Airflow"].decode(), told))
        database.commit()
    name = tmp_path / "airflow.db"
    assert {f"{name}: trigger.kwargs contains a signature", f"{name}: trigger.data contains a signature"} <= set(
        search.files(tmp_path)
    )
