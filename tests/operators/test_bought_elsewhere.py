"""Photos that somebody has bought elsewhere, in the web app or by a single download: who answers for their credit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import DestinationFullError
from airflow_provider_autoenhance.operators.images import AutoenhanceDownloadImageOperator
from airflow_provider_autoenhance.storage.s3 import S3Destination
from tests.support.batch import fill, manifest, operator
from tests.support.sandbox import Sandbox
from tests.support.tasks import run


def pick(image_id: str) -> int:
    """Buy one image, as a customer's choice does."""
    it = AutoenhanceDownloadImageOperator(
        task_id="pick", image_id=image_id, destination="s3://enhanced/picked/", preview=False
    )
    return int(run(it)["credit_spent"])


def credits_of(s3: SimpleNamespace) -> tuple[int, int]:
    rows = manifest(s3)
    return sum(row["credits"] for row in rows), sum(row["credit_spent"] for row in rows)


def test_plan_summary_manifest_and_account_agree_on_what_a_customer_has_picked(
    s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 3)
    run(operator(preview=True), run_id="night-1")
    spent = pick(autoenhance.ledger()["images"][0]["image_id"])
    plan = run(operator(plan_only=True), run_id="night-2")
    done = run(operator(), run_id="night-2")
    assert (spent, plan["credits"], done["credits"]) == (1, 2, 2)
    assert credits_of(s3) == (3, 2)
    assert autoenhance.ledger()["credits"]["spent"] == spent + done["credits"]
    assert run(operator(), run_id="night-2", try_number=2)["credits"] == 2  # cleared


def test_a_try_answers_for_what_the_one_before_it_bought_and_not_for_what_others_have(
    s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3, 3)
    run(operator(preview=True), run_id="night-1")
    pick(autoenhance.ledger()["images"][0]["image_id"])

    def full(self: S3Destination, body: Any, **about: Any) -> Any:
        body.read(10)  # it is bought
        raise DestinationFullError(f"{self.uri}: the destination is full.")

    with monkeypatch.context() as patch:
        original = S3Destination.write
        patch.setattr(
            S3Destination,
            "write",
            lambda self, body, **about: (full if self.uri.endswith(".jpg") else original)(self, body, **about),
        )
        with pytest.raises(Exception, match="full"):
            run(operator(concurrency=1), run_id="night-2")
    bought = autoenhance.ledger()["credits"]["spent"] - 1
    done = run(operator(), run_id="night-2", try_number=2)
    assert done["credits"] == autoenhance.ledger()["credits"]["spent"] - 1 == 2, bought
    assert credits_of(s3) == (3, 2)


def test_a_limit_of_credits_is_not_used_up_by_what_others_have_bought(
    s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 3)
    run(operator(preview=True), run_id="night-1")
    pick(autoenhance.ledger()["images"][0]["image_id"])
    for try_number in (1, 2):
        done = run(operator(max_credits=1), run_id="night-2", try_number=try_number)
        assert (done["landed"], done["held"], done["credits"]) == (2, 1, 1)
