"""A batch whose connection is in ``dev_mode``: full-size files for nothing, with a watermark, until that is off."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.support.batch import Enhance, fill, manifest, outputs
from tests.support.sandbox import Sandbox

_CONNECTION = "AIRFLOW_CONN_AUTOENHANCE_DEFAULT"


@pytest.fixture
def dev_mode(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a function that switches it."""

    def switch(on: bool) -> None:
        fields = json.loads(os.environ[_CONNECTION])
        extra = (fields.get("extra") or {}) | {"dev_mode": on}
        monkeypatch.setenv(_CONNECTION, json.dumps(fields | {"extra": extra}))

    return switch


def files(s3: SimpleNamespace) -> dict[str, bytes]:
    return {key: s3.get(key) for key in outputs(s3)}


@pytest.mark.parametrize("last", ["night-1", "night-2"], ids=["cleared", "next night"])
def test_what_has_a_watermark_is_bought_when_dev_mode_is_off(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, dev_mode: Callable[[bool], None], last: str
) -> None:
    fill(s3, 2)
    dev_mode(True)
    ahead = enhance(plan_only=True)
    assert (ahead["credits"], ahead["full_size_credits"]) == (0, 2)
    assert "0 credits (2 credits with dev_mode off)" in ahead["plan"]
    summary = enhance(max_credits=0)
    assert (summary["landed"], summary["credits"]) == (2, 0)
    assert enhance(run_id="idle", max_credits=0)["skipped"] == 2
    marked = files(s3)
    dev_mode(False)
    assert enhance(plan_only=True, run_id=last)["credits"] == 2
    summary = enhance(run_id=last)
    assert (summary["landed"], summary["credits"]) == (2, 2)
    plain = files(s3)
    assert plain.keys() == marked.keys() and all(plain[key] != marked[key] for key in plain)
    assert [row["watermark"] for row in manifest(s3)] == [False, False]
    assert enhance(run_id="night-3")["skipped"] == 2
    books = autoenhance.ledger()
    assert (books["images_created"], books["credits"]["spent"]) == (2, 2)


def test_dev_mode_puts_no_watermark_over_what_was_bought(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, dev_mode: Callable[[bool], None]
) -> None:
    fill(s3, 2)
    enhance()
    plain = files(s3)
    dev_mode(True)
    assert enhance(run_id="night-2")["skipped"] == 2
    assert files(s3) == plain
    s3.client.delete_object(Bucket="enhanced", Key="maple/000.jpg")
    summary = enhance(run_id="night-3")
    assert (summary["landed"], summary["skipped"], summary["credits"]) == (1, 1, 0)
    assert [row["watermark"] for row in manifest(s3)] == [True, False]
    dev_mode(False)
    summary = enhance(run_id="night-4")
    assert (summary["landed"], summary["skipped"], summary["credits"]) == (1, 1, 0)
    assert files(s3) == plain
    books = autoenhance.ledger()
    assert (books["images_created"], books["credits"]["spent"]) == (2, 2)
