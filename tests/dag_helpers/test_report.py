"""The morning report."""

from __future__ import annotations

from typing import Any

from airflow_provider_autoenhance.dag_helpers.report import NightReport

GROUPS = [{"source": "s3://in/ash/"}, {"source": ["s3://in/elm/", "s3://in/oak/"]}]
ASH = {"source": "s3://in/ash/", "photos": 3, "landed": 3, "credits": 3, "failed": 0, "failures": []}


def test_all_well() -> None:
    others = ASH | {"source": GROUPS[1]["source"]}
    report = NightReport(GROUPS, [others, ASH], [ASH, others])
    assert report.totals()["landed"] == 6
    assert report.result()["failed_listings"] == 0
    assert [line.split()[0] for line in report.lines()] == ["listing", "ash", "elm", "2"]


def test_one_listing_comes_alone_from_xcom() -> None:
    report = NightReport(GROUPS[:1], ASH, ASH)
    assert (report.result()["listings"], report.result()["landed"]) == (1, 3)


def test_no_listing_at_all() -> None:
    assert NightReport([], None, None).result()["listings"] == 0
    assert len(list(NightReport([], None, None).lines())) == 2


def test_failures_are_named_and_what_has_no_summary_too() -> None:
    failures = [{"photo": "1.jpg", "reason": "cut short"}]
    bad: dict[str, Any] = ASH | {"failed": 5, "landed": 0, "failures": failures, "manifest": "s3://out/ash/m.jsonl"}
    report = NightReport(GROUPS, [bad], None)
    assert report.result()["failed_listing_names"] == ["ash", "elm … oak"]
    first, more, early = report.result()["problems"]
    assert first == "ash/1.jpg: cut short"
    assert more == "ash: 4 more, in s3://out/ash/m.jsonl"
    assert early.startswith("elm … oak: the task ended before")
    assert list(report.lines())[-3:] == report.result()["problems"]


def test_listings_that_share_a_task_have_a_row_each() -> None:
    packed = [{"source": ["s3://conn@in/elm/", "s3://conn@in/oak/", "s3://conn@in/yew/"], "listings": True}]
    elm = {"source": "s3://in/elm/", "status": "ok", "photos": 2, "landed": 2, "failures": []}
    oak = {
        **elm,
        "source": "s3://in/oak/",
        "status": "failed",
        "failed": 1,
        "failures": [{"photo": "1.jpg", "reason": "no"}],
    }
    yew = {
        "source": "s3://in/yew/",
        "status": "failed",
        "photos": 0,
        "failures": [],
        "error": "DestinationError: is damaged",
    }
    summary = {"source": packed[0]["source"], "photos": 4, "listings": [elm, oak, yew]}
    report = NightReport(packed, [summary], None)
    assert [(each.name, each.status) for each in report.listings] == [
        ("elm", "ok"),
        ("oak", "failed"),
        ("yew", "failed"),
    ]
    assert report.result()["problems"] == ["oak/1.jpg: no", "yew: DestinationError: is damaged"]
    assert (report.totals()["photos"], report.result()["listings"]) == (4, 3)
    early = NightReport(packed, None, None)
    assert [each.status for each in early.listings] == ["failed early"] * 3
    assert early.result()["failed_listing_names"] == ["elm", "oak", "yew"]


def test_failures_within_what_is_allowed_are_named_though_the_task_succeeded() -> None:
    some = ASH | {"failed": 1, "failures": [{"photo": "2.jpg", "reason": "too dark"}]}
    report = NightReport(GROUPS[:1], some, some)
    assert report.listings[0].status == "ok"
    assert report.result()["problems"] == ["ash/2.jpg: too dark"]


def test_money_is_added_up_where_all_count_in_one_currency() -> None:
    ash = ASH | {"cost": 0.87, "currency": "EUR"}
    elm = ash | {"source": GROUPS[1]["source"], "cost": 1.13}
    report = NightReport(GROUPS, [ash, elm], [ash, elm])
    assert (report.result()["cost"], report.result()["currency"]) == (2.0, "EUR")
    assert [line.split()[-1] for line in report.lines()] == ["EUR", "0.87", "1.13", "2.00"]
    early = NightReport(GROUPS, [ash], [ash])
    assert [line.split()[-1] for line in early.lines()][:4] == ["EUR", "0.87", "-", "0.87"]
    mixed = NightReport(GROUPS, [ash, elm | {"currency": "USD"}], [ash, elm])
    assert "cost" not in mixed.result()


def test_a_presigned_listing_is_known_by_what_its_summary_keeps() -> None:
    kept = "https://photos.example/1.jpg"
    report = NightReport(
        [{"source": [f"{kept}?Signature=c2VjcmV0"]}], [ASH | {"source": [kept]}], [ASH | {"source": [kept]}]
    )
    assert report.totals()["landed"] == 3
    assert "c2VjcmV0" not in str([*report.lines(), report.result()])


def test_a_line_cannot_be_forged_by_a_files_name() -> None:
    failures = [{"photo": "1\n[ERROR] forged.jpg", "reason": "see https://h/a?Signature=c2VjcmV0\nINFO all landed"}]
    report = NightReport(GROUPS[:1], [ASH | {"failed": 1, "failures": failures}], None)
    (line,) = report.result()["problems"]
    assert line == "ash/1 [ERROR] forged.jpg: see https://h/a INFO all landed"
    assert list(report.lines())[-1] == line


def test_the_pages_with_the_photos_are_named() -> None:
    sheet = "s3://out/ash/autoenhance-contact-sheet.html"
    report = NightReport(GROUPS, [ASH | {"contact_sheet": sheet}, ASH | {"source": GROUPS[1]["source"]}], None)
    assert report.result()["contact_sheets"] == [sheet]
    assert list(report.lines())[-2:] == ["Before and after:", sheet]
