"""The HDR DAG, on a real Airflow and the sample bracket."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from airflow_provider_autoenhance.pipeline.batch.manifest import MANIFEST
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from tests.support.pictures import decode
from tests.support.sandbox import Sandbox
from tests.support.tasks import run_dag

pytestmark = pytest.mark.usefixtures("airflow_db")
SHOTS = sorted(Path("samples/photos/harbour-view-3").glob("*.jpg"))


@pytest.mark.one_version
def test_a_folder_of_exposures_becomes_photos_once(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    for shot in SHOTS:
        s3.put(f"harbour-view-3/{shot.name}", shot.read_bytes())
    for date in ("2026-02-01", "2026-02-02"):
        done = run_dag("autoenhance_hdr", date, {"preview": False})
        assert done.returncode == 0, done.stdout[-5000:]
    landed = [key for key in s3.keys() if RECORDS_FOLDER not in key and not key.endswith(MANIFEST)]
    assert landed == [f"harbour-view-3/{SHOTS[0].name}"]
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["brackets_created"], ledger["credits"]["spent"]) == (1, len(SHOTS), 1)
    merged = decode(s3.get(landed[0]))
    shares = [np.mean((shot > 8) & (shot < 247)) for shot in map(decode, (shot.read_bytes() for shot in SHOTS))]
    assert np.mean((merged > 8) & (merged < 247)) > max(shares), "light and shadow show more than in any single shot"


@pytest.mark.one_version
def test_source_and_output_of_the_form_may_be_objects(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("one/kitchen.png", SHOTS[0].read_bytes())
    s3.put("one/deep/left-out.jpg", SHOTS[0].read_bytes())
    output = {
        "destination": "s3://enhanced/12-maple/",
        "format": {"type": "webp", "compression": {"type": "lossy", "quality": 75}},
        "metadata": {"dpi": 300},
    }
    source = json.dumps({"source": "s3://listings/one/", "recursive": False})
    form = {"source": source, "destination": None, "output": output, "brackets": "none"}
    done = run_dag("autoenhance_hdr", "2026-02-01", form)
    assert done.returncode == 0, done.stdout[-5000:]
    landed = [key for key in s3.keys() if RECORDS_FOLDER not in key and not key.endswith(MANIFEST)]
    assert landed == ["12-maple/kitchen.png.webp"]
