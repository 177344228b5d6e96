"""A server that sends what no HTTP library would send.

It runs in a process of its own, so that neither its memory nor its work counts as the client's.

>>> with HostileServer() as server, server.site() as site:
...     site.play(Replies(api=[Reply((Piece(b"HTTP/1.1 000 \\r\\n\\r\\n"),))]))
...     ...  # talk to site.api
...     site.seen()
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.hostile.wire import COUNT, ROLES, Piece, Replies, Role, Seen

ROOT = Path(__file__).resolve().parents[2]
#: Seconds after which a site hangs up on whoever still talks to it: a client without a bound would wait for ever.
LIFE_SECONDS = 6.5
#: Bytes after which what never ends stands still: enough to pass any limit on a body that is read whole, and no danger to the machine.
ENDLESS_BYTES = 24 << 20
_BLOCK = 1 << 16
_LONGEST_HEAD = 1 << 20
_LONGEST_ORDER = 1 << 27


class HostileServer:
    """The server's process."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._control = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def site(self) -> Site:
        """Open three origins that belong together: an API, an upload host and an asset host. Safe to call from any thread."""
        return Site(self._control)


class Site:
    """Three origins on loopback. One thread at a time may use it."""

    def __init__(self, control: int) -> None:
        self._link = socket.create_connection(("127.0.0.1", control))
        self._file = self._link.makefile("rw", encoding="utf-8", newline="\n")
        ports = self._ask("open")
        self.api, self.upload, self.assets = (f"127.0.0.1:{ports[role]}" for role in ROLES)

    def play(self, replies: Replies, life: float = LIFE_SECONDS) -> None:
        """Give these replies from now on, and forget which requests came before.

        :param life: seconds until the site hangs up.
        """
        self._ask("play", replies=replies.as_json(), life=life)

    def seen(self) -> list[Seen]:
        """Return the requests since the last ``play``, and hang up."""
        return [Seen(role, head) for role, head in self._ask("seen")]

    def close(self) -> None:
        """Stop listening."""
        self._file.close()
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, do: str, **more: Any) -> Any:
        self._file.write(json.dumps({"do": do, **more}) + "\n")
        self._file.flush()
        return json.loads(self._file.readline())


class _Stage:
    """A site as the server knows it."""

    def __init__(self) -> None:
        self.replies = Replies()
        self.turns: dict[str, int] = defaultdict(int)
        self.seen: list[tuple[str, str]] = []
        self.count = 0
        self.busy: set[asyncio.StreamWriter] = set()
        self.servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self) -> dict[str, int]:
        for role in ROLES:
            server = await asyncio.start_server(self._handler(role), sock=_listener(), limit=_LONGEST_HEAD)
            self.servers.append(server)
        return {role: each.sockets[0].getsockname()[1] for role, each in zip(ROLES, self.servers, strict=True)}

    def play(self, replies: dict[str, Any], life: float) -> None:
        self.hang_up()
        self.replies = Replies.of_json(replies)
        self.turns.clear()
        self.seen = []
        self._timer = asyncio.get_running_loop().call_later(life, self.hang_up)

    def hang_up(self) -> None:
        if self._timer:
            self._timer.cancel()
        self.replies = Replies()
        for writer in self.busy:
            _reset(writer)

    def close(self) -> None:
        self.hang_up()
        for server in self.servers:
            server.close()

    def _handler(self, role: Role) -> Any:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while await self._answer(role, reader, writer):
                    self.busy.discard(writer)
            except (OSError, EOFError, asyncio.LimitOverrunError):
                pass
            finally:
                self.busy.discard(writer)
                writer.close()

        return handle

    async def _answer(self, role: Role, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request, and say whether the connection stays."""
        head = await reader.read(1)
        self.busy.add(writer)
        if head and head[0] != 0x16:  # or a TLS handshake, which has no empty line
            head += await reader.readuntil(b"\r\n\r\n")
        if not head:
            return False
        self.seen.append((role, head.decode("latin-1")))
        reply = self.replies.turn(role, self.turns[role])
        if reply is None:
            _reset(writer)
            return False
        self.turns[role] += 1
        self.count += 1
        if reply.reads:
            await _read_body(reader, head)
        else:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        for piece in reply.pieces:
            await self._send(piece, writer)
            if piece.times < 0:
                await writer.wait_closed()
        if reply.ending == "reset":
            _reset(writer)
        if reply.ending == "hang":
            while reply.reads and await reader.read(_BLOCK):
                pass
            await writer.wait_closed()
        return reply.ending == "keep"

    async def _send(self, piece: Piece, writer: asyncio.StreamWriter) -> None:
        data, times = piece.data.replace(COUNT, b"%07d" % self.count), piece.times
        if not piece.pause and times not in (0, 1):
            packed = max(1, _BLOCK // len(data))
            await self._write(data * (times % packed if times > 0 else 0), writer)
            data, times = data * packed, times // packed if times > 0 else times
        if times < 0:
            times = 1 + ENDLESS_BYTES // len(data)
        for _ in range(times):
            for start in range(0, len(data), piece.step or len(data) or 1):
                await asyncio.sleep(piece.pause)
                await self._write(data[start : start + (piece.step or len(data))], writer)

    async def _write(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if writer.transport.is_closing():
            raise ConnectionResetError
        writer.write(data)
        await writer.drain()


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # an upload that is not read stands still soon
    listener.bind(("127.0.0.1", 0))
    return listener


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            await reader.readexactly(int(value))


def _reset(writer: asyncio.StreamWriter) -> None:
    held = writer.get_extra_info("socket")
    with suppress(OSError):
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    stage = _Stage()
    try:
        while line := await reader.readline():
            order = json.loads(line)
            answer: Any = None
            if order["do"] == "open":
                answer = await stage.listen()
            elif order["do"] == "play":
                stage.play(order["replies"], order["life"])
            else:
                stage.hang_up()
                answer = stage.seen
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
    finally:
        stage.close()
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_control, "127.0.0.1", 0, limit=_LONGEST_ORDER)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # with all connections, in whatever state


if __name__ == "__main__":
    asyncio.run(_main())
