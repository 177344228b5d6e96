"""Kinds of hostility in an answer's body."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

from tests.hostile import values
from tests.hostile.addresses import NAMES, addresses
from tests.hostile.draft import Draft
from tests.hostile.heads import ERRORS, Kind
from tests.hostile.values import Raw, any_value, dumped, paths, replaced


def _body(make: Callable[[bytes], bytes], content_type: bytes | None = None) -> Kind:
    def spoil(draft: Draft) -> None:
        draft.body = make(draft.body)
        if content_type is not None:
            draft.content_type = content_type

    return spoil


def _said(body: bytes, content_type: bytes | None = None) -> Kind:
    return _body(lambda _: body, content_type)


_PAGE = (
    b"<!DOCTYPE html><html><head><title>Login</title></head><body>" + b"<p>Please log in</p>" * 200 + b"</body></html>"
)
_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">'
    + b"".join(b'<!ENTITY %c "%s">' % (c, b"&%c;" % (c - 1) * 10) for c in range(ord("c"), ord("m")))
    + b"]><Error><Code>AccessDenied</Code><Message>expired &l;</Message></Error>"
)

#: Bodies that are not the JSON that belongs there.
TEXTS: dict[str, Kind] = {
    "empty": _said(b""),
    "blank": _said(b" \r\n\t "),
    "blanks": _said(b" " * 1_000_000),
    "bom": _body(lambda body: b"\xef\xbb\xbf" + body),
    "utf-16": _body(lambda body: body.decode("latin-1").encode("utf-16")),
    "utf-16-without-mark": _body(lambda body: body.decode("latin-1").encode("utf-16-be")),
    "utf-32": _body(lambda body: body.decode("latin-1").encode("utf-32")),
    "utf-7": _said(b"+AHsAfQ-"),
    "not-utf-8": _body(lambda body: body.replace(b"e", b"\xe9\xff")),
    "cut": _body(lambda body: body[: len(body) // 2]),
    "cut-at-one": _body(lambda body: body[:1]),
    "twice": _body(lambda body: body + body),
    "lines": _body(lambda body: body + b"\n" + body),
    "comma-behind": _body(lambda body: body[:-1] + b",}"),
    "comment": _body(lambda body: b"// comment\n" + body),
    "callback": _body(lambda body: b"callback(" + body + b")"),
    "prefix": _body(lambda body: b")]}',\n" + body),
    "nuls-behind": _body(lambda body: body + b"\0" * 100),
    "quote": _said(b'"'),
    "quotes": _said(b'"' * 100_001),
    "page": _said(_PAGE, b"text/html"),
    "page-as-json": _said(_PAGE),
    "xml-bomb": _said(_BOMB, b"application/xml"),
    "xml-bomb-as-json": _said(_BOMB),
    "gzip-unannounced": _body(lambda body: gzip.compress(body, mtime=0)),
    "picture": _said(b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\0" * 100, b"image/jpeg"),
    "picture-as-json": _said(b"\x89PNG\r\n\x1a\n" + b"\0" * 100),
    "json-as-picture": _body(bytes, b"image/png"),
    "json-as-bytes": _body(bytes, b"application/octet-stream"),
    "json-as-text": _body(bytes, b"text/plain"),
    "many-keys": lambda draft: setattr(draft, "body", dumped(draft.document | {f"key {n} \n": n for n in range(30_000)})),
    "long-key": lambda draft: setattr(draft, "body", dumped(draft.document | {"k" * 300_000: 1})),
    "only-other-keys": _said(dumped({f"key {n}\r\nforged": n for n in range(5_000)})),
    "secret-keys": lambda draft: setattr(draft, "body", dumped({draft.places.signed_asset: 1, draft.places.key: 2})),
    "empty-keys": _said(b'{"": {"": {"": ""}}}'),
    "surrogate-keys": _said(b'{"\\ud800": 1, "\\udfff\\ud800": {"\\ud834": "\\udd1e"}}'),
    "duplicate-everything": _body(lambda body: body[:-1] + b"," + body[1:-1].replace(b":", b":[],\"x\":") + b"}"),
    "many-lists": _said(b"[" + b"[]," * 200_000 + b"[]]"),
    "many-numbers": _said(b"[" + b"1e9," * 300_000 + b"1]"),
}  # fmt: skip


def place(path: values.Path) -> Kind:
    """Put something else into one place of the document."""

    def spoil(draft: Draft) -> None:
        stood = draft.document
        for key in path:
            stood = stood[key]
        if isinstance(stood, dict | list) and draft.rng.random() < 0.6:
            value = values.VALUES[draft.rng.choice(values.PLAIN)]
        else:
            _, value = any_value(draft.rng, draft.places)
        draft.body = dumped(replaced(draft.document, path, value))

    return spoil


def removed(key: str) -> Kind:
    """Leave a key out."""

    def spoil(draft: Draft) -> None:
        draft.body = dumped({name: value for name, value in draft.document.items() if name != key})

    return spoil


def shapes(document: Any) -> dict[str, Kind]:
    """Every place of a document, to be filled with what does not belong there."""
    found = {f"place-{'.'.join(map(str, path)) or 'root'}": place(path) for path in paths(document)}
    return found | {f"without-{key}": removed(key) for key in document}


def valued(document: Any, name: str) -> Kind:
    """Put one value into any place of the document."""

    def spoil(draft: Draft) -> None:
        choice = values.VALUES | values.secrets(draft.places)
        path = draft.rng.choice(list(paths(document)))
        draft.body = dumped(replaced(draft.document, path, choice[name]))

    return spoil


def _fault(make: Callable[[Draft], Any]) -> Kind:
    def spoil(draft: Draft) -> None:
        if b" 200 " in draft.status:
            draft.status = b"HTTP/1.1 %d Fault" % draft.rng.choice(ERRORS)
        draft.body = dumped(make(draft))

    return spoil


def _detail(value: Any) -> Kind:
    return _fault(lambda _: {"message": "Validation error", "detail": value})


def _secret_fault(draft: Draft) -> Any:
    said = draft.rng.choice(list(values.secrets(draft.places).values()))
    return draft.rng.choice(
        [{"message": said}, {"detail": {"json": {said: [said]}}}, {"message": "a", "detail": [said]}]
    )


#: What comes with an error.
FAULTS: dict[str, Kind] = {
    "polite": _fault(lambda draft: values.fault(draft.places)),
    "place": _fault(
        lambda draft: replaced(
            values.fault(draft.places),
            draft.rng.choice(list(paths(values.fault(draft.places)))),
            any_value(draft.rng, draft.places)[1],
        )
    ),
    "secret": _fault(_secret_fault),
    "detail-deep": _detail(values.VALUES["deep-object"]),
    "detail-rather-deep": _detail(values.VALUES["rather-deep-object"]),
    "detail-deep-list": _detail(values.VALUES["rather-deep-list"]),
    "detail-mixed-deep": _detail(Raw('{"a":[' * 200 + "1" + "]}" * 200)),
    "detail-many": _detail({f"field {n}": {"inner": [f"fault {n}"]} for n in range(20_000)}),
    "detail-list-of-objects": _detail([{"loc": ["a", 1], "msg": "\nforged"}, None, 7]),
    "detail-number": _detail(7),
    "detail-huge-int": _detail(values.VALUES["huge-int"]),
    "detail-odd-keys": _detail({"": {"\n": {"\0": ["x"]}}, "a\r\nERROR": [[], {}]}),
    "message-long": _fault(lambda _: {"message": "long " * 400_000}),
    "message-lines": _fault(lambda _: {"message": "a\r\nERROR forged\x1b[2J\u2028\u202e"}),
    "message-surrogate": _fault(lambda _: {"message": Raw('"\\ud800\\udc80b"')}),
    "message-format": _fault(lambda _: {"message": "%s %d %n {0} {error} {{}} %(name)s"}),
    "message-number": _fault(lambda _: {"message": 7}),
    "message-list": _fault(lambda _: {"message": ["a", {"b": 1}]}),
    "list": _fault(lambda _: [1, {"message": "x"}]),
    "null": _fault(lambda _: None),
    "text": _fault(lambda _: "text"),
    "nan": _fault(lambda _: Raw("NaN")),
}


def _json_redirect(make: Callable[[Draft], Any]) -> Kind:
    def spoil(draft: Draft) -> None:
        draft.status, draft.content_type = b"HTTP/1.1 200 OK", b"application/json"
        draft.body = dumped(make(draft))

    return spoil


def _address_of(name: str) -> Callable[[Draft], Any]:
    return lambda draft: {"url": addresses(draft.places)[name]}


#: Answers in JSON that send a download elsewhere.
REDIRECTS: dict[str, Kind] = {
    **{f"to-{name}": _json_redirect(_address_of(name)) for name in NAMES},
    **{f"value-{name}": _json_redirect(lambda _, value=value: {"url": value}) for name, value in values.VALUES.items()},
}


def _upload_address(name: str) -> Kind:
    def spoil(draft: Draft) -> None:
        address = addresses(draft.places)[name]
        keys = draft.rng.choice(
            (("upload_url", "s3PutObjectUrl"), ("upload_url",), ("s3PutObjectUrl",), ("upload_file_url",))
        )
        rest = {
            key: value
            for key, value in draft.document.items()
            if key not in ("upload_url", "upload_file_url", "s3PutObjectUrl")
        }
        draft.body = dumped(rest | dict.fromkeys(keys, address))

    return spoil


#: Upload URLs that lead elsewhere, or nowhere.
UPLOADS: dict[str, Kind] = {name: _upload_address(name) for name in NAMES}
