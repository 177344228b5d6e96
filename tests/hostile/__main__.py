"""``make hostile``: thousands of hostile answers with a fresh seed, and answers of 300 MB; or one answer again."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

import tests.conftest  # noqa: F401 - an Airflow of its own
from tests.hostile.answers import answer, answers
from tests.hostile.big import lines, measured
from tests.hostile.methods import METHODS
from tests.hostile.run import MOST_GROWTH, Report, play_all
from tests.hostile.wire import Places

PLACES = Places("127.0.0.1:10001", "127.0.0.1:10002", "127.0.0.1:10003")


def main() -> int:
    """Play, print what was broken, and return the exit status."""
    options = argparse.ArgumentParser(prog="make hostile", description=__doc__)
    options.add_argument("--answers", type=int, default=2000, help="how many (2000)")
    options.add_argument("--seed", type=int, help="of the answers (a fresh one)")
    options.add_argument("--replay", metavar="SEED:INDEX", help="play one answer again, and print what is sent")
    options.add_argument("--only", default="", metavar="TEXT", help="only methods with this text in their name")
    given = options.parse_args()
    if given.replay:
        return _replay(*map(int, given.replay.split(":")))
    methods = [each for each in METHODS if given.only in each.name]
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"{given.answers} hostile answers to {len(methods)} methods, seed {seed}", flush=True)
    began = time.monotonic()
    broken = _show(play_all(answers(seed, given.answers, methods)))
    print(f"{time.monotonic() - began:.0f} s; each can be played again with --replay SEED:INDEX", flush=True)
    costs = [] if given.only else measured()
    print("\n".join(lines(costs)))
    return 1 if broken or any(cost.failures or cost.growth > cost.most for cost in costs) else 0


def _show(report: Report) -> bool:
    for failed, failure in sorted(report.failures, key=lambda each: each[1].kind):
        print(f"{failed}\n    {failure}")
    for line in report.logged[:20]:
        print(f"logged: {line}")
    print("outcomes:", ", ".join(f"{name} {count}" for name, count in report.outcomes.most_common()))
    print("failures:", dict(Counter(failure.kind for _, failure in report.failures)) or "none", end="; ")
    print(f"secrets in logs: {len(report.logged)}; memory grew by {report.growth / 1e6:.0f} MB at most")
    return bool(report.failures or report.logged or report.growth > MOST_GROWTH)


def _replay(seed: int, index: int) -> int:
    played = answer(seed, index)
    print(played)
    for reply in played.replies(PLACES).of(played.method.role):
        for piece in reply.pieces:
            print(
                f"    {piece.data[:300]!r}, {len(piece.data)} bytes x {piece.times}, by {piece.step}, each after {piece.pause} s"
            )
        print(f"    {reply.ending}")
    return int(_show(play_all([played])))


if __name__ == "__main__":
    sys.exit(main())
