"""Arguments as Jinja leaves them: values, and their text."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_autoenhance.api.coerce import boolean, mapping, required, seconds, texts, whole_number
from airflow_provider_autoenhance.api.errors import SettingsError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (("a.jpg", "", "b.jpg"), ("a.jpg", "b.jpg")),
        ("*.jpg", ("*.jpg",)),
        ("['a.jpg', 'b.jpg']", ("a.jpg", "b.jpg")),
        ('["a.jpg", "b.jpg"]', ("a.jpg", "b.jpg")),
        ("[ab]*.jpg", ("[ab]*.jpg",)),
        ("[]", ()),
        ("None", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_a_list_may_be_text(value: Any, expected: tuple[str, ...]) -> None:
    assert texts("Task", "include", value) == expected


@pytest.mark.parametrize("value", [[1], "[1, 2]", "[['a']]"])
def test_a_list_of_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match="Task: include takes a list of texts"):
        texts("Task", "include", value)


@pytest.mark.parametrize(
    ("value", "expected"), [(90, 90.0), ("90", 90.0), (timedelta(minutes=2), 120.0), (0.5, 0.5), (0, 0.0)]
)
def test_a_duration_is_seconds_or_a_timedelta(value: Any, expected: float) -> None:
    assert seconds("Task", "timeout", value) == expected


@pytest.mark.parametrize("value", [-1, "soon", None, "nan", "inf", True, [], timedelta(seconds=-1)])
def test_anything_else_is_not_a_duration(value: Any) -> None:
    with pytest.raises(SettingsError, match="Task: timeout takes seconds or a timedelta"):
        seconds("Task", "timeout", value)


@pytest.mark.parametrize("value", [{"a": 1}, '{"a": 1}', "{'a': 1}"])
def test_an_object_may_be_text(value: Any) -> None:
    assert mapping("Task", "metadata", value) == {"a": 1}


@pytest.mark.parametrize("value", ["[1]", "a", 3, [1]])
def test_anything_else_is_not_an_object(value: Any) -> None:
    with pytest.raises(SettingsError, match="Task: metadata takes an object"):
        mapping("Task", "metadata", value)


def test_empty_arguments_are_nothing() -> None:
    assert mapping("Task", "metadata", "None") == mapping("Task", "metadata", None) == {}
    assert whole_number("Task", "max_images", "") is whole_number("Task", "max_images", None) is None
    for nothing in ("", None, " None "):
        with pytest.raises(SettingsError, match="Task: source is empty"):
            required("Task", "source", nothing)


def test_a_bool_is_never_guessed() -> None:
    assert boolean("Task", "preview", "True") and not boolean("Task", "preview", " false ")
    for odd in ("", "yes", None, 1):
        with pytest.raises(SettingsError, match="Task: preview takes true or false"):
            boolean("Task", "preview", odd)


@pytest.mark.parametrize("value", ["1.5", "-1", "many", True])
def test_a_whole_number_is_nothing_else(value: Any) -> None:
    with pytest.raises(SettingsError, match="Task: max_images takes a whole number"):
        whole_number("Task", "max_images", value)
