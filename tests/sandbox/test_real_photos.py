"""The same on real photographs, where a folder with some is given by ``AUTOENHANCE_PHOTOS``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.sandbox.api import Api
from tests.support.pictures import decode

FOLDER = Path(os.environ.get("AUTOENHANCE_PHOTOS", ""))
SHOTS = sorted(FOLDER.glob("bracket-*.JPG")) if FOLDER.name else []
pytestmark = pytest.mark.skipif(len(SHOTS) != 5, reason="AUTOENHANCE_PHOTOS names no folder with the five-shot bracket")


def test_a_real_bracket_is_found_and_merged(api: Api) -> None:
    order_id = api.order()["order_id"]
    api.brackets(order_id, [shot.read_bytes() for shot in SHOTS])
    api.process(order_id)
    images = api.wait_order(order_id)["images"]
    assert [image["status"] for image in images] == ["processed"]
    merged = decode(api.bytes(images[0]["image_id"], preview=False))
    brightest = decode(SHOTS[4].read_bytes())
    middle = decode(SHOTS[0].read_bytes())
    assert merged.shape == middle.shape
    window = np.s_[520:1000, 2050:2600]
    assert np.mean(brightest[window] > 250) > 0.5, "the brightest shot should show no garden"
    assert np.mean(merged[window] > 250) < 0.1, "the garden is blown out"
    cupboards = np.s_[1100:1700, 50:700]
    assert merged[cupboards].mean() > middle[cupboards].mean() + 60


def test_a_real_kitchen_gets_brighter(api: Api) -> None:
    data = (FOLDER / "kitchen-2.jpg").read_bytes()
    image = api.finished(data, "kitchen-2.jpg")
    after, before = decode(api.bytes(image["image_id"], preview=False)), decode(data)
    assert after.mean() > before.mean() + 10
    assert np.mean(after > 253) < np.mean(before > 253) + 0.02
