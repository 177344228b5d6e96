"""A few damaged files for each reader, and those that once broke a promise; ``make fuzz`` plays thousands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.run import play
from tests.fuzz.targets import TARGETS

KEPT = [
    line.split(":")
    for line in (Path(__file__).parent / "kept.txt").read_text().splitlines()
    if line[:1] not in ("", "#")
]


@pytest.mark.parametrize("target", TARGETS)
def test_a_few_damaged_files(target: str) -> None:
    assert list(play(target, range(max(1, int(600 * TARGETS[target].share))))) == []


@pytest.mark.parametrize(("target", "number"), KEPT)
def test_what_once_broke_a_promise(target: str, number: str) -> None:
    assert list(play(target, range(int(number), int(number) + 1))) == []
