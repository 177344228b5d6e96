"""Photos that arrive: which folders got new ones, and what the events about them mean to a batch."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from airflow_provider_autoenhance.api import coerce
from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.dag_helpers.listings import (
    MAX_GROUPS,
    Patterns,
    photos_under,
    refuse_file,
    results_under,
    spelled,
)
from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS
from airflow_provider_autoenhance.pipeline.plan.results import result_folders
from airflow_provider_autoenhance.storage import DEFAULT_ACCESS
from airflow_provider_autoenhance.storage.location import locate_folder, path_inside, plain_part

log = logging.getLogger(__name__)

#: Keys of an event's ``extra`` that name one folder, and a list of them.
FOLDER, FOLDERS = "folder", "folders"

#: S3 dates a file that came in parts by its upload's beginning, so a look back goes a little further than the last look.
OVERLAP = timedelta(minutes=30)


def changed_folders(
    source: coerce.Place,
    since: datetime | str | None,
    *,
    source_conn_id: str | None = None,
    include: Patterns = (),
    exclude: Patterns = (),
    max_folders: int = MAX_GROUPS,
) -> list[str]:
    """List the folders in which photos have arrived, with listing calls alone.

    ::

        @task(outlets=[Asset("s3://listings")])
        def announce(prev_start_date_success, outlet_events):
            folders = changed_folders("s3://listings/", prev_start_date_success)
            if not folders:
                raise AirflowSkipException("Nothing has arrived")
            outlet_events[Asset("s3://listings")].extra = {"folders": folders}

    :param source: folder that is looked through, with all folders below it, as text or as a path object.
    :param since: when the last look began, as a ``datetime`` or ISO text, in UTC where it says nothing else. ``None``: every folder that
        has photos. What came up to ``OVERLAP`` earlier is listed again.
    :param source_conn_id: Airflow connection of a source that names none.
    :param include: glob patterns of photos, or one; by default every type that Autoenhance takes.
    :param exclude: glob patterns to leave out, or one.
    :param max_folders: of more, ``source`` alone is returned, which stands for all.
    :returns: URIs, each ending in a slash, in order of names.
    :raises SettingsError: the source is not the URI of a folder.
    :raises SourceError: the source cannot be listed.
    """
    owner = "changed_folders"
    source = coerce.required(owner, "source", source)
    root = locate_folder(source, conn_id=coerce.text(owner, "source_conn_id", source_conn_id))
    since, max_folders = (
        coerce.moment(owner, "since", since),
        coerce.whole_number(owner, "max_folders", max_folders) or MAX_GROUPS,
    )
    found: dict[str, None] = {}
    records: list[str] = []
    file = None
    for file in photos_under(root, owner, include, exclude, records):
        if since is None or file.modified is None or file.modified >= since - OVERLAP:
            found[plain_part(file.uri.removeprefix(root.uri))] = None
    if file is None:
        refuse_file(source, root)
    folders = found.keys() - result_folders(root, records, found, DEFAULT_ACCESS)
    return sorted(root.uri + path for path in folders) if len(folders) <= max_folders else [root.uri]


def arrived_folders(
    extras: Iterable[Mapping[str, Any] | None] | Mapping[str, Any] | str | None,
    source: coerce.Place,
    destination: coerce.Place,
    *,
    max_folders: int = MAX_GROUPS,
) -> list[dict[str, str]]:
    """Turn events of arrivals into arguments for ``AutoenhanceEnhanceOperator.partial(...).expand_kwargs()``.

    Each folder is returned once, and not at all where one above it is. An event without a folder, and a run without events (by hand),
    mean all of ``source``; what is up to date there costs nothing. A folder outside ``source`` is left alone, with a warning: whoever
    may write an event may not choose what is read. Results below ``source`` are announced as photos are, and are left out; a folder in
    which both lie means all of ``source``: that task keeps them apart.

    >>> arrived_folders([{"folder": "s3://in/elm/"}, {"folder": "s3://in/elm/up/"}], "s3://in/", "s3://out/")
    [{'source': 's3://in/elm/', 'destination': 's3://out/elm/'}]

    :param extras: of asset events, a list or its JSON, or one; each may name a ``folder``, or a list of ``folders``.
    :param source: folder in which photos arrive.
    :param destination: folder for the results; folders keep their path.
    :param max_folders: of more, all of ``source`` is one task.
    :returns: ``source`` and ``destination`` per folder, in order of names.
    :raises SettingsError: the source or the destination is not the URI of a folder.
    :raises SourceError: one lies in the other, and one of the connections in them cannot be used.
    """
    owner = "arrived_folders"
    source = spelled(coerce.required(owner, "source", source))
    destination = spelled(coerce.required(owner, "destination", destination))
    extras, place = coerce.objects(owner, "extras", extras), locate_folder(source)
    max_folders = coerce.whole_number(owner, "max_folders", max_folders) or MAX_GROUPS
    root, results = place.uri, results_under(place, locate_folder(destination))
    named = [_folders(extra) for extra in extras]
    inside = {path for path in (_path_under(root, folder) for folder in chain(*named)) if path is not None}
    if not all(named) or not named:
        inside.add("")
    if results:
        inside = {"" if results.startswith(path) else path for path in inside if not path.startswith(results)}
    paths: list[str] = []
    for path in sorted(inside):  # a folder comes right before what lies in it
        if not (paths and path.startswith(paths[-1])):
            paths.append(path)
    if len(paths) > max_folders:
        paths = [""]
    return [{"source": source + path, "destination": destination + path} for path in paths]


def _folders(extra: Mapping[str, Any]) -> list[Any]:
    several = extra.get(FOLDERS) or []
    return list(filter(None, [extra.get(FOLDER), *([several] if isinstance(several, str) else several)]))


def _path_under(root: str, folder: Any) -> str | None:
    given = str(folder).strip()
    if given.lower().endswith(PHOTO_EXTENSIONS):  # of a photo, its folder
        given = given.rpartition("/")[0]
    try:
        path = path_inside(given.rstrip("/") + "/", root)
    except SettingsError:
        path = None
    if path is None or ".." in path.replace("\\", "/").split("/"):
        log.warning("Left alone: %.200r, which an event names, is not a folder in %s", redact_url(given), root)
        return None
    return "".join(f"{name}/" for name in path.split("/") if name not in ("", "."))
