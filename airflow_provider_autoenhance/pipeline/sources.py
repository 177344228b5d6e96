"""Where the photos of a batch lie: folders, files, web addresses and a web folder, each behind its own connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.imaging.naming import safe_path
from airflow_provider_autoenhance.storage import StoredFile, list_files, open_source
from airflow_provider_autoenhance.storage.location import Location, locate

_WEB = ("http", "https")
_WITHOUT_CONNECTION = (*_WEB, "file")


@dataclass(frozen=True)
class Origin:
    """A source as given.

    :param uri: what it is called: without connection id, credentials and query.
    :param given: what is opened. Never shown: it may be presigned.
    :param conn_id: Airflow connection of its store.
    """

    uri: str
    given: str = field(repr=False)
    conn_id: str | None
    scheme: str

    @property
    def is_folder(self) -> bool:
        """A URI ending in a slash is a folder."""
        return self.uri.endswith("/")


@dataclass(frozen=True)
class Found:
    """A file of a batch.

    :param root: URI of the source folder it was found in; a single file's own folder.
    :param path: under the destination: from the folder, with the folder's name before it where there are several.
    """

    root: str
    path: str
    file: StoredFile


@dataclass(frozen=True)
class Origins:
    """All sources of a batch.

    :param sources: folder URIs (ending in ``/``) and file URIs.
    :param conn_id: connection of those stores whose URI names none; the web and local files need none.
    :param paths: paths under the one source, which is not listed then: a web folder cannot be.
    :param access: what the Autoenhance connection allows, as ``open_source`` takes it.
    """

    sources: Sequence[str] = field(repr=False)
    conn_id: str | None = None
    paths: Sequence[str] = ()
    access: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def all(self) -> list[Origin]:
        """Each source, parsed.

        :raises SettingsError: one is no URI, or two differ only in what is never shown.
        """
        given = [source.rstrip("/") + "/" for source in self.sources] if self.paths else self.sources
        parsed = [locate(source, conn_id=None, error=SettingsError) for source in given]
        in_stores = any(location.scheme not in _WITHOUT_CONNECTION for location in parsed)
        found: dict[str, Origin] = {}
        for location in parsed:
            origin = Origin(location.uri, location.given, self._connection(location, in_stores), location.scheme)
            if found.setdefault(origin.uri, origin) != origin:
                raise SettingsError(
                    f"source names {origin.uri} twice, with different connections or queries; photos are told apart by what stands before "
                    "the query. Give each a task of its own."
                )
        return list(found.values())

    def find(self, *, recursive: bool, include: Sequence[str], exclude: Sequence[str]) -> Iterator[Found]:
        """Yield all files, by listing calls; of single files and names, each is looked at.

        :raises SourceError: one cannot be read.
        """
        if self.paths:
            yield from self._named()
            return
        folders = self.access.get("local_folders")
        several = len(self.all) > 1
        for origin in self.all:
            if not origin.is_folder:
                folder, _, name = origin.uri.rpartition("/")
                yield Found(folder + "/", _readable(name, origin.scheme), self._look(origin.uri))
                continue
            shown = origin.uri.rstrip("/").rpartition("/")[2] + "/" if several else ""
            for file in list_files(
                origin.uri,
                conn_id=origin.conn_id,
                recursive=recursive,
                include=include,
                exclude=exclude,
                local_folders=folders,
            ):
                yield Found(origin.uri, safe_path(shown + file.uri.removeprefix(origin.uri)), file)

    def opening(self, uri: str) -> dict[str, Any]:
        """Return the arguments with which ``open_source`` opens a file of the batch again.

        :param uri: as :meth:`find` tells it.
        """
        folder, origin = uri, self._by_uri.get(uri)
        while origin is None and "/" in folder.rstrip("/"):
            folder = folder.rstrip("/").rpartition("/")[0] + "/"
            origin = self._by_uri.get(folder)
        given = origin.given if origin and origin.uri == uri else uri
        return {"uri": given, "conn_id": origin.conn_id if origin else None, **self.access}

    @cached_property
    def _by_uri(self) -> Mapping[str, Origin]:
        return {origin.uri: origin for origin in self.all}

    def _connection(self, location: Location, in_stores: bool) -> str | None:
        if location.conn_id or (location.scheme in _WITHOUT_CONNECTION and in_stores):
            return location.conn_id
        return self.conn_id

    def _named(self) -> Iterator[Found]:
        signed = self.all[0].scheme in _WEB and "?" in self.all[0].given
        if len(self.all) != 1 or not self.all[0].is_folder or signed:
            raise SettingsError("paths lie under one folder: give that folder as source, without a query.")
        (folder,) = self.all
        for name in dict.fromkeys(self.paths):
            path = safe_path(name)
            if not path or path != name:
                raise SettingsError(
                    f"{name!r} is no path of a file under {folder.uri}; leave out '..' and backslashes."
                )
            uri = folder.uri + (quote(path, safe="/!$&'()*+,;=:@~") if folder.scheme in _WEB else path)
            yield Found(folder.uri, path, self._look(uri))

    def _look(self, uri: str) -> StoredFile:
        with open_source(**self.opening(uri)) as opened:
            return opened.file


def _readable(name: str, scheme: str) -> str:
    """A file's name: of a web address without its percent signs, which may hide slashes."""
    return safe_path((unquote(name) if scheme in _WEB else name).replace("/", "_")) or "image"
