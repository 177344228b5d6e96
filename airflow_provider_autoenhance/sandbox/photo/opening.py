"""Opening: an image file as Pillow has it. HEIC and AVIF are decoded in a process of their own, for damaged ones crash their decoders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image

from airflow_provider_autoenhance.sandbox.photo import decoder

_AVIF_BRANDS = (b"avif", b"avis")
_BASE_BYTES, _BYTES_PER_PIXEL = 400_000_000, 30
_SECONDS, _PATIENCE = 120, 5
_KEPT_ENVIRONMENT = ("PATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG")


class TooLargeError(Exception):
    """The picture has more pixels than are taken."""


@contextmanager
def opened(path: Path, max_megapixels: float = 1000.0, *, look: bool = False) -> Iterator[Image.Image]:
    """Open an image file.

    :param max_megapixels: of the biggest HEIC or AVIF that is decoded.
    :param look: what is known of the picture is enough; of a HEIC or AVIF a single pixel comes then.
    :raises OSError: it is damaged, or not an image.
    :raises TooLargeError: a HEIC or AVIF with more pixels.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if head[4:8] != b"ftyp":
        with Image.open(path) as image:
            yield image
        return
    with Image.open(BytesIO(_decoded(path, max_megapixels, look))) as image:
        brands = head[8 : max(16, int.from_bytes(head[:4], "big"))]
        image.format = "AVIF" if any(brand in brands for brand in _AVIF_BRANDS) else "HEIF"
        yield image


def _decoded(path: Path, max_megapixels: float, look: bool) -> bytes:
    """Return the picture as a TIFF file."""
    most = int(_BASE_BYTES + _BYTES_PER_PIXEL * max_megapixels * 1e6)
    asked = json.dumps([sys.path, max_megapixels, most, _SECONDS, look])
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    with path.open("rb") as file:
        try:
            done = subprocess.run(  # noqa: S603 - the sandbox's own program
                [sys.executable, "-S", str(decoder.__file__), asked],
                stdin=file,
                capture_output=True,
                env=environment | {"MALLOC_ARENA_MAX": "2"},
                timeout=_SECONDS * _PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise OSError("its decoder took too long") from None
    reason = done.stderr.decode("utf-8", "replace").strip()
    if reason.startswith("The image is too large"):
        raise TooLargeError(reason)
    if done.returncode:
        raise OSError(reason or f"its decoder died ({-done.returncode})")
    return done.stdout
