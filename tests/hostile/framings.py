"""Kinds of hostility in an answer's framing, coding and pace, and what is not an HTTP answer at all."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from functools import cache

from tests.hostile.draft import Draft, Segment, Where, by_length, in_chunks
from tests.hostile.heads import Kind
from tests.hostile.wire import Ending, Piece


def _framed(headers: list[bytes], *, ending: Ending = "close", cut: int | None = None, add: bytes = b"") -> Kind:
    """Announce the body so, and send it cut or with something behind it."""

    def frame(draft: Draft) -> list[Segment]:
        length = len(draft.body)
        draft.headers += [
            line.replace(b"{n}", b"%d" % length).replace(b"{n+9}", b"%d" % (length + 9)) for line in headers
        ]
        draft.ending = ending
        return [("body", Piece(draft.body[:cut] + add))]

    return lambda draft: setattr(draft, "framing", frame)


def _chunks(*pieces: Piece | bytes, ending: Ending = "close") -> Kind:
    """Send these instead of chunks; ``{body}`` stands for the body and its length."""

    def frame(draft: Draft) -> list[Segment]:
        draft.headers.append(b"Transfer-Encoding: chunked")
        draft.ending = ending
        whole = b"%x\r\n" % len(draft.body) + draft.body + b"\r\n"
        return [
            (
                "size",
                each
                if isinstance(each, Piece)
                else Piece(each.replace(b"{chunk}", whole).replace(b"{body}", draft.body)),
            )
            for each in pieces
        ]

    return lambda draft: setattr(draft, "framing", frame)


def _never_ends(draft: Draft) -> None:
    draft.framing = lambda draft: [("body", Piece(draft.body + b" " * 4096, -1))]


_SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

FRAMINGS: dict[str, Kind] = {
    "chunks": lambda draft: setattr(draft, "framing", in_chunks),
    "until-close": _framed([]),
    "until-close-never": _framed([], ending="hang"),
    "until-close-never-ends": _never_ends,
    "length-too-long": _framed([b"Content-Length: {n+9}"]),
    "length-too-long-never": _framed([b"Content-Length: {n+9}"], ending="hang"),
    "length-too-long-reset": _framed([b"Content-Length: {n+9}"], ending="reset"),
    "length-too-short": _framed([b"Content-Length: 5"], ending="keep"),
    "length-zero": _framed([b"Content-Length: 0"], ending="keep"),
    "second-answer-behind": _framed([b"Content-Length: {n}"], ending="keep", add=_SECOND),
    "garbage-behind": _framed([b"Content-Length: {n}"], ending="keep", add=b"\xff\x00" * 500),
    "length-negative": _framed([b"Content-Length: -1"]),
    "length-plus": _framed([b"Content-Length: +{n}"]),
    "length-superscript": _framed([b"Content-Length: \xb2"]),
    "length-digits-of-elsewhere": _framed(["Content-Length: ٣".encode()]),
    "length-hex": _framed([b"Content-Length: 0x10"]),
    "length-exponent": _framed([b"Content-Length: 1e3"]),
    "length-word": _framed([b"Content-Length: many"]),
    "length-empty": _framed([b"Content-Length: "]),
    "length-underscore": _framed([b"Content-Length: 1_0"]),
    "length-huge": _framed([b"Content-Length: " + b"9" * 30]),
    "length-of-5000-digits": _framed([b"Content-Length: " + b"9" * 5000]),
    "length-two-alike": _framed([b"Content-Length: {n}", b"Content-Length: {n}"]),
    "length-two": _framed([b"Content-Length: {n}", b"Content-Length: {n+9}"]),
    "length-two-in-one": _framed([b"Content-Length: {n}, {n+9}"]),
    "length-and-chunks": _framed([b"Content-Length: {n}", b"Transfer-Encoding: chunked"]),
    "coding-unknown": _framed([b"Transfer-Encoding: xchunked"]),
    "coding-gzip": _framed([b"Transfer-Encoding: gzip, chunked"]),
    "coding-twice": _framed([b"Transfer-Encoding: chunked, chunked"]),
    "coding-not-ascii": _framed([b"Transfer-Encoding: \xffchunked"]),
    "coding-identity": _framed([b"Transfer-Encoding: identity"]),
    "chunk-negative": _chunks(b"-5\r\n{body}\r\n0\r\n\r\n"),
    "chunk-minus-zero": _chunks(b"{chunk}-0\r\n\r\n"),
    "chunk-huge": _chunks(b"FFFFFFFFFFFFFFFF1\r\n{body}"),
    "chunk-of-5000-digits": _chunks(b"f" * 5000 + b"\r\n{body}"),
    "chunk-maxint": _chunks(b"7fffffffffffffff\r\n{body}"),
    "chunk-gigabytes": _chunks(b"ffffffff\r\n{body}", ending="hang"),
    "chunk-word": _chunks(b"size\r\n{body}\r\n0\r\n\r\n"),
    "chunk-empty-size": _chunks(b"\r\n{body}\r\n0\r\n\r\n"),
    "chunk-not-ascii": _chunks(b"\xb2\xff\r\n{body}\r\n0\r\n\r\n"),
    "chunk-prefix": _chunks(b"0x5\r\n{body}\r\n0\r\n\r\n"),
    "chunk-underscore": _chunks(b"1_0\r\n{body}\r\n0\r\n\r\n"),
    "chunk-too-short": _chunks(b"3\r\n{body}\r\n0\r\n\r\n"),
    "chunk-without-end": _chunks(b"{chunk}"),
    "chunk-last-missing": _chunks(b"{chunk}", ending="hang"),
    "chunk-end-half": _chunks(b"{chunk}0\r\n", ending="close"),
    "chunk-extension": _chunks(b"{chunk}", Piece(b"0;" + b"x" * 60_000 + b"\r\n\r\n")),
    "chunks-never-end": _chunks(Piece(b"1000\r\n" + b" " * 4096 + b"\r\n", -1)),
    "chunks-never-end-slowly": _chunks(Piece(b"1000\r\n" + b" " * 4096 + b"\r\n", -1, 0, 0.1)),
    "chunks-of-one-byte": _chunks(Piece(b"1\r\n \r\n", 100_000), b"0\r\n\r\n", ending="keep"),
    "chunk-size-line-never-ends": _chunks(Piece(b"1" * 1000, -1)),
    "chunk-extension-never-ends": _chunks(b"1;", Piece(b"x" * 1000, -1)),
    "chunk-newlines": _chunks(b"{chunk}", Piece(b"\n" * 1000, 100)),
    "trailers": _chunks(b"{chunk}0\r\nx-checksum: \xff\r\n\xff: \x00\r\nno colon\r\n\r\n", ending="keep"),
    "trailers-flood": _chunks(b"{chunk}0\r\n", Piece(b"x-trailer: v\r\n", 20_000), b"\r\n", ending="keep"),
    "trailers-never-end": _chunks(b"{chunk}0\r\n", Piece(b"x-trailer: v\r\n", -1)),
}


# What is not HTTP at all


def _raw(*pieces: Piece | bytes, ending: Ending = "close", reads: bool = True) -> Kind:
    def spoil(draft: Draft) -> None:
        draft.raw = [each if isinstance(each, Piece) else Piece(each) for each in pieces]
        draft.ending, draft.reads = ending, reads

    return spoil


def _garbage(draft: Draft) -> None:
    draft.raw, draft.ending = [Piece(random.Random(draft.rng.random()).randbytes(4000))], "close"


def _before(*pieces: Piece) -> Kind:
    return lambda draft: draft.before.extend(pieces)


_FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
STRANGE: dict[str, Kind] = {
    "nothing": _raw(),
    "nothing-reset": _raw(ending="reset"),
    "nothing-unread": _raw(reads=False),
    "nothing-unread-reset": _raw(ending="reset", reads=False),
    "unread": _raw(ending="hang", reads=False),
    "answer-unread-kept": _raw(_FINE, ending="hang", reads=False),
    "answer-unread": _raw(_FINE, reads=False),
    "answer-unread-reset": _raw(_FINE, ending="reset", reads=False),
    "version-0.9": lambda draft: setattr(draft, "raw", [Piece(draft.body)]),
    "page-0.9": _raw(b"<html><body>hello</body></html>"),
    "garbage": _garbage,
    "zeros": _raw(b"\0" * 5000),
    "newlines": _raw(b"\r\n" * 5000),
    "newlines-never-end": _raw(Piece(b"\r\n" * 500, -1)),
    "line-never-ends": _raw(Piece(b"a" * 1000, -1)),
    "status-line-never-ends": _raw(b"HTTP/1.1 200 ", Piece(b"a" * 1000, -1)),
    "headers-never-end": _raw(b"HTTP/1.1 200 OK\r\n", Piece(b"x-a: b\r\n", -1)),
    "header-never-ends": _raw(b"HTTP/1.1 200 OK\r\nx-a: ", Piece(b"a" * 1000, -1)),
    "header-name-never-ends": _raw(b"HTTP/1.1 200 OK\r\n", Piece(b"a" * 1000, -1)),
    "folds-never-end": _raw(b"HTTP/1.1 200 OK\r\nx-a: b\r\n", Piece(b" b\r\n", -1)),
    "ssh": _raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "tls-alert": _raw(b"\x15\x03\x01\x00\x02\x02\x46"),
    "http-2": _raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80"),
    "request": _raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "continue-once": _before(Piece(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "continue-flood": _before(Piece(b"HTTP/1.1 100 Continue\r\nx-a: b\r\n\r\n", 20_000)),
    "continue-never-ends": _raw(Piece(b"HTTP/1.1 100 Continue\r\n\r\n", -1)),
    "continue-slowly": _raw(Piece(b"HTTP/1.1 100 Continue\r\n\r\n", -1, 0, 0.3)),
    "hints-never-end": _raw(Piece(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", -1)),
    "switching": _before(Piece(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")),
    "continue-headers": _raw(b"HTTP/1.1 100 Continue\r\n", Piece(b"x-a: b\r\n", -1)),
}


# Content-Encoding


def _coded(name: bytes, make: Callable[[bytes], bytes]) -> Kind:
    def spoil(draft: Draft) -> None:
        draft.headers.append(b"Content-Encoding: " + name)
        draft.body = make(draft.body)

    return spoil


def _plain(body: bytes) -> bytes:
    return body


def _gzipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def _deflated(body: bytes) -> bytes:
    maker = zlib.compressobj(9, zlib.DEFLATED, -15)
    return maker.compress(body) + maker.flush()


ENCODINGS: dict[str, Kind] = {
    "gzip": _coded(b"gzip", _gzipped),
    "gzip-broken": _coded(b"gzip", _plain),
    "gzip-cut": _coded(b"gzip", lambda body: _gzipped(body)[:-9]),
    "gzip-bad-sum": _coded(b"gzip", lambda body: _gzipped(body)[:-8] + b"\0" * 8),
    "gzip-empty": _coded(b"gzip", lambda body: b""),
    "gzip-garbage-behind": _coded(b"gzip", lambda body: _gzipped(body) + b"garbage"),
    "gzip-two-members": _coded(b"gzip", lambda body: _gzipped(body[:9]) + _gzipped(body[9:])),
    "gzip-twice": _coded(b"gzip, gzip", lambda body: _gzipped(_gzipped(body))),
    "gzip-many": _coded(b", ".join([b"gzip"] * 50), _plain),
    "x-gzip": _coded(b"X-GZip", _gzipped),
    "deflate": _coded(b"deflate", zlib.compress),
    "deflate-raw": _coded(b"deflate", _deflated),
    "deflate-broken": _coded(b"deflate", _plain),
    "br": _coded(b"br", _plain),
    "zstd": _coded(b"zstd", _plain),
    "zstd-magic": _coded(b"zstd", lambda body: b"\x28\xb5\x2f\xfd" + body),
    "compress": _coded(b"compress", _plain),
    "unknown": _coded(b"rot13", _plain),
    "identity": _coded(b"identity", _plain),
    "empty": _coded(b"", _plain),
    "not-ascii": _coded(b"gzip\xff", _plain),
    "bomb": _coded(b"gzip", lambda body: _bomb()),
}


@cache
def _bomb() -> bytes:
    """20 MB of blanks in 20 kB."""
    return _gzipped(b" " * (20 << 20) + b"{}")


# Pace


def _slow(where: Where, pause: float, *, chunked: bool = False) -> Kind:
    def spoil(draft: Draft) -> None:
        if chunked and draft.framing in (None, by_length):
            draft.framing = in_chunks
        if where == "headers":
            draft.headers.insert(0, b"x-slow: " + b"s" * 400)
        if where in ("body", "size"):
            draft.body += b" " * 400
        draft.slow = where, pause

    return spoil


def _halt(where: Where, after: int, ending: Ending) -> Kind:
    return lambda draft: setattr(draft, "halt", (where, after, ending))


PLACES: tuple[Where, ...] = ("status", "headers", "blank", "body")
PACES: dict[str, Kind] = {
    **{f"drip-{where}-{pause}": _slow(where, pause) for where in PLACES for pause in (0.02, 0.3, 0.9)},
    **{f"drip-chunks-{pause}": _slow("size", pause, chunked=True) for pause in (0.02, 0.3, 0.9)},
}
HALTS: dict[str, Kind] = {
    f"{ending}-in-{where}-{after}": _halt(where, after, ending)
    for ending in ("hang", "close", "reset")
    for where in PLACES
    for after in (0, 1, 7)
}
