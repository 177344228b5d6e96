"""Temporary files, and what a killed process leaves of them.

A file that needs no name has none, and goes with its process. What has a name is locked while it is in use; the kernel takes the lock
away when the process ends, however it ends. So whatever of ours is not locked is nobody's, and the next process that works in the same
place removes it. A lock counts within one machine's boot, which the name holds; a file of another boot is left alone for a day.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import IO, BinaryIO, cast

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    ConversionError,
    DestinationError,
    DestinationFullError,
    ServerError,
    SourceError,
)
from airflow_provider_autoenhance.storage.base import BLOCK, OWN_PREFIX, Reader

#: With less than this, a place for temporary files counts as full: it has not room for one photo of full size and what is made of it.
#: 24 megapixels take about 40 MB as PNG, and 70 as TIFF.
ROOM_BYTES = 128 << 20

#: Names of our temporary folders begin so.
PREFIX = "airflow-provider-autoenhance-"

#: Names of files that are kept for a later try begin so. So many are kept at most, and so many bytes.
KEPT_PREFIX, KEPT_FILES, KEPT_BYTES = f"{PREFIX}bought-", 32, 2 << 30

_NAME = re.escape(PREFIX) + r"(?P<boot>[0-9a-f]{8})-[0-9a-f]{16}"
_PART = re.escape(OWN_PREFIX) + r"(?P<boot>[0-9a-f]{8})-[0-9a-f]{16}\.part"
_LONGEST_USE_SECONDS = 24 * 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MADE_OF_A_FILE = 4  # times its size, what is made of it may take


def check_room(about: str) -> None:
    """Look whether the temporary folder has room. Called before anything is bought that needs it.

    :param about: what it is for, for messages.
    :raises ServerError: it has not, or cannot be written.
    """
    try:
        root = Path(tempfile.gettempdir())
        full = _is_full(root)
        if full:  # what is kept can be downloaded again
            sweep_kept(root, files=0)
            full = _is_full(root)
    except OSError as error:
        raise _no_room(error, about) from None
    if full:
        raise _no_room(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), about)


@contextmanager
def temporary_file(reader: Reader, about: str) -> Iterator[BinaryIO]:
    """Copy everything to a temporary file without a name, which is gone afterwards, and hand it out rewound.

    :param about: what is copied, for messages.
    :raises ServerError: when the worker's temporary folder has no room.
    """
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    except OSError as error:
        raise _no_room(error, about) from None
    with file:
        _copy(reader, file, about)
        yield cast("BinaryIO", file)


@contextmanager
def temporary_folder(about: str) -> Iterator[Path]:
    """Make a temporary folder, which is gone afterwards; for what needs a path.

    What fails in the block because there is no room any more, becomes a ServerError as well: a library may give any reason for it.

    :param about: what it is for, for messages.
    :raises ServerError: when the worker's temporary folder cannot be written, or is full.
    """
    try:
        root = Path(tempfile.gettempdir())
        _sweep_folders(root)
        sweep_kept(root)
        lock, folder = _new_folder(root)
    except OSError as error:
        raise _no_room(error, about) from None
    try:
        yield folder
    except Exception as error:
        if _is_for_want_of_room(error, folder):
            raise _no_room(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), about) from None
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def temporary_copy(reader: Reader, about: str) -> Iterator[Path]:
    """Copy everything to a temporary file with a name, which is gone afterwards; for what needs a path.

    :param about: what is copied, for messages.
    :raises ServerError: when the worker's temporary folder has no room.
    """
    with temporary_folder(about) as folder:
        copy = folder / "copy"
        try:
            file = copy.open("wb")
        except OSError as error:
            raise _no_room(error, about) from None
        with file:
            _copy(reader, file, about)
        yield copy


def new_part(folder: Path) -> tuple[int, Path]:
    """Create a file beside the one that it will be renamed to, and lock it until its descriptor is closed.

    Not mkstemp: its files are 0600 and would stay so after the rename; here the umask decides.
    """
    _sweep_parts(folder)
    while True:
        path = folder / f"{OWN_PREFIX}{_boot()}-{secrets.token_hex(8)}.part"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        if _claim(descriptor, path):
            return descriptor, path
        os.close(descriptor)


def sweep_kept(root: Path, *, files: int = KEPT_FILES, size: int = KEPT_BYTES) -> None:
    """Remove what has been kept for more than a day, and the oldest of what is more than may be kept.

    :param files: how many may be kept.
    :param size: how many bytes together.
    """
    found = []
    for path in root.glob(f"{KEPT_PREFIX}*"):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.geteuid():
                found.append((status.st_mtime, status.st_size, path))
    for modified, taken, path in sorted(found, reverse=True):
        files, size = files - 1, size - taken
        if files < 0 or size < 0 or time.time() - modified > _LONGEST_USE_SECONDS:
            with suppress(OSError):
                path.unlink()


def _copy(reader: Reader, file: IO[bytes], about: str) -> None:
    """Copy everything, and rewind."""
    try:
        while block := reader.read(BLOCK):
            file.write(block)
        file.flush()
        file.seek(0)
    except OSError as error:
        raise _no_room(error, about) from None


def _is_full(place: Path, needed: int = ROOM_BYTES) -> bool:
    return shutil.disk_usage(place).free < needed


def _is_for_want_of_room(error: Exception, folder: Path) -> bool:
    """Whether it is this folder that was full, and not a destination, whose errors name that."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    own = isinstance(error, DestinationError) and folder.name in str(error)
    if isinstance(error, AutoenhanceError) and not own and not isinstance(error, (ConversionError, SourceError)):
        return False
    lying = sum(path.stat().st_size for path in folder.glob("*"))
    return _is_full(folder, max(ROOM_BYTES, _MADE_OF_A_FILE * lying)) or isinstance(error, DestinationFullError)


def _new_folder(root: Path) -> tuple[int, Path]:
    while True:
        folder = root / f"{PREFIX}{_boot()}-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # a sweep came in between
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            if _claim(descriptor, folder):
                return descriptor, folder
            os.close(descriptor)


def _claim(descriptor: int, path: Path) -> bool:
    """Lock what was just created; ``False`` where a sweep came in between."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks, on which nothing is swept either
        return True
    return _leads_to(path, descriptor)


@lru_cache(maxsize=16)
def _sweep_folders(root: Path) -> None:
    """Remove folders that killed processes left; once per process."""
    for path in _left(root, _NAME, os.O_RDONLY | os.O_DIRECTORY):
        shutil.rmtree(path, ignore_errors=True)


@lru_cache(maxsize=4096)
def _sweep_parts(folder: Path) -> None:
    """Remove the parts of files that killed processes left; once per process and folder."""
    for path in _left(folder, _PART, os.O_RDWR):
        with suppress(OSError):
            path.unlink()


def _left(folder: Path, pattern: str, flags: int) -> Iterator[Path]:
    """Yield what of a name is this user's and nobody uses; it is locked until the next one is asked for."""
    import fcntl

    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = re.fullmatch(pattern, entry.name)
            if not name:
                continue
            with suppress(OSError):
                path = Path(entry.path)
                descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _is_abandoned(os.fstat(descriptor), name["boot"]) and _leads_to(path, descriptor):
                        yield path
                finally:
                    os.close(descriptor)


def _is_abandoned(found: os.stat_result, boot: str) -> bool:
    return found.st_uid == os.geteuid() and (boot == _boot() or time.time() - found.st_mtime > _LONGEST_USE_SECONDS)


def _leads_to(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


@cache
def _boot() -> str:
    """Id of this boot of this machine, whose processes see each other's locks; the same in all its containers."""
    try:
        mark = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        mark = os.uname().nodename
    return hashlib.sha256(mark.encode()).hexdigest()[:8]


def _no_room(error: OSError, about: str) -> ServerError:
    place = tempfile.tempdir or os.environ.get("TMPDIR", "/tmp")  # noqa: S108 - only named
    return ServerError(
        f"{about}: the worker has no room for a temporary copy in {place} ({type(error).__name__} {error.errno}). "
        "Free some space, or set TMPDIR."
    )
