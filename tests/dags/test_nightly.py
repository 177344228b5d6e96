"""The nightly DAG, on a real Airflow."""

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
from tests.support.tasks import run_dag, without_masking
from tools.leaks import LeakSearch

pytestmark = pytest.mark.usefixtures("airflow_db")
NIGHTLY = "autoenhance_nightly"


def fill(s3: SimpleNamespace, day: str, **listings: int) -> None:
    for listing, count in listings.items():
        for number in range(count):
            s3.put(f"{day}/{listing}/{number}.jpg", photo(shade=40 + number + 10 * len(listing)))


def night(day: str, **conf: Any) -> str:
    """Run the DAG of a day; return what it printed."""
    run = run_dag(NIGHTLY, day, conf)
    assert run.returncode == 0, run.stdout[-5000:]
    return run.stdout


def landed(s3: SimpleNamespace) -> list[str]:
    return [key for key in s3.keys() if RECORDS_FOLDER not in key and not key.endswith(MANIFEST)]


def test_a_night_twice_pays_once(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, "2026-02-01", elm=2, maple=3)
    fill(s3, "2026-02-02", oak=1)
    printed = [night("2026-02-01"), night("2026-02-01")]
    for each in printed:
        assert re.search(r"elm +ok +2 +2 +0 +0 +0 +0 +2", each)
        assert re.search(r"2 listings +5 +5 +0 +0 +0 +0 +5", each)
        assert autoenhance.api_key not in without_masking(each)
        assert LeakSearch({}).look(without_masking(each).encode()) == set()
    assert landed(s3) == [f"2026-02-01/elm/{n}.jpg" for n in range(2)] + [f"2026-02-01/maple/{n}.jpg" for n in range(3)]
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["uploads_received"], ledger["credits"]["spent"]) == (5, 5, 5)
    assert sorted(order["name"] for order in ledger["orders"]) == ["elm", "maple"]


@pytest.mark.one_version
def test_a_poisoned_listing_fails_the_run_but_no_other_listing(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, "2026-02-03", ash=2, birch=2, cedar=2)
    s3.put("2026-02-03/birch/bad.jpg", photo()[:-60])
    run = run_dag(NIGHTLY, "2026-02-03", {})
    assert run.returncode != 0
    assert re.search(r"birch +failed +3 +2 +0 +1 +0 +0 +2", run.stdout)
    assert re.search(r"3 listings +7 +6 +0 +1 +0 +0 +6", run.stdout)
    assert re.search(r"birch/bad.jpg: .*cut short", run.stdout)
    assert len(landed(s3)) == 6
    assert autoenhance.ledger()["credits"]["spent"] == 6
    s3.put("2026-02-03/birch/bad.jpg", photo(shade=90))
    assert re.search(r"birch +ok +3 +3", night("2026-02-03"))
    assert autoenhance.ledger()["credits"]["spent"] == 7


def test_a_night_is_packed_by_its_form_and_one_listing_can_be_chosen(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, "2026-02-09", ash=1, birch=2, cedar=1, elm=1)
    first = night("2026-02-09", tasks=2, listings=["birch"])
    assert "1 listings of 2026-02-09 in s3://listings/2026-02-09/, in 1 tasks" in first
    assert re.search(r"1 listing +2 +2 +0 +0 +0 +0 +2", first)
    second = night("2026-02-10", date="2026-02-09", tasks=2)
    assert "4 listings of 2026-02-09 in s3://listings/2026-02-09/, in 2 tasks" in second
    assert re.search(r"birch +ok +2 +0 +2 +0 +0 +0 +0", second)
    assert re.search(r"4 listings +5 +3 +2 +0 +0 +0 +3", second)
    assert autoenhance.ledger()["credits"]["spent"] == 5


def test_a_listing_that_ends_before_it_has_a_summary_is_named(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, "2026-02-04", ash=1, fir=1)
    autoenhance.faults([{"endpoint": "create_image", "kind": "422", "match": "*"}])
    run = run_dag(NIGHTLY, "2026-02-04", {"destination": "s3://no-such-bucket/{date}/"})
    assert run.returncode != 0
    assert re.search(r"fir +failed early +- ", run.stdout)
    assert "fir: the task ended before it had a result" in run.stdout


@pytest.mark.one_version
def test_a_dry_run_tells_and_changes_nothing(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, "2026-02-05", ash=2, fir=1)
    printed = night("2026-02-05", plan_only=True)
    assert "Planned only: nothing was changed" in printed
    assert re.search(r"ash +ok +2 +0 +0 +2", printed)
    assert re.search(r"2 listings +3 +0 +0 +3", printed)
    assert s3.keys() == []
    assert autoenhance.ledger()["requests"] == {}


@pytest.mark.one_version
def test_a_day_without_photos_is_no_failure(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    assert "0 listings of 2026-02-06 in s3://listings/2026-02-06/" in night("2026-02-06")
    assert autoenhance.ledger()["requests"] == {}


@pytest.mark.one_version
def test_a_bucket_that_is_not_there_fails(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    run = run_dag(NIGHTLY, "2026-02-07", {"source": "s3://no-such-bucket/{date}/"})
    assert run.returncode != 0
    assert "no-such-bucket" in run.stdout


@pytest.mark.one_version
def test_the_form_chooses_day_settings_and_ceiling(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, "2026-01-31", ash=3)
    conf = {"date": "2026-01-31", "enhance_type": "warm", "max_credits": 2, "sky_replacement": "true"}
    assert re.search(r"ash +ok +3 +2 +0 +0 +0 +1 +2", night("2026-02-08", **conf))
    ledger = autoenhance.ledger()
    assert ledger["credits"]["spent"] == 2
    for image in ledger["images"]:
        assert image["settings"]["enhance_type"] == "warm"
        assert json.dumps(image["settings"]).count("null") == 0
    assert landed(s3) == ["2026-01-31/ash/0.jpg", "2026-01-31/ash/1.jpg"]
