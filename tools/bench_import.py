"""``make bench-import``: what importing each public module adds to a DAG file that has imported ``airflow.sdk``."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from tools.airflow_home import REPOSITORY, RUN, AirflowHome, migrate
from tools.console import step, table
from tools.processes import Children

PACKAGE = "airflow_provider_autoenhance"
ROOMS = ("hooks", "operators", "sensors", "triggers", "decorators", "links", "notifications")
BUDGET_MS = 15.0
FOLDER = RUN / "bench-import"
_MEASURE = """
import gc, json, sys, time
began = time.perf_counter()
import airflow.sdk
sdk = time.perf_counter()
# A collection of Airflow's many objects that happens to fall into the import (90 ms) is not the module's.
gc.collect()
gc.freeze()
ready = time.perf_counter()
__import__(sys.argv[1])
done = time.perf_counter()
print(json.dumps({"sdk": (sdk - began) * 1e3, "module": (done - ready) * 1e3}))
"""


def public_modules() -> list[str]:
    """Return the modules of the rooms that DAG files import from."""
    files = [file for room in ROOMS for file in (REPOSITORY / PACKAGE / room).glob("*.py")]
    names = (file.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".") for file in files)
    return sorted(name.removesuffix(".__init__") for name in names)


def measure(module: str, environment: dict[str, str]) -> dict[str, float]:
    """Import it in a fresh interpreter; return the milliseconds of ``airflow.sdk`` and of the module after it."""
    command = [sys.executable, "-c", _MEASURE, module]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    if done.returncode:
        raise SystemExit(f"{module} does not import:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(modules: list[str], repeats: int) -> tuple[float, dict[str, list[float]]]:
    """Measure all modules in turn, ``repeats`` times; return the median of ``airflow.sdk`` and all times per module."""
    home = AirflowHome(FOLDER / "airflow", dags=FOLDER / "no-dags")
    home.create()
    environment = home.environment({})
    with Children() as children:
        migrate(children, environment, FOLDER)
    measure(modules[0], environment)  # fills the file cache, and writes Airflow's configuration
    sdk: list[float] = []
    times: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(repeats):
        for module in modules:
            taken = measure(module, environment)
            sdk.append(taken["sdk"])
            times[module].append(taken["module"])
    return statistics.median(sdk), times


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make bench-import", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="fresh interpreters per module (default 5)")
    parser.add_argument("--budget", type=float, default=BUDGET_MS, help="milliseconds per module (default %(default)s)")
    parser.add_argument("--json", type=Path, help="also write the medians to this file")
    arguments = parser.parse_args()
    modules = public_modules()
    step(f"Importing {len(modules)} modules, each in {arguments.repeats} fresh interpreters, in turn")
    sdk, times = run(modules, arguments.repeats)
    medians = {module: statistics.median(taken) for module, taken in times.items()}
    rows = [
        (module, f"{medians[module]:.1f}", f"{min(taken):.1f}", f"{max(taken):.1f}") for module, taken in times.items()
    ]
    print(f"\nMilliseconds above airflow.sdk ({sdk:.0f} ms); budget {arguments.budget:g}\n")
    print(table(("module", "median", "least", "most"), rows, right=(1, 2, 3)))
    if arguments.json:
        arguments.json.write_text(json.dumps(medians, indent=2))
    over = [module for module, median in medians.items() if median > arguments.budget]
    print(f"\nOver budget: {', '.join(over)}" if over else "\nAll within budget.")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
