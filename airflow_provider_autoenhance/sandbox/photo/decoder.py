"""Decodes one HEIC or AVIF file, as a program: the file is standard input, an uncompressed TIFF goes to standard output.

Run by :mod:`~airflow_provider_autoenhance.sandbox.photo.opening`. Where it fails, the reason goes to standard error.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import suppress
from io import BytesIO
from typing import Any


def main(paths: list[str], max_megapixels: float, max_bytes: int, max_seconds: int, look: bool) -> None:
    """Decode, within limits.

    :param paths: where modules are found.
    :param look: a single pixel will do, with all that is known of the picture.
    """
    for limit, most in (
        (resource.RLIMIT_DATA, max_bytes),
        (resource.RLIMIT_CPU, max_seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, resource.getrlimit(limit)[1]))
    sys.path[:] = paths
    from PIL import AvifImagePlugin, Image, ImageOps  # noqa: F401 - Pillow finds AVIF by its being loaded

    with suppress(ImportError):  # then HEIC is of an unknown kind
        from pi_heif import register_heif_opener

        register_heif_opener()
    try:
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(sys.stdin.buffer, formats=("HEIF", "AVIF") if "HEIF" in Image.OPEN else ("AVIF",)) as image:
            known = {"exif": image.getexif(), "icc_profile": image.info.get("icc_profile")}
            if look:
                picture: Any = Image.new("RGB", (1, 1))
            elif image.width * image.height > max_megapixels * 1e6:
                sys.exit(f"The image is too large: {image.width} x {image.height} pixels.")
            else:
                image.load()
                picture = ImageOps.exif_transpose(image)
                known["exif"] = picture.getexif()
        sys.stdout.buffer.write(_as_tiff(picture, known))
    except Exception as error:  # noqa: BLE001 - damaged files raise anything
        sys.exit(str(error) or type(error).__name__)


def _as_tiff(picture: Any, known: dict[str, Any]) -> bytes:
    for also in (known, {}):
        file = BytesIO()
        with suppress(Exception):
            picture.save(file, "TIFF", **also)
            return file.getvalue()
    raise ValueError("the picture cannot be handed on")


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
