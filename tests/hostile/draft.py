"""An answer in the making: polite until kinds have been at it, then cut into pieces."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.hostile.wire import Ending, Piece, Places, Reply

Where = Literal["status", "headers", "blank", "size", "body", "end"]
Segment = tuple[Where, Piece]


@dataclass
class Draft:
    """What is sent for one request, before it becomes bytes.

    :param document: what a polite body says; kinds replace ``body``.
    :param framing: makes the body's segments, and adds the headers that announce it.
    :param slow: where bytes come one at a time, and seconds before each.
    :param halt: where the answer stops, how many bytes later, and how the connection ends there.
    """

    rng: random.Random
    places: Places
    document: Any
    body: bytes
    before: list[Piece] = field(default_factory=list)
    status: bytes = b"HTTP/1.1 200 OK"
    headers: list[bytes] = field(default_factory=list)
    content_type: bytes = b"application/json"
    framing: Callable[[Draft], list[Segment]] | None = None
    ending: Ending = "keep"
    reads: bool = True
    raw: list[Piece] | None = None
    slow: tuple[Where, float] | None = None
    halt: tuple[Where, int, Ending] | None = None

    def rendered(self) -> Reply:
        """Cut it into pieces."""
        if self.raw is not None:
            return Reply(tuple(self.raw), self.ending, self.reads)
        segments = self._segments()
        if self.slow:
            segments = _slowed(segments, *self.slow)
        ending = self.ending
        if self.halt:
            segments, ending = _halted(segments, *self.halt), self.halt[2]
        return Reply((*self.before, *(piece for _, piece in segments)), ending, self.reads)

    def _segments(self) -> list[Segment]:
        body = (self.framing or by_length)(self)
        typed = [b"Content-Type: " + self.content_type] if self.content_type else []
        head = b"".join(line + b"\r\n" for line in [*typed, *self.headers])
        return [
            ("status", Piece(self.status + b"\r\n")),
            ("headers", Piece(head)),
            ("blank", Piece(b"\r\n")),
            *body,
        ]


def by_length(draft: Draft) -> list[Segment]:
    """Announce the length as it is."""
    draft.headers.append(b"Content-Length: %d" % len(draft.body))
    return [("body", Piece(draft.body))]


def in_chunks(draft: Draft) -> list[Segment]:
    """Send two chunks and the last."""
    draft.headers.append(b"Transfer-Encoding: chunked")
    half = len(draft.body) // 2
    segments: list[Segment] = []
    for part in filter(None, (draft.body[:half], draft.body[half:])):
        segments += [("size", Piece(b"%x\r\n" % len(part))), ("body", Piece(part + b"\r\n"))]
    return [*segments, ("end", Piece(b"0\r\n\r\n"))]


def _slowed(segments: list[Segment], where: Where, pause: float) -> list[Segment]:
    """Send a byte at a time from the first segment of a kind on."""
    names = [name for name, _ in segments]
    start = names.index(where) if where in names else 0
    slow = [
        (name, Piece(each.data[:100_000], 1 if each.times > 0 else -1, 1, pause)) for name, each in segments[start:]
    ]
    return [*segments[:start], *slow]


def _halted(segments: list[Segment], where: Where, after: int, ending: Ending) -> list[Segment]:
    names = [name for name, _ in segments]
    stop = names.index(where) if where in names else len(segments) - 1
    name, piece = segments[stop]
    return [*segments[:stop], (name, Piece(piece.data[:after], 1, piece.step, piece.pause))]
