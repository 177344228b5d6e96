"""Links beside a task in Airflow's UI."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

from airflow_provider_autoenhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.operators.links import PHOTO_LINKS, PhotosLink, console_address

KEY = SimpleNamespace(dag_id="nightly", task_id="a.enhance", run_id="manual__2026-11-27T20:00:00+00:00/x", map_index=3)
PAGE = "autoenhance/gallery/task/nightly/a.enhance/3/manual__2026-11-27T20%3A00%3A00%2B00%3A00%2Fx"


def task(**about: Any) -> AutoenhanceEnhanceOperator:
    return AutoenhanceEnhanceOperator(task_id="enhance", source="s3://in/", destination="s3://out/", **about)


def test_the_page_is_named_without_a_base_path() -> None:
    assert PhotosLink().get_link(task(), ti_key=KEY) == (PAGE if AIRFLOW_V_3_1_PLUS else "")


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("s3://out/elm 4/a#1.jsonl", "https://console.aws.amazon.com/s3/object/out?prefix=elm%204%2Fa%231.jsonl"),
        ("gs://out/elm/a?.jsonl", "https://console.cloud.google.com/storage/browser/_details/out/elm/a%3F.jsonl"),
        ("/data/out/a.jsonl", ""),
        ("abfs://out/a.jsonl", ""),
    ],
)
def test_files_lead_to_their_console_where_there_is_one(uri: str, address: str) -> None:
    assert console_address(uri, None) == address


@pytest.mark.parametrize(
    "extra",
    [{"endpoint_url": "http://127.0.0.1:9000"}, {"service_config": {"s3": {"endpoint_url": "http://127.0.0.1:9000"}}}],
)
def test_a_store_of_ones_own_is_not_in_the_console_of_aws(
    extra: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps({"conn_type": "aws", "extra": extra}))
    assert console_address("s3://out/a.jsonl", "mine") == ""


def test_airflow_keeps_them_with_the_dag() -> None:
    from airflow.serialization.serialized_objects import SerializedDAG

    try:
        from airflow.serialization.serialized_objects import DagSerialization
    except ImportError:
        DagSerialization = SerializedDAG  # type: ignore[misc,assignment] # noqa: N806 - before Airflow 3.2
    with DAG("with_links", schedule=None) as dag:
        task()
    kept = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("enhance")
    assert set(kept.extra_links) == {link.name for link in PHOTO_LINKS}
