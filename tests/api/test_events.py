"""Events of triggers, as other versions and hands may have written them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.events import error_event, reported_error
from airflow_provider_autoenhance.triggers.images import result_of
from airflow_provider_autoenhance.triggers.orders import error_of

ODD = [
    *(None, {}, [], "image", "orders", 7, True, {"error": "NotFoundError"}, {"error": 7, "message": 7}, {"message": ""}),
    *({"error": name, "message": "gone"} for name in ("annotations", "Any", "ClassVar", "one_line", "__name__", "KeyError", "")),
    *({name: value} for name in ("image", "orders") for value in (None, "x", 7, {"image_id": 7}, {"a": 1})),
]  # fmt: skip


@pytest.mark.parametrize("event", ODD, ids=repr)
def test_an_event_of_another_shape_is_an_error_of_ours(event: Any) -> None:
    error = error_of(event)
    assert isinstance(error, errors.AutoenhanceError)
    assert str(error)
    with pytest.raises(errors.AutoenhanceError, match=r"."):
        result_of(event)


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AutoenhanceError)]
number = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(st.text(), st.none() | st.integers(100, 599), st.none() | number, st.booleans(), number)
def test_every_error_comes_back_whole(
    kind: type[errors.AutoenhanceError], words: str, status: int | None, retry: float | None, maybe: bool, waited: float
) -> None:
    error = kind(words or "it failed")
    error.status_code, error.retry_after = status, retry
    if isinstance(error, errors.UnreachableError):
        error.maybe_received, error.waited = maybe, waited
    event = json.loads(json.dumps(error_event(error)))
    with pytest.raises(kind) as raised:
        result_of(event)
    for again in (error_of(event), raised.value):
        assert type(again) is kind
        assert vars(again) == vars(error)
        assert str(again) == (str(error) or str(reported_error(None)))


@pytest.mark.parametrize("value", [math.inf, math.nan, "60", True, [60], {}, None])
def test_a_wait_that_is_not_a_number_is_left_out(value: Any) -> None:
    error = errors.RateLimitError("too fast")
    error.retry_after = value
    told: Any = {**error_event(error), "details": {"retry_after": value, "args": ["x"], "retryable": False}}
    for event in (error_event(error), told):
        again = reported_error(event)
        assert (again.retry_after, again.retryable, str(again)) == (None, True, "too fast")


def test_an_error_keeps_its_class_and_words() -> None:
    event: Any = {"error": "NotFoundError", "message": "image 1 is gone"}
    error = error_of(event)
    assert (type(error), str(error)) == (errors.NotFoundError, "image 1 is gone")
    assert error_of({"orders": ["o"]}) is None
    assert result_of({"image": {"image_id": "i"}}) == {"image_id": "i"}
