"""Plays damaged files to targets, in processes that may die, hang or grow."""

from __future__ import annotations

import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator

from tests.fuzz.inputs import damaged, whole
from tests.fuzz.targets import TARGETS

MOST_SECONDS = 60
MOST_GROWTH = 400_000_000
_MOST_DATA = 3_000_000_000


def play(target: str, numbers: range) -> Iterator[str]:
    """Yield a line for each broken promise: an exception of another's, a death, a hang, growth."""
    for name in TARGETS[target].names:
        whole(name)  # for all children at once
    first = numbers.start
    while first < numbers.stop:
        number, lines, status = _child(target, range(first, numbers.stop))
        yield from lines
        if status == 0:
            return
        how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
        yield f"{target}:{number}: the process died of {'a hang' if how == 'SIGALRM' else how}"
        first = number + 1


def _child(target: str, numbers: range) -> tuple[int, list[str], int]:
    """Return the last input, the lines and how the process ended."""
    sys.stdout.flush()
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        try:
            _play_here(target, numbers, writer)
        finally:
            os._exit(1)
    os.close(writer)
    last, lines = numbers.start, []
    with os.fdopen(reader, errors="replace") as told:
        for line in told:
            if line[0] == "@":
                last = int(line[1:])
            else:
                lines.append(line.rstrip("\n"))
    return last, lines, os.waitpid(process, 0)[1]


def _play_here(target: str, numbers: range, writer: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where libraries speak of what is damaged
    warnings.simplefilter("ignore")
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_DATA, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    it, before = TARGETS[target], _peak()
    for number in numbers:
        os.write(writer, f"@{number}\n".encode())
        signal.alarm(MOST_SECONDS)
        try:
            it.act(damaged(it.names, number), number)
        except BaseException as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            os.write(writer, f"{target}:{number}: {text:.200}\n".encode())
    growth = _peak() - before
    if growth > MOST_GROWTH:
        os.write(writer, f"{target}:{numbers.start}: memory grew by {growth / 1e6:.0f} MB\n".encode())
    os._exit(0)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
