"""Part ``parse``: each public module, and each example DAG against its empty twin; and what the DAG processor takes for both.

Everything is compiled beforehand, as it is where a package is installed.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tools.airflow_home import DAGS, PYTHON, REPOSITORY, AirflowHome, migrate
from tools.bench.bars import over_twin
from tools.bench.figures import spread
from tools.bench.importtime import PACKAGE, beyond, modules_of
from tools.bench.twin import SUFFIX, twin_of
from tools.console import detail, step
from tools.processes import Children, ProcessError

#: Rooms that DAG files import from.
ROOMS = ("hooks", "operators", "sensors", "triggers", "decorators", "links", "notifications")
_IMPORTTIMES = 5
_PROCESSOR_SECONDS = 900

Files = Mapping[str, tuple[Path, Path]]


def measure_parse(rounds: int, times: int, folder: Path) -> dict[str, Any]:
    """Measure.

    :param rounds: fresh interpreters, and runs of the DAG processor over all files.
    :param times: how often an interpreter loads each file and each module, files and their twins by turns.
    """
    files, modules = make_twins(folder / "dags"), public_modules()
    parsed = [str(path) for pair in files.values() for path in pair]
    home = AirflowHome(folder / "airflow", dags=folder / "dags")
    environment = _environment(home, folder)
    taken: dict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(1, rounds + 1):
        step(f"Round {number} of {rounds}: {len(files)} DAG files, their twins, and {len(modules)} modules")
        for targets in (parsed, ["+airflow.triggers.base", *modules]):
            output = _parser(times, targets, environment).stdout
            for target, samples in json.loads(output.splitlines()[-1]).items():
                taken[target] += samples
    step("The DAG files under -X importtime")
    loaded = modules_of(_parser(_IMPORTTIMES, parsed, environment, "-X", "importtime").stderr)
    step(f"The DAG processor, {rounds} times over all files")
    noted = _processor_times(home.path / "airflow.db", environment, folder, rounds)
    dags = {
        name: {
            "real": taken[str(real)],
            "twin": taken[str(twin)],
            "processor": {"real": noted[real.stem], "twin": noted[twin.stem]},
            "imports": beyond(loaded[str(real)], loaded[str(twin)]),
        }
        for name, (real, twin) in files.items()
    }
    for name, found in dags.items():
        detail(f"{name:26} {spread(over_twin(found)).written()} ms above its twin")
    return {"dags": dags, "modules": {module: taken[module] for module in modules}}


def _environment(home: AirflowHome, folder: Path) -> dict[str, str]:
    step("Making an Airflow database")
    home.create()
    environment = home.environment({})
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what pip installs is compiled, and parses in half the time
    with Children() as children:
        migrate(children, environment, folder)
    return environment


def public_modules() -> list[str]:
    """Return the modules of the rooms that DAG files import from."""
    files = [file for room in ROOMS for file in (REPOSITORY / PACKAGE / room).glob("*.py")]
    names = (file.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".") for file in files)
    return sorted(name.removesuffix(".__init__") for name in names)


def make_twins(folder: Path) -> Files:
    """Fill a folder with the example DAGs and their empty twins; return both by the original's name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = {}
    for example in sorted(DAGS.glob("*.py")):
        twin = folder / f"{example.stem}{SUFFIX}.py"
        twin.write_text(twin_of(example.read_text(encoding="utf-8")), encoding="utf-8")
        files[example.stem] = Path(shutil.copy(example, folder)), twin
    return files


def _parser(
    times: int, targets: list[str], environment: dict[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-m", "tools.bench.parser", str(times), *targets]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProcessError(f"parsing failed:\n{done.stderr[-4000:]}")
    return done


def _processor_times(database: Path, environment: dict[str, str], folder: Path, rounds: int) -> dict[str, list[float]]:
    """Run Airflow's DAG processor; return the milliseconds that it notes for each file.

    A file's first parse is left out: it writes the DAG to the database for the first time.
    """
    settings = {
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "0",
        "AIRFLOW__DAG_PROCESSOR__FILE_PARSING_SORT_MODE": "alphabetical",  # twins beside their originals
    }
    command = [str(PYTHON), "-m", "airflow", "dag-processor", "--num-runs", str(rounds + 1)]
    parses: dict[str, dict[str, float]] = defaultdict(dict)
    with Children() as children:
        log = folder / "dag-processor.log"
        child = children.start("airflow dag-processor", command, environment=environment | settings, log=log)
        deadline = time.monotonic() + _PROCESSOR_SECONDS
        while child.running() and time.monotonic() < deadline:
            _look(database, parses)
            time.sleep(0.2)
        if child.running() or child.wait():
            raise ProcessError(f"the DAG processor did not get through: {log}")
        _look(database, parses)
    return {file: list(by_moment.values())[1:] or list(by_moment.values()) for file, by_moment in parses.items()}


def _look(database: Path, parses: dict[str, dict[str, float]]) -> None:
    """Note the last parse of each file; Airflow keeps no more of them."""
    query = (
        "SELECT relative_fileloc, last_parsed_time, last_parse_duration FROM dag WHERE last_parse_duration IS NOT NULL"
    )
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        for file, moment, seconds in connection.execute(query):
            parses[Path(file).stem].setdefault(moment, 1e3 * seconds)
