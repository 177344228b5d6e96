"""Arguments of tasks, read as what they are: the one place that knows how Airflow spells them.

A text template makes text of booleans, numbers, lists and objects; a native one makes numbers of names. XCom hands over sequences of its
own, Jinja's filters generators, and DAG files hold paths and sets. Each reader takes all of these, says whose argument is wrong, and
takes what it has returned before.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Protocol
from uuid import UUID

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.api.shown import last_part, quoted

#: Reads an argument: whose it is, its name, and the value.
Reader = Callable[[str, str, Any], Any]

#: What a text template makes of an object that is not text, such as a generator, the XComs of mapped tasks, a set, an array, or bytes.
_PRINTED_OBJECT = (
    r"(?is)<.* at 0x[0-9a-f]+>\Z|<class '|Lazy\w*Sequence\(|[\[{].*\bObjectStoragePath\(|b(['\"]).*\1\Z"
    r"|(?:[a-z_][\w.]*\((?:[\[{]|<class )|array\('|bytearray\(b|range\(\d|slice\().*\)\Z|(?:frozen)?set\(\)\Z"
    r"|[\[{](?:.*[\s\[(,{])?[a-z_][\w.]*\(['\"\d].*[\]}]\Z"
)

#: How a list of paths is spelled in text.
_PRINTED_PATH = r"\b(?:Pure)?(?:Posix|Windows)Path\((('|\").*?\2)\)"

#: A bucket, or a storage of the connection, without anything in it.
_BUCKET = r"[^/]+://[^/]+"

#: How the files end that downloads are written to.
_IMAGES = (".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".avif", ".jxl")

#: How tables and JSON spell that nothing is there, in small letters. A folder or a photo may be called so; an id never is.
_ABSENT = frozenset({"null", "nan", "nat", "<na>", "none"})

_SCALARS = (str, int, float, Decimal, UUID, date)
_NOT_FINITE = (math.inf, -math.inf)


class PathObject(Protocol):
    """A ``pathlib.Path`` or an Airflow ``ObjectStoragePath``."""

    def as_posix(self) -> str:
        """Return it as text."""
        ...


#: A folder or a file.
Place = str | PathObject

#: A wait, or the time between two looks.
Duration = float | timedelta | str


def is_path(value: Any) -> bool:
    """Whether a value is a path object. ``ObjectStoragePath`` has no base in common with ``pathlib`` on some versions."""
    return hasattr(value, "as_posix") and hasattr(value, "joinpath")


def is_place(output: str) -> bool:
    """Whether the text of an output is a destination, and not a format or, as some write it, a media type."""
    return "/" in output and not output.lower().startswith("image/")


def is_void(value: Any) -> bool:
    """Whether a value is nothing, or what a template makes of nothing. Native templates leave Jinja's ``Undefined``."""
    if isinstance(value, str):
        return value.strip() in ("", "None")
    return value is None or any(each.__name__ == "Undefined" for each in type(value).__mro__)


def plain(value: Any) -> Any:
    """Return what tables and databases hold as Python's own: a scalar of NumPy or pandas, and a ``Decimal``, alone or in a list or object.

    >>> plain({"rating": Decimal("3"), "scale": Decimal("0.5")})
    {'rating': 3, 'scale': 0.5}
    """
    if isinstance(value, Mapping):
        found = {name: plain(each) for name, each in value.items()}
        return value if all(found[name] is value[name] for name in found) else found
    if isinstance(value, list | tuple):
        items = [plain(each) for each in value]
        return value if all(item is each for item, each in zip(items, value, strict=True)) else items
    if hasattr(type(value), "dtype") and hasattr(type(value), "item") and not getattr(value, "ndim", 0):
        value = _time_of_numpy(value) if value.dtype.kind in "mM" else value.item()
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def is_local_folder(uri: str) -> bool:
    """Whether a folder of the worker's own disk has this URI."""
    path = uri.removeprefix("file://")
    return "://" not in path and os.path.isdir(path)  # noqa: PTH112 - which is false of a name that no disk takes


def is_list(value: Any) -> bool:
    """Whether a value holds others in a row: a list, tuple or set, a generator, or the XComs of mapped tasks."""
    return isinstance(value, Iterable) and not (
        isinstance(value, str | bytes | Mapping) or is_path(value) or is_void(value)
    )


def is_left_out(value: Any) -> bool:
    """Whether a value is what the default of an argument looks like in a DAG file."""
    return value is None or (isinstance(value, tuple) and not value)


def is_literal(value: Any) -> bool:
    """Whether a value is known when the DAG file is parsed: neither a template, nor what another task hands over, nor an iterator, which
    reading would use up."""
    if isinstance(value, str) or is_path(value):
        return not any(mark in str(value) for mark in ("{{", "{%", "{#"))
    if isinstance(value, Mapping):
        return all(map(is_literal, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(is_literal, value))
    return not (hasattr(value, "iter_references") or callable(value) or isinstance(value, Iterator))


def settled(value: Any) -> Any:
    """Return what can be gone through only once, or in another order each time, as a list; anything else as it is.

    >>> settled(name for name in ("a", "b")), settled({"b", "a"})
    (['a', 'b'], ['a', 'b'])
    """
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if hasattr(value, "iter_references") or not is_list(value):
        return value
    items = list(value)
    inner = [settled(each) for each in items]
    same = isinstance(value, list | tuple) and all(each is item for each, item in zip(inner, items, strict=True))
    return value if same else inner


def text(owner: str, name: str, value: Any) -> str | None:
    """Return an argument as text, ``None`` where it is empty or a template rendered to nothing.

    >>> text("Task", "order_id", "None"), text("Task", "name", 20260201)
    (None, '20260201')

    :raises SettingsError: when it is neither text, nor a number, a date or a path.
    """
    value = value if isinstance(value, Decimal) else plain(value)
    if is_void(value) or _is_nan(value):
        return None
    if (isinstance(value, _SCALARS) and not isinstance(value, bool) and value not in _NOT_FINITE) or is_path(value):
        spelled = str(value) if is_path(value) else str(value).strip()  # the name of a path may end in a space
        _refuse_printed(owner, name, spelled)
        return spelled
    raise SettingsError(f"{owner}: {name} takes text, not {quoted(value)}.")


def required(owner: str, name: str, value: Any) -> str:
    """Return a templated argument as text.

    :raises SettingsError: when it rendered to nothing, which would otherwise reach the API.
    """
    return _there(owner, name, text(owner, name, value))


def identifier(owner: str, name: str, value: Any) -> str | None:
    """Return the id of a thing at Autoenhance as text, ``None`` where it is empty, or spelled as tables and JSON spell nothing.

    >>> identifier("Task", "order_id", "nan"), identifier("Task", "order_id", "null"), identifier("Task", "order_id", "maple-2")
    (None, None, 'maple-2')

    :raises SettingsError: as :func:`text`.
    """
    found = text(owner, name, value)
    return None if found is None or found.lower() in _ABSENT else found


def required_id(owner: str, name: str, value: Any) -> str:
    """Return the id of a thing at Autoenhance as text.

    :raises SettingsError: as :func:`identifier`, and when it is empty.
    """
    return _there(owner, name, identifier(owner, name, value))


def texts(owner: str, name: str, value: Any) -> tuple[str, ...]:
    """Return an argument as a tuple of texts, without empty ones. A text is one entry, unless it spells a list.

    >>> texts("Task", "include", "['*.jpg', '*.png']"), texts("Task", "include", "*.jpg")
    (('*.jpg', '*.png'), ('*.jpg',))

    :raises SettingsError: when an entry is not a text of one line.
    """
    value = _unspelled(owner, name, value)
    entries = value if is_list(value) else [value]
    found = tuple(filter(None, (text(owner, f"each of {name}", entry) for entry in entries)))
    for each in found:
        if re.search(r"[\r\n]", each):
            raise SettingsError(
                f"{owner}: each of {name} is one line, not {quoted(each)}; hand several over as a list."
            )
    return found


def paths(owner: str, name: str, value: Any) -> tuple[str, ...] | None:
    """Return an argument as a tuple of texts, ``None`` where it was left out.

    :raises SettingsError: as :func:`texts`, and when what was handed over is empty, which must not stand for everything.
    """
    if is_left_out(value):
        return None
    found = texts(owner, name, value)
    if not found:
        raise SettingsError(
            f"{owner}: {name} is an empty list; check the task that hands it over. Leave {name} out to take the whole folder."
        )
    return found


def places(owner: str, name: str, value: Any) -> str | list[str]:
    """Return the URI of one place, or the URIs of several.

    >>> places("Task", "source", "('s3://a/', 's3://b/')"), places("Task", "source", "/data/[1]/")
    (['s3://a/', 's3://b/'], '/data/[1]/')

    :raises SettingsError: when it is neither, or one of them is empty.
    """
    value = _unspelled(owner, name, value)
    if not is_list(value):
        return required(owner, name, value)
    found = [required(owner, name, each) for each in value]
    if not found:
        raise SettingsError(f"{owner}: {name} is an empty list; check the task that hands it over.")
    return found


def file_or_folder(owner: str, name: str, value: Any) -> str:
    """Return the URI of a file, or of a folder, which ends in a slash. A path object has lost its own: it gets one where the folder is
    there, or its name has no extension. A text gets one where the folder is there, or it names a bucket alone.

    :raises SettingsError: as :func:`required`, and where it is a list, an object or on the web.
    """
    found = _place(owner, name, value)
    nameless = is_path(value) and not re.search(r"[^/]\.[a-z][a-z0-9]{1,4}\Z", found, re.IGNORECASE)
    return found.rstrip("/") + "/" if nameless or re.fullmatch(_BUCKET, found) or is_local_folder(found) else found


def folder(owner: str, name: str, value: Any) -> str:
    """Return the URI of a folder, which ends in a slash.

    :raises SettingsError: as :func:`file_or_folder`, and where it is named like an image, and is not a folder on this disk.
    """
    found = _place(owner, name, value)
    if names_image(found):
        raise SettingsError(
            f"{owner}: {name} {quoted(last_part(found))} is named like one image, and several go there. Give a folder, ending in '/'."
        )
    return found.rstrip("/") + "/"


def names_image(place: str) -> bool:
    """Whether a destination, or a template of one, is the name of an image file."""
    return place.lower().endswith(_IMAGES) and not (re.fullmatch(_BUCKET, place) or is_local_folder(place))


def groups(owner: str, name: str, value: Any) -> list[list[str]] | None:
    """Return a list of lists of ids, ``None`` where it is empty.

    :raises SettingsError: when it is anything else.
    """
    if is_void(value):
        return None
    found = _unspelled(owner, name, value)
    rows = [list(each) if is_list(each) else [] for each in found] if is_list(found) else [[]]
    read = [[identifier(owner, name, each) if isinstance(each, str) else None for each in row] for row in rows]
    ids = [[each for each in row if each is not None] for row in read]
    if ids != read or not all(ids):
        raise SettingsError(f"{owner}: {name} takes a list of bracket ids for each image, not {quoted(value)}.")
    return ids


def mapping(owner: str, name: str, value: Any) -> dict[str, Any]:
    """Return an argument as a mapping, empty where it rendered to nothing.

    :raises SettingsError: when it is anything else.
    """
    if is_void(value):
        return {}
    found = plain(from_text(value))
    if not isinstance(found, Mapping):
        raise SettingsError(f"{owner}: {name} takes an object, not {quoted(value)}.")
    return found if isinstance(found, dict) else dict(found)


def objects(owner: str, name: str, value: Any) -> list[dict[str, Any]]:
    """Return a list of objects: of one, a list of that; of nothing an empty one. An entry that is nothing is an empty object.

    :raises SettingsError: when it, or an entry, is anything else.
    """
    if is_void(value):
        return []
    found = from_text(value)
    entries = [] if is_void(found) else list(found) if is_list(found) else [found]
    read = [{} if is_void(each) else from_text(each) for each in entries]
    for each in read:
        if not isinstance(each, Mapping):
            raise SettingsError(f"{owner}: {name} takes a list of objects, not {quoted(value)}.")
    return [dict(each) for each in read]


def settings(owner: str, name: str, value: Any) -> dict[str, Any]:
    """Return enhancement settings, checked as far as they do not depend on the API version.

    :raises SettingsError: naming the setting.
    """
    from airflow_provider_autoenhance.api.settings import WireSettings, check_settings

    found = mapping(owner, name, value)
    if isinstance(found, WireSettings):
        return found
    given = {setting: _whole(setting, each) for setting, each in found.items() if not _is_unset(setting, each)}
    if isinstance(switches := given.get("restage"), Mapping):
        given["restage"] = {switch: each for switch, each in switches.items() if not is_void(each)}
    check_settings(given)
    return given


def text_settings() -> frozenset[str]:
    """Return the settings that take free text, such as an id."""
    from airflow_provider_autoenhance.api.settings import PREFERENCES

    return frozenset(name for name, each in PREFERENCES.items() if each.kind is str and not each.values)


def boolean(owner: str, name: str, value: Any) -> bool:
    """Return an argument as a bool; a text template makes text of it.

    :raises SettingsError: when it is neither true nor false, rather than guess about spending a credit.
    """
    spelled = str(value).strip().lower()
    if spelled in ("true", "false"):
        return spelled == "true"
    raise SettingsError(f"{owner}: {name} takes true or false, not {quoted(value)}.")


def whole_number(owner: str, name: str, value: Any) -> int | None:
    """Return an argument as an int, ``None`` where it is empty. Forms make ``3.0`` of 3.

    :raises SettingsError: when it is anything else.
    """
    value = plain(value)
    if is_void(value):
        return None
    spelled = str(value).strip()
    if re.fullmatch(r"[0-9]+(\.0+)?", spelled):
        return int(spelled.partition(".")[0])
    raise SettingsError(f"{owner}: {name} takes a whole number, not {quoted(value)}.")


def without_fraction(value: Any) -> Any:
    """Return 3 for ``3.0``, and ``5%`` for ``5.0%``, which forms and tables make of them; anything else as it is."""
    value = plain(value)
    spelled = (
        re.fullmatch(r"\s*([0-9]+)\.0+\s*(%?)\s*", str(value)) if isinstance(value, str | float | Decimal) else None
    )
    return value if spelled is None else "".join(spelled.groups()) if isinstance(value, str) else int(spelled[1])


def number_between(low: int, high: int) -> Reader:
    """Return a reader of a whole number in a range."""

    def read(owner: str, name: str, value: Any) -> int | None:
        found = whole_number(owner, name, value)
        if found is not None and not low <= found <= high:
            raise SettingsError(f"{owner}: {name} takes {low} to {high}, not {found}.")
        return found

    return read


def at_once(owner: str, name: str, value: Any) -> int:
    """Return how many things are done at the same time, one at least.

    :raises SettingsError: when it is not a whole number.
    """
    found = whole_number(owner, name, value)
    if found is None:
        raise SettingsError(f"{owner}: {name} takes a whole number, not {quoted(value)}.")
    return max(1, found)


def seconds(owner: str, name: str, value: Any) -> float:
    """Return a duration in seconds: a number, a ``timedelta``, or the text of either.

    >>> seconds("Task", "timeout", timedelta(minutes=2)), seconds("Task", "timeout", "90"), seconds("Task", "timeout", "0:02:00")
    (120.0, 90.0, 120.0)

    :raises SettingsError: when it is anything else, or negative.
    """
    found, value = math.nan, plain(value)
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif isinstance(value, int | float | str) and not isinstance(value, bool):
        found = _spelled_duration(str(value).strip())
    if not (0 <= found < math.inf):
        raise SettingsError(f"{owner}: {name} takes seconds or a timedelta, not {quoted(value)}.")
    return found


def moment(owner: str, name: str, value: Any) -> datetime | None:
    """Return a point in time, ``None`` where it is empty. Without an offset it is in UTC, as all of Airflow's are.

    >>> moment("Task", "since", "2026-11-26T03:00:00Z")
    datetime.datetime(2026, 11, 26, 3, 0, tzinfo=datetime.timezone.utc)

    :raises SettingsError: when it is anything else than a ``datetime`` or ISO text.
    """
    if is_void(value):
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise SettingsError(
            f"{owner}: {name} takes a moment such as 2026-11-26T03:00:00Z, not {quoted(value)}."
        ) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def one_of(*allowed: str) -> Reader:
    """Return a reader of one of a few words."""

    def read(owner: str, name: str, value: Any) -> str:
        found = text(owner, name, value)
        if found not in allowed:
            raise SettingsError(f"{owner}: {name} takes one of {', '.join(allowed)}, not {quoted(value)}.")
        return found

    return read


def from_text(value: Any) -> Any:
    """Read what a text template made of a list or an object: JSON, or Python's own spelling. Anything else stays as it is."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "(", "{"):
        return value
    import ast
    import json

    spelled = re.sub(_PRINTED_PATH, r"\1", value.strip())
    for read in (json.loads, ast.literal_eval):
        try:
            return read(spelled)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # a template reads as a set in a set
            continue
    return value


#: Readers of what is text in the end. Of these, what a native template makes a number of is rendered as text instead: ``2026_02_01`` is a
#: number to Python, and a folder to people.
TEXTS: frozenset[Reader] = frozenset(
    {text, required, identifier, required_id, texts, paths, places, file_or_folder, folder, groups}
)


def _place(owner: str, name: str, value: Any) -> str:
    """Return one place as text. A text template makes text of a list, too, and that would be an odd folder of the worker's current one."""
    found = required(owner, name, value)
    if not isinstance(from_text(found), str):
        raise SettingsError(
            f"{owner}: {name} takes one place, not {quoted(value)}. Write ./ before it if it is a folder's name."
        )
    if re.match("https?://", found, re.IGNORECASE):
        raise SettingsError(
            f"{owner}: {name} {redact_url(found)}: the web can be a source only. Write to s3://, gs://, abfs:// or a local path."
        )
    return found


def _there(owner: str, name: str, found: str | None) -> str:
    if found is None:
        raise SettingsError(f"{owner}: {name} is empty; check the template or the task that hands it over.")
    return found


def _time_of_numpy(value: Any) -> Any:
    """Return a time of NumPy as Python's own. Of nanoseconds NumPy itself makes a bare number; months, and a number without a unit, are of
    no length, and stay as they are."""
    found = value.item()
    if not isinstance(found, int):
        return found
    finer = re.search(r"[npfa]s\]\Z", str(value.dtype))
    return value.astype(f"{value.dtype.kind}8[us]").item() if finer else value


def _unspelled(owner: str, name: str, value: Any) -> Any:
    """A list that a template made text of as a list again; without empty text."""
    if is_void(value):
        return []
    if isinstance(value, str):
        _refuse_printed(owner, name, value.strip())
        found = from_text(value)
        if isinstance(found, Mapping) or (found is value and _is_printed_list(value.strip())):
            raise SettingsError(f"{owner}: {name} takes text or a list of texts, not {quoted(value)}.")
        return settled(found) if is_list(found) else value
    return settled(value)


def _refuse_printed(owner: str, name: str, spelled: str) -> None:
    if re.match(_PRINTED_OBJECT, re.sub(_PRINTED_PATH, r"\1", spelled)) or _is_printed_array(spelled):
        raise SettingsError(
            f"{owner}: {name} rendered to {quoted(spelled)}, which is an object's name and not its content. Hand over the other task's "
            "`.output`, add `| list` to the template, or set render_template_as_native_obj=True in the DAG."
        )


def _is_unset(setting: str, value: Any) -> bool:
    """Whether a setting is left as it is. Some settings have a value that is spelled like nothing."""
    from airflow_provider_autoenhance.api.settings import PREFERENCES

    known = PREFERENCES.get(setting)
    spelled = value.strip() if isinstance(value, str) else ""
    if known is not None and spelled and spelled.upper() in known.values:
        return False
    return is_void(value) or _is_nan(value) or (setting in text_settings() and spelled.lower() in _ABSENT)


def _whole(setting: str, value: Any) -> Any:
    """A setting that is a whole number without the fraction that tables give it."""
    from airflow_provider_autoenhance.api.settings import PREFERENCES

    known = PREFERENCES.get(setting)
    return without_fraction(value) if known is not None and known.kind is int else value


def _is_nan(value: Any) -> bool:
    """Whether a value is what tables hold where nothing is."""
    return type(value).__name__ == "NAType" or (
        isinstance(value, float | Decimal | date) and str(value).lower() in ("nan", "nat")
    )


def _is_printed_list(spelled: str) -> bool:
    """Whether a text is spelled like a list of texts that holds more than Python can read back, such as ``nan``."""
    if spelled[:1] not in ("[", "(", "{"):
        return False
    import ast

    try:
        parts = list(ast.walk(ast.parse(spelled, mode="eval").body))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    listed = isinstance(parts[0], ast.List | ast.Tuple | ast.Set | ast.Dict)
    return listed and any(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in parts)


def _is_printed_array(spelled: str) -> bool:
    """Whether texts stand side by side without a comma, as NumPy prints them; Python would read them as one."""
    if not spelled.startswith("["):
        return False
    import io
    import tokenize

    try:
        kinds = [
            each.type for each in tokenize.generate_tokens(io.StringIO(spelled).readline) if each.type != tokenize.NL
        ]
    except (tokenize.TokenError, SyntaxError):
        return False
    return any(pair == (tokenize.STRING, tokenize.STRING) for pair in pairwise(kinds))


def _spelled_duration(spelled: str) -> float:
    if "_" in spelled:  # Python reads 1_0 as 10, and people mistype 1.0
        return math.nan
    parts = re.fullmatch(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d(?:\.\d+)?)", spelled)
    if parts:
        days, hours, minutes, rest = parts.groups()
        return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(rest)
    try:
        return float(spelled)
    except ValueError:
        return math.nan
