"""Tasks for single images and orders: a photo is one however it is spelled, and nothing is written over an original or another's file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import ImageStatus
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.operators.brackets import (
    AutoenhanceCreateBracketOperator,
    AutoenhanceUploadBracketOperator,
)
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceDownloadImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.operators.orders import (
    AutoenhanceCreateOrderOperator,
    AutoenhanceDownloadOrderOperator,
    AutoenhanceProcessOrderOperator,
)
from tests.support.batch import enhance_to, outputs
from tests.support.photos import photo
from tests.support.pictures import bracket
from tests.support.sandbox import Sandbox
from tests.support.tasks import run

pytestmark = pytest.mark.usefixtures("short_waits")


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_autoenhance.pipeline.remote.process.ARRIVAL_POLLS", (0.0, 0.01, 0.02))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Two photos on a disk, which nothing may change."""
    folder = tmp_path / "in"
    folder.mkdir()
    pictures = {name: photo(shade=40 + number) for number, name in enumerate(("a.jpg", "b.jpg"))}
    for name, picture in pictures.items():
        (folder / name).write_bytes(picture)
    (tmp_path / "link").symlink_to(folder)
    (folder / "file-link.jpg").symlink_to(folder / "a.jpg")
    yield folder
    assert {name: (folder / name).read_bytes() for name in pictures} == pictures, "an original was changed"


def create(source: str, name: str = "a.jpg", **options: Any) -> dict[str, Any]:
    task = AutoenhanceCreateImageOperator(task_id="create", image_name=name, source=source, **options)
    return dict(run(task))


def upload(created: dict[str, Any], source: str) -> str:
    ticket = {key: created[key] for key in ("image_id", "upload_url")}
    return str(run(AutoenhanceUploadImageOperator(task_id="upload", source=source, **ticket))["image_id"])


def enhanced(source: str, name: str = "a.jpg", **options: Any) -> str:
    """Take a photo through the tasks; return its image's id."""
    image_id = upload(create(source, name, **options), source)
    while AutoenhanceHook().get_image(image_id).status is not ImageStatus.PROCESSED:
        time.sleep(0.02)
    return image_id


def download(image_id: str, destination: Any, **options: Any) -> dict[str, Any]:
    task = AutoenhanceDownloadImageOperator(
        task_id="download", image_id=image_id, destination=destination, preview=False, **options
    )
    return dict(run(task))


def download_order(order_id: str, destination: Any, **options: Any) -> dict[str, Any]:
    task = AutoenhanceDownloadOrderOperator(
        task_id="download", order_id=order_id, destination=destination, preview=False, **options
    )
    return dict(run(task))


def order_of(image_id: str) -> str:
    return str(AutoenhanceHook().get_image(image_id).order_id)


def spent(autoenhance: Sandbox) -> int:
    return int(autoenhance.ledger()["credits"]["spent"])


# Originals


@pytest.mark.parametrize(
    "destination",
    [
        "{folder}/a.jpg", "{folder}/", "{folder}/../in/a.jpg", "file://{folder}/a.jpg", "/{folder}//a.jpg", "{folder}/../link/a.jpg",
        "{folder}/../link/", "{folder}/file-link.jpg", "{folder}/b.jpg", "{folder}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_path", [False, True], ids=["text", "path"])
def test_a_download_is_not_written_over_an_original(
    autoenhance: Sandbox, folder: Path, destination: str, as_path: bool
) -> None:
    image_id = enhanced(f"{folder}/a.jpg")
    enhanced(f"{folder}/b.jpg", "b.jpg")
    place = destination.format(folder=folder)
    if as_path and "://" not in place:
        with pytest.raises(AirflowFailException, match="original"):
            download(image_id, Path(place))
    with pytest.raises(AirflowFailException, match="original"):
        download(image_id, place)
    assert spent(autoenhance) == 0


@pytest.mark.parametrize(
    "destination",
    [
        "s3://listings/in/a.jpg", "s3a://listings/in/a.jpg", "S3://aws_default@listings/in/", "s3://listings/in",
        ObjectStoragePath("s3://listings/in/"), ObjectStoragePath("s3://listings/in/a.jpg"),
    ],
)  # fmt: skip
def test_nor_is_one_in_a_bucket(autoenhance: Sandbox, s3: SimpleNamespace, destination: Any) -> None:
    s3.put("in/a.jpg", photo())
    image_id = enhanced("s3a://aws_default@listings/in/a.jpg")
    with pytest.raises(AirflowFailException, match="original"):
        download(image_id, destination, output_spec="jpeg") if destination != "s3://listings/in" else download_order(
            order_of(image_id), destination
        )
    assert spent(autoenhance) == 0
    assert s3.client.get_object(Bucket="listings", Key="in/a.jpg")["Body"].read() == photo()


def test_beside_its_original_a_photo_has_a_place(autoenhance: Sandbox, folder: Path) -> None:
    image_id = enhanced(f"{folder}/a.jpg")
    for _ in range(2):
        assert download(image_id, f"{folder}/a-enhanced.jpg")["uri"] == f"{folder}/a-enhanced.jpg"
        assert download(image_id, f"{folder}/", output_spec="webp")["uri"] == f"{folder}/a.jpg.webp"
    assert spent(autoenhance) == 1


def test_nor_over_an_original_that_autoenhance_has_not_seen(autoenhance: Sandbox, folder: Path) -> None:
    image_id = enhanced(f"{folder}/a.jpg", "b.jpg")
    for destination in (f"{folder}/b.jpg", f"{folder}/", f"{folder}/../link/b.jpg"):
        with pytest.raises(AirflowFailException, match="may be one"):
            download(image_id, destination)
    assert spent(autoenhance) == 0


@pytest.mark.parametrize("destination", ["{folder}/", "{folder}", "{folder}/../link/", "file://{folder}/"])
def test_an_order_is_not_written_over_originals(autoenhance: Sandbox, folder: Path, destination: str) -> None:
    # Each name is the other photo's.
    order_id = order_of(enhanced(f"{folder}/a.jpg", "b.jpg"))
    enhanced(f"{folder}/b.jpg", "a.jpg")
    with pytest.raises(AirflowFailException, match="original"):
        download_order(order_id, destination.format(folder=folder))
    assert spent(autoenhance) == 0


def test_nor_are_merged_photos_written_over_their_exposures(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    order_id = run(AutoenhanceCreateOrderOperator(task_id="order"))["order_id"]
    ids = []
    for number, shot in enumerate(bracket()):
        source = f"s3://listings/maple/{number}.jpg"
        s3.put(f"maple/{number}.jpg", shot)
        made = run(
            AutoenhanceCreateBracketOperator(
                task_id=f"c{number}", bracket_name=f"{number}.jpg", order_id=order_id, source=source
            )
        )
        ids.append(run(AutoenhanceUploadBracketOperator(task_id="u", source=source, **made))["bracket_id"])
    (image_id,) = run(
        AutoenhanceProcessOrderOperator(task_id="p", order_id=order_id, groups=[ids], poll_interval=0.05)
    )["image_ids"]
    for number in range(3):
        with pytest.raises(AirflowFailException, match="original"):
            download(image_id, f"s3://listings/maple/{number}.jpg")
    with pytest.raises(AirflowFailException, match="original"):
        download_order(order_id, "s3://listings/maple/")
    assert spent(autoenhance) == 0


def test_what_a_batch_made_is_not_written_over_its_original(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("maple/a.jpg", photo())
    enhance_to("s3://listings/maple/", "s3://enhanced/maple/")
    (image,) = autoenhance.ledger()["images"]
    with pytest.raises(AirflowFailException, match="original"):
        download(image["image_id"], "s3://listings/maple/a.jpg")


# Others' files


@pytest.mark.parametrize("destination", ["s3://enhanced/maple/a.jpg", "s3://enhanced/maple/"])
@pytest.mark.parametrize("whole_order", [False, True], ids=["image", "order"])
def test_a_download_is_not_written_over_what_a_batch_has_landed(
    autoenhance: Sandbox, s3: SimpleNamespace, destination: str, whole_order: bool
) -> None:
    s3.put("maple/a.jpg", photo())
    s3.put("oak/a.jpg", photo(shade=90))
    enhance_to("s3://listings/maple/", "s3://enhanced/maple/")
    before = s3.get("maple/a.jpg")
    image_id = enhanced("s3://listings/oak/a.jpg")
    with pytest.raises(AirflowFailException, match=r"s3://listings/maple/a\.jpg"):
        if whole_order:
            download_order(order_of(image_id), "s3://enhanced/maple/")
        else:
            download(image_id, destination)
    assert (spent(autoenhance), s3.get("maple/a.jpg")) == (1, before)
    same = enhanced("s3://listings/maple/a.jpg", "again.jpg")
    assert download(same, "s3://enhanced/maple/a.jpg")["uri"] == "s3://enhanced/maple/a.jpg", (
        "the same photo's own file"
    )


@pytest.mark.parametrize("names", [("a.jpg", "a.jpg"), ("a.jpg", "A.JPG"), ("caf\u00e9.jpg", "cafe\u0301.jpg")])
def test_images_of_one_order_and_one_name_have_a_file_each(
    autoenhance: Sandbox, s3: SimpleNamespace, names: tuple[str, str]
) -> None:
    ids = []
    for number, name in enumerate(names):
        s3.put(f"{number}.jpg", photo(shade=50 + 20 * number))
        ids.append(enhanced(f"s3://listings/{number}.jpg", name))
    order_id = order_of(ids[0])
    for _ in range(2):
        assert download_order(order_id, "s3://enhanced/maple/")["landed"] == 2
        assert len({key.casefold() for key in outputs(s3)}) == 2
    assert all(any(image_id[:8] in key for key in outputs(s3)) for image_id in ids)
    files = {key: s3.get(key) for key in outputs(s3)}
    AutoenhanceHook().delete_image(ids[0])
    download_order(order_id, "s3://enhanced/maple/")
    assert {key: s3.get(key) for key in files} == files, "the one that is left has its own file still, or one more"


# Files and folders


@pytest.mark.parametrize("place", [Path, ObjectStoragePath], ids=["Path", "ObjectStoragePath"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_path_object_without_an_extension_is_a_folder(
    autoenhance: Sandbox, folder: Path, tmp_path: Path, place: Any, exists: bool
) -> None:
    image_id = enhanced(f"{folder}/a.jpg")
    if exists:
        (tmp_path / "out").mkdir()
    local = f"{tmp_path}/out/" if place is Path else f"file://{tmp_path}/out/"
    for spec in (None, "jpeg"):
        assert download(image_id, place(local), output_spec=spec)["uri"] == f"{tmp_path}/out/a.jpg"
    for spec in (["jpeg", "png"],):
        made = download(image_id, place(local), output_spec=spec)["outputs"]
        assert [each["uri"] for each in made] == [f"{tmp_path}/out/a.jpg", f"{tmp_path}/out/a.jpg.png"]
    assert download(image_id, place(f"{local}own.png"))["uri"] == f"{tmp_path}/out/own.png"


def test_a_folder_that_is_there_is_a_folder_as_text_too(autoenhance: Sandbox, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert download(enhanced(f"{folder}/a.jpg"), f"{tmp_path}/out")["uri"] == f"{tmp_path}/out/a.jpg"


@pytest.mark.parametrize("destination", ["s3://enhanced/all.jpg", Path("/data/all.PNG"), "/data/{{ ds }}.webp"])
def test_several_images_do_not_go_into_one_file(autoenhance: Sandbox, destination: Any) -> None:
    with pytest.raises(errors.SettingsError, match="folder"):
        AutoenhanceDownloadImageOperator.partial(task_id="d", destination=destination)
    if "{{" in str(destination):
        destination = str(destination).replace("{{ ds }}", "2026-02-01")
        task = AutoenhanceDownloadOrderOperator(task_id="d", order_id="x", destination="{{ x }}")
        task.destination = destination
        with pytest.raises(AirflowFailException, match="folder"):
            run(task)
    else:
        with pytest.raises(errors.SettingsError, match="folder"):
            AutoenhanceDownloadOrderOperator(task_id="d", order_id="x", destination=destination)
    assert autoenhance.ledger()["requests"] == {}


def test_mapped_downloads_may_be_told_apart_by_a_template() -> None:
    for destination in ("/data/{{ ti.map_index }}.jpg", "s3://enhanced/{{ task.image_id }}.jpg", "s3://enhanced/"):
        with DAG("nightly"):
            AutoenhanceDownloadImageOperator.partial(task_id="d", destination=destination).expand(image_id=["a", "b"])


# One photo


def test_each_spelling_is_one_image(autoenhance: Sandbox, folder: Path, tmp_path: Path) -> None:
    spellings = [
        f"{folder}/a.jpg", f"{folder}/../in/a.jpg", f"file://{folder}/a.jpg", f"/{folder}//a.jpg", f"{tmp_path}/link/a.jpg",
        f"{folder}/file-link.jpg", f"file://localhost{folder}/./a.jpg",
    ]  # fmt: skip
    ids = {enhanced(source) for source in spellings}
    assert (len(ids), autoenhance.ledger()["images_created"], autoenhance.ledger()["uploads_received"]) == (1, 1, 1)
    created = create(spellings[1], "other.jpg")
    assert upload(created, spellings[4]) == created["image_id"], "the upload sees the photo that it was created for"


def test_each_spelling_of_a_bucket_is_one_image(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("in/a.jpg", photo())
    spellings = ["s3://listings/in/a.jpg", "s3a://listings/in/a.jpg", "S3N://aws_default@listings/in/a.jpg"]
    assert len({enhanced(source) for source in spellings}) == 1
    assert autoenhance.ledger()["images_created"] == 1


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{folder}", "folder"), ("{folder}/", "folder"), ("file://{folder}", "folder"), ("{folder}/*.jpg", "pattern"),
        ("{folder}/?.jpg", "pattern"), ("{folder}/[ab].jpg", "pattern"), ("s3://listings/in", "folder"), ("s3://listings/in/", "folder"),
        ("s3://listings/in/*.jpg", "pattern"), ("s3a://listings/in/[ab].jpg", "pattern"), ("s3://listings/", "folder"),
        ("s3://listings/**", "pattern"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("exposure", [False, True], ids=["image", "exposure"])
def test_a_source_is_one_file(
    autoenhance: Sandbox, folder: Path, s3: SimpleNamespace, source: str, told: str, exposure: bool
) -> None:
    s3.put("in/a.jpg", photo())
    place = source.format(folder=folder)
    tasks: list[Any] = [
        AutoenhanceCreateImageOperator(task_id="c", image_name="a.jpg", source=place),
        AutoenhanceUploadImageOperator(task_id="u", image_id="i", upload_url="", source=place),
    ]
    if exposure:
        tasks = [
            AutoenhanceCreateBracketOperator(task_id="c", bracket_name="a.jpg", order_id="o", source=place),
            AutoenhanceUploadBracketOperator(task_id="u", bracket_id="b", order_id="o", upload_url="", source=place),
        ]
    for task in tasks:
        with pytest.raises(AirflowFailException, match=told):
            run(task)
    assert autoenhance.ledger()["requests"] == {}


def test_a_name_with_brackets_in_it_is_a_file(autoenhance: Sandbox, s3: SimpleNamespace, folder: Path) -> None:
    s3.put("in/a[1].jpg", photo())
    assert enhanced("s3://listings/in/a[1].jpg")
