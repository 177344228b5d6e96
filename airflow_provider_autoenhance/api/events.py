"""A trigger's event, read back by the task that waited for it. Another version of this provider may have written it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_autoenhance.api import errors


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
    return kind(message or "the trigger ended without saying why; clear the task to wait again")
