"""Decodes one HEIC or AVIF file, as a program: the file is standard input; pixels go to standard output.

Run by :mod:`~airflow_provider_autoenhance.imaging.apart`, because damaged files have crashed these decoders. A line of JSON comes first:
``error``, or what is known of the picture; then its pixels, row by row. It imports nothing of this package, so that it starts fast.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

_ROWS = 64


def main(paths: list[str], max_bytes: int, max_seconds: int, max_pixels: int, heic: bool) -> None:
    """Decode, within limits.

    :param paths: where modules are found.
    :param max_bytes: of memory.
    :param max_seconds: of computing time.
    :param heic: the file is HEIC, not AVIF.
    """
    import resource

    for limit, most in (
        (resource.RLIMIT_DATA, max_bytes),
        (resource.RLIMIT_CPU, max_seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (most, hard) if hard == resource.RLIM_INFINITY else (min(most, hard), hard))
    sys.path[:] = paths
    from PIL import Image

    if heic:
        from pi_heif import register_heif_opener

        register_heif_opener()
    else:
        from PIL import AvifImagePlugin  # noqa: F401 - Pillow would load all of its formats to find this one
    out = sys.stdout.buffer
    try:
        Image.MAX_IMAGE_PIXELS = max_pixels
        with Image.open(sys.stdin.buffer, formats=("HEIF",) if heic else ("AVIF",)) as image:
            frames = getattr(image, "n_frames", 1)
            image.load()
            out.write(json.dumps(_facts(image, frames)).encode() + b"\n")
            for top in range(0, image.height, _ROWS):
                strip = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
                out.write(strip.tobytes())
    except MemoryError:
        out.write(
            json.dumps({"error": "its decoder needs more memory than a picture of its size may"}).encode() + b"\n"
        )
    except Exception as error:  # noqa: BLE001 - damaged files raise anything
        out.write(json.dumps({"error": str(error).strip() or type(error).__name__}).encode() + b"\n")
    out.flush()


def _facts(image: Any, frames: int) -> dict[str, Any]:
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # noqa: BLE001 - as above
        orientation = 1
    return {
        "mode": image.mode,
        "size": image.size,
        "frames": frames,
        "deep": (image.info.get("bit_depth") or 8) > 8,
        "orientation": orientation if isinstance(orientation, int) else 1,
        "profile": base64.b64encode(image.info.get("icc_profile") or b"").decode(),
    }


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
