"""``make matrix``: the tests that touch Airflow on each supported version, in an environment of its own under ``.envs/``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.airflow_home import REPOSITORY, RUN, clean_environment
from tools.console import detail, step, table
from tools.processes import Children, ProcessError, leave_on_signals
from tools.report_counts import counts, failures

VERSIONS = ("2.11.2", "3.0.6", "3.1.8", "3.2.2", "3.3.2")
ENVIRONMENTS = REPOSITORY / ".envs"
FOLDER = RUN / "matrix"
UV = Path(sys.executable).with_name("uv")
# What no Airflow version can change, and `make test` runs: the contract, decisions, crashes, pixels, streams, the sandbox, these commands.
LEFT_OUT = (
    "tests/api",
    "tests/crash",
    "tests/fuzz",
    "tests/hooks/test_contract.py",
    "tests/hooks/test_update_image.py",
    "tests/hooks/test_upload_photo.py",
    "tests/hooks/test_where_it_goes.py",
    "tests/hostile",
    "tests/imaging",
    "tests/operators/test_beside_originals.py",
    "tests/operators/test_bought_elsewhere.py",
    "tests/operators/test_brackets.py",
    "tests/operators/test_budget.py",
    "tests/operators/test_dusk.py",
    "tests/operators/test_full_disk.py",
    "tests/operators/test_odd_names.py",
    "tests/operators/test_one_destination.py",
    "tests/operators/test_originals.py",
    "tests/operators/test_outputs.py",
    "tests/operators/test_pins.py",
    "tests/operators/test_places.py",
    "tests/operators/test_related_folders.py",
    "tests/operators/test_results_in_source.py",
    "tests/operators/test_shared_folder.py",
    "tests/operators/test_sources.py",
    "tests/operators/test_styles.py",
    "tests/operators/test_surprises.py",
    "tests/operators/test_twins.py",
    "tests/operators/test_unknown_is_not_absent.py",
    "tests/operators/test_vanished.py",
    "tests/pipeline",
    "tests/platform",
    "tests/samples",
    "tests/sandbox",
    "tests/storage/test_http.py",
    "tests/storage/test_local.py",
    "tests/storage/test_location.py",
    "tests/storage/test_s3_faults.py",
    "tests/storage/test_streams.py",
    "tests/taken_over",
    "tests/test_docs.py",
    "tests/tools",
)
# Where Airflow itself is spoken to the most: a run on a real one of each kind of task, events, forms, the web server.
BRIEFLY = (
    "tests/dags/test_example_dags.py",
    "tests/dags/test_on_order.py",
    "tests/plugins",
    "tests/sensors",
    "tests/test_imports.py",
    "tests/test_provider.py",
    "tests/triggers",
)
_INSTALL_SECONDS = 600
_TEST_SECONDS = 1800


@dataclass(frozen=True)
class Cell:
    """One Airflow version.

    :param briefly: only the tests of ``BRIEFLY`` are run on it.
    """

    version: str
    briefly: bool = False

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / f"airflow-{self.version}" / "bin" / "python"

    def log(self, what: str) -> Path:
        """The log of one of its steps."""
        return FOLDER / f"airflow-{self.version}-{what}.log"


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    :param problem: why it failed; empty when it passed.
    """

    version: str
    seconds: float
    problem: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def install(children: Children, cell: Cell) -> None:
    """Make the environment, or bring it up to date."""
    environment = dict(os.environ)
    if not cell.python.exists():
        command = [str(UV), "venv", "--quiet", "--python", sys.executable, str(cell.python.parent.parent)]
        children.run(
            f"uv venv for {cell.version}",
            command,
            environment=environment,
            log=cell.log("install"),
            seconds=_INSTALL_SECONDS,
        )
    constraints = REPOSITORY / "requirements" / f"airflow-{cell.version}.txt"
    command = [str(UV), "pip", "install", "--python", str(cell.python), "-e", ".[test,sandbox,imaging]"]
    command += [f"apache-airflow=={cell.version}", *(["-c", str(constraints)] if constraints.exists() else [])]
    children.run(
        f"installing Airflow {cell.version}",
        command,
        environment=environment,
        log=cell.log("install"),
        seconds=_INSTALL_SECONDS,
    )


def run_cell(children: Children, cell: Cell, arguments: list[str]) -> Outcome:
    """Run the suite, which makes an Airflow home of its own."""
    started = time.monotonic()
    report = FOLDER / f"airflow-{cell.version}.xml"
    command = [
        str(cell.python),
        "-m",
        "pytest",
        "-q",
        "-m",
        "not one_version",
        f"--junitxml={report}",
        "-p",
        "no:cacheprovider",
    ]
    command += [*(f"--ignore={path}" for path in LEFT_OUT), *(BRIEFLY if cell.briefly else ()), *arguments]
    problem = ""
    try:
        children.run(
            f"tests on {cell.version}",
            command,
            environment=clean_environment(),
            log=cell.log("tests"),
            seconds=_TEST_SECONDS,
        )
    except ProcessError as failure:
        problem = str(failure)
    outcome = Outcome(cell.version, time.monotonic() - started, problem, *counts(report))
    detail(f"{cell.version}: {outcome.passed} passed, {outcome.failed} failed{f' - {problem}' if problem else ''}")
    for failure in failures(report):
        detail(f"  {failure}")
    return outcome


def run_matrix(versions: list[str], briefly: list[str], arguments: list[str], *, jobs: int) -> list[Outcome]:
    """Install all cells one after another, then test ``jobs`` of them at a time."""
    cells = [Cell(version, version in briefly) for version in versions]
    outcomes = []
    # Leaving ends the children first, which frees the threads that wait for them.
    with ThreadPoolExecutor(jobs) as pool, Children() as children:
        step(f"Installing Airflow {', '.join(versions)} into {ENVIRONMENTS}")
        ready = []
        for cell in cells:
            try:
                install(children, cell)
                ready.append(cell)
            except ProcessError as failure:
                outcomes.append(Outcome(cell.version, 0.0, str(failure)))
                detail(str(failure))
        step(f"Testing, {jobs} at a time; logs in {FOLDER}")
        try:
            # The newest takes the longest: begun last, it would run on alone.
            outcomes += pool.map(lambda cell: run_cell(children, cell, arguments), reversed(ready))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return sorted(outcomes, key=lambda outcome: versions.index(outcome.version))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("--only", action="append", choices=VERSIONS, help="this version only; may be repeated")
    parser.add_argument(
        "--briefly", action="append", choices=VERSIONS, default=[], help="a few tests on this version; may be repeated"
    )
    parser.add_argument("--jobs", type=int, default=2, help="cells tested at the same time (default 2)")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    arguments = parser.parse_args()
    leave_on_signals()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        outcomes = run_matrix(
            arguments.only or list(VERSIONS), arguments.briefly, arguments.pytest, jobs=arguments.jobs
        )
    except KeyboardInterrupt:
        return 130
    rows = [
        (o.version, str(o.passed), str(o.failed), str(o.skipped), f"{o.seconds:.0f}", o.problem or "passed")
        for o in outcomes
    ]
    print(f"\n{table(('airflow', 'passed', 'failed', 'skipped', 'seconds', 'result'), rows, right=(1, 2, 3, 4))}")
    return 1 if any(outcome.problem or not outcome.passed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
