"""What looks wrong about photos is named before the first upload, and held back where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.storage.s3 import S3Store
from tests.support.batch import Enhance, fill, manifest
from tests.support.photos import exposure, photo
from tests.support.sandbox import Sandbox

BIG = (800, 600)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The photos of which ranges are read."""
    found: list[str] = []
    original = S3Store.read_range

    def read_range(self: S3Store, offset: int, length: int) -> bytes:
        if self.location.bucket == "listings":
            found.append(self.location.uri.rpartition("/")[2])
        return original(self, offset, length)

    monkeypatch.setattr(S3Store, "read_range", read_range)
    return found


def shoot(s3: SimpleNamespace) -> None:
    """Five photos, of which one is cut in its header, one comes twice, and one is a preview."""
    whole = [photo(size=BIG, shade=40 + number) for number in range(3)]
    for name, data in (
        *(("a.jpg", whole[0]), ("b.jpg", whole[1]), ("b (1).jpg", whole[1])),
        *(("c.jpg", whole[2][:20]), ("small.jpg", photo(shade=90))),
    ):
        s3.put(f"maple/{name}", data)


def test_a_dry_run_names_what_looks_wrong(enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    shoot(s3)
    ahead = enhance(plan_only=True, preflight="read")
    assert ahead["warnings"] == [
        "maple: damaged, as the first kilobytes show: c.jpg (its JPEG header is damaged).",
        "maple: the same content twice: b (1).jpg (the same as b.jpg).",
        "maple: too small for what is asked: small.jpg (160 x 120 pixels).",
    ]
    assert (ahead["credits"], ahead["held"]) == (5, 0)


def test_what_looks_wrong_stands_in_result_and_manifest(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    shoot(s3)
    summary = enhance(preflight="read", max_failures=1)
    assert (summary["landed"], summary["failed"], len(summary["warnings"])) == (4, 1, 3)
    warned = {row["source"].rpartition("/")[2]: row["warnings"] for row in manifest(s3)}
    assert warned == {
        "a.jpg": [],
        "b.jpg": [],
        "b (1).jpg": ["the same as b.jpg"],
        "c.jpg": ["its JPEG header is damaged"],
        "small.jpg": ["160 x 120 pixels"],
    }


def test_what_looks_wrong_is_held_and_costs_nothing(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, reads: list[str]
) -> None:
    shoot(s3)
    summary = enhance(preflight="hold")
    assert (summary["landed"], summary["held"], summary["failed"], summary["credits"]) == (2, 3, 0, 2)
    held = {row["source"].rpartition("/")[2]: row["reason"] for row in manifest(s3) if row["status"] == "held"}
    assert held == {
        "b (1).jpg": "held by preflight: the same as b.jpg",
        "c.jpg": "held by preflight: its JPEG header is damaged",
        "small.jpg": "held by preflight: 160 x 120 pixels",
    }
    assert autoenhance.ledger()["images_created"] == 2
    reads.clear()
    for night in (2, 3):  # nothing has changed, so nothing is read again, and what is held stays held
        again = enhance(preflight="hold", run_id=f"night-{night}")
        assert (again["skipped"], again["held"], again["credits"]) == (2, 3, 0)
    assert reads == []
    let_go = enhance(preflight="off", run_id="night-4", max_failures=1)
    assert (let_go["landed"], let_go["failed"], let_go["held"]) == (2, 1, 0)


def test_a_held_photo_that_is_taken_away_is_no_failure(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    shoot(s3)
    enhance(preflight="hold")
    for name in ("b (1).jpg", "c.jpg", "small.jpg"):
        s3.client.delete_object(Bucket="listings", Key=f"maple/{name}")
    for run_id in ("night-1", "night-2"):
        summary = enhance(preflight="hold", run_id=run_id)
        assert (summary["photos"], summary["failed"], summary["held"], summary["warnings"]) == (2, 0, 0, [])


def test_without_being_asked_nothing_is_read(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, reads: list[str]
) -> None:
    shoot(s3)
    summary = enhance(max_failures=1)
    assert reads == []
    assert summary["warnings"] == ["maple: the same content twice: b (1).jpg (the same as b.jpg)."]
    assert enhance(run_id="night-2", preflight="off", max_failures=1)["warnings"] == []


def test_an_empty_file_shows_in_the_listing(enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, 1)
    s3.put("maple/empty.jpg", b"")
    warnings = enhance(plan_only=True)["warnings"]
    assert warnings == ["maple: damaged, as the first kilobytes show: empty.jpg (it is empty)."]


def test_photos_that_come_later_are_held_against_those_that_landed(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, reads: list[str]
) -> None:
    for number in range(5):
        s3.put(f"maple/{number}.jpg", exposure(10.0 * number, 0, size=BIG))
    assert enhance(preflight="read")["warnings"] == []
    reads.clear()
    s3.put("maple/late.jpg", exposure(55, 0, size=BIG, day=6))
    summary = enhance(preflight="hold", run_id="night-2")
    assert summary["warnings"] == ["maple: far from the rest of the folder: late.jpg (taken 2 days after the others)."]
    assert (summary["skipped"], summary["held"], reads) == (5, 1, ["late.jpg"])


def test_what_brackets_read_is_looked_over_and_not_read_again(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, reads: list[str]
) -> None:
    for number in range(5):
        s3.put(f"maple/{number}a.jpg", exposure(10.0 * number, 0, size=BIG))
        s3.put(f"maple/{number}b.jpg", exposure(10.0 * number + 0.3, -2, size=BIG))
    s3.put("maple/stray.jpg", exposure(55, 0, size=BIG, day=6))
    summary = enhance(brackets="exif")
    assert summary["warnings"] == ["maple: far from the rest of the folder: stray.jpg (taken 2 days after the others)."]
    assert (summary["landed"], sorted(reads)) == (6, sorted({*reads}))
    again = enhance(brackets="exif")  # a task that is cleared says the same again
    assert again["warnings"] == summary["warnings"]


def test_what_is_named_is_named_after_a_deferral_too(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    shoot(s3)
    autoenhance.settings(processing_seconds=[0.3, 0.5])
    summary = enhance(preflight="read", max_failures=1, deferrable=True)
    assert len(summary["warnings"]) == 3


def test_doubtful_brackets_are_held(enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    fill(s3, 5)
    summary = enhance(brackets=3, preflight="hold")
    assert (summary["held"], summary["credits"], autoenhance.ledger()["brackets_created"]) == (2, 0, 0)
    assert all("cannot be cut into brackets of 3" in row["reason"] for row in manifest(s3))


def test_the_dusk_of_a_photo_that_is_held_is_held_too(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    shoot(s3)
    summary = enhance(preflight="hold", dusk="small.jpg", preview=True)
    assert (summary["landed"], summary["held"], summary["warnings"][-1:]) == (2, 4, [summary["warnings"][2]])


def test_what_is_held_takes_no_place_within_a_limit(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    shoot(s3)
    s3.put("maple/0.jpg", b"")
    summary = enhance(preflight="hold", max_images=1)
    assert (summary["landed"], summary["held"]) == (1, 5)


def test_copies_on_a_disk_are_known_by_what_they_hold(enhance: Enhance, tmp_path: Path) -> None:
    whole = photo(size=BIG) + bytes(range(256)) * 1000
    for name, data in (("a.jpg", whole), ("a copy.jpg", whole), ("other.jpg", whole[:-1] + b"\0")):
        (tmp_path / name).write_bytes(data)
    about = {"source": f"{tmp_path}/", "destination": "s3://enhanced/disk/", "plan_only": True}
    (warning,) = enhance(preflight="read", **about)["warnings"]
    assert warning.endswith("the same content twice: a copy.jpg (the same as a.jpg).")
    assert enhance(**about)["warnings"] == []


def test_a_head_that_cannot_be_read_holds_nothing_up(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3, 2)

    def refused(self: S3Store, offset: int, length: int) -> bytes:
        raise errors.ServerError("the store is in trouble; try again.")

    monkeypatch.setattr(S3Store, "read_range", refused)
    ahead = enhance(preflight="hold", plan_only=True)
    assert (ahead["photos"], ahead["held"], ahead["warnings"]) == (2, 0, [])


def test_a_folder_in_which_all_is_held_or_up_to_date_is_left_as_it_is(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    fill(s3, 2)
    enhance()
    s3.put("maple/small.jpg", photo(shade=90))

    def records() -> dict[str, bytes]:
        return {key: s3.get(key) for key in s3.keys() if key.endswith(".jsonl")}

    assert enhance(preflight="hold", run_id="night-2")["held"] == 1
    written = records()
    assert enhance(preflight="hold", run_id="night-3")["held"] == 1
    assert records() == written


def test_holding_a_photo_that_landed_before_forgets_nothing(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    fill(s3, 1)
    enhance(dusk="000.jpg")
    AutoenhanceHook().delete_image(manifest(s3)[0]["image_id"])
    s3.client.delete_object(Bucket="enhanced", Key="maple/000.jpg")
    held = enhance(dusk="000.jpg", preflight="hold", run_id="night-2")
    assert (held["held"], held["skipped"], held["credits"]) == (1, 1, 0), "its dusk is there"
    ahead = enhance(dusk="000.jpg", plan_only=True, run_id="night-3")
    assert "bought before and bought again" in " ".join(ahead["warnings"])


def test_a_photo_that_waits_for_another_night_is_nobodys_original(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    for name in ("a.jpg", "a (1).jpg"):
        s3.put(f"maple/{name}", photo(size=BIG))
    assert enhance(max_images=1)["warnings"] == []
    assert "a.jpg (the same as a (1).jpg)" in enhance(run_id="night-2")["warnings"][0]


def test_copies_that_a_listing_shows_are_read_once(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, reads: list[str]
) -> None:
    for name in ("a.jpg", "a (1).jpg"):
        s3.put(f"maple/{name}", photo(size=BIG) + bytes(range(256)) * 1000)
    (warning,) = enhance(preflight="read", plan_only=True)["warnings"]
    assert warning.endswith("a (1).jpg (the same as a.jpg).")
    assert sorted(reads) == ["a (1).jpg", "a.jpg"]


def test_each_file_is_named_that_autoenhance_has_yet_to_group(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    for number in range(5):
        s3.put(f"maple/{number}.jpg", exposure(10.0 * number, 0, size=BIG))
    for name, data in (
        *(("x.jpg", photo(shade=90)), ("y.jpg", photo(size=BIG)[:20]), ("z.jpg", b"no picture")),
        *(("0 (1).jpg", exposure(0, 0, size=BIG)), ("stray.jpg", exposure(0, 0, size=BIG, day=2))),
    ):
        s3.put(f"maple/{name}", data)
    ahead = enhance(brackets="auto", preflight="hold", plan_only=True)
    assert (ahead["held"], ahead["warnings"]) == (
        0,
        [
            "maple: damaged, as the first kilobytes show: y.jpg (its JPEG header is damaged), z.jpg (it does not begin as a picture does).",
            "maple: the same content twice: 0 (1).jpg (the same as 0.jpg).",
            "maple: too small for what is asked: x.jpg (160 x 120 pixels).",
            "maple: far from the rest of the folder: stray.jpg (taken 2 days before the others).",
        ],
    )


def test_folders_that_share_an_order_are_looked_over_one_by_one(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    lobby = photo(size=BIG)
    for flat in range(3):
        s3.put(f"tower/{flat}/lobby.jpg", lobby)
        s3.put(f"tower/{flat}/room.jpg", photo(size=BIG, shade=80 + flat))
    s3.put("tower/0/lobby (1).jpg", lobby)
    whole = {"source": "s3://listings/tower/", "destination": "s3://enhanced/tower/", "group_by": "all"}
    summary = enhance(preflight="hold", **whole)
    assert (summary["landed"], summary["held"]) == (6, 1)
    assert "0/lobby (1).jpg (the same as 0/lobby.jpg)" in summary["warnings"][0]


@pytest.mark.parametrize("preflight", ["hold", "warn"])
def test_what_a_limit_holds_is_read_once_and_named_on_its_night(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, reads: list[str], preflight: str
) -> None:
    for number in range(6):
        s3.put(f"maple/{number}.jpg", exposure(10.0 * number, 0, size=BIG, day=2 if number == 5 else 4))
    limited = {"preflight": preflight, "brackets": "exif", "max_images": 3}
    first = enhance(**limited)
    assert (first["landed"], len(reads)) == (3, 6)
    reads.clear()
    second = enhance(run_id="night-2", **limited)
    assert (second["landed"], reads) == (2 if preflight == "hold" else 3, [])
    assert "5.jpg (taken 48 hours before the others)" in second["warnings"][0]


@pytest.mark.parametrize("brackets", ["auto", "none"])
def test_what_was_read_of_a_file_holds_for_whatever_is_made_of_it(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, reads: list[str], brackets: str
) -> None:
    for number in range(4):
        s3.put(f"maple/{number}.jpg", exposure(0.3 * number, number - 2, size=BIG))
    autoenhance.settings(processing_seconds=[0.3, 0.5])
    assert enhance(brackets=brackets, preflight="read", deferrable=True)["failed"] == 0
    assert enhance(preflight="read", settings={"enhance_type": "warm"}, run_id="night-2")["landed"] == 4
    assert sorted(reads) == [f"{number}.jpg" for number in range(4)]


@pytest.mark.parametrize("deferrable", [False, True])
def test_what_autoenhance_does_not_group_is_named_with_its_own_faults(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, reads: list[str], deferrable: bool
) -> None:
    for number in range(3):
        s3.put(f"maple/{number}.jpg", exposure(10.0 * number, 0, size=BIG))
    s3.put("maple/cut.jpg", photo(size=BIG)[:20])
    s3.put("maple/empty.jpg", b"")
    s3.put("maple/tables.jpg", photo(size=BIG, shade=90).replace(b"\xff\xdb", b"\xff\xec"))
    autoenhance.settings(processing_seconds=[0.3, 0.5])
    summary = enhance(brackets="auto", preflight="read", deferrable=deferrable, max_failures=3)
    damaged = {"cut": "its JPEG header is damaged", "empty": "it is empty", "tables": "its JPEG header is damaged"}
    named = ", ".join(f"{name}.jpg ({reason})" for name, reason in damaged.items())
    assert summary["warnings"] == [f"maple: damaged, as the first kilobytes show: {named}."]
    assert (summary["landed"], summary["failed"], len(reads)) == (3, 3, len({*reads}))
    told = {row["source"].rpartition("/")[2]: row["warnings"] for row in manifest(s3) if row["status"] == "failed"}
    assert told == {f"{name}.jpg": [reason] for name, reason in damaged.items()}
