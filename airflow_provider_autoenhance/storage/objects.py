"""Every other store that Airflow has a filesystem for (gs://, abfs://, sftp:// ...), through that."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    DestinationError,
    IntegrityError,
    ServerError,
    SourceError,
    UnreachableError,
)
from airflow_provider_autoenhance.storage.base import (
    OWN_PREFIX,
    Destination,
    Reader,
    Source,
    Store,
    StoredFile,
    clean_etag,
)
from airflow_provider_autoenhance.storage.location import Location
from airflow_provider_autoenhance.storage.streams import checked
from airflow_provider_autoenhance.storage.temporary import temporary_copy

#: Bytes that a filesystem reads ahead: each block is a request.
_READAHEAD = 1 << 20

#: What filesystems call the account or server behind them.
_SERVER = ("account_name", "host", "port", "endpoint_url", "endpoint")

_AZURE = frozenset({"abfs", "abfss", "az", "wasb", "wasbs"})
_ATOMIC_PUT = _AZURE | {"gs", "gcs", "adl", "oss", "oci", "cos", "r2"}
"""Object stores: a put appears whole or not at all. Elsewhere it grows, so it is made beside its place and renamed."""


class ObjectStore(Store):
    """A file or folder of any store that Airflow has a filesystem for."""

    @property
    def service(self) -> str:
        """The account or server that the connection leads to, as far as its filesystem shows."""
        with self.explained(SourceError):
            filesystem, _ = self.attach(SourceError)
        found = {name: getattr(filesystem, name, None) or filesystem.storage_options.get(name) for name in _SERVER}
        return repr([*filesystem.storage_args, *sorted((name, str(value)) for name, value in found.items() if value)])

    def open(self) -> Source:
        """Open a file for reading."""
        with self.explained(SourceError):
            filesystem, path = self.attach(SourceError)
            info = filesystem.info(path)
            if info.get("type") == "directory":
                raise SourceError(f"{self.location.uri} is a folder, not a file.")
            file = _open(filesystem, path)
        return self.source(_stored(self.location.uri, info), file).on_close(file.close)

    def list(self, *, recursive: bool, strict: bool) -> Iterator[StoredFile]:
        """Yield the files under a folder, sorted; a file's own URI yields that file."""
        with self.explained(SourceError):
            filesystem, path = self.attach(SourceError)
            filesystem.invalidate_cache()
            found = filesystem.find(path, detail=True, maxdepth=None if recursive else 1)
            for name in sorted(found):
                if found[name].get("type") != "directory" and not name.endswith("/"):
                    yield _stored(_uri_of(name, path, self.location), found[name])

    def destination(self) -> Destination:
        """Name the file for writing."""
        return ObjectDestination(self)

    def attach(self, kind: type[AutoenhanceError]) -> tuple[Any, str]:
        """Return Airflow's filesystem for the place, and the path that it goes by there.

        Not ObjectStoragePath: that is the same filesystem behind universal-pathlib, whose releases break it on some Airflow
        versions, and it shows the connection id in lineage.
        """
        try:
            from airflow.sdk.io import attach
        except ImportError:  # Airflow 2
            from airflow.io.store import attach  # type: ignore[import-not-found, no-redef, unused-ignore]
        location = self.location
        try:
            filesystem = attach(location.scheme, location.conn_id).fs
        except ValueError:
            raise kind(
                f"{location.uri}: Airflow has no filesystem for {location.scheme}://. Install the provider that brings it."
            ) from None
        return filesystem, filesystem._strip_protocol(f"{location.scheme}://{location.bucket}/{location.key}")

    def explain(self, error: Exception, kind: type[AutoenhanceError]) -> AutoenhanceError:
        """Say what a filesystem's exception means; every filesystem has its own."""
        location, uri, name = self.location, self.location.uri, type(error).__name__
        where = f" (connection {location.conn_id!r})" if location.conn_id else ""
        status = _status(error)
        if name == "AirflowNotFoundException":
            return kind(f"{uri}: there is no Airflow connection {location.conn_id!r}.")
        if (isinstance(error, FileNotFoundError) or status == 404) and kind is DestinationError:
            return kind(f"{uri}: its bucket or folder does not exist{where}.")
        if isinstance(error, FileNotFoundError) or status == 404:
            return kind(f"{uri} does not exist{where}.")
        if isinstance(error, PermissionError) or status in (401, 403):
            return kind(f"{uri}: access denied{where}. Check what its credentials may do.")
        if isinstance(error, (IsADirectoryError, NotADirectoryError)):
            return kind(f"{uri} is not where a file can be ({name}).")
        if isinstance(error, ImportError):
            return kind(f"{uri}: the filesystem for {location.scheme}:// is not installed ({error.name or name}).")
        if isinstance(error, (OSError, TimeoutError)):
            return UnreachableError(f"{uri}: the store failed ({name}){where}; try again.")
        return ServerError(f"{uri}: the store failed ({name}){where}; try again.", status_code=status)


class ObjectDestination(Destination):
    """A file of any registered store, put from a verified temporary file."""

    _store: ObjectStore

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(store)
        self._names_folder = not store.location.key or store.location.key.endswith("/")

    def check_writable(self) -> None:
        """Write an empty probe beside the file and remove it again."""
        with self._store.explained(DestinationError):
            filesystem, path = self._store.attach(DestinationError)
            probe = self._beside(path)
            self._make_folder(filesystem, path)
            filesystem.pipe_file(probe, b"")
        with suppress(Exception):  # a store may allow to write and not to delete; the probe is empty
            filesystem.rm_file(probe)

    def stat(self) -> StoredFile | None:
        """Return what the store knows about the file, or None."""
        with self._store.explained(DestinationError):
            filesystem, path = self._store.attach(DestinationError)
            filesystem.invalidate_cache()
            try:
                info = filesystem.info(path)
            except FileNotFoundError:
                return None
        return None if info.get("type") == "directory" else _stored(self.uri, info)

    def remove(self) -> bool:
        """Remove the file, where the store allows that."""
        try:
            filesystem, path = self._store.attach(DestinationError)
            filesystem.rm_file(path)
        except FileNotFoundError:
            return True
        except Exception:  # noqa: BLE001 - why it stays does not matter
            return False
        return True

    def write(self, body: Reader, *, size: int | None, content_type: str) -> StoredFile:
        """Verify a local copy, put it, look whether it is there in full."""
        if self._names_folder:
            raise DestinationError(f"{self.uri} is a folder. Name a file in it.")
        reader = checked(body, name=self.uri, size=size)
        with temporary_copy(reader, self.uri) as copy, self._store.explained(DestinationError):
            filesystem, path = self._store.attach(DestinationError)
            self._make_folder(filesystem, path)
            self._put(filesystem, path, str(copy), content_type)
        found = self.stat()
        if found is None or found.size != reader.taken:
            there = found.size if found else 0
            raise IntegrityError(
                f"{self.uri}: {there} of {reader.taken} bytes are in the store after writing; try again."
            )
        return StoredFile(self.uri, found.size, etag=found.etag, sha256=reader.hexdigest(), modified=found.modified)

    def _put(self, filesystem: Any, path: str, copy: str, content_type: str) -> None:
        options = _content_type(filesystem, self._location.scheme, content_type)
        if self._location.scheme in _ATOMIC_PUT:
            filesystem.put_file(copy, path, **options)
            return
        partial = self._beside(path)
        try:
            filesystem.put_file(copy, partial, **options)
            filesystem.mv(partial, path)
        except BaseException:
            with suppress(Exception):
                filesystem.rm_file(partial)
            raise

    def _beside(self, path: str) -> str:
        folder = path if self._names_folder else path.rpartition("/")[0]
        return f"{folder.rstrip('/')}/{OWN_PREFIX}{secrets.token_hex(8)}.part"

    def _make_folder(self, filesystem: Any, path: str) -> None:
        if self._location.scheme not in _ATOMIC_PUT:
            filesystem.makedirs(self._beside(path).rpartition("/")[0], exist_ok=True)


def _open(filesystem: Any, path: str) -> Any:
    try:
        return filesystem.open(path, "rb", block_size=_READAHEAD, cache_type="readahead")
    except TypeError:  # a filesystem with its own idea of caching
        return filesystem.open(path, "rb")


def _uri_of(name: str, path: str, location: Location) -> str:
    """Filesystems list names with or without the bucket, with or without a leading slash."""
    root = path.rstrip("/")
    inside = name.lstrip("/").removeprefix(root.lstrip("/")).lstrip("/")
    base = f"{location.scheme}://{location.bucket}/{location.key}".rstrip("/")
    return f"{base}/{inside}" if inside else base


def _stored(uri: str, info: dict[str, Any]) -> StoredFile:
    modified = _time(info.get("mtime") or info.get("LastModified") or info.get("last_modified") or info.get("updated"))
    modified = modified or _time(info.get("created"))
    size = int(info.get("size") or 0)
    etag = clean_etag(info.get("ETag") or info.get("etag") or info.get("md5Hash"))
    if etag is None and modified is not None:
        etag = f"{int(modified.timestamp() * 1e6):x}-{size:x}"
    return StoredFile(uri, size, etag=etag, modified=modified)


def _time(value: Any) -> datetime | None:
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _content_type(filesystem: Any, scheme: str, mime: str) -> dict[str, Any]:
    """Return the option by which a filesystem's put_file takes a MIME type, where it does."""
    if scheme in _AZURE:
        with suppress(ImportError):
            from azure.storage.blob import ContentSettings  # type: ignore[import-not-found, unused-ignore]

            return {"content_settings": ContentSettings(content_type=mime)}
    takes = "content_type" in inspect.signature(filesystem.put_file).parameters
    return {"content_type": mime} if takes else {}


def _status(error: Exception) -> int | None:
    for attribute in ("status_code", "status", "code"):
        value = getattr(error, attribute, None)
        if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
            return int(value)
    return None
