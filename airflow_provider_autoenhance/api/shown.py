"""What may be shown and kept of a value that a user gave: an argument of a task once it is rendered, the name of a source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_autoenhance.api.redact import clean_text, redact_text, redact_url

#: What lies deeper, or holds itself, is not shown.
_MAX_DEPTH = 50
#: A text without any of these holds no credential.
_MARKS = r"(?i)[?@=#]|api-key"
#: ``s3://name_of_a_connection@bucket/`` names a secret, but is not one.
_SCHEME = r"(?i)[a-z][a-z0-9+.-]{0,30}://"
_CONNECTION = r"(?i)(?<![a-z0-9+.-])(?!https?:)([a-z][a-z0-9+.-]{0,30}:/{2})[\w.-]+@"


def shown(value: Any, depth: int = 0) -> Any:
    """Return a value without the credentials in it; the value itself where it holds none.

    Addresses lose their query, fragment and user info. The name of an Airflow connection stays.

    :param value: text, or lists and objects of it, nested. Of anything else, what it prints is looked at, because Airflow stores that.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _shown_text(value)
    if depth > _MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        pairs = [(shown(key, depth + 1), shown(each, depth + 1)) for key, each in value.items()]
        same = all(
            key is name and each is inner for (key, each), (name, inner) in zip(pairs, value.items(), strict=True)
        )
        return value if same else dict(pairs)
    if isinstance(value, list | tuple | set | frozenset):
        items = [shown(each, depth + 1) for each in value]
        return value if all(each is inner for each, inner in zip(items, value, strict=True)) else items
    try:
        printed = str(value)
    except Exception:  # noqa: BLE001 - somebody's object; Airflow prints it, or fails to, by itself
        return value
    cleaned = _shown_text(printed)
    return value if cleaned == printed else cleaned


def quoted(value: Any, length: int = 80) -> str:
    """Return a wrong value as an error may quote it: cut, on one line, without credentials."""
    return clean_text(repr(shown(value)))[:length]


def counted(number: int, thing: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "photo"), counted(2, "photo")
    ('1 photo', '2 photos')
    """
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def last_part(uri: Any) -> str:
    """Return the last part of a URI's path as a name for people; empty where the URI ends in a slash."""
    return clean_text(redact_url(str(uri)).rpartition("/")[2])


def _shown_text(text: str) -> str:
    if not re.search(_MARKS, text):
        return text
    whole = redact_url(text) if re.match(_SCHEME, text) else text  # an address may have spaces in it
    redacted = redact_text(whole)
    return text if redacted == re.sub(_CONNECTION, r"\1", text) else redacted
