"""A trigger's event, read back by the task that waited for it. Another version of this provider may have written it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

from airflow_provider_autoenhance.api import errors


class ErrorEvent(TypedDict, total=False):
    """What a trigger reports when its wait ended badly.

    :param error: class of the error.
    :param message: its text.
    :param details: its other attributes, such as ``retry_after`` and ``status_code``, for a retry policy.
    """

    error: str
    message: str
    details: dict[str, Any]


def error_event(error: errors.AutoenhanceError) -> ErrorEvent:
    """Return an error in plain values. :func:`reported_error` makes it again.

    >>> error_event(errors.RateLimitError("too fast", status_code=429, retry_after=60.0))
    {'error': 'RateLimitError', 'message': 'too fast', 'details': {'status_code': 429, 'retry_after': 60.0}}
    """
    details = {name: value for name, value in vars(error).items() if _is_plain(value)}
    return ErrorEvent(error=type(error).__name__, message=str(error), details=details)


def reported(event: object, name: str, kind: type[Any]) -> Any:
    """Return what an event reports under a name, ``None`` where it does not, or not as it should."""
    value = event.get(name) if isinstance(event, Mapping) else None
    return value if isinstance(value, kind) else None


def reported_error(event: object) -> errors.AutoenhanceError:
    """Return what an event reports as gone wrong; a :class:`~errors.ServerError` where it does not say in words that are known."""
    kind = getattr(errors, reported(event, "error", str) or "", None)
    if not (isinstance(kind, type) and issubclass(kind, errors.AutoenhanceError)):
        kind = errors.ServerError
    message = reported(event, "message", str)
    error = kind(message or "the trigger ended without saying why; clear the task to wait again")
    details = reported(event, "details", Mapping) or {}
    for name, usual in vars(error).items():
        value = details.get(name)
        if _is_plain(value) and isinstance(value, bool) == isinstance(usual, bool):
            setattr(error, name, value)
    return error


def _is_plain(value: object) -> bool:
    """Whether a value is a number that JSON can hold; a bool is one too."""
    return isinstance(value, int | float) and math.isfinite(value)
