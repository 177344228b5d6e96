"""Listings as source and destination pairs, to spread over mapped tasks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_autoenhance.api import coerce
from airflow_provider_autoenhance.api.errors import SettingsError, SourceError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.api.shown import last_part
from airflow_provider_autoenhance.imaging.naming import safe_path
from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS
from airflow_provider_autoenhance.pipeline.plan.listing import NEVER_PHOTOS
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


def list_groups(
    source: coerce.Place,
    destination: coerce.Place,
    *,
    source_conn_id: str | None = None,
    destination_conn_id: str | None = None,
    include: Patterns = (),
    exclude: Patterns = (),
    max_groups: int = MAX_GROUPS,
    missing_ok: bool = False,
) -> list[dict[str, Any]]:
    """List the folders of photos right under a folder, as arguments for ``AutoenhanceEnhanceOperator.partial(...).expand_kwargs()``.

    Bounded by listings, not by photos. Where there are more folders than ``max_groups``, neighbours share a task. Photos that lie in
    ``source`` itself are a group of their own. Where photos lie beside the results, in the same folder of ``source``, all of it is one
    task, which keeps results and photos apart.

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
    :param missing_ok: a local folder that does not exist has no groups, as one in a bucket; the folder above it must exist.
    :returns: ``source`` (a folder, or several), ``destination`` and ``recursive`` per item, in order of names.
    :raises SettingsError: the source or the destination is not the URI of a folder.
    :raises SourceError: the source cannot be listed.
    """
    owner = "list_groups"
    source, destination = coerce.required(owner, "source", source), coerce.required(owner, "destination", destination)
    root = locate_folder(source, conn_id=coerce.text(owner, "source_conn_id", source_conn_id))
    target = locate_folder(destination, conn_id=coerce.text(owner, "destination_conn_id", destination_conn_id))
    results = results_under(root, target)
    if missing_ok and is_missing(root):
        return []
    folders: dict[str, None] = {}
    for file in photos_under(root, owner, include, exclude):
        path = file.uri.removeprefix(root.uri)
        if results is None or not path.startswith(results):
            folder, slash, _ = path.partition("/")
            if slash and results and results.startswith(folder + slash):
                # To a task over that folder alone, earlier results would be photos.
                return [{"source": spelled(source), "destination": spelled(destination), "recursive": True}]
            folders[folder + slash if slash else ""] = None
    _leave_nameless_out(root, folders)
    if not folders:
        refuse_file(source, root, missing_ok=missing_ok)
        if not missing_ok:
            log.warning("Without photos: %s: does not exist, or holds nothing that is a photo", root.uri)
    return _groups(folders, spelled(source), spelled(destination), max_groups)


def _groups(folders: dict[str, None], source: str, destination: str, max_groups: int) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = []
    if "" in folders:
        del folders[""]
        groups.append({"source": source, "destination": destination, "recursive": False})
    names = sorted(folders)
    places = max(1, max_groups - len(groups))
    share = -(-len(names) // places) or 1
    for start in range(0, len(names), share):
        together = names[start : start + share]
        groups.append(
            {
                "source": [source + name for name in together] if len(together) > 1 else source + together[0],
                "destination": destination if len(together) > 1 else destination + safe_path(together[0]) + "/",
                "recursive": True,
            }
        )
    return groups


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


def photos_under(folder: Location, owner: str, include: Patterns, exclude: Patterns) -> Iterator[StoredFile]:
    """List the photos below a folder, with the patterns of a helper's caller."""
    included = coerce.texts(owner, "include", include) or tuple(f"*{ending}" for ending in PHOTO_EXTENSIONS)
    excluded = (*coerce.texts(owner, "exclude", exclude), *NEVER_PHOTOS)
    return list_files(folder.uri, conn_id=folder.conn_id, include=included, exclude=excluded)


def results_under(source: Location, destination: Location) -> str | None:
    """Where in a source folder the results lie: their path, ``None`` where they do not. Where a destination names no connection, it counts
    as in the source's store.

    :raises SourceError: one of the connections cannot be used.
    """
    return path_in_store(destination if destination.conn_id else replace(destination, conn_id=source.conn_id), source)


def spelled(uri: str) -> str:
    """Return the URI of a folder as a task may get it: plain, and with the connection in it, if there was one."""
    return locate_folder(uri).full_uri


def _leave_nameless_out(root: Location, folders: dict[str, None]) -> None:
    """A folder called ``''``, ``.`` or ``..`` cannot be a source; one deeper down is part of a folder that can."""
    for name in [name for name in folders if name and not plain_part(name)]:
        del folders[name]
        log.warning("Left out %s%s: this folder has no name. Move its photos into one that has.", root.uri, name)
