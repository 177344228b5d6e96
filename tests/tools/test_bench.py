"""The benchmarks' sums, the bars, and the page that is written from them."""

from __future__ import annotations

import asyncio
import copy
import io
import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from airflow_provider_autoenhance.imaging.output import outputs_of
from tools.bench import event_loop, libvips
from tools.bench.__main__ import PARTS, main
from tools.bench.bars import MET, NOT_MEASURED, NOT_MET, bars, cpu_per_gigabyte, rate, ratio
from tools.bench.contender import Size, check_landed, run_contender
from tools.bench.conversion import CASES
from tools.bench.figures import percentile, spread
from tools.bench.job import Job
from tools.bench.page import SECTIONS, page
from tools.bench.photos import noisy_photo, numbered
from tools.bench.sections.words import markdown_table
from tools.bench.service import Conditions, api_calls, bench_service
from tools.processes import ProcessError

MACHINE = {
    "date": "2026-01-02 03:04 UTC",
    "command": "make bench",
    "commit": "abc123",
    "processor": "Some CPU",
    "cores": 8,
    "memory_gb": 32.0,
    "system": "Linux 6",
    "load_before": 0.1,
    "python": "3.11.9",
    "versions": {"apache-airflow": "3.3.2"},
}
CONDITIONS = {"latency_ms": 50.0, "processing_seconds": [2.0, 5.0], "tls": True}


def sample(wall: float, cpu: float = 1.0, peak_mb: float = 100.0, photos: int = 10, **more: Any) -> dict[str, Any]:
    moved = {"photos": photos, "bytes": photos * 8_000_000, "api_calls": 3 * photos, "sandbox_cpu": 1.0, "tasks": 1}
    moved |= {"start_wall": 1.0, "start_cpu": 0.5, "start_mb": 50.0}
    return {"wall": wall, "cpu": cpu, "peak_mb": peak_mb, **moved, **more}


def throughput(**contenders: list[dict[str, Any]]) -> dict[str, Any]:
    size = {"count": 10, "size": 8_000_000}
    plan = {"fast": size, "slow": size, "rounds": 2, "concurrency": 16, "poll_seconds": 1.0}
    named = {name.replace("_", "-"): samples for name, samples in contenders.items()}
    ceiling = {"api_calls_per_second": 900.0, "upload_mb_per_second": 400.0}
    return {"machine": MACHINE, "conditions": CONDITIONS, "plan": plan, "contenders": named, "ceiling": ceiling}


def night(**ways: list[dict[str, Any]]) -> dict[str, Any]:
    plan = {"listings": 200, "photos": 5, "size": 1_000_000, "slots": 4}
    return {"machine": MACHINE, "conditions": CONDITIONS, "plan": plan, "contenders": ways}


def growth(**sizes: tuple[float, float]) -> dict[str, Any]:
    """Sizes as ``n100=(peak MB, seconds)``."""
    rows = {
        name[1:]: {
            "plan": [sample(seconds)],
            "run": [sample(9.0, peak_mb=peak)],
            "again": [sample(seconds, peak_mb=peak, api_calls=0)],
        }
        for name, (peak, seconds) in sizes.items()
    }
    return {"machine": MACHINE, "conditions": CONDITIONS, "plan": {"size": 200_000, "rounds": 1}, "sizes": rows}


def waiting(lag_p99_ms: float, cpu: float) -> dict[str, Any]:
    row = sample(10.0, cpu=cpu, lag_p50_ms=0.2, lag_p99_ms=lag_p99_ms, polls=500)
    plan = {"seconds": 10.0, "poll_seconds": 20.0, "rounds": 1}
    return {"machine": MACHINE, "conditions": CONDITIONS, "plan": plan, "orders": {"5000": [row]}}


def parsed(above: float, importing: float = 1.0) -> dict[str, Any]:
    """A DAG that takes ``above`` ms more than its twin, and one that takes none; and a module."""

    def dag(more: float) -> dict[str, Any]:
        imports = {"modules": 2, "ms": 3.5, "other_modules": 1, "other_ms": 0.5, "dearest": "json", "dearest_ms": 0.5}
        took = {"real": [sample(0.2, cpu=40.0 + more)], "twin": [sample(0.1, cpu=40.0)]}
        return {**took, "processor": {"real": [300.0], "twin": [250.0]}, "imports": imports}

    modules = {"airflow_provider_autoenhance.hooks": [sample(1.0, cpu=importing)]}
    plan = {"rounds": 1, "times": 1}
    return {"machine": MACHINE, "plan": plan, "dags": {"dear": dag(above), "cheap": dag(0.0)}, "modules": modules}


def converted(**peaks: float) -> dict[str, Any]:
    """Cases by their peaks, of 100 MB that are reserved for each."""
    took = {"start": 50.0, "promised": 100.0, "seconds": 2.0, "cpu": 8.0, "count": 4, "bytes": 3e6}
    cases = {name: [{**took, "peak": 50.0 + peak}] for name, peak in peaks.items()}
    plan = {"rounds": 1, "size": [8000, 6000], "at_once": 16}
    return {"machine": MACHINE, "plan": plan, "cases": cases}


def verdicts(**results: Any) -> dict[str, str]:
    return {bar.what: bar.verdict for bar in bars(results)}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_a_spread_holds_what_was_measured(values: list[float]) -> None:
    found = spread(values)
    assert found.least <= found.median <= found.most
    assert (found.least, found.most, found.count) == (min(values), max(values), len(values))


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_a_measured_value_that_enough_do_not_exceed(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_nothing_measured_is_no_figure() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 50)


def test_one_measurement_is_written_without_a_range() -> None:
    assert spread([2.0]).written() == "2.0"
    assert spread([1.0, 1234.5, 3.0]).written() == "3.0 (1.0 to 1,234.5)"


def test_rates_and_costs() -> None:
    assert rate(sample(5.0, photos=20)) == 4.0
    assert cpu_per_gigabyte(sample(5.0, cpu=3.0, photos=250)) == 1.5


def test_a_ratio_compares_within_rounds() -> None:
    """A round in which everything is slow does not change it."""
    found = ratio([sample(2.0), sample(20.0)], [sample(1.0), sample(10.0)], lambda each: float(each["wall"]))
    assert (found.least, found.median, found.most) == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="shorter"):
        ratio([sample(2.0), sample(2.0)], [sample(1.0)], lambda each: float(each["wall"]))


def test_bars_are_held_against_medians() -> None:
    fast = [sample(1.1, cpu=1.2, peak_mb=200.0)]
    told = verdicts(
        throughput=throughput(
            batch=fast,
            batch_thumbnails=[sample(1.15, cpu=1.3, peak_mb=220.0)],
            floor=[sample(1.0)],
            sdk_threads=[sample(2.4, peak_mb=900.0)],
            sdk_sequential=[sample(30.0)],
            batch_dag=[sample(2.0)],
            mapped_dag=[sample(20.0)],
        ),
        night=night(packed=[sample(1.5)], each=[sample(4.6)], floor=[sample(1.0)]),
        growth=growth(n100=(150.0, 1.0), n10000=(170.0, 2.9)),
        waiting=waiting(lag_p99_ms=99.0, cpu=2.4),
        parse=parsed(15.0, importing=15.0),
        conversion=converted(jpeg=99.0, avif=100.0),
    )
    assert set(told.values()) == {MET}
    worse = verdicts(
        throughput=throughput(
            batch=[sample(1.2, cpu=1.4, peak_mb=300.0)],
            batch_thumbnails=[sample(1.3, cpu=1.5, peak_mb=320.0)],
            floor=[sample(1.0)],
            sdk_threads=[sample(2.3, peak_mb=900.0)],
            sdk_sequential=[sample(20.0)],
            batch_dag=[sample(2.0)],
            mapped_dag=[sample(13.0)],
        ),
        night=night(packed=[sample(1.6)], each=[sample(4.6)], floor=[sample(1.0)]),
        growth=growth(n100=(150.0, 1.0), n10000=(176.0, 10.0)),
        waiting=waiting(lag_p99_ms=100.0, cpu=2.5),
        parse=parsed(15.1, importing=15.1),
        conversion=converted(jpeg=10.0, avif=101.0),
    )
    assert set(worse.values()) == {NOT_MET}
    assert worse.keys() == told.keys()


def test_what_was_not_measured_at_its_size_is_not_met() -> None:
    assert set(verdicts().values()) == {NOT_MEASURED}
    told = verdicts(growth=growth(n100=(150.0, 1.0), n1000=(150.0, 1.0)), throughput=throughput(batch=[sample(1.0)]))
    assert set(told.values()) == {NOT_MEASURED}


def test_a_table_has_a_line_per_row() -> None:
    assert markdown_table(("", "MB"), [("a", "1")]) == "|  | MB |\n| --- | ---: |\n| a | 1 |"


def test_the_page_tells_what_was_measured_and_how() -> None:
    slow = [sample(5.0, cpu=0.8, photos=10), sample(10.0, cpu=0.8, photos=10)]
    text = page({"throughput": throughput(batch=slow, floor=[sample(1.0), sample(1.0)])})
    assert "1.50 (1.00 to 2.00)" in text  # photos per second
    assert "10.00 (10.00 to 10.00)" in text  # CPU seconds per GB
    assert "| **not met** |" in text
    assert "https on every leg" in text
    assert "uploads to Autoenhance, MB/s | 400 |" in text
    assert "`make bench` on 8 cores (Some CPU)" in text
    assert "busy" not in text
    assert "## Waiting" not in text


def test_the_page_says_what_airflow_alone_holds() -> None:
    def told(peak: float) -> str:
        return page({"throughput": throughput(batch=[sample(1.0)], sdk_threads=[sample(1.0, peak_mb=peak)])})

    assert "Airflow alone holds 50 MB before any work, 0.50 x" in told(100.0)
    assert "Airflow alone" not in told(200.0)


def test_the_page_says_when_the_machine_was_busy() -> None:
    result = copy.deepcopy(waiting(lag_p99_ms=1.0, cpu=1.0))
    result["machine"]["load_before"] = 5.0
    assert "**The machine was busy with other work** (load 5 before" in page({"waiting": result})


def test_every_part_has_its_section() -> None:
    parts = {"growth": growth(n100=(150.0, 1.0)), "waiting": waiting(1.0, 1.0), "throughput": throughput()}
    parts["night"] = night(packed=[sample(20.0, cpu=9.0, tasks=8)], batch=[sample(15.0)])
    text = page({**parts, "conversion": converted(jpeg=1.0), "parse": parsed(1.0)})
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "What should hold",
        "Throughput and cost",
        "A night of many listings",
        "Growth, and running again",
        "Waiting",
        "Import and parse",
        "Conversion",
    ]
    assert list(SECTIONS) == list(PARTS)
    assert "200 listings of 5 photos of 1 MB" in text
    assert re.search(r"\| the nightly DAG, listings packed .* \| 20.0 \| 9.0 \| 8 \|", text)


def test_the_dearest_dag_is_named() -> None:
    text = page({"parse": parsed(15.1)})
    assert "| at most 15 ms | `dear` 15.1 ms | **not met** |" in text
    assert "| `dear` | 55.1 | 40.0 | 15.1 |" in text
    assert "| `dear` | 300 | 250 | 3.5 (2) | 0.5 (1) | `json` 0.5 ms |" in text


def test_the_hungriest_conversion_is_named() -> None:
    text = page({"conversion": converted(jpeg=50.0, avif=90.0)})
    assert "| at most 1 x | avif 0.90 x | met |" in text
    assert "| avif | 2.00 | 2.00 | 3.0 | 90 | 100 |" in text
    assert "48 megapixels" in text


def test_what_libvips_takes_stands_beside_it() -> None:
    ours, theirs = converted(jpeg=50.0, avif=90.0), converted(jpeg=40.0)
    text = page({"conversion": {**ours, "libvips": theirs["cases"]}})
    assert "| jpeg | 2.00 / 2.00 | 50 / 40 | 3.0 / 3.0 |" in text
    assert text.count("| avif |") == 1


@pytest.mark.parametrize("case", CASES)
def test_libvips_makes_what_is_compared(case: str, tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.effect_noise((128, 96), 20).convert("RGB").save(source, icc_profile=profile)
    outputs = outputs_of(CASES[case])
    size = libvips.convert(source, outputs, tmp_path)
    files = [tmp_path / f"{number}.{output.format or 'jpeg'}" for number, output in enumerate(outputs)]
    assert sum(file.stat().st_size for file in files) == size
    for file, output in zip(files, outputs, strict=True):
        with Image.open(file) as image:
            assert image.width == 128 * (output.scale or 1)
            assert (image.mode == "CMYK") == (output.color_space == "CMYK")
            assert bool(image.info.get("progressive")) == (file.suffix == ".jpeg" and output.progressive is not False)


@pytest.mark.parametrize("case", CASES)
def test_conversions_are_outputs_that_there_are(case: str) -> None:
    assert len(outputs_of(CASES[case])) == len(CASES[case])


def test_no_other_part_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conversions"]) == 2
    assert "no part is called conversions" in capsys.readouterr().err


def test_uploads_and_downloads_are_no_api_calls() -> None:
    requests = {
        "POST /v3/images/": 3,
        "GET /v3/orders/{id}": 2,
        "PUT /bucket/uploads/{key}": 9,
        "GET /bucket/renders/{key}": 9,
    }
    assert api_calls({"requests": requests}) == 5


def test_a_blocked_loop_shows_as_lag() -> None:
    async def both() -> list[float]:
        async def block() -> None:
            await asyncio.sleep(0.05)
            event_loop.time.sleep(0.1)

        late, _ = await asyncio.gather(event_loop.lag(0.3), block())
        return late

    assert max(asyncio.run(both())) >= 80.0


@pytest.mark.parametrize("size", [5_000, 200_000, 1_000_000])
def test_photos_are_whole_and_mostly_pixels(size: int) -> None:
    photo = numbered(noisy_photo(size), 7)
    assert len(photo) == size
    assert numbered(noisy_photo(size), 8) != photo, "a folder of copies is not what photographers send"
    picture = Image.open(io.BytesIO(photo))
    picture.load()
    if size > 100_000:
        assert picture.width * picture.height > size / 2


@pytest.mark.parametrize(
    ("landed", "credits", "complaint"),
    [
        ([100, 100], 2, None),
        ([100], 2, "landed 1 photos of 2"),
        ([100, 99], 2, "landed 2 photos of 2"),
        ([100, 100], 3, "spent 3 credits on 2 photos"),
    ],
)
def test_a_contender_is_held_to_its_work(landed: list[int], credits: int, complaint: str | None) -> None:
    bench: Any = SimpleNamespace(results=lambda folder: landed if folder == "out" else [])
    books = {"credits": {"spent": credits}}
    with pytest.raises(ProcessError, match=complaint) if complaint else nullcontext():
        check_landed(bench, "batch", Job("in", "out"), Size(2, 100), books)


def test_a_bare_loop_does_the_work_over_https(tmp_path: Path) -> None:
    """What it takes is measured; that all has landed and was paid for once is checked by the harness."""
    with bench_service(tmp_path, Conditions(latency_ms=0, processing_seconds=(0, 0.02))) as bench:
        assert bench.service.api.startswith("https://")
        bench.fill("in", 3, 30_000)
        bench.reset()
        sample = run_contender(bench, "floor", Job("in", "out", poll_seconds=0.1), Size(3, 30_000))
        assert sample["api_calls"] >= 2 * 3 + 1
        assert min(sample[name] for name in ("wall", "cpu", "peak_mb", "sandbox_cpu")) > 0
        bench.clear("out")
        assert bench.results("out") == []
