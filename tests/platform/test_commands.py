"""The Makefile and the version matrix name what really is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tools.console import size, table
from tools.matrix import LEFT_OUT, VERSIONS
from tools.report_counts import counts

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_help_shows_every_command() -> None:
    shown = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert commands
    assert [name for name in commands[1].split() if not re.search(rf"^  {name} +\S", shown, re.MULTILINE)] == []


@pytest.mark.parametrize("module", re.findall(r"-m (tools\.\w+)", MAKEFILE))
def test_the_modules_that_make_runs_exist(module: str) -> None:
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_constraints_belong_to_versions_of_the_matrix() -> None:
    assert {file.stem for file in (ROOT / "requirements").glob("*.txt")} <= {
        f"airflow-{version}" for version in VERSIONS
    }


def test_the_matrix_ends_with_the_airflow_of_the_demo() -> None:
    default = re.search(r"^AIRFLOW_VERSION \?= (\S+)$", MAKEFILE, re.MULTILINE)
    assert default
    assert default[1] == VERSIONS[-1]


@pytest.mark.parametrize("path", LEFT_OUT)
def test_what_the_matrix_leaves_out_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_counts_come_from_pytests_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10"></testsuite></testsuites>'
    )
    assert counts(report) == (4, 3, 3)
    assert counts(tmp_path / "none.xml") == (0, 0, 0)


def test_a_table_aligns_its_columns() -> None:
    lines = table(("photo", "credits"), [("a.jpg", "1"), ("longer.jpg", "10")], right=(1,)).splitlines()
    assert lines == ["photo       credits", "----------  -------", "a.jpg             1", "longer.jpg       10"]


@pytest.mark.parametrize(("count", "text"), [(0, "0 kB"), (1500, "2 kB"), (2_340_000, "2.3 MB")])
def test_sizes_are_written_for_people(count: int, text: str) -> None:
    assert size(count) == text
