"""Add up pytest's reports: ``python -m tools.report_counts REPORT.xml ...`` prints one line of passed and failed tests."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree


def counts(report: Path) -> tuple[int, int, int]:
    """Return how many tests passed, failed and were skipped, from pytest's report; zeros without one."""
    if not report.exists():
        return 0, 0, 0
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total, failed, errors, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return total - failed - errors - skipped, failed + errors, skipped


def failures(report: Path) -> list[str]:
    """Return a line for each failed test of pytest's report: its name, and the first line of what it raised."""
    if not report.exists():
        return []
    lines = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        for raised in (*case.findall("failure"), *case.findall("error")):
            said = (raised.get("message") or "").splitlines()
            lines.append(f"{case.get('classname')}::{case.get('name')}: {said[0] if said else 'nothing said'}")
    return lines


def main(reports: list[Path]) -> None:
    """Print the sums."""
    passed, failed, skipped = (sum(column) for column in zip(*map(counts, reports), strict=True))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
