"""Bytes checked on their way, so that a truncated or altered body is never published."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from airflow_provider_autoenhance.api.errors import AutoenhanceError, IntegrityError, UnreachableError
from airflow_provider_autoenhance.storage.base import BLOCK, Reader


class StreamCheck(Protocol):
    """Looks at bytes as they pass and says at the end what is wrong with them."""

    def feed(self, block: bytes, /) -> None:
        """Take the next bytes."""
        ...

    def finish(self) -> str | None:
        """Return what is wrong ("..." of "the file is cut short: ..."), or None."""
        ...


class _Digest(Protocol):
    def update(self, block: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, block: bytes, /) -> None:
        self._value = zlib.crc32(block, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _new_digest(algorithm: str) -> _Digest:
    if algorithm == "crc32":
        return _Crc32()
    return hashlib.new(algorithm, usedforsecurity=False)


class CheckedReader:
    """A reader that lets the last block go only when size, digests and format have been found right.

    The sender of the bytes announces their number first, so a transfer whose last block is withheld is never
    completed and nothing is published. At most two blocks are held.

    :param reader: where the bytes come from.
    :param name: what the error line calls it: an image's name or a redacted URI.
    :param size: expected bytes, or None when the sender gave none.
    :param digests: expected hex digests by algorithm: ``md5``, ``sha256``, ``crc32`` and what hashlib knows.
    :param checks: format checks; see ``imaging.integrity.check_for``.
    :param malformed: error class for a failed format check: SourceError for a photo at rest, IntegrityError for a
        download.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        name: str,
        size: int | None,
        digests: Mapping[str, str] | None = None,
        checks: Sequence[StreamCheck] = (),
        malformed: type[AutoenhanceError] = IntegrityError,
    ) -> None:
        self.name = name
        self.size = size
        self.taken = 0
        self.error: AutoenhanceError | None = None
        self._reader = reader
        self._expected = dict(digests or {})
        self._digests: dict[str, _Digest] = {}
        self.track(*self._expected)
        self._checks = tuple(checks)
        self._malformed = malformed
        self._held: bytes | None = None
        self._out = b""
        self._at = 0
        self._verified = False
        self._untouched = True

    def __len__(self) -> int:
        if self.size is None:
            raise TypeError(f"{self.name}: size not known before the end")
        return self.size

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(BLOCK):
            yield block

    def track(self, *algorithms: str) -> None:
        """Compute these digests too. Only before the first read."""
        for algorithm in algorithms:
            self._digests.setdefault(algorithm, _new_digest(algorithm))

    def hand_over(self, algorithm: str) -> str | None:
        """Leave it to the receiver to check a digest. Only before the first read.

        :returns: the expected hex digest, ``None`` where the sender gave none.
        """
        self._digests.pop(algorithm, None)
        return self._expected.pop(algorithm, None)

    def hexdigest(self, algorithm: str = "sha256") -> str | None:
        """Return a digest of everything read, valid once the end was reached; ``None`` where it is not computed."""
        digest = self._digests.get(algorithm)
        return None if digest is None else digest.hexdigest()

    def seekable(self) -> bool:
        """Return False: bytes that were sent cannot be read again."""
        return False

    def tell(self) -> int:
        """Return the position, for libraries that ask before they begin."""
        if self._untouched:
            return 0
        raise io.UnsupportedOperation("tell")

    def seek(self, offset: int, whence: int = 0) -> int:
        """Rewind while nothing was read yet: so a client may retry, or follow a redirect, before it sends the body."""
        if self._untouched and offset == 0 and whence == 0:
            return 0
        raise io.UnsupportedOperation("seek")

    def read(self, n: int = -1, /) -> bytes:
        """Return up to ``n`` bytes; ``b""`` once everything has been read and found right.

        :raises IntegrityError: size or digest differ, or whatever ``malformed`` says. Raised again by every later read.
        """
        if n is None or n < 0:
            return b"".join(self)
        self._untouched = False
        if n and self._at == len(self._out):
            self._fill()
        whole = self._at == 0 and n >= len(self._out)
        block = self._out if whole else self._out[self._at : self._at + n]
        self._at += len(block)
        return block

    def _fill(self) -> None:
        if self.error is not None:
            raise self.error
        if self._verified:
            self._out, self._at = b"", 0
            return
        try:
            if self._held is None:
                self._held = self._pull()
            upcoming = self._pull() if self._held else b""
            if not upcoming:
                self._verify()
        except AutoenhanceError as error:
            self.error = error
            raise
        self._out, self._at, self._held = self._held, 0, upcoming

    def _pull(self) -> bytes:
        try:
            block = self._reader.read(BLOCK)
        except AutoenhanceError:
            raise
        except Exception as error:  # noqa: BLE001 - every library has its own
            kind = type(error).__name__
            raise UnreachableError(f"{self.name}: the sender broke off ({kind}) after {self.taken} bytes.") from None
        self.taken += len(block)
        if self.size is not None and self.taken > self.size:
            raise IntegrityError(
                f"{self.name}: more than the announced {self.size} bytes arrived. Nothing was published."
            )
        for digest in self._digests.values():
            digest.update(block)
        for check in self._checks:
            check.feed(block)
        return block

    def _verify(self) -> None:
        if self.size is not None and self.taken != self.size:
            raise IntegrityError(f"{self.name}: {self.taken} of {self.size} bytes arrived. Nothing was published.")
        for algorithm, expected in self._expected.items():
            found = self.hexdigest(algorithm)
            if found != expected.lower():
                raise IntegrityError(
                    f"{self.name}: bytes altered on the way: {algorithm} is {found}, not {expected}. "
                    "Nothing was published."
                )
        for check in self._checks:
            if reason := check.finish():
                raise self._malformed(
                    f"{self.name}: the file is cut short or damaged: {reason}. Nothing was published."
                )
        self._verified = True


def checked(body: Reader, *, name: str, size: int | None) -> CheckedReader:
    """Return ``body`` if it is checked already, else wrap it. Its SHA-256 is computed on the way.

    :raises IntegrityError: ``body`` announces another size.
    """
    if not isinstance(body, CheckedReader):
        body = CheckedReader(body, name=name, size=size)
    elif size is not None and body.size is None:
        body.size = size
    elif size is not None and body.size != size:
        raise IntegrityError(f"{name}: {body.size} bytes announced, but {size} expected. Nothing was published.")
    body.track("sha256")
    return body
