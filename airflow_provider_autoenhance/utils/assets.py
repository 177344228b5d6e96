"""Asset events: what a batch landed, for the DAGs that wait for it; and the events that this run was made for."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset, AssetAlias

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

#: Orders and source folders that an event names. Its numbers count all, and the manifest has each.
MAX_NAMED = 100

#: Airflow dates an event before others can see it, so of two at the same moment the later one may be seen first.
SETTLED_AFTER = timedelta(minutes=1)

#: Numbers that an event carries, as the batch's summary has them.
COUNTS = ("photos", "landed", "skipped", "failed", "postponed", "held", "credits", "bytes")


def emit_assets(
    context: Context,
    outlets: Iterable[Any],
    summary: Mapping[str, Any],
    *,
    sources: Sequence[str],
    destination: str,
    listings: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Make asset events of what a task landed.

    An :class:`AssetAlias` gets an event of the destination folder's asset, if a photo landed; of several listings one for each. For an
    :class:`Asset` Airflow makes an event whenever the task succeeds; it carries the ``extra`` of the whole, so that a DAG can look at
    ``landed``. Never fails the task: the photos are paid for and there.

    :param context: of the running task.
    :param outlets: as given to the operator; what is not an asset is left alone.
    :param summary: of the batch.
    :param sources: URIs of folders (ending in a slash) and files.
    :param destination: URI of the folder.
    :param listings: of a task that works on several: the summary of each, with its ``source`` and ``destination``.
    """
    outlets = list(outlets)
    events = context.get("outlet_events")
    if not outlets or events is None:
        return
    try:
        extra = asset_extra(summary, sources=sources, destination=destination)
        told = [extra]
        if listings is not None:
            told = [asset_extra(each, sources=[each["source"]], destination=each["destination"]) for each in listings]
        for outlet in outlets:
            if isinstance(outlet, AssetAlias):
                for each in filter(itemgetter("landed"), told):
                    events[outlet].add(_asset(each["folder"]), extra=each)
            elif _names_asset(outlet):
                events[outlet].extra.update(extra)
    except Exception:
        log.exception("The photos landed, but no asset event could be made of it")


def asset_extra(summary: Mapping[str, Any], *, sources: Sequence[str], destination: str) -> dict[str, Any]:
    """Return an event's ``extra``: plain JSON, bounded, without connection ids and credentials.

    Flat: Airflow before 3.1 fails a task that succeeded where an alias's event holds a list or an object.

    :returns: ``folder`` (the destination), ``sources`` (folders, one a line), ``manifest``, ``contact_sheet``, ``order_ids`` (a space
        between), and the summary's counts. With ``plan_only``, 0 landed.
    """
    from airflow_provider_autoenhance.storage.naming import folder_of, public_uri

    ahead = ("credits", "bytes") if "plan" in summary else ()  # with plan_only, these are what would be
    return {
        "folder": public_uri(destination.rstrip("/") + "/"),
        "sources": "\n".join(list(dict.fromkeys(map(folder_of, sources)))[:MAX_NAMED]),
        **{name: public_uri(summary[name]) if summary.get(name) else None for name in ("manifest", "contact_sheet")},
        "order_ids": " ".join(summary.get("order_ids", ())[:MAX_NAMED]),
        **{name: 0 if name in ahead else int(summary.get(name, 0)) for name in COUNTS},
    }


def triggering_extras(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the ``extra`` of each asset event that a run has to deal with, oldest first; empty for a run by hand or by the clock.

    These are the events that Airflow made the run for and, of the assets and aliases among the task's ``inlets``, those that have come
    since. Without inlets, events that come together may wait for the next one: Airflow up to 3.3.2 hands a run only those that came up
    to the first one after the run before (apache/airflow#54659). An event that came in between may be handed to the next run as well.

    ::

        @task(inlets=[Asset("s3://listings/arrivals")])
        def list_arrivals():
            extras = triggering_extras(get_current_context())
            return arrived_folders(extras, "s3://listings/arrivals/", "s3://enhanced/")
    """
    triggering = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
    consumed = [event for asset in triggering for event in triggering[asset]]
    # Airflow's API does not give an event an id on all versions; who made it, and when, is one. One that came through an alias counts once.
    events = {_key(event): event for event in (*consumed, *_come_since(context, consumed))}
    return [dict(event.extra or {}) for event in sorted(events.values(), key=lambda event: event.timestamp)]


def reported_orders(extras: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the orders that events of :class:`AutoenhanceOrderEventTrigger` name: each once, as it was reported last.

    >>> reported_orders([{"payload": {"orders": [{"order_id": "a", "name": "Elm"}]}}, {"from": "somebody else"}])
    [{'order_id': 'a', 'name': 'Elm'}]

    :param extras: of asset events, oldest first, as :func:`triggering_extras` returns them.
    """
    orders: dict[str, dict[str, Any]] = {}
    for extra in extras:
        payload = extra.get("payload") or {}
        if isinstance(payload, str):  # of an alias's event, which on some versions holds no list
            payload = json.loads(payload)
        # An event of an older version is about one order.
        for order in payload.get("orders", [payload]):
            if "order_id" in order:
                orders[order["order_id"]] = order
    return list(orders.values())


def _come_since(context: Mapping[str, Any], consumed: Sequence[Any]) -> Iterator[Any]:
    """Yield the events of the task's inlets that have come since the newest that the run was made for, and that belong to no other run."""
    run, inlets = context.get("dag_run"), context.get("inlet_events")
    if run is None or not inlets or not (consumed or _is_made_for_assets(run)):
        return
    newest = max((event.timestamp for event in consumed), default=getattr(run, "run_after", None) or run.logical_date)
    since: datetime = newest - SETTLED_AFTER
    for inlet in (each for each in inlets if isinstance(each, AssetAlias) or _names_asset(each)):
        events = inlets[inlet]
        if hasattr(events, "after"):  # Airflow 3.2 and later; before, all that there are
            events = events.after(since.isoformat())
        for event in reversed(events):
            if event.timestamp < since:
                break
            if not any(each.dag_id == run.dag_id and each.run_id != run.run_id for each in event.created_dagruns):
                yield event


def _is_made_for_assets(run: Any) -> bool:
    """Whether assets made the run, though Airflow may have handed no event to it."""
    return str(getattr(run.run_type, "value", run.run_type)) in ("asset_triggered", "dataset_triggered")


def _key(event: Any) -> tuple[str, ...]:
    made = event.source_dag_id, event.source_run_id, event.source_task_id, event.source_map_index
    return (*map(str, (event.timestamp, *made)), repr(event.extra))


def _asset(folder: str) -> Any:
    from airflow_provider_autoenhance.storage.naming import asset_uri

    return Asset(asset_uri(folder.rstrip("/") + "/"))


def _names_asset(outlet: Any) -> bool:
    """Besides an asset itself, Airflow 3 takes references to one by name or URI."""
    return isinstance(outlet, Asset) or type(outlet).__name__ in ("AssetNameRef", "AssetUriRef")
