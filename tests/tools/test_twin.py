"""The empty twins that example DAGs are measured against, and what is told of the difference."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from tools.airflow_home import DAGS
from tools.bench.importtime import PACKAGE, beyond, modules_of
from tools.bench.parse import make_twins, public_modules
from tools.bench.parser import MARK, measure
from tools.bench.twin import SUFFIX, NoTwinError, twin_of

IMPORTS = "from airflow.providers.common.compat.sdk import dag, task\n"
OPERATOR = "from airflow_provider_autoenhance.operators.images import AutoenhanceCreateImageOperator as Create\n"


def dags_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, DAG]:
    """Load a DAG file; return its DAGs, by what the originals are called."""
    made: list[DAG] = []
    enter = DAG.__enter__
    with monkeypatch.context() as patched:
        patched.setattr(DAG, "__enter__", lambda dag: made.append(dag) or enter(dag))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        patched.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
    return {dag.dag_id.removesuffix(SUFFIX): dag for dag in made}


def shape(dag: DAG) -> dict[str, Any]:
    """What of a DAG its twin must share."""
    tasks = {
        task.task_id: (task.is_mapped, task.trigger_rule, task.retries, sorted(task.upstream_task_ids))
        for task in dag.tasks
    }
    assets = [asset.name for asset in dag.schedule] if isinstance(dag.schedule, list) else []
    schedule = (type(dag.timetable), assets)
    settings = (dag.catchup, dag.max_active_runs, dag.tags, dag.start_date, dag.doc_md, dag.is_paused_upon_creation)
    return {"tasks": tasks, "schedule": schedule, "settings": settings}


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_twins(tmp_path_factory.mktemp("twins"))


@pytest.mark.parametrize("name", sorted(path.stem for path in DAGS.glob("*.py")))
def test_a_twin_is_the_same_dag_without_the_provider(name: str, twins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, twin = twins[name]
    originals, empties = dags_of(real, monkeypatch), dags_of(twin, monkeypatch)
    assert originals
    assert originals.keys() == empties.keys()
    for dag_id, original in originals.items():
        empty = empties[dag_id]
        assert len(empty.tasks) == len(original.tasks) > 1
        assert shape(empty) == shape(original)
        assert {key: (param.value, param.schema) for key, param in empty.params.items()} == {
            key: (param.value, param.schema) for key, param in original.params.items()
        }
        types = {task.task_type for task in empty.tasks}
        assert types <= {
            "EmptyOperator",
            "_PythonDecoratedOperator",
            "_DecoratedMappedOperator",
            "DecoratedMappedOperator",
        }
    imported = {node.module or "" for node in ast.walk(ast.parse(twin.read_text())) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in imported if module.startswith(PACKAGE)]


def test_what_has_no_stand_in_is_named() -> None:
    source = f"from {PACKAGE}.operators.enhance import SUMMARY\n{IMPORTS}print(SUMMARY)\n"
    with pytest.raises(NoTwinError, match="SUMMARY"):
        twin_of(source)


def test_a_twin_keeps_what_any_operator_takes_and_whose_results_it_is_given() -> None:
    source = (
        f"{IMPORTS}{OPERATOR}@dag()\ndef one():\n    Create(task_id='a', retries=3, source=before(), image_name='x')\n"
    )
    assert "_after([before()], EmptyOperator(task_id='a', retries=3))" in twin_of(source)
    mapped = source.replace("Create(", "Create.partial(").replace("'x')", "'x').expand(metadata=many())")
    assert "_after([before()], EmptyOperator.partial(task_id='a', retries=3).expand_kwargs(many()))" in twin_of(mapped)


def test_import_times_are_told_by_file_and_by_owner() -> None:
    def line(module: str, own: int) -> str:
        return f"import time: {own:9} | {own + 5:10} |   {module}\n"

    ours = f"{PACKAGE}.operators.enhance"
    text = line("airflow", 9000) + f"{MARK}real.py\n" + line(ours, 2000) + line("PIL.Image", 7000) + line("json", 10)
    text += f"a warning\n{MARK}twin.py\n" + line("json", 10) + f"{MARK}real.py\n" + line(ours, 4000)
    loaded = modules_of(text)
    assert loaded == {"real.py": {ours: 3.0, "PIL.Image": 7.0, "json": 0.01}, "twin.py": {"json": 0.01}}
    found = beyond(loaded["real.py"], loaded["twin.py"])
    assert (found["modules"], found["ms"], found["other_modules"], found["other_ms"]) == (1, 3.0, 1, 7.0)
    assert (found["dearest"], found["dearest_ms"]) == ("PIL.Image", 7.0)
    assert beyond({}, {})["dearest"] == ""


def test_a_target_is_loaded_in_a_process_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "leaves_a_trace.py"
    file.write_text("import sys\nsys.leaves_a_trace = True\n")
    assert measure(str(file)).keys() == {"wall", "cpu"}
    assert not hasattr(sys, "leaves_a_trace")
    assert measure("this").keys() == {"wall", "cpu"}
    assert "this" not in sys.modules


def test_every_room_that_dag_files_import_is_measured() -> None:
    modules = public_modules()
    assert {"hooks", "operators", "sensors", "triggers"} <= {module.split(".")[1] for module in modules}
    assert f"{PACKAGE}.operators.images" in modules
    assert not [module for module in modules if module.endswith("__init__")]
