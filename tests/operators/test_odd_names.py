"""Names that a store does not take: the photo fails by name before a credit is spent, and the others land."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_autoenhance.dag_helpers.listings import list_groups
from airflow_provider_autoenhance.imaging.naming import folded
from airflow_provider_autoenhance.operators.images import AutoenhanceDownloadImageOperator
from tests.support.batch import Enhance, outputs
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import connection_of, run

LATIN_1 = os.fsdecode(b"caf\xe9")
Attempt = Callable[..., dict[str, str]]


@pytest.fixture
def attempt(enhance: Enhance, autoenhance: Sandbox) -> Attempt:
    """Return a function that enhances two photos and more, of which some must fail; it returns their reasons by name."""

    def work(*, fail: int, land: int = 2, **options: Any) -> dict[str, str]:
        before = autoenhance.ledger()
        summary = enhance(max_failures=fail, **options)
        assert (summary["landed"], summary["failed"], summary["credits"]) == (land, fail, land)
        after = autoenhance.ledger()
        assert after["credits"]["spent"] - before["credits"]["spent"] == land
        assert after["images_created"] - before["images_created"] == land, "what fails is not even sent"
        return {each["photo"]: each["reason"] for each in summary["failures"]}

    return work


def fill(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo("PNG" if name.endswith("png") else "JPEG", shade=40 + 9 * number))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg") if path.is_file())


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("to", ["s3://enhanced/out/", "{disk}/out/"])
def test_a_name_that_is_not_text(
    attempt: Attempt, s3: SimpleNamespace, tmp_path: Path, to: str, deferrable: bool
) -> None:
    fill(tmp_path / "in", "a.jpg", f"{LATIN_1}.jpg", "z/b.jpg")
    failed = attempt(source=f"{tmp_path}/in/", destination=to.format(disk=tmp_path), fail=1, deferrable=deferrable)
    ((name, reason),) = failed.items()
    assert name.startswith("caf") and "not text in UTF-8" in reason
    assert (outputs(s3) or [f"out/{name}" for name in files(tmp_path / "out")]) == ["out/a.jpg", "out/z/b.jpg"]


@pytest.mark.parametrize("to", ["s3://enhanced/out/", "{disk}/out/"])
def test_a_folder_whose_name_is_not_text_is_left_out_and_told(
    attempt: Attempt, s3: SimpleNamespace, tmp_path: Path, to: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path / "in", "a.jpg", f"{LATIN_1}/x.jpg", "z/b.jpg")
    assert attempt(source=f"{tmp_path}/in/", destination=to.format(disk=tmp_path), fail=0) == {}
    assert [each["source"] for each in list_groups(f"{tmp_path}/in", to)] == [f"{tmp_path}/in/", f"{tmp_path}/in/z/"]
    assert caplog.text.count("its folder's name is not text in UTF-8") == 2


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "é" * 125 + ".png", "up/" + "x" * 251 + ".png"])
def test_a_name_that_is_too_long_with_the_extension_of_the_output(
    attempt: Attempt, enhance: Enhance, tmp_path: Path, name: str
) -> None:
    fill(tmp_path / "in", "a.jpg", name, "up/b.jpg")
    about: dict[str, Any] = {"source": f"{tmp_path}/in/", "destination": f"{tmp_path}/out/"}
    failed = attempt(**about, fail=1)
    assert list(failed) == [name]
    assert "bytes, and that of a file or folder may have 255" in failed[name]
    assert files(tmp_path / "out") == ["a.jpg", "up/b.jpg"]
    with pytest.raises(AirflowFailException, match="1 of 3 photos failed"):
        enhance(**about, run_id="night-2")
    summary = enhance(**about, run_id="night-3", destination_template="{folder}{fingerprint}")
    assert (summary["landed"], summary["credits"]) == (3, 1), "the two are bought already"


def test_a_key_that_is_too_long_at_the_destination(attempt: Attempt, s3: SimpleNamespace) -> None:
    long = "/".join(["y" * 200] * 5)
    for number, key in enumerate(("a.jpg", f"{long}.jpg", f"{long}/c.jpg", "z/b.jpg")):
        s3.put(f"in/{key}", photo(shade=40 + 9 * number))
    failed = attempt(source="s3://listings/in/", destination=f"s3://enhanced/{'z' * 40}/", fail=2)
    assert list(failed) == [f"{long}.jpg", f"{long}/c.jpg"]
    assert all("bytes, and may have 1024" in reason for reason in failed.values())
    assert outputs(s3) == [f"{'z' * 40}/{name}" for name in ("a.jpg", "z/b.jpg")]


@pytest.mark.parametrize("group_by", ["folder", "all"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_file_that_would_have_to_be_a_folder_too(
    attempt: Attempt, s3: SimpleNamespace, tmp_path: Path, group_by: str, deferrable: bool
) -> None:
    for number, key in enumerate(("a.jpg", "a.jpg/b.jpg", "a.jpg/deep/c.jpg", "d.jpg")):
        s3.put(f"in/{key}", photo(shade=40 + 9 * number))
    about: dict[str, Any] = {"source": "s3://listings/in/", "destination": f"{tmp_path}/", "group_by": group_by}
    failed = attempt(**about, fail=2, deferrable=deferrable)
    assert list(failed) == ["a.jpg/b.jpg", "a.jpg/deep/c.jpg"]
    assert {reason.partition(" is a file")[0] for reason in failed.values()} == {f"{tmp_path}/a.jpg"}
    assert files(tmp_path) == ["a.jpg", "d.jpg"]
    assert list(attempt(**about, run_id="night-2", fail=2, land=0)) == ["a.jpg/b.jpg", "a.jpg/deep/c.jpg"]
    # A bucket has room for all of them.
    assert attempt(source="s3://listings/in/", destination="s3://enhanced/in/", fail=0, land=4) == {}
    assert outputs(s3) == [f"in/{key}" for key in ("a.jpg", "a.jpg/b.jpg", "a.jpg/deep/c.jpg", "d.jpg")]


def test_a_file_whose_place_a_folder_has_taken(attempt: Attempt, s3: SimpleNamespace, tmp_path: Path) -> None:
    s3.put("in/a.jpg/b.jpg", photo())
    s3.put("in/d.jpg", photo(shade=90))
    about: dict[str, Any] = {"source": "s3://listings/in/", "destination": f"{tmp_path}/"}
    assert attempt(**about, fail=0) == {}
    for key, shade in (("a.jpg", 50), ("a.jpg/c.jpg", 60)):
        s3.put(f"in/{key}", photo(shade=shade))
    failed = attempt(**about, run_id="night-2", fail=1, land=1)
    assert failed == {
        "a.jpg": f"{tmp_path}/a.jpg is a folder, and no file can take its place. Give one of them another name."
    }
    assert files(tmp_path) == ["a.jpg/b.jpg", "a.jpg/c.jpg", "d.jpg"]


def test_one_of_several_outputs(attempt: Attempt, tmp_path: Path) -> None:
    fill(tmp_path / "in", "a.jpg", "x" * 249 + ".jpg", "b.jpg")
    spec = [{"format": "jpeg"}, {"format": "webp", "name_template": "{folder}{stem}-web"}]
    failed = attempt(source=f"{tmp_path}/in/", destination=f"{tmp_path}/out/", output_spec=spec, fail=1)
    assert list(failed) == ["x" * 249 + ".jpg"]
    assert files(tmp_path / "out") == ["a.jpg", "b.jpg"]


def test_a_bracket_whose_photo_has_no_place(enhance: Enhance, autoenhance: Sandbox, tmp_path: Path) -> None:
    long = "x" * 250
    fill(tmp_path / "in", "a1.png", "a2.png", f"{long}1.png", f"{long}2.png")
    summary = enhance(source=f"{tmp_path}/in/", destination=f"{tmp_path}/out/", brackets=2, max_failures=1)
    assert (summary["photos"], summary["landed"], summary["failed"], summary["credits"]) == (2, 1, 1, 1)
    assert files(tmp_path / "out") == ["a1.png.jpg"]
    assert len(autoenhance.ledger()["brackets"]) == 2


def test_what_waits_for_an_image_costs_nothing_either(enhance: Enhance, autoenhance: Sandbox, tmp_path: Path) -> None:
    """The image is there, of a run that kept it in a place where its name fits."""
    name = "x" * 251 + ".png"
    fill(tmp_path / "in", "a.jpg", name)
    about: dict[str, Any] = {"source": f"{tmp_path}/in/", "destination": f"{tmp_path}/out/", "max_failures": 1}
    assert enhance(**about, destination_template="{fingerprint}", preview=True)["landed"] == 2
    summary = enhance(**about, run_id="night-2")
    assert (summary["landed"], summary["failed"], summary["credits"]) == (1, 1, 1)
    summary = enhance(**about, run_id="night-3", destination_template="{fingerprint}")
    assert (summary["landed"] + summary["skipped"], summary["failed"]) == (2, 0)
    ledger = autoenhance.ledger()
    assert (ledger["credits"]["spent"], ledger["images_created"]) == (2, 2), "it is fetched, and not made again"


def test_a_single_image_is_not_bought_for_a_name_that_cannot_be(
    enhanced: str, autoenhance: Sandbox, tmp_path: Path
) -> None:
    for destination in (
        f"{tmp_path}/{'x' * 255}.jpg",
        f"s3://enhanced/{'x' * 1100}.jpg",
        f"s3://enhanced/{LATIN_1}.jpg",
    ):
        task = AutoenhanceDownloadImageOperator(
            task_id="download", image_id=enhanced, destination=destination, preview=False
        )
        with pytest.raises(AirflowFailException, match=r"bytes, and|not text"):
            run(task)
    assert autoenhance.ledger()["credits"]["spent"] == 0


@pytest.mark.parametrize(
    "names",
    [
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("a.jpg", "A.jpg"),
        ("z/\u00c5.jpg", "z/A\u030a.jpg"),
        ("Maple/a.jpg", "maple/a.jpg"),
    ],
)
@pytest.mark.parametrize("to", ["s3://enhanced/out/", "{disk}/out/new/"])
def test_names_that_some_stores_take_for_one(
    enhance: Enhance, autoenhance: Sandbox, s3: SimpleNamespace, tmp_path: Path, names: tuple[str, str], to: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for number, name in enumerate(names):
        s3.put(f"in/{name}", photo(shade=50 + 20 * number))
    where = {"source": "s3://listings/in/", "destination": to.format(disk=tmp_path)}
    folds = to.startswith("{")
    if folds:  # this disk tells them apart, and macOS's does not
        exists = Path.exists

        def folding(path: Path, **how: Any) -> bool:
            return exists(path, **how) or folded(path.name) in (folded(each.name) for each in path.parent.glob("*"))

        monkeypatch.setattr(Path, "exists", folding)
        with pytest.raises(AirflowFailException, match="are one file there"):
            enhance(**where)
        assert autoenhance.ledger()["images_created"] == 0
        monkeypatch.undo()
        monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", connection_of(autoenhance, "AUTOENHANCE_DEFAULT"))
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection_of(autoenhance, "AWS_DEFAULT"))
    assert enhance(**where)["landed"] == 2, "this destination tells them apart"
    assert enhance(**where, run_id="night-2")["skipped"] == 2
