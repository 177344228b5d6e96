"""The decision about one photo, from everything that can be known of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.api.models import Image, ImageStatus
from airflow_provider_autoenhance.pipeline.batch.progress import Progress
from airflow_provider_autoenhance.pipeline.job import Job, Run
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.plan.decide import Step, decide, passes
from airflow_provider_autoenhance.pipeline.records import Record, Row
from airflow_provider_autoenhance.pipeline.sources import SourceFile, Sources

JOB = Job(run=Run("nightly", "enhance", "night-1"), sources=Sources(["s3://a/"]), destination="s3://b/", preview=False)
PHOTO = Photo(
    SourceFile("s3://a/x.jpg", "s3://a/x.jpg"), "x.jpg", 10, "etag", "f" * 64, "x-ffffffff.jpg", ("s3://b/x.jpg",)
)
OWN = JOB.key("s3://a/", "s3://b/")


def row(status: Any, **fields: Any) -> Row:
    return replace(
        Row(
            PHOTO.source,
            PHOTO.etag,
            PHOTO.size,
            PHOTO.fingerprint,
            status,
            "other-run",
            "i1",
            "o1",
            request=JOB.request,
        ),
        **fields,
    )


def image(status: ImageStatus, reason: str | None = None, *, paid: bool = False) -> Image:
    return Image("i1", PHOTO.image_name, "o1", status, reason, paid)


@pytest.mark.parametrize(
    ("known", "step"),
    [
        ({}, Step.CREATE),
        ({"image": image(ImageStatus.PROCESSED)}, Step.DOWNLOAD),
        ({"image": image(ImageStatus.PROCESSING)}, Step.WAIT),
        ({"image": image(ImageStatus.WAITING)}, Step.REPLACE),
        ({"image": image(ImageStatus.EXPIRED)}, Step.REPLACE),
        ({"image": image(ImageStatus.ERROR, "cannot decode")}, Step.REPLACE),
        ({"image": image(ImageStatus.ERROR, "Daily enhancement limit reached")}, Step.REPROCESS),
        ({"image": image(ImageStatus.ERROR, "cannot decode"), "resumed": True}, Step.KEEP),
        ({"row": row("landed"), "present": True}, Step.SKIP),
        ({"row": row("landed"), "present": False}, Step.DOWNLOAD),
        ({"row": row("landed", request={"preview": True}), "present": True}, Step.DOWNLOAD),
        ({"row": row("failed")}, Step.CREATE),
        ({"row": row("failed", image_id=None)}, Step.CREATE),
        ({"row": row("postponed")}, Step.CREATE),
        ({"row": row("failed", run=OWN), "resumed": True}, Step.KEEP),
        ({"row": row("failed", run=OWN), "resumed": False}, Step.CREATE),
        ({"row": row("failed"), "resumed": True}, Step.CREATE),
        ({"row": row("pending", run=OWN), "resumed": True}, Step.KEEP),
        ({"row": row("pending", run=OWN), "resumed": True, "merging": "o1"}, Step.WAIT),
        ({"row": row("pending", run=OWN)}, Step.CREATE),
        ({"row": row("pending"), "resumed": True}, Step.CREATE),
        ({"row": row("landed"), "present": False, "image": image(ImageStatus.PROCESSED)}, Step.DOWNLOAD),
    ],
)
def test_the_next_step(known: dict[str, Any], step: Step) -> None:
    known = {"row": None, "image": None, "present": False, "resumed": False} | known
    assert decide(PHOTO, job=JOB, own=OWN, **known).step is step


def test_redownload_fetches_again_once_per_run() -> None:
    job = replace(JOB, on_existing="redownload")
    known: dict[str, Any] = {"job": job, "image": None, "present": True, "own": OWN, "resumed": False}
    assert decide(PHOTO, row=row("landed"), **known).step is Step.DOWNLOAD
    assert decide(PHOTO, row=row("landed", run=OWN), **known).step is Step.SKIP


def test_reenhance_makes_new_fingerprints_per_run_only() -> None:
    def fingerprint(run_id: str, on_existing: Any) -> str:
        return replace(JOB, run=replace(JOB.run, run_id=run_id), on_existing=on_existing).fingerprint(
            "s3://a/x.jpg", "e", 1
        )

    assert fingerprint("1", "skip") == fingerprint("2", "skip") != fingerprint("1", "reenhance")
    assert fingerprint("1", "reenhance") != fingerprint("2", "reenhance")


statuses = st.sampled_from(list(ImageStatus))
rows = st.none() | st.builds(
    row,
    st.sampled_from(["landed", "failed", "postponed"]),
    run=st.sampled_from([OWN, "other-run"]),
    image_id=st.none() | st.just("i1"),
    credits=st.integers(0, 1),
)


@given(statuses, rows, st.booleans(), st.booleans(), st.sampled_from(["skip", "redownload", "reprocess", "reenhance"]))
def test_an_adoptable_image_is_never_made_a_second_time(
    status: ImageStatus, known: Row | None, present: bool, resumed: bool, on_existing: Any
) -> None:
    job = replace(JOB, on_existing=on_existing)
    decision = decide(PHOTO, job=job, row=known, image=image(status), present=present, own=OWN, resumed=resumed)
    if status in (ImageStatus.PROCESSING, ImageStatus.PROCESSED):
        assert decision.step not in (Step.CREATE, Step.REPLACE, Step.REPROCESS)
    assert decision.step is not Step.CREATE, "an image that is known is replaced, never forgotten"


@pytest.mark.parametrize(
    "reason",
    ["Daily enhancement limit reached. Try again tomorrow", "over QUOTA", "timed out", "temporarily unavailable"],
)
def test_reasons_that_pass_by_themselves(reason: str) -> None:
    assert passes(reason)
    assert not passes("cannot decode this file")
    assert not passes(None)


def test_a_record_survives_its_file_and_fields_of_the_future() -> None:
    record = Record("r1", "dag/task run", ["o1"], 5.0, chosen=["f"])
    record.rows["f" * 64] = row("landed", outputs=[{"uri": "s3://b/ü.jpg", "size": 3}])
    lines = list(record.to_lines())
    assert Record.from_lines(lines) == record
    later = [line.replace(b'"run": "r1"', b'"run": "r1", "new_field": 1') for line in lines]
    assert Record.from_lines(later) == record


def test_progress_counts_what_landed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Progress(logging.getLogger("progress"), 1, "Landed", clock=lambda: 0.0).add(failed=True)
    assert caplog.messages == ["Landed 0 of 1 photo, 0.0 MB/s, 1 failed, in 0 s"]


def test_progress_tells_every_few_seconds_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    progress = Progress(logging.getLogger("progress"), 100, "Landed", clock=lambda: now)
    for number in range(100):
        now += 0.2
        progress.add(size=1_000_000, failed=number == 7)
    assert len(caplog.messages) == 4
    assert caplog.messages[0] == "Landed 24 of 100 photos, 5.0 MB/s, 1 failed, about 15 s to go"
    assert caplog.messages[-1] == "Landed 99 of 100 photos, 5.0 MB/s, 1 failed, in 20 s"
