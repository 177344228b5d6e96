"""Where the photos of a batch lie: folders, files, web addresses and a web folder, each behind its own connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from urllib.parse import quote, unquote

from airflow_provider_autoenhance.api.errors import SettingsError, SourceError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.imaging.naming import safe_path
from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS
from airflow_provider_autoenhance.storage import (
    DEFAULT_ACCESS,
    SourceAccess,
    StoredFile,
    has_anything,
    is_file,
    is_missing,
    list_files,
    matches,
    open_source,
    same_store,
    store_mark,
)
from airflow_provider_autoenhance.storage.location import Location, hides_part, locate, locate_folder

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


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a batch.

    :param root: URI of the source folder it was found in; a single file's own folder.
    :param path: under the destination: from the folder, with the folder's name before it where there are several.
    :param origin: how it is opened again.
    :param named: it was asked for by its own name.
    """

    root: str
    path: str
    origin: SourceFile
    file: StoredFile
    named: bool = False


class Patterns:
    """The patterns of a task, and which of them have matched nothing so far.

    :param include: of what is taken; without any, all photos.
    :param exclude: of what is left out, whatever ``include`` says.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include, self._exclude = tuple(include), tuple(exclude)
        self._unused = {"include": dict.fromkeys(self._include), "exclude": dict.fromkeys(self._exclude)}

    def takes(self, file: StoredFile, root: str) -> bool:
        """Whether a file under a folder is taken."""
        for unused in self._unused.values():
            for pattern in [each for each in unused if matches(file, root, (each,))]:
                del unused[pattern]
        return not matches(file, root, self._exclude)

    def unused(self, argument: str) -> list[str]:
        """Patterns of an argument that have matched nothing."""
        return list(self._unused[argument])


@dataclass(frozen=True)
class Sources:
    """All sources of a batch.

    :param given: folder URIs (ending in ``/``) and file URIs. Whether the only one of a store is a file or a folder is found out where it
        ends in no slash.
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
        parsed = [self._parsed(source) for source in self.given]
        in_stores = any(location.scheme not in _WITHOUT_CONNECTION for location in parsed)
        found: dict[tuple[str, str], Location] = {}
        for each in parsed:
            location = self._file_or_folder(replace(each, conn_id=self._connection(each, in_stores)))
            # A link to another source's folder gives its own name to the paths under the destination.
            first = found.setdefault((location.place, location.name), location)
            if not _alike(first, location):
                raise twice(location.uri)
        return tuple(found.values())

    @property
    def uris(self) -> tuple[str, ...]:
        """What the sources are called; a folder's URI ends in a slash."""
        return tuple(location.uri for location in self.locations)

    def find(
        self,
        *,
        recursive: bool,
        include: Sequence[str],
        exclude: Sequence[str],
        patterns: Patterns,
        met: Callable[[str, str], object],
        lost: MutableMapping[str, SourceError],
    ) -> Iterator[Found]:
        """Yield all files, by listing calls; single files, and those of ``paths``, are looked at one by one.

        Where sources lie in each other, a file is found in the outermost first. A local folder that does not exist has no files, as one in
        a bucket; the folder above it must exist.

        :param exclude: what is never a photo.
        :param patterns: the task's own; what they leave out is left out too.
        :param met: called for each file in a subfolder ``.autoenhance``, which is not listed, with the URI of its source and its own.
        :param lost: gets the single files that cannot be opened, by URI, with the reason.
        :raises SourceError: one cannot be read.
        """
        if self.paths:
            yield from self._named(lost)
            return
        for location in self._outermost_first():
            root, conn_id = location.uri, location.conn_id
            if not root.endswith("/"):
                yield from self._single(*_of_file(location), lost)
                continue
            prefix = self.prefix(location)
            files = list_files(
                root,
                conn_id=conn_id,
                access=self.access,
                recursive=recursive,
                include=include,
                exclude=exclude,
                met=partial(met, root),
            )
            try:
                for file in files:
                    if not patterns.takes(file, root):
                        continue
                    path = safe_path(prefix + file.uri.removeprefix(root))
                    yield Found(root, path, SourceFile(file.uri, file.uri, conn_id), file)
            except SourceError:
                if not is_missing(location, self.access):
                    raise

    def recall(self, file: StoredFile) -> Found | None:
        """Say how a file that a record names was found, without a look at it; ``None`` where it lies in none of the sources."""
        for location in self._outermost_first():
            root = location.uri
            if not root.endswith("/"):
                if file.uri == root:
                    return Found(*_of_file(location), file, named=True)
            elif file.uri.startswith(root):
                path = file.uri.removeprefix(root)
                if self.paths:
                    path = unquote(path) if location.scheme in _WEB else path
                    if path not in self.paths:
                        return None
                origin = SourceFile(file.uri, file.uri, location.conn_id)
                return Found(root, safe_path(self.prefix(location) + path), origin, file, named=bool(self.paths))
        return None

    def store(self, origin: SourceFile) -> str | None:
        """Which store a file lies in, as records remember it; each connection is looked at once."""
        scheme, separator, rest = origin.uri.partition("://")
        if not separator:
            return None  # a disk
        if (key := (scheme, origin.conn_id)) not in self._stores:
            place = f"{scheme}://{rest.partition('/')[0]}/"
            self._stores[key] = store_mark(locate(place, conn_id=origin.conn_id, error=SourceError))
        return self._stores[key]

    @cached_property
    def _stores(self) -> dict[tuple[str, str | None], str | None]:
        return {}

    def names(self, uri: str) -> bool:
        """Whether a file is asked for by its own name."""
        return bool(self.paths) or any(location.uri == uri for location in self.locations)

    def prefix(self, location: Location) -> str:
        """What stands before the paths of a source folder's files: its name, where there are several sources."""
        return location.uri.rstrip("/").rpartition("/")[2] + "/" if len(self.locations) > 1 else ""

    def _outermost_first(self) -> list[Location]:
        return sorted(self.locations, key=lambda location: len(location.uri))

    def _parsed(self, source: str) -> Location:
        """Parse a source. A folder in a store is refused where its spelling is of another place than it seems."""
        location = locate(source, conn_id=None, error=SettingsError)
        if location.is_web:
            return locate(source.rstrip("/") + "/", conn_id=None, error=SettingsError) if self.paths else location
        return locate_folder(source) if self.paths or source.endswith("/") else location

    def _file_or_folder(self, location: Location) -> Location:
        """Say whether the only source is a file or a folder. What is not there is a file where its name ends like a photo's."""
        if len(self.given) > 1 or location.is_web or location.uri.endswith("/"):
            return location
        file = is_file(location, self.access)
        if file is None:
            refuse_pattern(location, self.access)
            file = location.name.lower().endswith(PHOTO_EXTENSIONS)
        return location if file else locate_folder(location.full_uri, conn_id=location.conn_id)

    def _connection(self, location: Location, in_stores: bool) -> str | None:
        if location.conn_id or (location.scheme in _WITHOUT_CONNECTION and in_stores):
            return location.conn_id
        return self.conn_id

    def _named(self, lost: MutableMapping[str, SourceError]) -> Iterator[Found]:
        folder = self.locations[0]
        signed = folder.scheme in _WEB and "?" in folder.given
        if len(self.locations) != 1 or not folder.uri.endswith("/") or signed:
            raise SettingsError("paths lie under one folder: give that folder as source, without a query.")
        for name in dict.fromkeys(self.paths):
            if hides_part(f"s3://store/{name}"):
                raise SettingsError(
                    f"{redact_url(name)!r}: what follows in this path looks like a credential. Paths name files alone; give a presigned "
                    "address as source."
                )
            path = safe_path(name)
            if not path or path != name:
                raise SettingsError(
                    f"{name!r} is not the path of a file under {folder.uri}; leave out '..' and backslashes."
                )
            uri = folder.uri + (quote(path, safe="/!$&'()*+,;=:@~") if folder.scheme in _WEB else path)
            yield from self._single(folder.uri, path, SourceFile(uri, uri, folder.conn_id), lost)

    def _single(
        self, root: str, path: str, origin: SourceFile, lost: MutableMapping[str, SourceError]
    ) -> Iterator[Found]:
        try:
            with open_source(origin.given, conn_id=origin.conn_id, access=self.access) as opened:
                found = Found(root, path, origin, opened.file, named=True)
        except SourceError as error:
            if error.retryable:
                raise
            lost[origin.uri] = error
        else:
            yield found


def _of_file(location: Location) -> tuple[str, str, SourceFile]:
    """The folder of a source that is a file, the path of it there, and how it is opened."""
    folder, _, name = location.uri.rpartition("/")
    return (
        folder + "/",
        _readable(name, location.scheme),
        SourceFile(location.uri, location.given, location.conn_id),
    )


def _readable(name: str, scheme: str) -> str:
    """A file's name: of a web address without its percent signs, which may hide slashes."""
    return safe_path((unquote(name) if scheme in _WEB else name).replace("/", "_")) or "image"


def _alike(one: Location, other: Location) -> bool:
    """Whether two sources of one name are one source."""
    return one.given == other.given if one.is_web else same_store(one, other)


def twice(uri: str) -> SettingsError:
    """The error about two sources that nothing which may be written down tells apart."""
    return SettingsError(
        f"source names {uri} twice, with different connections or queries; photos are told apart by what stands before the query. "
        "Give each a task of its own."
    )


def refuse_pattern(location: Location, access: SourceAccess) -> None:
    """Refuse a place at which no photo was found, where its name is a pattern and nothing at all lies there.

    :raises SettingsError: naming the argument for patterns.
    """
    if re.search(r"[*?]|\[.+\]", location.key) and not has_anything(location, access):
        raise SettingsError(
            f"{location.uri} is not there. A source is a folder or a file, and never a pattern: give the folder as source, and "
            f"{location.name!r} as include."
        )
