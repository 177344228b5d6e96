"""Every other store that Airflow has a filesystem for (gs://, abfs://, sftp:// ...), through that."""

from __future__ import annotations

import inspect
import logging
import secrets
from collections.abc import Iterator, MutableSequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_provider_autoenhance.api.errors import AutoenhanceError, DestinationError, IntegrityError, SourceError
from airflow_provider_autoenhance.storage import object_errors
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
from airflow_provider_autoenhance.storage.object_errors import AZURE, GOOGLE, SFTP
from airflow_provider_autoenhance.storage.streams import checked
from airflow_provider_autoenhance.storage.temporary import temporary_copy

log = logging.getLogger(__name__)

#: Bytes that a filesystem reads ahead: each block is a request.
_READAHEAD = 1 << 20

#: Bytes of a photo that are on their way to a store at a time.
_PIECE = 1 << 21

#: Requests of one file that asyncssh has under way at a time.
_SFTP_REQUESTS = 128

#: What filesystems call the account or server behind them.
_SERVER = ("account_name", "host", "port", "endpoint_url", "endpoint")

_FLAT = AZURE | GOOGLE | {"oss", "oci", "cos", "r2"}
"""Object stores: a put appears whole or not at all, and folders are but names. Elsewhere a file grows, so it is made beside its place and
renamed; and a folder is there or not."""

#: Links to folders that may lie in each other.
_MOST_LINKS = 4

_NAMES_TOLD = 20


class ObjectStore(Store):
    """A file or folder of any store that Airflow has a filesystem for."""

    @property
    def service(self) -> str:
        """The account or server that the connection leads to, as far as its filesystem shows."""
        with self.explained(SourceError):
            filesystem, _ = self.attach(SourceError)
        found = {name: getattr(filesystem, name, None) or filesystem.storage_options.get(name) for name in _SERVER}
        if client := getattr(filesystem, "service_client", None):  # Azure's, which a connection string may lead to
            found["account"] = getattr(client, "primary_hostname", None)
        return repr([*filesystem.storage_args, *sorted((name, str(value)) for name, value in found.items() if value)])

    def open(self) -> Source:
        """Open a file for reading."""
        return self._open("readahead")

    def read_range(self, offset: int, length: int) -> bytes:
        """Read some bytes from within the file, and nothing ahead of what comes after them."""
        with self._open("none") as source:
            return source.read_range(offset, length)

    def list(self, *, recursive: bool, strict: bool) -> Iterator[StoredFile]:
        """Yield the files under a folder, sorted; a file's own URI yields that file.

        A folder that does not exist has no files in an object store, where folders are but names, and is an error elsewhere.

        :param strict: of a destination: fail where a folder cannot be read, and follow links to folders, instead of leaving these out with
            a warning.
        """
        left_out: list[str] = []
        with self.explained(SourceError):
            filesystem, path = self.attach(SourceError)
            filesystem.invalidate_cache()
            try:
                yield from self._files(filesystem, path, left_out, recursive=recursive, strict=strict)
            finally:
                filesystem.invalidate_cache()  # what was listed may change before it is opened
        if left_out:
            more = f" and {len(left_out) - _NAMES_TOLD} more" if len(left_out) > _NAMES_TOLD else ""
            log.warning("Left out of %s: %s%s", self.location.uri, "; ".join(left_out[:_NAMES_TOLD]), more)

    def has_anything(self) -> bool:
        """Whether there is anything of this name."""
        with self.explained(SourceError):
            filesystem, path = self.attach(SourceError)
            try:
                filesystem.info(path)
            except FileNotFoundError:
                return False
        return True

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
            store = attach(location.scheme, location.conn_id)
            if "fs" not in vars(store):
                self._check_connection(kind)
            filesystem = store.fs
        except AutoenhanceError:
            raise
        except Exception as error:  # noqa: BLE001 - every provider and library has its own
            raise object_errors.explain_connection(error, location, kind) from None
        return filesystem, _path(filesystem, location)

    def explain(self, error: Exception, kind: type[AutoenhanceError]) -> AutoenhanceError:
        """Say what a filesystem's exception means."""
        return object_errors.explain(error, self.location, kind)

    def _check_connection(self, kind: type[AutoenhanceError]) -> None:
        """Look at what a provider does not look at before it makes a filesystem."""
        from airflow.providers.common.compat.sdk import BaseHook

        location = self.location
        if not _has_filesystem(location.scheme):
            raise object_errors.no_filesystem(location, kind)
        if location.scheme in SFTP and not (location.conn_id and BaseHook.get_connection(location.conn_id).host):
            raise object_errors.no_host(location, kind)

    def _open(self, cache: str) -> Source:
        with self.explained(SourceError):
            filesystem, path = self.attach(SourceError)
            filesystem.invalidate_cache()
            info = filesystem.info(path)
            if info.get("type") == "directory":
                raise SourceError(f"{self.location.uri} is a folder, not a file.")
            file = _open(filesystem, path, cache)
        return self.source(_stored(self.location.uri, info), file).on_close(file.close)

    def _files(
        self, filesystem: Any, path: str, left_out: MutableSequence[str], *, recursive: bool, strict: bool
    ) -> Iterator[StoredFile]:
        location = self.location
        folder, root = path.rstrip("/") + "/", f"{location.uri.rstrip('/')}/"
        is_flat, may_be_file = location.scheme in _FLAT, bool(location.key) and not location.key.endswith("/")
        if may_be_file and not is_flat and (info := filesystem.info(path)).get("type") != "directory":
            yield _stored(location.uri, info)
            return
        if location.scheme in AZURE | GOOGLE:
            found = self._with_prefix(filesystem, folder)
        else:
            try:
                found = _walk(filesystem, path, left_out, recursive=recursive, strict=strict)
            except FileNotFoundError:
                if not is_flat:
                    raise
                found = {}
        if not found and is_flat:
            if may_be_file and (file := self._file(filesystem, path)):
                yield file
            else:
                self._check_bucket(filesystem)
        for name in sorted(found):
            inside = name.removeprefix(folder)
            if inside and not inside.endswith("/") and (recursive or "/" not in inside):
                yield _stored(root + inside, found[name])

    def _with_prefix(self, filesystem: Any, folder: str) -> dict[str, Any]:
        """The files whose names begin with a folder's. Given the folder itself, filesystems take a file of that name for all there is."""
        bucket, _, prefix = folder.partition("/")
        try:
            found = filesystem.find(bucket, prefix=prefix, detail=True)
        except FileNotFoundError:
            raise object_errors.no_bucket(self.location, SourceError) from None
        return {
            name: info
            for name, info in found.items()
            if name.startswith(folder) and name != folder and info.get("type") != "directory"
        }

    def _file(self, filesystem: Any, path: str) -> StoredFile | None:
        try:
            info = filesystem.info(path)
        except FileNotFoundError:
            return None
        return None if info.get("type") == "directory" else _stored(self.location.uri, info)

    def _check_bucket(self, filesystem: Any) -> None:
        """Some filesystems have no files to name where there is no bucket; others have said so already."""
        if self.location.scheme in GOOGLE:
            return
        try:
            filesystem.info(self.location.bucket)
        except FileNotFoundError:
            raise object_errors.no_bucket(self.location, SourceError) from None
        except Exception as error:
            if not object_errors.is_denied(error):  # it may be allowed to list files, and not to look at the bucket
                raise


class ObjectDestination(Destination):
    """A file of any registered store, put from a verified temporary file."""

    _store: ObjectStore

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(store)
        self._names_folder = not store.location.key or store.location.key.endswith("/")

    @property
    def copies_first(self) -> bool:
        """Always: what is put is verified before."""
        return True

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
            self._put(filesystem, path, copy, content_type)
        found = self.stat()
        if found is None or found.size != reader.taken:
            there = found.size if found else 0
            raise IntegrityError(
                f"{self.uri}: {there} of {reader.taken} bytes are in the store after writing; try again."
            )
        return StoredFile(self.uri, found.size, etag=found.etag, sha256=reader.hexdigest(), modified=found.modified)

    def _put(self, filesystem: Any, path: str, copy: Path, content_type: str) -> None:
        options = _put_options(filesystem, self._location.scheme, content_type)
        if self._location.scheme in AZURE and copy.stat().st_size > _PIECE:
            _put_blocks(filesystem, path, copy, **options)
        elif self._location.scheme in _FLAT:
            filesystem.put_file(str(copy), path, **options)
        else:
            partial = self._beside(path)
            try:
                filesystem.put_file(str(copy), partial, **options)
                filesystem.mv(partial, path)
            except BaseException:
                with suppress(Exception):
                    filesystem.rm_file(partial)
                raise

    def _beside(self, path: str) -> str:
        folder = path if self._names_folder else path.rpartition("/")[0]
        return f"{folder.rstrip('/')}/{OWN_PREFIX}{secrets.token_hex(8)}.part"

    def _make_folder(self, filesystem: Any, path: str) -> None:
        if self._location.scheme not in _FLAT:
            filesystem.makedirs(self._beside(path).rpartition("/")[0], exist_ok=True)


def _has_filesystem(scheme: str) -> bool:
    try:
        from airflow.sdk.io import has_fs
    except ImportError:  # Airflow 2
        from airflow.io import has_fs  # type: ignore[attr-defined, import-not-found, no-redef, unused-ignore]
    return bool(has_fs(scheme))


def _path(filesystem: Any, location: Location) -> str:
    """What a filesystem calls a place, which it does not say itself where names hold ``?`` or its provider has more schemes than it."""
    if location.scheme in AZURE:
        return f"{location.bucket}/{location.key}".rstrip("/")
    if location.scheme in SFTP:
        return f"/{location.key}".rstrip("/") or "/"
    return str(filesystem._strip_protocol(f"{location.scheme}://{location.bucket}/{location.key}"))


def _open(filesystem: Any, path: str, cache: str) -> Any:
    try:
        return filesystem.open(path, "rb", block_size=_READAHEAD, cache_type=cache)
    except TypeError:  # a filesystem with its own idea of caching
        return filesystem.open(path, "rb")


def _walk(
    filesystem: Any, root: str, left_out: MutableSequence[str], *, recursive: bool, strict: bool
) -> dict[str, dict[str, Any]]:
    """Look folder by folder. The filesystems' own walk passes over folders that it cannot read.

    :param left_out: takes what is not a file that can be read, with the reason.
    """
    found: dict[str, dict[str, Any]] = {}
    folders = [(root, 0)]
    while folders:
        folder, links = folders.pop()
        try:
            entries = filesystem.ls(folder, detail=True)
        except Exception as error:
            if strict or folder == root or not object_errors.is_denied(error):
                raise
            left_out.append(f"{folder} (permission denied)")
            continue
        for entry in entries:
            name = str(entry["name"]).rstrip("/")
            info, is_link = entry, entry.get("type") not in ("file", "directory")
            if is_link:
                try:
                    info = filesystem.info(name)
                except FileNotFoundError:
                    left_out.append(f"{name} (a link that leads nowhere)")
                    continue
            if info.get("type") == "file":
                found[name] = info
            elif info.get("type") != "directory":
                left_out.append(f"{name} (not a file)")
            elif is_link and not strict:
                left_out.append(f"{name} (a link to a folder)")
            elif recursive and name != folder.rstrip("/"):
                if links + is_link > _MOST_LINKS:
                    raise SourceError(
                        f"{name}: more than {_MOST_LINKS} links to folders lie in each other. Do they lead in a circle?"
                    )
                folders.append((name, links + is_link))
    return found


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


def _put_options(filesystem: Any, scheme: str, mime: str) -> dict[str, Any]:
    """Return the options of a filesystem's put_file for the MIME type, and for how much of a file it holds at a time."""
    if scheme in AZURE:
        with suppress(ImportError):
            from azure.storage.blob import ContentSettings  # type: ignore[import-not-found, unused-ignore]

            return {"content_settings": ContentSettings(content_type=mime)}
    known = {"content_type": mime, "chunksize": _PIECE, "block_size": _PIECE // _SFTP_REQUESTS}
    takes = inspect.signature(filesystem.put_file).parameters
    return {name: value for name, value in known.items() if name in takes}


def _put_blocks(filesystem: Any, path: str, copy: Path, **options: Any) -> None:
    """Put a file to Azure piece by piece; nothing appears before all are named. Its filesystem would hold the whole file."""
    from azure.storage.blob import BlobBlock  # type: ignore[import-not-found, unused-ignore]
    from fsspec.asyn import sync  # type: ignore[import-untyped, unused-ignore]

    async def put() -> None:
        container, _, name = path.partition("/")
        blocks = []
        async with filesystem.service_client.get_blob_client(container, name) as client:
            with copy.open("rb") as file:
                while piece := file.read(_PIECE):
                    blocks.append(BlobBlock(secrets.token_hex(16)))
                    await client.stage_block(blocks[-1].id, piece)
            await client.commit_block_list(blocks, **options)

    sync(filesystem.loop, put)
