"""Names under which catalogues know a folder: Airflow's assets and OpenLineage's datasets. Never a connection id or a credential."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.storage.location import locate, locate_folder

#: What stays as it is, so that a folder such as ``day=2026-02-01`` is named as people write it.
_PLAIN = "/=+,:@!$&'()*;~"


class DatasetName(NamedTuple):
    """A dataset as OpenLineage's naming convention spells it."""

    namespace: str
    name: str


def public_uri(uri: str) -> str:
    """Return a URI as it may be shown: without connection id, credentials and presigned query.

    :raises SettingsError: when it is not a URI.
    """
    return locate(uri, conn_id=None, error=SettingsError).uri


def split_conn_id(folder: str, conn_id: str | None) -> tuple[str, str | None]:
    """Return a folder's URI as it may be shown, and the connection: the one in the URI, or the one given beside it.

    :raises SettingsError: when it is not the URI of a folder.
    """
    location = locate_folder(folder)
    return location.uri, location.conn_id or conn_id


def folder_of(uri: str) -> str:
    """Return the public URI of a folder: the URI itself where it ends in a slash, else the folder that the file lies in."""
    shown = public_uri(uri)
    return shown if shown.endswith("/") else shown.rpartition("/")[0] + "/"


def asset_uri(folder: str) -> str:
    """Return a folder's URI as Airflow's assets spell it: with a scheme and without a trailing slash.

    Airflow cuts ``?`` and ``#`` off an asset's URI and, with some databases, takes ASCII only; so these are percent-encoded.
    """
    scheme, host, path = _parts(folder)
    return f"{scheme}://{host}{quote(path, safe=_PLAIN).rstrip('/') or '/'}"


def dataset_name(folder: str) -> DatasetName:
    """Return a folder's name in OpenLineage: the store as namespace, the key or path as name."""
    scheme, host, path = _parts(folder)
    if scheme == "file":
        return DatasetName("file", path.rstrip("/") or "/")
    if scheme in ("http", "https"):
        path = unquote(path)
        return DatasetName(f"{scheme}://{host}", path.rstrip("/") or "/")
    return DatasetName(f"{scheme}://{host}", path.strip("/") or "/")


def _parts(folder: str) -> tuple[str, str, str]:
    shown = public_uri(folder)
    scheme, separator, rest = shown.partition("://")
    if not separator:
        return "file", "", shown
    host, slash, path = rest.partition("/")
    return scheme, host, slash + path
