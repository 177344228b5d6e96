"""Which folders below a source hold results of this very source: what a task has made there is no photo of another one."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain, groupby

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.shown import quoted
from airflow_provider_autoenhance.pipeline.records import folder_of, sources_of_results
from airflow_provider_autoenhance.storage import SourceAccess, store_mark
from airflow_provider_autoenhance.storage.location import Location, path_inside

log = logging.getLogger(__name__)

_READERS = 16


def result_folders(
    root: Location, records: Iterable[str], folders: Iterable[str], access: SourceAccess
) -> frozenset[str]:
    """Tell which folders with photos lie in results of their own source; a warning names what is left out.

    A folder of results has records about files of the source that lie outside of it. Where a source is another task's destination, the
    records in it are about files that lie elsewhere, and its files are photos like any other. Records are read only where photos lie
    beside or below them.

    :param root: the source folder.
    :param records: URIs of those below it, as its listing has met them.
    :param folders: paths under it of the folders in which photos were found, each ending in a slash, but for its own, which is empty.
    :raises SourceError: a record cannot be read.
    """
    by_folder: dict[str, list[str]] = defaultdict(list)
    for uri in records:
        by_folder[folder_of(uri).removeprefix(root.uri)].append(uri)
    lying = {folder: [above for above in _above(folder) if above in by_folder] for folder in folders}
    wanted = {above for each in lying.values() for above in each}

    @cache
    def path_of(folder: str) -> str | None:
        try:
            return path_inside(folder, root.uri)
        except SettingsError:
            return None

    def holds_results(folder: str) -> bool:
        read = (sources_of_results(uri, root.conn_id, access, store) for uri in by_folder[folder])
        sources = chain.from_iterable(read)
        paths = (path_of(source.rpartition("/")[0] + "/") for source in sources)
        return any(path is not None and not path.startswith(folder) for path in paths)

    if not wanted:
        return frozenset()
    results: set[str] = set()
    store = store_mark(root)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="autoenhance-results") as pool:
        for _, level in groupby(sorted(wanted, key=_depth), _depth):  # what lies in results needs no look
            unknown = [folder for folder in level if results.isdisjoint(_above(folder))]
            results |= {each for each, holds in zip(unknown, pool.map(holds_results, unknown), strict=True) if holds}
    if results:
        log.warning(
            "Left out of %s: %s, made from photos of this source, as the records there say.", root.uri, _named(results)
        )
    return frozenset(folder for folder, above in lying.items() if not results.isdisjoint(above))


def folder_in(root: str, uri: str) -> str:
    """Path of a file's folder under a root; empty for the root itself."""
    folder, slash, _ = uri.removeprefix(root).rpartition("/")
    return folder + slash


def _above(folder: str) -> Iterator[str]:
    """Yield a folder and those above it, below the root."""
    return (folder[: end.end()] for end in re.finditer("/", folder))


def _depth(folder: str) -> int:
    return folder.count("/")


def _named(results: Iterable[str]) -> str:
    first, *others = sorted(results)
    return quoted(first) + (f" and {len(others)} more" if others else "")
