"""What tasks return and push, and how long they wait: the same rules for every operator and sensor."""

from __future__ import annotations

import inspect
import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, BaseOperator, TaskDeferred
from airflow.triggers.base import BaseTrigger

import airflow_provider_autoenhance as face
from airflow_provider_autoenhance import (
    AutoenhanceHook,
    AutoenhanceOrderEventTrigger,
    AutoenhanceUploadImageOperator,
    RateLimitError,
    ServerError,
)
from airflow_provider_autoenhance.api.events import error_event
from airflow_provider_autoenhance.hooks import DEFAULT_POLL_INTERVAL
from tests.support.batch import operator
from tests.support.photos import photo, upload
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run

PUBLIC = [getattr(face, name) for name in face.__all__]
TASKS = [each for each in PUBLIC if isinstance(each, type) and issubclass(each, BaseOperator)]
WAITING = [
    each for each in TASKS if "timeout" in inspect.signature(each.__init__).parameters or "Sensor" in each.__name__
]


@pytest.fixture
def image_id(autoenhance: Sandbox, short_waits: None) -> str:
    """An image that is enhanced, alone in an order."""
    autoenhance.settings(processing_seconds=[0, 0])
    hook = AutoenhanceHook()
    made = hook.create_image("maple/kitchen.jpg", order_id="order-1")
    upload(hook, made, photo())
    while hook.get_image(made.image.image_id).status.value != "processed":
        pass
    return made.image.image_id


def tasks(image_id: str, folder: Path) -> list[tuple[Any, str, Any]]:
    """Return each task that needs nothing but that image, with the key that its result has, and the value."""
    (folder / "kitchen.jpg").write_bytes(photo())
    (folder / "in").mkdir()
    image, order = {"image_id": image_id}, {"order_id": "order-1"}
    file = str(folder / "kitchen.jpg")
    created = run(face.AutoenhanceCreateImageOperator(task_id="c", image_name="hall.jpg", source=file))
    exposure = run(face.AutoenhanceCreateBracketOperator(task_id="b", bracket_name="b.jpg", **order))
    about: dict[type, tuple[dict[str, Any], str, Any]] = {
        face.AutoenhanceCreateImageOperator: ({"image_name": "porch.jpg"}, "image_id", None),
        AutoenhanceUploadImageOperator: (
            {"source": file, "image_id": created["image_id"], "upload_url": created["upload_url"]},
            "image_id",
            created["image_id"],
        ),
        face.AutoenhanceReprocessImageOperator: (image | {"wait_for_completion": False}, "image_id", image_id),
        face.AutoenhancePremiumEditOperator: (
            {"image_ids": image_id, "wait_for_completion": False},
            "parent_image_ids",
            [image_id],
        ),
        face.AutoenhanceImageStatusSensor: (image | {"poke_interval": 0.05, "timeout": 20}, "image_id", image_id),
        face.AutoenhanceDownloadImageOperator: (image | {"destination": f"{folder}/out/"}, "image_id", image_id),
        face.AutoenhanceReportImageOperator: (image | {"categories": ["HDR"]}, "image_id", image_id),
        face.AutoenhanceCreateBracketOperator: (order | {"bracket_name": "a.jpg"}, "bracket_id", None),
        face.AutoenhanceUploadBracketOperator: (exposure | {"source": file}, "bracket_id", exposure["bracket_id"]),
        face.AutoenhanceCreateOrderOperator: ({"name": "elm"}, "order_id", None),
        face.AutoenhanceUpdateOrderOperator: (order | {"name": "oak"}, "order_id", "order-1"),
        face.AutoenhanceDownloadOrderOperator: (order | {"destination": f"{folder}/order/"}, "order_id", "order-1"),
        face.AutoenhanceOrderStatusSensor: (order | {"poke_interval": 0.05, "timeout": 20}, "order_id", "order-1"),
        face.AutoenhanceProcessOrderOperator: (order | {"wait_for_completion": False}, "order_id", "order-1"),
        face.AutoenhanceEnhanceOperator: (
            {"source": f"{folder}/in", "destination": f"{folder}/out"},
            "source",
            f"{folder}/in",
        ),
        face.AutoenhanceDeleteImageOperator: (image, "image_id", image_id),
        face.AutoenhanceDeleteOrderOperator: (order, "order_id", "order-1"),
    }
    assert set(about) == set(TASKS), "a new operator or sensor belongs in here"
    return [(kind, arguments, (key, value)) for kind, (arguments, key, value) in about.items()]  # type: ignore[misc]


def test_every_result_is_an_object_with_an_id_and_each_key_is_an_xcom(image_id: str, tmp_path: Path) -> None:
    for kind, arguments, (key, value) in tasks(image_id, tmp_path):
        task = kind(task_id="task", **arguments)
        around = context(task)
        result = task.execute(around)
        assert result[key] == (value or result[key]), kind
        pushed = around["ti"].xcom
        assert {name: pushed[name] for name in result if result[name] is not None} == {
            name: each for name, each in result.items() if each is not None
        }, kind
        for name in ("images", "photos", "processed", "landed", "failed"):
            assert isinstance(result.get(name, 0), int), (kind, name)
        for name in ("failures", "image_ids", "order_ids"):
            assert isinstance(result.get(name, []), list), (kind, name)


def test_a_task_that_is_to_push_nothing_pushes_nothing(image_id: str, tmp_path: Path) -> None:
    for kind, arguments, _ in tasks(image_id, tmp_path):
        task = kind(task_id="task", do_xcom_push=False, **arguments)
        around = context(task)
        assert task.execute(around), kind
        assert around["ti"].xcom == {}, kind


def test_nor_does_it_after_a_wait(image_id: str, s3: SimpleNamespace) -> None:
    s3.put("maple/a.jpg", photo())
    image = {"image": {"image_id": image_id}}
    batch = {"source": "s3://listings/maple/", "destination": "s3://enhanced/maple/", "poll_interval": 0.05}
    for kind, arguments, event in (
        (face.AutoenhanceImageStatusSensor, {"image_id": image_id}, image),
        (face.AutoenhanceReprocessImageOperator, {"image_id": image_id}, image),
        (face.AutoenhanceOrderStatusSensor, {"order_id": "order-1"}, {"orders": ["order-1"]}),
        (face.AutoenhanceProcessOrderOperator, {"order_id": "order-1"}, {"orders": ["order-1"]}),
        (face.AutoenhanceEnhanceOperator, batch, {"orders": []}),
    ):
        task = kind(task_id="task", do_xcom_push=False, **arguments)
        around = context(task)
        assert task.execute_complete(around, event), kind
        assert around["ti"].xcom == {}, kind


def test_what_waits_polls_alike() -> None:
    assert len(WAITING) == 6
    for kind in PUBLIC:
        if isinstance(kind, type) and issubclass(kind, BaseTrigger) and kind is not AutoenhanceOrderEventTrigger:
            parameters = inspect.signature(kind.__init__).parameters
            assert parameters["poll_interval"].default == DEFAULT_POLL_INTERVAL
            assert {each.kind for name, each in parameters.items() if name != "self"} == {
                inspect.Parameter.KEYWORD_ONLY
            }
    for kind in WAITING:
        ids = {name: name for name in ("image_id", "order_id", "source", "destination") if takes(kind, name)}
        task = kind(task_id="task", **ids)
        assert (
            getattr(task, "poke_interval" if takes(kind, "poke_interval") else "poll_interval") == DEFAULT_POLL_INTERVAL
        )


def takes(kind: type, name: str) -> bool:
    return any(name in inspect.signature(each.__init__).parameters for each in kind.__mro__[:4])


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("timeout", [timedelta(seconds=0.05), "0.05", 0.05], ids=repr)
def test_a_timeout_is_seconds_or_a_timedelta(autoenhance: Sandbox, timeout: Any, deferrable: bool) -> None:
    autoenhance.settings(processing_seconds=[60, 60])
    hook = AutoenhanceHook()
    made = hook.create_image("a.jpg", order_id="order-1")
    upload(hook, made, photo())
    options = {"timeout": timeout, "deferrable": deferrable}
    task = face.AutoenhanceReprocessImageOperator(
        task_id="task", image_id=made.image.image_id, poll_interval=0.05, **options
    )
    with pytest.raises(TaskDeferred if deferrable else AirflowSensorTimeout):
        run(task, try_number=2)


@pytest.mark.parametrize("timeout", [-1, "soon", None, True])
@pytest.mark.parametrize("kind", [face.AutoenhanceReprocessImageOperator, face.AutoenhanceProcessOrderOperator])
def test_a_bad_timeout_is_refused_before_anything_is_sent(autoenhance: Sandbox, kind: Any, timeout: Any) -> None:
    ids = {"image_id": "i"} if kind is face.AutoenhanceReprocessImageOperator else {"order_id": "o"}
    with pytest.raises(AirflowFailException, match="timeout takes seconds or a timedelta"):
        run(kind(task_id="task", timeout=timeout, **ids))
    assert autoenhance.ledger()["requests"] == {}


def test_what_a_failed_wait_asks_for_reaches_the_retry_policy(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    autoenhance.settings(processing_seconds=[60, 60])
    s3.put("maple/a.jpg", photo())
    task = operator(deferrable=True)
    with pytest.raises(TaskDeferred):
        run(task)
    refused = error_event(RateLimitError("order o: too many requests", status_code=429, retry_after=90.0))
    with pytest.raises(ServerError, match="too many requests") as raised:
        task.execute_complete(context(task), json.loads(json.dumps(refused)))
    assert (raised.value.status_code, raised.value.retry_after) == (429, 90.0)
