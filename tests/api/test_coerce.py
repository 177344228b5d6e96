"""Arguments as Jinja leaves them: values, and their text."""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import date, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from jinja2 import Undefined

from airflow_provider_autoenhance.api.coerce import (
    boolean,
    folder,
    groups,
    identifier,
    mapping,
    number_between,
    places,
    required,
    required_id,
    seconds,
    settings,
    text,
    texts,
    whole_number,
    without_fraction,
)
from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.imaging.output import OutputSpec


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


@pytest.mark.parametrize("value", [[True], "[['a']]", [b"a"], {"a": 1}, [{"a": 1}], object()])
def test_a_list_of_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match="include takes text, not"):
        texts("Task", "include", value)


@pytest.mark.parametrize(
    "value",
    [
        "<generator object do_map at 0x7fb9dc77f670>",
        "LazySelectSequence([2 items])",
        "LazyXComSequence(xcom_arg=XComArg(<Task(x): y>), ti=...)",
        "[ObjectStoragePath('b/a.jpg', protocol='s3')]",
        *map(
            str,
            (
                {"a": 1}.keys(),
                {1: "a.jpg"}.values(),
                {1: "a"}.items(),
                frozenset({"a"}),
                frozenset(),
                set(),
                deque(["a"]),
                deque(maxlen=3),
                array("d", [1.0]),
                range(3),
                b"a.jpg",
                b"it's",
                bytearray(b"a"),
                OrderedDict(a=1),
                Counter("a"),
                defaultdict(list),
                map,
                [Decimal(1)],
                [date(2026, 2, 1)],
                [UUID(int=1)],
                {UUID(int=1)},
            ),
        ),
        "['a.jpg' 'b.jpg']",
        "['a.jpg'\n 'b.jpg']",
        "[['a' 'b']]",
        "array(['a.jpg', 'b.jpg'], dtype='<U5')",
        "[np.str_('a.jpg'), np.str_('b.jpg')]",
        "Index(['a', 'b'], dtype='object')",
    ],
)
def test_the_name_of_an_object_is_not_its_content(value: str) -> None:
    for read in (texts, places, text):
        with pytest.raises(SettingsError, match="rendered to .* an object's name"):
            read("Task", "include", value)


@pytest.mark.parametrize(
    "value",
    [
        "[ab]*.jpg", "[ab](1).jpg", "[ab] copy(1).jpg", "Kitchen(1)", "Maple (2)", "IMG_(final).jpg", "set(1).jpg", "range(1)/*", "b*.jpg",
        "{a}", "(1)", "Maple((2))", "b'", "*(old)*", "deque.jpg", "<b>", "[a'b]*.jpg", "['*.jpg",
    ],
)  # fmt: skip
def test_a_pattern_is_not_taken_for_an_object(value: str) -> None:
    assert texts("Task", "include", value) == (value,)
    assert text("Task", "name", value) == value


@pytest.mark.parametrize("value", [{"a.jpg": 1}, {}, ["a.jpg", math.nan], ("a.jpg", ...), {"a.jpg", math.inf}])
def test_what_is_printed_and_cannot_be_read_back_is_not_a_pattern(value: Any) -> None:
    for read in (texts, places):
        with pytest.raises(SettingsError, match="include takes text"):
            read("Task", "include", str(value))


def test_a_pattern_is_one_line() -> None:
    assert texts("Task", "include", " *.jpg\n") == ("*.jpg",)
    for value in ("a.jpg\nb.jpg", ["a.jpg\r\nb.jpg"], "['a.jpg\\nb.jpg']"):
        with pytest.raises(SettingsError, match="each of include is one line"):
            texts("Task", "include", value)


def test_a_list_of_paths_may_be_text() -> None:
    assert places("Task", "source", str([PurePosixPath("/a b/1.jpg"), "/c/"])) == ["/a b/1.jpg", "/c/"]


def test_what_jinja_leaves_undefined_is_nothing() -> None:
    undefined = Undefined(name="nothing")
    assert text("Task", "name", undefined) is None
    assert texts("Task", "include", undefined) == ()
    assert whole_number("Task", "max_images", undefined) is None
    assert mapping("Task", "metadata", undefined) == {}


def test_what_tables_hold_for_nothing_is_nothing() -> None:
    for value in (math.nan, Decimal("nan")):
        assert text("Task", "order_id", value) is None
        assert texts("Task", "include", [value, "a"]) == ("a",)
        with pytest.raises(SettingsError, match="order_id is empty"):
            required("Task", "order_id", value)
        with pytest.raises(SettingsError, match="max_credits takes a whole number"):
            whole_number("Task", "max_credits", value)


def test_text_is_not_a_number_without_end() -> None:
    for value in (math.inf, -math.inf):
        with pytest.raises(SettingsError, match="order_id takes text"):
            text("Task", "order_id", value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(90, 90.0), ("90", 90.0), (timedelta(minutes=2), 120.0), (0.5, 0.5), (0, 0.0)],
        *[("0:02:00", 120.0), ("1 day, 0:00:01", 86401.0), ("2 days, 1:00:00.500000", 176400.5)],
    ],
)
def test_a_duration_is_seconds_or_a_timedelta(value: Any, expected: float) -> None:
    assert seconds("Task", "timeout", value) == expected


@pytest.mark.parametrize("value", [-1, "soon", None, "nan", "inf", True, [], timedelta(seconds=-1), "1_0"])
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


def test_forms_make_floats_of_whole_numbers() -> None:
    assert whole_number("Task", "max_images", 3.0) == whole_number("Task", "max_images", "3.0") == 3


@pytest.mark.parametrize("value", ["1.5", "-1", "many", True, "²"])
def test_a_whole_number_is_nothing_else(value: Any) -> None:
    with pytest.raises(SettingsError, match="Task: max_images takes a whole number"):
        whole_number("Task", "max_images", value)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint16, np.float32, np.float64, Decimal, int, float])
def test_numbers_of_tables_are_numbers(kind: Any) -> None:
    three = kind(3)
    assert (whole_number("Task", "n", three), seconds("Task", "t", three), without_fraction(three)) == (3, 3.0, 3)
    assert number_between(0, 5)("Task", "n", three) == 3
    found = mapping("Task", "m", {"rating": three, "many": [three, {"deep": three}], "text": np.str_("a")})
    assert json.loads(json.dumps(found)) == {"rating": 3, "many": [3, {"deep": 3}], "text": "a"}
    assert settings("Task", "settings", {"rating": three}) == {"rating": 3}
    for value in (kind(0), kind(1)):
        assert texts("Task", "include", [value])[0] in ("0", "0.0", "1", "1.0")


def test_what_else_tables_hold() -> None:
    assert texts("Task", "include", np.array(["a.jpg", "b.jpg"])) == ("a.jpg", "b.jpg")
    assert (boolean("Task", "preview", np.bool_(True)), text("Task", "id", np.str_("a"))) == (True, "a")
    assert text("Task", "day", np.datetime64("2026-02-01")) == "2026-02-01"
    assert seconds("Task", "timeout", np.timedelta64(90, "s")) == 90.0
    assert text("Task", "id", np.int64(20260201)) == "20260201"
    for nothing in (np.float64("nan"), np.float32("nan"), Decimal("nan")):
        assert text("Task", "id", nothing) is None
    assert whole_number("Task", "n", Decimal("1E+2")) == 100
    with pytest.raises(SettingsError):
        whole_number("Task", "n", np.float32(1.5))
    with pytest.raises(SettingsError):
        whole_number("Task", "n", np.bool_(True))


def test_times_of_numpy_keep_their_unit() -> None:
    for value in (np.timedelta64(90 * 10**9, "ns"), np.timedelta64(9 * 10**9, "10ns"), np.timedelta64(90_000, "ms")):
        assert seconds("Task", "timeout", value) == 90.0
    assert text("Task", "day", np.datetime64("2026-02-01T03:00:00", "ns")) == "2026-02-01 03:00:00"
    for value in (np.timedelta64(1, "M"), np.timedelta64(90), np.timedelta64("NaT")):
        with pytest.raises(SettingsError, match="timeout takes seconds"):
            seconds("Task", "timeout", value)


class NAType:
    """Stands for that of pandas, which the tests do without."""

    def __str__(self) -> str:
        return "<NA>"


@pytest.mark.parametrize("value", ["null", "nan", "NaN", "<NA>", "NaT", "none", "NULL", " nan ", NAType()])
def test_an_id_is_never_spelled_like_nothing(value: Any) -> None:
    assert identifier("Task", "order_id", value) is None
    with pytest.raises(SettingsError, match="image_id is empty"):
        required_id("Task", "image_id", value)
    assert settings("Task", "settings", {"preset_id": value}) == {}
    for rows in ([[value]], [["a", value]], [["a"], [value]]):
        with pytest.raises(SettingsError, match="groups takes a list of bracket ids"):
            groups("Task", "groups", rows)
    with pytest.raises(SettingsError, match="max_credits takes a whole number"):  # nothing would be no limit
        whole_number("Task", "max_credits", value)


def test_a_name_may_be_spelled_like_nothing() -> None:
    assert (text("Task", "name", "Nan"), texts("Task", "paths", ["null", "nan"])) == ("Nan", ("null", "nan"))


def test_numbers_are_not_read_as_python_reads_its_own() -> None:
    for quality in ("1_0", "8_5"):
        with pytest.raises(SettingsError, match="output quality takes a number"):
            OutputSpec(quality=quality)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="'rating' takes a whole number"):
        settings("Task", "settings", {"rating": "²"})


def test_the_name_of_a_path_may_end_in_a_space() -> None:
    path = PurePosixPath("/photos/maple ")
    assert (text("Task", "source", path), places("Task", "source", [path])) == ("/photos/maple ", ["/photos/maple "])
    assert folder("Task", "destination", path) == "/photos/maple /"
    assert places("Task", "source", "s3://photos/maple / ") == "s3://photos/maple /"
