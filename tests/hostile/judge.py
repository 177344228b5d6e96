"""What may come out of a call that met a hostile answer, and what must not."""

from __future__ import annotations

import math
import pickle
import traceback
import types
import typing
from collections import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from airflow_provider_autoenhance.api.errors import AutoenhanceError
from airflow_provider_autoenhance.api.models import Image, Order
from tests.hostile.wire import Places, Seen

#: Seconds that a call may take beyond three times its timeout, because the machine has other work.
SLACK_SECONDS = 2.0
LONGEST_TEXT = 5_000


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    :param seconds: how long it took, without deliberate pauses.
    """

    value: Any = None
    error: BaseException | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Failure:
    """A promise that an answer broke.

    :param kind: ``raw``, ``type``, ``value``, ``error``, ``secret``, ``key``, ``cookie`` or ``late``.
    """

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


def judge(outcome: Outcome, returns: Any, seen: Sequence[Seen], places: Places, timeout: float) -> list[Failure]:
    """Return every promise that was broken."""
    error = outcome.error
    found = list(dict.fromkeys(_requests(seen, places)))
    if error is None:
        found += _value(outcome.value, returns, places)
    elif not isinstance(error, AutoenhanceError):
        found.append(Failure("raw", f"{type(error).__name__} from {_origin(error)}: {str(error)[:150]!r}"))
    else:
        found += _error(error, places)
    if outcome.seconds > 3 * timeout + SLACK_SECONDS:
        found.append(
            Failure("late", f"{outcome.seconds:.1f} s with a timeout of {timeout:g} s, ended with {error!r:.150}")
        )
    return found


def _origin(error: BaseException) -> str:
    """Where in the package it passed last."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if "airflow_provider_autoenhance" in frame.filename
    ]
    return (
        f"{frames[-1].filename.rpartition('airflow_provider_autoenhance/')[2]}:{frames[-1].name}"
        if frames
        else "elsewhere"
    )


def _requests(seen: Sequence[Seen], places: Places) -> Iterator[Failure]:
    first = next((each.target for each in seen if each.role == "api"), None)
    left = False
    for each in seen:
        keyed = places.key in each.head
        if keyed and each.role != "api":
            yield Failure("key", f"the key at the {each.role} host: {each.target[:80]}")
        if keyed and each.role == "api" and each.header("host") != places.api:
            yield Failure("key", f"the key for host {each.header('host')}")
        if keyed and left and each.target != first:
            yield Failure("key", f"the key came back after the exchange had left the API: {each.target[:80]}")
        if each.header("cookie") is not None:
            yield Failure("cookie", f"a cookie at the {each.role} host")
        left = left or each.role != "api"


def _value(value: Any, returns: Any, places: Places) -> Iterator[Failure]:
    wrong = mistyped(value, returns)
    if wrong:
        yield Failure("type", wrong)
        return
    try:
        repr(value)
        pickle.dumps(value)
        reasons = list(_touched(value))
    except Exception as error:
        yield Failure(
            "value",
            f"{type(value).__name__} cannot be shown, pickled or read: {type(error).__name__} {str(error)[:80]}",
        )
        return
    if isinstance(value, tuple) and value and isinstance(value[-1], str):  # test_connection
        yield from _text(value[-1], places)
    for reason in reasons:
        yield from _text(reason, places, "status_reason")


def _touched(value: Any) -> Iterator[str]:
    """Read what is computed when it is asked for, and yield the vendor's words on failures."""
    if isinstance(value, Order):
        _ = value.created_at, value.finished
    if isinstance(value, Image):
        _ = value.label
        if value.status_reason is not None:
            yield value.status_reason
    inner = [getattr(value, each.name) for each in fields(value)] if is_dataclass(value) else value
    if isinstance(inner, list | tuple):
        for each in inner:
            yield from _touched(each)


def mistyped(value: Any, kind: Any, path: str = "value") -> str:
    """Say what is not of the annotated type, in words; empty where everything is."""
    if kind is Any:
        return ""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        wrongs = [mistyped(value, each, path) for each in inner]
        return "" if "" in wrongs else wrongs[0]
    if origin in (Mapping, abc.Mapping, dict):
        return "" if isinstance(value, Mapping) else _not(value, "a mapping", path)
    if origin in (list, tuple):
        if not isinstance(value, origin):
            return _not(value, origin.__name__, path)
        each_kind = [inner[0]] * len(value) if origin is list or inner[-1] is Ellipsis else inner
        return next(
            filter(None, (mistyped(each, kind, f"{path}[]") for each, kind in zip(value, each_kind, strict=True))), ""
        )
    if kind is None or kind is types.NoneType:
        return "" if value is None else _not(value, "None", path)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return _not(value, kind.__name__, path)
    if is_dataclass(value):
        hints = typing.get_type_hints(kind)
        return next(
            filter(
                None, (mistyped(getattr(value, name), hint, f"{kind.__name__}.{name}") for name, hint in hints.items())
            ),
            "",
        )
    return ""


def _not(value: Any, wanted: str, path: str) -> str:
    return f"{path} is {type(value).__name__}, not {wanted}"


def _error(error: AutoenhanceError, places: Places) -> Iterator[Failure]:
    name = type(error).__name__
    try:
        copy = pickle.loads(pickle.dumps(error))
        if type(copy) is not type(error) or str(copy) != str(error) or copy.__dict__ != error.__dict__:
            yield Failure("error", f"{name} is another one after pickling")
    except Exception as failed:
        yield Failure("error", f"{name} does not survive pickling: {type(failed).__name__}")
    wait = error.retry_after
    if wait is not None and not (isinstance(wait, int | float) and math.isfinite(wait) and wait >= 0):
        yield Failure("error", f"{name}.retry_after is {wait!r}")
    if error.status_code is not None and type(error.status_code) is not int:
        yield Failure("error", f"{name}.status_code is {error.status_code!r}")
    yield from _text(str(error), places, name)
    hidden = "".join(traceback.format_exception(error)) + repr(error.args) + repr(error.__dict__)
    if (secret := held(hidden, places)) and not held(str(error), places):
        yield Failure("secret", f"{secret} behind {name}: {str(error)[:150]!r}")


def _text(text: str, places: Places, name: str = "test_connection") -> Iterator[Failure]:
    """A text that is shown, kept and logged: bounded, one line, and without secrets."""
    if not text.strip() and name != "status_reason":
        yield Failure("error", f"{name} says nothing")
    if len(text) > LONGEST_TEXT:
        yield Failure("error", f"{name} has a text of {len(text)} characters: {text[:80]!r}")
    if any(character < " " or "\x7f" <= character <= "\x9f" or character in "\u2028\u2029\u202e" for character in text):
        yield Failure("error", f"{name} is not one clean line: {text[:150]!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        yield Failure("error", f"{name} cannot be written as UTF-8: {text[:150]!r}")
    if secret := held(text, places):
        yield Failure("secret", f"{secret} in {name}: {text[:150]!r}")


def held(text: str, places: Places) -> str:
    """Name the secret that a text holds; empty for none."""
    return "the key" if places.key in text else "a presigned address" if places.secret in text else ""
