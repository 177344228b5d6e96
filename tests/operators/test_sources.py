"""Every way in: stores, the web, local folders, a web folder and all of them in one list, through the batch operator."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_autoenhance.pipeline.batch.manifest import MANIFEST
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from tests.storage.web_host import Host, page
from tests.support.batch import Enhance, enhance_to
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import connection_of, is_for_people

pytestmark = pytest.mark.usefixtures("short_waits")


@pytest.fixture
def enhance(autoenhance: Sandbox) -> Enhance:
    return enhance_to


@pytest.fixture
def allow(autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that puts extras into the connection."""

    def put(**extra: Any) -> None:
        connection = json.loads(connection_of(autoenhance, "AUTOENHANCE_DEFAULT")) | {"extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))

    return put


@pytest.fixture
def web() -> Iterator[Host]:
    with Host() as host:
        yield host


def landed(folder: Path) -> list[str]:
    found = (file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    files = (name for name in found if not is_for_people(name))
    return sorted(name for name in files if RECORDS_FOLDER not in name and not name.endswith(".jsonl"))


def test_a_connection_in_the_uri_changes_no_name_and_no_price(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PHOTOS", os.environ["AIRFLOW_CONN_AWS_DEFAULT"])
    s3.put("maple/a.jpg", photo())
    s3.put("maple/up/b.jpg", photo(shade=90))
    with_it = ("s3://photos@listings/maple/", "s3://photos@enhanced/maple/")
    without = ("s3://listings/maple/", "s3://enhanced/maple/")
    summary = enhance(*with_it)
    assert (summary["landed"], summary["manifest"]) == (2, f"s3://enhanced/maple/{MANIFEST}")
    assert [key for key in s3.keys() if key.endswith(".jpg")] == ["maple/a.jpg", "maple/up/b.jpg"]
    for number, where in enumerate((with_it, without)):
        assert enhance(*where, run_id=f"night-{number + 2}")["skipped"] == 2
    assert autoenhance.ledger()["credits"]["spent"] == 2


def test_a_mixed_list_each_from_its_own_store(
    enhance: Enhance,
    allow: Callable[..., None],
    autoenhance: Sandbox,
    s3: SimpleNamespace,
    web: Host,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PHOTOS", os.environ["AIRFLOW_CONN_AWS_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://")  # nothing may fall back to it
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    allow(allow_private_sources=True, local_folders=[str(tmp_path / "in")])
    s3.put("maple/a.jpg", photo(shade=50))
    s3.put("single/b.jpg", photo(shade=60))
    (tmp_path / "in" / "elm").mkdir(parents=True)
    (tmp_path / "in" / "elm" / "c.jpg").write_bytes(photo(shade=70))
    web.paths["/day/my%20d.jpg"] = page(photo(shade=80), query="?X-Amz-Signature=secret")
    source = [
        "s3://photos@listings/maple/",
        "s3://listings/single/b.jpg",
        f"file://{tmp_path}/in/elm/",
        web.url("/day/my%20d.jpg?X-Amz-Signature=secret"),
    ]
    out = tmp_path / "out"
    summary = enhance(source, f"{out}/", source_conn_id="photos")
    assert (summary["landed"], summary["failed"]) == (4, 0)
    assert landed(out) == ["b.jpg", "elm/c.jpg", "maple/a.jpg", "my d.jpg"]
    assert enhance(source, f"{out}/", source_conn_id="photos", run_id="night-2")["skipped"] == 4
    ledger = autoenhance.ledger()
    assert ledger["credits"]["spent"] == 4
    written = (
        b"".join(file.read_bytes() for file in out.rglob("*.jsonl")) + repr((ledger, summary["manifest"])).encode()
    )
    assert b"secret" not in written
    assert "secret" not in json.dumps(summary)
    assert b"photos@" not in written


def test_a_web_folder_is_its_address_and_names(
    enhance: Enhance, allow: Callable[..., None], web: Host, tmp_path: Path
) -> None:
    allow(allow_private_sources=True)
    web.paths |= {"/2026/elm/front%20door%20%231.jpg": page(photo()), "/2026/oak/100%25.jpg": page(photo(shade=90))}
    names = ["elm/front door #1.jpg", "oak/100%.jpg"]
    summary = enhance(web.url("/2026"), f"{tmp_path}/", paths=names)
    assert summary["landed"] == 2
    assert landed(tmp_path) == ["elm/front door _1.jpg", "oak/100%.jpg"]
    assert enhance(web.url("/2026/"), f"{tmp_path}/", paths=names, run_id="night-2")["skipped"] == 2


@pytest.mark.parametrize(
    "name", ["../a.jpg", "elm/../../a.jpg", "/etc/a.jpg", "..\\a.jpg", ".", "elm/", "//evil.example/a.jpg", "a\0.jpg"]
)
def test_a_name_cannot_leave_its_web_folder(enhance: Enhance, web: Host, tmp_path: Path, name: str) -> None:
    with pytest.raises(AirflowFailException):
        enhance(web.url("/2026/"), f"{tmp_path}/out/", paths=[name])
    assert web.seen == []
    assert landed(tmp_path) == []


def test_a_web_address_alone_is_a_photo_and_an_unnamed_web_folder_is_refused(
    enhance: Enhance, allow: Callable[..., None], web: Host, tmp_path: Path
) -> None:
    allow(allow_private_sources=True)
    web.paths["/day/a.jpg"] = page(photo(), query="?sig=secret")
    summary = enhance(web.url("/day/a.jpg?sig=secret"), f"{tmp_path}/")
    assert (summary["landed"], landed(tmp_path)) == (1, ["a.jpg"])
    assert summary["source"] == web.url("/day/a.jpg")
    with pytest.raises(AirflowFailException, match="the web has no folders that could be listed"):
        enhance(web.url("/day/"), f"{tmp_path}/")
    with pytest.raises(AirflowFailException, match="without a query"):
        enhance(web.url("/day/?sig=secret"), f"{tmp_path}/", paths=["a.jpg"])


def test_encoded_dots_are_a_name_and_not_a_way(
    enhance: Enhance, allow: Callable[..., None], web: Host, tmp_path: Path
) -> None:
    allow(allow_private_sources=True)
    web.paths |= {"/2026/%252e%252e/a.jpg": page(photo()), "/x/..%2F..%2Fb.jpg": page(photo(shade=80))}
    web.paths["/x/..%5C..%5Cc.jpg"] = page(photo(shade=90))
    out = tmp_path / "deep" / "out"
    enhance(web.url("/2026/"), f"{out}/", paths=["%2e%2e/a.jpg"])
    enhance([web.url("/x/..%2f..%2fb.jpg"), web.url("/x/%2e%2e%5c%2e%2e%5cc.jpg")], f"{out}/", run_id="night-2")
    assert landed(tmp_path) == ["deep/out/%2e%2e/a.jpg", "deep/out/.._.._b.jpg", "deep/out/c.jpg"]


def test_keys_of_a_bucket_cannot_leave_the_destination(enhance: Enhance, s3: SimpleNamespace, tmp_path: Path) -> None:
    keys = [
        "maple/../../up.jpg",
        "maple/..\\..\\win.jpg",
        "maple//double.jpg",
        "maple/./same.jpg",
        "maple/../x/../../deep.jpg",
    ]
    for number, key in enumerate(keys):
        s3.put(key, photo(shade=40 + 9 * number))
    out = tmp_path / "deep" / "out"
    summary = enhance("s3://listings/maple/", f"{out}/")
    assert summary["landed"] == len(keys)
    everything = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert all(name.startswith("deep/out/") for name in everything)
    assert landed(out) == ["double.jpg", "same.jpg", "up.jpg", "win.jpg", "x/deep.jpg"]
    assert enhance("s3://listings/maple/", f"{out}/", run_id="night-2")["skipped"] == len(keys)


def test_private_hosts_and_folders_outside_are_refused_unless_the_connection_allows_them(
    enhance: Enhance, allow: Callable[..., None], web: Host, autoenhance: Sandbox, tmp_path: Path
) -> None:
    web.paths["/a.jpg"] = page(photo())
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photo())
    with pytest.raises(AirflowFailException, match=r"not a public internet address.*allow_private_sources"):
        enhance([web.url("/a.jpg")], f"{tmp_path}/out/")
    allow(local_folders=["/data/photos"])
    for source in (f"{tmp_path}/in/", [f"file://{tmp_path}/in/a.jpg"]):
        with pytest.raises(AirflowFailException, match=r"none of the folders.*/data/photos.*local_folders"):
            enhance(source, f"{tmp_path}/out/")
    assert web.seen == []
    assert autoenhance.ledger()["requests"] == {}
    allow(allow_private_sources=True, local_folders=["/data/photos", str(tmp_path)])
    assert enhance([web.url("/a.jpg"), f"{tmp_path}/in/"], f"{tmp_path}/out/")["landed"] == 2


def test_the_content_and_not_the_name_tells_the_type(enhance: Enhance, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, data in (
        ("jpeg.png", photo()),
        ("png.jpg", photo("PNG")),
        ("text.jpg", b"no photo"),
        ("jxl.png", b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 99),
    ):
        (tmp_path / "in" / name).write_bytes(data)
    summary = enhance(f"{tmp_path}/in/", f"{tmp_path}/out/", max_failures=2)
    assert (summary["landed"], summary["failed"]) == (2, 2)
    assert {each["photo"]: each["reason"].partition(" is ")[2][:11] for each in summary["failures"]} == {
        "jxl.png": "a JPEG XL f",
        "text.jpg": "not an imag",
    }


def test_what_autoenhance_does_not_take_goes_up_as_png(enhance: Enhance, tmp_path: Path, autoenhance: Sandbox) -> None:
    (tmp_path / "in").mkdir()
    for form in ("BMP", "GIF"):
        (tmp_path / "in" / f"a.{form.lower()}").write_bytes(photo(form))
    summary = enhance(f"{tmp_path}/in/", f"{tmp_path}/out/")
    assert (summary["landed"], summary["failed"]) == (2, 0)
    assert sorted(path.name for path in (tmp_path / "out").glob("a.*")) == ["a.bmp.jpg", "a.gif.jpg"]
    assert all(image["name"].endswith(".png") for image in autoenhance.ledger()["images"])


def test_addresses_that_only_their_query_tells_apart_are_not_mixed_up(enhance: Enhance, tmp_path: Path) -> None:
    source = ["https://photos.example/get?id=1", "https://photos.example/get?id=2"]
    with pytest.raises(AirflowFailException, match="names https://photos.example/get twice"):
        enhance(source, f"{tmp_path}/")


def test_results_below_the_source_are_no_photos_however_they_are_spelled(enhance: Enhance, tmp_path: Path) -> None:
    (tmp_path / "in" / "out").mkdir(parents=True)
    (tmp_path / "in" / "a.jpg").write_bytes(photo())
    (tmp_path / "link").symlink_to(tmp_path / "in" / "out")
    source = [f"{tmp_path}/in/", f"file://{tmp_path}/in/"]
    for night, destination in enumerate([f"{tmp_path}/in/out/", f"{tmp_path}/in/../in/out/", f"{tmp_path}/link/"]):
        assert enhance(source, destination, run_id=f"night-{night}")["photos"] == 1, destination


def test_only_sources_are_limited_to_some_folders(
    enhance: Enhance, allow: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was landed elsewhere is found there again, and not paid twice."""
    monkeypatch.setattr("airflow_provider_autoenhance.storage.local._SYSTEM", (str(tmp_path / "out"),))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photo())
    for number, extra in enumerate(({}, {"local_folders": [str(tmp_path / "in")]})):
        allow(**extra)
        summary = enhance(f"{tmp_path}/in/", f"{tmp_path}/out/", run_id=f"night-{number}")
        assert (summary["landed"], summary["skipped"]) == ((1, 0), (0, 1))[number]


def test_a_link_to_another_source_keeps_its_own_name(tmp_path: Path, enhance: Enhance) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "1.jpg").write_bytes(photo())
    (tmp_path / "in" / "b").symlink_to(tmp_path / "in" / "a")
    out = tmp_path / "out"
    assert enhance([f"{tmp_path}/in/a/", f"{tmp_path}/in/b/"], f"{out}/")["landed"] == 2
    assert (out / "a" / "1.jpg").exists() and (out / "b" / "1.jpg").exists()
    assert enhance([f"{tmp_path}/in/a/", f"{tmp_path}/in/x/../a/"], f"{out}/dots/")["landed"] == 1
