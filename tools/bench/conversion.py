"""Part ``conversion``: images per second and peak memory of converting a 48-megapixel photo to each format, and 16 at once; and what
libvips takes for the same.

Each case is a process of its own. A peak (above what the process holds before) must stay below what the memory budget reserves for
the case; that of many at once below the budget itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.airflow_home import REPOSITORY
from tools.bench.meter import peak_megabytes
from tools.console import detail, step
from tools.processes import ProcessError

SIZE = (8000, 6000)
AT_ONCE = 16
MANY = f"{AT_ONCE} at once"

#: Case to the outputs that a photo is converted to.
CASES: dict[str, Sequence[dict[str, Any]]] = {
    "jpeg": [{}],
    "jpeg baseline": [{"progressive": False}],
    "jpeg quality 95": [{"quality": 95}],
    "jpeg cmyk": [{"color_space": "CMYK", "dpi": 300}],
    "jpeg srgb": [{"color_profile": "sRGB"}],
    "jpeg srgb, half": [{"color_profile": "sRGB", "scale": 0.5}],
    "png fast": [{"format": "png", "compression": "fast"}],
    "png optimal": [{"format": "png", "compression": "optimal"}],
    "png best": [{"format": "png", "compression": "best"}],
    "tiff lossless": [{"format": "tiff"}],
    "tiff lossy": [{"format": "tiff", "compression": "lossy"}],
    "webp": [{"format": "webp"}],
    "webp lossless": [{"format": "webp", "compression": "lossless"}],
    "avif": [{"format": "avif"}],
    "avif half": [{"format": "avif", "scale": 0.5}],
    "avif lossless": [{"format": "avif", "compression": "lossless"}],
    MANY: [{}, {"color_space": "CMYK"}, {"format": "tiff"}, {"format": "avif", "max_width": 2000}],
}


def measure_conversion(cases: Sequence[str], rounds: int, folder: Path) -> dict[str, Any]:
    """Measure; the cases take turns in each round.

    :param cases: names out of :data:`CASES`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "photo.png"
    step(f"Making a photo of {SIZE[0] * SIZE[1] / 1e6:.0f} megapixels")
    make_photo(source)
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    libvips: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for number in range(1, rounds + 1):
        step(f"Round {number} of {rounds}")
        for name in cases:
            for by, found in (("", samples), ("libvips", libvips)):
                sample = _convert(source, name, by)
                found[name].append(sample)
                rate, peak = sample["count"] / sample["seconds"], sample["peak"] - sample["start"]
                detail(f"{name:16} {by:7} {rate:6.2f} images/s, {sample['cpu']:6.2f} CPU s, peak {peak:5.0f} MB")
    source.unlink()
    return {"cases": samples, "libvips": libvips}


def _convert(source: Path, name: str, by: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tools.bench.conversion", str(source), name, by]
    done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ProcessError(f"{name} failed:\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_task(source: Path, name: str, by: str) -> None:
    """Be the task: convert the photo once per thread, and print what it took.

    :param by: ``libvips``, or empty for this provider.
    """
    from airflow_provider_autoenhance.imaging.budget import process_budget
    from airflow_provider_autoenhance.imaging.convert import converter_for
    from airflow_provider_autoenhance.imaging.cost import Header, megabytes_for
    from airflow_provider_autoenhance.imaging.output import outputs_of
    from tools.bench import libvips

    threads = AT_ONCE if name == MANY else 1
    converter = converter_for(outputs_of(CASES[name]))
    if by:
        libvips.prepare()
    start, began, used = peak_megabytes(), time.monotonic(), time.process_time()

    def work(number: int) -> int:
        with tempfile.TemporaryDirectory(dir=source.parent) as folder:
            if by:
                return libvips.convert(source, outputs_of(CASES[name]), Path(folder))
            return sum(made.size for made in converter.convert(source, Path(folder), about=f"photo {number}"))

    with ThreadPoolExecutor(threads) as pool:
        sizes = list(pool.map(work, range(threads)))
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    promised = megabytes_for(Header(*SIZE), converter.outputs) if threads == 1 else process_budget().megabytes
    measured = {"start": start, "peak": peak_megabytes(), "seconds": seconds, "cpu": cpu, "count": threads}
    print(json.dumps(measured | {"bytes": sum(sizes) / threads, "promised": promised}))


def make_photo(target: Path) -> None:
    """Enlarge a sample photo, and give it a sensor's noise, and a profile that is not ours, so that colours are converted."""
    from PIL import Image, ImageChops, ImageCms

    photo = REPOSITORY / "samples" / "photos" / "maple-street-12" / "kitchen.jpg"
    with Image.open(photo) as image:
        big = image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
    noise = Image.effect_noise((SIZE[0], SIZE[1]), 6).convert("RGB")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ImageChops.add(big, noise, scale=1, offset=-128).save(target, "PNG", compress_level=1, icc_profile=profile)


if __name__ == "__main__":
    run_task(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
