"""What one answer may cost: seconds of waiting and bytes of memory, from its first header to its last chunk.

A timeout for each read is not a bound: a server that sends a byte every half second, or headers or a chunk without end, would hold a
worker for ever. So the limits stand where the bytes leave the socket, below everything that interprets them.
"""

from __future__ import annotations

import io
import socket
from http.client import HTTPResponse
from time import monotonic
from typing import Any

from airflow_provider_autoenhance.api.answers import MAX_WHOLE_BYTES

#: Bytes of the longest head, and of what may come unasked with a block: chunk sizes, what is read ahead.
_OVERHEAD_BYTES = 1 << 20

#: A stream earns its time again with so many bytes: with the default of 60 seconds, about a kilobyte each second.
_PACE_BYTES = 1 << 16


class AnswerTooLongError(Exception):
    """More bytes arrived than were to be read."""


class _LimitedReader(io.RawIOBase):
    """A socket's bytes, within limits. An answer may keep its reader waiting for as long as the socket's timeout, all reads together.

    Only waiting counts: a stream may be read as slowly as its reader likes.

    :param raw: what ``socket.makefile`` made; it keeps the socket open.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._receive = sock.recv_into
        self._timeout = sock.gettimeout()
        self._seconds = self._timeout or float("inf")
        self._bytes = _OVERHEAD_BYTES
        self._pace: int | None = None

    def allow(self, size: int, *, stream: bool) -> None:
        """Set how many bytes may come from here on.

        :param stream: waiting is counted again for every so many bytes, or else for the answer as a whole.
        """
        self._bytes = size + _OVERHEAD_BYTES
        if stream and self._pace is None:
            self._earn()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        in_time = self._timeout is None or self._seconds >= self._timeout
        began = monotonic()
        count = (self._receive if in_time else self._receive_in_time)(buffer)
        self._seconds -= monotonic() - began
        self._bytes -= count
        if self._bytes < 0:
            raise AnswerTooLongError
        if self._pace is not None:
            self._pace -= count
            if self._pace <= 0:
                self._earn()
        return count

    def _receive_in_time(self, buffer: Any) -> int:
        if self._seconds <= 0:
            raise TimeoutError("the answer came too slowly")
        self._sock.settimeout(self._seconds)
        try:
            return self._receive(buffer)
        finally:  # the connection may serve another request
            self._sock.settimeout(self._timeout)

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _earn(self) -> None:
        self._pace = _PACE_BYTES
        self._seconds = self._timeout or float("inf")


class LimitedResponse(HTTPResponse):
    """The standard library's response, read within limits."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._limited = _LimitedReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._limited)

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line of the answer proper. The standard library skips 100 alone, and would take a 103 for the answer."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status < 102 or status >= 200:
                return version, status, reason
            while self.fp.readline(_OVERHEAD_BYTES) not in (b"\r\n", b"\n", b""):
                pass

    def allow(self, size: int, *, stream: bool = False) -> None:
        """Set how many bytes of body may come from here on."""
        self._limited.allow(size, stream=stream)


def read_whole(raw: Any) -> bytes:
    """Read the rest of an answer, undecoded.

    :param raw: a ``urllib3.HTTPResponse``.
    :raises AnswerTooLongError: when it has more than :data:`MAX_WHOLE_BYTES`.
    """
    _limits_of(raw).allow(MAX_WHOLE_BYTES)
    blocks, size = [], 0
    while block := raw.read(1 << 16, decode_content=False):
        blocks.append(block)
        size += len(block)
        if size > MAX_WHOLE_BYTES:
            raise AnswerTooLongError
    return b"".join(blocks)


def read_block(raw: Any, size: int) -> bytes:
    """Read the next block of a stream, undecoded.

    :param raw: a ``urllib3.HTTPResponse``.
    :param size: bytes at most; at least 1.
    :raises AnswerTooLongError: when what comes cannot be part of a block.
    """
    _limits_of(raw).allow(size, stream=True)
    data: bytes = raw.read(size, decode_content=False)
    return data


def _limits_of(raw: Any) -> LimitedResponse:
    response = raw._original_response  # as requests' own cookie code finds it
    if not isinstance(response, LimitedResponse):
        raise TypeError("the answer was not read through LimitedAdapter")
    return response
