"""Retries by meaning: on Airflow 3.3 through the policy, below it through ``AirflowFailException``."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowOptionalProviderFeatureException,
    AirflowSkipException,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.images import AutoenhanceDeleteImageOperator, AutoenhanceReportImageOperator
from airflow_provider_autoenhance.policies.retry import AutoenhanceRetryPolicy
from airflow_provider_autoenhance.sensors.status import AutoenhanceImageStatusSensor
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run, run_dag_file

DAGS = Path(__file__).parents[1] / "support" / "dags"
only_3_3 = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="retry policies came with Airflow 3.3")
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AutoenhanceError)]


def decide(exception: BaseException, **options: Any) -> tuple[str, float | None]:
    """Return the policy's action and its delay in seconds."""
    decision = AutoenhanceRetryPolicy(**options).evaluate(exception, 1, 3, None)
    return decision.action.value, decision.retry_delay and decision.retry_delay.total_seconds()


@only_3_3
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_retried_as_its_class_says(kind: type[errors.AutoenhanceError]) -> None:
    assert decide(kind("what happened")) == (("retry", None) if kind.retryable else ("fail", None))


@only_3_3
def test_a_wait_that_was_asked_for_is_kept() -> None:
    assert decide(errors.RateLimitError("slow down", status_code=429, retry_after=90)) == ("retry", 90)
    assert decide(errors.ServerError("maintenance", status_code=503, retry_after=600)) == ("retry", 600)
    assert decide(errors.RateLimitError("now", retry_after=0)) == ("retry", 1)
    assert decide(errors.RateLimitError("next year", retry_after=3e7)) == ("retry", 6 * 3600)
    for nonsense in (float("inf"), float("nan"), -5.0):
        assert decide(errors.RateLimitError("never", retry_after=nonsense)) == ("retry", 1)
    assert decide(errors.RateLimitError("in an age", retry_after=1e300)) == ("retry", 6 * 3600)
    assert decide(errors.RateLimitError("later", retry_after=90), longest_delay=timedelta(seconds=20)) == ("retry", 20)


@only_3_3
def test_errors_of_others_are_left_to_airflow() -> None:
    assert decide(ValueError("mine")) == ("default", None)


@only_3_3
def test_equal_file_names_wait_an_hour(autoenhance: Sandbox, short_waits: None) -> None:
    autoenhance.settings(same_name_limit=2)
    hook = AutoenhanceHook()
    for _ in range(2):
        hook.create_image("DSC0001.jpg")
    with pytest.raises(errors.RateLimitError) as refused:
        hook.create_image("DSC0001.jpg")
    assert decide(refused.value) == ("retry", 3600)
    autoenhance.settings(retry_after=120)
    with pytest.raises(errors.RateLimitError) as refused:
        hook.create_image("DSC0001.jpg")
    assert decide(refused.value) == ("retry", 120)


@only_3_3
def test_it_survives_being_serialized() -> None:
    policy = AutoenhanceRetryPolicy(longest_delay=timedelta(minutes=5))
    again = AutoenhanceRetryPolicy.deserialize(json.loads(json.dumps(policy.serialize())))
    assert again.longest_delay == timedelta(minutes=5)


@only_3_3
def test_an_error_reaches_the_policy_with_its_class(autoenhance: Sandbox) -> None:
    arguments: dict[str, Any] = {"task_id": "report", "image_id": "unknown", "categories": ["HDR"], "comment": "dark"}
    with pytest.raises(AirflowFailException, match="NotFoundError"):
        run(AutoenhanceReportImageOperator(**arguments))
    with pytest.raises(errors.NotFoundError) as raised:
        run(AutoenhanceReportImageOperator(**arguments, retry_policy=AutoenhanceRetryPolicy()))
    assert decide(raised.value) == ("fail", None)


@only_3_3
def test_a_sensor_that_is_to_be_skipped_is_skipped() -> None:
    policy = AutoenhanceRetryPolicy()
    sensor = AutoenhanceImageStatusSensor(task_id="wait", image_id="i", soft_fail=True, retry_policy=policy)
    gone = {"event": {"error": "NotFoundError", "message": "gone"}}
    with pytest.raises(AirflowSkipException):
        sensor.resume_execution("execute_complete", gone, context(sensor))


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="Airflow 3.3 has retry policies")
def test_below_3_3_it_says_what_to_do_instead(autoenhance: Sandbox) -> None:
    with pytest.raises(AirflowOptionalProviderFeatureException, match=r"needs Airflow 3\.3 or later"):
        AutoenhanceRetryPolicy(longest_delay=timedelta(hours=1))
    delete = AutoenhanceDeleteImageOperator(task_id="delete", image_id="{{ params.image }}")
    delete.image_id = " "  # as the template renders
    with pytest.raises(AirflowFailException, match="SettingsError"):
        delete.execute(context(delete))


@pytest.fixture
def one_attempt(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The hook does not repeat requests, so that errors reach Airflow soon."""
    connection = json.loads(os.environ["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"])
    extra = connection.get("extra") or {}
    connection["extra"] = {**(json.loads(extra) if isinstance(extra, str) else extra), "max_attempts": 1}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
    return autoenhance


@pytest.mark.parametrize(
    ("status", "tries", "error"),
    [(402, 1, "NoCreditsError"), (422, 1, "InvalidRequestError"), (503, 3, "ServerError")],
)
def test_on_a_real_airflow(
    status: int, tries: int, error: str, one_attempt: Sandbox, airflow_db: None, tmp_path: Path
) -> None:
    """What cannot be helped is not tried again; what may pass is. With a policy, callbacks see the error's own class."""
    one_attempt.faults([{"endpoint": "retrieve_image", "kind": status}])
    told = tmp_path / "told.jsonl"
    done = run_dag_file(DAGS / "retried_dag.py", f"2026-05-{status % 27 + 1:02}", {"told": str(told)})
    assert done.returncode == 1, done.stdout[-4000:]
    rows = [json.loads(line) for line in told.read_text().splitlines()]
    assert [row["what"] for row in rows] == ["try"] * tries + ["failed"]
    if AIRFLOW_V_3_3_PLUS:
        assert rows[-1]["error"] == error


@only_3_3
def test_a_real_airflow_waits_as_it_was_told(one_attempt: Sandbox, airflow_db: None, tmp_path: Path) -> None:
    one_attempt.faults([{"endpoint": "retrieve_image", "kind": 429, "retry_after": 3, "count": 1}])
    told = tmp_path / "told.jsonl"
    done = run_dag_file(DAGS / "retried_dag.py", "2026-05-31", {"told": str(told)})
    rows = [json.loads(line) for line in told.read_text().splitlines()]
    assert [row["what"] for row in rows] == ["try", "try", "failed"], done.stdout[-4000:]
    with closing(sqlite3.connect(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db")) as database:
        query = "select retry_delay_override, retry_reason from task_instance_history where dag_id = 'retried_dag'"
        assert (3.0, "RateLimitError: asks to wait 3 s") in list(database.execute(query))
