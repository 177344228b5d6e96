"""What a URI means: which store, which connection, which file."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from urllib.parse import unquote

from airflow_provider_autoenhance.api.errors import AutoenhanceError, SettingsError
from airflow_provider_autoenhance.api.fields import STORAGE
from airflow_provider_autoenhance.api.quiet import quiet_logs
from airflow_provider_autoenhance.api.redact import redact_url

MAX_URI_LENGTH = 4096
_S3_SCHEMES = frozenset({"s3", "s3a", "s3n"})

# Compiled by ``re`` at their first use, and not for every DAG file.

_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029]"

#: What looks like a URI without ``//``: any word before ``:/``, and a known one before ``:`` alone. One letter is a Windows drive.
_ONE_SLASH = (
    r"(?i)([a-z][a-z0-9+.-]+):[/\\]"
    r"|(https?|s3[an]?|gc?s|abfss?|wasbs?|az|adl|oss|oci|cos|r2|sftp|ftps?|ssh|smb|hdfs|webdavs?|dbfs|file):"
)

#: What only a shell fills in, and only Windows reads.
_HOME = r"~[^/\\]*([/\\]|\Z)|\$\{?\w+\}?([/\\]|\Z)|\$\(|%\w+%"
_WINDOWS = r"(?i)[a-z]:([/\\]|\Z)|\\\\"

#: How AWS names what lies in S3, and Azure a container of an account.
_ARN = r"(?i)arn:aws[a-z-]*:s3:::(.+)"
_AZURE_HOST = r"(?i)([^.:]+)\.(?:dfs|blob)\.core\.[a-z.]+"

_LOCAL_SCHEMES = frozenset({"", "file", "local"})
_WEB_SCHEMES = frozenset({"http", "https"})

#: Schemes that lead to the stores of others, whose name each place gets: else one photo would be two.
ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs", "adl": "abfs", "az": "abfs"}

_OBJECT_STORES = frozenset(
    {"s3", "abfs", "abfss", "az", "wasb", "wasbs", "gs", "gcs", "adl", "oss", "oci", "cos", "r2"}
)

#: Bytes: of a name on a disk, of a path there, and of a key in an object store.
_LONGEST_NAME, _LONGEST_PATH, _LONGEST_KEY = 255, 4095, 1024

#: Parts of a path that stand for another folder on a disk, and are names like any other to a store.
_NAMELESS = frozenset({"", ".", ".."})


@dataclass(frozen=True)
class Location:
    """A parsed URI.

    :param scheme: ``s3``, ``file``, ``http``, ``https``, or any scheme that Airflow has a filesystem for.
    :param bucket: the part between ``://`` and the first slash, without connection id or credentials; empty for local
        files.
    :param key: the rest: an S3 key, or an absolute local path. A folder's ends in one slash, but for a bucket's own, which is empty.
    :param conn_id: Airflow connection, from ``s3://conn_id@bucket/key`` or from the argument.
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
        """What distinguishes this place from every other of its store, however its URI is spelled. On a disk, links of folders are
        followed."""
        if self.scheme == "file":
            folder, slash, name = self.key.rpartition("/")
            return os.path.realpath(folder + slash).rstrip("/") + slash + name
        bucket = self.bucket.lower() if self.is_web else self.bucket
        return f"{self.scheme}://{bucket}/{self.key}"

    @property
    def real_place(self) -> str:
        """The place of a file, where on a disk a link to the file itself is followed, too."""
        return os.path.realpath(self.key) if self.scheme == "file" else self.place

    @property
    def is_web(self) -> bool:
        """Whether it is on the web."""
        return self.scheme in _WEB_SCHEMES

    @property
    def is_object_store(self) -> bool:
        """Whether it is in a store without folders: a slash in a key is a character like any other."""
        return self.scheme in _OBJECT_STORES

    @property
    def full_uri(self) -> str:
        """The URI with the connection in it. Never shown."""
        if self.is_web:
            return self.given
        return f"{self.scheme}://{self.conn_id}@{self.bucket}/{self.key}" if self.conn_id else self.uri

    @property
    def name(self) -> str:
        """The last path part."""
        name = self.key.rstrip("/").rpartition("/")[2]
        return unquote(name) if self.is_web else name


def in_one_spelling(uri: str) -> str:
    """Return a place's URI with the scheme that :func:`locate` gives it.

    >>> in_one_spelling("abfss://container/elm/1.jpg")
    'abfs://container/elm/1.jpg'
    """
    scheme, separator, rest = uri.partition("://")
    return f"{ALIASES.get(scheme, scheme)}{separator}{rest}"


def has_control_character(uri: str) -> bool:
    """Whether a URI holds a character that would break the line it is shown in."""
    return re.search(_CONTROL, uri) is not None


def is_text(uri: str) -> bool:
    """Whether a URI is text in UTF-8; a name on a disk may be any bytes."""
    try:
        uri.encode()
    except UnicodeEncodeError:
        return False
    return True


def hides_part(uri: str) -> bool:
    """Whether a part of a file's name looks like a credential. It is never shown or written down, so what remains is of another place."""
    return redact_url(uri) != uri


def unwritable(location: Location) -> str | None:
    """Say why a file of this name cannot be written, whatever lies in its store; ``None`` where it can."""
    key, reason = location.key, None
    if location.scheme != "file" and not is_text(key):
        reason = "its name is not text in UTF-8"
    elif location.is_object_store:
        if (size := _bytes(key)) > _LONGEST_KEY:
            reason = f"its path has {size} bytes, and may have {_LONGEST_KEY}"
    elif (size := max(map(_bytes, key.split("/")))) > _LONGEST_NAME:
        reason = f"its name has {size} bytes, and that of a file or folder may have {_LONGEST_NAME}"
    elif (size := _bytes(key)) > _LONGEST_PATH:
        reason = f"its path has {size} bytes, and may have {_LONGEST_PATH}"
    return f"{location.uri}: {reason}. Give it a shorter or plainer name." if reason else None


def locate(uri: str, *, conn_id: str | None, error: type[AutoenhanceError]) -> Location:
    """Parse a URI or a local path.

    Keys are taken literally: ``#``, ``?`` and ``%20`` are part of the name, as in Airflow's ObjectStoragePath and unlike in a web address;
    but a name in which something looks like a credential is refused. A relative path counts from the worker's current directory and is
    shown absolute, a local path without ``.``, ``..`` and doubled slashes; a folder's URI ends in one slash.

    :param uri: ``s3://[conn_id@]bucket/key``, ``https://host/path``, ``gs://...``, ``file:///path`` or ``/path``.
    :param conn_id: for a URI that names none; a connection inside the URI wins.
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
        if reason := _not_a_path(uri):
            raise error(reason)
    scheme = scheme.lower()
    if scheme == STORAGE:
        raise error(
            f"{redact_url(uri)}: operators alone take storage://, as source and destination, because their connection says where it leads."
        )
    if scheme in _LOCAL_SCHEMES:
        return _local(uri, rest, has_authority=bool(separator), error=error)
    authority, _, key = rest.partition("/")
    user, _, bucket = authority.rpartition("@")
    quiet_logs()
    web = scheme in _WEB_SCHEMES
    if not web and (":" in user or (scheme in _S3_SCHEMES and ":" in bucket and not bucket.startswith("arn:"))):
        raise error(
            f"The {scheme} URI holds a key or a password before its bucket. Put these into an Airflow connection, and write "
            f"{scheme}://name_of_the_connection@bucket/folder/photo.jpg."
        )
    if not bucket and (not user or scheme in _S3_SCHEMES or web):
        raise error(f"{redact_url(uri)} names no bucket or host. Write it as {scheme}://bucket/folder/photo.jpg.")
    if web:
        bare = redact_url(uri).partition("://")[2]
        return Location(scheme, bucket, bare.partition("/")[2], conn_id, f"{scheme}://{bare}", uri)
    scheme = ALIASES.get(scheme, scheme)
    if user and re.fullmatch(_AZURE_HOST, bucket):
        raise error(
            f"{redact_url(uri)} names a container and its account. The account stands in an Airflow connection, whose id is what stands "
            f"before the @ here: write {scheme}://name_of_the_connection@{user}/{redact_url(key)}."
        )
    if key.endswith("/"):
        key = key.rstrip("/") + "/" if key.strip("/") else ""
    return _whole(Location(scheme, bucket, key, user or conn_id or None, f"{scheme}://{bucket}/{key}", uri), error)


def locate_folder(uri: str, *, conn_id: str | None = None, error: type[AutoenhanceError] = SettingsError) -> Location:
    """Parse the URI of a folder, with or without a slash at its end. Arguments and errors as for :func:`locate`.

    A store would take ``//``, ``.`` and ``..`` for folders of these names, where nobody has put anything; so they are refused.
    """
    location = locate(uri if uri.endswith("/") or not uri.strip() else uri + "/", conn_id=conn_id, error=error)
    if location.scheme != "file" and not location.is_web and plain_part(location.key) != location.key:
        plain = posixpath.normpath("/" + location.key) + "/"
        raise error(
            f"{location.uri} has an empty part, '.' or '..' in it, and to a store these are folders of that name. "
            f"Write {location.scheme}://{location.bucket}{plain.replace('//', '/')}."
        )
    return location


def plain_part(path: str) -> str:
    """Return the folders of a path, up to one that :func:`locate_folder` refuses.

    >>> plain_part("maple/up/1.jpg"), plain_part("maple//up/1.jpg"), plain_part("/1.jpg")
    ('maple/up/', 'maple/', '')
    """
    folders = path.split("/")[:-1]
    named = next((number for number, name in enumerate(folders) if name in _NAMELESS), len(folders))
    return "".join(f"{name}/" for name in folders[:named])


def path_inside(uri: str, folder: str) -> str | None:
    """Return the path of a place under a folder of the same store; empty for the folder itself, ``None`` outside.

    It sees through spelling: connection ids, ``s3a://``, ``file://``, links, dots, and folders of a disk that are mounted twice or whose
    names take capitals for small letters. Two connections may lead to two stores, which
    :func:`~airflow_provider_autoenhance.storage.path_in_store` tells apart.

    >>> path_inside("s3://conn@photos/in/maple/1.jpg", "s3://photos/in")
    'maple/1.jpg'

    :raises SettingsError: when one is not a URI.
    """
    inner = locate(uri, conn_id=None, error=SettingsError)
    outer = locate(folder if folder.endswith("/") else folder + "/", conn_id=None, error=SettingsError)
    place, root = inner.place, outer.place
    if place + "/" == root:
        return ""
    if place.startswith(root):
        return place.removeprefix(root)
    wanted = on_disk(outer)
    above = accumulate(f"{name}/" for name in place.split("/")) if wanted and inner.scheme == "file" else ()
    same = (each for each in above if on_disk(replace(outer, key=each)) == wanted)
    return next(("" if place + "/" == each else place.removeprefix(each) for each in same), None)


def on_disk(folder: Location) -> str | None:
    """What tells a local folder that exists from all others, by whichever name or mount it is reached; ``None`` of others."""
    if folder.scheme != "file":
        return None
    try:
        found = os.stat(folder.key)  # noqa: PTH116
    except OSError:
        return None
    return f"disk {found.st_dev}, {found.st_ino}/"


def _not_a_path(text: str) -> str | None:
    """Say what a text without ``://`` is that would become an odd folder of the worker's current one, ``None`` where it is a path."""
    if re.match(_ONE_SLASH, text):
        scheme, _, rest = text.partition(":")
        rest = rest.lstrip("/\\")
        plain = redact_url(f"{scheme}://{'/' if scheme.lower() == 'file' else ''}{rest}")
        return f"A URI lacks a slash: a scheme is followed by ://. Write {plain}, or ./ before it if it is a folder's name."
    if arn := re.match(_ARN, text):
        return f"An ARN is not a place to read or write. Write s3://{redact_url(arn[1])}."
    if re.match(_HOME, text):
        return f"{redact_url(text)!r}: only a shell fills in what it begins with. Write the whole path, such as /home/airflow/photos/."
    if re.match(_WINDOWS, text):
        return f"{redact_url(text)!r} is a path of Windows. Write one of the worker, such as /data/photos/, or /mnt/c/photos/ on WSL."
    return None


def _local(uri: str, rest: str, *, has_authority: bool, error: type[AutoenhanceError]) -> Location:
    path = rest
    if has_authority:
        host, slash, tail = rest.partition("/")
        if not slash or host.rpartition("@")[2] not in ("", "localhost"):
            raise error(f"{redact_url(uri)} names a host. Write a local file as file:///folder/photo.jpg.")
        path = slash + tail
    absolute = _plain_path(path if path.startswith("/") else f"{Path.cwd()}/{path}")
    return _whole(Location("file", "", absolute, None, absolute, uri), error)


def _whole(location: Location, error: type[AutoenhanceError]) -> Location:
    """Refuse a place whose name cannot be shown whole."""
    if hides_part(location.uri):
        raise error(
            f"{redact_url(location.uri)}: what follows in this name looks like a credential (?key=, ?token=, ?sig=), and would be left "
            "out of it wherever it is written down. Give the file or folder another name; a credential belongs in an Airflow connection."
        )
    return location


def _plain_path(path: str) -> str:
    """Return an absolute path without doubled slashes, ``.`` and ``..``. Behind a link, ``..`` leads where the system goes."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            here = "/" + "/".join(parts)
            if os.path.islink(here):  # noqa: PTH114
                parts = os.path.realpath(here).split("/")[1:]
            parts = parts[:-1]
        elif part not in _NAMELESS:
            parts.append(part)
    is_folder = bool(parts) and path.rpartition("/")[2] in _NAMELESS
    return "/" + "/".join(parts) + "/" * is_folder


def _bytes(path: str) -> int:
    return len(path.encode(errors="surrogatepass"))
