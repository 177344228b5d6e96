"""What an Airflow connection of type ``autoenhance`` says, checked."""

from __future__ import annotations

import ipaddress
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_autoenhance.api.config import ApiConfig
from airflow_provider_autoenhance.api.errors import ConnectionConfigError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID
from airflow_provider_autoenhance.hooks.extra import check_host, parse_extra

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_autoenhance.api.config import Extra

DEFAULT_BASE_URL = "https://api.autoenhance.ai"

#: What a form or a file may leave around a value. Other spaces came with the copying, and stay for the check to find.
_AROUND = " \t\r\n"

_KEY_PLACE = "the password field (Autoenhance web app, Settings, API)"

#: Characters that copying brings along, by what they are called.
_COPIED = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\u00ab\u00bb", "a curly quote"),
    **dict.fromkeys("'\"`", "a quotation mark"),
    **dict.fromkeys("\u200b\u2060", "a zero-width space"),
    **dict.fromkeys("\u200c\u200d", "a zero-width joiner"),
    **dict.fromkeys("\u00a0\u2007\u202f", "a non-breaking space"),
    **dict.fromkeys("\n\r\v\f\x85\u2028\u2029", "a line break"),
    "\ufeff": "a byte order mark",
    "\t": "a tab",
}
_KINDS = {
    "Zs": "a space",
    "Cc": "a control character",
    "Cf": "an invisible character",
    "Cs": "half of a surrogate pair",
}


def read_connection(connection: Connection) -> ApiConfig:
    """Read a connection of type ``autoenhance``.

    :raises ConnectionConfigError: when it has no key or a damaged one, a host that is not an address, plain http to another machine, or
        a bad or unknown extra. Neither the error nor what hangs on it holds the key.
    """
    conn_id = connection.conn_id or DEFAULT_CONN_ID
    api_key = _api_key(conn_id, _text(conn_id, connection, "password"))
    extra = _extra(conn_id, _text(conn_id, connection, "extra"))
    base_url = _base_url(conn_id, connection, allow_http=extra.allow_http)
    return ApiConfig(conn_id, base_url, api_key, extra, user_agent())


def user_agent() -> str:
    """Name and version of this provider, Airflow and Python."""
    import platform

    from airflow import __version__ as airflow_version

    from airflow_provider_autoenhance import __version__

    return f"airflow-provider-autoenhance/{__version__} apache-airflow/{airflow_version} python/{platform.python_version()}"


def _text(conn_id: str, connection: Connection, field: str) -> str:
    """Return a field of a connection, or an empty text. Airflow decrypts it, and may refuse it, as it is read."""
    try:
        value = getattr(connection, field)
    except Exception as error:  # noqa: BLE001 - decryption has its own; what it raises may hold the value
        value, problem = (
            None,
            f"cannot be read ({type(error).__name__}): it is damaged, or Airflow's Fernet key is another one",
        )
    else:
        problem = "" if value is None or isinstance(value, str) else "is not a text"
    if problem:
        raise ConnectionConfigError(f"Connection {conn_id!r}: its {field} {problem}. Save the connection again.")
    return value or ""


def _api_key(conn_id: str, given: str) -> str:
    key = given.strip(_AROUND)
    if not key:
        raise ConnectionConfigError(f"Connection {conn_id!r} has no API key; put it into {_KEY_PLACE}.")
    before = len(given) - len(given.lstrip(_AROUND))
    for number, character in enumerate(key):
        quoted = number in (0, len(key) - 1) and character in "'\"`"
        if quoted or not "!" <= character <= "~":
            kind = _COPIED.get(character) or _KINDS.get(unicodedata.category(character), "not an ASCII character")
            raise ConnectionConfigError(
                f"Connection {conn_id!r}: character {before + number + 1} of the API key is {kind} (U+{ord(character):04X}), which keys "
                f"do not have. Copy the key once more into {_KEY_PLACE}."
            )
    return key


def _extra(conn_id: str, text: str) -> Extra:
    try:
        return parse_extra(text.strip(_AROUND) or "{}")
    except ValueError as error:
        problem = str(error)
    raise ConnectionConfigError(f"Connection {conn_id!r}: {problem}")


def _base_url(conn_id: str, connection: Connection, *, allow_http: bool) -> str:
    """``host`` may be a whole URL, or a host with ``schema`` and ``port`` beside it, as connection URIs spell it.

    What comes out is put together from checked parts, so that every client connects to the same place.
    """
    host = _text(conn_id, connection, "host").strip(_AROUND)
    if not host:
        return DEFAULT_BASE_URL
    if _is_ipv6(host):  # as Airflow takes it out of a connection's URI
        host = f"[{host}]"
    url = host if "://" in host else f"{_text(conn_id, connection, 'schema') or 'https'}://{host}"
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", 0 if parts.netloc.endswith(":") else parts.port
    except ValueError:
        parts, name, port = urlsplit(""), "", None
    port = connection.port if port is None else port
    problem = _url_problem(url, name, port)
    if problem or parts.scheme not in ("http", "https") or not name:
        shown = f" {redact_url(url)!r}" if "@" not in url else ""
        raise ConnectionConfigError(
            f"Connection {conn_id!r}: host{shown} is not an http(s) address{problem}. Leave it empty for {DEFAULT_BASE_URL}."
        )
    if parts.scheme == "http" and not (allow_http or _is_loopback(name)):
        raise ConnectionConfigError(
            f"Connection {conn_id!r}: the API key would travel unencrypted to {name}; use https, "
            'or set "allow_http": true in the extra.'
        )
    authority = (f"[{name}]" if ":" in name else name) + (f":{port}" if port else "")
    return f"{parts.scheme}://{authority}{parts.path}".rstrip("/").removesuffix("/v3")


def _url_problem(url: str, name: str, port: object) -> str:
    """Say what two clients could read in two ways; empty where there is nothing of the kind."""
    if not url.isascii():
        return ": it has a character that is not ASCII"
    odd = next((character for character in url if not "!" <= character <= "~" or character in '\\%@?#"<>^`{|}'), None)
    if odd:
        return ": it has user info (@), and the key alone is sent" if odd == "@" else f": it has {odd!r}"
    if name and not check_host(name):
        return ": its host name cannot be one"
    if port is not None and not (isinstance(port, int) and 0 < port <= 65535):
        return ": its port is not from 1 to 65535"
    return ": its path has dots for a folder" if {".", ".."} & set(url.split("/")) else ""


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
