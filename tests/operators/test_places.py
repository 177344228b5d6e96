"""Places: a file is one photo, however it is reached; no output is written over a source; what is named is not passed over."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

from airflow_provider_autoenhance.api.errors import AutoenhanceError
from airflow_provider_autoenhance.dag_helpers.arrivals import arrived_folders, changed_folders
from airflow_provider_autoenhance.dag_helpers.listings import list_groups
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.operators.images import AutoenhanceDownloadImageOperator
from airflow_provider_autoenhance.storage import list_files, open_source
from tests.support.batch import Enhance, enhance_to, outputs
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import run

pytestmark = pytest.mark.usefixtures("short_waits")

MAPLE = ["maple/0.jpg", "maple/sub/1.jpg"]


@pytest.fixture
def enhance(autoenhance: Sandbox) -> Enhance:
    return enhance_to


@pytest.fixture
def maple(s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Two photos in the bucket, and a second connection to it."""
    monkeypatch.setenv("AIRFLOW_CONN_PHOTOS", os.environ["AIRFLOW_CONN_AWS_DEFAULT"])
    for number, key in enumerate(MAPLE):
        s3.put(key, photo(shade=50 + 9 * number))
    return s3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The same two photos on a disk."""
    for number, key in enumerate(MAPLE):
        path = tmp_path / "in" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(shade=50 + 9 * number))
    return tmp_path / "in" / "maple"


def landed(folder: Path) -> list[str]:
    files = (file.relative_to(folder).as_posix() for file in folder.rglob("*.jpg"))
    return sorted(files)


# Sources that lie in each other


@pytest.mark.parametrize(
    "source",
    [
        ["maple/", "maple/sub/"],
        ["maple/sub/", "maple/"],
        ["maple/", "maple/0.jpg"],
        ["maple/0.jpg", "maple/sub/1.jpg", "maple/"],
        ["maple/", "maple//", "maple/sub/", "maple/sub/1.jpg"],
    ],
)
@pytest.mark.parametrize("group_by", ["folder", "all"])
def test_a_file_in_several_sources_is_one_photo(
    enhance: Enhance, autoenhance: Sandbox, maple: SimpleNamespace, source: list[str], group_by: str
) -> None:
    given = [f"s3://listings/{each}" for each in source]
    summary = enhance(given, "s3://enhanced/", group_by=group_by)
    assert (summary["photos"], summary["landed"], summary["credits"]) == (2, 2, 2)
    several = len({each.rstrip("/") for each in source}) > 1
    assert outputs(maple) == (MAPLE if several else [each.removeprefix("maple/") for each in MAPLE])
    assert enhance(list(reversed(given)), "s3://enhanced/", run_id="night-2", group_by=group_by)["skipped"] == 2
    assert autoenhance.ledger()["credits"]["spent"] == 2


def test_two_spellings_of_one_source_are_one_source(enhance: Enhance, maple: SimpleNamespace) -> None:
    given = [
        "s3://listings/maple/", "s3a://listings/maple/", "S3://listings/maple//", "s3://photos@listings/maple/",
        "s3://aws_default@listings/maple/sub/",
    ]  # fmt: skip
    summary = enhance(given, "s3://enhanced/")
    assert (summary["photos"], summary["landed"], outputs(maple)) == (2, 2, MAPLE)


def test_two_spellings_of_one_folder_on_a_disk(enhance: Enhance, folder: Path, tmp_path: Path) -> None:
    given = [f"{folder}/", f"file://{folder}/", f"/{folder}/", f"{folder}/./", f"{folder}/sub/../", f"{folder}//sub/"]
    summary = enhance(given, f"{tmp_path}/out/")
    assert (summary["photos"], summary["landed"], landed(tmp_path / "out")) == (2, 2, MAPLE)


def test_without_recursion_a_folder_below_is_another_one(enhance: Enhance, maple: SimpleNamespace) -> None:
    summary = enhance(["s3://listings/maple/", "s3://listings/maple/sub/"], "s3://enhanced/", recursive=False)
    assert (summary["landed"], outputs(maple)) == (2, ["maple/0.jpg", "sub/1.jpg"])


# Spellings


@pytest.mark.parametrize(
    "source",
    [
        "s3://listings/maple", "s3://photos@listings/maple/", "s3a://listings/maple/", "s3n://photos@listings/maple", "S3://listings/maple/",
        "s3://listings/maple//", ["s3://listings/maple//"], ["S3A://photos@listings/maple/"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("destination", ["s3://photos@enhanced/maple", "S3A://enhanced/maple//"])
def test_each_spelling_names_the_same_photos(
    enhance: Enhance, maple: SimpleNamespace, autoenhance: Sandbox, source: Any, destination: str
) -> None:
    assert enhance("s3://listings/maple/", "s3://enhanced/maple/")["landed"] == 2
    assert enhance(source, destination, run_id="night-2")["skipped"] == 2
    assert outputs(maple) == MAPLE
    assert autoenhance.ledger()["images_created"] == 2


@pytest.mark.parametrize(
    "given",
    ["{0}", "/{0}/", "file://{0}//", "FILE://localhost{0}/", "{0}/./", "{0}/sub/..", "in/maple", "./in//maple/"],
)
def test_each_spelling_names_the_same_photos_on_a_disk(
    enhance: Enhance, folder: Path, tmp_path: Path, autoenhance: Sandbox, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    assert enhance(f"{folder}/", f"{tmp_path}/out/")["landed"] == 2
    for source in (given.format(folder), [given.format(folder) + "/"]):
        assert enhance(source, ".//out/../out", run_id="night-2")["skipped"] == 2
    assert landed(tmp_path / "out") == ["0.jpg", "sub/1.jpg"]
    assert autoenhance.ledger()["images_created"] == 2


@pytest.mark.parametrize(
    "odd", ["s3://{}//maple/", "s3://{}/./maple/", "s3://{}/up/../maple", "s3://photos@{}/maple//sub/"]
)
def test_what_a_store_would_take_for_another_folder_is_refused_with_the_plain_spelling(
    enhance: Enhance, maple: SimpleNamespace, autoenhance: Sandbox, odd: str
) -> None:
    source, destination = odd.format("listings"), odd.format("enhanced")
    plain = "s3://{}/maple/" + "sub/" * ("sub" in odd)
    acts: list[tuple[str, Callable[[], object]]] = [
        ("listings", lambda: enhance([source.rstrip("/") + "/"], "s3://enhanced/")),
        ("enhanced", lambda: enhance("s3://listings/maple/", destination)),
        ("listings", lambda: list_groups(source, "s3://enhanced/")),
        ("enhanced", lambda: list_groups("s3://listings/", destination)),
        ("listings", lambda: changed_folders(source, None)),
        ("listings", lambda: arrived_folders([], source, "s3://enhanced/")),
        ("enhanced", lambda: arrived_folders([], "s3://listings/", destination)),
    ]
    for bucket, act in acts:
        with pytest.raises((AirflowFailException, ValueError), match=f"Write {plain.format(bucket)}"):
            act()
    assert (maple.keys(), autoenhance.ledger()["requests"]) == ([], {})


def test_a_file_with_an_odd_key_is_found_where_it_lies(enhance: Enhance, s3: SimpleNamespace) -> None:
    keys = ["maple//0.jpg", "maple/./1.jpg"]
    for number, key in enumerate(keys):
        s3.put(key, photo(shade=50 + 9 * number))
    assert enhance([f"s3://listings/{key}" for key in keys], "s3://enhanced/")["landed"] == 2
    assert enhance(f"s3://listings/{keys[0]}", "s3://enhanced/", run_id="night-2")["skipped"] == 1
    assert outputs(s3) == ["0.jpg", "1.jpg"]


def test_a_single_image_goes_to_the_plain_folder_or_nowhere(
    enhanced: str, s3: SimpleNamespace, autoenhance: Sandbox
) -> None:
    def download(destination: str) -> Any:
        task = AutoenhanceDownloadImageOperator(
            task_id="download", image_id=enhanced, destination=destination, preview=False
        )
        return run(task)

    with pytest.raises(AirflowFailException, match="Write s3://enhanced/maple/"):
        download("s3://aws_default@enhanced//maple/")
    assert autoenhance.ledger()["credits"]["spent"] == 0
    for destination in ("S3A://enhanced/house//", "s3://aws_default@enhanced/house/"):
        assert download(destination)["uri"] == "s3://enhanced/house/maple/kitchen.jpg"
    assert s3.keys() == ["house/maple/kitchen.jpg"]


# Which place is which


def test_a_folder_is_not_its_own_destination_however_it_is_spelled(
    enhance: Enhance, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autoenhance: Sandbox
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "up").symlink_to(folder / "sub")
    before = {path: path.read_bytes() for path in folder.rglob("*.jpg")}
    spellings = [
        f"{folder}/", f"{tmp_path}/in/x/../maple", f"/{folder}/", f"file:///{folder}/.", f"{tmp_path}/link/", "in/maple", "./link//",
        f"{tmp_path}/away/up/../",  # behind a link, ".." is the folder that it leads to
    ]  # fmt: skip
    for destination in spellings:
        for source in (f"{folder}/", [f"{tmp_path}/link/"], [f"{folder}/0.jpg"], [f"{tmp_path}/link/0.jpg"]):
            with pytest.raises(AirflowFailException, match="never written over"):
                enhance(source, destination)
    assert {path: path.read_bytes() for path in folder.rglob("*.jpg")} == before
    assert autoenhance.ledger()["images_created"] == 0


def test_no_link_leads_an_output_to_an_original(enhance: Enhance, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(folder / "sub")
    with pytest.raises(AirflowFailException, match=r"in/maple/sub/1\.jpg would be written over by"):
        enhance(f"{folder}/", f"{tmp_path}/out/")
    (tmp_path / "out" / "sub").unlink()
    (tmp_path / "out" / "0.jpg").write_bytes((folder / "0.jpg").read_bytes())
    (folder / "0.jpg").unlink()
    (folder / "0.jpg").symlink_to(tmp_path / "out" / "0.jpg")
    with pytest.raises(AirflowFailException, match=r"in/maple/0\.jpg would be written over by"):
        enhance(f"{folder}/", f"{tmp_path}/out/")


@pytest.mark.parametrize(
    "spelling", ["{0}/in/maple/out/", "{0}/in/x/../maple/out", "/{0}/in/maple//out/", "{0}/link/", "{0}/up/maple/out/"]
)
def test_a_destination_in_the_source_is_no_source_however_it_is_spelled(
    enhance: Enhance, folder: Path, tmp_path: Path, autoenhance: Sandbox, spelling: str
) -> None:
    (folder / "out").mkdir()
    (tmp_path / "link").symlink_to(folder / "out")
    (tmp_path / "up").symlink_to(tmp_path / "in")
    destination = spelling.format(tmp_path)
    for night, source in enumerate((f"{folder}/", f"{tmp_path}/up/maple/", f"file://{folder}//", f"{folder}/")):
        assert enhance(source, destination, run_id=f"night-{night}")["photos"] == 2
    assert autoenhance.ledger()["credits"]["spent"] <= 4  # through a link, a file has another name
    items = list_groups(f"{tmp_path}/in", destination)
    assert [each["source"] for each in items] == [f"{tmp_path}/in/"], (
        "a task over maple/ alone would enhance what lies in maple/out/"
    )


def test_buckets_of_one_name_in_two_stores_are_two_places(
    enhance: Enhance, maple: SimpleNamespace, other_store: Any, autoenhance: Sandbox
) -> None:
    for night, run_id in enumerate(("night-1", "night-2")):
        summary = enhance("s3://listings/maple/", "s3://other@listings/maple/", run_id=run_id)
        assert (summary["landed"], summary["skipped"]) == ((2, 0), (0, 2))[night]
        summary = enhance("s3://listings/maple/", "s3://listings/", destination_conn_id="other", run_id=run_id)
        assert summary["photos"] == 2, "the results there are not below this source"
    kept = [each["Key"] for each in other_store.list_objects_v2(Bucket="listings")["Contents"]]
    assert {key for key in kept if key.endswith(".jpg")} == {*MAPLE, "0.jpg", "sub/1.jpg"}
    assert [maple.client.get_object(Bucket="listings", Key=key)["Body"].read() for key in MAPLE] == [
        photo(shade=50 + 9 * number) for number in range(2)
    ]
    enhance("s3://listings/maple/", "s3://other@listings/results/")
    for night, landed in (("night-1", 2), ("night-2", 0)):
        summary = enhance("s3://other@listings/", "s3://enhanced/mirror/", include=["results/*"], run_id=night)
        assert (summary["photos"], summary["landed"]) == (2, landed), (
            "made from another store, they are photos like any other"
        )
    groups = list_groups("s3://photos@listings/", "s3://other@listings/maple/")
    assert [each["source"] for each in groups] == ["s3://photos@listings/maple/"]
    for destination in ("s3://photos@listings/maple/", "s3://listings/maple/"):
        assert list_groups("s3://photos@listings/", destination) == [], "one store, two connections"
        with pytest.raises(AirflowFailException, match="never written over"):
            enhance("s3://photos@listings/maple/", destination)


def test_one_uri_in_two_stores_is_refused_in_one_task(
    enhance: Enhance, maple: SimpleNamespace, other_store: Any, autoenhance: Sandbox
) -> None:
    other_store.put_object(Bucket="listings", Key=MAPLE[1], Body=photo(shade=90))
    for source in (
        ["s3://listings/maple/", "s3://other@listings/maple/"],
        ["s3://listings/maple/", "s3://other@listings/maple/sub/"],
        ["s3://listings/maple/", f"s3://other@listings/{MAPLE[1]}"],
    ):
        with pytest.raises(AirflowFailException, match="twice, with different connections"):
            enhance(source, "s3://enhanced/")
    assert autoenhance.ledger()["images_created"] == 0


# What is named is there, or an error


@pytest.mark.parametrize(
    "source", ["s3://listings/maple/0.jpg", ["s3://photos@listings/maple/0.jpg"], "S3A://listings/maple/0.jpg"]
)
def test_a_file_is_a_source(enhance: Enhance, maple: SimpleNamespace, source: Any) -> None:
    assert enhance(source, "s3://enhanced/maple/")["landed"] == 1
    assert outputs(maple) == ["maple/0.jpg"]
    assert enhance("s3://listings/maple/", "s3://enhanced/maple/", run_id="night-2")["skipped"] == 1


@pytest.mark.parametrize("name", ["0.jpg", "house", "house.v2"])
def test_a_source_without_a_slash_is_what_lies_there(
    enhance: Enhance, s3: SimpleNamespace, tmp_path: Path, name: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(photo())
    s3.put(name, photo())
    s3.put(f"folders/{name}/1.jpg", photo(shade=70))
    for source in (f"{tmp_path}/in/{name}", f"s3://listings/{name}"):
        assert enhance(source, f"{tmp_path}/out/{source[:2]}/")["landed"] == 1
    assert enhance(f"s3://listings/folders/{name}", f"{tmp_path}/folder/")["landed"] == 1
    assert landed(tmp_path / "folder") == ["1.jpg"]


def test_files_below_the_destination_are_named_files_too(enhance: Enhance, s3: SimpleNamespace, tmp_path: Path) -> None:
    s3.client.put_object(Bucket="enhanced", Key="in/0.jpg", Body=photo())
    assert enhance(["s3://enhanced/in/0.jpg"], "s3://enhanced/")["landed"] == 1
    assert enhance("s3://enhanced/in/0.jpg", "s3://enhanced/", run_id="night-2")["skipped"] == 1
    with pytest.raises(AirflowFailException, match="never written over"):
        enhance(["s3://enhanced/in/0.jpg"], "s3://enhanced/in/")
    assert s3.client.get_object(Bucket="enhanced", Key="in/0.jpg")["Body"].read() == photo()


@pytest.mark.parametrize("if_empty", ["warn", "fail"])
@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("s3://listings/maple/9.jpg", "does not exist"),
        (["s3://listings/maple/", "s3://listings/maple/9.jpg"], "does not exist"),
        ("s3://listings/maple/*.jpg", "include"),
        ("s3://listings/*", "include"),
        ("s3://listings/m?ple/", "include"),
        (["s3://listings/maple/", "s3://listings/elm*/"], "include"),
        ("{disk}/in/*.jpg", "include"),
        ("{disk}/in/9.jpg", "does not exist"),
    ],
)
def test_what_is_named_and_not_there_is_an_error(
    enhance: Enhance,
    maple: SimpleNamespace,
    autoenhance: Sandbox,
    source: Any,
    says: str,
    if_empty: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    given = source.format(disk=tmp_path) if isinstance(source, str) else source
    with pytest.raises(AirflowFailException, match=says):
        enhance(given, "s3://enhanced/", if_empty=if_empty)
    assert autoenhance.ledger()["images_created"] == 0


@pytest.mark.parametrize(
    "empty",
    [
        "s3://listings/elm/",
        "s3://listings/elm",
        "s3://listings/notes/",
        "{disk}/in/elm/",
        "{disk}/in/notes",
        "{disk}/in",
    ],
)
def test_a_folder_without_photos_is_named(
    enhance: Enhance, maple: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture, empty: str
) -> None:
    maple.put("notes/readme.txt", b"no photo")
    (tmp_path / "in" / "notes").mkdir(parents=True)
    (tmp_path / "in" / "notes" / "readme.txt").write_bytes(b"no photo")
    given = empty.format(disk=tmp_path)
    shown = given.rstrip("/") + "/"
    caplog.set_level(logging.WARNING)
    assert enhance(given, "s3://enhanced/")["photos"] == 0
    several = [shown, "s3://listings/maple/"]
    assert enhance(several, "s3://enhanced/")["landed"] == 2
    told = [each for each in caplog.messages if shown in each]
    assert told == [f"Without photos: {shown}: does not exist, or holds nothing that is a photo"] * 2
    for source in (given, several):
        with pytest.raises(AirflowFailException, match=f"{shown}: does not exist, or holds nothing that is a photo"):
            enhance(source, "s3://enhanced/", if_empty="fail", run_id="night-2")
    assert enhance("s3://listings/maple/", "s3://enhanced/maple/", if_empty="fail")["photos"] == 2


def test_where_even_the_folder_above_is_missing_the_disk_is(enhance: Enhance, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="does not exist on this worker"):
        enhance(f"{tmp_path}/not-mounted/maple/", f"{tmp_path}/out/")


def test_what_all_lies_in_an_outer_source_is_not_empty(enhance: Enhance, maple: SimpleNamespace) -> None:
    source = ["s3://listings/maple/", "s3://listings/maple/sub/"]
    assert enhance(source, "s3://enhanced/", if_empty="fail")["landed"] == 2
    assert enhance(source, "s3://enhanced/", if_empty="fail", run_id="night-2")["skipped"] == 2


def test_if_empty_is_checked_where_the_dag_is_read() -> None:
    with pytest.raises(ValueError, match="if_empty takes one of warn, fail"):
        AutoenhanceEnhanceOperator(task_id="enhance", source="s3://a/", destination="s3://b/", if_empty="ignore")  # type: ignore[arg-type]


# Lists for mapped tasks, and events


@pytest.mark.parametrize(
    "source", ["s3://listings", "s3://photos@listings/", "s3a://photos@listings", "S3://listings//"]
)
def test_groups_and_arrivals_are_the_same_for_each_spelling(maple: SimpleNamespace, source: str) -> None:
    bucket = "photos@listings" if "@" in source else "listings"
    destination = source.replace("listings", "enhanced")
    there = f"s3://{bucket.replace('listings', 'enhanced')}/"
    assert list_groups(source, destination) == [
        {"source": f"s3://{bucket}/maple/", "destination": f"{there}maple/", "recursive": True}
    ]
    assert changed_folders(source, None) == ["s3://listings/maple/", "s3://listings/maple/sub/"]
    for folder in ("s3://listings/maple", "S3A://photos@listings//maple/", "s3://listings/maple/0.jpg"):
        assert arrived_folders([{"folder": folder}], source, destination) == [
            {"source": f"s3://{bucket}/maple/", "destination": f"{there}maple/"}
        ]


def test_groups_and_arrivals_of_a_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for source in ("in", "./in//", f"file://{tmp_path}/in", f"{tmp_path}/x/../in/", f"/{tmp_path}/in"):
        groups = list_groups(source, "out")
        assert groups == [{"source": f"{folder}/", "destination": f"{tmp_path}/out/maple/", "recursive": True}]
        assert changed_folders(source, None) == [f"{folder}/", f"{folder}/sub/"]
        for event in (f"{folder}", f"file://{folder}/", f"{folder}/sub/.."):
            assert arrived_folders([{"folder": event}], source, "out") == [
                {"source": f"{folder}/", "destination": f"{tmp_path}/out/maple/"}
            ]


def test_photos_in_a_folder_without_a_name_are_told_or_reached_from_above(
    enhance: Enhance, maple: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    maple.put("/nameless.jpg", photo(shade=80))
    maple.put("elm//2.jpg", photo(shade=90))
    assert [each["source"] for each in list_groups("s3://listings/", "s3://enhanced/")] == [
        "s3://listings/elm/",
        "s3://listings/maple/",
    ]
    assert "Left out s3://listings//: this folder has no name" in caplog.text
    folders = changed_folders("s3://listings/", None)
    assert folders == [f"s3://listings/{folder}" for folder in ("", "elm/", "maple/", "maple/sub/")]
    arrived = arrived_folders([{"folder": folder} for folder in folders], "s3://listings/", "s3://enhanced/")
    assert [enhance(**each)["landed"] for each in arrived] == [4]


@pytest.mark.parametrize("source", ["s3://listings/maple/0.jpg", "{disk}/maple/0.jpg", "s3://listings/map*"])
def test_a_file_or_a_pattern_has_no_folders(maple: SimpleNamespace, folder: Path, source: str) -> None:
    given = source.format(disk=folder.parent)
    for act in (lambda: list_groups(given, "s3://enhanced/"), lambda: changed_folders(given, None)):
        with pytest.raises(Exception, match=r"is a file|Not a directory|include") as refused:
            act()
        assert json.dumps(str(refused.value))


def test_a_list_of_nothing_is_told(maple: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    assert list_groups("s3://listings/elm/", "s3://enhanced/") == []
    assert "Without photos: s3://listings/elm/: does not exist, or holds nothing that is a photo" in caplog.messages


@pytest.mark.parametrize("spelling", [lambda text: text, lambda text: f" {text} ", lambda text: f"['{text}']"])
def test_one_pattern_is_a_pattern_and_not_its_letters(
    maple: SimpleNamespace, spelling: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    maple.put("elm/1.png", photo())
    chosen: dict[str, Any] = {"include": spelling("*.png"), "exclude": spelling("0.*")}
    assert [file.uri for file in list_files("s3://listings/", **chosen)] == ["s3://listings/elm/1.png"]
    assert changed_folders("s3://listings/", None, **chosen) == ["s3://listings/elm/"]
    assert [each["source"] for each in list_groups("s3://listings/", "s3://enhanced/", **chosen)] == [
        "s3://listings/elm/"
    ]
    assert [file.name for file in list_files("s3://listings/", exclude=spelling("0.*"))] == ["1.png", "1.jpg"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"include": ["*.jpg", "*.jpge"]}, "include matches nothing with '*.jpge'"),
        ({"include": "*.JPG", "exclude": ["sub/*.tif", "1.*"]}, "exclude matches nothing with 'sub/*.tif'"),
        ({"include": ["0.*", "sub/*", "maple/*"]}, "include matches nothing with 'maple/*'"),
        ({"include": ["0.*", "sub/*"], "exclude": ["*.png"]}, "exclude matches nothing with '*.png'"),
        ({"include": ["*.jpg"], "exclude": ["sub/*"]}, None),
        ({}, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stored", ["s3", "disk"])
def test_a_pattern_that_matches_nothing_is_named(
    enhance: Enhance, maple: SimpleNamespace, folder: Path, caplog: pytest.LogCaptureFixture, options: dict[str, Any],
    told: str | None, stored: str,
) -> None:  # fmt: skip
    source = "s3://listings/maple/" if stored == "s3" else f"{folder}/"
    strict = told is not None and told.startswith("include")
    assert enhance(source, "s3://enhanced/", plan_only=True, **options)["photos"] == (
        1 if "sub/*" in str(options.get("exclude")) or "1.*" in str(options) else 2
    )
    warnings = [record.getMessage() for record in caplog.records if "matches nothing" in record.getMessage()]
    assert warnings == ([f"Check the spelling: {told}"] if told else [])
    if strict:
        with pytest.raises(AirflowFailException, match="matches nothing"):
            enhance(source, "s3://enhanced/", plan_only=True, if_empty="fail", **options)
    else:
        assert enhance(source, "s3://enhanced/", plan_only=True, if_empty="fail", **options)["photos"]


def test_patterns_that_a_template_left_empty_are_the_usual_ones(maple: SimpleNamespace) -> None:
    for empty in (None, "None", " ", [], [""]):
        none: dict[str, Any] = {"include": empty, "exclude": empty}
        assert len(list(list_files("s3://listings/", **none))) == 2
        assert len(list_groups("s3://listings/", "s3://enhanced/", **none)) == 1
        assert len(changed_folders("s3://listings/", None, **none)) == 2


def test_helpers_take_paths_and_texts_with_spaces_around(maple: SimpleNamespace, folder: Path, tmp_path: Path) -> None:
    path = ObjectStoragePath("s3://photos@listings/maple")
    there: dict[Any, str] = {" s3://listings/maple/ ": "s3://listings/maple/", path: "s3://photos@listings/maple/"}
    for source, uri in (there | {folder: f"{folder}/"}).items():
        items = list_groups(source, tmp_path / "out", max_groups=1)
        assert items[0] == {"source": uri, "destination": f"{tmp_path}/out/", "recursive": False}
        assert items[1]["source"] == f"{uri}sub/"
        public = uri.replace("photos@", "")
        assert changed_folders(source, None) == [public, f"{public}sub/"]
        assert len(list(list_files(source))) == 2
        assert arrived_folders([{"folder": f" {uri}sub/ "}], source, " s3://enhanced/ ") == [
            {"source": f"{uri}sub/", "destination": "s3://enhanced/sub/"}
        ]
    for act in (
        lambda: list_groups(None, "s3://enhanced/"),  # type: ignore[arg-type]
        lambda: list_groups("s3://listings/", " "),
        lambda: changed_folders("None", None),
        lambda: arrived_folders([], "", "s3://enhanced/"),
        lambda: list_files(" "),
    ):
        with pytest.raises(AutoenhanceError, match="is empty"):
            act()


@pytest.mark.parametrize("destination", ["enhanced", "maple/enhanced", "elm/enhanced/deep"])
@pytest.mark.parametrize("helper", ["arrivals", "groups"])
@pytest.mark.parametrize("store", ["s3", "disk"])
def test_results_in_the_source_are_never_enhanced_again(
    enhance: Enhance,
    maple: SimpleNamespace,
    folder: Path,
    autoenhance: Sandbox,
    destination: str,
    helper: str,
    store: str,
) -> None:
    source = "s3://listings/" if store == "s3" else f"{folder.parent}/"
    for night in range(3):
        found = changed_folders(source, None)
        items = (
            arrived_folders([{"folder": each} for each in found], source, source + destination)
            if helper == "arrivals"
            else list_groups(source, source + destination)
        )
        assert sum(enhance(**each, run_id=f"night-{night}")["photos"] for each in items) == 2
    assert autoenhance.ledger()["credits"]["spent"] == 2


def test_an_event_about_results_alone_is_work_for_nobody() -> None:
    for folder in ("s3://in/out/", "s3://in/out/elm/", "s3a://in/out/elm/1.jpg"):
        assert arrived_folders([{"folder": folder}], "s3://in/", "s3://in/out/") == []
    assert arrived_folders([{"folder": "s3://in/outer/"}], "s3://in/", "s3://in/out/") == [
        {"source": "s3://in/outer/", "destination": "s3://in/out/outer/"}
    ]


@pytest.mark.parametrize("name", ["Elm [sold]", "[kw 48]", "really?", "***"])
def test_a_folder_is_not_a_pattern_where_it_exists(
    enhance: Enhance, s3: SimpleNamespace, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    (tmp_path / name).mkdir()
    s3.put(f"{name}/readme.txt", b"x")
    s3.put(f"marked/{name}/", b"")
    for source in (f"{tmp_path}/{name}/", f"s3://listings/{name}/", f"s3://listings/marked/{name}/"):
        caplog.clear()
        assert enhance(source, "s3://enhanced/")["photos"] == 0
        assert list_groups(source, "s3://enhanced/") == changed_folders(source, None) == []
        assert f"Without photos: {source}" in caplog.text
    for absent in (f"{tmp_path}/x{name}/", f"s3://listings/x{name}/"):
        assert list_groups(absent, "s3://enhanced/", missing_ok=True) == []
        with pytest.raises(AirflowFailException, match="never a pattern"):
            enhance(absent, "s3://enhanced/")
    assert "never a pattern" in caplog.text


def test_what_the_provider_writes_is_never_a_photo(
    enhance: Enhance, maple: SimpleNamespace, folder: Path, tmp_path: Path
) -> None:
    for place in ("s3://enhanced/", f"{tmp_path}/out/"):
        enhance("s3://listings/maple/", place)
        enhance(["s3://listings/maple/sub/", f"{folder}/"], place, run_id="several")
        groups = list_groups(place, "s3://listings/again/", include="*")
        assert [each["source"] for each in groups] == [place, f"{place}maple/", f"{place}sub/"]
        assert ".autoenhance" not in str(changed_folders(place, None, include="*"))
        summary = enhance(place, f"{tmp_path}/again/{place[:2]}/", include="*", run_id="again", preview=True)
        assert (summary["photos"], summary["landed"]) == (4, 4)
        assert not [name for name in landed(tmp_path / "again") if "manifest" in name]


def test_the_connection_in_a_uri_wins_over_the_argument(
    enhance: Enhance, maple: SimpleNamespace, other_store: Any, autoenhance: Sandbox
) -> None:
    other_store.put_object(Bucket="listings", Key="elm/9.jpg", Body=photo(shade=99))
    given = "s3://photos@listings/"
    mine: dict[str, Any] = {"source_conn_id": "other"}
    assert [each["source"] for each in list_groups(given, "s3://enhanced/", **mine)] == [f"{given}maple/"]
    assert changed_folders(given, None, **mine) == ["s3://listings/maple/", "s3://listings/maple/sub/"]
    assert [file.name for file in list_files(given, conn_id="other")] == ["0.jpg", "1.jpg"]
    assert [file.name for file in list_files("s3://listings/", conn_id="other")] == ["9.jpg"]
    with open_source(f"{given}maple/0.jpg", conn_id="other") as opened:
        assert opened.size == len(photo(shade=50))
    assert enhance(given, "s3://photos@enhanced/", destination_conn_id="other", **mine)["landed"] == 2
    about = {"image_id": autoenhance.ledger()["images"][0]["image_id"], "destination": "s3://photos@enhanced/one.jpg"}
    run(AutoenhanceDownloadImageOperator(task_id="fetch", destination_conn_id="other", **about))
    assert outputs(maple) == ["maple/0.jpg", "maple/sub/1.jpg", "one.jpg"]
    assert "Contents" not in other_store.list_objects_v2(Bucket="enhanced")


@pytest.mark.parametrize("place", [Path("s3a://enhanced/x"), "gcs:/enhanced/x/", "~/out/", "$HOME/out/", "C:\\out\\"])
def test_what_is_not_a_path_is_refused_before_anything_is_sent(
    enhance: Enhance,
    maple: SimpleNamespace,
    autoenhance: Sandbox,
    tmp_path: Path,
    place: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for source, destination in (("s3://listings/maple/", place), (place, "s3://enhanced/")):
        with pytest.raises((AirflowFailException, AutoenhanceError), match=r"Write "):
            enhance(source, destination)
        with pytest.raises(AutoenhanceError, match=r"Write "):
            list_groups(source, destination)
    assert autoenhance.ledger()["images_created"] == 0
    assert list(tmp_path.rglob("*.jpg")) == []


# Names that hold what looks like a credential


@pytest.mark.parametrize("store", ["s3", "disk"])
def test_a_name_that_cannot_be_written_down_is_left_out_and_the_others_land(
    enhance: Enhance,
    s3: SimpleNamespace,
    tmp_path: Path,
    autoenhance: Sandbox,
    store: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number, key in enumerate(("a.jpg", "a.jpg?token=1.jpg", "a.jpg?token=2.jpg", "in?key=3/b.jpg", "maybe?.jpg")):
        body = photo(shade=40 + 9 * number)
        (tmp_path / "in" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / key).write_bytes(body)
        s3.put(f"in/{key}", body)
    source = "s3://listings/in/" if store == "s3" else f"{tmp_path}/in/"
    for night, done in enumerate(("landed", "skipped")):
        summary = enhance(source, f"{tmp_path}/out/", run_id=f"night-{night}")
        assert (summary["photos"], summary[done]) == (2, 2)
    assert landed(tmp_path / "out") == ["a.jpg", "maybe_.jpg"]
    assert f"Left out '{source}a.jpg': what follows" in caplog.text
    assert "token=1" not in caplog.text
    assert [each["source"] for each in list_groups(source, "s3://enhanced/")] == [source]
    assert changed_folders(source, None) == [source]
    for one in (
        [f"{source}a.jpg?token=1.jpg", f"{source}a.jpg?token=2.jpg"],
        f"{source}in?key=3/",
        f"{source}in?key=3",
    ):
        with pytest.raises(AirflowFailException, match="looks like a credential"):
            enhance(one, f"{tmp_path}/out/")
    assert autoenhance.ledger()["credits"]["spent"] == 2


@pytest.mark.parametrize("destination", ["s3://enhanced/d?key=1/", "{disk}/d?key=1/"])
def test_no_output_goes_where_a_cut_name_leads(
    enhance: Enhance, maple: SimpleNamespace, tmp_path: Path, autoenhance: Sandbox, destination: str
) -> None:
    maple.client.put_object(Bucket="enhanced", Key="d0.jpg", Body=b"another's")
    (tmp_path / "d0.jpg").write_bytes(b"another's")
    with pytest.raises((AirflowFailException, AutoenhanceError), match="looks like a credential"):
        enhance("s3://listings/maple/", destination.format(disk=tmp_path))
    assert autoenhance.ledger()["images_created"] == 0
    assert maple.client.get_object(Bucket="enhanced", Key="d0.jpg")["Body"].read() == b"another's"
    assert (tmp_path / "d0.jpg").read_bytes() == b"another's"


def test_moments_and_events_are_read_as_people_hand_them_over(s3: SimpleNamespace) -> None:
    s3.put("elm/1.jpg", photo())
    naive = datetime.now(UTC).replace(tzinfo=None)
    for since in (naive, naive.isoformat(), f"{naive.isoformat()}Z", naive.replace(tzinfo=UTC), "", None):
        assert changed_folders("s3://listings/", since, max_folders="5") == ["s3://listings/elm/"]
    assert changed_folders("s3://listings/", "2999-01-01") == []
    with pytest.raises(AutoenhanceError, match="since takes a moment"):
        changed_folders("s3://listings/", "yesterday")
    whole = [{"source": "s3://in/", "destination": "s3://out/"}]
    for extras in (None, [], [None], "[]", {}):
        assert arrived_folders(extras, "s3://in/", "s3://out/") == whole
    elm = [{"source": "s3://in/elm/", "destination": "s3://out/elm/"}]
    for extras in ({"folder": "s3://in/elm/"}, '[{"folder": "s3://in/elm/"}]', ({"folder": "s3://in/elm/"},)):
        assert arrived_folders(extras, "s3://in/", "s3://out/") == elm
    with pytest.raises(AutoenhanceError, match="extras takes a list of objects"):
        arrived_folders(["s3://in/elm/"], "s3://in/", "s3://out/")
    assert len(list_groups("s3://listings/", "s3://enhanced/", max_groups="5")) == 1


def test_a_batch_goes_into_a_folder(enhance: Enhance, s3: SimpleNamespace) -> None:
    with pytest.raises(AutoenhanceError, match="'front.jpg' is named like one image"):
        enhance_to("s3://listings/elm/", "s3://enhanced/front.jpg")


def test_a_signature_in_a_path_is_refused_and_not_shown(enhance: Enhance, autoenhance: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match="looks like a credential") as refused:
        enhance("https://photos.example/day/", "s3://enhanced/", paths=["1.jpg?X-Amz-Signature=abc123secret"])
    assert "abc123secret" not in str(refused.value)
    assert autoenhance.ledger()["requests"] == {}
