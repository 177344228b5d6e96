"""The DAG that runs when photos arrive, and the one that announces them, on a real Airflow."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_autoenhance.pipeline.batch.manifest import MANIFEST
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import asset_models, run_dag, without_masking

pytestmark = pytest.mark.usefixtures("no_news")
FILE, DROP = "autoenhance_on_arrival", "autoenhance_photo_drop"
PHOTOS = "s3://listings/arrivals"


def events(uri: str) -> list[dict[str, Any]]:
    """Return what Airflow has as extras of an asset's events, oldest first."""
    from airflow.utils.session import create_session

    model, asset, event = asset_models()
    with create_session() as session:
        found = session.query(event).join(model, getattr(event, asset) == model.id).filter(model.uri == uri)
        return [dict(each.extra) for each in found.order_by(event.id)]


def happen(extra: dict[str, Any]) -> None:
    """Make an event of the photos as somebody would by Airflow's API."""
    from airflow.utils.session import create_session

    model, asset, event = asset_models()
    with create_session() as session:
        photos = session.query(model).filter(model.uri == PHOTOS).one()
        session.add(event(**{asset: photos.id, "extra": extra}))


def succeed(date: str, conf: dict[str, Any] | None = None, dag: str = "") -> str:
    run = run_dag(FILE, date, conf or {}, dag)
    assert run.returncode == 0, run.stdout[-5000:]
    return run.stdout


def landed(s3: SimpleNamespace) -> list[str]:
    return [key for key in s3.keys() if RECORDS_FOLDER not in key and MANIFEST not in key]


def test_what_arrives_is_enhanced_once_and_told_on(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    for key in ("day/elm/1.jpg", "day/elm/2.jpg", "day/maple/1.jpg"):
        s3.put(f"arrivals/{key}", photo(shade=40 + len(key)))
    s3.put("2099-01-01/oak/1.jpg", photo())  # for another DAG
    s3.put("arrivals/day/notes/readme.txt", b"no photo")
    assert "New photos in 2 folders of s3://listings/arrivals/ since ever" in succeed("2099-01-01", dag=DROP)
    assert events(PHOTOS) == [{"folders": [f"s3://listings/arrivals/day/{name}/" for name in ("elm", "maple")]}]
    s3.put("arrivals/old/birch/1.jpg", photo())  # nobody announces it
    happen({"folder": "s3://aws_default@listings/arrivals/day/elm"})  # the same again
    happen({"folder": "s3://listings/arrivals/day/elm/"})

    printed = succeed("2099-01-01")
    assert re.search(r"2 folders from 3 events", printed)
    assert landed(s3) == [f"arrivals/day/{name}" for name in ("elm/1.jpg", "elm/2.jpg", "maple/1.jpg")]
    told = events("s3://enhanced/arrivals/day/elm")
    assert [(each["folder"], each["landed"], each["credits"]) for each in told] == [
        ("s3://enhanced/arrivals/day/elm/", 2, 2)
    ]
    assert told[0]["sources"] == "s3://listings/arrivals/day/elm/"
    assert told[0]["manifest"] == f"s3://enhanced/arrivals/day/elm/{MANIFEST}"
    assert told[0]["order_ids"].split() == [
        order["order_id"] for order in autoenhance.ledger()["orders"] if order["name"] == "elm"
    ]
    assert [each["landed"] for each in events("s3://enhanced/arrivals/day/maple")] == [1]
    assert autoenhance.api_key not in without_masking(printed) + json.dumps(told)

    # The same news once more: nothing is paid again, nothing is told on.
    happen({"folder": "s3://listings/arrivals/day/maple/"})
    # Airflow hands over what the first run has asked for, too.
    assert "2 folders from 3 events" in succeed("2099-01-02")
    assert len(events("s3://enhanced/arrivals/day/maple")) == 1
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["credits"]["spent"]) == (3, 3)


def test_a_burst_of_ten_lands_whole(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    """Airflow hands the run the first of the events alone."""
    names = [f"house-{number}" for number in range(10)]
    for number, name in enumerate(names):
        s3.put(f"arrivals/{name}/1.jpg", photo(shade=40 + number))
        happen({"folder": f"s3://listings/arrivals/{name}/"})
    assert "10 folders from 10 events" in succeed("2099-05-01")
    assert landed(s3) == [f"arrivals/{name}/1.jpg" for name in names]
    # The next run is handed what this one has asked for, and finds it done.
    assert "9 folders from 9 events" in succeed("2099-05-02")
    assert autoenhance.ledger()["credits"]["spent"] == 10


@pytest.mark.one_version
def test_news_without_a_folder_means_the_whole_source(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    for key in ("a/1.jpg", "b/deep/2.jpg"):
        s3.put(f"arrivals/{key}", photo(shade=40 + len(key)))
    happen({})
    happen({"folder": "s3://listings/arrivals/a/"})
    happen({"folder": "s3://elsewhere/c/"})
    printed = succeed("2099-02-01")
    assert "1 folders from 3 events: ['s3://listings/arrivals/']" in printed
    assert (
        "Left alone: 's3://elsewhere/c/', which an event names, is not a folder in s3://listings/arrivals/" in printed
    )
    assert landed(s3) == ["arrivals/a/1.jpg", "arrivals/b/deep/2.jpg"]
    assert events("s3://enhanced/arrivals")[-1]["landed"] == 2
    assert autoenhance.ledger()["credits"]["spent"] == 2


@pytest.mark.one_version
def test_a_run_by_hand_takes_what_the_form_names(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("elm/1.jpg", photo())
    s3.put("oak/1.jpg", photo(shade=90))
    conf = {"source": "s3://listings/oak", "destination": "s3://enhanced/hand", "enhance_type": "warm"}
    assert "1 folders from 0 events" in succeed("2099-03-01", conf)
    assert landed(s3) == ["hand/1.jpg"]
    assert autoenhance.ledger()["images"][0]["settings"]["enhance_type"] == "warm"


@pytest.mark.one_version
@pytest.mark.usefixtures("autoenhance")
def test_a_drop_without_news_tells_nothing(s3: SimpleNamespace) -> None:
    s3.put("arrivals/elm/1.jpg", photo())
    succeed("2099-04-01", dag=DROP)
    before = len(events(PHOTOS))
    # The photos are older than the last look, which this DAG's dates put into the future.
    assert "New photos in 0 folders" in succeed("2099-04-02", dag=DROP)
    assert len(events(PHOTOS)) == before
