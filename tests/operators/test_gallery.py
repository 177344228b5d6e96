"""What people look at: thumbnails, the gallery's JSON and the contact sheet, beside what each of three operators lands."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.versions import DEFAULT_VERSION
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.imaging.thumbnail import thumbnail_of
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.operators.images import AutoenhanceDownloadImageOperator
from airflow_provider_autoenhance.operators.orders import AutoenhanceDownloadOrderOperator
from airflow_provider_autoenhance.pipeline.batch.pictures import Pictures
from airflow_provider_autoenhance.pipeline.gallery.thumbnails import THUMBNAILS_FOLDER
from airflow_provider_autoenhance.storage.s3 import S3Destination
from tests.support.batch import Enhance, enhance_to, fill, manifest, outputs
from tests.support.photos import exposure, grainy_photo, photo
from tests.support.pins import pin_version
from tests.support.sandbox import Sandbox
from tests.support.tasks import run

FIELDS = {
    *("name", "listing", "state", "reason", "before", "after", "settings", "credits", "outputs", "exposures"),
    *("image_id", "order_id", "parent", "seconds"),
}
GALLERY, SHEET = "autoenhance-gallery.json", "autoenhance-contact-sheet.html"


def gallery(s3: SimpleNamespace, key: str = f"maple/{GALLERY}") -> dict[str, Any]:
    return dict(json.loads(s3.get(key)))


def for_people(s3: SimpleNamespace) -> dict[str, bytes]:
    """Read all thumbnails, galleries and sheets."""
    return {key: s3.get(key) for key in s3.keys(everything=True) if key not in s3.keys()}


def pictures(s3: SimpleNamespace, entry: dict[str, Any], folder: str = "maple") -> list[Image.Image]:
    found = []
    for side in ("before", "after"):
        image = Image.open(BytesIO(s3.get(f"{folder}/{THUMBNAILS_FOLDER}{entry[side]}")))
        image.load()
        found.append(image)
    return found


@pytest.mark.parametrize("deferrable", [False, True])
def test_each_photo_is_shown_before_and_after(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, deferrable: bool
) -> None:
    s3.put("maple/a.jpg", photo(size=(1600, 1200)))
    s3.put("maple/b.png", photo("PNG", size=(900, 1200)))
    summary = enhance(deferrable=deferrable, settings={"enhance_type": "warm"})
    assert (summary["gallery"], summary["contact_sheet"]) == (
        f"s3://enhanced/maple/{GALLERY}",
        f"s3://enhanced/maple/{SHEET}",
    )
    found = gallery(s3)
    about = {name: found[name] for name in ("version", "dag_id", "run_id", "task_id", "map_index", "destination")}
    assert about == {
        "version": 1, "dag_id": "nightly", "run_id": "night-1", "task_id": "enhance", "map_index": -1,
        "destination": "s3://enhanced/maple/",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found["written_at"])
    assert [entry["name"] for entry in found["photos"]] == ["a.jpg", "b.png"]
    for entry, row, longest in zip(found["photos"], manifest(s3), ((640, 480), (480, 640)), strict=True):
        assert entry.keys() == FIELDS
        assert (entry["state"], entry["listing"], entry["credits"], entry["parent"]) == ("landed", "", 1, None)
        assert (entry["image_id"], entry["order_id"]) == (row["image_id"], row["order_id"])
        assert entry["settings"]["enhance_type"] == "warm"
        assert all(re.fullmatch(r"[0-9a-f]+-(before|after)\.webp", entry[side]) for side in ("before", "after"))
        (file,) = entry["outputs"]
        assert (file["bytes"], file["format"]) == (row["outputs"][0]["size"], "jpeg")
        assert {file["width"], file["height"]} in ({1600, 1200}, {900, 1200})
        before, after = pictures(s3, entry)
        assert before.size == after.size == longest
        assert before.resize((1, 1)).getpixel((0, 0)) != after.resize((1, 1)).getpixel((0, 0))
    sheet = s3.get(f"maple/{SHEET}").decode()
    assert sheet.count("data:image/webp;base64,") == 4


def test_an_idle_night_writes_nothing_again(enhance: Enhance, s3: SimpleNamespace) -> None:
    fill(s3, 3)
    first = enhance()
    before = for_people(s3)
    assert len(before) == 3 * 2 + 2
    again = enhance(run_id="night-2")
    assert (again["gallery"], again["contact_sheet"]) == (first["gallery"], first["contact_sheet"])
    assert for_people(s3) == before


def test_what_was_skipped_keeps_its_pictures(enhance: Enhance, s3: SimpleNamespace) -> None:
    fill(s3, 2)
    enhance()
    first = {entry["name"]: entry for entry in gallery(s3)["photos"]}
    s3.put("maple/late.jpg", photo(shade=200))
    enhance(run_id="night-2")
    second = {entry["name"]: entry for entry in gallery(s3)["photos"]}
    assert [entry["state"] for entry in second.values()] == ["skipped", "skipped", "landed"]
    for name, entry in first.items():
        assert {**entry, "state": "skipped"} == second[name]
    assert s3.get(f"maple/{SHEET}").decode().count("data:image/webp") == 6


def test_another_style_keeps_the_picture_from_before(enhance: Enhance, s3: SimpleNamespace) -> None:
    fill(s3, 1)
    enhance()
    (first,) = gallery(s3)["photos"]
    enhance(run_id="night-2", settings={"enhance_type": "warm"})
    (second,) = gallery(s3)["photos"]
    assert (first["before"], first["image_id"]) == (second["before"], second["image_id"])
    assert first["after"] != second["after"]


@pytest.mark.parametrize("options", [{"thumbnails": False}, {"durable": False}])
def test_they_can_be_switched_off(enhance: Enhance, s3: SimpleNamespace, options: dict[str, Any]) -> None:
    fill(s3, 1)
    summary = enhance(**options)
    assert (summary["landed"], summary["gallery"], summary["contact_sheet"]) == (1, None, None)
    assert for_people(s3) == {}


def test_a_failure_fails_nothing_and_is_said_once(
    enhance: Enhance, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(s3, 3)
    original = S3Destination.write

    def write(self: S3Destination, body: Any, **about: Any) -> Any:
        if THUMBNAILS_FOLDER in self.uri:
            raise errors.DestinationError(f"{self.uri}: not allowed.")
        return original(self, body, **about)

    monkeypatch.setattr(S3Destination, "write", write)
    with caplog.at_level("INFO"):
        summary = enhance()
    assert summary["landed"] == 3
    assert [(entry["before"], entry["after"]) for entry in gallery(s3)["photos"]] == [(None, None)] * 3
    assert len([line for line in caplog.messages if "Without a thumbnail: photo" in line]) == 1


def test_a_destination_that_takes_no_sheet_fails_nothing(
    enhance: Enhance, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3, 1)
    original = S3Destination.write

    def write(self: S3Destination, body: Any, **about: Any) -> Any:
        if self.uri.endswith(".html"):
            raise errors.DestinationError(f"{self.uri}: not allowed.")
        return original(self, body, **about)

    monkeypatch.setattr(S3Destination, "write", write)
    summary = enhance()
    assert (summary["landed"], summary["contact_sheet"]) == (1, None)
    assert manifest(s3)[0]["status"] == "landed"


def test_without_the_library_rows_are_left(
    enhance: Enhance, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.gallery.thumbnails.find_spec", lambda name: None)
    fill(s3, 1)
    assert enhance()["landed"] == 1
    (entry,) = gallery(s3)["photos"]
    assert (entry["state"], entry["before"], entry["after"]) == ("landed", None, None)


def test_a_worker_that_dies_before_the_rows_are_written_loses_nothing(
    enhance: Enhance, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """The worker's end."""

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    fill(s3, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Pictures, "write", die)
        with pytest.raises(Killed):
            enhance()
    assert len(for_people(s3)) == 4
    summary = enhance(try_number=2)
    assert (summary["landed"], summary["credits"]) == (2, 2)
    assert [entry["state"] for entry in gallery(s3)["photos"]] == ["landed", "landed"]
    assert len(for_people(s3)) == 4 + 2


def test_a_worker_that_dies_before_a_picture_is_there_has_it_made_by_the_next(
    enhance: Enhance, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """The worker's end."""

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    fill(s3, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Pictures, "went_up", die)
        with pytest.raises(Killed):
            enhance()
    assert for_people(s3) == {}
    assert enhance(try_number=2)["landed"] == 1
    (entry,) = gallery(s3)["photos"]
    assert all(pictures(s3, entry))


def test_a_destination_of_an_older_version_gets_its_rows(enhance: Enhance, s3: SimpleNamespace) -> None:
    fill(s3, 2)
    enhance(thumbnails=False)
    enhance(run_id="night-2")
    assert [(entry["state"], entry["before"]) for entry in gallery(s3)["photos"]] == [("skipped", None)] * 2


def test_listings_held_and_failed_photos_are_said(enhance: Enhance, s3: SimpleNamespace) -> None:
    for name in ("elm/a.jpg", "elm/up/b.jpg", "oak/c.jpg"):
        s3.put(f"maple/{name}", photo())
    s3.put("maple/oak/broken.jpg", photo()[:300])
    enhance(max_images=3, max_failures=5)
    found = {(entry["listing"], entry["name"]): entry for entry in gallery(s3)["photos"]}
    assert {place: entry["state"] for place, entry in found.items()} == {
        ("elm", "a.jpg"): "landed",
        ("elm/up", "b.jpg"): "landed",
        ("oak", "broken.jpg"): "failed",
        ("oak", "c.jpg"): "held",
    }
    assert "cut short" in found["oak", "broken.jpg"]["reason"]
    assert found["oak", "c.jpg"]["image_id"] is None


def test_a_bracket_is_shown_by_one_of_its_exposures(enhance: Enhance, s3: SimpleNamespace) -> None:
    for number, stop in enumerate((-2, 0, 2)):
        s3.put(f"maple/{number}.jpg", exposure(number, stop, size=(900, 600)))
    summary = enhance(brackets=3)
    assert summary["landed"] == 1
    (entry,) = gallery(s3)["photos"]
    assert (entry["name"], entry["exposures"]) == ("0.jpg", ["0.jpg", "1.jpg", "2.jpg"])
    assert [picture.width for picture in pictures(s3, entry)] == [640, 640]


def test_a_premium_edit_is_held_against_its_original(enhance: Enhance, s3: SimpleNamespace) -> None:
    s3.put("maple/a.jpg", photo(size=(900, 600), shade=200))
    assert enhance(dusk="*")["landed"] == 2
    original, edit = gallery(s3)["photos"]
    assert (original["parent"], edit["parent"], edit["name"]) == (None, "a.jpg", "a_dusk.jpg")
    assert edit["before"] == original["after"]
    assert pictures(s3, edit)


@pytest.mark.parametrize("form", ["webp", "tiff", "png"])
def test_outputs_of_other_formats_are_shown(enhance: Enhance, s3: SimpleNamespace, form: str) -> None:
    s3.put("maple/a.jpg", photo(size=(1200, 900)))
    enhance(output_spec=[form, {"format": "jpeg", "dpi": 300, "quality": 95, "name_template": "{stem}-print"}])
    (entry,) = gallery(s3)["photos"]
    assert [picture.size for picture in pictures(s3, entry)] == [(640, 480), (640, 480)]
    assert [file["format"] for file in entry["outputs"]] == [form, "jpeg"]


def test_a_destination_with_thumbnails_can_be_a_source(enhance: Enhance, s3: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photo())
    enhance_to(f"{tmp_path}/in/", f"{tmp_path}/out/")
    assert list((tmp_path / "out" / THUMBNAILS_FOLDER).glob("*.webp"))
    summary = enhance_to(f"{tmp_path}/out/", f"{tmp_path}/again/", include=["*"])
    assert (summary["photos"], summary["landed"]) == (1, 1)


def test_tasks_on_one_destination_have_a_gallery_each(enhance: Enhance, s3: SimpleNamespace) -> None:
    fill(s3, 1)
    fill(s3, 1, "oak")
    enhance()
    other = enhance(source="s3://listings/oak/", task_id="other", destination_template="oak-{stem}")
    assert re.fullmatch(r"s3://enhanced/maple/autoenhance-gallery-[0-9a-f]{8}\.json", other["gallery"])
    assert re.fullmatch(r"s3://enhanced/maple/autoenhance-contact-sheet-[0-9a-f]{8}\.html", other["contact_sheet"])
    assert gallery(s3)["task_id"] == "enhance"
    assert gallery(s3, other["gallery"].removeprefix("s3://enhanced/"))["task_id"] == "other"


def test_no_secret_of_a_source_is_in_them(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_AUTOENHANCE_DEFAULT"])
    connection["extra"] = {**connection.get("extra", {}), "allow_private_sources": True}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
    s3.put("maple/a.jpg", photo())
    url = s3.client.generate_presigned_url("get_object", Params={"Bucket": "listings", "Key": "maple/a.jpg"})
    enhance(source=url)
    assert len(for_people(s3)) == 4
    for data in for_people(s3).values():
        assert b"Signature" not in data
        assert b"Credential" not in data


def download(operator: type, s3: SimpleNamespace, **about: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    options = {"task_id": "download", "destination": "s3://enhanced/elm/", "preview": False} | about
    result = run(operator(**options))
    assert result["contact_sheet"].startswith("s3://enhanced/elm/autoenhance-contact-sheet-")
    return result, gallery(s3, result["gallery"].removeprefix("s3://enhanced/"))


def test_a_single_download_is_shown(enhanced: str, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    result, found = download(AutoenhanceDownloadImageOperator, s3, image_id=enhanced)
    (entry,) = found["photos"]
    assert entry.keys() == FIELDS
    assert (entry["state"], entry["image_id"], entry["credits"], entry["name"]) == (
        "landed",
        enhanced,
        1,
        "maple/kitchen.jpg",
    )
    assert [file["name"] for file in entry["outputs"]] == [result["uri"].removeprefix("s3://enhanced/elm/")]
    assert all(pictures(s3, entry, "elm"))
    assert autoenhance.ledger()["credits"]["spent"] == 1
    before = for_people(s3)
    download(AutoenhanceDownloadImageOperator, s3, image_id=enhanced)
    assert for_people(s3).keys() == before.keys()


def test_a_single_download_without_them(enhanced: str, s3: SimpleNamespace) -> None:
    options: dict[str, Any] = {"destination": "s3://enhanced/elm/", "thumbnails": False}
    result = run(AutoenhanceDownloadImageOperator(task_id="download", image_id=enhanced, **options))
    assert "gallery" not in result
    assert for_people(s3) == {}


def test_an_upload_that_is_not_answered_leaves_the_other_picture(
    enhanced: str, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    autoenhance.faults([{"endpoint": "download_original_image", "kind": "404"}])
    _, found = download(AutoenhanceDownloadImageOperator, s3, image_id=enhanced)
    (entry,) = found["photos"]
    assert (entry["before"], bool(entry["after"])) == (None, True)


def test_the_images_of_an_order_are_shown(enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox) -> None:
    fill(s3, 2)
    (order_id,) = enhance(preview=True)["order_ids"]
    result, found = download(AutoenhanceDownloadOrderOperator, s3, order_id=order_id)
    assert [entry["state"] for entry in found["photos"]] == ["landed", "landed"]
    assert all(all(pictures(s3, entry, "elm")) for entry in found["photos"])
    assert result["landed"] == 2
    assert s3.get(result["contact_sheet"].removeprefix("s3://enhanced/")).decode().count("data:image") == 4
    assert outputs(s3)


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Return what makes a photo that Autoenhance is asked to render small, as it is of photos of a few megabytes."""
    most = 150_000
    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.gallery.thumbnails.MOST_DECODED", most)

    def made(shade: int = 120) -> bytes:
        data = grainy_photo(size=(1200, 800), shade=shade)
        assert len(data) > 2 * most
        return data

    return made


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of the files that the tasks decode for thumbnails."""
    sizes: list[int] = []

    def noted(source: Any, *, about: str) -> Any:
        sizes.append(source.seek(0, 2))
        return thumbnail_of(source, about=about)

    monkeypatch.setattr("airflow_provider_autoenhance.imaging.thumbnail.thumbnail_of", noted)
    return sizes


def downloads(autoenhance: Sandbox) -> dict[str, int]:
    """Return how often each kind of download was asked for."""
    asked = autoenhance.ledger()["requests"]
    return {kind: asked.get(f"GET /v3/images/{{id}}/{kind}", 0) for kind in ("enhanced", "original")}


@pytest.mark.parametrize(
    ("version", "deferrable"), [("2024-10-01", False), ("2025-05-08", True), (DEFAULT_VERSION, False)]
)
def test_autoenhance_renders_big_photos_small_for_no_second_credit(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    big: Callable[..., bytes],
    decoded: list[int],
    version: str,
    deferrable: bool,
) -> None:
    pin_version(version)
    s3.put("maple/big.jpg", big())
    s3.put("maple/small.jpg", photo(size=(900, 600)))
    assert enhance(deferrable=deferrable)["credits"] == 2
    for entry in gallery(s3)["photos"]:
        before, after = pictures(s3, entry)
        assert before.size == after.size == (640, 427)
        assert before.resize((1, 1)).getpixel((0, 0)) != after.resize((1, 1)).getpixel((0, 0))
    assert autoenhance.ledger()["credits"]["spent"] == 2
    assert downloads(autoenhance) == {"enhanced": 2 + 1, "original": 1}
    assert max(decoded) < 150_000


@pytest.mark.parametrize(
    ("faults", "settings"),
    [
        ([{"endpoint": "download_original_image", "kind": "422"}], {}),
        ([{"endpoint": "download_enhanced_image", "kind": "404", "skip": 1}], {}),
        ([], {"render": "copy"}),
    ],
    ids=["refused", "not there", "as big as ever"],
)
def test_what_autoenhance_does_not_render_small_is_decoded_here(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    big: Callable[..., bytes],
    faults: list[dict[str, Any]],
    settings: dict[str, Any],
) -> None:
    s3.put("maple/a.jpg", big())
    autoenhance.settings(**settings)
    autoenhance.faults(faults)
    assert enhance()["landed"] == 1
    (entry,) = gallery(s3)["photos"]
    assert [picture.size for picture in pictures(s3, entry)] == [(640, 427)] * 2
    assert autoenhance.ledger()["credits"]["spent"] == 1


def test_nothing_more_is_asked_of_an_api_that_does_not_render_small(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, big: Callable[..., bytes]
) -> None:
    autoenhance.settings(render="copy")
    for number in range(4):
        s3.put(f"maple/{number}.jpg", big(shade=60 + number))
    assert enhance(concurrency=1)["landed"] == 4
    assert all(all(pictures(s3, entry)) for entry in gallery(s3)["photos"])
    assert downloads(autoenhance) == {"enhanced": 4 + 1, "original": 0}


def test_a_camera_raw_is_shown_once_it_is_enhanced(enhance: Enhance, s3: SimpleNamespace) -> None:
    s3.put("maple/a.CR2", b"II*\0\x10\0\0\0CR\2\0" + bytes(500) + photo(size=(900, 600)) + bytes(5000))
    assert enhance()["landed"] == 1
    (entry,) = gallery(s3)["photos"]
    assert [picture.size for picture in pictures(s3, entry)] == [(640, 427)] * 2


@pytest.mark.parametrize("preview", [True, False])
def test_nothing_is_bought_for_its_picture(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    big: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    preview: bool,
) -> None:
    asked: list[tuple[str, bool]] = []
    download_image = AutoenhanceHook.download_image

    def noted(hook: AutoenhanceHook, image_id: str, take: Any, **about: Any) -> Any:
        asked.append((about["variant"], about["preview"]))
        return download_image(hook, image_id, take, **about)

    monkeypatch.setattr(AutoenhanceHook, "download_image", noted)
    s3.put("maple/a.jpg", big())
    assert enhance(preview=preview)["landed"] == 1
    assert asked == [
        ("enhanced", preview),
        ("enhanced", preview),
        ("original", True),
    ]  # of a bought one, each more is free
    (entry,) = gallery(s3)["photos"]
    assert all(pictures(s3, entry))
    assert autoenhance.ledger()["credits"]["spent"] == int(not preview)


def test_a_big_photo_that_fails_is_shown_as_it_was(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, big: Callable[..., bytes]
) -> None:
    s3.put("maple/bad.jpg", big())
    autoenhance.settings(fail_images={"*bad*": "too dark"})
    assert enhance(max_failures=1)["failed"] == 1
    (entry,) = gallery(s3)["photos"]
    assert (entry["state"], entry["reason"], entry["after"]) == ("failed", "too dark", None)
    assert Image.open(BytesIO(s3.get(f"maple/{THUMBNAILS_FOLDER}{entry['before']}"))).size == (640, 427)


def test_a_big_exposure_is_shown_as_it_was_taken(
    enhance: Enhance, s3: SimpleNamespace, autoenhance: Sandbox, big: Callable[..., bytes]
) -> None:
    for number, shade in enumerate((10, 120, 250)):
        s3.put(f"maple/{number}.jpg", big(shade))
    assert enhance(brackets=3)["landed"] == 1
    (entry,) = gallery(s3)["photos"]
    assert all(pictures(s3, entry))
    assert downloads(autoenhance)["original"] == 0


def test_a_big_download_is_shown(
    s3: SimpleNamespace, autoenhance: Sandbox, big: Callable[..., bytes], enhance: Enhance
) -> None:
    s3.put("maple/a.jpg", big())
    (order_id,) = enhance(thumbnails=False)["order_ids"]
    _, found = download(AutoenhanceDownloadOrderOperator, s3, order_id=order_id)
    assert [picture.size for picture in pictures(s3, found["photos"][0], "elm")] == [(640, 427)] * 2
    assert downloads(autoenhance) == {"enhanced": 2 + 1, "original": 1}
    assert autoenhance.ledger()["credits"]["spent"] == 1


@pytest.fixture
def small_ones(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Return what has something happen before each picture that Autoenhance is asked for, and not before the downloads of files."""
    download_image = AutoenhanceHook.download_image

    def before(happens: Callable[[], None]) -> None:
        def watched(hook: AutoenhanceHook, image_id: str, take: Any, **about: Any) -> Any:
            if "max_width" in about["rendering"]:
                happens()
            return download_image(hook, image_id, take, **about)

        monkeypatch.setattr(AutoenhanceHook, "download_image", watched)

    return before


def test_photos_land_while_pictures_are_waited_for(
    enhance: Enhance, s3: SimpleNamespace, big: Callable[..., bytes], small_ones: Callable[[Callable[[], None]], None]
) -> None:
    for number in range(3):
        s3.put(f"maple/{number}.jpg", big(shade=60 + number))
    landed_first: list[bool] = []

    def wait() -> None:
        until = time.monotonic() + 20
        while len(outputs(s3)) < 3 and time.monotonic() < until:
            time.sleep(0.02)
        landed_first.append(len(outputs(s3)) == 3)

    small_ones(wait)
    assert enhance(concurrency=1)["landed"] == 3
    assert landed_first == [True] * 6
    assert all(all(pictures(s3, entry)) for entry in gallery(s3)["photos"])


def test_what_a_stopped_try_has_not_shown_is_shown_by_the_next(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    big: Callable[..., bytes],
    small_ones: Callable[[Callable[[], None]], None],
) -> None:
    def stop() -> None:
        raise errors.StoppedError("Airflow has stopped this task.")

    s3.put("maple/a.jpg", big())
    s3.put("maple/b.jpg", photo(size=(900, 600)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pictures, "write", lambda *_, **__: stop())
        small_ones(stop)
        with pytest.raises(errors.StoppedError):
            enhance()
    assert len(for_people(s3)) == 2, "of the small one"
    small_ones(lambda: None)
    assert enhance(try_number=2)["landed"] == 2
    for entry in gallery(s3)["photos"]:
        assert [picture.size for picture in pictures(s3, entry)] == [(640, 427)] * 2
    assert downloads(autoenhance) == {"enhanced": 2 + 1, "original": 1}, "no file is downloaded again"
    assert autoenhance.ledger()["credits"]["spent"] == 2


def test_a_task_is_deferred_with_its_pictures_made(
    enhance: Enhance,
    s3: SimpleNamespace,
    autoenhance: Sandbox,
    big: Callable[..., bytes],
    small_ones: Callable[[Callable[[], None]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are of files that are landed anew: a worker that goes on after the wait could not tell an old picture from none."""
    for number in range(2):
        s3.put(f"maple/{number}.jpg", big(shade=60 + number))
    enhance(preview=True, run_id="night-0")
    autoenhance.settings(processing_seconds=[3, 3])
    s3.put("maple/new.jpg", photo())
    asked: list[int] = []
    small_ones(lambda: (time.sleep(0.2), asked.append(len(outputs(s3))))[0])
    defer = AutoenhanceEnhanceOperator.defer

    def deferring(self: AutoenhanceEnhanceOperator, **about: Any) -> None:
        assert len(asked) == 2
        defer(self, **about)

    monkeypatch.setattr(AutoenhanceEnhanceOperator, "defer", deferring)
    assert enhance(deferrable=True, concurrency=1)["landed"] == 3
    assert asked == [2, 2]
