"""A photo on its way up: its content says its type, and it is never sent whole when it is cut short."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO

from airflow_provider_autoenhance.api.errors import SourceError
from airflow_provider_autoenhance.imaging.integrity import check_for
from airflow_provider_autoenhance.imaging.sniff import CONVERTIBLE, sniff
from airflow_provider_autoenhance.storage import CheckedReader, Source, StoredFile, StreamCheck
from airflow_provider_autoenhance.storage.temporary import temporary_file, temporary_folder

#: Bytes, or a file opened for reading bytes.
Photo = bytes | bytearray | memoryview | IO[bytes]


@contextmanager
def upload_body(source: Source, *checks: StreamCheck) -> Iterator[CheckedReader]:
    """Check the type of a photo, and wrap it so that its format and length are checked as it is read. BMP and GIF become PNG.

    :param checks: what else looks at the photo's own bytes.
    :raises SourceError: empty, damaged, or not a type that Autoenhance takes.
    :raises SettingsError: it has to be converted, and the library for that is missing.
    """
    if source.size == 0:
        raise SourceError(f"{source.uri} is empty. Put the photo there again.")
    kind = sniff(source.peek(), source.name)
    if kind is None or not (kind.accepted or kind in CONVERTIBLE):
        found = f"a {kind.name} file" if kind else "not an image that this provider knows"
        raise SourceError(
            f"{source.uri} is {found}; Autoenhance takes JPEG, PNG, WEBP, AVIF, HEIC, TIFF and camera RAW. Convert it first."
        )
    body = CheckedReader(
        source,
        name=source.uri,
        size=source.size,
        checks=[check_for(kind, source.size, again=source.again), *checks],
        malformed=SourceError,
    )
    if kind.accepted:
        yield body
    else:
        with _as_png(body) as converted:
            yield converted


@contextmanager
def _as_png(body: CheckedReader) -> Iterator[CheckedReader]:
    from airflow_provider_autoenhance.imaging.convert import to_uploadable

    with temporary_folder(body.name) as folder:
        with temporary_file(body, body.name) as copy:
            made = to_uploadable(copy, folder, about=body.name)
        with made.path.open("rb") as file:
            yield CheckedReader(file, name=body.name, size=made.size)


@contextmanager
def held_photo(photo: Photo, name: str) -> Iterator[Callable[[], AbstractContextManager[CheckedReader]]]:
    """Hold a photo for as many tries as its upload takes; what cannot be rewound is copied to a temporary file.

    :param name: what errors call it; its ending only decides between kinds of RAW.
    """
    if isinstance(photo, (bytes, bytearray, memoryview)):
        yield _opener(io.BytesIO(photo), name)
    elif photo.seekable():
        yield _opener(photo, name)
    else:
        with temporary_file(CheckedReader(photo, name=name, size=None), name) as copy:
            yield _opener(copy, name)


def _opener(file: IO[bytes], name: str) -> Callable[[], AbstractContextManager[CheckedReader]]:
    start = file.tell()
    size = file.seek(0, io.SEEK_END) - start

    @contextmanager
    def opened() -> Iterator[CheckedReader]:
        file.seek(start)
        with upload_body(Source(StoredFile(name, size), file, lambda error: _unreadable(error, name))) as body:
            yield body

    return opened


def _unreadable(error: Exception, name: str) -> SourceError:
    return SourceError(f"{name} cannot be read ({type(error).__name__}).")
