"""What people hand to arguments, and what is made of it, for every operator and sensor of the public face."""

from __future__ import annotations

import inspect
import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath, task_group

import airflow_provider_autoenhance as face
from airflow_provider_autoenhance.api import coerce
from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.settings import wire_settings
from airflow_provider_autoenhance.api.versions import DEFAULT_VERSION
from airflow_provider_autoenhance.decorators.autoenhance import AutoenhanceDecoratedOperator, autoenhance_task
from airflow_provider_autoenhance.operators.base import AutoenhanceMixin
from airflow_provider_autoenhance.operators.enhance import allowed_failures
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import context, run_dag_file

DAGS = Path(__file__).parents[1] / "support" / "dags"


def public_tasks() -> Iterator[type[Any]]:
    for name in face.__all__:
        found = getattr(face, name)
        if isinstance(found, type) and issubclass(found, AutoenhanceMixin):
            yield found


def own_arguments(task: type[Any]) -> dict[str, inspect.Parameter]:
    """Return the arguments that this provider adds to Airflow's."""
    found: dict[str, inspect.Parameter] = {}
    for each in task.__mro__:
        if each.__module__.startswith("airflow_provider_autoenhance") and "__init__" in vars(each):
            found |= inspect.signature(vars(each)["__init__"]).parameters
    return {name: each for name, each in found.items() if each.kind is inspect.Parameter.KEYWORD_ONLY}


TASKS = list(public_tasks())

#: A valid value for each argument that a task cannot do without.
NEEDED = {
    "source": "s3://listings/maple/", "destination": "s3://enhanced/maple/", "upload_url": "", "categories": ["NOISE"],
}  # fmt: skip

#: Of arguments that take a few words only.
VALID = {"categories": ["NOISE", "HDR"], "group_by": ["all"], "on_existing": ["redownload"], "variant": ["original"]}

ARGUMENTS = [(task, name) for task in TASKS for name in own_arguments(task)]


def read_by(*readers: Callable[..., Any]) -> list[Any]:
    """Return the task and the name of each argument that is read in one of these ways, as parameters of a test."""
    return [
        pytest.param(task, name, id=f"{task.__name__}.{name}")
        for task, name in ARGUMENTS
        if any(task.readers()[name] is each for each in readers)
    ]


def listed() -> list[Any]:
    """Return the arguments that take lists: all that take a list of texts, or say so in their annotation."""
    found = []
    for task, name in ARGUMENTS:
        annotation = str(own_arguments(task)[name].annotation)
        if "Sequence[" in annotation and name not in ("groups", "output_spec"):
            found.append(pytest.param(task, name, id=f"{task.__name__}.{name}"))
    return found


def made(task: type[Any], *, native: bool = False, **options: Any) -> Any:
    """Return a task in a DAG, with what it needs."""
    needed = {
        name: NEEDED.get(name, "some-id")
        for name, each in own_arguments(task).items()
        if each.default is inspect.Parameter.empty or name == "destination"
    }
    with DAG("nightly", schedule=None, render_template_as_native_obj=native):
        return task(task_id="it", **needed | options)


def read(it: Any, name: str, /, **params: Any) -> Any:
    """Render a task's fields as Airflow does, and read its arguments as its work would."""
    about = {**context(it), "params": params, "ds_nodash": "20260201", "task": it}
    it.render_template_fields(about)
    with it.uncovered():
        it.read_arguments()
        return getattr(it, name)


#: Readers of one text.
ONE_TEXT = (coerce.text, coerce.required, coerce.identifier, coerce.required_id, coerce.file_or_folder)

BOTH = pytest.mark.parametrize("native", [False, True], ids=["text", "native"])


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_each_argument_has_its_reader(task: type[Any]) -> None:
    assert set(own_arguments(task)) == set(task.readers())
    assert set(task.template_fields) <= set(task.readers())


@BOTH
@pytest.mark.parametrize(("task", "name"), read_by(*ONE_TEXT))
def test_a_number_or_a_date_as_a_name_is_text(task: type[Any], name: str, native: bool) -> None:
    if name in VALID:
        return
    template = f"{{{{ params.{name} }}}}"
    for value, expected in [
        ("20260201", "20260201"), ("2026_02_01", "2026_02_01"), ("1e5", "1e5"), ("True", "True"), ("007", "007"),
        (20260201, "20260201"), (date(2026, 2, 1), "2026-02-01"), (" maple ", "maple"),
    ]:  # fmt: skip
        assert read(made(task, native=native, **{name: template}), name, **{name: value}) == expected
    assert read(made(task, native=native, **{name: "{{ ds_nodash }}"}), name) == "20260201"
    assert read(made(task, native=native, **{name: 20260201}), name) == "20260201"


@BOTH
@pytest.mark.parametrize(("task", "name"), read_by(*ONE_TEXT))
def test_what_renders_to_nothing_is_absent(task: type[Any], name: str, native: bool) -> None:
    if name in VALID:
        return
    optional = task.readers()[name] in (coerce.text, coerce.identifier)
    for value in (None, "", "None", " "):
        it = made(task, native=native, **{name: "{{ params.value }}"})
        if optional:
            assert read(it, name, value=value) is None
        else:
            with pytest.raises(SettingsError, match=f"{name} is empty"):
                read(it, name, value=value)
    if optional:
        assert read(made(task, native=native, **{name: None}), name) is None


@BOTH
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_a_connection_that_renders_to_nothing_is_the_default(task: type[Any], native: bool) -> None:
    it = made(task, native=native, autoenhance_conn_id="{{ params.value }}")
    assert read(it, "autoenhance_conn_id", value=None) == "autoenhance_default"


@BOTH
@pytest.mark.parametrize(("task", "name"), listed())
def test_a_list_is_a_list(task: type[Any], name: str, native: bool) -> None:
    entries = VALID.get(name, ["s3://listings/b.jpg", "s3://listings/a.jpg"])
    ordered = sorted(entries)
    for value, expected in [
        (entries, entries), (tuple(entries), entries), (set(entries), ordered), (frozenset(entries), ordered),
        (str(entries), entries), (str(tuple(entries)), entries), (dict.fromkeys(entries).keys(), entries),
    ]:  # fmt: skip
        assert list(read(made(task, native=native, **{name: value}), name)) == expected
        if not isinstance(value, frozenset) and not type(value).__name__.startswith("dict_"):
            it = made(task, native=native, **{name: "{{ params.value }}"})
            assert sorted(read(it, name, value=value)) == ordered
    assert list(read(made(task, native=native, **{name: (each for each in entries)}), name)) == entries
    assert list(read(made(task, native=native, **{name: entries[:1]}), name)) == entries[:1]
    it = made(task, native=native, **{name: ["{{ params.first }}", entries[1]]})
    assert list(read(it, name, first=entries[0])) == entries
    it = made(task, native=native, **{name: "{{ params.value | map('trim') }}"})
    if native:
        assert list(read(it, name, value=entries)) == entries
    else:
        with pytest.raises(SettingsError, match="an object's name and not its content"):
            read(it, name, value=entries)


@BOTH
@pytest.mark.parametrize(("task", "name"), listed())
def test_a_list_that_renders_to_nothing_is_empty(task: type[Any], name: str, native: bool) -> None:
    for value in (None, "", "None", [], ()):
        it = made(task, native=native, **{name: "{{ params.value }}"})
        if own_arguments(task)[name].default == ():
            assert read(it, name, value=value) == ()
        else:
            with pytest.raises(SettingsError, match=name):
                read(it, name, value=value)


def executed(it: Any, **params: Any) -> dict[str, Any]:
    """Render a task and execute it, as a worker would."""
    about = {**context(it), "params": params, "task": it}
    it.render_template_fields(about)
    return dict(it.execute(about))


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Any]:
    """A folder of two photos, as arguments."""
    for number, name in enumerate(("a.jpg", "b.jpg")):
        (tmp_path / name).write_bytes(photo(shade=60 + number))
    return {"source": f"{tmp_path}/", "destination": f"{tmp_path}/out/", "preview": False, "poll_interval": 0.1}


@BOTH
def test_paths_that_are_handed_over_empty_never_buy_the_folder(
    native: bool, autoenhance: Sandbox, pair: dict[str, Any]
) -> None:
    def refused(task: Any, **params: Any) -> None:
        with pytest.raises(AirflowFailException, match="paths (is an empty list; check the task|rendered to 'set)"):
            executed(task, **params)

    for template in ("{{ params.value }}", ["{{ params.value }}"]):
        for value in ([], "[]", None, "", "None", (), "()", [""], set()):
            if isinstance(template, str) or value in ("", None, "None"):
                refused(made(face.AutoenhanceEnhanceOperator, native=native, **pair, paths=template), value=value)
    with DAG("nightly", schedule=None, render_template_as_native_obj=native):
        mapped = face.AutoenhanceEnhanceOperator.partial(task_id="it", **pair).expand(paths=[["a.jpg"]])
        for value in ([], "[]", "", (), "None", set()):
            refused(mapped.unmap({"paths": value}))

        @autoenhance_task(**{name: each for name, each in pair.items() if name != "source"})
        def asks(paths: Any) -> dict[str, Any]:
            return {"source": pair["source"], "paths": paths}

        for value in ([], "[]", None, "", ()):
            refused(asks(value).operator)
    assert autoenhance.ledger()["requests"] == {}


def test_paths_that_are_left_out_in_the_dag_file_list_the_folder(autoenhance: Sandbox, pair: dict[str, Any]) -> None:
    operator = face.AutoenhanceEnhanceOperator
    left: list[dict[str, Any]] = [{}, {"paths": None}, {"paths": ()}]
    for given in left:
        assert executed(made(operator, **pair, **given, plan_only=True))["photos"] == 2
        with DAG("nightly", schedule=None):
            mapped = operator.partial(task_id="it", **pair, **given).expand(plan_only=[True])
        assert executed(mapped.unmap({"plan_only": True}))["photos"] == 2
    it = made(operator, **pair, paths="{{ params.value }}", plan_only=True)
    assert executed(it, value=["b.jpg"])["photos"] == 1


def test_what_can_be_gone_through_only_once_reaches_tasks_that_are_made_later(
    autoenhance: Sandbox, pair: dict[str, Any]
) -> None:
    once: list[Callable[[], Any]] = [
        lambda: (name for name in ["b.jpg"]), lambda: map(str, ["b.jpg"]), lambda: iter(["b.jpg"]),
        lambda: dict.fromkeys(["b.jpg"]).keys(), lambda: filter(None, ["b.jpg"]),
    ]  # fmt: skip
    for number, make in enumerate(once):
        with DAG("nightly", schedule=None):
            mapped = face.AutoenhanceEnhanceOperator.partial(task_id="it", **pair, exclude=make()).expand(
                plan_only=[True]
            )

            @autoenhance_task(destination=pair["destination"], exclude=make(), plan_only=True, task_id=f"asks_{number}")
            def asks() -> str:
                return str(pair["source"])

            other = asks.override(exclude=make()).override(retries=1)
            again = autoenhance_task(destination=pair["destination"])(asks.function).override(
                exclude=make(), plan_only=True
            )
            several = [asks().operator, asks().operator, *(each().operator for each in (other, other, again, again))]
        for it in (mapped.unmap({"plan_only": True}), mapped.unmap({"plan_only": True}), *several):
            assert executed(it)["photos"] == 1
    with pytest.raises(SettingsError, match="exclude takes text"), DAG("nightly", schedule=None):
        face.AutoenhanceEnhanceOperator.partial(task_id="it", **pair, exclude=iter([True]))


@BOTH
@pytest.mark.parametrize(
    "task", [each for each in TASKS if "settings" in each.readers()], ids=lambda task: task.__name__
)
def test_settings_that_render_to_nothing_are_not_set(task: type[Any], native: bool) -> None:
    names = ("preset_id", "enhance_type", "window_pull_type", "privacy", "ai_version")
    template = "{{ params.value }}"
    for value in (None, "", "None"):
        for given in (
            dict.fromkeys(names, template),
            {"restage": {"tvs": template}},
            str(dict.fromkeys(names)),
            dict.fromkeys(names),
        ):
            it = made(task, native=native, settings=given)
            assert read(it, "settings", value=value) in ({}, {"restage": {}})
    it = made(task, native=native, settings={"window_pull_type": "NONE", "preset_id": template})
    assert read(it, "settings", value="2026_02_01") == {"window_pull_type": "NONE", "preset_id": "2026_02_01"}
    it = made(task, native=native, settings={"extra": {"newer": "{{ 0.5 }}", "kept": None}, "ai_version": template})
    newer = 0.5 if native else "0.5"
    assert read(it, "settings", value="5.30") == {"extra": {"newer": newer, "kept": None}, "ai_version": "5.30"}
    it = made(task, native=native, settings="{{ params.value }}")
    with it.uncovered():
        found = read(it, "settings", value={"preset_id": 20260201, "enhance_type": None})
    assert wire_settings(found, version=DEFAULT_VERSION) == {"preset_id": "20260201"}


@BOTH
def test_numbers_of_tables_are_whole(native: bool) -> None:
    for name, value, expected in [
        ("brackets", 3.0, 3), ("brackets", "3.0", 3), ("max_failures", 5.0, 5), ("max_images", 3.0, 3), ("max_credits", "3.0", 3),
    ]:  # fmt: skip
        assert read(made(face.AutoenhanceEnhanceOperator, native=native, **{name: value}), name) == expected
        it = made(face.AutoenhanceEnhanceOperator, native=native, **{name: "{{ params.value }}"})
        assert int(read(it, name, value=value)) == expected
    for value, of_30 in [("5.0", 5), (" 5.0 ", 5), ("5.0%", 1), ("5%", 1), (5.0, 5)]:
        it = made(face.AutoenhanceEnhanceOperator, native=native, max_failures="{{ params.value }}")
        assert allowed_failures(read(it, "max_failures", value=value), 30) == of_30
    for name, value in [("brackets", 3.5), ("brackets", "1.0"), ("max_failures", "5.5"), ("max_failures", 0.05)]:
        with pytest.raises(SettingsError, match=name):
            made(face.AutoenhanceEnhanceOperator, native=native, **{name: value})


@BOTH
def test_groups_of_a_task_group_name_recursive(native: bool) -> None:
    for value in (False, "False", "false"):
        it = made(face.AutoenhanceEnhanceOperator, native=native, recursive="{{ params.value }}")
        assert read(it, "recursive", value=value) is False

    @task_group
    def each(source: Any, recursive: Any) -> None:
        face.AutoenhanceEnhanceOperator(task_id="it", source=source, destination="/out/", recursive=recursive)

    with DAG("nightly", schedule=None):
        each.expand_kwargs([{"source": "/in/", "recursive": False}])


def test_a_derived_class_may_set_its_arguments_late() -> None:
    class Derived(face.AutoenhanceEnhanceOperator):
        arguments: ClassVar[Any] = {"room": coerce.required}

        def __init__(self, *, room: Any, **options: Any) -> None:
            super().__init__(**options)
            self.room = room

    with DAG("nightly", schedule=None):
        it = Derived(task_id="it", source="/in/", destination="/out/", room=20260201)
    assert read(it, "room") == "20260201"

    class Placed(face.AutoenhanceEnhanceOperator):
        source: Any = ""

        def __init__(self, **options: Any) -> None:
            super().__init__(source="", destination=None, **options)
            self.source, self.destination = "/in/", "/out/"

    class Unplaced(face.AutoenhanceDownloadImageOperator):
        destination: Any = ""

        def __init__(self, **options: Any) -> None:
            super().__init__(destination=self.destination, **options)

    with DAG("nightly", schedule=None):
        it = Placed(task_id="placed")
        unplaced = Unplaced(task_id="unplaced", image_id="x")
        with pytest.raises(SettingsError, match="preview takes true or false"):
            Placed(task_id="wrong", preview="perhaps")
    assert read(it, "source") == "/in/"
    with pytest.raises(SettingsError, match="destination is empty"):
        read(unplaced, "destination")


@BOTH
def test_groups_and_outputs_are_lists_too(native: bool) -> None:
    ids = [["a", "b"], ["c"]]
    for value in (ids, str(ids), tuple(map(tuple, ids)), (iter(each) for each in ids)):
        assert read(made(face.AutoenhanceProcessOrderOperator, native=native, groups=value), "groups") == ids
    it = made(face.AutoenhanceProcessOrderOperator, native=native, groups="{{ params.ids }}")
    assert read(it, "groups", ids=ids) == ids
    for value in (["png", "webp"], ("png", "webp"), "['png', 'webp']", '["png", "webp"]'):
        it = made(face.AutoenhanceEnhanceOperator, native=native, output_spec="{{ params.value }}")
        assert [each.format for each in read(it, "output_spec", value=value)] == ["png", "webp"]


def path_arguments() -> list[Any]:
    """Return the arguments that name places."""
    return [
        pytest.param(task, name, id=f"{task.__name__}.{name}")
        for task, name in ARGUMENTS
        if name in ("source", "destination", "paths")
    ]


@BOTH
@pytest.mark.parametrize(("task", "name"), path_arguments())
def test_a_path_is_where_it_points_to(task: type[Any], name: str, native: bool, tmp_path: Path) -> None:
    reader = task.readers()[name]
    folder, file = tmp_path / "20260201", tmp_path / "a.jpg"
    folder.mkdir()
    if reader is coerce.folder:  # which may be called as a file is
        file.mkdir()
    else:
        file.touch()
    stored = ObjectStoragePath(f"file://{file}")
    several = reader in (coerce.places, coerce.paths)
    slash = "/" if reader is coerce.folder else ""
    for value, expected in [
        (file, str(file)), (PurePosixPath(file), str(file)), (stored, str(stored)),
        (tmp_path / "{{ params.name }}", str(file)), (ObjectStoragePath(f"file://{tmp_path}/{{{{ params.name }}}}"), str(stored)),
    ]:  # fmt: skip
        found = read(made(task, native=native, **{name: value}), name, name="a.jpg")
        assert found == ((expected,) if name == "paths" else expected + slash)
        if several:
            found = read(made(task, native=native, **{name: [value, str(file)]}), name, name="a.jpg")
            assert list(found) == [expected, str(file)]
    if native:
        for value, expected in [(file, str(file)), (stored, str(stored))]:
            found = read(made(task, native=True, **{name: "{{ params.value }}"}), name, value=value)
            assert found == ((expected,) if name == "paths" else expected + slash)
    if name == "source" and several:  # a path object has lost the slash that tells a folder from a file
        for value in (folder, ObjectStoragePath(f"file://{folder}")):
            assert read(made(task, native=native, source=[value, file]), name) == [f"{value}/", str(file)]
    if reader is coerce.file_or_folder:
        assert read(made(task, native=native, **{name: folder}), name) == f"{folder}/"


@BOTH
@pytest.mark.parametrize(("task", "name"), read_by(coerce.seconds))
def test_a_wait_is_seconds_text_or_a_timedelta(task: type[Any], name: str, native: bool) -> None:
    for value in (90, 90.0, "90", timedelta(seconds=90)):
        assert read(made(task, native=native, **{name: value}), name) == 90.0
        assert read(made(task, native=native, **{name: "{{ params.value }}"}), name, value=value) == 90.0
    assert read(made(task, native=native, **{name: "{{ params.m * 60 }}"}), name, m=2) == 120.0
    it = made(task, native=native, **{name: "{{ params.value }}"})
    assert read(it, name, value=timedelta(days=1, minutes=1, milliseconds=500)) == 86460.5


#: What none of an argument's readings takes, by what reads it.
BAD: dict[Any, list[Any]] = {
    coerce.text: [b"a", ["a", "b"], {"a": 1}, True],
    coerce.required: [b"a", ["a", "b"], {"a": 1}, True, "", "None", None],
    coerce.identifier: [b"a", ["a", "b"], {"a": 1}, True],
    coerce.required_id: [b"a", ["a", "b"], {"a": 1}, True, "", "None", None, "null", "nan", "NaN", "<NA>"],
    coerce.file_or_folder: [b"a", ["a", "b"], {"a": 1}, True, "", "None", None],
    coerce.folder: [b"a", ["a", "b"], {"a": 1}, True, "", "None", None, "/data/all.jpg"],
    coerce.places: [b"a", {"a": 1}, True, "", "None", None, [], [["a"]], [""], [None]],
    coerce.texts: [b"a", {"a": 1}, True, [["a"]], [True]],
    coerce.paths: [b"a", {"a": 1}, True, [["a"]], [True], [], "", "[]", "None", "()", [""], set()],
    coerce.groups: [b"a", {"a": 1}, True, [[]], ["a"], "some", [["None"]], [["a", "null"]]],
    coerce.mapping: [b"a", 3, True, [1], "some"],
    coerce.settings: [b"a", 3, True, [1], "some", {"enhance_typ": "warm"}, {"enhance_type": "sepia"}],
    coerce.boolean: ["yes", 1, None, "", b"true", []],
    coerce.whole_number: ["many", 1.5, -1, True, "²", []],
    coerce.at_once: ["many", 1.5, -1, True, None, []],
    coerce.seconds: ["soon", -1, True, None, "", "nan", float("inf"), timedelta(seconds=-1), []],
}
#: How an error names an argument, where not by its name.
TOLD = {"settings": "[Ss]etting", "output_spec": "output"}

BAD_BY_NAME: dict[str, list[Any]] = {
    "autoenhance_conn_id": [["a"], True],
    "output_spec": ["bmp", {"quality": 0}, {"qualty": 5}, 3],
    "group_by": ["photo", None],
    "on_existing": ["overwrite", None],
    "if_empty": ["stop", None],
    "preflight": ["stop", None],
    "variant": ["both", None],
    "brackets": ["some", 1, 10, True],
    "max_failures": ["many", -1, "101%", True, "²"],
    "image_name_template": ["{nme}", "", "{}"],
    "destination_template": ["{nme}", "", "{}"],
    "dusk_template": ["{nme}", "", "{}", "{folder}{stem}", "{folder}{name}", "{stem}{extension}", None],
    "number_of_brackets_per_image": [1, 10, "some", True],
    "categories": ["UGLY", [], 3, ["NOISE", "UGLY"]],
    "score": [6, -1, "many", True],
    "image_ids": [b"a", {"a": 1}, [True], ["a", {"order_id": "b"}]],
    "edit": ["NIGHT", "AS_SHOT", "", None, ["DUSK"]],
}


@pytest.mark.parametrize(
    ("task", "name"), [pytest.param(*each, id=f"{each[0].__name__}.{each[1]}") for each in ARGUMENTS]
)
def test_a_bad_value_is_told_when_the_dag_file_is_parsed(task: type[Any], name: str) -> None:
    values = BAD_BY_NAME.get(name) or BAD[task.readers()[name]]
    for value in values:
        if name == "destination" and value is None:
            continue  # is left out: an output may name it, or the connection
        with pytest.raises(SettingsError):
            made(task, **{name: value})
        with pytest.raises(SettingsError), DAG("nightly", schedule=None):
            task.partial(task_id="it", **{name: value})


@BOTH
@pytest.mark.parametrize(
    ("task", "name"), [pytest.param(*each, id=f"{each[0].__name__}.{each[1]}") for each in ARGUMENTS]
)
def test_a_bad_value_of_a_template_is_told_before_anything_is_sent(
    task: type[Any], name: str, native: bool, autoenhance: Sandbox
) -> None:
    if name not in task.template_fields:
        with pytest.raises(ValueError, match=name):
            made(task, **{name: "{{ params.value }}"})
        return
    values = [each for each in BAD_BY_NAME.get(name) or BAD[task.readers()[name]] if not isinstance(each, bytes)]
    for value in values:
        texts = task.readers()[name] in coerce.TEXTS or name == "autoenhance_conn_id"
        if not native and not isinstance(value, str) and texts:
            continue  # its text is a text
        if value is True and task.readers()[name] in coerce.TEXTS:
            continue  # a native template's text is a text, too
        it = made(task, native=native, **{name: "{{ params.value }}"})
        about = {**context(it), "params": {"value": value}, "task": it}
        it.render_template_fields(about)
        with pytest.raises(AirflowFailException, match=TOLD.get(name, name)):
            it.execute(about)
    assert autoenhance.ledger()["requests"] == {}


def test_the_decorator_has_the_same_arguments() -> None:
    assert set(AutoenhanceDecoratedOperator.readers()) == set(face.AutoenhanceEnhanceOperator.readers())
    for name, value in [("poll_interval", "soon"), ("include", [True]), ("recursive", "maybe")]:
        with pytest.raises(SettingsError, match=f"@task.autoenhance: .*{name}"):
            autoenhance_task(**{name: value})


@pytest.mark.one_version
@BOTH
def test_on_a_real_airflow(native: bool, autoenhance: Sandbox, airflow_db: None, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "20260201"
    folder.mkdir(parents=True)
    for number, name in enumerate(("good.jpg", "bad.jpg")):
        (folder / name).write_bytes(photo(shade=60 + number))
    (tmp_path / "in" / "alone.jpg").write_bytes(photo(shade=90))
    day = f"2026-02-0{1 + native}"
    run = run_dag_file(DAGS / "arguments_dag.py", day, {"root": str(tmp_path), "native": native})
    assert run.returncode == 0, run.stdout[-8000:]
    landed = sorted(str(each.relative_to(tmp_path / "out")) for each in (tmp_path / "out").rglob("*.jpg"))
    assert landed == [
        "20260201-function/good.jpg",
        "20260201/good.jpg",
        "named/good.jpg",
        "pulled/20260201/good.jpg",
        "pulled/alone.jpg",
    ]
    orders = {each["name"]: each["order_id"] for each in autoenhance.ledger()["orders"]}
    assert {"20260201", "20260202", ("long " * 80).strip()} <= set(orders)
    assert "None" not in orders.values()
    with sqlite3.connect(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].removeprefix("sqlite:///")) as database:
        named = "SELECT task_id, rendered_map_index FROM task_instance WHERE dag_id = 'arguments_dag' AND map_index >= 0 AND run_id LIKE ?"
        labels = {(task, label) for task, label in database.execute(named, (f"%{day}%",)) if task != "name"}
    assert labels == {
        ("mapped", "20260201"), ("named", "20260201"), ("order", "20260201"), ("order", "20260202"), ("order", "long " * 50),
    }  # fmt: skip
