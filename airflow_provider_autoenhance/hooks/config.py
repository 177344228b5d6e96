"""What an Airflow connection of type ``autoenhance`` says, checked."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_autoenhance.api import versions
from airflow_provider_autoenhance.api.config import ApiConfig, Extra
from airflow_provider_autoenhance.api.errors import ConnectionConfigError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

DEFAULT_BASE_URL = "https://api.autoenhance.ai"


def read_connection(connection: Connection) -> ApiConfig:
    """Read a connection of type ``autoenhance``.

    :raises ConnectionConfigError: no key, a host that is no address, plain http to another machine, a bad or unknown extra.
    """
    conn_id = connection.conn_id or DEFAULT_CONN_ID
    api_key = (connection.password or "").strip()
    if not api_key:
        raise ConnectionConfigError(
            f"Connection {conn_id!r} has no API key; put it into the password field (Autoenhance web app, Settings, API)."
        )
    extra = _read_extra(conn_id, connection.extra_dejson)
    base_url = _base_url(conn_id, connection, allow_http=extra.allow_http)
    return ApiConfig(conn_id, base_url, api_key, extra, user_agent())


def user_agent() -> str:
    """Name and version of this provider, Airflow and Python."""
    import platform

    from airflow import __version__ as airflow_version

    from airflow_provider_autoenhance import __version__

    return f"airflow-provider-autoenhance/{__version__} apache-airflow/{airflow_version} python/{platform.python_version()}"


def _base_url(conn_id: str, connection: Connection, *, allow_http: bool) -> str:
    """``host`` may be a whole URL, or a host with ``schema`` and ``port`` beside it, as connection URIs spell it."""
    host = (connection.host or "").strip()
    if not host:
        return DEFAULT_BASE_URL
    url = host if "://" in host else f"{connection.schema or 'https'}://{host}"
    try:
        parts = urlsplit(url)
        if connection.port and parts.port is None:
            parts = parts._replace(netloc=f"{parts.netloc}:{connection.port}")
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ConnectionConfigError(
            f"Connection {conn_id!r}: host {redact_url(url)!r} is no http(s) address; leave it empty for {DEFAULT_BASE_URL}."
        )
    if parts.scheme == "http" and not (allow_http or _is_loopback(parts.hostname)):
        raise ConnectionConfigError(
            f"Connection {conn_id!r}: the API key would travel unencrypted to {parts.hostname}; use https, "
            'or set "allow_http": true in the extra.'
        )
    return parts.geturl().rstrip("/").removesuffix("/v3")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_extra(conn_id: str, extra: Mapping[str, Any]) -> Extra:
    known = {each.name for each in fields(Extra)}
    given = {name.removeprefix("extra__autoenhance__"): value for name, value in extra.items()}
    for name in given.keys() - known:
        import difflib

        close = difflib.get_close_matches(name, known, n=1)
        raise ConnectionConfigError(
            f"Connection {conn_id!r}: unknown extra {name!r}."
            + (f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(sorted(known))}.")
        )
    try:
        return Extra(**{name: _READERS[name](value) for name, value in given.items() if value not in (None, "")})
    except (ValueError, TypeError) as error:
        raise ConnectionConfigError(f"Connection {conn_id!r}: {error}") from None


def _bool(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).strip().lower() in ("true", "false"):
        return str(value).strip().lower() == "true"
    raise ValueError(f"extra {name!r} takes true or false, not {value!r}")


def _number(name: str, value: Any, low: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = low - 1
    if not number >= low:  # not a number compares as neither
        raise ValueError(f"extra {name!r} takes a number of at least {low:g}, not {value!r}")
    return number


def _verify(value: Any) -> bool | str:
    return _bool("verify", value) if str(value).lower() in ("true", "false") else str(value)


def _proxies(value: Any) -> Mapping[str, str]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        import json

        value = json.loads(value)
    return dict(value) if isinstance(value, Mapping) else {"http": str(value), "https": str(value)}


def _folders(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            import json

            value = json.loads(value)
        else:
            value = value.split(",")
    folders = tuple(str(folder).strip().removeprefix("file://") for folder in value if str(folder).strip())
    for folder in folders:
        if not folder.startswith("/"):
            raise ValueError(f"extra 'local_folders' takes absolute paths, not {folder!r}")
    return folders


_READERS: dict[str, Any] = {
    "api_version": lambda value: versions.check_version(str(value)),
    "dev_mode": lambda value: _bool("dev_mode", value),
    "timeout_seconds": lambda value: _number("timeout_seconds", value, 1),
    "max_attempts": lambda value: int(_number("max_attempts", value, 1)),
    "max_requests_per_second": lambda value: _number("max_requests_per_second", value, 0.1),
    "proxies": _proxies,
    "verify": _verify,
    "allow_http": lambda value: _bool("allow_http", value),
    "allow_private_sources": lambda value: _bool("allow_private_sources", value),
    "local_folders": _folders,
    "icc_directory": str,
}
