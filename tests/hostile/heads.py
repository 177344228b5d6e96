"""Kinds of hostility in an answer's head. Each is a function that spoils a :class:`Draft`, under a printable name."""

from __future__ import annotations

from collections.abc import Callable

from tests.hostile.addresses import NAMES, addresses
from tests.hostile.draft import Draft

Kind = Callable[[Draft], None]
MANY = 1 << 20


def encoded(address: str) -> bytes:
    """Write an address as a header's bytes."""
    try:
        return address.encode("latin-1")
    except UnicodeEncodeError:
        return address.encode("utf-8", "surrogatepass")


# Status lines


def _status(line: bytes) -> Kind:
    def spoil(draft: Draft) -> None:
        draft.status = line

    return spoil


_CODES = (
    100, 101, 103, 199, 201, 202, 204, 205, 206, 226, 299, 300, 301, 302, 303, 304, 305, 307, 308, 399, 400, 401, 402, 403, 404,
    405, 408, 409, 410, 413, 414, 415, 418, 421, 422, 423, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 507, 511,
    520, 524, 530, 599, 600, 700, 999,
)  # fmt: skip
#: Statuses with which a contract's error body comes.
ERRORS = (400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 502, 503)

STATUSES: dict[str, Kind] = {
    **{str(code): _status(b"HTTP/1.1 %d Some Reason" % code) for code in _CODES},
    "no-reason": _status(b"HTTP/1.1 200"),
    "no-reason-500": _status(b"HTTP/1.1 500"),
    "three-zeros": _status(b"HTTP/1.1 000 Zero"),
    "two-digits": _status(b"HTTP/1.1 20 OK"),
    "five-digits": _status(b"HTTP/1.1 99999 Many"),
    "negative": _status(b"HTTP/1.1 -200 OK"),
    "plus": _status(b"HTTP/1.1 +200 OK"),
    "word": _status(b"HTTP/1.1 OK OK"),
    "digits-of-elsewhere": _status(b"HTTP/1.1 \xb2\xb20 OK"),
    "fraction": _status(b"HTTP/1.1 200.5 OK"),
    "two-blanks": _status(b"HTTP/1.1  200  OK"),
    "tab": _status(b"HTTP/1.1\t200\tOK"),
    "old-version": _status(b"HTTP/1.0 200 OK"),
    "version-2": _status(b"HTTP/2 200"),
    "version-9": _status(b"HTTP/9.9 200 OK"),
    "long-version": _status(b"HTTP/1.1" + b"1" * 1000 + b" 200 OK"),
    "radio": _status(b"ICY 200 OK"),
    "small-letters": _status(b"http/1.1 200 ok"),
    "not-ascii-reason": _status(b"HTTP/1.1 200 \xff\xfe\x80\xe9"),
    "not-ascii-reason-500": _status(b"HTTP/1.1 500 \xff\xfe\x80\xe9"),
    "control-reason": _status(b"HTTP/1.1 500 a\x00b\x1b[2J\x07"),
    "long-reason": _status(b"HTTP/1.1 500 " + b"r" * 60_000),
    "very-long": _status(b"HTTP/1.1 200 " + b"r" * MANY),
    "empty-line-first": _status(b"\r\nHTTP/1.1 200 OK"),
    "empty-lines-first": _status(b"\r\n" * 1000 + b"HTTP/1.1 200 OK"),
}


# Headers


def _headers(*lines: bytes) -> Kind:
    return lambda draft: draft.headers.extend(lines)


def _content_type(value: bytes) -> Kind:
    def spoil(draft: Draft) -> None:
        draft.content_type = value

    return spoil


def _presigned(name: bytes) -> Kind:
    def spoil(draft: Draft) -> None:
        draft.headers.append(name + b": " + draft.places.signed_asset.encode())

    return spoil


HEADERS: dict[str, Kind] = {
    "flood": lambda draft: draft.headers.extend(b"x-%d: %d" % (n, n) for n in range(5000)),
    "ninety": lambda draft: draft.headers.extend(b"x-%d: %d" % (n, n) for n in range(90)),
    "long": _headers(b"x-long: " + b"v" * MANY),
    "rather-long": _headers(b"x-long: " + b"v" * 60_000),
    "long-name": _headers(b"n" * 70_000 + b": v"),
    "same-name": lambda draft: draft.headers.extend([b"x-same: " + b"v" * 900] * 90),
    "no-colon": _headers(b"this line has not a colon"),
    "no-name": _headers(b": value"),
    "blank-before-colon": _headers(b"x-name : value"),
    "folded": _headers(b"x-folded: a", b" b", b"\tc"),
    "folded-first": lambda draft: draft.headers.insert(0, b" folded"),
    "nul": _headers(b"x-nul: a\x00b", b"x-\x00: a"),
    "bare-newline": _headers(b"x-a: b\nx-c: d"),
    "bare-return": _headers(b"x-a: b\rx-c: d"),
    "not-ascii-value": _headers(b"x-a: \xff\xfe\xe9\x80"),
    "not-ascii-name": _headers(b"x-\xe9\xff: a"),
    "utf-8": _headers("x-a: 日本 \U0001f600".encode()),
    "presigned-in-name": lambda draft: draft.headers.append(draft.places.signed_asset.encode() + b" v"),
    "presigned-unparsable": _presigned(b"x-\x00bad header"),
    "type-none": _content_type(b""),
    "type-not-ascii": _content_type(b"text/\xe9\xff; charset=\xff"),
    "type-utf-8": _content_type("application/日本".encode()),
    "type-utf-16": _content_type(b"application/json; charset=utf-16"),
    "type-unknown-charset": _content_type(b"application/json; charset=klingon"),
    "type-nul-charset": _content_type(b"application/json; charset=a\x00b"),
    "type-odd-charset": _content_type(b"text/plain; charset=rot13"),
    "type-idna-charset": _content_type(b"text/plain; charset=idna"),
    "type-image": _content_type(b"image/jpeg"),
    "type-html": _content_type(b"text/html; charset=utf-8"),
    "type-multipart": _content_type(b"multipart/form-data; boundary="),
    "type-long": _content_type(b"application/" + b"j" * 50_000),
    "type-many-parameters": _content_type(b"application/json" + b"; a=b" * 8000),
    "type-twice": lambda draft: draft.headers.append(b"Content-Type: text/html"),
    "cookies": _headers(b"Set-Cookie: id=1; Path=/", b"Set-Cookie: \xff=\xfe; Max-Age=\xb2", b"Set-Cookie2: x"),
    "cookie-dates": _headers(b"Set-Cookie: a=b; Expires=Fri, 99 Foo 99999 99:99:99 GMT; Max-Age=1e400"),
    "connection-words": _headers(b"Connection: keep-alive, close, upgrade, \xff", b"Upgrade: h2c", b"Keep-Alive: timeout=-1"),
    "modified-odd": _headers(b"Last-Modified: Fri, 31 Feb 99999 25:61:61 +9999", b"Date: \xff", b"Age: -1"),
    "modified-year-0": _headers(b"Last-Modified: Mon, 01 Jan 0000 00:00:00 GMT"),
    "modified-zone": _headers(b"Last-Modified: Mon, 01 Jan 2024 00:00:00 +99999999999999999999"),
    "modified-not-ascii": _headers(b"Last-Modified: \xb2\xb3 Jan 2024 00:00:00 GMT"),
    "disposition": _headers(b"Content-Disposition: attachment; filename*=utf-8''..%2f..%00; filename=\xff"),
    "location-beside": lambda draft: draft.headers.append(b"Location: " + draft.places.signed_asset.encode()),
    **{
        f"etag-{name}": _headers(b"ETag: " + value, b"x-amz-request-id: R")
        for name, value in {
            "empty": b"", "quotes": b'""', "weak": b'W/"', "not-ascii": b'"\xff\xfe\xe9"', "long": b'"' + b"e" * 50_000 + b'"',
            "nul": b'"a\x00b"', "digits-of-elsewhere": b'"' + b"\xb2" * 32 + b'"', "md5": b'"' + b"a" * 32 + b'"',
        }.items()
    },
    **{
        f"digest-{name}": _headers(
            b"content-md5: " + value,
            b"x-amz-checksum-sha256: " + value,
            b"x-amz-checksum-crc32: " + value,
            b"x-amz-checksum-crc64nvme: " + value,
            b"Digest: sha-256=" + value,
            b"Repr-Digest: sha-256=:" + value + b":",
        )
        for name, value in {
            "not-ascii": b"\xe4\xf6\xfc\xff", "odd": b"YWJ", "short": b"YQ==", "padding": b"====", "empty": b"", "dash": b"YWJj-3",
            "long": b"QUFB" * 10_000, "utf-8": "日本".encode(), "two": b"YWJj, YWJj", "nul": b"YW\x00Jj",
        }.items()
    },
}  # fmt: skip


def _retry_after(value: bytes) -> Kind:
    def spoil(draft: Draft) -> None:
        draft.status = draft.rng.choice((b"HTTP/1.1 429 Too Many Requests", b"HTTP/1.1 503 Busy"))
        draft.headers.append(b"Retry-After: " + value)

    return spoil


RETRY_AFTER: dict[str, Kind] = {
    f"{name}": _retry_after(value)
    for name, value in {
        "zero": b"0", "one": b"1", "superscript": b"\xb2", "utf-8-digit": "٣".encode(), "inf": b"inf", "minus-inf": b"-inf",
        "nan": b"nan", "negative": b"-1", "beyond-float": b"1e400", "big": b"1e300", "underscore": b"1_0", "hex": b"0x10",
        "huge": b"9" * 5000, "empty": b"", "blank": b"  ", "fraction": b"0.5", "two": b"1, 2", "word": b"soon",
        "date": b"Wed, 21 Oct 2015 07:28:00 GMT", "date-far": b"Fri, 31 Dec 9999 23:59:59 GMT", "date-bad": b"Foo, 99 Bar 2024 99:99",
        "date-year-0": b"Mon, 01 Jan 0000 00:00:00 GMT", "date-year-99999": b"Mon, 01 Jan 99999 00:00:00 GMT",
        "date-zone": b"Mon, 01 Jan 2024 00:00:00 +9999", "date-big-zone": b"Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
        "date-no-zone": b"Mon, 01 Jan 2024 00:00:00", "date-year-1": b"Mon, 01 Jan 0001 00:00:00 +1400", "nul": b"1\x002",
        "date-digits-of-elsewhere": "Mon, ٠١ Jan ٢٠٢٤ 00:00:00 GMT".encode(), "day": b"86400", "control": b"1\x1b[2J",
    }.items()
}  # fmt: skip


def _location(name: str) -> Kind:
    def spoil(draft: Draft) -> None:
        code = draft.rng.choice((301, 302, 303, 307, 308))
        draft.status = b"HTTP/1.1 %d Moved" % code
        draft.headers.append(b"Location: " + encoded(addresses(draft.places)[name]))

    return spoil


_MOVED = b"HTTP/1.1 302 Found"


def _moved(*targets: bytes) -> Kind:
    def spoil(draft: Draft) -> None:
        draft.status = _MOVED
        draft.headers.extend(b"Location: " + target for target in targets)

    return spoil


def _not_ascii_location(draft: Draft) -> None:
    _moved(b"http://%s/\xff\xfe\xe9" % draft.places.assets.encode())(draft)


def _not_ascii_host(draft: Draft) -> None:
    _moved(b"http://\xff\xfe@%s/" % draft.places.assets.encode())(draft)


LOCATIONS: dict[str, Kind] = {
    **{name: _location(name) for name in NAMES},
    "none": _moved(),
    "bytes": _not_ascii_location,
    "host-bytes": _not_ascii_host,
}
