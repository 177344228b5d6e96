"""The two ends of a transfer, and what is known about a file at rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

from airflow_provider_autoenhance.api.errors import AutoenhanceError, IntegrityError, SourceError
from airflow_provider_autoenhance.storage.location import Location

BLOCK = 1 << 18
"""Bytes per read: 256 KiB. Much smaller ones cost CPU; of bigger ones every thread holds several (1 MiB: 50 MB at 16 threads)."""

OWN_PREFIX = ".autoenhance-"
"""Names of probes and of files that are not whole yet begin so. A killed worker can leave one; no listing shows it."""

OWN_FOLDER = ".autoenhance"
"""A folder of this name lies beside what tasks write, and holds what they remember of it."""

HEAD = 1 << 16
"""Bytes of a file's beginning that show its format."""


class Reader(Protocol):
    """Anything that gives bytes in order."""

    def read(self, n: int = -1, /) -> bytes:
        """Return up to ``n`` bytes, all that is left for -1, and ``b""`` at the end."""
        ...


Explain = Callable[[Exception], AutoenhanceError]
"""Turns a library's exception into one of ours, with a line that is safe to show."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file at rest.

    :param uri: without connection id, credentials or query; opens again with the same ``conn_id``.
    :param size: bytes.
    :param etag: changes when the content does. S3's ETag without quotes; for stores that have none, time and size.
    :param md5: hex, where the store vouches for it.
    :param sha256: hex, where it was computed on the way.
    :param modified: time of the last change.
    """

    uri: str
    size: int
    etag: str | None = None
    md5: str | None = None
    sha256: str | None = None
    modified: datetime | None = None

    @property
    def name(self) -> str:
        """The last path part."""
        return self.uri.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """What may be read as a source.

    :param private_hosts: ``http(s)://`` may lead to private, loopback, link-local and reserved addresses.
    :param local_folders: absolute paths; local files are read from below these only, links followed. ``None``: from everywhere but the
        system's own folders (``/etc``, ``/proc``, ...).
    """

    private_hosts: bool = False
    local_folders: Sequence[str] | None = None


class Source:
    """A file being read. Has a length, so it can be the body of an upload; notices when bytes are missing or too many.

    :param file: what is known about it.
    :param body: where the bytes come from.
    :param explain: names what went wrong when ``body`` raises.
    :param name: last path part, where the URI does not hold it.
    :param again: reads some bytes from within the file once more, whatever of it has been read, where that can be done.
    """

    def __init__(
        self,
        file: StoredFile,
        body: Reader,
        explain: Explain,
        *,
        name: str | None = None,
        again: Callable[[int, int], bytes] | None = None,
    ) -> None:
        self.file = file
        self.uri = file.uri
        self.name = name or file.name
        self.size = file.size
        self.etag = file.etag
        self.modified = file.modified
        self.again = again
        self._body = body
        self._explain = explain
        self._head = b""
        self._at = 0
        self._taken = 0
        self._exit = ExitStack()

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(BLOCK):
            yield block

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def on_close(self, release: Callable[[], object]) -> Self:
        """Call ``release`` when the source is closed."""
        self._exit.callback(release)
        return self

    def close(self) -> None:
        """Let go of the connection or file handle."""
        self._exit.close()

    def peek(self, n: int = HEAD) -> bytes:
        """Return the first bytes without consuming them. Only before the first ``read``.

        :param n: bytes wanted; fewer come back when the file is shorter.
        """
        parts, length = [self._head], len(self._head)
        while length < min(n, self.size):
            parts.append(self._pull(n - length))
            length += len(parts[-1])
        self._head = b"".join(parts)
        return self._head[:n]

    def read(self, n: int = -1, /) -> bytes:
        """Return up to ``n`` bytes; ``b""`` at the end.

        :raises IntegrityError: the store sent fewer or more bytes than it announced.
        """
        if n is None or n < 0:
            return b"".join(self)
        if self._at < len(self._head):
            data = self._head[self._at : self._at + n]
            self._at += len(data)
            return data
        return self._pull(n)

    def read_range(self, offset: int, length: int) -> bytes:
        """Return some bytes from within, fewer at the end. Where the store cannot seek, what lies before them is read too."""
        if hasattr(self._body, "seek"):
            self._guarded(lambda: self._body.seek(offset))  # type: ignore[attr-defined]
        else:
            while self._taken < min(offset, self.size):
                self._pull(min(BLOCK, offset - self._taken))
        blocks, left = [], max(0, min(length, self.size - offset))
        while left and (block := self._guarded(partial(self._body.read, left))):
            blocks.append(block)
            left -= len(block)
        return b"".join(blocks)

    def _pull(self, n: int) -> bytes:
        if n == 0:
            return b""
        data: bytes = self._guarded(lambda: self._body.read(n))
        self._taken += len(data)
        if self._taken > self.size or (not data and self._taken < self.size):
            raise IntegrityError(f"{self.uri}: {self._taken} of {self.size} bytes arrived; try again.")
        return data

    def _guarded(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except AutoenhanceError:
            raise
        except Exception as error:  # noqa: BLE001 - every library has its own
            raise self._explain(error) from None


class Store(ABC):
    """A place in a store: how files are read, listed and written there. One subclass for each kind of store, by scheme.

    :param location: a file, or a folder.
    :param access: what may be read.
    """

    #: Exceptions of the library behind it; others are errors in our code and pass as they are.
    foreseen: ClassVar[tuple[type[Exception], ...]] = (Exception,)

    def __init__(self, location: Location, access: SourceAccess) -> None:
        self.location = location
        self.access = access

    @property
    def service(self) -> str:
        """What distinguishes this store from another of its scheme, where a connection decides that."""
        return ""

    @abstractmethod
    def open(self) -> Source:
        """Open the file for reading."""

    def read_range(self, offset: int, length: int) -> bytes:
        """Read some bytes from within the file; fewer at its end."""
        with self.open() as source:
            return source.read_range(offset, length)

    @abstractmethod
    def list(self, *, recursive: bool, strict: bool) -> Iterator[StoredFile]:
        """Yield the files under a folder, in order of their names; a file's own place yields that file."""

    def has_anything(self) -> bool:
        """Whether a folder is there, be it without photos."""
        return next(iter(self.list(recursive=True, strict=False)), None) is not None

    @abstractmethod
    def destination(self) -> Destination:
        """Name the file for writing."""

    @abstractmethod
    def explain(self, error: Exception, kind: type[AutoenhanceError]) -> AutoenhanceError:
        """Turn the library's exception into one of ours, with a line that is safe to show.

        :param kind: SourceError or DestinationError, for what a retry cannot help.
        """

    @contextmanager
    def explained(self, kind: type[AutoenhanceError]) -> Iterator[None]:
        """Explain what the library raises within the block."""
        try:
            yield
        except AutoenhanceError:
            raise
        except self.foreseen as error:
            raise self.explain(error, kind) from None

    def source(self, file: StoredFile, body: Reader, *, name: str | None = None) -> Source:
        """A file of this store that is being read."""
        return Source(file, body, partial(self.explain, kind=SourceError), name=name, again=self.read_range)


class Destination(ABC):
    """A file to be written. It appears whole or not at all.

    :param store: the place.
    """

    def __init__(self, store: Store) -> None:
        self.uri = store.location.uri
        self._store = store
        self._location = store.location

    @property
    def copies_first(self) -> bool:
        """Whether all that is written goes through a temporary file."""
        return False

    @abstractmethod
    def check_writable(self) -> None:
        """Try whether a write would be allowed, leaving nothing behind. Folder URIs may be asked too.

        :raises DestinationError: it would not be.
        """

    @abstractmethod
    def stat(self) -> StoredFile | None:
        """Return what is there now, or None."""

    @abstractmethod
    def remove(self) -> bool:
        """Remove the file.

        :returns: whether it is gone; ``False`` where the store does not allow that, or does not answer.
        """

    @abstractmethod
    def write(self, body: Reader, *, size: int | None, content_type: str) -> StoredFile:
        """Store all of ``body``, replacing what was there.

        :param body: the bytes; wrap it in a CheckedReader to have digests and format checked before anything is
            published.
        :param size: exact number of bytes, or None where it is not known (costs a temporary file).
        :param content_type: MIME type to store with it, where the store keeps one.
        :returns: the file with size, SHA-256 and etag.
        :raises DestinationError: not allowed, no such bucket, disk full.
        :raises IntegrityError: bytes missing, too many or altered. Nothing is published.
        """


def clean_etag(etag: object) -> str | None:
    """Return an ETag without quotes and weakness mark, or None."""
    text = str(etag or "").strip().removeprefix("W/").strip('"')
    return text or None
