"""Decodes HEIC and AVIF in a process of its own, with limits: a file that crashes its decoder costs one photo, not the worker."""

from __future__ import annotations

import base64
import importlib.util
import json
import operator
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from airflow_provider_autoenhance.api.errors import ConversionError
from airflow_provider_autoenhance.imaging import decoder

if TYPE_CHECKING:
    from PIL import Image

#: What the decoder may take beside what it takes for each pixel.
BASE_MEGABYTES, BASE_SECONDS = 384.0, 30.0
#: About ten times what a whole file takes, and thrice its memory.
BYTES_PER_PIXEL, SECONDS_PER_MEGAPIXEL = 30.0, 1.0
#: A decoder that waits for a busy machine may take so much longer.
PATIENCE = 10.0

_ROWS = 64
_LONGEST_LINE = 1 << 24  # bytes, of a profile mostly
_MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_KEPT_ENVIRONMENT = ("PATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG")


@dataclass(frozen=True)
class Decoded:
    """A decoded picture.

    :param image: with ``icc_profile`` in its ``info``, where the file has one.
    :param frames: pictures in the file.
    :param deep: the file has more than 8 bits per channel.
    :param orientation: how the picture is yet to be turned, as EXIF counts.
    """

    image: Image.Image
    frames: int
    deep: bool
    orientation: int


def decode(source: Path | BinaryIO, *, pixels: int, heic: bool, about: str) -> Decoded:
    """Decode the main picture.

    :param pixels: of the picture, as its header says.
    :param heic: the file is HEIC, not AVIF.
    :raises ConversionError: it is damaged, its decoder died or took too much, or the library for HEIC is missing.
    """
    if heic and importlib.util.find_spec("pi_heif") is None:
        raise ConversionError(f"{about} is HEIC; reading it needs pip install 'airflow-provider-autoenhance[imaging]'.")
    seconds = int(BASE_SECONDS + SECONDS_PER_MEGAPIXEL * pixels / 1e6)
    most = int(BASE_MEGABYTES * 1e6 + BYTES_PER_PIXEL * pixels)
    # Of twice the pixels that its bound says, Pillow takes no picture.
    asked = json.dumps([sys.path, most, seconds, max(1, pixels), heic])
    with _as_file(source) as file, _running(asked, file, PATIENCE * seconds) as process:
        with cast("IO[bytes]", process.stdout) as output:
            found = _received(output, pixels, about)
        process.wait()  # it cannot wait for a reader any more, and its time runs on
    if found is not None and process.returncode == 0:
        return found
    if process.returncode >= 0:
        raise _other_picture(about)
    if process.returncode in (-signal.SIGKILL, -signal.SIGXCPU):
        raise ConversionError(f"{about} cannot be decoded: its decoder took more time or memory than it may.")
    name = signal.Signals(-process.returncode).name
    raise ConversionError(f"{about} cannot be decoded: the file is damaged, and crashed its decoder ({name}).")


@contextmanager
def _as_file(source: Path | BinaryIO) -> Iterator[IO[bytes]]:
    """The source as a file of the system, at its beginning."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
        return
    source.seek(0)
    with tempfile.TemporaryFile() as copy:
        while block := source.read(1 << 20):
            copy.write(block)
        copy.seek(0)
        yield copy


@contextmanager
def _running(asked: str, file: IO[bytes], seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run the decoder, and let nothing of it remain. It gets nothing of the worker's environment that it can do without."""
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    process = subprocess.Popen(  # noqa: S603 - this package's own program
        [sys.executable or "python3", "-S", str(decoder.__file__), asked],
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment | {"MALLOC_ARENA_MAX": "2"},
    )
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    with process:
        try:
            timer.start()
            yield process
        finally:
            timer.cancel()
            if process.poll() is None:
                process.kill()


def _received(output: IO[bytes], pixels: int, about: str) -> Decoded | None:
    """Take a picture from the decoder; ``None`` where it ends before the picture does.

    :raises ConversionError: it says that it cannot decode the file, or the picture is not what its header said.
    """
    from PIL import Image

    line = output.readline(_LONGEST_LINE)
    if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
        return None
    try:
        facts = json.loads(line)
        if "error" in facts:
            raise ConversionError(f"{about} cannot be decoded, it is cut short or damaged ({facts['error']!s:.120}).")
        width, height, frames, orientation = map(
            operator.index, (*facts["size"], facts["frames"], facts["orientation"])
        )
        mode, deep, profile = facts["mode"], bool(facts["deep"]), base64.b64decode(facts["profile"])
        row = width * _MODES[mode]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _other_picture(about) from None
    if width < 1 or height < 1 or width * height > pixels:
        raise _other_picture(about)
    image = Image.new(mode, (width, height))
    for top in range(0, height, _ROWS):
        rows = min(_ROWS, height - top)
        strip = output.read(row * rows)
        if len(strip) < row * rows:
            return None
        image.paste(Image.frombytes(mode, (width, rows), strip), (0, top))
    image.info = {"icc_profile": profile} if profile else {}
    return Decoded(image, frames, deep, orientation)


def _other_picture(about: str) -> ConversionError:
    return ConversionError(f"{about} cannot be decoded: it is damaged, and its picture is not what its header says.")
