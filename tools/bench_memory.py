"""Measure the peak memory of a task that enhances a folder: it must depend on neither the number nor the size of photos.

Each case is a task process of its own, against a sandbox that hands uploads back; source and destination are local files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from tools.bench.meter import peak_megabytes

CONCURRENCY = 16
MEGABYTE = 1_000_000

#: Number of photos, megabytes each.
CASES = ((50, 1), (1000, 1), (50, 40))

#: Most that the peaks may lie apart, in MB.
ALLOWED_SPREAD = 25.0


def main() -> int:
    """Run the cases, print a table, and say whether memory is flat."""
    parser = argparse.ArgumentParser(prog="make bench-memory", description=__doc__)
    parser.add_argument("--task", nargs=2, metavar=("SOURCE", "DESTINATION"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        run_task(*arguments.task)
        return 0
    print(f"{'photos':>8} {'MB each':>8} {'at start':>10} {'peak RSS':>10} {'seconds':>8}")
    peaks = [measure(count, megabytes) for count, megabytes in CASES]
    spread = max(peaks) - min(peaks)
    print(f"The peaks lie {spread:.1f} MB apart; {ALLOWED_SPREAD:.0f} MB are allowed. Concurrency {CONCURRENCY}.")
    return int(spread > ALLOWED_SPREAD)


def measure(count: int, megabytes: int) -> float:
    """Run one case; returns its peak in MB."""
    from tests.support.sandbox import ROOT, Sandbox
    from tests.support.tasks import connection_of

    with tempfile.TemporaryDirectory(prefix="autoenhance-bench-") as place:
        source = Path(place, "in")
        source.mkdir()
        first = source / "00000.jpg"
        first.write_bytes(photo_of(megabytes * MEGABYTE))
        for number in range(1, count):
            (source / f"{number:05}.jpg").hardlink_to(first)  # one file on the disk, many photos
        load = ["--no-s3", "--data-dir", place, "--set", 'render="copy"', "--set", "upload_digests=false"]
        quick = ["--set", "processing_seconds=[0,0]", "--set", "daily_limit=0"]
        sandbox = Sandbox.start(*load, *quick)
        try:
            connection = connection_of(sandbox, "AUTOENHANCE_DEFAULT")
            command = [sys.executable, "-m", "tools.bench_memory", "--task", f"{source}/", f"{place}/out/"]
            measured = subprocess.run(
                command,
                cwd=ROOT,
                env={
                    **os.environ,
                    "AIRFLOW_HOME": f"{place}/airflow",
                    "AIRFLOW_CONN_AUTOENHANCE_DEFAULT": connection,
                },
                check=True,
                capture_output=True,
                text=True,
            )
        except subprocess.CalledProcessError as error:
            sys.stderr.write(error.stderr)
            raise
        finally:
            sandbox.stop()
    result = json.loads(measured.stdout.splitlines()[-1])
    assert result["landed"] == count
    print(
        f"{count:>8} {megabytes:>8} {result['start']:>7.1f} MB {result['peak']:>7.1f} MB {result['seconds']:>8.1f}",
        flush=True,
    )
    return float(result["peak"])


def photo_of(size: int, picture: bytes | None = None) -> bytes:
    """Make a whole JPEG of a given size: a picture (by default a small one) with comments in front of its pixels."""
    from PIL import Image

    if picture is None:
        data = BytesIO()
        Image.linear_gradient("L").convert("RGB").save(data, "JPEG")
        picture = data.getvalue()
    start, rest = picture[:2], picture[2:]
    comments = []
    left = size - len(start) - len(rest)
    while left >= 4:
        length = min(left, 65_537)
        if 0 < left - length < 4:
            length -= 4
        comments.append(b"\xff\xfe" + (length - 2).to_bytes(2, "big") + os.urandom(length - 4))
        left -= length
    return start + b"".join(comments) + rest


def run_task(source: str, destination: str) -> None:
    """Be the task: enhance the folder, and print what it took."""
    import time

    from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
    from airflow_provider_autoenhance.pipeline import batch  # noqa: F401 - counts as start
    from airflow_provider_autoenhance.transport import requests_session  # noqa: F401
    from tests.support.tasks import run

    start = peak_megabytes()
    began = time.monotonic()
    operator = AutoenhanceEnhanceOperator(
        task_id="enhance", source=source, destination=destination, concurrency=CONCURRENCY, poll_interval=0.5
    )
    summary = run(operator)
    seconds = time.monotonic() - began
    print(json.dumps({"start": start, "peak": peak_megabytes(), "seconds": seconds, "landed": summary["landed"]}))


if __name__ == "__main__":
    sys.exit(main())
