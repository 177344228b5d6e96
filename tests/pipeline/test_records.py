"""Records that somebody cut, edited or mixed up: read right, or refused by file and line.

``TORTURE_EXAMPLES`` sets how many mutations are tried, with a fresh seed.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from airflow_provider_autoenhance.api.errors import DestinationError
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Job, Run
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.plan.exposures import group_files
from airflow_provider_autoenhance.pipeline.records import (
    Joined,
    Record,
    Row,
    Rows,
    _lines,
    latest_rows,
    read_record,
    record_uri,
    write_lines,
)
from airflow_provider_autoenhance.pipeline.sources import SourceFile, Sources

EXAMPLES = int(os.environ.get("TORTURE_EXAMPLES", "400"))
JOB = Job(
    run=Run("nightly", "enhance", "night-1"), sources=Sources(["s3://a/"]), destination="s3://b/", brackets="auto"
)
SHOTS = [
    Photo(
        SourceFile(f"s3://a/{name}.jpg", f"s3://a/{name}.jpg"),
        f"{name}.jpg",
        10,
        "e",
        name * 64,
        f"{name}.jpg",
        (f"s3://b/{name}.jpg",),
    )
    for name in "abcdef"
]


def real_record() -> Record:
    """A record as batches write them, with each kind of row."""
    record = Record("2f7c6a1e", "nightly/enhance scheduled__2026-01-01", ["o-1", "o-2"], 1767225600.25)
    record.grouping = group_files(JOB, SHOTS, [], {}).grouping
    record.chosen = ["c" * 64]
    record.orphans = [
        {"source": "s3://a/x.jpg", "status": "orphaned", "order_id": "o-2", "bracket_id": "b-1", "reason": "no"}
    ]
    plain = Row(
        "s3://a/Küche 1.jpg", '9b2c"1', 4_321_000, "a" * 64, "landed", "2f7c6a1e", "i-1", "o-1", "Küche-aaaaaaaa.jpg"
    )
    rows = [
        replace(
            plain,
            outputs=[{"uri": "s3://b/k.jpg", "size": 2_100_000, "etag": "77", "sha256": "ab" * 32, "content_type": "image/jpeg"}],
            request={"preview": False, "format": None},
            credits=1,
            credit_spent=True,
            seconds={"upload": 1.25, "download": 0.5},
            at="2026-01-01T00:00:00.000+00:00",
        ),
        replace(
            plain,
            fingerprint="b" * 64,
            etag=None,
            outputs=[{"uri": "s3://b/k.tif", "size": 9, "etag": None, "sha256": "cd" * 32, "width": 6000, "notes": ["first of 2 pages"]}],
            request={"outputs": [{"format": "tiff", "dpi": 300}]},
        ),
        replace(plain, fingerprint="c" * 64, status="failed", image_id=None, reason='no such "key"\\ \u2028', transient=True),
        replace(plain, fingerprint="d" * 64, status="pending", exposures=[{"source": "s3://a/1.jpg", "etag": None, "size": 3}] * 5),
        replace(plain, fingerprint="e" * 64, status="omitted", order_id=None, image_name=None),
    ]  # fmt: skip
    for row in rows:
        record.rows[row.fingerprint] = row
    return record


REAL = real_record()
LINES = list(REAL.to_lines())


def read(folder: Path, content: bytes, run: str = REAL.run) -> Record:
    path = Path(record_uri(f"{folder}/", run))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return read_record(str(path), None)


def check_types(record: Record) -> None:
    """Whatever reads a record may rely on this."""

    def texts(values: Any) -> bool:
        return isinstance(values, list) and all(isinstance(each, str) for each in values)

    def sized(values: Any, name: str) -> bool:
        return isinstance(values, list) and all(
            isinstance(each[name], str) and type(each["size"]) is int and each["size"] >= 0 for each in values
        )

    assert isinstance(record.run, str)
    assert isinstance(record.origin, str)
    assert isinstance(record.complete, bool)
    assert texts(record.orders)
    assert record.chosen is None or texts(record.chosen)
    assert 0 <= record.submitted_at < 1e12
    assert all(isinstance(each["order_id"], str) for each in record.orphans)
    for fingerprint, row in record.rows.items():
        assert fingerprint == row.fingerprint
        for name in ("source", "fingerprint", "status", "run", "at"):
            assert isinstance(getattr(row, name), str)
        for name in ("etag", "image_id", "order_id", "image_name", "reason"):
            assert isinstance(getattr(row, name), str | None)
        assert row.status in ("pending", "landed", "failed", "postponed", "omitted")
        assert type(row.size) is int
        assert row.credits in (0, 1)
        assert isinstance(row.credits, int)
        assert isinstance(row.credit_spent, bool)
        assert isinstance(row.transient, bool)
        assert isinstance(row.request, dict)
        assert sized(row.outputs, "uri")
        assert sized(row.exposures, "source")
        assert isinstance(sum(row.seconds.values()), int | float)
    assert Record.from_lines(record.to_lines()) == record
    assert len(latest_rows([record, REAL])) >= len(REAL.rows)
    bracketing = group_files(JOB, SHOTS, [record], latest_rows([record]))
    assert {*bracketing.loose} | {photo.fingerprint for photo in bracketing.photos}


# Mutations

TOKENS = [
    *(b"[]", b"null", b"{}", b"NaN", b"Infinity", b"-1", b"1e400", b"9" * 400, b"9" * 5000, b"true", b'""', b'"x"', b"0.5", b"[[]]"),
    *(b"[" * 500 + b"]" * 500, b'{"a":' * 300 + b"1" + b"}" * 300, b"[" * 100_000, b'"\\ud800"', b"\xff", b"\xed\xa0\x80", b"\n", b"\0"),
]  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Change the bytes of a real record in one to three ways."""
    content = b"".join(LINES)
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["flip", "insert", "cut", "shorten", "value", "swap", "double", "drop", "header"]))
        at = draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "flip":
            content = content[:at] + draw(st.binary(min_size=1, max_size=1)) + content[at + 1 :]
        elif kind == "insert":
            content = content[:at] + draw(st.binary(min_size=1, max_size=4) | st.sampled_from(TOKENS)) + content[at:]
        elif kind == "cut":
            content = content[:at] + content[at + draw(st.integers(1, 40)) :]
        elif kind == "shorten":
            content = content[:at]
        elif kind == "value":
            content = with_value(content, at, draw(st.sampled_from(TOKENS)))
        else:
            content = b"".join(moved(content.splitlines(keepends=True), kind, at))
    return content


def with_value(content: bytes, at: int, token: bytes) -> bytes:
    """Put a token in the place of the value after the next colon."""
    start = content.find(b'": ', at) + 3
    ends = [end for mark in (b', "', b"}", b"\n") if (end := content.find(mark, start)) >= 0]
    return content if start < 3 or not ends else content[:start] + token + content[min(ends) :]


def moved(lines: list[bytes], kind: str, at: int) -> Iterable[bytes]:
    number, other = at % max(1, len(lines)), at // 7 % max(1, len(lines))
    if not lines:
        return lines
    if kind == "swap":
        lines[number], lines[other] = lines[other], lines[number]
    elif kind == "double":
        lines.insert(number, lines[other])
    elif kind == "header":
        lines.insert(number, lines[0])
    else:
        del lines[number]
    return lines


@seed(11 if "TORTURE_EXAMPLES" not in os.environ else random.getrandbits(64))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=mutations())
def test_a_mutated_record_is_read_right_or_refused_by_file_and_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "mutated"
    folder.mkdir(exist_ok=True)
    try:
        record = read(folder, content)
    except DestinationError as error:
        path = f"{folder}/{RECORDS_FOLDER}/{REAL.run}.jsonl"
        assert str(error).startswith(f"{path} is damaged, line ")
        assert "photos recorded only there will be enhanced and charged again" in str(error)
        assert len(str(error)) < 500
        assert error.__cause__ is None
    else:
        check_types(record)


# Single damages

DAMAGES: list[tuple[bytes, str]] = [
    (b"", "line 1: it is not JSON, or cut short"),
    (b"\n" + LINES[0], "line 1: it is not JSON, or cut short"),
    (b"[]\n", "line 1: it is not a JSON object"),
    (b"null\n", "line 1: it is not a JSON object"),
    (b"17\n", "line 1: it is not a JSON object"),
    (b"".join(LINES[1:]), "line 1: its 'origin' is missing"),
    (b"".join([*LINES, LINES[0]]), "line 7: its 'source' is missing"),
    (b"".join(LINES)[:-20], "line 6: it is not JSON, or cut short"),
    (b"".join([*LINES[:3], b"\n", b"{}\n"]), "line 5: its 'source' is missing"),
    (LINES[0] + b"[" * 100_000, "line 2: it is nested too deeply"),
    (LINES[0] + LINES[1].replace(b'"request": {', b'"request": {"x": ' + b"[" * 40 + b"]" * 40 + b", "), "line 2: it is nested too deeply"),
    (LINES[0] + b'{"source": "\xff"}', "line 2: it is not UTF-8"),
    (LINES[0] + LINES[1].replace(b"4321000", b"9" * 400), "line 2: its 'size' holds what was never written there"),
    (LINES[0] + LINES[1].replace(b"4321000", b"true"), "line 2: its 'size' is not a whole number"),
    (LINES[0] + LINES[1].replace(b"4321000", b"-1"), "line 2: its 'size' holds what was never written there"),
    (LINES[0] + LINES[1].replace(b'"credits": 1', b'"credits": 2'), "line 2: its 'credits' holds what"),
    (LINES[0] + LINES[1].replace(b'"landed"', b'"lended"'), "line 2: its 'status' holds what"),
    (LINES[0] + LINES[1].replace(b'"landed"', b"null"), "line 2: its 'status' is not a text"),
    (LINES[0] + LINES[1].replace(b"1.25", b"NaN"), "line 2: it is not JSON, or cut short"),
    (LINES[0] + LINES[1].replace(b"1.25", b"1e999"), "line 2: its 'seconds' holds what"),
    (LINES[0] + LINES[1].replace(b'"seconds": {', b'"seconds": [{').replace(b"0.5}", b"0.5}]"), "line 2: its 'seconds' is not an object"),
    (LINES[0] + LINES[1].replace(b'"format": null', b'"format": 1e999'), "line 2: "),
    (LINES[0] + LINES[1].replace(b'"i-1"', b'"\\ud83d"'), "line 2: its 'image_id' holds what"),
    (LINES[0] + LINES[1].replace(b'"size": 2100000', b'"size": "big"'), "line 2: its 'outputs' holds what"),
    (LINES[0] + LINES[1].replace(b'"outputs": [{', b'"outputs": [1, {'), "line 2: its 'outputs' holds what"),
    (LINES[0] + LINES[4].replace(b'"source": "s3://a/1.jpg"', b'"source": 1'), "line 2: its 'exposures' holds what"),
    (LINES[0].replace(b'"o-1"', b"1"), "line 1: its 'orders' holds what"),
    (LINES[0].replace(b'"o-1"', b'"\\ud83d"'), "line 1: its 'orders' holds what"),
    (LINES[0].replace(b"1767225600.25", b"1e12"), "line 1: its 'submitted_at' holds what"),
    (LINES[0].replace(b'"complete": false', b'"complete": 0'), "line 1: its 'complete' is not true or false"),
    (LINES[0].replace(b'"key": "', b'"key": 1, "q": "'), "line 1: its 'grouping' holds what"),
    (LINES[0].replace(b'"groups": ', b'"groups": [[1]], "g": '), "line 1: its 'grouping' holds what"),
    (LINES[0].replace(b'"order_id"', b'"order"'), "line 1: its 'orphans' holds what"),
    (LINES[0].replace(b'"run": "2f7c6a1e"', b'"run": "2f7c6a1f"'), "line 1: its 'run' is not the file's name"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "told"), DAMAGES, ids=[f"{number} {told}"[:60] for number, (_, told) in enumerate(DAMAGES)]
)
def test_damage_is_named_by_file_line_and_field(tmp_path: Path, content: bytes, told: str) -> None:
    assert content != b"".join(LINES)
    with pytest.raises(DestinationError) as caught:
        read(tmp_path, content)
    path = f"{tmp_path}/{RECORDS_FOLDER}/{REAL.run}.jsonl"
    assert str(caught.value).startswith(f"{path} is damaged, {told}")
    assert str(caught.value).endswith(
        "Restore it. If you delete it, photos recorded only there will be enhanced and charged again."
    )


def test_a_real_record_is_read_back_whole_and_a_later_version_s_too(tmp_path: Path) -> None:
    write_lines(str(tmp_path / "written"), None, REAL.to_lines)
    assert read(tmp_path, (tmp_path / "written").read_bytes()) == REAL
    later = [b'{"new_field": {"deep": [1]}, ' + line[1:] for line in LINES]
    assert read(tmp_path, b"\r\n".join(line.strip() for line in later)) == REAL
    check_types(REAL)


def test_a_record_without_a_version_is_read_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    assert LINES[0].startswith(b'{"version": 1, ')
    assert read(tmp_path, b"".join([LINES[0].replace(b'"version": 1, ', b""), *LINES[1:]])) == REAL
    newer = [LINES[0].replace(b'"version": 1, ', b'"version": 2, ').replace(b'"complete": false', b'"complete": "no"')]
    with pytest.raises(DestinationError, match=r"jsonl was written by a newer version of this provider \(format 2;"):
        read(tmp_path, b"".join([*newer, *LINES[1:]]))
    with pytest.raises(DestinationError, match="line 1: its 'version' is not a whole number"):
        read(tmp_path, LINES[0].replace(b'"version": 1', b'"version": "1"'))


def test_a_grouping_that_names_other_files_is_made_anew() -> None:
    damaged = replace(REAL, grouping=json.loads(json.dumps(REAL.grouping).replace("s3://a/b.jpg", "s3://a/z.jpg")))
    assert damaged.grouping != REAL.grouping
    assert group_files(JOB, SHOTS, [damaged], {}) == group_files(JOB, SHOTS, [], {})


def test_rows_are_read_while_the_only_one_goes_and_others_come() -> None:
    """As a lease is renewed: its thread writes the record while the task's own changes it."""
    first, *others = REAL.rows.values()
    rows = Rows()
    rows[first.fingerprint] = first
    lines = rows.lines()
    del rows[first.fingerprint]
    for row in others:
        rows[row.fingerprint] = row
    assert list(lines) == [first.to_line()]
    assert list(rows.values()) == others


def test_rows_of_records_that_have_little_in_common_are_put_together() -> None:
    one, other, both = Rows(), Rows(), Rows()
    for number, row in enumerate(REAL.rows.values()):
        (one, other)[number % 2][row.fingerprint] = row
    both.take_in(one)
    both.take_in(other)
    assert dict(both) == dict(REAL.rows)


# Lines and blocks


@given(st.lists(st.binary(max_size=9)), st.integers(1, 7))
def test_lines_come_through_blocks_of_any_size(lines: list[bytes], size: int) -> None:
    lines = [line.replace(b"\n", b"") + b"\n" for line in lines]
    joined = Joined(lines)
    blocks = list(iter(lambda: joined.read(size), b""))
    assert all(len(block) == size for block in blocks[:-1])
    assert list(_lines(blocks)) == lines
    assert Joined(lines).read() == b"".join(lines)
