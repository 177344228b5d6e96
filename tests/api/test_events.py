"""Events of triggers, as other versions and hands may have written them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_autoenhance.api import errors
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


def test_an_error_keeps_its_class_and_words() -> None:
    event: Any = {"error": "NotFoundError", "message": "image 1 is gone"}
    error = error_of(event)
    assert (type(error), str(error)) == (errors.NotFoundError, "image 1 is gone")
    assert error_of({"orders": ["o"]}) is None
    assert result_of({"image": {"image_id": "i"}}) == {"image_id": "i"}
