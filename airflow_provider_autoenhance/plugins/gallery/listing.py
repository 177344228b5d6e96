"""What a task has written of its photos: ``autoenhance-gallery.json``, or the rows of an older manifest.

Whoever can write to a destination can write these files. So each is held to bounds, and what is not as it should be is left out and
counted.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from airflow_provider_autoenhance.api.errors import SourceError
from airflow_provider_autoenhance.api.shown import last_part
from airflow_provider_autoenhance.plugins.gallery.tasks import Key, Task, UnknownTaskError, find_task
from airflow_provider_autoenhance.storage import Source, SourceAccess, open_source, read_range
from airflow_provider_autoenhance.storage.location import Location

#: Of a task's lists: some 1,000 bytes a photo; and what each may have in any case.
MAX_LIST_BYTES, _LEAST_LIST_BYTES = 16 << 20, 1 << 20

#: Lists that are read at a time, where each listing of a task has one.
_AT_ONCE = 8

#: Seconds for which a list that was read serves pictures, and lists that are kept.
_FRESH_SECONDS, _KEPT = 20.0, 16

#: Where the task puts its small pictures, beside a list.
_THUMBNAILS = ".autoenhance/thumbnails/"
_LONGEST, _MOST = 1024, 50
_ODD = re.compile(r"[\x00-\x1f\x7f\\]")


class DamagedListError(ValueError):
    """A list that cannot be read."""


@dataclass(frozen=True)
class Listing:
    """The photos of a task.

    :param photos: as the page shows them.
    :param damaged: rows that could not be read, and lists of single listings.
    :param run_id: of the run that has written it last; several may share a destination.
    :param thumbnails: their paths in the folder, by name.
    """

    folder: Location
    photos: list[dict[str, Any]]
    damaged: int = 0
    run_id: str | None = None
    written_at: str | None = None
    thumbnails: Mapping[str, str] = field(default_factory=dict)
    outputs: frozenset[str] = frozenset()
    read_at: float = field(default_factory=time.monotonic)

    def etag(self, about: str) -> str:
        """A digest of what is shown."""
        content = json.dumps([self.photos, self.damaged, self.run_id, about]).encode()
        return hashlib.sha256(content).hexdigest()[:32]


def open_inside(folder: Location, path: str) -> Source:
    """Open a file in a task's folder, through the task's connection. On a disk, a link out of the folder leads nowhere.

    :raises AutoenhanceError: missing, not readable, or the store failed.
    """
    return open_source(folder.full_uri + path, conn_id=folder.conn_id, access=_inside(folder))


def read_inside(folder: Location, path: str, offset: int, length: int) -> bytes:
    """Read some bytes from within a file in a task's folder, as :func:`open_inside` would."""
    return read_range(folder.full_uri + path, offset, length, conn_id=folder.conn_id, access=_inside(folder))


def _inside(folder: Location) -> SourceAccess:
    return SourceAccess(local_folders=(folder.key,) if folder.scheme == "file" else None)


def read_listing(task: Task) -> Listing:
    """Read a task's list; of a task that works on several listings, theirs, one after the other.

    :raises DamagedListError: it cannot be read, or is too big; of several, none can.
    :raises UnknownTaskError: it was written by another DAG or task.
    :raises AutoenhanceError: it is gone, or the store failed.
    """
    if task.folder is None or not task.lists:
        raise UnknownTaskError
    if len(task.lists) == 1:
        return _read(task, task.folder, task.lists[0])
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="autoenhance-gallery") as pool:
        read = list(pool.map(partial(_read_or_error, task, task.folder), task.lists))
    found = [each for each in read if isinstance(each, Listing)]
    if not found:
        raise next(each for each in read if isinstance(each, Exception))
    others = [each.run_id for each in found if each.run_id != task.key.run_id]
    return Listing(
        task.folder,
        [photo for each in found for photo in each.photos],
        damaged=sum(each.damaged for each in found) + len(read) - len(found),
        run_id=others[0] if len(others) == len(found) else task.key.run_id,
        written_at=max((each.written_at for each in found if each.written_at), default=None),
        thumbnails={name: path for each in found for name, path in each.thumbnails.items()},
        outputs=frozenset(chain.from_iterable(each.outputs for each in found)),
    )


def _read_or_error(task: Task, folder: Location, path: str) -> Listing | Exception:
    try:
        return _read(task, folder, path)
    except (DamagedListError, UnknownTaskError, SourceError) as error:
        return error


def _read(task: Task, folder: Location, path: str) -> Listing:
    """Read one list.

    :param path: from the task's folder; that of a listing lies in its own folder, from which it names files.
    """
    with open_inside(folder, path) as source:
        if source.size > MAX_LIST_BYTES // len(task.lists) + _LEAST_LIST_BYTES:
            raise DamagedListError(f"{source.size} bytes")
        data = source.read()
    below = path.rpartition("/")[0] + "/" if "/" in path else ""
    whole = _as_object(data) if path.endswith(".json") else _as_rows(data, folder.uri + below)
    if any(whole.get(name, getattr(task.key, name)) != getattr(task.key, name) for name in ("dag_id", "task_id")):
        raise UnknownTaskError("the list is another task's")
    rows = whole["photos"]
    photos = [photo for each in rows if (photo := _photo(each, below)) is not None]
    names = (name for photo in photos for name in (photo["before"], photo["after"]) if name)
    return Listing(
        folder,
        photos,
        damaged=len(rows) - len(photos) + whole.get("damaged", 0),
        run_id=_text(whole.get("run_id")),
        written_at=_text(whole.get("written_at")),
        thumbnails={name: f"{below}{_THUMBNAILS}{name}" for name in names},
        outputs=frozenset(output["name"] for photo in photos for output in photo["outputs"]),
    )


class Listings:
    """Lists that were read a moment ago: a page asks for hundreds of pictures, and each must be listed."""

    def __init__(self) -> None:
        self._kept: dict[Key, Listing] = {}
        self._lock = threading.Lock()

    def keep(self, key: Key, listing: Listing) -> Listing:
        """Remember one that was read."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = listing
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return listing

    def of(self, key: Key) -> Listing:
        """Return a task's list.

        :raises UnknownTaskError: it has none.
        """
        with self._lock:
            listing = self._kept.get(key)
        if listing is not None and time.monotonic() - listing.read_at < _FRESH_SECONDS:
            return listing
        task = find_task(key)
        return self.keep(key, read_listing(task))


def _as_object(data: bytes) -> dict[str, Any]:
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        raise DamagedListError("not JSON") from None
    if not isinstance(whole, dict) or not isinstance(whole.get("photos"), list):
        raise DamagedListError("not a list of photos")
    return whole


def _as_rows(data: bytes, folder: str) -> dict[str, Any]:
    """Read a manifest: a row for each photo, and in newer ones who has written it."""
    photos: list[Any] = []
    writer: dict[str, Any] = {}
    for line in data.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            writer = writer or {name: row[name] for name in ("dag_id", "task_id", "run_id") if name in row}
        photos.append(_of_row(row, folder) if isinstance(row, dict) else row)
    return {"photos": photos, **writer}


def _of_row(row: Mapping[str, Any], folder: str) -> dict[str, Any]:
    source = str(row.get("source") or row.get("image_name") or row.get("bracket_id") or "")
    above = source.rstrip("/").rpartition("/")[0]
    edit = row.get("edit")
    return {
        **row,
        "name": last_part(source),
        "listing": last_part(above) if above else "",
        "state": row.get("status"),
        "parent": edit.get("parent_image_id") if isinstance(edit, dict) else None,
        "exposures": [last_part(each.get("source")) for each in _dicts(row.get("exposures"))],
        "outputs": [
            {
                **each,
                "name": str(each.get("uri", "")).removeprefix(folder),
                "bytes": each.get("size"),
                "format": str(each.get("content_type", "")).partition("/")[2],
            }
            for each in _dicts(row.get("outputs"))
        ],
    }


def _photo(row: Any, below: str) -> dict[str, Any] | None:
    """Return a row as the page takes it; ``None`` where it is not one.

    :param below: folder of a listing that shares its task with others; empty for the task's own.
    """
    if not isinstance(row, dict) or not _text(row.get("name")) or not _text(row.get("state")):
        return None
    settings = row.get("settings")
    return {
        "name": _text(row["name"]),
        "listing": "/".join(filter(None, (below.rstrip("/"), _text(row.get("listing"))))),
        "state": _text(row["state"]),
        "reason": _text(row.get("reason")),
        "before": _segment(row.get("before")),
        "after": _segment(row.get("after")),
        "settings": settings if isinstance(settings, dict) and len(json.dumps(settings)) <= 4 * _LONGEST else None,
        "credits": _number(row.get("credits")) or 0,
        "outputs": [output for each in _dicts(row.get("outputs")) if (output := _output(each, below)) is not None],
        "exposures": [_text(each) for each in _items(row.get("exposures")) if _text(each)],
        **{name: _text(row.get(name)) for name in ("image_id", "order_id", "parent")},
        "seconds": _seconds(row.get("seconds")),
    }


def _output(row: Mapping[str, Any], below: str) -> dict[str, Any] | None:
    name = row.get("name")
    if not isinstance(name, str) or not _is_inside(name):
        return None
    name = below + name
    numbers = {each: _number(row.get(each)) for each in ("bytes", "width", "height")}
    return {"name": name, "format": _text(row.get("format")), **numbers}


def _is_inside(path: str) -> bool:
    """Whether a path leads to a file of the folder, and not into the task's own."""
    parts = path.split("/")
    return (
        len(path) <= _LONGEST
        and not _ODD.search(path)
        and not {"", ".", ".."} & set(parts)
        and parts[0] != ".autoenhance"
    )


def _segment(name: Any) -> str | None:
    plain = isinstance(name, str) and _is_inside(name) and "/" not in name and name.endswith(".webp")
    return str(name) if plain else None


def _text(value: Any) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value else None


def _number(value: Any) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 else None


def _seconds(value: Any) -> float | None:
    """In all, where phases are told apart."""
    phases = [_number(each) for each in (value.values() if isinstance(value, dict) else (value,))]
    known = [each for each in phases if each is not None]
    return round(sum(known), 1) if known else None


def _items(value: Any) -> list[Any]:
    return value[:_MOST] if isinstance(value, list) else []


def _dicts(value: Any) -> Iterable[Mapping[str, Any]]:
    return (each for each in _items(value) if isinstance(each, dict))
