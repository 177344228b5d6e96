"""What a URI means: which store, which connection, which file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from airflow_provider_autoenhance.api.errors import AutoenhanceError, SettingsError
from airflow_provider_autoenhance.api.quiet import quiet_logs
from airflow_provider_autoenhance.api.redact import redact_url

MAX_URI_LENGTH = 4096
_S3_SCHEMES = frozenset({"s3", "s3a", "s3n"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ONE_SLASH = re.compile(r"(https?|s3|gs|abfs|file):/", re.IGNORECASE)
_LOCAL_SCHEMES = frozenset({"", "file", "local"})


@dataclass(frozen=True)
class Location:
    """A parsed URI.

    :param scheme: ``s3``, ``file``, ``http``, ``https``, or any scheme that Airflow has a filesystem for.
    :param bucket: the part between ``://`` and the first slash, without connection id or credentials; empty for local
        files.
    :param key: the rest: an S3 key, or an absolute local path.
    :param conn_id: Airflow connection, from the argument or from ``s3://conn_id@bucket/key``.
    :param uri: the URI to show and to store: no connection id, no credentials, no presigned query.
    :param given: the URI as given. Never shown.
    """

    scheme: str
    bucket: str
    key: str
    conn_id: str | None
    uri: str
    given: str = field(repr=False)

    @property
    def place(self) -> str:
        """What distinguishes this place from every other, however its URI is spelled. On a disk, links of folders are followed."""
        if self.scheme == "file":
            folder, slash, name = self.key.rpartition("/")
            return os.path.realpath(folder + slash).rstrip("/") + slash + name
        web = self.scheme in ("http", "https")
        return f"{self.scheme}://{self.bucket.lower() if web else self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last path part."""
        name = self.key.rstrip("/").rpartition("/")[2]
        return unquote(name) if self.scheme in ("http", "https") else name


def has_control_character(uri: str) -> bool:
    """Whether a URI holds a character that would break the line it is shown in."""
    return _CONTROL.search(uri) is not None


def locate(uri: str, *, conn_id: str | None, error: type[AutoenhanceError]) -> Location:
    """Parse a URI or a local path.

    Keys are taken literally: ``#``, ``?`` and ``%20`` are part of the name, as in Airflow's ObjectStoragePath and
    unlike in a web address. A relative path counts from the worker's current directory and is shown absolute.

    :param uri: ``s3://[conn_id@]bucket/key``, ``https://host/path``, ``gs://...``, ``file:///path`` or ``/path``.
    :param conn_id: wins over a connection id inside the URI.
    :param error: class to raise for a URI that means nothing.
    """
    if not uri or not uri.strip():
        raise error("The URI is empty. Give one such as s3://bucket/folder/photo.jpg or /data/photo.jpg.")
    if len(uri) > MAX_URI_LENGTH:
        raise error(f"The URI is {len(uri)} characters long, more than {MAX_URI_LENGTH}: {redact_url(uri)[:80]}...")
    if has_control_character(uri):
        raise error(f"The URI holds a control character: {redact_url(uri)!r}.")
    scheme, separator, rest = uri.partition("://")
    if not separator:
        scheme, rest = "", uri
        if _ONE_SLASH.match(uri):
            raise error(f"{redact_url(uri)} lacks a slash: a scheme is followed by ://")
    scheme = scheme.lower()
    if scheme in _LOCAL_SCHEMES:
        return _local(uri, rest, has_authority=bool(separator), error=error)
    authority, _, key = rest.partition("/")
    user, _, bucket = authority.rpartition("@")
    quiet_logs()
    web = scheme in ("http", "https")
    if not web and (":" in user or (scheme in _S3_SCHEMES and ":" in bucket and not bucket.startswith("arn:"))):
        raise error(
            f"The {scheme} URI holds a key or a password before its bucket. Put these into an Airflow connection, and write "
            f"{scheme}://name_of_the_connection@bucket/folder/photo.jpg."
        )
    if not bucket and (not user or scheme in _S3_SCHEMES or web):
        raise error(f"{redact_url(uri)} names no bucket or host. Write it as {scheme}://bucket/folder/photo.jpg.")
    if web:
        bare = redact_url(uri)
        return Location(scheme, bucket, bare.partition("://")[2].partition("/")[2], conn_id, bare, uri)
    if scheme in _S3_SCHEMES:
        scheme = "s3"
    return Location(scheme, bucket, key, conn_id or user or None, redact_url(f"{scheme}://{bucket}/{key}"), uri)


def path_inside(uri: str, folder: str) -> str | None:
    """Return the path of a place under a folder; empty for the folder itself, ``None`` outside.

    Every comparison of places is this one. It sees through spelling: connection ids, ``s3a://``, ``file://``, links and dots.

    >>> path_inside("s3://conn@photos/in/maple/1.jpg", "s3://photos/in")
    'maple/1.jpg'

    :raises SettingsError: when one is not a URI.
    """
    place = locate(uri, conn_id=None, error=SettingsError).place
    root = locate(folder.rstrip("/") + "/", conn_id=None, error=SettingsError).place
    if place + "/" == root:
        return ""
    return place.removeprefix(root) if place.startswith(root) else None


def _local(uri: str, rest: str, *, has_authority: bool, error: type[AutoenhanceError]) -> Location:
    path = rest
    if has_authority:
        host, slash, tail = rest.partition("/")
        if not slash or host.rpartition("@")[2] not in ("", "localhost"):
            raise error(f"{redact_url(uri)} names a host. Write a local file as file:///folder/photo.jpg.")
        path = slash + tail
    absolute = str(Path(path).absolute())
    if path.endswith("/") and absolute != "/":
        absolute += "/"
    return Location("file", "", absolute, None, redact_url(absolute), uri)
