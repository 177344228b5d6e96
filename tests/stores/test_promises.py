"""What each store must do as S3 does it, on a real server; ``make stores`` runs it and prints the table."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from airflow.exceptions import AirflowFailException

from airflow_provider_autoenhance.api.errors import AutoenhanceError, DestinationError, SourceError, UnreachableError
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.storage import list_files, open_destination, open_source, read_range
from tests.stores.conftest import PLACES, Store, conn_id
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import run
from tools.bench_memory import photo_of

ODD_NAMES = (
    "a b.jpg", "ü.jpg", "日本.jpg", "a#1.jpg", "a?b.jpg", "100%.jpg", "%20.jpg", "a+b.jpg", "a&b=c.jpg", "'q'.jpg", '"q".jpg',
    "[x].jpg", "a*b.jpg", "{x}.jpg", "~x.jpg", "a;b,c.jpg", "(1).jpg", "$x!.jpg", "a@b.jpg", "a:b.jpg", "-x.jpg", "a|b.jpg", "UPPER.JPG",
)  # fmt: skip


def names(store: Store, folder: str, **options: Any) -> list[str]:
    found = list(list_files(folder, conn_id=store.conn_id, **options))
    assert [file.uri for file in found] == sorted(file.uri for file in found)
    return [file.uri.removeprefix(store.root) for file in found]


def test_list(store: Store) -> None:
    for name in ("in/b.jpg", "in/a.jpg", "in/sub/deep/c.jpg", "in/sub.jpg", "in2/d.jpg", "in.jpg"):
        store.put(store.root + name, name.encode())
    expected = ["in/a.jpg", "in/b.jpg", "in/sub.jpg", "in/sub/deep/c.jpg"]
    assert names(store, f"{store.root}in/") == expected
    assert names(store, f"{store.root}in") == expected
    for file in list_files(f"{store.root}in/", conn_id=store.conn_id):
        with open_source(file.uri, conn_id=store.conn_id) as source:
            assert (source.size, source.etag) == (file.size, file.etag)
            assert source.read().decode() == file.uri.removeprefix(store.root)


def test_list_not_recursive(store: Store) -> None:
    for name in ("in/a.jpg", "in/sub/b.jpg", "in/sub/deep/c.jpg"):
        store.put(store.root + name, b"x")
    assert names(store, f"{store.root}in/", recursive=False) == ["in/a.jpg"]
    assert names(store, f"{store.root}in/sub", recursive=False) == ["in/sub/b.jpg"]


def test_list_one_file(store: Store) -> None:
    for name in ("in/a.jpg", "in/a.jpg2", "in/a.jpg.old/x.jpg"):
        store.put(store.root + name, b"x")
    assert names(store, f"{store.root}in/a.jpg") == ["in/a.jpg"]
    assert names(store, f"{store.root}in/a.jpg", recursive=False) == ["in/a.jpg"]


def test_list_what_has_changed(store: Store) -> None:
    store.put(f"{store.root}in/a.jpg", b"one")
    (before,) = list_files(f"{store.root}in/", conn_id=store.conn_id, recursive=False)
    open_destination(f"{store.root}in/a.jpg", conn_id=store.conn_id).write(
        io.BytesIO(b"three"), size=5, content_type="image/jpeg"
    )
    (after,) = list_files(f"{store.root}in/", conn_id=store.conn_id, recursive=False)
    assert (after.size, after.etag != before.etag) == (5, True)
    store.remove(f"{store.root}in/a.jpg")
    store.put(f"{store.root}in/b.jpg", b"x")
    assert names(store, f"{store.root}in/") == ["in/b.jpg"]


class TestMissingPlace:
    def test_missing_source(self, store: Store) -> None:
        for uri in (
            store.about["missing"],
            store.about["missing"] + "a.jpg",
            store.about["missing"].removesuffix("in/"),
        ):
            for recursive in (True, False):
                with pytest.raises(SourceError, match="there is no|does not exist") as caught:
                    list(list_files(uri, conn_id=store.conn_id, recursive=recursive))
                assert "nosuch" in str(caught.value)
        with pytest.raises(SourceError, match="there is no|does not exist"):
            open_source(store.about["missing"] + "a.jpg", conn_id=store.conn_id)

    def test_missing_source_of_a_batch(self, store: Store, autoenhance: Sandbox) -> None:
        with pytest.raises(AirflowFailException, match="SourceError: .*(there is no|does not exist)"):
            batch(store, source=store.about["missing"])
        assert autoenhance.ledger()["credits"]["spent"] == 0

    def test_missing_folder(self, store: Store) -> None:
        """In a bucket it is an empty one, as folders are but names there; where folders are made, it is an error."""
        store.put(f"{store.root}in/a.jpg", b"x")
        if store.name == "sftp":
            with pytest.raises(SourceError, match="does not exist"):
                names(store, f"{store.root}nosuch/")
        else:
            assert names(store, f"{store.root}nosuch/") == []

    def test_missing_destination(self, store: Store) -> None:
        destination = open_destination(store.about["missing"] + "a.jpg", conn_id=store.conn_id)
        if store.name == "sftp":
            destination.check_writable()
            assert destination.stat() is None
            store.filesystem.rm(store.path(store.about["missing"].removesuffix("in/")), recursive=True)
            return
        with pytest.raises(DestinationError, match="there is no|does not exist"):
            destination.check_writable()
        with pytest.raises(DestinationError, match="there is no|does not exist"):
            destination.write(io.BytesIO(b"x"), size=1, content_type="image/jpeg")


#: What a connection that is wrong in some way is told as.
SAYS = {
    "wrong key": "does not take the credentials|access denied",
    "no server": "cannot be reached|connection .*failed|store failed",
    "no key file": "file .*does not exist|key file",
    "not a key": "cannot be used|not a key",
    "empty": "no credentials|no AWS credentials|connection .*(lacks|cannot be used)",
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, id=f"{name}|{kind}")
        for name, about in PLACES.items()
        for kind in about["connections"]
        if kind != "good"
    ],
)
@pytest.mark.usefixtures("connections")
def test_connection(name: str, kind: str) -> None:
    about, used = PLACES[name], conn_id(name, kind)
    actions: list[tuple[type[AutoenhanceError], Callable[[], Any]]] = [
        (SourceError, lambda: list(list_files(about["root"], conn_id=used))),
        (SourceError, lambda: list(list_files(about["root"], conn_id=used, recursive=False))),
        (SourceError, lambda: open_source(about["root"] + "a.jpg", conn_id=used)),
        (SourceError, lambda: read_range(about["root"] + "a.jpg", 0, 10, conn_id=used)),
        (DestinationError, open_destination(about["root"] + "a.jpg", conn_id=used).check_writable),
        (DestinationError, open_destination(about["root"] + "a.jpg", conn_id=used).stat),
    ]
    if kind == "no server" or (name, kind) == ("gs", "wrong key"):  # libraries try for a minute
        actions = actions[:1]
    for error, action in actions:
        with pytest.raises(UnreachableError if kind == "no server" else error, match=SAYS[kind]) as caught:
            action()
        said = str(caught.value)
        assert used in said or (name.startswith("s3") and kind == "no server"), said
        assert not re.search("nstall|AccountKey|PRIVATE", said), said


def batch(store: Store, run_id: str = "manual__1", **options: Any) -> Any:
    about = {"source": f"{store.root}in/", "destination": f"{store.root}out/", **options}
    operator = AutoenhanceEnhanceOperator(
        task_id="enhance",
        source_conn_id=store.conn_id,
        destination_conn_id=store.conn_id,
        poll_interval=0.5,
        preview=False,
        **about,
    )
    return run(operator, run_id=run_id)


class TestBatch:
    def test_skip_on_second_run(self, store: Store, autoenhance: Sandbox) -> None:
        for name in ("a.jpg", "b.jpg", "maple/c.jpg"):
            store.put(f"{store.root}in/{name}", photo())
        first = batch(store)
        assert (first["landed"], first["credits"]) == (3, 3)
        assert names(store, f"{store.root}out/", include="*.jpg") == [
            f"out/{name}" for name in ("a.jpg", "b.jpg", "maple/c.jpg")
        ]
        second = batch(store, "manual__2")
        assert (second["skipped"], second["landed"], second["credits"]) == (3, 0, 0)
        assert autoenhance.ledger()["credits"]["spent"] == 3

    def test_fetch_again(self, store: Store, autoenhance: Sandbox) -> None:
        for name in ("a.jpg", "b.jpg"):
            store.put(f"{store.root}in/{name}", photo())
        batch(store)
        before = store.get(f"{store.root}out/a.jpg")
        store.remove(f"{store.root}out/a.jpg")
        again = batch(store, "manual__2")
        assert (again["landed"], again["skipped"], again["credits"]) == (1, 1, 0)
        assert store.get(f"{store.root}out/a.jpg") == before
        assert autoenhance.ledger()["credits"]["spent"] == 2

    def test_folder_of_a_day(self, store: Store, autoenhance: Sandbox) -> None:
        """As a DAG maps it: a task for each subfolder, and one for the photos beside these."""
        for name in ("a.jpg", "maple/b.jpg", "oak/c.jpg"):
            store.put(f"{store.root}in/{name}", photo())
        assert batch(store, recursive=False)["landed"] == 1
        for folder in ("maple/", "oak/"):
            assert (
                batch(store, source=f"{store.root}in/{folder}", destination=f"{store.root}out/{folder}")["landed"] == 1
            )
        assert autoenhance.ledger()["credits"]["spent"] == 3

    def test_odd_names(self, store: Store, autoenhance: Sandbox) -> None:
        for name in ODD_NAMES:
            store.put(f"{store.root}in/{name}", photo())
        first = batch(store)
        assert (first["landed"], first["failed"]) == (len(ODD_NAMES), 0)
        assert len(names(store, f"{store.root}out/", include="*.jpg")) == len(ODD_NAMES)
        again = batch(store, "manual__2")
        assert (again["skipped"], again["landed"]) == (len(ODD_NAMES), 0)
        assert autoenhance.ledger()["credits"]["spent"] == len(ODD_NAMES)


def child(store: Store, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.stores.child", *words],
        check=False,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_killed_in_mid_write(store: Store) -> None:
    uri, size = f"{store.root}out/a.jpg", 12_000_000
    destination = open_destination(uri, conn_id=store.conn_id)
    for earlier in (None, b"the earlier one"):
        if earlier:
            destination.write(io.BytesIO(earlier), size=len(earlier), content_type="image/jpeg")
        else:
            destination.check_writable()
        killed = child(store, "write", uri, store.conn_id, str(size))
        assert killed.returncode == -9, killed.stderr
        assert names(store, f"{store.root}out/") == (["out/a.jpg"] if earlier else [])
        if earlier:
            assert store.get(uri) == earlier
    stored = destination.write(io.BytesIO(bytes(size)), size=size, content_type="image/jpeg")
    assert store.get(uri) == bytes(size)
    assert (found := destination.stat()) is not None
    assert (found.size, found.etag) == (size, stored.etag)


def test_range(store: Store, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, Any], None]) -> None:
    data = os.urandom(4_000_000)
    store.put(f"{store.root}in/a.jpg", data)
    received = 0

    def counted(name: str) -> Any:
        original = getattr(socket.socket, name)

        def receive(self: socket.socket, *rest: Any) -> Any:
            nonlocal received
            taken = original(self, *rest)
            received += taken if isinstance(taken, int) else len(taken)
            return taken

        return receive

    for name in ("recv", "recv_into"):
        monkeypatch.setattr(socket.socket, name, counted(name))
    assert read_range(f"{store.root}in/a.jpg", 1_000_000, 65_536, conn_id=store.conn_id) == data[1_000_000:1_065_536]
    record_property("received", f"{received / 1024:.0f} KiB")
    assert received < 100_000


def test_memory(store: Store, record_property: Callable[[str, Any], None]) -> None:
    big = photo_of(38_000_000)
    for number in range(8):
        store.put(f"{store.root}in/{number}.jpg", big)
    sandbox = Sandbox.start(
        "--no-s3", "--set", 'render="copy-big"', "--set", "upload_digests=false", "--set", "daily_limit=0"
    )
    try:
        from tests.support.tasks import connection_of

        environment = {"AIRFLOW_CONN_AUTOENHANCE_DEFAULT": connection_of(sandbox, "AUTOENHANCE_DEFAULT")}
        done = child(store, "batch", f"{store.root}in/", f"{store.root}out/", store.conn_id, **environment)
    finally:
        sandbox.stop()
    assert done.returncode == 0, done.stderr[-3000:]
    measured = json.loads(
        next(line for line in done.stdout.splitlines() if line.startswith('{"landed"'))
    )  # among the libraries' logs
    record_property("peak", f"{measured['peak']:.0f} MB, {measured['start']:.0f} at start")
    assert measured["landed"] == 8
    assert measured["peak"] - measured["start"] < 100
