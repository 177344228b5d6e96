"""Listings as source and destination pairs, to spread over mapped tasks."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from heapq import heappop, heappush
from typing import Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_autoenhance.api import coerce
from airflow_provider_autoenhance.api.errors import SettingsError, SourceError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.api.shown import last_part, quoted
from airflow_provider_autoenhance.imaging.naming import safe_path
from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS
from airflow_provider_autoenhance.pipeline.plan.listing import NEVER_PHOTOS
from airflow_provider_autoenhance.pipeline.plan.results import folder_in, result_folders
from airflow_provider_autoenhance.pipeline.records import is_record
from airflow_provider_autoenhance.pipeline.sources import refuse_pattern
from airflow_provider_autoenhance.storage import (
    DEFAULT_ACCESS,
    StoredFile,
    is_file,
    is_missing,
    list_files,
    path_in_store,
)
from airflow_provider_autoenhance.storage.location import Location, locate, locate_folder, plain_part

log = logging.getLogger(__name__)

#: Glob patterns, or one.
Patterns = str | Iterable[str] | None

#: Airflow's default ``[core] max_map_length``.
MAX_GROUPS = 1024

#: Listings in one task: what the triggerer waits for is kept in a column that may hold 64 KiB.
MOST_TOGETHER = 500

#: Where Airflow's configuration sets no limit at all.
_DEFAULT_SLOTS = 16


def list_groups(
    source: coerce.Place,
    destination: coerce.Place,
    *,
    source_conn_id: str | None = None,
    destination_conn_id: str | None = None,
    include: Patterns = (),
    exclude: Patterns = (),
    max_groups: int = MAX_GROUPS,
    tasks: int | None = None,
    only: Patterns = (),
    missing_ok: bool = False,
) -> list[dict[str, Any]]:
    """List the folders of photos right under a folder, as arguments for ``AutoenhanceEnhanceOperator.partial(...).expand_kwargs()``.

    Bounded by listings, not by photos. One task for each listing, or, with ``tasks``, as few as are told: each costs Airflow some seconds
    of processor time, whatever it holds. Where there are more folders than ``max_groups``, neighbours share a task. A task over several
    listings has ``listings=True``, so that each is treated as it would be alone, and may be packed otherwise in the next run. Within a
    run each try has the listings that the run began with: this task's XCom holds them.

    Photos that lie in ``source`` itself are a group of their own. Where photos lie beside the results, in the same folder of ``source``,
    all of it is one task, which keeps results and photos apart.

    ::

        @task
        def list_listings(ds: str):
            return list_groups(f"s3://listings/{ds}/", f"s3://enhanced/{ds}/", missing_ok=True)

        AutoenhanceEnhanceOperator.partial(task_id="enhance", preview=False).expand_kwargs(list_listings())

    :param source: folder whose subfolders are the listings, as text or as a path object.
    :param destination: folder that gets one subfolder per listing.
    :param source_conn_id: Airflow connection of a source that names none.
    :param destination_conn_id: Airflow connection of a destination that names none. Results that lie below the source are left out; where
        nobody names a connection, the destination counts as in the same store.
    :param include: glob patterns of photos, or one; by default every type that Autoenhance takes.
    :param exclude: glob patterns to leave out, or one.
    :param max_groups: most items to return.
    :param tasks: pack the listings into so many items, equal in bytes; more where one would get over ``MOST_TOGETHER`` listings. ``None``:
        an item for each listing. :func:`worker_slots` is as many as can work at once.
    :param only: names of listings, or glob patterns of these, or one; by default all.
    :param missing_ok: a local folder that does not exist has no groups, as one in a bucket; the folder above it must exist.
    :returns: ``source`` (a folder, or several), ``destination`` and ``recursive`` per item, in order of names; ``listings`` where listings
        are packed.
    :raises SettingsError: the source or the destination is not the URI of a folder; or ``only`` names a listing that is not there.
    :raises SourceError: the source cannot be listed.
    """
    owner = "list_groups"
    source, destination = coerce.required(owner, "source", source), coerce.required(owner, "destination", destination)
    root = locate_folder(source, conn_id=coerce.text(owner, "source_conn_id", source_conn_id))
    target = locate_folder(destination, conn_id=coerce.text(owner, "destination_conn_id", destination_conn_id))
    tasks, only = coerce.whole_number(owner, "tasks", tasks), coerce.texts(owner, "only", only)
    max_groups = coerce.whole_number(owner, "max_groups", max_groups) or MAX_GROUPS
    results = results_under(root, target)
    if missing_ok and is_missing(root):
        return []
    found: dict[str, int] = defaultdict(int)
    records: list[str] = []
    for file in photos_under(root, owner, include, exclude, records):
        path = file.uri.removeprefix(root.uri)
        if results is None or not path.startswith(results):
            folder, slash, _ = path.partition("/")
            if slash and results and results.startswith(folder + slash):
                # To a task over that folder alone, earlier results would be photos.
                return [{"source": spelled(source), "destination": spelled(destination), "recursive": True}]
            found[folder_in(root.uri, file.uri)] += file.size
    sizes: dict[str, int] = defaultdict(int)
    left_out = result_folders(root, records, found, DEFAULT_ACCESS)
    for path in found.keys() - left_out:
        folder, slash, _ = path.partition("/")
        sizes[folder + slash] += found[path]
    _leave_nameless_out(root, sizes)
    folders = _chosen(sizes, only, root)
    if not folders:
        refuse_file(source, root, missing_ok=missing_ok)
        if not missing_ok:
            log.warning("Without photos: %s: does not exist, or holds nothing that is a photo", root.uri)
    return _groups(folders, spelled(source), spelled(destination), max_groups, tasks)


def worker_slots() -> int:
    """How many tasks of a DAG can work at once, as far as Airflow's configuration says: what :func:`list_groups` may get as ``tasks``.

    ``[core] parallelism`` and ``[core] max_active_tasks_per_dag``. Where tasks run on the scheduler's own machine (LocalExecutor), not more
    than it has processors: one task moves many photos at once, so that more tasks would only load Airflow more often. It does not know
    pools, nor how many workers Celery has.

    ::

        list_groups(f"s3://listings/{ds}/", f"s3://enhanced/{ds}/", tasks=worker_slots())
    """
    limits = [conf.getint("core", name, fallback=0) for name in ("parallelism", "max_active_tasks_per_dag")]
    executor = conf.get("core", "executor", fallback="")
    # A pod of the KubernetesExecutor calls itself local.
    if executor.startswith(("Local", "Sequential")) and "AIRFLOW_IS_K8S_EXECUTOR_POD" not in os.environ:
        limits.append(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return min((limit for limit in limits if limit > 0), default=_DEFAULT_SLOTS)


def _chosen(sizes: Mapping[str, int], only: Sequence[str], root: Location) -> Mapping[str, int]:
    """Choose listings by their names.

    :raises SettingsError: a name, or pattern, fits none.
    """
    if not only:
        return sizes
    names = {folder.rstrip("/"): folder for folder in sizes if folder}
    found: dict[str, int] = {}
    for wanted in only:
        fitting = [name for name in names if name == wanted] or [name for name in names if fnmatchcase(name, wanted)]
        if not fitting:
            raise SettingsError(f"list_groups: only={quoted(wanted)} names no listing with photos in {root.uri}.")
        found |= {names[name]: sizes[names[name]] for name in fitting}
    return found


def _groups(
    sizes: Mapping[str, int], source: str, destination: str, max_groups: int, tasks: int | None
) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = []
    if "" in sizes:
        groups.append({"source": source, "destination": destination, "recursive": False})
    names = sorted(name for name in sizes if name)
    most = max(1, min(max_groups, tasks or max_groups) - len(groups))
    if tasks:
        most = min(max(most, -(-len(names) // MOST_TOGETHER)), max(1, max_groups - len(groups)))
    for together in _packed(sizes, names, most) if tasks else _neighbours(names, most):
        one = len(together) == 1
        groups.append(
            {
                "source": source + together[0] if one else [source + name for name in together],
                "destination": destination + safe_path(together[0]) + "/" if one else destination,
                "recursive": True,
                **({} if one else {"listings": True}),
            }
        )
    return groups


def _neighbours(names: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    share = -(-len(names) // most) or 1
    return (names[start : start + share] for start in range(0, len(names), share))


def _packed(sizes: Mapping[str, int], names: Sequence[str], most: int) -> list[list[str]]:
    """Pack listings into tasks of about equal size: the biggest first, each into the task that has least."""
    filled = [(0, 0, number) for number in range(min(most, len(names)))]
    packed: list[list[str]] = [[] for _ in filled]
    for name in sorted(names, key=lambda name: (-sizes[name], name)):
        size, count, number = heappop(filled)
        packed[number].append(name)
        if count + 1 < MOST_TOGETHER:
            heappush(filled, (size + sizes[name], count + 1, number))
    return sorted(map(sorted, packed))


def listing_names(sources: Sequence[str]) -> list[str]:
    """Name listings to people, each by its folder."""
    return [group_name(each) for each in sources]


def group_name(source: str | Sequence[str]) -> str:
    """Name a group to people: its folder, or its first and last. Never with a query or what stands before an ``@``."""
    names = [last_part(redact_url(each).rstrip("/")) for each in ([source] if isinstance(source, str) else source)]
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"


def refuse_file(source: str, folder: Location, *, missing_ok: bool = False) -> None:
    """Say what a source is in which no photo was found, where it is not a folder.

    :param missing_ok: only warn of a pattern.
    :raises SettingsError: it is a pattern.
    :raises SourceError: it is a file.
    """
    try:
        refuse_pattern(folder, DEFAULT_ACCESS)
    except SettingsError as error:
        if not missing_ok:
            raise
        log.warning("%s", error)
    if not source.endswith("/") and is_file(locate(source, conn_id=folder.conn_id, error=SettingsError)):
        raise SourceError(f"{folder.uri.rstrip('/')} is a file. Name the folder that it lies in.")


def photos_under(
    folder: Location, owner: str, include: Patterns, exclude: Patterns, records: list[str]
) -> Iterator[StoredFile]:
    """List the photos below a folder, with the patterns of a helper's caller.

    :param records: takes the URIs of the records that lie there.
    """

    def note(uri: str) -> None:
        if is_record(uri):
            records.append(uri)

    included = coerce.texts(owner, "include", include) or tuple(f"*{ending}" for ending in PHOTO_EXTENSIONS)
    excluded = (*coerce.texts(owner, "exclude", exclude), *NEVER_PHOTOS)
    return list_files(folder.uri, conn_id=folder.conn_id, include=included, exclude=excluded, met=note)


def results_under(source: Location, destination: Location) -> str | None:
    """Where in a source folder the results lie: their path, ``None`` where they do not. Where a destination names no connection, it counts
    as in the source's store.

    :raises SourceError: one of the connections cannot be used.
    """
    return path_in_store(destination if destination.conn_id else replace(destination, conn_id=source.conn_id), source)


def spelled(uri: str) -> str:
    """Return the URI of a folder as a task may get it: plain, and with the connection in it, if there was one."""
    return locate_folder(uri).full_uri


def _leave_nameless_out(root: Location, folders: dict[str, int]) -> None:
    """A folder called ``''``, ``.`` or ``..`` cannot be a source; one deeper down is part of a folder that can."""
    for name in [name for name in folders if name and not plain_part(name)]:
        del folders[name]
        log.warning("Left out %s%s: this folder has no name. Move its photos into one that has.", root.uri, name)
