"""``make bench-conversion``: images per second and peak memory of converting a 48-megapixel photo to each format, and 16 at once.

Each case is a process of its own. A peak must stay below what the memory budget reserves for the case; that of many at once below the
budget itself (both above what the process takes before).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.bench_memory import peak_megabytes
from tools.console import step

ROOT = Path(__file__).resolve().parents[1]
SIZE = (8000, 6000)
AT_ONCE = 16

CASES: dict[str, dict[str, Any]] = {
    "jpeg": {},
    "jpeg quality 95": {"quality": 95},
    "jpeg cmyk": {"color_space": "CMYK", "dpi": 300},
    "jpeg srgb": {"color_profile": "sRGB"},
    "jpeg srgb, half": {"color_profile": "sRGB", "scale": 0.5},
    "png fast": {"format": "png", "compression": "fast"},
    "png optimal": {"format": "png", "compression": "optimal"},
    "png best": {"format": "png", "compression": "best"},
    "tiff lossless": {"format": "tiff"},
    "tiff lossy": {"format": "tiff", "compression": "lossy"},
    "webp": {"format": "webp"},
    "webp lossless": {"format": "webp", "compression": "lossless"},
    "avif": {"format": "avif"},
    "avif half": {"format": "avif", "scale": 0.5},
    "avif lossless": {"format": "avif", "compression": "lossless"},
}
MANY = ({}, {"color_space": "CMYK"}, {"format": "tiff"}, {"format": "avif", "max_width": 2000})


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make bench-conversion", description=__doc__)
    parser.add_argument("--only", choices=CASES, nargs="+", default=list(CASES), help="these cases alone")
    parser.add_argument("--without-many", action="store_true", help=f"leave out {AT_ONCE} at once")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        run_task(Path(arguments.task), json.loads(sys.stdin.read()), arguments.threads)
        return 0
    with tempfile.TemporaryDirectory(prefix="autoenhance-bench-") as folder:
        source = Path(folder, "photo.png")
        step(f"Making a photo of {SIZE[0] * SIZE[1] / 1e6:.0f} megapixels")
        make_photo(source)
        step(f"Converting it ({source.stat().st_size / 1e6:.0f} MB)")
        print(f"{'case':<18}{'images/s':>10}{'CPU s':>10}{'MB out':>10}{'peak MB':>10}{'promised':>10}", flush=True)
        over = [name for name in arguments.only if not measured(name, source, [CASES[name]])]
        if not arguments.without_many and not measured(f"{AT_ONCE} at once", source, list(MANY), threads=AT_ONCE):
            over.append(f"{AT_ONCE} at once")
    print(f"\nOver what is promised: {', '.join(over)}" if over else "\nAll within what is promised.")
    return 1 if over else 0


def measured(name: str, source: Path, outputs: list[dict[str, Any]], threads: int = 1) -> bool:
    """Run one case and print its row; returns whether it kept what is promised."""
    found = measure(source, outputs, threads)
    rate, peak = found["count"] / found["seconds"], found["peak"] - found["start"]
    used, written = found["cpu"] / found["count"], found["bytes"] / 1e6
    print(f"{name:<18}{rate:>10.2f}{used:>10.1f}{written:>10.1f}{peak:>10.0f}{found['promised']:>10.0f}", flush=True)
    return peak <= found["promised"]


def measure(source: Path, outputs: list[dict[str, Any]], threads: int = 1) -> dict[str, float]:
    """Run one case in a process of its own."""
    command = [sys.executable, "-m", "tools.bench_conversion", "--task", str(source), "--threads", str(threads)]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(outputs), check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_task(source: Path, outputs: list[dict[str, Any]], threads: int) -> None:
    """Be the task: convert the photo once per thread, and print what it took."""
    from airflow_provider_autoenhance.imaging.budget import process_budget
    from airflow_provider_autoenhance.imaging.convert import converter_for
    from airflow_provider_autoenhance.imaging.cost import Header, megabytes_for
    from airflow_provider_autoenhance.imaging.output import outputs_of

    specs = outputs_of(outputs)
    converter = converter_for(specs)
    start, began, used = peak_megabytes(), time.monotonic(), time.process_time()

    def work(number: int) -> int:
        with tempfile.TemporaryDirectory(dir=source.parent) as folder:
            return sum(made.size for made in converter.convert(source, Path(folder), about=f"photo {number}"))

    with ThreadPoolExecutor(threads) as pool:
        sizes = list(pool.map(work, range(threads)))
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    promised = megabytes_for(Header(*SIZE), converter.outputs) if threads == 1 else process_budget().megabytes
    told = {"start": start, "peak": peak_megabytes(), "seconds": seconds, "cpu": cpu, "count": threads}
    print(json.dumps(told | {"bytes": sum(sizes) / threads, "promised": promised}))


def make_photo(target: Path) -> None:
    """Enlarge a sample photo, and give it a sensor's noise, and a profile that is not ours, so that colours are converted."""
    from PIL import Image, ImageChops, ImageCms

    photo = ROOT / "samples" / "photos" / "maple-street-12" / "kitchen.jpg"
    with Image.open(photo) as image:
        big = image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
    noise = Image.effect_noise((SIZE[0], SIZE[1]), 6).convert("RGB")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ImageChops.add(big, noise, scale=1, offset=-128).save(target, "PNG", compress_level=1, icc_profile=profile)


if __name__ == "__main__":
    sys.exit(main())
