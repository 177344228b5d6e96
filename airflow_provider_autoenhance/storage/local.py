"""Files on a disk that the worker sees."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    DestinationError,
    DestinationFullError,
    ServerError,
    SourceError,
)
from airflow_provider_autoenhance.api.redact import one_line
from airflow_provider_autoenhance.storage.base import BLOCK, Destination, Reader, Source, Store, StoredFile
from airflow_provider_autoenhance.storage.streams import checked
from airflow_provider_autoenhance.storage.temporary import new_part

log = logging.getLogger(__name__)

#: Entries of a folder that the warning about what was left out names.
_NAMES_TOLD = 20

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


class LocalStore(Store):
    """A file or folder on a disk."""

    foreseen = (OSError,)

    def open(self) -> Source:
        """Open a file for reading."""
        path, uri = self._allowed(), self.location.uri
        with self.explained(SourceError):
            if path.exists() and not path.is_file():  # a device may act on being opened
                raise SourceError(f"{uri} is a folder or device, not a file.")
            file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - closed by the source; Path.open knows no opener
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):  # it has become another thing since
            file.close()
            raise SourceError(f"{uri} is a folder or device, not a file.")
        return self.source(_stored(uri, status), file).on_close(file.close)

    def list(self, *, recursive: bool, strict: bool) -> Iterator[StoredFile]:
        """Yield the files under a folder, sorted; a file's own path yields that file.

        What is not a file or cannot be read is left out, with a warning: a link that leads nowhere or in circles, a pipe, a folder
        without permission, a file that has gone meanwhile.

        :param strict: of a destination: fail where a folder cannot be read, follow links as writing does, and name what cannot be read
            too, because what is not known is not absent.
        """
        self._allowed()
        root = Path(self.location.key)
        left_out: list[str] = []
        with self.explained(SourceError):
            if root.is_file() and not self.location.key.endswith("/"):
                yield _stored(str(root), root.stat())
                return
            yield from _walk(root, left_out, recursive=recursive, strict=strict)
        if left_out:
            more = f" and {len(left_out) - _NAMES_TOLD} more" if len(left_out) > _NAMES_TOLD else ""
            log.warning("Left out of %s: %s%s", self.location.uri, "; ".join(left_out[:_NAMES_TOLD]), more)

    def has_anything(self) -> bool:
        """Whether there is anything of this name."""
        return os.path.lexists(self._allowed())

    def destination(self) -> Destination:
        """Name the file for writing."""
        return LocalDestination(self)

    def explain(self, error: Exception, kind: type[AutoenhanceError]) -> AutoenhanceError:
        """Say what an error of the disk means."""
        uri = self.location.uri
        code = error.errno if isinstance(error, OSError) else None
        if isinstance(error, FileNotFoundError):
            return kind(f"{uri} does not exist on this worker. Check the path, and that the worker mounts the disk.")
        if isinstance(error, PermissionError) or code == errno.EROFS:
            return kind(f"{uri}: the worker's user has no permission. Change the file's or folder's rights.")
        if code in (errno.ENOSPC, errno.EDQUOT):
            full = DestinationFullError if kind is DestinationError else kind
            return full(f"{uri}: the disk is full. Free some space, or choose another destination.")
        if code in _TRANSIENT:
            return ServerError(f"{uri}: the disk failed for the moment: {errno.errorcode.get(code or 0, code)}.")
        reason = os.strerror(code) if code else type(error).__name__
        return kind(f"{uri} cannot be used: {reason}.")

    def _allowed(self) -> Path:
        """Return the path with all links followed, which is then the one that is opened.

        :raises SourceError: it lies outside.
        """
        location, folders = self.location, self.access.local_folders
        path = Path(os.path.realpath(location.key))
        if folders is None:
            if any(path.is_relative_to(system) for system in _SYSTEM):
                raise SourceError(
                    f"{location.uri} lies in a folder of the system. If there are photos, name their folder under local_folders in the "
                    "extra of the Autoenhance connection."
                )
        elif not any(path.is_relative_to(os.path.realpath(folder)) for folder in folders):
            raise SourceError(
                f"{location.uri} lies in none of the folders that photos may be read from ({', '.join(folders) or 'none'}). Add its "
                "folder to local_folders in the extra of the Autoenhance connection."
            )
        return path


def _walk(root: Path, left_out: list[str], *, recursive: bool, strict: bool) -> Iterator[StoredFile]:
    """Folder by folder. Without recursion, as folders can lie deeper in each other than functions.

    :param left_out: takes what is not a file that can be read, with the reason.
    """
    open_folders = [_entries(root)]
    followed: set[str] = set()
    while open_folders:
        entry = next(open_folders[-1], None)
        if entry is None:
            open_folders.pop()
            continue
        try:
            if entry.is_dir(follow_symlinks=strict):
                real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                if recursive and real not in followed:
                    followed.add(real)
                    open_folders.append(_entries(entry.path))
            elif reason := _unfit(entry):
                if strict:
                    yield StoredFile(entry.path, 0)
                    continue
                left_out.append(f"{_shown(entry.path)} ({reason})")
            else:
                yield _stored(entry.path, entry.stat())
        except OSError as error:
            if strict and entry.is_dir(follow_symlinks=False):
                raise
            if strict:
                yield StoredFile(entry.path, 0)
                continue
            left_out.append(f"{_shown(entry.path)} ({os.strerror(error.errno or 0)})")


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return iter(sorted(entries, key=lambda entry: entry.name))


def _unfit(entry: os.DirEntry[str]) -> str | None:
    """Say why an entry cannot be a photo.

    :raises OSError: it leads in circles, or has gone.
    """
    if entry.is_file():
        return None
    if entry.is_dir():
        return "a link to a folder"
    return "a link that leads nowhere" if entry.is_symlink() and not os.path.exists(entry.path) else "not a file"  # noqa: PTH110


def _shown(path: str) -> str:
    return one_line(path.encode(errors="surrogateescape").decode(errors="replace"))


def _without_waiting(path: str, flags: int) -> int:
    """Open at once even if a pipe has taken the file's place, whose writer one would wait for."""
    return os.open(path, flags | os.O_NONBLOCK)


class LocalDestination(Destination):
    """A local file, written beside its place and renamed into it."""

    def __init__(self, store: LocalStore) -> None:
        super().__init__(store)
        self._path = Path(self._location.key)
        self._is_folder = self._location.key.endswith("/")
        self._folder = self._path if self._is_folder else self._path.parent

    def check_writable(self) -> None:
        """Create the folder if need be, and a temporary file in it, which is removed again; a full disk has not even room for a block."""
        with self._store.explained(DestinationError):
            if not self._is_folder and self._path.is_dir():
                raise DestinationError(f"{self.uri} is a folder. Name a file in it.")
            descriptor, probe = self._create()
            try:
                os.write(descriptor, bytes(4096))
            finally:
                os.close(descriptor)
                probe.unlink(missing_ok=True)

    def stat(self) -> StoredFile | None:
        """Return size and time of what is there, or None."""
        with self._store.explained(DestinationError):
            try:
                return _stored(self.uri, self._path.stat())
            except (FileNotFoundError, NotADirectoryError):
                return None

    def remove(self) -> bool:
        """Unlink the file."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def write(self, body: Reader, *, size: int | None, content_type: str) -> StoredFile:
        """Write a temporary file in the same folder, flush it to the disk, rename it."""
        if self._is_folder or self._path.is_dir():
            raise DestinationError(f"{self.uri} is a folder. Name a file in it.")
        reader = checked(body, name=self.uri, size=size)
        with self._store.explained(DestinationError):
            descriptor, partial = self._create()
            try:
                with os.fdopen(descriptor, "wb") as file:
                    while block := reader.read(BLOCK):
                        file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
                    partial.replace(self._path)  # while it is locked still
                self._sync_folder()
                found = _stored(self.uri, self._path.stat())
            finally:
                partial.unlink(missing_ok=True)
        return StoredFile(self.uri, reader.taken, etag=found.etag, sha256=reader.hexdigest(), modified=found.modified)

    def _create(self) -> tuple[int, Path]:
        self._folder.mkdir(parents=True, exist_ok=True)
        return new_part(self._folder)

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
        modified=_time(status.st_mtime),
    )


def _time(seconds: float) -> datetime | None:
    """A disk can hold times that are in no calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError):
        return None
