"""Documents as Autoenhance would send them, and what can stand in a place of theirs instead."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from tests.hostile.wire import COUNT, Places

DEEP = 100_000
Path = tuple[str | int, ...]


class Raw(str):
    """Text that goes into JSON as it is."""


def image(places: Places, number: int = 1) -> dict[str, Any]:
    """An image, as it is created and read."""
    return {
        "image_id": f"image-{number}",
        "image_name": "kitchen.jpg",
        "order_id": "order-1",
        "status": "processed",
        "status_reason": "fine",
        "enhanced": True,
        "error": None,
        "downloaded": False,
        "scene": "interior",
        "metadata": {"listing": "maple"},
        "date_added": 1_767_225_600_000,
        "upload_url": places.signed_upload,
        "s3PutObjectUrl": places.signed_upload,
    }


def bracket(places: Places) -> dict[str, Any]:
    """A bracket, as it is created and read."""
    return {
        "bracket_id": "bracket-1",
        "name": "kitchen_1.jpg",
        "order_id": "order-1",
        "image_id": "image-1",
        "is_uploaded": True,
        "metadata": {"stop": -2},
        "upload_url": places.signed_upload,
    }


def brackets(places: Places) -> dict[str, Any]:
    """An order's brackets."""
    return {"brackets": [bracket(places), bracket(places)]}


def order(places: Places) -> dict[str, Any]:
    """An order with its images."""
    return {
        "order_id": "order-1",
        "name": "Maple Street",
        "status": "processed",
        "created_at": "2026-01-01T00:00:00.000000",
        "is_merging": False,
        "is_processing": False,
        "is_deleted": False,
        "images": [image(places, 1), image(places, 2)],
    }


def order_page(places: Places, following: Any = None) -> dict[str, Any]:
    """A page of orders."""
    return {"orders": [order(places), order(places)], "pagination": {"next_offset": following, "per_page": 15}}


def nothing(places: Places) -> dict[str, Any]:
    """The answer to a call that has nothing to say."""
    return {"message": "done"}


def fault(places: Places) -> dict[str, Any]:
    """What the API says with an error."""
    return {"message": "Validation error", "detail": {"json": {"image_name": ["Not a valid string."]}}}


def redirect(places: Places) -> dict[str, Any]:
    """A download's answer in JSON."""
    return {"url": places.signed_asset}


def paths(document: Any, path: Path = ()) -> Iterator[Path]:
    """Yield every place of a document, its root first."""
    yield path
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inner:
        yield from paths(value, (*path, key))


def replaced(document: Any, path: Path, value: Any) -> Any:
    """Return a copy with another value in one place."""
    if not path:
        return value
    document = copy.deepcopy(document)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


def dumped(document: Any) -> bytes:
    """Write JSON in which each :class:`Raw` stands as it is."""
    raws: list[str] = []

    def stand_in(value: Any) -> Any:
        if isinstance(value, Raw):
            raws.append(value)
            return f"@raw{len(raws) - 1}@"
        if isinstance(value, dict):
            return {key: stand_in(each) for key, each in value.items()}
        return [stand_in(each) for each in value] if isinstance(value, list) else value

    text = json.dumps(stand_in(document))
    for number, raw in enumerate(raws):
        text = text.replace(f'"@raw{number}@"', raw)
    return text.encode("utf-8", "surrogatepass")


def _nested(opened: str, inner: str, closed: str, depth: int) -> Raw:
    return Raw(opened * depth + inner + closed * depth)


#: What stands where something else belongs, by name.
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "negative": -1,
    "number": 7,
    "fraction": 0.5,
    "tiny": Raw("1e-999"),
    "huge-int": Raw("9" * 5000),
    "huge-negative-int": Raw("-" + "9" * 5000),
    "int-of-4000-digits": Raw("7" * 4000),
    "beyond-float": Raw("1e999"),
    "nan": Raw("NaN"),
    "infinity": Raw("Infinity"),
    "minus-infinity": Raw("-Infinity"),
    "empty-text": "",
    "blank-text": " \t ",
    "text": "text",
    "digits-of-elsewhere": "²٣",
    "dots": "..",
    "slashes": "../../v3/orders",
    "long-text": "long " * 40_000,
    "lone-surrogate": Raw('"\\ud800"'),
    "lone-low-surrogate": Raw('"a\\udc80b"'),
    "nul": "a\0b",
    "forged-line": "fine\r\n[2026-01-01 00:00:00] ERROR forged",
    "escape-codes": "\x1b[2J\x1b]0;owned\x07",
    "right-to-left": "\u202egpj.exe\u2066",
    "markup": "<script>alert(1)</script>{{ 7 * 7 }}${jndi:ldap://x}%s%n{0}",
    "list": [],
    "list-of-null": [None],
    "list-of-numbers": [1, 2.5, True],
    "list-of-texts": ["a", "b"],
    "list-of-lists": [[[[]]], [[1]]],
    "list-of-objects": [{}, {"image_id": {}}, {"order_id": []}],
    "object": {},
    "object-of-objects": {"a": {"b": {"c": None}}},
    "object-with-ids": {"image_id": {"image_id": 1}, "order_id": [None], "bracket_id": True},
    "deep-list": _nested("[", "", "]", DEEP),
    "deep-list-cut": Raw("[" * DEEP),
    "deep-object": _nested('{"a":', "1", "}", DEEP),
    "mixed-deep": _nested('[{"a":', "1", "}]", DEEP // 2),
    "rather-deep-list": _nested("[", "", "]", 900),
    "rather-deep-object": _nested('{"a":', "1", "}", 450),
    "duplicate-keys": Raw('{"image_id": 1, "image_id": [], "image_id": null}'),
    "bad-escape": Raw('"\\x41"'),
    "bare-word": Raw("undefined"),
    "single-quotes": Raw("'text'"),
    "raw-control": Raw('"a\nb"'),
    "year-1": "0001-01-01T00:00:00+14:00",
    "year-9999": "9999-12-31T23:59:59-14:00",
    "year-10000": "10000-01-01T00:00:00Z",
}

#: What a reader of lists and objects trips over most.
PLAIN = (
    "true",
    "zero",
    "number",
    "fraction",
    "infinity",
    "text",
    "empty-text",
    "list-of-null",
    "list-of-numbers",
    "object",
    "list",
)


def secrets(places: Places) -> dict[str, Any]:
    """Values that hold what must stay out of sight."""
    return {
        "presigned-address": f"see {places.signed_upload} for more",
        "old-signature": f"https://bucket.s3.amazonaws.com/a.jpg?AWSAccessKeyId={places.secret}&Signature={places.secret}",
        "echoed-key-header": f"refused, x-api-key: {places.key}",
        "echoed-key": f"the key {places.key} is not known",
    }


def any_value(rng: random.Random, places: Places) -> tuple[str, Any]:
    """Pick a value."""
    choice = VALUES | secrets(places)
    name = rng.choice(list(choice))
    return name, choice[name]


#: ``next_offset`` by page, and the orders of a page: how a list of orders may go on.
PAGES: dict[str, tuple[list[Any], bool]] = {
    "same-for-ever": (["A"], True),
    "circle-of-two": (["A", "B"], True),
    "circle-of-three": (["A", "B", "C"], True),
    "circle-behind-a-way": (["1", "2", "3", "A", "B", "A"], True),
    "empty-circle": (["A", "B"], False),
    "never-ends": ([COUNT.decode()], True),
    "never-ends-and-holds-nothing": ([COUNT.decode()], False),
    "number-circle": ([7, 8], True),
    "true": ([True], True),
    "object": ([{"a": 1}], True),
    "list": ([["A"]], True),
    "long": (["o" * 100_000, None], True),
    "control-characters": (["a\r\nx-evil: 1\0", None], True),
    "not-ascii": (["Ünï²", None], True),
    "lone-surrogate": ([Raw('"\\ud800"'), None], True),
    "huge-int": ([Raw("9" * 5000), None], True),
    "nan": ([Raw("NaN"), None], True),
    "looks-like-a-query": (["A&per_page=1#x", None], True),
    "blank": ([" "], True),
}
