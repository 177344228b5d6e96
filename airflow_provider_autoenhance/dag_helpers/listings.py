"""Listings as source and destination pairs, to spread over mapped tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_autoenhance.api.errors import SourceError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.api.shown import last_part
from airflow_provider_autoenhance.imaging.naming import safe_path
from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS
from airflow_provider_autoenhance.pipeline.plan.listing import NEVER_PHOTOS
from airflow_provider_autoenhance.storage import list_files
from airflow_provider_autoenhance.storage.location import path_inside
from airflow_provider_autoenhance.storage.naming import public_uri

#: Airflow's default ``[core] max_map_length``.
MAX_GROUPS = 1024


def list_groups(
    source: str,
    destination: str,
    *,
    source_conn_id: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    max_groups: int = MAX_GROUPS,
    missing_ok: bool = False,
) -> list[dict[str, Any]]:
    """List the folders of photos right under a folder, as arguments for ``AutoenhanceEnhanceOperator.partial(...).expand_kwargs()``.

    Bounded by listings, not by photos. Where there are more folders than ``max_groups``, neighbours share a task. Photos that lie in
    ``source`` itself are a group of their own.

    ::

        @task
        def list_listings(ds: str):
            return list_groups(f"s3://listings/{ds}/", f"s3://enhanced/{ds}/", missing_ok=True)

        AutoenhanceEnhanceOperator.partial(task_id="enhance", preview=False).expand_kwargs(list_listings())

    :param source: folder whose subfolders are the listings.
    :param destination: folder that gets one subfolder per listing.
    :param source_conn_id: Airflow connection of the source.
    :param include: glob patterns of photos; by default every type that Autoenhance takes.
    :param exclude: glob patterns to leave out.
    :param max_groups: most items to return.
    :param missing_ok: a local folder that does not exist has no groups, as one in a bucket; the folder above it must exist.
    :returns: ``source`` (a folder, or several), ``destination`` and ``recursive`` per item, in order of names.
    :raises SourceError: the source cannot be listed.
    """
    source, destination = source.rstrip("/") + "/", destination.rstrip("/") + "/"
    patterns = tuple(include) or tuple(f"*{ending}" for ending in PHOTO_EXTENSIONS)
    root, results = public_uri(source), path_inside(destination, source)
    folders: dict[str, None] = {}
    if missing_ok and not _exists(source, source_conn_id):
        return []
    for file in list_files(source, conn_id=source_conn_id, include=patterns, exclude=(*exclude, *NEVER_PHOTOS)):
        path = file.uri.removeprefix(root)
        if results is None or not path.startswith(results):
            folder, slash, _ = path.partition("/")
            folders[folder + slash if slash else ""] = None
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


def _exists(folder: str, conn_id: str | None) -> bool:
    try:
        next(iter(list_files(folder, conn_id=conn_id)), None)
    except SourceError:
        # No such folder, if the one above it can be listed; else something is wrong with the store.
        next(iter(list_files(folder.rstrip("/").rpartition("/")[0] + "/", conn_id=conn_id, recursive=False)), None)
        return False
    return True
