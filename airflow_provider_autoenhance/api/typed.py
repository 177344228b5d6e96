"""Lines of JSON that somebody may have cut or altered, read into dataclasses: each field has the type that it was written with, or an
error says which has not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

Check = Callable[[Any], bool]
"""Looks at what a value holds, once its type is right."""

#: What people and this package write goes nowhere near; what goes deeper could end a later reader, which stands on a deeper stack.
_MAX_DEPTH = 32

_JSON: dict[Any, frozenset[type]] = {float: frozenset({int, float}), Mapping: frozenset({dict})}
#: Names and types of whole lines that were found right; nearly all lines have one of a few, so each of these is looked at once.
_MAX_SHAPES = 256

_NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


class Typed(Generic[T]):
    """Reads lines into one dataclass.

    :param kind: the dataclass; its annotations say which types its fields take.
    :param checks: by field: what else has to hold.
    """

    def __init__(self, kind: type[T], **checks: Check) -> None:
        hints = get_type_hints(kind)
        stored = [each for each in fields(kind) if each.name != "rows"]  # type: ignore[arg-type]
        self._kind = kind
        self._types = {each.name: _types(hints[each.name]) for each in stored}
        self._shapes: dict[tuple[object, ...], tuple[list[str], list[tuple[str, Check]]]] = {}
        self._needed = [each.name for each in stored if each.default is MISSING and each.default_factory is MISSING]
        self._checks = {name: _one_of(hint) for name, hint in hints.items() if get_origin(hint) is Literal} | checks

    def read(self, line: bytes) -> T:
        """Read a line. Fields that the dataclass does not have, as of a later version, are left out.

        :raises ValueError: when it is damaged; says how.
        """
        given = _parsed(line)
        shape = (*given, *map(type, given.values()))
        found = self._shapes.get(shape)
        if found is None:
            found = self._look(given)
            if len(self._shapes) < _MAX_SHAPES:
                self._shapes[shape] = found
        names, checks = found
        for name, check in checks:
            if not check(given[name]):
                raise ValueError(f"its {name!r} holds what was never written there")
        return self._kind(**given if len(names) == len(given) else {name: given[name] for name in names})

    def _look(self, given: dict[str, Any]) -> tuple[list[str], list[tuple[str, Check]]]:
        """Return the fields that are read, each of which has the right type, and how their content is checked."""
        names = [name for name in given if name in self._types]
        for name in names:
            if type(given[name]) not in self._types[name]:
                raise ValueError(f"its {name!r} is not {_wanted(self._types[name])}")
        for name in self._needed:
            if name not in given:
                raise ValueError(f"its {name!r} is missing")
        return names, [(name, check) for name, check in self._checks.items() if name in given]


def count(value: object) -> bool:
    """Whether a value is a size or a number of things."""
    return type(value) is int and 0 <= value < 1 << 63


def number(value: object) -> bool:
    """Whether a value is a number that can be counted with; ``NaN`` compares as neither."""
    return isinstance(value, (int, float)) and -1e18 < value < 1e18


def texts(value: object) -> bool:
    """Whether a value is a list of texts."""
    return type(value) is list and all(type(each) is str for each in value)


def optional(check: Check) -> Check:
    """Let ``None`` pass, too."""
    return lambda value: value is None or check(value)


def objects(**checks: Check) -> Check:
    """A check of lists of objects, by the fields that each of them needs."""

    def check(value: Any) -> bool:
        for each in value:
            if type(each) is not dict:
                return False
            for name, right in checks.items():
                if not right(each.get(name)):
                    return False
        return True

    return check


def text(value: object) -> bool:
    """Whether a value is a text."""
    return type(value) is str


def plain(value: object) -> bool:
    """Whether a value is a text that can be part of an address or a file's name: an id."""
    return isinstance(value, str) and value.isprintable()


def _types(hint: Any) -> frozenset[type]:
    """The types that ``json`` makes of what an annotation allows."""
    if get_origin(hint) is UnionType:
        return frozenset().union(*map(_types, get_args(hint)))
    if get_origin(hint) is Literal:
        return frozenset({str})
    kind = get_origin(hint) or hint
    return _JSON.get(kind, frozenset({kind}))


def _one_of(hint: Any) -> Check:
    return frozenset(get_args(hint)).__contains__


def _wanted(kinds: frozenset[type]) -> str:
    return " or ".join(_NAMES[kind] for kind in sorted(kinds - {NoneType}, key=list(_NAMES).index)) + (
        " or null" if NoneType in kinds else ""
    )


def _no_constant(name: str) -> Any:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        decoded = line.decode()
        found = _DECODER.decode(decoded)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        raise ValueError("it is not JSON, or cut short") from None
    if type(found) is not dict:
        raise ValueError("it is not a JSON object")
    if decoded.count("[") + decoded.count("{") > _MAX_DEPTH and _is_deep(found, _MAX_DEPTH):
        raise ValueError("it is nested too deeply")
    return found


def _is_deep(value: Any, left: int) -> bool:
    inner = value.values() if type(value) is dict else value
    return not left or any(_is_deep(each, left - 1) for each in inner if type(each) in (dict, list))
