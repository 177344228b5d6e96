"""The wire and its faults: resets, silence, and bodies that are cut, changed or slow."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from airflow_provider_autoenhance.sandbox.state.faults import FaultRule

TRANSPORT = "sandbox.transport"
TARGET = "sandbox.target"
PATIENCE_SECONDS = 600.0
MOST_HEAD_BYTES = 64 * 1024
SLOW_SECONDS = 2.0
PIECES_PER_SECOND = 10


class ExposingProtocol(HttpToolsProtocol):
    """Gives the application the connection and the whole request target, which ASGI hides, and bounds slow clients."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head, self._head_bytes, self._heard = True, 0, self.loop.time()
        self._patience = self.loop.call_later(PATIENCE_SECONDS, self._lose_patience)

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._in_head:
            self._heard = self.loop.time()
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self.send_400_response("Request headers too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes, self._heard = True, 0, self.loop.time()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[TRANSPORT] = self.transport

    def on_headers_complete(self) -> None:
        self._in_head = False
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[TARGET] = self.url.decode("latin-1")
        super().on_headers_complete()

    def _lose_patience(self) -> None:
        """End a connection whose client keeps back the rest of a request."""
        body_is_owed = self.cycle is not None and self.cycle.more_body and not self.flow.read_paused
        left = self._heard + PATIENCE_SECONDS - self.loop.time()
        if left <= 0 and (self._in_head or body_is_owed):
            self.transport.abort()
        else:
            self._patience = self.loop.call_later(left if left > 0 else PATIENCE_SECONDS, self._lose_patience)


class Dropped(Exception):  # noqa: N818 - ends a request whose connection was ended on purpose
    """The connection is gone, so the request has ended."""


class Wire:
    """One request's connection."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._transport: asyncio.Transport = scope[TRANSPORT]
        self._receive = receive

    async def reset(self) -> None:
        """Send a TCP RST.

        :raises Dropped: always.
        """
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()
        await self._gone()
        raise Dropped

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    async def cut(self) -> None:
        """Close the connection in good order, even in mid-body.

        :raises Dropped: always.
        """
        self._transport.close()
        await self._gone()
        raise Dropped

    async def hang(self, seconds: float | None) -> None:
        """Stay silent until the client gives up, then reset.

        :param seconds: how long at most; None = ten minutes.
        :raises Dropped: always.
        """
        try:
            await asyncio.wait_for(self._gone(), PATIENCE_SECONDS if seconds is None else seconds)
        except TimeoutError:
            await self.reset()
        raise Dropped

    async def drain(self) -> None:
        """Read the request to its end. Otherwise the client might not see the answer."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Dropped
            if not message.get("more_body", False):
                return

    async def act(self, rule: FaultRule) -> None:
        """Carry out a fault that ends the connection. Other kinds do nothing.

        :param rule: the fault.
        """
        if rule.kind == "reset":
            await self.reset()
        elif rule.kind == "truncate":
            await self.cut()
        elif rule.kind == "timeout":
            await self.hang(rule.seconds)

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class MidAnswer:
    """A ``send`` that goes wrong half way through the body."""

    def __init__(self, wire: Wire, rule: FaultRule, send: Send, *, wrong_etag: bool) -> None:
        self._wire, self._rule, self._send = wire, rule, send
        self._wrong_etag = wrong_etag
        self._left = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = dict(message["headers"])
            self._left = int(headers.get(b"content-length", b"0")) // 2
            if self._rule.kind == "corrupt" and self._wrong_etag:
                message = {**message, "headers": [_forged(header) for header in message["headers"]]}
            await self._send(message)
        elif self._rule.kind == "corrupt":
            await self._send({**message, "body": self._corrupted(message.get("body", b""))})
        elif self._rule.kind == "slow":
            await self._slowly(message)
        else:
            body = message.get("body", b"")
            await self._send({"type": "http.response.body", "body": body[: self._left], "more_body": True})
            self._left -= len(body)
            if self._left <= 0:
                await self._wire.act(self._rule)

    def _corrupted(self, body: bytes) -> bytes:
        """Change the byte in the middle of the whole body."""
        place, self._left = self._left, self._left - len(body)
        if self._wrong_etag or not 0 <= place < len(body):
            return body
        return body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]

    async def _slowly(self, message: Message) -> None:
        body = message.get("body", b"")
        piece = max(1, self._rule.bytes_per_second // PIECES_PER_SECOND)
        for start in range(0, len(body), piece):
            await asyncio.sleep(1 / PIECES_PER_SECOND)
            await self._send({"type": "http.response.body", "body": body[start : start + piece], "more_body": True})
        await self._send({"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)})


class MidUpload:
    """A ``receive`` that goes wrong half way through the request body."""

    def __init__(self, wire: Wire, rule: FaultRule, receive: Receive, length: int) -> None:
        self._wire, self._rule, self._receive = wire, rule, receive
        self._left = length // 2

    async def __call__(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        if self._rule.kind == "slow":
            await asyncio.sleep(size / self._rule.bytes_per_second)
        self._left -= size
        if self._left <= 0:
            await self._wire.act(self._rule)
        return message


def _forged(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return (header[0], b'"00000000000000000000000000000000"') if header[0].lower() == b"etag" else header
