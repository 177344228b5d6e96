"""What the commands print: steps, lines under a step, tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

_started = time.monotonic()


def step(text: str) -> None:
    """Announce what begins now, with the seconds since the command began."""
    print(f"[{time.monotonic() - _started:5.1f} s] {text}", flush=True)


def detail(text: str) -> None:
    """Print a line that belongs to the step."""
    print(f"          {text}", flush=True)


def problem(text: str) -> None:
    """Print what went wrong."""
    print(f"FAILED    {text}", file=sys.stderr, flush=True)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Lay rows out in columns.

    :param right: indexes of the columns to align on the right.
    """
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    lines.insert(1, ["-" * width for width in widths])

    def cell(text: str, column: int) -> str:
        return text.rjust(widths[column]) if column in right else text.ljust(widths[column])

    return "\n".join("  ".join(cell(text, column) for column, text in enumerate(line)).rstrip() for line in lines)


def size(count: int) -> str:
    """Write a number of bytes as people read it."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
