"""OpenLineage: source folders in, destination folders out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceDownloadImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.storage.naming import dataset_name
from airflow_provider_autoenhance.utils.openlineage import MAX_DATASETS, Moved
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import run

pytest.importorskip("airflow.providers.openlineage")


def told(operator: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return what Airflow's own extractor gets out of an operator."""
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    lineage = DefaultExtractor(operator).extract_on_complete(None)
    assert lineage is not None
    return [(each.namespace, each.name) for each in lineage.inputs], [
        (each.namespace, each.name) for each in lineage.outputs
    ]


def enhance(**options: Any) -> AutoenhanceEnhanceOperator:
    about = {"source": "s3://aws_default@listings/maple", "destination": "s3://aws_default@enhanced/maple"}
    return AutoenhanceEnhanceOperator(task_id="enhance", poll_interval=0.1, **about | options)


def moved(**about: Any) -> AutoenhanceEnhanceOperator:
    operator = enhance()
    operator._moved = Moved(**about)
    return operator


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("s3://someone@listings/day/elm/", "s3://listings", "day/elm"),
        ("s3a://listings/", "s3://listings", "/"),
        ("/data/photos/", "file", "/data/photos"),
        ("file:///", "file", "/"),
        ("gs://google@bucket/no #4/ü/", "gs://bucket", "no #4/ü"),
        ("wasb://azure@container/a/b/", "wasb://container", "a/b"),
        ("https://user:pw@photos.example:8443/day%201/", "https://photos.example:8443", "/day 1"),
    ],
)
def test_names_follow_openlineages_convention(uri: str, namespace: str, name: str) -> None:
    assert dataset_name(uri) == (namespace, name)


def test_photos_are_told_as_their_folders_and_not_without_end() -> None:
    photos = tuple(f"s3://listings/{folder}/{each}.jpg" for folder in range(3 * MAX_DATASETS) for each in range(20))
    inputs, outputs = told(moved(sources=photos, destinations=("s3://enhanced/",)))
    assert len(inputs) == len(set(inputs)) == MAX_DATASETS
    assert outputs == [("s3://enhanced", "/")]


def test_nothing_done_is_nothing_told() -> None:
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    operator = AutoenhanceCreateImageOperator(task_id="create", image_name="a.jpg")
    assert not hasattr(operator, "get_openlineage_facets_on_complete")
    assert DefaultExtractor(enhance()).extract_on_complete(None) is None


def test_a_batch_tells_its_folders_and_what_it_wrote(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    for number in range(3):
        s3.put(f"maple/{number}.jpg", photo(shade=40 + number))
    it = enhance()
    summary = run(it)
    assert told(it) == ([("s3://listings", "maple")], [("s3://enhanced", "maple")])
    lineage = it.get_openlineage_facets_on_complete(None)
    assert lineage is not None
    statistics = lineage.outputs[0].outputFacets["outputStatistics"]
    assert (statistics.fileCount, statistics.size) == (3, summary["bytes"])


def test_a_dry_run_writes_nothing(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/1.jpg", photo())
    it = enhance(plan_only=True)
    run(it)
    assert told(it) == ([("s3://listings", "maple")], [])


def test_an_upload_tells_what_it_read_and_a_download_what_it_wrote(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/1.jpg", photo())
    source = "s3://aws_default@listings/maple/1.jpg"
    created = run(AutoenhanceCreateImageOperator(task_id="create", image_name="maple/1.jpg", source=source))
    ticket = {name: created[name] for name in ("image_id", "upload_url")}
    upload = AutoenhanceUploadImageOperator(task_id="upload", source=source, **ticket)
    image_id = run(upload)["image_id"]
    assert told(upload) == ([("s3://listings", "maple")], [])
    download = AutoenhanceDownloadImageOperator(
        task_id="download", image_id=image_id, destination="s3://aws_default@enhanced/", variant="original"
    )
    run(download)
    assert told(download) == ([], [("s3://enhanced", "maple")])
