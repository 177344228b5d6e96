from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import DestinationError, IntegrityError, ServerError, SourceError
from airflow_provider_autoenhance.storage import (
    CheckedReader,
    SourceAccess,
    list_files,
    local,
    open_destination,
    open_source,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("prefix", ["", "file://", "file://localhost", "file://some_conn@", "local://"])
def test_reads_what_was_written(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "new folder" / "kitchen #1?%20.jpg"
    stored = open_destination(f"{prefix}{path}").write(io.BytesIO(b"abc"), size=3, content_type="image/jpeg")
    assert path.read_bytes() == b"abc"
    assert (stored.size, stored.sha256) == (3, hashlib.sha256(b"abc").hexdigest())
    with open_source(f"{prefix}{path}") as source:
        assert (source.uri, source.name, source.etag) == (str(path), path.name, stored.etag)
        assert source.peek(2) == b"ab"
        assert source.peek() == source.read() == b"abc"


def test_a_relative_path_is_shown_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=str(tmp_path / "a.jpg")):
        open_source("a.jpg")


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        open_destination(f"{tmp_path}/a.jpg").write(io.BytesIO(b"x"), size=1, content_type="image/jpeg")
    finally:
        os.umask(before)
    assert (tmp_path / "a.jpg").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("data", [b"ab", b"abcd"])
def test_a_damaged_body_leaves_the_old_file_and_nothing_else(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"the earlier one")
    with pytest.raises(IntegrityError):
        open_destination(str(path)).write(io.BytesIO(data), size=3, content_type="image/jpeg")
    assert path.read_bytes() == b"the earlier one"
    assert names(tmp_path) == ["a.jpg"]


def test_a_size_that_is_not_known_is_found(tmp_path: Path) -> None:
    body = CheckedReader(io.BytesIO(b"abc"), name="a", size=None)
    assert open_destination(f"{tmp_path}/a").write(body, size=None, content_type="image/jpeg").size == 3


def test_checking_makes_the_folder_and_leaves_no_file(tmp_path: Path) -> None:
    for uri in (f"{tmp_path}/new/a.jpg", f"{tmp_path}/other/"):
        open_destination(uri).check_writable()
    assert names(tmp_path) == ["new", "other"]
    assert names(tmp_path / "new") == names(tmp_path / "other") == []


def test_a_destination_that_is_a_folder(tmp_path: Path) -> None:
    for act in (
        open_destination(str(tmp_path)).check_writable,
        lambda: open_destination(str(tmp_path)).write(io.BytesIO(b"x"), size=1, content_type="image/jpeg"),
        lambda: open_destination(f"{tmp_path}/").write(io.BytesIO(b"x"), size=1, content_type="image/jpeg"),
    ):
        with pytest.raises(DestinationError, match="is a folder"):
            act()


def test_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    destination = open_destination(f"{tmp_path}/file/a.jpg")
    with pytest.raises(DestinationError, match=f"{tmp_path}/file/a.jpg"):
        destination.check_writable()
    assert destination.stat() is None


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (errno.ENOSPC, DestinationError, "disk is full"),
        (errno.EDQUOT, DestinationError, "disk is full"),
        (errno.EACCES, DestinationError, "no permission"),
        (errno.EROFS, DestinationError, "no permission"),
        (errno.EIO, ServerError, "for the moment: EIO"),
        (errno.ENAMETOOLONG, DestinationError, "too long"),
    ],
)
def test_what_the_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], says: str
) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(local.os, "fsync", refuse)
    with pytest.raises(kind, match=says):
        open_destination(f"{tmp_path}/a.jpg").write(io.BytesIO(b"x"), size=1, content_type="image/jpeg")
    assert names(tmp_path) == []


def test_stat(tmp_path: Path) -> None:
    destination = open_destination(f"{tmp_path}/a.jpg")
    assert destination.stat() is None
    (tmp_path / "a.jpg").write_bytes(b"abc")
    found: Any = destination.stat()
    assert found.size == 3


@pytest.mark.parametrize(("name", "says"), [("missing.jpg", "does not exist"), ("", "not a file")])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        open_source(f"{tmp_path}/{name}")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="not a file"):
        open_source(f"{tmp_path}/pipe")


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(100_000))
    with open_source(str(path)) as source:
        source.read(10)
        os.truncate(path, 20_000)
        with pytest.raises(IntegrityError, match="of 100000 bytes"):
            source.read()


class TestListing:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("b.jpg", "a.JPG", "notes.txt", "sub/c.jpg", ".autoenhance-0123456789abcdef.part"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x" * len(name))
        (tmp_path / "empty").mkdir()
        return tmp_path

    def test_everything_in_order(self, folder: Path) -> None:
        found = list(list_files(str(folder)))
        assert [file.uri for file in found] == [f"{folder}/{n}" for n in ("a.JPG", "b.jpg", "notes.txt", "sub/c.jpg")]
        for file in found:
            with open_source(file.uri) as source:
                assert (source.size, source.etag) == (file.size, file.etag)

    def test_narrowed_down(self, folder: Path) -> None:
        found = list_files(f"file://{folder}/", recursive=False, include=["*.jpg"], exclude=["b*"])
        assert [file.name for file in found] == ["a.JPG"]

    def test_patterns_with_a_slash_look_at_the_path(self, folder: Path) -> None:
        assert [file.name for file in list_files(str(folder), include=["sub/*"])] == ["c.jpg"]

    def test_an_empty_folder_and_a_single_file(self, folder: Path) -> None:
        assert list(list_files(f"{folder}/empty")) == []
        assert [file.name for file in list_files(f"{folder}/b.jpg")] == ["b.jpg"]

    def test_a_missing_folder(self, folder: Path) -> None:
        with pytest.raises(SourceError, match="does not exist"):
            list(list_files(f"{folder}/missing"))


class TestOddEntries:
    """One bad entry is never the failure of a whole folder."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "photos"
        (folder / "sub").mkdir(parents=True)
        for name in ("a.jpg", "sub/b.jpg", "z.jpg"):
            (folder / name).write_bytes(b"photo")
        return folder

    def check(self, folder: Path, caplog: pytest.LogCaptureFixture, told: str) -> None:
        assert [file.uri for file in list_files(str(folder))] == [
            f"{folder}/{n}" for n in ("a.jpg", "sub/b.jpg", "z.jpg")
        ]
        (warning,) = caplog.messages
        assert warning == f"Left out of {folder}: {folder}/{told}"

    def test_links_in_circles_and_to_nowhere(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        (folder / "c.jpg").symlink_to("d.jpg")
        (folder / "d.jpg").symlink_to("c.jpg")
        (folder / "gone.jpg").symlink_to("nothing.jpg")
        (folder / "up").symlink_to(folder)
        circles = f"({os.strerror(errno.ELOOP)})"
        self.check(
            folder,
            caplog,
            f"c.jpg {circles}; {folder}/d.jpg {circles}; {folder}/gone.jpg (a link that leads nowhere); "
            f"{folder}/up (a link to a folder)",
        )
        with pytest.raises(SourceError, match=re.escape(os.strerror(errno.ELOOP))):
            open_source(f"{folder}/c.jpg")

    def test_pipes_and_sockets_are_never_opened(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        os.mkfifo(folder / "m.jpg")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / "n.jpg"))
            self.check(folder, caplog, f"m.jpg (not a file); {folder}/n.jpg (not a file)")
        for name in ("m.jpg", "n.jpg"):
            with pytest.raises(SourceError, match="is a folder or device, not a file"):
                open_source(f"{folder}/{name}")

    def test_a_pipe_that_takes_a_file_s_place_is_not_waited_for(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(folder / "m.jpg")
        monkeypatch.setattr(Path, "is_file", lambda _: True)
        with pytest.raises(SourceError, match="is a folder or device, not a file"):
            open_source(f"{folder}/m.jpg")

    def test_names_that_are_not_utf_8(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(b"photo")
        os.mkfifo(os.fsencode(folder) + b"/d\xe9.jpg")
        assert [file.name for file in list_files(str(folder))] == ["a.jpg", "caf\udce9.jpg", "b.jpg", "z.jpg"]
        assert caplog.messages == [f"Left out of {folder}: {folder}/d\ufffd.jpg (not a file)"]

    def test_a_folder_without_permission(
        self, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "locked").mkdir()
        scandir = os.scandir

        def refusing(path: Any) -> Any:  # root, as which tests may run, may read everything
            if str(path).endswith("locked"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refusing)
        self.check(folder, caplog, f"locked ({os.strerror(errno.EACCES)})")
        with pytest.raises(SourceError, match="no permission"):
            list(list_files(str(folder), strict=True))
        with pytest.raises(SourceError, match="no permission"):
            list(list_files(f"{folder}/locked"))

    def test_what_vanishes_meanwhile(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        (folder / "y.jpg").write_bytes(b"photo")
        found = list_files(str(folder))
        assert next(found).name == "a.jpg"
        (folder / "y.jpg").unlink()
        assert [file.name for file in found] == ["b.jpg", "z.jpg"]
        assert "y.jpg (No such file or directory)" in caplog.text

    @pytest.mark.parametrize("seconds", [2.0**40, -(2.0**40), 1e300])
    def test_a_time_that_no_calendar_has(self, seconds: float) -> None:  # most disks of tests cannot tell one either
        assert local._time(seconds) is None

    def test_many_are_told_in_one_line(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        for number in range(25):
            (folder / f"l{number:02}.jpg").symlink_to("nothing.jpg")
        assert len(list(list_files(str(folder)))) == 3
        (warning,) = caplog.messages
        assert warning.endswith("l19.jpg (a link that leads nowhere) and 5 more")

    def test_folders_lie_deeper_than_functions_can(self, tmp_path: Path) -> None:
        depth, here = 1200, os.open(tmp_path, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            here, above = os.open("d", os.O_RDONLY, dir_fd=here), here
            os.close(above)
        os.close(os.open("x.jpg", os.O_CREAT, dir_fd=here))
        os.close(here)
        assert [file.name for file in list_files(str(tmp_path))] == ["x.jpg"]
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # pytest's own cleaning would not come so deep


class TestAllowedFolders:
    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[Path, Path]:
        """An allowed folder, and one beside it whose name begins alike; each with a photo."""
        for name in ("photos", "photos-of-others"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "a.jpg").write_bytes(b"photo")
        return tmp_path / "photos", tmp_path / "photos-of-others"

    def test_what_lies_below_is_read(self, folders: tuple[Path, Path]) -> None:
        allowed, _ = folders
        for uri in (f"{allowed}/a.jpg", f"file://{allowed}/a.jpg", f"{allowed}/sub/../a.jpg"):
            (allowed / "sub").mkdir(exist_ok=True)
            with open_source(uri, access=SourceAccess(local_folders=[f"{allowed}/"])) as source:
                assert source.read() == b"photo"
        assert [file.name for file in list_files(f"{allowed}/", access=SourceAccess(local_folders=[str(allowed)]))] == [
            "a.jpg"
        ]
        assert [file.name for file in list_files(f"{allowed}/", access=SourceAccess(local_folders=["/"]))] == ["a.jpg"]

    @pytest.mark.parametrize(
        "uri",
        [
            "{other}/a.jpg",
            "file://{other}/a.jpg",
            "{allowed}/../photos-of-others/a.jpg",
            "{allowed}/link.jpg",
            "{allowed}/linked/a.jpg",
        ],
    )
    def test_what_lies_outside_is_refused_unopened(
        self, folders: tuple[Path, Path], uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        allowed, other = folders
        (allowed / "link.jpg").symlink_to(other / "a.jpg")
        (allowed / "linked").symlink_to(other)
        monkeypatch.setattr(local, "_without_waiting", lambda *_: pytest.fail("it was opened"))
        for folders_given in ([str(allowed)], []):
            with pytest.raises(SourceError, match="none of the folders that photos may be read from") as caught:
                open_source(uri.format(allowed=allowed, other=other), access=SourceAccess(local_folders=folders_given))
            assert not caught.value.retryable

    def test_a_folder_outside_is_not_listed(self, folders: tuple[Path, Path]) -> None:
        allowed, other = folders
        for uri in (f"{other}/", f"file://{other}/", f"{allowed}/../", "/"):
            with pytest.raises(SourceError, match="none of the folders"):
                list(list_files(uri, access=SourceAccess(local_folders=[str(allowed)])))

    @pytest.mark.parametrize(
        "path", ["/etc/passwd", "/proc/self/environ", "/dev/zero", "/etc/../etc/hostname", "/proc/self/root/etc/passwd"]
    )
    def test_the_systems_own_are_refused_where_none_are_named(self, path: str) -> None:
        with pytest.raises(SourceError, match="folder of the system"):
            open_source(path)
        with pytest.raises(SourceError, match="folder of the system"):
            list(list_files(f"{Path(path).parent}/"))


def test_what_a_task_remembers_is_listed_from_within_alone(tmp_path: Path) -> None:
    own = (".autoenhance/run.jsonl", ".autoenhance/thumbnails/a-after.webp", "up/.autoenhance/b.webp")
    for name in ("a.jpg", "not.autoenhance/c.jpg", *own):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    def names(folder: str = "", *, strict: bool = False) -> list[str]:
        found = list_files(f"{tmp_path}/{folder}", access=SourceAccess(local_folders=("/",)), strict=strict)
        return [file.uri.removeprefix(f"{tmp_path}/") for file in found]

    assert names() == ["a.jpg", "not.autoenhance/c.jpg"]
    assert len(names(strict=True)) == 5
    assert names(".autoenhance/thumbnails/") == [".autoenhance/thumbnails/a-after.webp"]
