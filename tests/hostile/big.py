"""Answers of 300 MB, each met by a process of its own: what does one of them cost?

``python -m tests.hostile.big`` loads everything once and forks for each answer. It prints a line of JSON for each.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import psutil
import pytest

import tests.conftest  # noqa: F401 - an Airflow of its own
from tests.hostile.answers import Answer
from tests.hostile.methods import METHODS
from tests.hostile.run import Client, hurried, running_loop
from tests.hostile.server import HostileServer
from tests.hostile.wire import Piece, Reply

ROOT = Path(__file__).resolve().parents[2]
SIZE = 300_000_000
BLOCK = b" " * 100_000
#: Growth that one answer of 300 MB may cost, in bytes.
MOST = 50e6
#: Growth that one answer just below the limits may cost: of these, the values are what takes the memory.
MOST_VALUES = 100e6

#: What a call loads when it runs; here before the first fork, or it would count as growth.
LOADED_LATE = (
    "airflow_provider_autoenhance.transport.httpx_client",
    "airflow_provider_autoenhance.transport.requests_session",
    "anyio._backends._asyncio",
    "asgiref.sync",
)

_JSON, _BYTES, _PAGE, _XML = b"application/json", b"image/jpeg", b"text/html", b"application/xml"


@dataclass(frozen=True)
class Cost:
    """What became of a call that met a big answer.

    :param growth: bytes by which its process grew at its highest.
    :param failures: what :mod:`tests.hostile.judge` found.
    """

    name: str
    growth: int
    seconds: float
    outcome: str
    failures: list[str]

    @property
    def most(self) -> float:
        """The growth that is allowed."""
        return MOST_VALUES if "values" in self.name else MOST


def measured(names: Sequence[str] = ()) -> list[Cost]:
    """Measure some or all, in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.big", *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    costs = [Cost(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    if done.returncode:
        raise RuntimeError(f"exit {done.returncode} after {len(costs)} answers:\n{done.stderr[-3000:]}")
    return costs


def _reply(
    body: tuple[Piece, ...], kind: bytes = _JSON, *, status: bytes = b"200 OK", length: bool = True, more: bytes = b""
) -> Reply:
    size = sum(len(piece.data) * piece.times for piece in body)
    framed = b"Content-Length: %d\r\n" % size if length else b""
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\n%s%s\r\n" % (status, kind, framed, more)
    return Reply((Piece(head), *body), "close")


def _blanks() -> tuple[Piece, ...]:
    return (Piece(BLOCK, SIZE // len(BLOCK)), Piece(b"{}"))


def _text() -> tuple[Piece, ...]:
    return (Piece(b'{"message": "'), Piece(b"a" * 100_000, SIZE // 100_000), Piece(b'"}'))


def _objects() -> tuple[Piece, ...]:
    return (Piece(b'{"orders": ['), Piece(b"{}," * 50_000, SIZE // 150_000), Piece(b"{}]}"))


def _brackets() -> tuple[Piece, ...]:
    return (Piece(b"[" * 100_000, SIZE // 100_000),)


def _values(unit: bytes, count: int) -> tuple[Piece, ...]:
    """Values in as many bytes as any limit could allow."""
    start = b'{"image_id": "image-1", "order_id": "order-1", "orders": [], "bracket_id": "b", "x": ['
    return (Piece(start + (unit * count).rstrip(b",") + b"]}"),)


def _picture() -> tuple[Piece, ...]:
    return (
        Piece(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
        Piece(bytes(100_000), SIZE // 100_000),
    )


@cache
def _packed() -> bytes:
    maker = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(maker.compress(bytes(1_000_000)) for _ in range(SIZE // 1_000_000)) + maker.flush()


def _bomb() -> tuple[Piece, ...]:
    return (Piece(_packed()),)


def _chunks(data: bytes) -> Reply:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(data), data)
    return Reply((Piece(head), Piece(chunk, SIZE // len(data))), "close")


_GZIP = b"Content-Encoding: gzip\r\n"
_READ, _READ_ASYNC, _PAGE_OF_ORDERS = "get_image", "async run(retrieve_image)", "async run(list_orders)"

#: What each is called, which method meets it, at which origin, and the answer.
CASES: dict[str, tuple[str, str, Callable[[], Reply]]] = {
    "blanks": (_READ, "api", lambda: _reply(_blanks())),
    "blanks, async": (_READ_ASYNC, "api", lambda: _reply(_blanks())),
    "text": (_READ, "api", lambda: _reply(_text())),
    "text, async": (_READ_ASYNC, "api", lambda: _reply(_text())),
    "objects": ("list_orders", "api", lambda: _reply(_objects())),
    "objects, async": (_PAGE_OF_ORDERS, "api", lambda: _reply(_objects())),
    "brackets, async": (_READ_ASYNC, "api", lambda: _reply(_brackets())),
    "error": (_READ, "api", lambda: _reply(_text(), status=b"500 Fault")),
    "error, async": (_READ_ASYNC, "api", lambda: _reply(_text(), status=b"422 Fault")),
    "without length": (_READ, "api", lambda: _reply(_text(), length=False)),
    "without length, async": (_READ_ASYNC, "api", lambda: _reply(_text(), length=False)),
    "chunks": (_READ, "api", lambda: _chunks(BLOCK)),
    "chunks, async": (_READ_ASYNC, "api", lambda: _chunks(BLOCK)),
    "chunks of a byte, async": (_READ_ASYNC, "api", lambda: _chunks(b" ")),
    "bomb": (_READ, "api", lambda: _reply(_bomb(), more=_GZIP)),
    "bomb, async": (_READ_ASYNC, "api", lambda: _reply(_bomb(), more=_GZIP)),
    "redirect's body": ("download_image", "api", lambda: _reply(_text(), _PAGE, status=b"302 Found", more=b"Location: /\r\n")),
    "asset host's JSON": ("download_image, asset host", "assets", lambda: _reply(_text())),
    "asset host's page": ("download_image, asset host", "assets", lambda: _reply(_text(), _PAGE)),
    "asset host's error": ("download_image, asset host", "assets", lambda: _reply(_text(), _XML, status=b"500 Fault")),
    "asset host's bomb": ("download_image in blocks, asset host", "assets", lambda: _reply(_bomb(), _BYTES, more=_GZIP)),
    "asset host's picture": ("download_image in blocks, asset host", "assets", lambda: _reply(_picture(), _BYTES)),
    "upload host's thanks": ("upload", "upload", lambda: _reply(_text(), _XML)),
    "upload host's refusal": ("upload", "upload", lambda: _reply(_text(), _XML, status=b"403 Forbidden")),
    "upload host's bomb": ("upload", "upload", lambda: _reply(_bomb(), _XML, status=b"403 Forbidden", more=_GZIP)),
    "web source": ("open_source", "assets", lambda: _reply(_picture(), _BYTES)),
    "web source's error": ("open_source", "assets", lambda: _reply(_text(), _PAGE, status=b"500 Fault")),
    "web source's bomb": ("open_source", "assets", lambda: _reply(_bomb(), _BYTES, more=_GZIP)),
    **{
        f"{name} values{', async' if method == _READ_ASYNC else ''}": (method, "api", partial(lambda *of: _reply(_values(*of)), *of))
        for name, of in {
            "16 MB of empty lists": (b"[],", 5_500_000),
            "16 MB of empty objects": (b"{},", 5_500_000),
            "16 MB of numbers": (b"1.5,", 4_100_000),
            "16 MB of texts": (b'"\xc3\xbf",', 3_300_000),
            "240,000 objects": (b"".join(b'{"k%d": 1.5},' % number for number in range(240_000)), 1),
            "16 MB of wide text": (b'"' + b"a" * 16_000_000 + "\U0001f600".encode() + b'",', 1),
        }.items()
        for method in (_READ, _READ_ASYNC)
    },
}  # fmt: skip

#: The cases of the short form: each way to read an answer, and each way to be big.
SHORT = (
    "text", "objects, async", "without length", "chunks, async", "bomb, async", "asset host's page", "asset host's picture",
    "asset host's bomb", "upload host's refusal", "web source", "web source's bomb", "240,000 objects values",
    "16 MB of wide text values, async",
)  # fmt: skip


def _measure(names: Sequence[str]) -> None:
    """Meet each answer in a process of its own, forked from one that has everything loaded, and has not yet a thread."""
    for module in LOADED_LATE:
        importlib.import_module(module)
    _packed()
    with HostileServer() as server, hurried() as patch:
        for number, name in enumerate(names):
            gc.collect()
            child = os.fork()
            if not child:
                try:
                    _meet(name, number, server, patch)
                    os._exit(0)
                finally:
                    os._exit(1)
            if os.waitpid(child, 0)[1]:
                raise RuntimeError(f"the process that met {name!r} died")


def _meet(name: str, number: int, server: HostileServer, patch: pytest.MonkeyPatch) -> None:
    method_name, role, make = CASES[name]
    (method,) = (each for each in METHODS if each.name == method_name)
    answer = Answer(0, 1, method, (("big", name),))
    watch = _Growth()
    with server.site() as site, running_loop() as loop:
        client = Client(900 + number, site, loop, patch)
        replies = answer.polite(client.places(answer))
        client.play(answer, replies)
        setattr(replies, role, [make()])
        result = client.play(answer, replies, around=watch.measuring)
    cost = Cost(name, watch.growth, round(watch.seconds, 2), result.outcome, list(map(str, result.failures)))
    print(json.dumps(asdict(cost)), flush=True)


class _Growth:
    """How far this process's memory rose above where it was, in bytes, and how long that took."""

    growth = 0
    seconds = 0.0

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # what is free but still held would hide growth
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before, began = psutil.Process().memory_info().rss, time.monotonic()
        yield
        self.seconds = time.monotonic() - began
        self.growth = _peak() - before


def _peak() -> int:
    """The process's highest memory in bytes."""
    with contextlib.suppress(OSError):
        (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def lines(costs: Iterable[Cost]) -> Iterator[str]:
    """Show costs, one a line."""
    for cost in costs:
        yield f"{cost.growth / 1e6:6.0f} MB {cost.seconds:5.1f} s  {cost.name}: {cost.outcome} {' '.join(cost.failures)}"


if __name__ == "__main__":
    _measure(sys.argv[1:] or list(CASES))
