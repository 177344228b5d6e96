"""``make hostile``: thousands of hostile answers with a fresh seed, or one again."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

import tests.conftest  # noqa: F401 - an Airflow of its own
from tests.hostile.answers import answer, answers
from tests.hostile.methods import METHODS
from tests.hostile.run import Report, play_all


def main() -> int:
    """Play, print what was broken, and return the exit status."""
    options = argparse.ArgumentParser(prog="make hostile", description=__doc__)
    options.add_argument("--answers", type=int, default=2000, help="how many (2000)")
    options.add_argument("--seed", type=int, default=None, help="of the answers (fresh)")
    options.add_argument("--replay", metavar="SEED:INDEX", help="play one answer again, and print it")
    options.add_argument("--only", default="", help="only methods with this text in their name")
    given = options.parse_args()
    methods = [each for each in METHODS if given.only in each.name]
    if given.replay:
        seed, index = map(int, given.replay.split(":"))
        played = [answer(seed, index)]
    else:
        seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
        played = list(answers(seed, given.answers, methods))
    print(f"{len(played)} hostile answers to {len(methods)} methods, seed {seed}", flush=True)
    began = time.monotonic()
    return show(play_all(played), time.monotonic() - began)


def show(report: Report, seconds: float) -> int:
    """Print a report."""
    for failed, failure in sorted(report.failures, key=lambda each: each[1].kind):
        print(f"{failed}\n    {failure}")
    for line in report.logged[:20]:
        print(f"    logged: {line}")
    print("outcomes:", ", ".join(f"{name} {count}" for name, count in report.outcomes.most_common()))
    print("failures:", dict(Counter(failure.kind for _, failure in report.failures)) or "none")
    print(f"memory grew by {report.growth / 1e6:.0f} MB at most; {len(report.logged)} secrets in logs; {seconds:.0f} s")
    return 1 if report.failures or report.logged or report.growth > 100e6 else 0


if __name__ == "__main__":
    sys.exit(main())
