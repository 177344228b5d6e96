"""Files on a disk that the worker sees."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_autoenhance.api.errors import AutoenhanceError, DestinationError, ServerError, SourceError
from airflow_provider_autoenhance.storage.base import BLOCK, OWN_PREFIX, Destination, Reader, Source, StoredFile
from airflow_provider_autoenhance.storage.location import Location
from airflow_provider_autoenhance.storage.streams import checked

_TRANSIENT = frozenset(
    {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EMFILE, errno.ENFILE}
)


#: Never the place of photos, but of passwords, keys and other processes' secrets.
_SYSTEM = (
    "/boot",
    "/dev",
    "/etc",
    "/proc",
    "/root/.aws",
    "/root/.config",
    "/root/.ssh",
    "/run/secrets",
    "/sys",
    "/var/run/secrets",
)


def open_local(location: Location, folders: Sequence[str] | None = None) -> Source:
    """Open a local file for reading.

    :param folders: where it may lie; ``None``: anywhere but in the system's own folders.
    """
    path = _allowed(location, folders)
    try:
        if path.exists() and not path.is_file():  # to open a pipe would wait for its writer
            raise SourceError(f"{location.uri} is a folder or device, not a file.")
        file = path.open("rb")
    except OSError as error:
        raise _explain(error, location.uri, SourceError) from None
    found = _stored(location.uri, os.fstat(file.fileno()))
    return Source(found, file, lambda error: _explain(error, location.uri, SourceError)).on_close(file.close)


def list_local(location: Location, folders: Sequence[str] | None = None, *, recursive: bool) -> Iterator[StoredFile]:
    """Yield the files under a folder, sorted; a file's own path yields that file."""
    _allowed(location, folders)
    root = Path(location.key)
    if root.is_file():
        yield _stored(str(root), root.stat())
        return
    try:
        yield from _walk(root, recursive=recursive)
    except OSError as error:
        raise _explain(error, location.uri, SourceError) from None


def _allowed(location: Location, folders: Sequence[str] | None) -> Path:
    """Return the path with all links followed, which is then the one that is opened.

    :raises SourceError: it lies outside.
    """
    path = Path(os.path.realpath(location.key))
    if folders is None:
        if any(path.is_relative_to(system) for system in _SYSTEM):
            raise SourceError(
                f"{location.uri} lies in a folder of the system. If there are photos, name their folder under local_folders in the extra "
                "of the Autoenhance connection."
            )
    elif not any(path.is_relative_to(os.path.realpath(folder)) for folder in folders):
        raise SourceError(
            f"{location.uri} lies in none of the folders that photos may be read from ({', '.join(folders) or 'none'}). Add its folder to "
            "local_folders in the extra of the Autoenhance connection."
        )
    return path


def _walk(folder: Path, *, recursive: bool) -> Iterator[StoredFile]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_file():
            yield _stored(entry.path, entry.stat())
        elif recursive and entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), recursive=True)


class LocalDestination(Destination):
    """A local file, written beside its place and renamed into it."""

    def __init__(self, location: Location) -> None:
        super().__init__(location.uri)
        self._path = Path(location.key)
        self._folder = self._path if location.key.endswith("/") else self._path.parent
        self._is_folder = location.key.endswith("/")

    def check_writable(self) -> None:
        """Create the folder if need be, and a temporary file in it, which is removed again."""
        try:
            if not self._is_folder and self._path.is_dir():
                raise DestinationError(f"{self.uri} is a folder. Name a file in it.")
            descriptor, probe = self._create()
            os.close(descriptor)
            probe.unlink()
        except OSError as error:
            raise _explain(error, self.uri, DestinationError) from None

    def stat(self) -> StoredFile | None:
        """Return size and time of what is there, or None."""
        try:
            return _stored(self.uri, self._path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _explain(error, self.uri, DestinationError) from None

    def write(self, body: Reader, *, size: int | None, content_type: str) -> StoredFile:
        """Write a temporary file in the same folder, flush it to the disk, rename it."""
        if self._is_folder or self._path.is_dir():
            raise DestinationError(f"{self.uri} is a folder. Name a file in it.")
        reader = checked(body, name=self.uri, size=size)
        partial: Path | None = None
        try:
            descriptor, partial = self._create()
            with os.fdopen(descriptor, "wb") as file:
                while block := reader.read(BLOCK):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
            self._sync_folder()
            found = _stored(self.uri, self._path.stat())
        except OSError as error:
            raise _explain(error, self.uri, DestinationError) from None
        finally:
            if partial is not None:
                partial.unlink(missing_ok=True)
        return StoredFile(self.uri, reader.taken, etag=found.etag, sha256=reader.hexdigest(), modified=found.modified)

    def _create(self) -> tuple[int, Path]:
        """Not mkstemp: its files are 0600 and would stay so after the rename; here the umask decides."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{OWN_PREFIX}{secrets.token_hex(8)}.part"
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), path

    def _sync_folder(self) -> None:
        with suppress(OSError):  # some network disks cannot
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _stored(uri: str, status: os.stat_result) -> StoredFile:
    return StoredFile(
        uri=uri,
        size=status.st_size,
        etag=f"{status.st_mtime_ns:x}-{status.st_size:x}",
        modified=datetime.fromtimestamp(status.st_mtime, UTC),
    )


def _explain(error: Exception, uri: str, kind: type[AutoenhanceError]) -> AutoenhanceError:
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, FileNotFoundError):
        return kind(f"{uri} does not exist on this worker. Check the path, and that the worker mounts the disk.")
    if isinstance(error, PermissionError) or code == errno.EROFS:
        return kind(f"{uri}: the worker's user has no permission. Change the file's or folder's rights.")
    if code in (errno.ENOSPC, errno.EDQUOT):
        return kind(f"{uri}: the disk is full. Free some space, or choose another destination.")
    if code in _TRANSIENT:
        return ServerError(f"{uri}: the disk failed for the moment: {errno.errorcode.get(code or 0, code)}.")
    reason = os.strerror(code) if code else type(error).__name__
    return kind(f"{uri} cannot be used: {reason}.")
