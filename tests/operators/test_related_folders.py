"""Records of folders above and beside: whichever way photos are grouped and outputs are named, they are known."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_autoenhance.pipeline.batch import claims, engine, lease
from tests.support.batch import Enhance, enhance_to, enhanced_by, fill, operator, outputs
from tests.support.elsewhere import Begin
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import context

FLAT = "{stem}.jpg"
DAY: dict[str, Any] = {"source": "s3://listings/day/", "destination": "s3://enhanced/day/"}


def fill_day(s3: SimpleNamespace) -> None:
    for number, path in enumerate(("hall.jpg", "maple/kitchen.jpg", "oak/bath.jpg", "oak/up/attic.jpg")):
        s3.put(f"day/{path}", photo(shade=40 + number))


@pytest.mark.parametrize(
    ("first", "second", "fetched"),
    [
        ({"group_by": "folder"}, {"group_by": "all"}, 0),
        ({"group_by": "all"}, {"group_by": "folder"}, 0),
        ({"destination_template": FLAT}, {}, 3),
        ({}, {"destination_template": FLAT}, 3),
        ({"destination_template": FLAT, "group_by": "all"}, {}, 3),
        ({"destination_template": "web/{folder}{stem}.jpg"}, {"destination_template": "{folder}{stem}.jpg"}, 4),
        ({"source": ["s3://listings/day/"]}, {"source": ["s3://listings/day/", "s3://listings/other/"]}, 4),
        ({"source": ["s3://listings/day/", "s3://listings/other/"]}, {"source": ["s3://listings/day/"]}, 4),
    ],
    ids=["all after folder", "folder after all", "in folders", "flat", "all and flat", "moved", "more", "fewer"],
)
def test_what_was_bought_is_found_however_photos_are_grouped_and_placed(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, first: Any, second: Any, fetched: int
) -> None:
    fill_day(s3)
    s3.put("other/roof.jpg", photo(shade=90))
    before = enhance(run_id="night-1", **DAY | first)
    summary = enhance(run_id="night-2", **DAY | second)
    new = summary["photos"] - before["photos"]
    assert (summary["landed"], summary["credits"], summary["failed"]) == (fetched + max(new, 0), max(new, 0), 0)
    assert autoenhance.ledger()["images_created"] == max(before["photos"], summary["photos"])
    idle = enhance(run_id="night-3", **DAY | second)
    assert (idle["skipped"], idle["landed"]) == (summary["photos"], 0)


@pytest.mark.parametrize(
    ("there", "here"),
    [({"group_by": "all"}, {}), ({}, {"group_by": "all"}), ({"paths": ["maple/kitchen.jpg"]}, {"group_by": "all"})],
)
def test_two_groupings_of_one_folder_work_one_after_the_other(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    elsewhere: Begin,
    there: Any,
    here: Any,
) -> None:
    fill_day(s3)
    other = elsewhere(**DAY | there)
    threading.Timer(1.0, other.go_on.set).start()
    summary = enhance(run_id="here", **DAY | here)
    other.end()
    assert other.error is None
    assert summary["landed"] + other.summary["landed"] == 4 == autoenhance.ledger()["images_created"]


@pytest.mark.parametrize("under_way", [False, True])
def test_a_flat_template_writes_over_no_other_folder_s_photo(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, under_way: bool
) -> None:
    for number, folder in enumerate(("maple", "oak")):
        s3.put(f"day/{folder}/kitchen.jpg", photo(shade=40 + number))
    siblings = [
        {**DAY, "destination_template": FLAT, "paths": [f"{folder}/kitchen.jpg"]} for folder in ("maple", "oak")
    ]
    if under_way:
        autoenhance.settings(processing_seconds=[30, 30])
        first = operator(deferrable=True, **siblings[0])
        with pytest.raises(TaskDeferred):
            first.execute(context(first, map_index=0))
    else:
        enhanced_by(0, **siblings[0])
    with pytest.raises(AirflowFailException, match=r"oak/kitchen.jpg would become s3://enhanced/day/kitchen.jpg"):
        enhanced_by(1, **siblings[1])
    assert autoenhance.ledger()["images_created"] == 1


def test_a_photo_whose_file_would_be_another_s_fails_and_the_others_land(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 2)
    enhance(run_id="night-1", destination_template=FLAT)
    s3.put("maple/000.png", photo(shade=200))
    s3.put("maple/002.jpg", photo(shade=210))
    s3.client.delete_object(Bucket="listings", Key="maple/000.jpg")
    there = s3.get("maple/000.jpg")
    summary = enhance(run_id="night-2", destination_template=FLAT, max_failures=1)
    assert (summary["landed"], summary["skipped"], summary["failed"], summary["credits"]) == (1, 1, 1, 1)
    (failure,) = summary["failures"]
    assert failure["photo"] == "000.png" and "is made from s3://listings/maple/000.jpg" in failure["reason"]
    assert "delete that file" in failure["reason"]
    assert s3.get("maple/000.jpg") == there


def test_mapped_tasks_with_other_outputs_of_the_same_photos_find_their_own(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 2)
    siblings = [{"output_spec": {"format": form}} for form in ("jpeg", "webp", "png")]
    for number, each in enumerate(siblings):
        assert enhanced_by(number, **each)["landed"] == 2
    made = outputs(s3)
    for night in ("night-2", "night-3"):
        idle = [enhance(run_id=night, **each) for each in siblings]
        assert [(each["skipped"], each["landed"]) for each in idle] == [(2, 0)] * 3
    assert outputs(s3) == made and len(made) == 6
    assert autoenhance.ledger()["images_created"] == 2


def test_a_claim_in_a_record_that_was_copied_here_holds_nobody_up(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    fill(s3, 1)
    enhance(run_id="night-1")
    (name,) = (key for key in s3.keys() if key.endswith(".jsonl") and "/.autoenhance/" in key)
    header, *rows = s3.get(name).splitlines()
    claim = {"lease": "s3://nobodys-bucket/maple/.autoenhance/1.lease", "token": "t"}
    copied = b"\n".join([json.dumps(json.loads(header) | {"claim": claim}).encode(), *rows, b""])
    s3.client.put_object(Bucket="enhanced", Key=name, Body=copied)
    fill(s3, 2)
    assert enhance(run_id="night-2")["landed"] == 1


def test_a_short_timeout_outlasts_a_dead_claim(
    enhance: Enhance,
    autoenhance: Sandbox,
    elsewhere: Begin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = elsewhere(patience=1.5, renew=60.0)
    over = time.time()
    monkeypatch.setattr(engine, "wait_for_others", lambda job, blockers, _: claims.wait_for_others(job, blockers, over))
    assert enhance(run_id="here")["landed"] == 2
    other.end()
    assert autoenhance.ledger()["images_created"] == 2


def test_dead_runs_are_buried_together(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many died, one wait is enough."""
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 1.5)
    fill(s3, 1)
    for run_id in ("night-1", "night-2", "night-3"):
        with monkeypatch.context() as killed:
            killed.setattr(claims.Claims, "check", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
            killed.setattr(claims.Claims, "release", lambda _: None)
            killed.setattr(lease.Lease, "_keep", lambda _: None)
            killed.setattr(claims.Watched, "is_alive", lambda _: False)
            with pytest.raises(KeyboardInterrupt):
                enhance(run_id=run_id)
    waits: list[float] = []
    monkeypatch.setattr(engine, "wait_for_others", _counted(waits))
    assert enhance(run_id="night-4")["landed"] == 1
    assert len(waits) == 1


def _counted(waits: list[float]) -> Any:
    real = claims.wait_for_others

    def wait(*about: Any) -> None:
        waits.append(time.monotonic())
        real(*about)

    return wait


@pytest.fixture
def mounted_twice(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A folder under two names, as a worker has it that mounts one disk twice."""
    one, other = tmp_path / "one", tmp_path / "other"
    (one / "in").mkdir(parents=True)
    other.mkdir()
    if subprocess.run(["mount", "--bind", one, other], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    yield one, other
    subprocess.run(["umount", other], check=True)


def test_a_folder_that_is_mounted_twice_is_one_place(autoenhance: Sandbox, mounted_twice: tuple[Path, Path]) -> None:
    one, other = mounted_twice
    (one / "in" / "a.jpg").write_bytes(photo())
    with pytest.raises(AirflowFailException, match="never written over"):
        enhance_to(f"{one}/in/", f"{other}/in/")
    for night in ("night-1", "night-2"):
        summary = enhance_to(f"{one}/in/", f"{other}/in/out/", run_id=night)
        assert summary["photos"] == 1, "results are not enhanced again"
    with pytest.raises(AirflowFailException, match="never written over"):
        enhance_to(f"{other}/in/out/", f"{one}/in/")
    assert autoenhance.ledger()["images_created"] == 1


@pytest.mark.parametrize("deeper", ["maple/", "maple/up/"])
def test_what_a_task_has_landed_from_further_above_is_not_written_over(
    autoenhance: Sandbox, s3: SimpleNamespace, tmp_path: Path, deeper: str
) -> None:
    s3.put(f"day/{deeper}0.jpg", photo(shade=40))
    s3.put("other/0.jpg", photo(shade=90))
    for place in ("s3://enhanced/day/", "s3://enhanced/", f"{tmp_path}/out/"):
        enhance_to("s3://listings/day/", place, group_by="all", preview=True)
        made = autoenhance.ledger()["images_created"]
        other = operator(
            task_id="other", source="s3://listings/other/", destination=f"{place}{deeper}", preview=True, timeout=30
        )
        with pytest.raises(AirflowFailException, match=r"day/.*0\.jpg \(nightly/enhance night-1\)"):
            other.execute(context(other))
        again = enhance_to("s3://listings/day/", place, group_by="all", preview=True, run_id="night-2")
        assert (again["skipped"], again["failed"]) == (1, 0)
        assert autoenhance.ledger()["images_created"] == made


@pytest.mark.parametrize("task_id", ["enhance", "other"])
@pytest.mark.parametrize("settings", [None, {"enhance_type": "warm"}], ids=["same settings", "other settings"])
def test_what_was_bought_from_further_above_is_not_bought_again(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, task_id: str, settings: dict[str, str] | None
) -> None:
    fill_day(s3)
    enhance(run_id="night-1", group_by="all", **DAY)
    before = {key: s3.get(key) for key in outputs(s3)}
    listing = {"source": "s3://listings/day/oak/", "destination": "s3://enhanced/day/oak/", "task_id": task_id}
    refusal = (
        "in other settings"
        if settings and task_id == "other"
        else r"with destination s3://enhanced/day/, and it would be bought again"
    )
    with pytest.raises(AirflowFailException, match=refusal):
        enhance(run_id="night-2", settings=settings, **listing)
    assert {key: s3.get(key) for key in outputs(s3)} == before
    assert autoenhance.ledger()["images_created"] == 4
    s3.put("day/oak/bath.jpg", photo(shade=200))
    summary = enhance(run_id="night-3", max_failures=1, **listing)
    assert (summary["landed"], summary["failed"], summary["credits"]) == (1, 1, 1)
    summary = enhance(run_id="night-4", on_existing="reenhance", **listing)
    assert (summary["landed"], summary["credits"]) == (2, 2)
