from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    DestinationError,
    IntegrityError,
    ServerError,
    SourceError,
    UnreachableError,
)
from airflow_provider_autoenhance.storage import CheckedReader, list_files, open_destination, open_source

try:
    from airflow.sdk.io import attach
except ImportError:
    from airflow.io.store import attach

PHOTO = os.urandom(2_500_000)


class Store(MemoryFileSystem):
    """A store in memory that can be told to fail."""

    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012 - fsspec's own shape
    pseudo_dirs = [""]  # noqa: RUF012
    failing: Exception | None = None
    trickling = False
    calls: list[str] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(path.removeprefix("gs://") if isinstance(path, str) else path)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        self._maybe_fail()
        return super().info(path, **options)

    def put_file(self, lpath: str, rpath: str, content_type: str | None = None, **options: Any) -> None:
        self._maybe_fail()
        self.calls.append(f"put {rpath} as {content_type}")
        super().put_file(lpath, rpath, **options)
        if self.trickling:
            self.pipe_file(rpath, b"half of it")

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        self._maybe_fail()
        super().pipe_file(path, value, **options)

    def _maybe_fail(self) -> None:
        if self.failing:
            raise self.failing


STORE = Store()
for scheme in ("memory", "gs"):
    attach(scheme, fs=STORE)
    attach(scheme, conn_id="shelf", fs=STORE)


@pytest.fixture
def store() -> Iterator[Store]:
    """The same files behind a store that renames (memory://) and one whose puts are atomic (gs://)."""
    Store.store.clear()
    Store.pseudo_dirs[:] = [""]
    STORE.failing, STORE.trickling, STORE.calls = None, False, []
    yield STORE
    STORE.failing = None


def files(store: Store) -> list[str]:
    return sorted(store.find(""))


def put(uri: str, data: bytes = PHOTO) -> None:
    open_destination(uri).write(io.BytesIO(data), size=len(data), content_type="image/jpeg")


class TestTransfer:
    def test_reads_what_was_written(self, store: Store) -> None:
        destination = open_destination("memory://shelf@bucket/42/kitchen.jpg")
        stored = destination.write(io.BytesIO(PHOTO), size=len(PHOTO), content_type="image/jpeg")
        assert (stored.uri, stored.size) == ("memory://bucket/42/kitchen.jpg", len(PHOTO))
        assert stored.sha256 == hashlib.sha256(PHOTO).hexdigest()
        with open_source("memory://bucket/42/kitchen.jpg", conn_id="shelf") as source:
            assert (source.uri, source.name, source.size) == (stored.uri, "kitchen.jpg", len(PHOTO))
            assert source.etag == stored.etag is not None
            assert source.peek(3) == PHOTO[:3]
            assert source.read() == PHOTO

    def test_is_written_beside_its_place_and_renamed(self, store: Store) -> None:
        put("memory://bucket/a.jpg")
        assert store.calls[0].startswith("put /bucket/.autoenhance-")
        assert files(store) == ["/bucket/a.jpg"]

    def test_an_object_store_is_put_in_one(self, store: Store) -> None:
        put("gs://bucket/a.jpg")
        assert store.calls == ["put /bucket/a.jpg as image/jpeg"]

    def test_a_damaged_body_touches_nothing(self, store: Store) -> None:
        put("memory://bucket/a.jpg", b"the earlier one")
        store.calls.clear()
        body = CheckedReader(io.BytesIO(b"abc"), name="kitchen.jpg", size=3, digests={"md5": "0" * 32})
        with pytest.raises(IntegrityError, match=r"kitchen\.jpg"):
            open_destination("memory://bucket/a.jpg").write(body, size=3, content_type="image/jpeg")
        assert store.calls == []
        assert store.cat_file("/bucket/a.jpg") == b"the earlier one"

    def test_a_store_that_keeps_less_is_noticed(self, store: Store) -> None:
        store.trickling = True
        with pytest.raises(IntegrityError, match="10 of 2500000 bytes"):
            put("memory://bucket/a.jpg")

    def test_a_failed_put_leaves_no_partial_file(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise TimeoutError("https://store/?sig=secret")

        monkeypatch.setattr(store, "mv", refuse)
        with pytest.raises(UnreachableError) as caught:
            put("memory://bucket/a.jpg")
        assert "secret" not in str(caught.value)
        assert files(store) == []

    def test_a_folder_is_no_file(self, store: Store) -> None:
        put("memory://bucket/42/a.jpg")
        with pytest.raises(SourceError, match="is a folder"):
            open_source("memory://bucket/42")
        with pytest.raises(DestinationError, match="is a folder"):
            put("memory://bucket/42/")

    def test_a_filesystem_with_its_own_idea_of_caching(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        put("memory://bucket/a.jpg", b"abc")
        original = store.open

        def picky(path: str, mode: str = "rb", block_size: Any = None) -> Any:
            return original(path, mode)

        monkeypatch.setattr(store, "open", picky)
        with open_source("memory://bucket/a.jpg") as source:
            assert source.read() == b"abc"


class TestLookingFirst:
    @pytest.mark.parametrize("uri", ["memory://bucket/new/a.jpg", "memory://bucket/new/", "memory://bucket/a.jpg"])
    def test_checking_leaves_no_file(self, store: Store, uri: str) -> None:
        open_destination(uri).check_writable()
        assert files(store) == []

    def test_a_store_that_refuses(self, store: Store) -> None:
        store.failing = PermissionError("no")
        with pytest.raises(DestinationError, match=r"access denied \(connection 'shelf'\)"):
            open_destination("memory://shelf@bucket/a.jpg").check_writable()

    def test_stat(self, store: Store) -> None:
        destination = open_destination("memory://bucket/a.jpg")
        assert destination.stat() is None
        put("memory://bucket/a.jpg", b"abc")
        found = destination.stat()
        assert found is not None
        assert found.size == 3
        assert open_destination("memory://bucket").stat() is None
        store.failing = OSError("down")
        with pytest.raises(UnreachableError):
            destination.stat()


class TestListing:
    def test_everything_in_order(self, store: Store) -> None:
        for name in ("42/b.jpg", "42/a.JPG", "42/sub/c.jpg", "43/d.jpg"):
            put(f"memory://bucket/{name}", name.encode())
        found = list(list_files("memory://shelf@bucket/42"))
        assert [file.uri for file in found] == [
            f"memory://bucket/42/{name}" for name in ("a.JPG", "b.jpg", "sub/c.jpg")
        ]
        for file in found:
            with open_source(file.uri) as source:
                assert (source.size, source.etag) == (file.size, file.etag)
        narrow = list_files("memory://bucket/42/", recursive=False, include=["*.jpg"], exclude=["a*"])
        assert [file.name for file in narrow] == ["b.jpg"]

    def test_an_empty_folder_and_a_single_file(self, store: Store) -> None:
        put("memory://bucket/42/a.jpg", b"x")
        assert list(list_files("memory://bucket/nothing")) == []
        assert [file.uri for file in list_files("memory://bucket/42/a.jpg")] == ["memory://bucket/42/a.jpg"]


class AnswerError(Exception):
    def __init__(self, **attributes: Any) -> None:
        super().__init__("https://store/a?sig=secret")
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("failure", "kind", "says"),
    [
        (FileNotFoundError("x"), SourceError, "does not exist"),
        (AnswerError(status_code=404), SourceError, "does not exist"),
        (AnswerError(status=403), SourceError, "access denied"),
        (AnswerError(code="401"), SourceError, "access denied"),
        (NotADirectoryError("x"), SourceError, "is not where a file can be"),
        (ImportError("x", name="gcsfs"), SourceError, r"not installed \(gcsfs\)"),
        (AnswerError(status_code=503), ServerError, "try again"),
        (AnswerError(), ServerError, "try again"),
        (ConnectionResetError("x"), UnreachableError, "try again"),
        (TimeoutError("x"), UnreachableError, "try again"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_store_can_say(store: Store, failure: Exception, kind: type[AutoenhanceError], says: str) -> None:
    store.failing = failure
    with pytest.raises(kind, match=says) as caught:
        open_source("memory://bucket/a.jpg")
    assert "memory://bucket/a.jpg" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.retryable is (kind is not SourceError)


def test_a_connection_that_does_not_exist(store: Store) -> None:
    class AirflowNotFoundException(Exception):  # noqa: N818 - Airflow's name, which has moved between versions
        status_code = 404

    store.failing = AirflowNotFoundException()
    with pytest.raises(SourceError, match="no Airflow connection 'shelf'"):
        open_source("memory://shelf@bucket/a.jpg")


def test_a_bucket_that_does_not_exist(store: Store) -> None:
    store.failing = FileNotFoundError("x")
    with pytest.raises(DestinationError, match="its bucket or folder does not exist"):
        open_destination("gs://bucket/a.jpg").check_writable()


def test_a_scheme_that_nobody_knows() -> None:
    with pytest.raises(SourceError, match=r"no filesystem for nosuch://\. Install the provider"):
        open_source("nosuch://bucket/a.jpg")


def test_the_uri_that_airflow_itself_writes_is_understood(store: Store) -> None:
    """str(ObjectStoragePath(...)) carries the connection id."""
    put("gs://bucket/a.jpg", b"abc")
    with open_source("gs://shelf@bucket/a.jpg") as source:
        assert source.read() == b"abc"
        assert source.uri == "gs://bucket/a.jpg"
