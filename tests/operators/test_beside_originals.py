"""Outputs that go where sources lie: a file that no record names may be an original."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_autoenhance.storage.s3 import S3Destination
from tests.support.batch import enhance_to
from tests.support.photos import photo
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("short_waits")

FLAT = "{folder}{stem}.jpg"


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A photo, and the camera's JPEG of the same name beside it."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo("PNG"))
    (folder / "a.jpg").write_bytes(photo(shade=90))
    (tmp_path / "link").symlink_to(folder)
    return folder


@pytest.mark.parametrize("destination", ["in/", "in", "link/", "in/../link/", "file"])
@pytest.mark.parametrize("more", [{}, {"group_by": "all"}])
def test_a_file_beside_the_source_is_not_written_over(
    autoenhance: Sandbox, pair: Path, destination: str, more: dict[str, Any]
) -> None:
    place = f"file://{pair}/" if destination == "file" else f"{pair.parent}/{destination}"
    before = (pair / "a.jpg").read_bytes()
    for night in ("night-1", "night-2"):
        with pytest.raises(AirflowFailException, match=r"in/a\.png would become .*a\.jpg.*may be an original"):
            enhance_to(f"{pair}/a.png", place, destination_template=FLAT, run_id=night, **more)
    assert (pair / "a.jpg").read_bytes() == before
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["credits"]["spent"]) == (0, 0)


def test_the_others_land(autoenhance: Sandbox, pair: Path) -> None:
    (pair / "b.png").write_bytes(photo("PNG", shade=120))
    named = [f"{pair}/a.png", f"{pair}/b.png"]
    summary = enhance_to(named, f"{pair}/", destination_template=FLAT, max_failures=1)
    assert (summary["landed"], summary["failed"], summary["credits"]) == (1, 1, 1)
    assert (pair / "a.jpg").read_bytes() == photo(shade=90)
    again = enhance_to(named, f"{pair}/", destination_template=FLAT, max_failures=1, run_id="night-2")
    assert (again["skipped"], again["failed"], again["credits"]) == (1, 1, 0)
    (pair / "a.jpg").unlink()
    assert enhance_to(named, f"{pair}/", destination_template=FLAT, run_id="night-3")["landed"] == 1


def test_nor_in_a_bucket_nor_by_an_image_of_an_earlier_template(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("a.png", photo("PNG"))
    s3.put("a.jpg", photo(shade=90))
    where = ("s3://listings/a.png", "s3a://listings/")
    assert enhance_to(*where, destination_template="{stem}_e.jpg")["landed"] == 1
    with pytest.raises(AirflowFailException, match="may be an original"):
        enhance_to(*where, destination_template=FLAT, run_id="night-2")
    assert s3.client.get_object(Bucket="listings", Key="a.jpg")["Body"].read() == photo(shade=90)
    assert autoenhance.ledger()["credits"]["spent"] == 1


def test_a_premium_edit_is_not_written_over_a_file_beside_its_source(autoenhance: Sandbox, pair: Path) -> None:
    (pair / "a_dusk-e.jpg").write_bytes(photo(shade=90))
    where = (f"{pair}/a.png", f"{pair}/")
    summary = enhance_to(*where, destination_template="{stem}-e.jpg", dusk=["a.png"], max_failures=1)
    assert (summary["landed"], summary["failed"], summary["credits"]) == (1, 1, 1)
    assert (pair / "a_dusk-e.jpg").read_bytes() == photo(shade=90)


def test_what_a_task_has_made_beside_its_source_it_makes_again(autoenhance: Sandbox, pair: Path) -> None:
    (pair / "a.jpg").unlink()
    where = (f"{pair}/a.png", f"{pair}/")
    assert enhance_to(*where, destination_template=FLAT)["landed"] == 1
    (pair / "a.jpg").write_bytes(photo(shade=10))  # retouched
    assert enhance_to(*where, destination_template=FLAT, run_id="night-2")["landed"] == 1
    through = (f"{pair}/a.png", f"{pair.parent}/link/")
    assert enhance_to(*through, destination_template=FLAT, run_id="night-3")["failed"] == 0
    assert autoenhance.ledger()["credits"]["spent"] == 1


def test_a_kill_between_the_file_and_its_row_fails_nothing(
    autoenhance: Sandbox, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("a.png", photo("PNG"))
    write = S3Destination.write

    def killed(self: S3Destination, body: Any, **about: Any) -> Any:
        found = write(self, body, **about)
        if self.uri.endswith("/a.jpg"):
            raise KeyboardInterrupt
        return found

    where = ("s3://listings/a.png", "s3://listings/")
    with monkeypatch.context() as patch:
        patch.setattr(S3Destination, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            enhance_to(*where, destination_template=FLAT)
    (record,) = (key for key in s3.keys("listings") if key.endswith(".jsonl"))
    header = s3.client.get_object(Bucket="listings", Key=record)["Body"].read().splitlines(keepends=True)[0]
    s3.put(record, header)  # as a kill that nothing can catch leaves it
    assert enhance_to(*where, destination_template=FLAT)["landed"] == 1
    assert autoenhance.ledger()["credits"]["spent"] == 1


def test_apart_from_the_sources_all_is_made_again(autoenhance: Sandbox, pair: Path) -> None:
    out = pair.parent / "out"
    assert enhance_to(f"{pair}/a.png", f"{out}/", destination_template=FLAT)["landed"] == 1
    shutil.rmtree(out / ".autoenhance")
    assert enhance_to(f"{pair}/a.png", f"{out}/", destination_template=FLAT, run_id="night-2")["landed"] == 1
