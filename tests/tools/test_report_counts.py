"""What the commands say of pytest's reports."""

from __future__ import annotations

from pathlib import Path

from tools.report_counts import counts, failures

REPORT = """<testsuites><testsuite tests="4" failures="1" errors="1" skipped="1">
<testcase classname="tests.test_night" name="test_pays_once"><failure message="assert 2 == 1&#10; more"/></testcase>
<testcase classname="tests.test_night" name="test_lands"><error/></testcase>
<testcase classname="tests.test_night" name="test_waits"><skipped/></testcase>
<testcase classname="tests.test_night" name="test_ends"/>
</testsuite></testsuites>"""


def test_a_report_is_counted_and_its_failures_named(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert counts(report) == (1, 2, 1)
    assert failures(report) == [
        "tests.test_night::test_pays_once: assert 2 == 1",
        "tests.test_night::test_lands: nothing said",
    ]


def test_without_a_report_nothing_is_said(tmp_path: Path) -> None:
    assert (counts(tmp_path / "none.xml"), failures(tmp_path / "none.xml")) == ((0, 0, 0), [])
