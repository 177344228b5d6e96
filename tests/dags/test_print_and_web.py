"""The DAG for print shop and website, on a real Airflow."""

from __future__ import annotations

from io import BytesIO
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.support.batch import outputs
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import run_dag

pytestmark = pytest.mark.usefixtures("airflow_db")


@pytest.mark.one_version
def test_one_purchase_for_web_and_print(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("print/maple-street-12/kitchen.jpg", photo())
    done = run_dag("autoenhance_print_and_web", "2026-02-01", {"preview": False, "print_condition": "USWeb_Coated"})
    assert done.returncode == 0, done.stdout[-5000:]
    folder = "print/maple-street-12"
    assert outputs(s3) == [f"{folder}/{name}" for name in ("print/kitchen.jpg", "web/kitchen.avif", "web/kitchen.webp")]
    printed = Image.open(BytesIO(s3.get(f"{folder}/print/kitchen.jpg")))
    assert (printed.mode, printed.info["dpi"], bool(printed.info["icc_profile"])) == ("CMYK", (300, 300), True)
    assert autoenhance.ledger()["credits"]["spent"] == 1
