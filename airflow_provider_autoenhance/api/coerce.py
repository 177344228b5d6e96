"""Arguments read from text: Jinja makes text of booleans, numbers, lists and objects.

Each reader takes the value as it is and as text, and says whose argument is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.shown import quoted


def required(owner: str, name: str, value: Any) -> str:
    """Return a templated argument as text.

    :raises SettingsError: when it rendered to nothing, which would otherwise reach the API.
    """
    text = str(value if value is not None else "").strip()
    if text in ("", "None"):
        raise SettingsError(f"{owner}: {name} is empty; check the template or the task that hands it over.")
    return text


def mapping(owner: str, name: str, value: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Return a templated argument as a mapping; Jinja may have made JSON text of it.

    :raises SettingsError: when it is neither.
    """
    if isinstance(value, str):
        value = _from_json(value) if value.strip() not in ("", "None") else None
    if value is not None and not isinstance(value, Mapping):
        raise SettingsError(f"{owner}: {name} takes an object, not {quoted(value)}.")
    return dict(value or {})


def boolean(owner: str, name: str, value: Any) -> bool:
    """Return a templated argument as a bool; Jinja makes text of it.

    :raises SettingsError: when it is neither true nor false, rather than guess about spending a credit.
    """
    spelled = str(value).strip().lower()
    if spelled in ("true", "false"):
        return spelled == "true"
    raise SettingsError(f"{owner}: {name} takes true or false, not {quoted(value)}.")


def whole_number(owner: str, name: str, value: Any) -> int | None:
    """Return a templated argument as an int, ``None`` where it is empty; Jinja makes text of it.

    :raises SettingsError: when it is anything else.
    """
    spelled = str(value).strip()
    if spelled in ("", "None"):
        return None
    if spelled.isdigit():
        return int(spelled)
    raise SettingsError(f"{owner}: {name} takes a whole number, not {quoted(value)}.")


def texts(owner: str, name: str, value: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return a templated argument as a tuple of texts, without empty ones. A text is one entry, unless it spells a list.

    >>> texts("Task", "include", "['*.jpg', '*.png']"), texts("Task", "include", "*.jpg")
    (('*.jpg', '*.png'), ('*.jpg',))

    :raises SettingsError: when an entry is not a text.
    """
    if isinstance(value, str):
        spelled = value.strip()
        found = _from_json(spelled) if spelled.startswith("[") else spelled
        value = [spelled] if isinstance(found, str) else found
        value = [] if value == ["None"] else value
    entries = list(value or ())
    if not all(isinstance(entry, str) for entry in entries):
        raise SettingsError(f"{owner}: {name} takes a list of texts, not {quoted(value)}.")
    return tuple(filter(None, entries))


def seconds(owner: str, name: str, value: Any) -> float:
    """Return a duration in seconds: a number, its text, or a ``timedelta``.

    >>> seconds("Task", "timeout", timedelta(minutes=2)), seconds("Task", "timeout", "90")
    (120.0, 90.0)

    :raises SettingsError: when it is anything else, or negative.
    """
    try:
        found = value.total_seconds() if isinstance(value, timedelta) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not (0 <= found < math.inf) or isinstance(value, bool):
        raise SettingsError(f"{owner}: {name} takes seconds or a timedelta, not {quoted(value)}.")
    return found


def _from_json(spelled: str) -> Any:
    """Read what Jinja made of a list or an object: JSON, or Python's own spelling. Anything else stays the text."""
    import ast
    import json

    for read in (json.loads, ast.literal_eval):
        try:
            return read(spelled)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return spelled
