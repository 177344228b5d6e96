"""Where bytes come from and go to: S3, every store that Airflow has a filesystem for, local disks; the web as a source.

Cheap to import: boto3, fsspec and requests load with the first file that needs them. Errors are SourceError and
DestinationError where a retry cannot help, and ServerError, UnreachableError and IntegrityError where it can.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from airflow_provider_autoenhance.api import coerce
from airflow_provider_autoenhance.api.errors import AutoenhanceError, DestinationError, SourceError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.storage.base import (
    BLOCK,
    HEAD,
    OWN_FOLDER,
    OWN_PREFIX,
    Destination,
    Reader,
    Source,
    SourceAccess,
    Store,
    StoredFile,
)
from airflow_provider_autoenhance.storage.location import (
    Location,
    has_control_character,
    hides_part,
    is_text,
    locate,
    path_inside,
    unwritable,
)
from airflow_provider_autoenhance.storage.streams import CheckedReader, StreamCheck

__all__ = [
    "BLOCK",
    "DEFAULT_ACCESS",
    "EVERYWHERE",
    "HEAD",
    "CheckedReader",
    "Destination",
    "Reader",
    "Source",
    "SourceAccess",
    "StoredFile",
    "StreamCheck",
    "has_anything",
    "is_file",
    "is_missing",
    "list_files",
    "matches",
    "open_destination",
    "open_source",
    "path_in_store",
    "read_range",
    "same_store",
    "store_mark",
]

log = logging.getLogger(__name__)

DEFAULT_ACCESS = SourceAccess()
"""What may be read where nobody says more: public web addresses, and local files outside the system's folders."""

EVERYWHERE = SourceAccess(local_folders=("/",))
"""For the destination: only sources are limited to some folders."""


def store_of(location: Location, access: SourceAccess = DEFAULT_ACCESS) -> Store:
    """Return the store that a place lies in. Nothing is touched yet, but the library behind it is loaded with the first call."""
    if location.scheme == "s3":
        from airflow_provider_autoenhance.storage.s3 import S3Store

        return S3Store(location, access)
    if location.scheme in ("http", "https"):
        from airflow_provider_autoenhance.storage.http import WebStore

        return WebStore(location, access)
    if location.scheme == "file":
        from airflow_provider_autoenhance.storage.local import LocalStore

        return LocalStore(location, access)
    from airflow_provider_autoenhance.storage.objects import ObjectStore

    return ObjectStore(location, access)


def open_source(
    uri: str,
    *,
    conn_id: str | None = None,
    access: SourceAccess = DEFAULT_ACCESS,
) -> Source:
    """Open a file for reading; use it in a ``with`` statement.

    :param uri: ``s3://[conn_id@]bucket/key``, ``http(s)://...``, ``file:///path``, ``/path``, or any scheme that
        Airflow has a filesystem for; 1 to 4096 characters.
    :param conn_id: Airflow connection of the store, where the URI names none; for S3 ``aws_default`` without either. None for the web and
        local files.
    :param access: what may be read.
    :raises SourceError: missing, not readable, not allowed, or not a file.
    :raises ServerError, UnreachableError: the store failed for the moment.
    """
    return store_of(locate(uri, conn_id=conn_id, error=SourceError), access).open()


def read_range(
    uri: str,
    offset: int,
    length: int,
    *,
    conn_id: str | None = None,
    access: SourceAccess = DEFAULT_ACCESS,
) -> bytes:
    """Read some bytes from within a file; fewer at its end. Arguments and errors as for :func:`open_source`."""
    return store_of(locate(uri, conn_id=conn_id, error=SourceError), access).read_range(offset, length)


def open_destination(uri: str, *, conn_id: str | None = None) -> Destination:
    """Name a file to be written. Nothing is touched yet; see ``Destination.check_writable``.

    :param uri: as for ``open_source``, but not the web.
    :param conn_id: Airflow connection of the store, where the URI names none.
    :raises DestinationError: the URI cannot be a destination, or the store takes no file of that name.
    """
    location = locate(uri, conn_id=conn_id, error=DestinationError)
    if reason := unwritable(location):
        raise DestinationError(reason)
    return store_of(location).destination()


def list_files(
    uri: coerce.Place,
    *,
    conn_id: str | None = None,
    recursive: bool = True,
    include: str | Iterable[str] | None = ("*",),
    exclude: str | Iterable[str] | None = (),
    access: SourceAccess = DEFAULT_ACCESS,
    strict: bool = False,
    met: Callable[[str], object] | None = None,
) -> Iterator[StoredFile]:
    """Yield the files of a folder in order of their names, with size and etag, from listing calls alone.

    An empty folder yields nothing. A single file's own URI yields that file. A folder whose name holds a control character is left out,
    with a warning, and so is a name in which something looks like a credential (``?key=``). Files in a subfolder ``.autoenhance`` are never
    listed from above it: records and thumbnails are not photos.

    ::

        @task
        def list_photos():
            return [file.uri for file in list_files("s3://listings/elm/", include=["*.jpg"])]

    :param uri: a folder, as text or as a path object; a trailing slash may be left out.
    :param conn_id: Airflow connection of the store, where the URI names none.
    :param recursive: also look into subfolders.
    :param include: glob patterns, or one; all files without any. Upper and lower case are alike. A pattern without a slash is held
        against the file's name, one with a slash against its path under the folder; ``*`` crosses slashes there.
    :param exclude: patterns that keep a file out, whatever ``include`` says.
    :param access: what may be read.
    :param strict: of a local destination: fail where a folder in it cannot be read, follow links, and name what is not a file too, instead
        of leaving it out with a warning.
    :param met: called with the URI of each file in a subfolder ``.autoenhance``, which is not listed.
    :raises SourceError: no such bucket or container, no such folder where folders are more than names (a disk, SFTP), not allowed, or a web
        address.
    """
    owner = "list_files"
    conn_id = coerce.text(owner, "conn_id", conn_id)
    location = locate(coerce.text(owner, "uri", uri) or "", conn_id=conn_id, error=SourceError)
    included = coerce.texts(owner, "include", include) or ("*",)
    excluded = coerce.texts(owner, "exclude", exclude)
    found = store_of(location, access).list(recursive=recursive, strict=strict)
    root = location.uri.rstrip("/") + "/"

    def is_own(file: StoredFile) -> bool:
        if strict or f"/{OWN_FOLDER}/" not in f"/{file.uri.removeprefix(root)}":
            return False
        if met is not None:
            met(file.uri)
        return True

    return (
        file
        for file in found
        if not is_own(file)
        and matches(file, root, included)
        and not matches(file, root, excluded)
        and not file.name.startswith(OWN_PREFIX)
        and _can_be_named(file)
    )


def is_file(location: Location, access: SourceAccess = DEFAULT_ACCESS) -> bool | None:
    """Whether a place that was named without a slash at its end is a file; ``False`` for a folder with files in it, ``None`` where there is
    neither. By a listing call, and one look at the place itself."""
    try:
        found = list_files(location.uri, conn_id=location.conn_id, access=access)
        first = next(found, None)
    except SourceError:  # a local path that does not exist; what else is wrong shows when it is used
        return None
    return None if first is None else first.uri == location.uri


def is_missing(folder: Location, access: SourceAccess = DEFAULT_ACCESS) -> bool:
    """Whether a folder that could not be listed is only not there, as the one above it can be listed. Else the store is in trouble."""
    if folder.scheme != "file" or os.path.lexists(folder.key.rstrip("/")):
        return False
    above = folder.uri.rstrip("/").rpartition("/")[0] + "/"
    try:
        next(list_files(above, access=access, recursive=False), None)
    except SourceError:
        return False
    return True


def has_anything(folder: Location, access: SourceAccess = DEFAULT_ACCESS) -> bool:
    """Whether a folder is there, with or without photos.

    :raises SourceError: it cannot be listed.
    """
    return store_of(folder, access).has_anything()


def same_store(one: Location, other: Location) -> bool:
    """Whether one bucket name means one bucket in two places: the connections of one scheme may lead to several stores.

    :raises SourceError: one of the connections cannot be used.
    """
    if one.conn_id == other.conn_id or one.is_web or one.scheme == "file":
        return True
    return store_of(one).service == store_of(other).service


def store_mark(location: Location) -> str | None:
    """Return what a record remembers of a place's store, to tell it from others of its scheme; ``None`` where that cannot be said, and of
    disks and the web, whose URIs say it. The store itself is not asked."""
    if location.is_web or location.scheme == "file":
        return None
    try:
        return hashlib.sha256(store_of(location).service.encode()).hexdigest()[:12]
    except AutoenhanceError:
        return None


def path_in_store(place: Location, folder: Location) -> str | None:
    """Return the path of a place under a folder, ``None`` outside. Places count as one only where their stores are one.

    :raises SourceError: one of the connections cannot be used.
    """
    path = path_inside(place.uri, folder.uri)
    return path if path is not None and same_store(place, folder) else None


def _can_be_named(file: StoredFile) -> bool:
    """A URI with a control character is taken from nobody, and one that is not text from no store. A file of such a name fails alone; a
    folder has no place for its records. What looks like a credential is not even shown."""
    if hides_part(file.uri):
        log.warning(
            "Left out %r: what follows in its name looks like a credential. Give it another name.", redact_url(file.uri)
        )
        return False
    folder = file.uri.rpartition("/")[0]
    if has_control_character(folder):
        odd = "holds a control character"
    elif not is_text(folder):
        odd = "is not text in UTF-8"
    else:
        return True
    log.warning("Left out %r: its folder's name %s. Give the folder another name.", file.uri, odd)
    return False


def matches(file: StoredFile, root: str, patterns: Sequence[str]) -> bool:
    """Whether a file under a folder matches one of the patterns; see :func:`list_files`."""
    name, path = file.name.lower(), file.uri.removeprefix(root).lower()
    return any(fnmatchcase(path if "/" in pattern else name, pattern.lower()) for pattern in patterns)
