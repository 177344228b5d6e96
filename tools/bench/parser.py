"""Load DAG files and modules as the DAG processor does, and print what each took as JSON.

``python -m tools.bench.parser TIMES [+BASE...] TARGET...``: the interpreter loads what every DAG file needs of Airflow, and each module
``BASE``; then each target in a fork of its own, in turn.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import sys
import time
from pathlib import Path

#: Written to stderr before a target, among the lines of ``-X importtime``.
MARK = "bench: loading "


def main() -> int:
    """Run from the command line."""
    times, words = int(sys.argv[1]), sys.argv[2:]
    targets = [word for word in words if not word.startswith("+")]
    from airflow.providers.common.compat.sdk import BaseOperator, Param, dag, task  # noqa: F401

    for base in words[: len(words) - len(targets)]:
        importlib.import_module(base.removeprefix("+"))
    # A collection of Airflow's many objects that happens to fall into a target (90 ms) is not the target's.
    gc.collect()
    gc.freeze()
    for target in targets:
        measure(target)  # fills the file cache, and writes the compiled files
    taken: dict[str, list[dict[str, float]]] = {target: [] for target in targets}
    for number in range(times):
        # To and fro, so that of two neighbours neither always comes first.
        for target in targets if number % 2 == 0 else reversed(targets):
            taken[target].append(measure(target))
    print(json.dumps(taken))
    return 0


def measure(target: str) -> dict[str, float]:
    """Load a target in a fork.

    :param target: path of a DAG file, or name of a module.
    :return: wall clock and processor time, in milliseconds.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        print(f"{MARK}{target}", file=sys.stderr, flush=True)
        os.write(write_end, json.dumps(_load(target)).encode())
        os._exit(0)  # an error goes up through main() instead, and ends the fork with its traceback
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)
    return dict(json.loads(answer))


def _load(target: str) -> dict[str, float]:
    began, used = time.perf_counter(), time.process_time()
    if target.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(target).stem, target)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where Airflow looks for it
        spec.loader.exec_module(module)
    else:
        importlib.import_module(target)
    return {"wall": 1e3 * (time.perf_counter() - began), "cpu": 1e3 * (time.process_time() - used)}


if __name__ == "__main__":
    sys.exit(main())
