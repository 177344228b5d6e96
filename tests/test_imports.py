"""Imports go down only, and nothing heavy loads with a DAG file."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import airflow_provider_autoenhance

PACKAGE = "airflow_provider_autoenhance"
ROOT = Path(__file__).parents[1] / PACKAGE

#: Rooms, lowest first. A room may import the layers below its own, and nothing of its own layer but itself.
LAYERS = (
    {"api"},
    {"transport"},
    {"imaging", "storage"},
    {"hooks"},
    {"pipeline"},
    {"dag_helpers", "utils", "triggers", "policies"},
    {"operators"},
    {"sensors", "decorators"},
    {"plugins"},
)
#: The rooms of ``pipeline/``, in the order of a night from its end to its beginning.
PIPELINE_LAYERS = (
    {"sources", "watch"},
    {"job", "preflight"},
    {"photo"},
    {"records", "remote"},
    {"gallery"},
    {"brackets", "transfer"},
    {"plan"},
    {"batch"},
)
#: The sandbox's rooms and the modules beside them.
SANDBOX_LAYERS = ({"errors"}, {"photo"}, {"state"}, {"http"}, {"store"}, {"api"}, {"server"}, {"__main__"})
HTTP = {"requests", "httpx", "urllib3", "aiohttp", "boto3", "botocore", "http"}
#: What DAG files import from, by what a worker or the triggerer alone needs.
FACING = ("hooks", "operators", "sensors", "triggers", "decorators", "policies", "dag_helpers", "utils")
#: What users read and copy.
EXAMPLES = [
    each
    for pattern in ("README.md", "docs/*.md", "dags/*.py", "tests/support/dags/*.py")
    for each in sorted(ROOT.parent.glob(pattern))
]
HEAVY = (
    {"requests", "urllib3", "httpx", "httpcore", "boto3", "botocore", "s3fs", "fsspec", "PIL", "pi_heif", "numpy", "cv2"}
    | {"cryptography", "pyvips", "starlette", "moto", "tenacity", "asyncio"}
)  # fmt: skip


def imports(file: Path) -> Iterator[str]:
    """Yield every module that a file imports, wherever it stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = file.relative_to(ROOT.parent).parts[: -node.level] if node.level else ()
            base = ".".join((*package, *((node.module,) if node.module else ())))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def upward(folder: Path, layers: tuple[set[str], ...]) -> list[str]:
    """List the imports of a folder's rooms that do not go down."""
    place = {room: layer for layer, rooms in enumerate(layers) for room in rooms}
    depth = len(folder.relative_to(ROOT.parent).parts)
    base = ".".join(folder.relative_to(ROOT.parent).parts) + "."
    found = []
    for file in folder.rglob("*.py"):
        mine = file.relative_to(folder).parts[0].removesuffix(".py")
        if mine not in place:
            continue
        for module in imports(file):
            room = module.split(".")[depth] if module.startswith(base) else mine
            # Modules beside the rooms (get_provider_info, __version__) import nothing, so everyone may read them.
            if room not in {mine, "__version__", "get_provider_info"} and place.get(room, 99) >= place[mine]:
                found.append(f"{file.relative_to(folder)}: {module}")
    return found


def test_every_room_has_its_place() -> None:
    rooms = {folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").exists()}
    assert rooms == set.union(*LAYERS) | {"sandbox"}
    for name, layers in (("pipeline", PIPELINE_LAYERS), ("sandbox", SANDBOX_LAYERS)):
        inner = {each.stem for each in (ROOT / name).iterdir()} - {"__init__", "__pycache__"}
        assert inner == set.union(*layers), name


def test_imports_go_down_only() -> None:
    assert upward(ROOT, LAYERS) == []
    assert upward(ROOT / "pipeline", PIPELINE_LAYERS) == []
    assert upward(ROOT / "sandbox", SANDBOX_LAYERS) == []


def test_no_module_imports_itself_on_a_way_round() -> None:
    modules = {
        ".".join(file.relative_to(ROOT.parent).with_suffix("").parts): file
        for file in ROOT.rglob("*.py")
        if "sandbox" not in file.parts
    }

    def imported(name: str) -> set[str]:
        found = set()
        for target in imports(modules[name]):
            for known in (target, target.rpartition(".")[0]):
                if known in modules:
                    found.add(known)
                    break
        return found - {name}

    arrows = {name: imported(name) for name in modules}
    TopologicalSorter(arrows).prepare()  # raises CycleError, which names the circle


def test_the_drawing_shows_what_is_imported() -> None:
    """Each arrow from room to room, but those that follow from others."""
    drawn = set(
        re.findall(r"^ +(\w+) --> (\w+)$", (ROOT.parent / "docs" / "architecture.md").read_text(), re.MULTILINE)
    )
    needs: dict[str, set[str]] = {}
    for file in ROOT.rglob("*.py"):
        mine = room_of(file.relative_to(ROOT.parent).with_suffix("").parts)
        rooms = {room_of(module.split(".")) for module in imports(file) if module.startswith(PACKAGE)}
        needs[mine] = needs.get(mine, set()) | rooms - {mine, ""}

    def reached(room: str) -> set[str]:
        return {far for near in needs[room] for far in {near} | reached(near)}

    shown = {
        (room, near)
        for room, rooms in needs.items()
        for near in rooms
        if room and not any(near in reached(other) for other in rooms)
    }
    assert drawn == shown


def room_of(parts: Sequence[str]) -> str:
    """Name the room of a module; empty for what stands beside the rooms."""
    room, *rest = [part for part in parts[1:] if part != "__init__"] or [""]
    if room == "pipeline":
        room = rest[0] if rest else ""
    return room if room in set.union(*LAYERS, *PIPELINE_LAYERS) else ""


def test_the_sandbox_shares_nothing_with_what_it_tests() -> None:
    for file in (ROOT / "sandbox").rglob("*.py"):
        for module in imports(file):
            name = module.partition(".")[0]
            assert name != "airflow", f"{file.name}: {module}"
            assert name != PACKAGE or module.startswith(f"{PACKAGE}.sandbox"), f"{file.name}: {module}"


def test_the_contract_knows_neither_airflow_nor_http() -> None:
    for file in (ROOT / "api").glob("*.py"):
        assert not {module.partition(".")[0] for module in imports(file)} & (HTTP | {"airflow"}), file.name


def test_brackets_are_photography_alone() -> None:
    """Rules over what is known of each shot: they read nothing, neither a file nor Autoenhance."""
    closed = tuple(f"{PACKAGE}.{room}" for room in ("storage", "hooks", "transport", "pipeline.remote"))
    for file in (ROOT / "pipeline" / "brackets").glob("*.py"):
        assert not [module for module in imports(file) if module.startswith(closed)], file.name


def test_the_description_imports_nothing() -> None:
    assert {module.split(".")[0] for module in imports(ROOT / "get_provider_info.py")} <= {"__future__", "typing"}


def test_the_package_imports_nothing_by_itself() -> None:
    code = f"import sys; before = set(sys.modules); import {PACKAGE}; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == f"['{PACKAGE}']"


def test_every_public_name_can_be_imported() -> None:
    names = airflow_provider_autoenhance.__all__
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(airflow_provider_autoenhance, name).__name__ == name
    assert set(names) < set(dir(airflow_provider_autoenhance))
    with pytest.raises(AttributeError, match="has no attribute 'Autoenhance'"):
        airflow_provider_autoenhance.Autoenhance  # type: ignore[attr-defined] # noqa: B018


def test_type_checkers_see_the_public_names_where_they_are() -> None:
    seen = {
        alias.asname: node.module
        for node in ast.walk(ast.parse((ROOT / "__init__.py").read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert seen == airflow_provider_autoenhance._MODULE_OF


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_examples_import_from_the_public_face_alone(file: Path) -> None:
    imported = re.findall(rf"^\s*(?:from|import) ({PACKAGE}\S*) ?(?:import (.*))?", file.read_text(), re.MULTILINE)
    assert [module for module, _ in imported if module != PACKAGE] == []
    names = {name for _, line in imported for name in re.findall(r"\w+", line)}
    assert names <= set(airflow_provider_autoenhance.__all__)


def test_nothing_heavy_loads_with_a_dag_file() -> None:
    """Beyond what Airflow itself loads for a DAG file of its own operators."""
    modules = [
        ".".join(file.relative_to(ROOT.parent).with_suffix("").parts)
        for name in FACING
        for file in (ROOT / name).glob("*.py")
    ]
    code = (
        "import importlib, json, sys\n"
        "from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator, Param, conf, dag, task\n"
        "import airflow.triggers.base\n"
        "before = set(sys.modules)\n"
        f"[importlib.import_module(name) for name in {modules!r}]\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert PACKAGE in loaded
    assert not loaded & HEAVY
