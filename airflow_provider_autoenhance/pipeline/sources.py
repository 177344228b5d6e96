"""Where the photos of a batch lie: folders, files, web addresses and a web folder, each behind its own connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import quote, unquote

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.imaging.naming import safe_path
from airflow_provider_autoenhance.storage import DEFAULT_ACCESS, SourceAccess, StoredFile, list_files, open_source
from airflow_provider_autoenhance.storage.location import Location, locate

_WEB = ("http", "https")
_WITHOUT_CONNECTION = (*_WEB, "file")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """How a file is opened.

    :param uri: what it is called: without connection id, credentials and query.
    :param given: what is opened. Never shown: it may be presigned.
    :param conn_id: Airflow connection of its store.
    """

    uri: str
    given: str = field(repr=False)
    conn_id: str | None = None


@dataclass(frozen=True)
class Found:
    """A file of a batch.

    :param root: URI of the source folder it was found in; a single file's own folder.
    :param path: under the destination: from the folder, with the folder's name before it where there are several.
    :param origin: how it is opened again.
    """

    root: str
    path: str
    origin: SourceFile
    file: StoredFile


@dataclass(frozen=True)
class Sources:
    """All sources of a batch.

    :param given: folder URIs (ending in ``/``) and file URIs.
    :param conn_id: connection of those stores whose URI names none; the web and local files need none.
    :param paths: paths under the one source, which is not listed then: a web folder cannot be.
    :param access: what the Autoenhance connection allows.
    """

    given: Sequence[str] = field(repr=False)
    conn_id: str | None = None
    paths: Sequence[str] = ()
    access: SourceAccess = DEFAULT_ACCESS

    @cached_property
    def locations(self) -> Sequence[Location]:
        """Each source once, parsed, with its connection.

        :raises SettingsError: when one is not a URI, or two differ only in what is never shown.
        """
        given = [source.rstrip("/") + "/" for source in self.given] if self.paths else self.given
        parsed = [locate(source, conn_id=None, error=SettingsError) for source in given]
        in_stores = any(location.scheme not in _WITHOUT_CONNECTION for location in parsed)
        found: dict[tuple[str, str], Location] = {}
        for each in parsed:
            location = replace(each, conn_id=self._connection(each, in_stores))
            # A link to another source's folder gives its own name to the paths under the destination.
            first = found.setdefault((location.place, location.name), location)
            if first.conn_id != location.conn_id or (location.scheme in _WEB and first.given != location.given):
                raise SettingsError(
                    f"source names {location.uri} twice, with different connections or queries; photos are told apart by what stands "
                    "before the query. Give each a task of its own."
                )
        return tuple(found.values())

    @property
    def uris(self) -> tuple[str, ...]:
        """What the sources are called; a folder's URI ends in a slash."""
        return tuple(location.uri for location in self.locations)

    def find(self, *, recursive: bool, include: Sequence[str], exclude: Sequence[str]) -> Iterator[Found]:
        """Yield all files, by listing calls; single files, and those of ``paths``, are looked at one by one.

        :raises SourceError: one cannot be read.
        """
        if self.paths:
            yield from self._named()
            return
        several = len(self.locations) > 1
        for location in self.locations:
            root, conn_id = location.uri, location.conn_id
            if not root.endswith("/"):
                folder, _, name = root.rpartition("/")
                yield self._single(
                    folder + "/", _readable(name, location.scheme), SourceFile(root, location.given, conn_id)
                )
                continue
            prefix = root.rstrip("/").rpartition("/")[2] + "/" if several else ""
            for file in list_files(
                root, conn_id=conn_id, access=self.access, recursive=recursive, include=include, exclude=exclude
            ):
                path = safe_path(prefix + file.uri.removeprefix(root))
                yield Found(root, path, SourceFile(file.uri, file.uri, conn_id), file)

    def _connection(self, location: Location, in_stores: bool) -> str | None:
        if location.conn_id or (location.scheme in _WITHOUT_CONNECTION and in_stores):
            return location.conn_id
        return self.conn_id

    def _named(self) -> Iterator[Found]:
        folder = self.locations[0]
        signed = folder.scheme in _WEB and "?" in folder.given
        if len(self.locations) != 1 or not folder.uri.endswith("/") or signed:
            raise SettingsError("paths lie under one folder: give that folder as source, without a query.")
        for name in dict.fromkeys(self.paths):
            path = safe_path(name)
            if not path or path != name:
                raise SettingsError(
                    f"{name!r} is not the path of a file under {folder.uri}; leave out '..' and backslashes."
                )
            uri = folder.uri + (quote(path, safe="/!$&'()*+,;=:@~") if folder.scheme in _WEB else path)
            yield self._single(folder.uri, path, SourceFile(uri, uri, folder.conn_id))

    def _single(self, root: str, path: str, origin: SourceFile) -> Found:
        with open_source(origin.given, conn_id=origin.conn_id, access=self.access) as opened:
            return Found(root, path, origin, opened.file)


def _readable(name: str, scheme: str) -> str:
    """A file's name: of a web address without its percent signs, which may hide slashes."""
    return safe_path((unquote(name) if scheme in _WEB else name).replace("/", "_")) or "image"
