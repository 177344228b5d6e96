"""Temporary files: none has a name that needs none, and what killed processes leave is removed by the next one."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_autoenhance.api.errors import (
    ConversionError,
    DestinationError,
    DestinationFullError,
    NotFoundError,
    ServerError,
    SourceError,
)
from airflow_provider_autoenhance.hooks.photo import upload_body
from airflow_provider_autoenhance.storage import BLOCK, list_files, open_destination, open_source, temporary
from airflow_provider_autoenhance.storage.temporary import (
    KEPT_PREFIX,
    PREFIX,
    ROOM_BYTES,
    check_room,
    sweep_kept,
    temporary_copy,
    temporary_file,
    temporary_folder,
)
from tests.support.photos import photo as picture

#: A process that holds a temporary folder and a file that is not whole, until it is told to end.
HOLDER = """
import io, sys, tempfile
from airflow_provider_autoenhance.storage import open_destination
from airflow_provider_autoenhance.storage.temporary import temporary_folder

class Endless:
    def __init__(self):
        self.told = False
    def read(self, n=-1):
        if self.told:
            print("held", flush=True)
            sys.stdin.read()
            return b""
        self.told = True
        return b"half a photo"

tempfile.tempdir = sys.argv[1]
with temporary_folder("a photo") as folder:
    (folder / "bought.png").write_bytes(bytes(1 << 20))
    open_destination(sys.argv[2] + "/out.jpg").write(Endless(), size=None, content_type="image/jpeg")
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; for this test, this process has swept nothing yet."""
    (folder := tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    forget()
    return folder


def forget() -> None:
    temporary._sweep_folders.cache_clear()
    temporary._sweep_parts.cache_clear()


@contextmanager
def holder(place: Path, outputs: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, place, outputs], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


def work(place: Path, outputs: Path) -> None:
    """What any later task does."""
    forget()
    with temporary_folder("another photo") as folder:
        (folder / "x").write_bytes(b"x")
    open_destination(f"{outputs}/other.jpg").write(io.BytesIO(b"x"), size=1, content_type="image/jpeg")


def test_a_killed_process_s_leftovers_are_removed_and_a_living_one_s_are_not(tmp_path: Path, place: Path) -> None:
    (outputs := tmp_path / "outputs").mkdir()
    with holder(place, outputs) as living:
        for _ in range(2):
            with holder(place, outputs) as killed:
                killed.send_signal(signal.SIGKILL)
                killed.wait()
        assert (len(list(place.iterdir())), len(list(outputs.iterdir()))) >= (2, 2)
        work(place, outputs)
        (folder,) = place.iterdir()
        assert (folder / "bought.png").stat().st_size == 1 << 20
        (part,) = (path for path in outputs.iterdir() if path.name != "other.jpg")
        assert part.read_bytes() == b"" or part.name.endswith(".part")
        assert [file.name for file in list_files(str(outputs))] == ["other.jpg"]
        living.kill()
        living.wait()
        work(place, outputs)
    assert list(place.iterdir()) == []
    assert [path.name for path in outputs.iterdir()] == ["other.jpg"]


def test_what_only_looks_like_ours_stays(tmp_path: Path, place: Path) -> None:
    (photos := tmp_path / "photos").mkdir()
    (photos / "kitchen.jpg").write_bytes(b"photo")
    name = f"{PREFIX}{temporary._boot()}-{'0' * 16}"
    (place / name).symlink_to(photos)
    (place / f".autoenhance-{temporary._boot()}-{'1' * 16}.part").symlink_to(photos / "kitchen.jpg")
    (place / f"{PREFIX}checkout").mkdir()
    (place / "autoenhance-photos").mkdir()
    (place / (name[:-1] + "f")).write_bytes(b"a file")
    (place / ".autoenhance-notes.part").write_bytes(b"notes")
    before = sorted(place.iterdir())
    work(place, place)
    assert sorted({*place.iterdir()} - {place / "other.jpg"}) == before
    assert (photos / "kitchen.jpg").read_bytes() == b"photo"


def test_what_another_machine_left_is_left_alone_for_a_day(place: Path) -> None:
    (folder := place / f"{PREFIX}{'0' * 8}-{'0' * 16}").mkdir()
    (part := place / f".autoenhance-{'0' * 8}-{'0' * 16}.part").write_bytes(b"half")
    work(place, place)
    assert folder.exists()
    assert part.exists()
    for path in (folder, part):
        os.utime(path, (time.time() - 25 * 3600,) * 2)
    work(place, place)
    assert [path.name for path in place.iterdir()] == ["other.jpg"]


def test_sweeps_and_new_folders_do_not_get_into_each_other_s_way(place: Path) -> None:
    end = threading.Event()

    def sweep() -> None:
        while not end.is_set():
            forget()
            temporary._sweep_folders(place)
            temporary._sweep_parts(place)

    def use(number: int) -> None:
        for _ in range(60):
            with temporary_folder("a photo") as folder:
                (folder / "x").write_bytes(b"x")
                written = open_destination(f"{place}/{number}.jpg").write(
                    io.BytesIO(b"photo"), size=5, content_type="image/jpeg"
                )
                assert written.size == 5
                assert (folder / "x").read_bytes() == b"x"

    with ThreadPoolExecutor(5) as pool:
        sweeping = pool.submit(sweep)
        try:
            list(pool.map(use, range(4)))
        finally:
            end.set()
        sweeping.result()
    assert sorted(path.name for path in place.iterdir()) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def keep(place: Path, number: int, *, size: int = 10, age: float = 0.0) -> Path:
    path = place / f"{KEPT_PREFIX}{number:032x}"
    with path.open("wb") as file:
        file.truncate(size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_is_kept_too_long_goes_with_the_next_folder(place: Path) -> None:
    """Whichever task makes it, and in a process that has swept before."""
    for _ in range(2):
        old, young = keep(place, 1, age=25 * 3600), keep(place, 2, age=23 * 3600)
        with temporary_folder("a photo"):
            assert not old.exists()
        assert young.exists()


@pytest.mark.parametrize(("size", "fit"), [(10, 32), (100 << 20, 20), (3 << 30, 0)])
def test_what_is_kept_has_a_bound(place: Path, size: int, fit: int) -> None:
    paths = [keep(place, number, size=size, age=number) for number in range(40)]
    with temporary_folder("a photo"):
        assert [path.exists() for path in paths] == [True] * fit + [False] * (40 - fit)


def test_what_is_kept_gives_way_to_what_is_to_be_bought(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keep(place, 1)
    free = lambda _: SimpleNamespace(free=0 if kept.exists() else 1 << 40)  # noqa: E731
    monkeypatch.setattr(temporary.shutil, "disk_usage", free)
    check_room("photo 1")
    assert not kept.exists()


def test_another_user_s_files_are_neither_counted_nor_touched(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keep(place, 1, age=25 * 3600)
    monkeypatch.setattr(os, "geteuid", lambda: kept.stat().st_uid + 1)
    sweep_kept(place, files=0)
    assert kept.exists()


def test_a_copy_that_needs_no_path_has_no_name(place: Path) -> None:
    with temporary_file(io.BytesIO(b"abc" * BLOCK), "a") as file:
        assert list(place.iterdir()) == []
        assert file.read(3) == b"abc"
        assert file.seek(0, io.SEEK_END) == 3 * BLOCK
    with temporary_copy(io.BytesIO(b"abc" * BLOCK), "a") as path:
        assert path.read_bytes() == b"abc" * BLOCK
    assert list(place.iterdir()) == []


def test_a_conversion_leaves_nothing(tmp_path: Path, place: Path) -> None:
    (photo := tmp_path / "plan.bmp").write_bytes(picture("BMP"))
    with open_source(str(photo)) as source, upload_body(source) as body:
        (folder,) = place.iterdir()
        assert [path.suffix for path in folder.iterdir()] == [".png"]
        assert body.read().startswith(b"\x89PNG")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError("encoder error -2 when writing image file"),
        RuntimeError("libheif: cannot write"),
        zlib.error("incomplete"),
        ConversionError("photo 1 cannot be written as tiff."),
        SourceError("photo 1 cannot be converted."),
        DestinationError("{folder}/bought.png cannot be used."),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EDQUOT, "full"),
        OSError(errno.EFBIG, "full"),
    ],
    ids=repr,
)
def test_whatever_fails_in_a_full_folder_can_be_retried(
    place: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary.shutil, "disk_usage", lambda _: SimpleNamespace(free=ROOM_BYTES - 1))
    with pytest.raises(ServerError, match=r"photo 1: the worker has no room.*TMPDIR"):
        fail_with(error)


def test_a_library_s_failure_is_compared_with_what_lies_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had no room is gone when the question is asked."""
    monkeypatch.setattr(temporary.shutil, "disk_usage", lambda _: SimpleNamespace(free=ROOM_BYTES + 1))
    error = ConversionError("photo 1 cannot be written as tiff.")
    with pytest.raises(ConversionError):
        fail_with(error, bought=ROOM_BYTES // 8)
    with pytest.raises(ServerError, match="TMPDIR"):
        fail_with(error, bought=ROOM_BYTES // 2)


def test_our_own_file_that_had_no_room_can_be_retried_and_no_other(place: Path) -> None:
    with pytest.raises(ServerError, match="TMPDIR"):
        fail_with(DestinationFullError("{folder}/bought.png: the disk is full."))
    with pytest.raises(DestinationFullError, match="/data/x"):
        fail_with(DestinationFullError("/data/x: the disk is full."))


def test_an_error_of_another_keeps_its_meaning_in_a_full_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    for error in (NotFoundError("gone"), DestinationFullError("/data/x: the disk is full."), OSError(errno.EIO, "bad")):
        with pytest.raises(type(error)) as raised:
            fail_with(error)
        assert raised.value is error


def fail_with(error: Exception, bought: int = 0) -> None:
    with temporary_folder("photo 1") as folder:
        with (folder / "bought.png").open("wb") as file:
            file.truncate(bought)
        if "{folder}" in str(error):
            error = type(error)(str(error).replace("{folder}", str(folder)))
        raise error


def test_a_folder_that_cannot_be_made_is_named(place: Path) -> None:
    place.rmdir()
    with (
        pytest.raises(ServerError, match=rf"photo 1: the worker has no room.*{place}.*TMPDIR"),
        temporary_folder("photo 1"),
    ):
        pass
