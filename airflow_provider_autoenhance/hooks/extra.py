"""The extra of an Airflow connection: strict JSON, known names, checked values. Errors hold nothing of a proxy's address."""

from __future__ import annotations

import json
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from unicodedata import category
from urllib.parse import urlsplit

from airflow_provider_autoenhance.api import versions
from airflow_provider_autoenhance.api.config import Extra
from airflow_provider_autoenhance.api.errors import ConnectionConfigError
from airflow_provider_autoenhance.api.fields import STORAGE
from airflow_provider_autoenhance.api.redact import clean_text

#: Airflow's older forms put it before the names of their fields.
_PREFIX = "extra__autoenhance__"

# Compiled by ``re`` at their first use, and not for every DAG file.
_HOST_NAME = r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?"
_USER_INFO = r"([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*"
_NUMBER = r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?"

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_PROXIED = ("http", "https", "all")

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 200


def parse_extra(text: str) -> Extra:
    """Read a connection's extra.

    :raises ValueError: in words that hold no secret: not a JSON object, a name given twice or unknown, a bad value.
    """
    parsed = _parse(text, "its extra")
    if not isinstance(parsed, dict):
        raise ValueError(f'its extra is not a JSON object but {_kind(parsed)}. Write it as {{"dev_mode": true}}.')  # noqa: TRY004
    given: dict[str, Any] = {}
    for full_name, value in parsed.items():
        name = full_name.removeprefix(_PREFIX)
        _check_name(name)
        if value is None or (value == "" and name != "api_version"):
            continue
        if name in given:
            raise ValueError(f"extra {name!r} is given twice, with the prefix {_PREFIX} and without it. Remove one.")
        given[name] = _READERS[name](name, value)
    return Extra(**given)


def check_host(name: str) -> bool:
    """Whether a host name, or an IPv6 address without brackets, can be one: no client may read it in another way."""
    import ipaddress

    if ":" not in name:
        return len(name) <= 253 and re.fullmatch(_HOST_NAME, name.lower()) is not None
    try:
        return bool(ipaddress.IPv6Address(name)) and "%" not in name
    except ValueError:
        return False


def _parse(text: str, about: str) -> Any:
    """Like ``json.loads``, but refuse a name that stands twice, ``NaN`` and ``Infinity``. What it raises does not hold the text."""
    try:
        return json.loads(text, object_pairs_hook=_each_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        problem = f"{error.msg} (line {error.lineno}, column {error.colno})"
    except _GivenTwiceError as error:
        problem = str(error)
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError:
        problem = "a number in it is not one, or has too many digits"
    # Outside of the handlers, or the library's error, which holds the text, would hang on as context.
    raise ValueError(f"{about} is not valid JSON: {problem}. Correct it: none of it is used as it is.")


class _GivenTwiceError(ValueError):
    pass


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise _GivenTwiceError(f"the name {_shown(name)} stands in it twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _check_name(name: str) -> None:
    known = [each.name for each in fields(Extra)]
    if name not in known:
        import difflib

        close = difflib.get_close_matches(name[:64], known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(known))}."
        raise ValueError(f"unknown extra {_shown(name)}. {hint}")


def _shown(value: Any) -> str:
    return clean_text(_REPR.repr(value))


def _bad(name: str, wanted: str, value: Any) -> ValueError:
    return ValueError(f"extra {name!r} takes {wanted}, not {_shown(value)}.")


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a number")


def _bool(name: str, value: Any) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("true", "false"):
        return bool(word == "true")
    if not isinstance(word, bool):
        raise _bad(name, "true or false", value)
    return word


def _number(name: str, value: Any, *, low: float, high: float) -> float:
    number = _as_float(value)
    if number is None or not low <= number <= high:
        raise _bad(name, f"a number from {low:g} to {high:g}", value)
    return number


def _whole(name: str, value: Any, *, low: int, high: int) -> int:
    number = _as_float(value)
    if number is None or not low <= number <= high or number != int(number):
        raise _bad(name, f"a whole number from {low} to {high}", value)
    return int(number)


def _as_float(value: Any) -> float | None:
    if isinstance(value, str) and re.fullmatch(_NUMBER, value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(max(-1, min(value, 10**9)))  # a whole number can be too big for a float; none of the bounds is


def _text(name: str, value: Any, wanted: str = "a text") -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise _bad(name, wanted, value)
    return value


def _version(name: str, value: Any) -> str:
    if value == "":
        return ""  # the account's own
    try:
        return versions.check_version(_text(name, value, "a date, YYYY-MM-DD"))
    except ConnectionConfigError as error:
        problem = str(error)
    raise ValueError(problem)


def _verify(name: str, value: Any) -> bool | str:
    if not isinstance(value, str) or value.strip().lower() in ("true", "false"):
        return _bool(name, value)
    path = Path(_text(name, value, "true, false or the path of a CA bundle"))
    try:
        status = path.stat()
        problem = _certificates_problem(path, (status.st_mtime_ns, status.st_size))
    except OSError as error:
        problem = f"it cannot be read here ({error.strerror or type(error).__name__})"
    if problem:
        raise ValueError(f"extra 'verify' names {_shown(value)}, but {problem}. Give the path of a CA bundle (PEM).")
    return value


@lru_cache(maxsize=8)
def _certificates_problem(path: Path, version: object) -> str | None:
    """Say why a file is not a CA bundle, or a folder not one of certificates; ``None`` where it is.

    :param version: of the file, so that a changed one is looked at again.
    """
    if path.is_dir():
        hashed = any(re.fullmatch(r"[0-9a-f]{8}\.\d+", each.name) for each in path.iterdir())
        return None if hashed else "that folder holds no certificates by their hashes (run: openssl rehash FOLDER)"
    import ssl

    try:
        if not path.is_file():  # to open a pipe would wait for its writer
            return "that is not a file"
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "that file holds no certificates"
    return None


def _proxies(name: str, value: Any) -> Mapping[str, str]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _parse(value, f"extra {name!r}")
    by_scheme = dict.fromkeys(("http", "https"), value) if isinstance(value, str) else value
    if not isinstance(by_scheme, dict):
        raise ValueError(f"extra {name!r} takes one address or an object by scheme, not {_kind(value)}.")  # noqa: TRY004
    for scheme in by_scheme:
        if scheme not in _PROXIED:
            raise ValueError(f"extra {name!r} has addresses for http, https or all, not for {_shown(scheme)}.")
    return {scheme: _proxy(address) for scheme, address in by_scheme.items() if address not in (None, "")}


def _proxy(value: Any) -> str:
    """Check a proxy's address, which may hold a password and so is never shown. Without a scheme it is an http proxy's."""
    problem: str | None = "an address has to be a text"
    if isinstance(value, str):
        address = value.strip(" \t\r\n")
        address = address if "://" in address else f"http://{address}"
        problem = _address_problem(address)
        if problem is None:
            return address
    raise ValueError(
        f"extra 'proxies': {problem}. An example is http://proxy.example:3128. (Yours is not shown: it may hold a password.)"
    )


def _address_problem(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return "an address cannot be parsed"
    if not address.isascii() or not address.isprintable() or set(address) & set(' \\"<>^`{|}'):
        return "an address holds a character that addresses do not have"
    if parts.scheme not in _PROXY_SCHEMES:
        return f"an address has to begin with {', '.join(each + '://' for each in _PROXY_SCHEMES)}"
    user_info, at, _ = parts.netloc.rpartition("@")
    if at and not re.fullmatch(_USER_INFO, user_info):
        return "a user name or password has a character that must be percent-encoded"
    if (
        not check_host(parts.hostname or "")
        or port == 0
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
    ):
        return "an address has to be a host and a port"
    return _socks_problem() if parts.scheme.startswith("socks") else None


def _socks_problem() -> str | None:
    from importlib.util import find_spec

    if find_spec("socks") and find_spec("socksio"):
        return None
    return "a SOCKS proxy needs pip install 'requests[socks]' 'httpx[socks]'; otherwise give an http proxy"


def _folders(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = _parse(value, f"extra {name!r}") if value.lstrip().startswith("[") else value.split(",")
    wanted = "absolute paths, one or a list"
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _bad(name, wanted, value)
    folders = tuple(each.strip().removeprefix("file://") for each in value if each.strip())
    for folder in folders:
        if not folder.startswith("/") or not folder.isprintable():
            raise _bad(name, wanted, folder)
    return folders


def _storages(name: str, value: Any) -> Mapping[str, str]:
    value = _parse(value, f"extra {name!r}") if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise _bad(name, 'an object such as {"print-shop": "s3://conn_id@bucket/folder/"}', value)
    for storage, folder in value.items():
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,50}", storage):
            raise _bad(name, "names of 1 to 50 letters, digits, '.', '_' and '-'", storage)
        plain = isinstance(folder, str) and folder.isprintable() and ("://" in folder or folder.startswith("/"))
        if not plain or folder.lower().startswith(f"{STORAGE}:") or set(folder) & set("?#") or ":" in _user_of(folder):
            # It may hold a password, and is not shown.
            raise ValueError(
                f"extra {name!r}: the folder of {storage!r} takes a URI such as s3://conn_id@bucket/folder/, without a key or a query."
            )
    return value


def _temporary_folder(name: str, value: Any) -> str:
    wanted = "a folder of a bucket such as s3://conn_id@bucket/temporary/"
    folder = _text(name, value, wanted)
    bucket, _, key = folder.removeprefix("s3://").partition("/")
    if (
        not folder.startswith("s3://")
        or not bucket
        or not key.strip("/")
        or not folder.isprintable()
        or ":" in _user_of(folder)
    ):
        raise ValueError(f"extra {name!r} takes {wanted}, without a key.")  # it may hold one, and is not shown
    return folder.rstrip("/") + "/"


def _user_of(uri: str) -> str:
    return uri.partition("://")[2].partition("/")[0].rpartition("@")[0]


def _currency(name: str, value: Any) -> str:
    wanted = "a code or sign of 1 to 3 characters"
    text = _text(name, value, wanted).strip()
    if not 1 <= len(text) <= 3 or not all(each.isalpha() or category(each) == "Sc" for each in text):
        raise _bad(name, wanted, value)
    return text


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "api_version": _version,
    "dev_mode": _bool,
    "timeout_seconds": partial(_number, low=1, high=3600),
    "max_attempts": partial(_whole, low=1, high=100),
    "max_requests_per_second": partial(_number, low=0.1, high=10_000),
    "proxies": _proxies,
    "verify": _verify,
    "allow_http": _bool,
    "allow_private_sources": _bool,
    "local_folders": _folders,
    "icc_directory": _text,
    "storages": _storages,
    "temporary_folder": _temporary_folder,
    "credit_price": partial(_number, low=0, high=1000),
    "currency": _currency,
}
