from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    DestinationError,
    IntegrityError,
    ServerError,
    SourceError,
    UnreachableError,
)
from airflow_provider_autoenhance.storage import (
    CheckedReader,
    list_files,
    object_errors,
    open_destination,
    open_source,
    read_range,
)
from airflow_provider_autoenhance.storage.location import locate

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

    def put_file(
        self, lpath: str, rpath: str, content_type: str | None = None, chunksize: int | None = None, **options: Any
    ) -> None:
        self._maybe_fail()
        self.chunksize = chunksize
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

    def test_a_store_holds_a_piece_of_a_file_at_a_time(self, store: Store) -> None:
        put("gs://bucket/a.jpg")
        assert store.chunksize is not None
        assert store.chunksize % 262_144 == 0  # or Google refuses it
        assert store.chunksize < len(PHOTO)

    def test_nothing_is_read_ahead_of_a_range(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        put("memory://bucket/a.jpg")
        original, asked = store.open, []

        def noticed(path: str, mode: str, **options: Any) -> Any:
            asked.append(options["cache_type"])
            return original(path, mode, **options)

        monkeypatch.setattr(store, "open", noticed)
        assert read_range("memory://bucket/a.jpg", 70_000, 65_536) == PHOTO[70_000:135_536]
        with open_source("memory://bucket/a.jpg") as source:
            assert source.read() == PHOTO
        assert asked == ["none", "readahead"]

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

    def test_a_missing_folder_and_a_single_file(self, store: Store) -> None:
        put("memory://bucket/42/a.jpg", b"x")
        with pytest.raises(SourceError, match="memory://bucket/nothing/ does not exist"):
            list(list_files("memory://bucket/nothing/"))
        assert [file.uri for file in list_files("memory://bucket/42/a.jpg")] == ["memory://bucket/42/a.jpg"]


class Blobs(AbstractFileSystem):
    """Finds blobs as Azure's filesystem does: by the beginning of their names, without a depth; a file's own name gives a list of it, and
    a container that is not there has none."""

    cachable = False
    protocol = "abfs"

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names

    def find(
        self, path: str, maxdepth: Any = None, withdirs: bool = False, detail: bool = False, prefix: str = ""
    ) -> Any:
        if path in self.names:
            return [path]
        return {name: self.info(name) for name in self.names if name.startswith(f"{path}/{prefix.strip('/')}")}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        if path in self.names:
            return {"name": path, "size": 1, "type": "file", "etag": path}
        if any(name.startswith(f"{path}/") for name in self.names):
            return {"name": path, "size": None, "type": "directory"}
        raise FileNotFoundError(path)


class TestListingBlobs:
    @pytest.fixture(params=["abfs", "adl"])
    def root(self, request: pytest.FixtureRequest) -> str:
        names = ("in/a.jpg", "in/a.jpg2", "in/a.jpg/b.jpg", "in/sub/c.jpg", "in/sub/deep/d.jpg", "in2/e.jpg")
        attach(request.param, conn_id="blobs", fs=Blobs(*(f"photos/{name}" for name in names)))
        return f"{request.param}://blobs@photos/"

    def listed(self, uri: str, **options: Any) -> list[str]:
        return [file.uri.partition("photos/")[2] for file in list_files(uri, **options)]

    def test_everything_below_a_folder(self, root: str) -> None:
        expected = ["in/a.jpg", "in/a.jpg/b.jpg", "in/a.jpg2", "in/sub/c.jpg", "in/sub/deep/d.jpg"]
        assert self.listed(f"{root}in/") == self.listed(f"{root}in") == expected

    def test_only_what_lies_in_a_folder_itself(self, root: str) -> None:
        assert self.listed(f"{root}in/", recursive=False) == ["in/a.jpg", "in/a.jpg2"]
        assert self.listed(f"{root}in/sub", recursive=False) == ["in/sub/c.jpg"]

    def test_a_single_file(self, root: str) -> None:
        assert self.listed(f"{root}in/a.jpg2") == ["in/a.jpg2"]
        assert self.listed(f"{root}in/a.jpg/") == ["in/a.jpg/b.jpg"]

    def test_what_is_missing(self, root: str) -> None:
        assert self.listed(f"{root}nothing/") == []
        with pytest.raises(SourceError, match="no bucket or container 'nosuch' .connection 'blobs'"):
            self.listed(f"{root.replace('photos', 'nosuch')}in/")


class Linked(MemoryFileSystem):
    """A disk behind a protocol, with links and a folder that may not be read."""

    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012 - fsspec's own shape
    pseudo_dirs = ["", "/in", "/in/locked", "/out"]  # noqa: RUF012
    links = {"/in/linked.jpg": "/in/a.jpg", "/in/lost.jpg": "/in/nosuch", "/in/elsewhere": "/out"}  # noqa: RUF012

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        if path == "/in/locked":
            raise PermissionError(path)
        found = [{**entry, "name": path + entry["name"].removeprefix(self.links.get(path, path))}
                 for entry in super().ls(self.links.get(path, path), detail=True)]  # fmt: skip
        return found + [
            {"name": name, "size": 9, "type": "link"} for name in self.links if name.rpartition("/")[0] == path
        ]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        return super().info(self.links.get(path, path), **options)


class TestListingADisk:
    @pytest.fixture(autouse=True)
    def disk(self) -> None:
        attach("sftp", conn_id="disk", fs=(disk := Linked()))
        for path in ("/in/a.jpg", "/out/b.jpg"):
            disk.pipe_file(path, b"x")

    def test_links_to_files_are_followed(self, caplog: pytest.LogCaptureFixture) -> None:
        found = list(list_files("sftp://disk@files/in/"))
        assert [(file.name, file.size) for file in found] == [("a.jpg", 1), ("linked.jpg", 1)]
        for reason in (
            "lost.jpg (a link that leads nowhere)",
            "elsewhere (a link to a folder)",
            "locked (permission denied)",
        ):
            assert reason in caplog.text

    def test_of_a_destination_all_must_be_known(self) -> None:
        with pytest.raises(SourceError, match="access denied"):
            list(list_files("sftp://disk@files/in/", strict=True))
        Linked.pseudo_dirs.remove("/in/locked")
        try:
            found = list(list_files("sftp://disk@files/in/", strict=True))
        finally:
            Linked.pseudo_dirs.append("/in/locked")
        assert [file.uri for file in found if file.name == "b.jpg"] == ["sftp://files/in/elsewhere/b.jpg"]


def named(name: str, *bases: type[Exception], **attributes: Any) -> Exception:
    """An exception of a library that is not installed here."""
    error: Exception = type(name, bases or (Exception,), {})("https://store/a?sig=secret")
    error.__dict__.update(attributes)
    return error


@pytest.mark.parametrize(
    ("failure", "kind", "says"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "/keys/a"),
            SourceError,
            "the key file that connection 'shop' names cannot be read",
        ),
        (PermissionError(13, "Permission denied", "/keys/a"), SourceError, "cannot be read: permission denied"),
        (
            PermissionError("Permission denied for user"),
            SourceError,
            "does not take the credentials of connection 'shop'",
        ),
        (named("RefreshError"), SourceError, "does not take the credentials of connection 'shop'"),
        (named("DefaultCredentialsError"), SourceError, "no credentials .* Fill in connection 'shop'"),
        (ValueError("Must provide either a connection_string"), SourceError, "connection 'shop' cannot be used"),
        (named("KeyImportError", ValueError), SourceError, "Check its key"),
        (named("HostKeyNotVerifiable", named("DisconnectError").__class__), SourceError, "whom it trusts"),
        (ImportError("needs sshfs"), SourceError, r"lacks a library\. Install apache-airflow-providers-sftp\[sshfs\]"),
        (ConnectionRefusedError(111, "refused"), UnreachableError, "server of connection 'shop' cannot be reached"),
        (named("AirflowNotFoundException"), SourceError, "there is no Airflow connection 'shop'"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_connection_can_lack(failure: Exception, kind: type[AutoenhanceError], says: str) -> None:
    location = locate("sftp://shop@files/a.jpg", conn_id=None, error=SourceError)
    told = object_errors.explain_connection(failure, location, SourceError)
    assert type(told) is kind
    assert re.search(says, str(told)), told
    assert "secret" not in str(told)


class AnswerError(Exception):
    def __init__(self, **attributes: Any) -> None:
        super().__init__("https://store/a?sig=secret")
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("failure", "kind", "says"),
    [
        (FileNotFoundError("x"), SourceError, "does not exist"),
        (AnswerError(error_code="ContainerNotFound", status_code=404), SourceError, "no bucket or container 'bucket'"),
        (AnswerError(error_code="AuthenticationFailed", status_code=403), SourceError, "does not take the credentials"),
        (OSError("Forbidden: https://store/a?sig=secret"), SourceError, "access denied"),
        (AnswerError(code=3), ServerError, "try again"),
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
