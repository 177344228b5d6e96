from __future__ import annotations

import hashlib
import io
import pickle
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.api.errors import IntegrityError, ServerError, SourceError, UnreachableError
from airflow_provider_autoenhance.storage import BLOCK, CheckedReader
from airflow_provider_autoenhance.storage.streams import checked
from airflow_provider_autoenhance.storage.temporary import temporary_file


class Chunked:
    """Hands out bytes in the given portions, whatever is asked for."""

    def __init__(self, data: bytes, portions: list[int]) -> None:
        self._file, self._portions = io.BytesIO(data), portions

    def read(self, n: int = -1, /) -> bytes:
        portion = self._portions.pop(0) if self._portions else n
        return self._file.read(min(portion, n) if n >= 0 else portion)


class LastByte:
    """Complains unless the file ends in the letter Z."""

    def __init__(self) -> None:
        self._last = b""

    def feed(self, block: bytes, /) -> None:
        self._last = block[-1:] or self._last

    def finish(self) -> str | None:
        return None if self._last == b"Z" else "it does not end in Z"


def drain(reader: CheckedReader, asked: list[int]) -> bytes:
    """Read everything in the given steps; return what was released."""
    released = bytearray()
    try:
        for n in asked:
            released += reader.read(n)
        while block := reader.read(7):
            released += block
    except (IntegrityError, SourceError):
        return bytes(released)
    return bytes(released)


portions = st.lists(st.integers(1, 64), max_size=40)
steps = st.lists(st.integers(0, 64), max_size=40)


@given(data=st.binary(max_size=500), portions=portions, steps=steps, known=st.booleans())
def test_whole_bytes_pass_unchanged(data: bytes, portions: list[int], steps: list[int], known: bool) -> None:
    digests = {"md5": hashlib.md5(data).hexdigest(), "crc32": f"{zlib.crc32(data):08X}"}
    reader = CheckedReader(Chunked(data, portions), name="a", size=len(data) if known else None, digests=digests)
    reader.track("sha256")
    assert drain(reader, steps) == data
    assert reader.error is None
    assert reader.taken == len(data)
    assert reader.hexdigest() == hashlib.sha256(data).hexdigest()
    assert reader.read(10) == reader.read() == b""


@given(data=st.binary(min_size=1, max_size=500), cut=st.integers(0, 499), portions=portions, steps=steps)
def test_a_cut_body_never_gives_its_last_bytes(data: bytes, cut: int, portions: list[int], steps: list[int]) -> None:
    short = data[: cut % len(data)]
    reader = CheckedReader(Chunked(short, portions), name="a.jpg", size=len(data))
    released = drain(reader, steps)
    assert isinstance(reader.error, IntegrityError)
    assert short.startswith(released)
    assert len(released) < len(short) or not short


@given(data=st.binary(min_size=1, max_size=500), at=st.integers(0, 499), portions=portions, steps=steps)
def test_an_altered_body_never_gives_its_last_bytes(
    data: bytes, at: int, portions: list[int], steps: list[int]
) -> None:
    altered = bytearray(data)
    altered[at % len(data)] ^= 1
    digests = {"sha256": hashlib.sha256(data).hexdigest()}
    reader = CheckedReader(Chunked(bytes(altered), portions), name="a", size=len(data), digests=digests)
    assert len(drain(reader, steps)) < len(data)
    assert isinstance(reader.error, IntegrityError)


@given(data=st.binary(max_size=300), extra=st.binary(min_size=1, max_size=300), portions=portions, steps=steps)
def test_a_longer_body_is_refused(data: bytes, extra: bytes, portions: list[int], steps: list[int]) -> None:
    reader = CheckedReader(Chunked(data + extra, portions), name="a", size=len(data))
    released = drain(reader, steps)
    assert isinstance(reader.error, IntegrityError)
    assert len(released) < len(data) or not data


@given(data=st.binary(max_size=300), portions=portions, steps=steps)
def test_a_format_check_is_asked_before_the_last_bytes_go(data: bytes, portions: list[int], steps: list[int]) -> None:
    reader = CheckedReader(
        Chunked(data, portions), name="a.jpg", size=len(data), checks=[LastByte()], malformed=SourceError
    )
    released = drain(reader, steps)
    if data.endswith(b"Z"):
        assert released == data
    else:
        assert isinstance(reader.error, SourceError)
        assert "it does not end in Z" in str(reader.error)
        assert len(released) < len(data) or not data


def test_a_failure_is_raised_again_and_again() -> None:
    reader = CheckedReader(io.BytesIO(b"abc"), name="a", size=4)
    for _ in range(3):
        with pytest.raises(IntegrityError, match="3 of 4 bytes"):
            reader.read(1)


def test_a_broken_sender_is_worth_a_retry_and_its_words_stay_out() -> None:
    class Broken:
        def read(self, n: int = -1, /) -> bytes:
            raise ConnectionResetError("https://host/a.jpg?X-Amz-Signature=abc")

    reader = CheckedReader(Broken(), name="kitchen.jpg", size=4)
    with pytest.raises(UnreachableError, match=r"kitchen\.jpg") as caught:
        reader.read(1)
    assert "Signature" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (UnreachableError, str(caught.value))


def test_can_be_rewound_only_before_the_first_read() -> None:
    reader = CheckedReader(io.BytesIO(b"abc"), name="a", size=3)
    assert (reader.tell(), reader.seek(0), len(reader)) == (0, 0, 3)
    with pytest.raises(io.UnsupportedOperation):
        reader.seek(1)
    assert reader.read(1) == b"a"
    for act in (reader.tell, lambda: reader.seek(0)):
        with pytest.raises(io.UnsupportedOperation):
            act()
    assert not reader.seekable()


def test_without_a_size_there_is_no_length_but_truth() -> None:
    reader = CheckedReader(io.BytesIO(b"abc"), name="a", size=None)
    assert reader
    with pytest.raises(TypeError):
        len(reader)
    assert list(reader) == [b"abc"]


def test_requests_announces_the_length() -> None:
    requests = pytest.importorskip("requests")
    reader = CheckedReader(io.BytesIO(b"abc"), name="a", size=3)
    prepared = requests.Request("PUT", "http://host/a", data=reader).prepare()
    assert prepared.headers["Content-Length"] == "3"
    assert "Transfer-Encoding" not in prepared.headers
    assert "Content-Type" not in prepared.headers


def test_memory_stays_flat() -> None:
    class Zeros:
        def __init__(self, size: int) -> None:
            self.left = size

        def read(self, n: int = -1, /) -> bytes:
            n = min(n, self.left)
            self.left -= n
            return bytes(n)

    reader = CheckedReader(Zeros(200 * BLOCK), name="a", size=200 * BLOCK)
    tracemalloc.start()
    try:
        while reader.read(16384):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * BLOCK


def test_a_checked_reader_is_not_wrapped_twice() -> None:
    reader = CheckedReader(io.BytesIO(b"abc"), name="a", size=None)
    assert checked(reader, name="b", size=3) is reader
    assert reader.size == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: Path("/dev/full").open("wb"))  # noqa: SIM115
    reader = CheckedReader(io.BytesIO(bytes(BLOCK)), name="kitchen.jpg", size=BLOCK)
    with (
        pytest.raises(ServerError, match=r"kitchen\.jpg: the worker has no room.*TMPDIR"),
        temporary_file(reader, reader.name),
    ):
        pass
