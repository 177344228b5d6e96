"""Conversions of one process share a budget of memory."""

from __future__ import annotations

import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_autoenhance.api.errors import ConversionError, SettingsError
from airflow_provider_autoenhance.imaging import convert
from airflow_provider_autoenhance.imaging.budget import DEFAULT_MEGABYTES, VARIABLE, MemoryBudget, process_budget
from airflow_provider_autoenhance.imaging.cost import Header, megabytes_for
from airflow_provider_autoenhance.imaging.output import OutputSpec

from .inputs import photo


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.1, 200), min_size=1, max_size=20))
def test_never_more_than_there_is_and_everyone_gets_a_turn(shares: list[float]) -> None:
    budget, lock, taken = MemoryBudget(100), threading.Lock(), [0.0, 0.0]

    def work(share: float) -> None:
        with budget.reserve(share):
            with lock:
                taken[0] += min(share, 100)
                taken[1] = max(taken)
            with lock:
                taken[0] -= min(share, 100)

    with ThreadPoolExecutor(len(shares)) as pool:
        list(pool.map(work, shares))
    assert taken[1] <= 100.001
    with budget.reserve(100):
        pass  # nothing was kept


def test_fractions_leave_no_rest_that_keeps_a_big_photo_waiting() -> None:
    budget = MemoryBudget(100)
    with budget.reserve(0.0004), budget.reserve(0.0004), budget.reserve(0.0004):
        pass
    big = threading.Thread(target=lambda: budget.reserve(100).__enter__(), daemon=True)
    big.start()
    big.join(10)
    assert not big.is_alive()


def test_a_big_photo_is_not_overtaken_for_ever() -> None:
    budget, order = MemoryBudget(100), list[str]()
    with ThreadPoolExecutor(2) as pool:

        def work(name: str, share: float) -> None:
            with budget.reserve(share):
                order.append(name)

        with budget.reserve(50):
            big = pool.submit(work, "big", 80)
            while not budget._queue:
                pass
            small = pool.submit(work, "small", 10)
            while len(budget._queue) < 2:
                pass
            assert order == []
        big.result(10)
        small.result(10)
    assert order == ["big", "small"]


def test_an_error_gives_its_share_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, "20")
    converter = convert.converter_for([OutputSpec()])
    for _ in range(3):
        with pytest.raises(ConversionError):
            converter.convert(BytesIO(photo("PNG")[:600]), tmp_path, about="photo")
    assert converter.convert(BytesIO(photo("PNG")), tmp_path, about="photo")


@given(
    st.builds(Header, st.integers(1, 12_000), st.integers(1, 12_000), transparent=st.booleans(), cmyk=st.booleans()),
    st.sampled_from([{}, {"quality": 95}, {"color_space": "CMYK"}, {"format": "png"}, {"format": "avif"}]),
    st.floats(0.05, 1),
)
def test_a_conversion_reserves_by_pixels_format_and_size(header: Header, asked: dict[str, Any], scale: float) -> None:
    output, smaller = OutputSpec(**asked), OutputSpec(**asked, scale=scale)
    least = (header.width * header.height * 8) / 1e6
    assert least <= megabytes_for(header, [output]) <= 16 + 8 * least
    assert megabytes_for(header, [smaller]) <= megabytes_for(header, [output]) + least
    hungry = OutputSpec(format="avif", compression="lossless")
    assert megabytes_for(header, [output, hungry]) == megabytes_for(header, [hungry]) >= megabytes_for(header, [output])


def test_one_budget_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert process_budget() is process_budget()
    assert process_budget().megabytes == DEFAULT_MEGABYTES
    monkeypatch.setenv(VARIABLE, "512")
    assert process_budget().megabytes == 512


@pytest.mark.parametrize("text", ["0", "-1", "2GB", "nan", "inf"])
def test_a_bad_budget_is_told_before_anything_is_spent(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(SettingsError, match=f"{VARIABLE} takes a number of megabytes"):
        convert.converter_for([OutputSpec()])


def test_a_failed_conversion_keeps_no_pixels(tmp_path: Path) -> None:
    """An error may be kept for a report; it must not keep the photo, whose memory is not reserved any more."""
    converter = convert.converter_for([OutputSpec()])
    with pytest.raises(ConversionError) as caught:
        converter.convert(BytesIO(photo("JPEG")[:-200]), tmp_path, about="photo")
    frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert frames[-1] == "convert"
    assert caught.value.__context__ is None


def test_conversions_wait_for_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With room for one at a time, no two decode together."""
    monkeypatch.setenv(VARIABLE, "17")
    running, most, lock = 0, 0, threading.Lock()
    real = convert.decode.decode

    def counted(source: BytesIO, *, about: str) -> convert.decode.Picture:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return real(source, about=about)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(convert.decode, "decode", counted)
    converter = convert.converter_for([OutputSpec(format="webp")])

    def work(number: int) -> int:
        folder = tmp_path / str(number)
        folder.mkdir()
        return len(converter.convert(BytesIO(photo("JPEG")), folder, about="photo"))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(16))) == 16
    assert most == 1
