"""``make fuzz``: thousands of damaged files to each reader and to whole conversions, with fresh numbers; or one file again."""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from tests.fuzz.inputs import damaged
from tests.fuzz.run import play
from tests.fuzz.targets import TARGETS

FOUND = Path(".run/fuzz")


def main() -> int:
    """Play, print and keep what was broken, and return the exit status."""
    options = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    options.add_argument(
        "--inputs", type=int, default=20_000, help="for each fast target (20,000); conversions get fewer"
    )
    options.add_argument("--seed", type=int, help="where the numbers begin (anywhere)")
    options.add_argument("--replay", metavar="TARGET:NUMBER", help="play one file again, in this very process")
    options.add_argument("--only", default="", metavar="TEXT", help="only targets with this text in their name")
    given = options.parse_args()
    if given.replay:
        name, _, number = given.replay.partition(":")
        TARGETS[name].act(damaged(TARGETS[name].names, int(number)), int(number))
        return 0
    first = random.SystemRandom().randrange(10**9) if given.seed is None else given.seed
    broken = 0
    for name, target in TARGETS.items():
        if given.only not in name:
            continue
        began, count = time.monotonic(), max(1, int(given.inputs * target.share))
        lines = list(play(name, range(first, first + count)))
        broken += len(lines)
        print(
            f"{name}: {count} inputs from {first}, {len(lines)} failures, {time.monotonic() - began:.0f} s", flush=True
        )
        for line in lines:
            print(f"    {line}", flush=True)
            number = int(line.split(":")[1])
            FOUND.mkdir(parents=True, exist_ok=True)
            (FOUND / f"{name.replace(' ', '-')}-{number}").write_bytes(damaged(target.names, number))
    print(f"the files lie in {FOUND}; put TARGET:NUMBER into tests/fuzz/kept.txt" if broken else "nothing was broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
