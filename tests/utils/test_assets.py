"""What a batch tells Airflow's assets and OpenLineage: folders and counts, never a connection or a credential."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_autoenhance.utils.assets import (
    MAX_NAMED,
    asset_extra,
    emit_assets,
    reported_orders,
    triggering_extras,
)

ALIAS, FOLDER = AssetAlias("enhanced"), Asset("s3://enhanced/maple/")
SUMMARY = {
    "source": "s3://someone@listings/maple/",
    "manifest": "s3://someone@enhanced/maple/autoenhance-manifest.jsonl",
    "contact_sheet": "s3://someone@enhanced/maple/autoenhance-contact-sheet.html",
    "order_ids": ["order-1"],
    "photos": 3,
    "landed": 2,
    "skipped": 0,
    "failed": 1,
    "postponed": 0,
    "held": 0,
    "transient": 1,
    "credits": 2,
    "bytes": 900,
    "failures": [{"photo": "kitchen.jpg", "reason": "cut short"}],
}
GIVEN = {"sources": ["s3://someone@listings/maple/"], "destination": "s3://someone@enhanced/maple"}


class Events(dict[Any, Any]):
    """Stands for Airflow's accessors: what was added to each outlet."""

    def __missing__(self, outlet: Any) -> Any:
        told: list[tuple[str, dict[str, Any]]] = []
        accessor = SimpleNamespace(extra={}, told=told, add=lambda asset, extra: told.append((asset.uri, extra)))
        return self.setdefault(outlet.name if hasattr(outlet, "name") else outlet.uri, accessor)

    def __getitem__(self, outlet: Any) -> Any:
        key = outlet.name if hasattr(outlet, "name") else outlet.uri
        return super().__getitem__(key) if key in self else self.__missing__(outlet)


def emit(outlets: list[Any], summary: dict[str, Any] = SUMMARY, **given: Any) -> Events:
    events = Events()
    emit_assets({"outlet_events": events}, outlets, summary, **GIVEN | given)  # type: ignore[arg-type]
    return events


def test_an_alias_gets_an_event_of_the_destination() -> None:
    ((uri, extra),) = emit([ALIAS])[ALIAS].told
    assert uri == "s3://enhanced/maple"
    assert extra == {
        "folder": "s3://enhanced/maple/",
        "sources": "s3://listings/maple/",
        "manifest": "s3://enhanced/maple/autoenhance-manifest.jsonl",
        "contact_sheet": "s3://enhanced/maple/autoenhance-contact-sheet.html",
        "order_ids": "order-1",
        "photos": 3,
        "landed": 2,
        "skipped": 0,
        "failed": 1,
        "postponed": 0,
        "held": 0,
        "credits": 2,
        "bytes": 900,
    }
    assert json.loads(json.dumps(extra)) == extra
    assert frozenset(extra.items())  # as Airflow before 3.1 does with it


def test_an_assets_own_event_tells_the_same() -> None:
    events = emit([FOLDER, ALIAS])
    assert events[FOLDER].extra == events[ALIAS].told[0][1]
    assert events[FOLDER].told == []


@pytest.mark.parametrize(
    "summary", [SUMMARY | {"landed": 0, "skipped": 3}, {"photos": 3, "plan": "a dry run", "credits": 3, "bytes": 9}]
)
def test_nothing_landed_is_no_news_for_an_alias(summary: dict[str, Any]) -> None:
    events = emit([ALIAS, FOLDER], summary)
    assert events[ALIAS].told == []
    assert events[FOLDER].extra["landed"] == 0
    assert ("plan" in summary) == (events[FOLDER].extra["credits"] == events[FOLDER].extra["bytes"] == 0)


def test_outlets_that_are_no_assets_are_left_alone() -> None:
    assert emit([object(), "s3://enhanced/maple/"]) == {}
    emit_assets({}, [ALIAS], SUMMARY, **GIVEN)  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("destination", "uri"),
    [
        ("s3://someone@enhanced/maple/", "s3://enhanced/maple"),
        ("s3a://enhanced/", "s3://enhanced/"),
        ("s3://enhanced/day=2026-02-01/no 4 #a?/ü/", "s3://enhanced/day=2026-02-01/no%204%20%23a%3F/%C3%BC"),
        ("/data/enhanced/", "file:///data/enhanced"),
        ("file:///data/enhanced", "file:///data/enhanced"),
        ("gs://google@bucket/a/b/", "gs://bucket/a/b"),
        ("abfs://azure@container/a/", "abfs://container/a"),
    ],
)
def test_assets_are_named_as_airflow_spells_them(destination: str, uri: str) -> None:
    ((told, _),) = emit([ALIAS], destination=destination)[ALIAS].told
    assert told == uri == Asset(uri).uri


def test_an_event_stays_small() -> None:
    sources = [f"s3://listings/{number}/{photo}.jpg" for number in range(2 * MAX_NAMED) for photo in range(9)]
    orders = [f"order-{number}" for number in range(2 * MAX_NAMED)]
    extra = asset_extra(SUMMARY | {"order_ids": orders}, sources=sources, destination="s3://enhanced/")
    assert extra["sources"].splitlines() == [f"s3://listings/{number}/" for number in range(MAX_NAMED)]
    assert extra["order_ids"].split() == orders[:MAX_NAMED]


def test_presigned_sources_are_told_without_their_signature() -> None:
    source = ["https://user:pw@photos.example/day/1.jpg?X-Amz-Signature=abc", "s3://conn@listings/maple/2.jpg"]
    told = json.dumps(asset_extra(SUMMARY, sources=source, destination="s3://enhanced/"))
    assert "https://photos.example/day/" in told
    assert not {"abc", "pw", "conn@", "someone"} & set(told.replace('"', " ").replace("/", " ").split())
    assert "Signature" not in told
    assert "@" not in told


def test_an_event_that_cannot_be_made_does_not_fail_what_is_paid(caplog: pytest.LogCaptureFixture) -> None:
    events = emit([ALIAS], destination="s3://enhanced/" + "long/" * 400)
    assert events[ALIAS].told == [] or len(events[ALIAS].told[0][0]) > 1500  # Airflow 2 leaves that to its database
    assert emit([ALIAS], destination="s3://")[ALIAS].told == []
    assert "no asset event could be made" in caplog.text


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class News(SimpleNamespace):
    """An asset event as Airflow hands it to a run.

    :param seconds: after noon.
    :param runs: ids of the DAG's runs that it was handed to.
    """

    def __init__(self, seconds: float, extra: Any, map_index: int = -1, runs: tuple[str, ...] = ()) -> None:
        super().__init__(
            timestamp=NOON + timedelta(seconds=seconds),
            extra=extra,
            source_dag_id="drop",
            source_run_id="1",
            source_task_id="tell",
            source_map_index=map_index,
            created_dagruns=[SimpleNamespace(dag_id="on_arrival", run_id=run) for run in runs],
        )


class Asked(list[Any]):
    """What Airflow 3.2 and later answer who asks for an asset's events."""

    def after(self, moment: str) -> Asked:
        return Asked(event for event in self if event.timestamp >= datetime.fromisoformat(moment))


@pytest.mark.parametrize("name", ["triggering_asset_events", "triggering_dataset_events"])
def test_a_run_reads_all_events_that_it_was_made_for(name: str) -> None:
    first, second, bare = News(1, {"folder": "a"}), News(2, {"folder": "b"}, 7), News(3, None)
    context = {name: {"photos": [second, first, bare], "their alias": [second]}}
    assert triggering_extras(context) == [{"folder": "a"}, {"folder": "b"}, {}]


class Inlets:
    """A task's inlets with their events, as Airflow gives them: on some versions, no dictionary takes an alias as a key."""

    def __init__(self, *inlets: tuple[Any, Any]) -> None:
        self._inlets = inlets

    def __len__(self) -> int:
        return len(self._inlets)

    def __iter__(self) -> Iterator[Any]:
        return (inlet for inlet, _ in self._inlets)

    def __getitem__(self, wanted: Any) -> Any:
        return next(events for inlet, events in self._inlets if inlet is wanted)


def made_run(run_type: str, **events: Any) -> dict[str, Any]:
    run = SimpleNamespace(dag_id="on_arrival", run_id="this", run_type=run_type, run_after=NOON, logical_date=None)
    return {"dag_run": run, **events}


@pytest.mark.parametrize("kind", [list, Asked])
def test_it_asks_for_what_has_come_since_and_no_other_run_has(kind: type) -> None:
    made_for = News(0, {"folder": "a"}, runs=("this",))
    came = [
        News(-300, {"folder": "long ago"}),
        News(-2, {"folder": "late"}),  # dated before the other one, and seen after it
        News(-1, {"folder": "the last run's"}, runs=("before",)),
        made_for,
        News(0.5, {"folder": "b"}),
        News(90, {"folder": "c"}),
    ]
    inlets = Inlets((ALIAS, kind(came)), (FOLDER, kind([])), (object(), kind([News(1, {"folder": "no asset's"})])))
    context = made_run("asset_triggered", triggering_asset_events={"photos": [made_for]}, inlet_events=inlets)
    assert [each["folder"] for each in triggering_extras(context)] == ["late", "a", "b", "c"]


@pytest.mark.parametrize(
    ("run_type", "found"), [("asset_triggered", ["b"]), ("dataset_triggered", ["b"]), ("manual", []), ("scheduled", [])]
)
def test_a_run_that_airflow_handed_nothing_asks_if_assets_made_it(run_type: str, found: list[str]) -> None:
    context = made_run(run_type, inlet_events=Inlets((ALIAS, [News(0.5, {"folder": "b"})])))
    assert [each["folder"] for each in triggering_extras(context)] == found


def test_a_run_by_hand_has_no_events() -> None:
    assert triggering_extras({}) == []
    assert triggering_extras({"triggering_asset_events": {}}) == []


def test_orders_are_read_from_events_each_once_as_reported_last() -> None:
    first, later = {"order_id": "a", "images": 1}, {"order_id": "a", "images": 2}
    of_older_version = {"from_trigger": True, "payload": {"order_id": "b"}}
    extras = [
        {"payload": {"orders": [first, {"order_id": "c"}]}},
        of_older_version,
        {},
        {"payload": {"orders": [later]}},
    ]
    assert reported_orders(extras) == [later, {"order_id": "c"}, {"order_id": "b"}]
