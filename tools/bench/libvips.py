"""Converting as one would with libvips: it streams from the file to the file, in as many threads as there are cores."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airflow_provider_autoenhance.imaging.output import OutputSpec

_PNG_LEVELS = {"fast": 1, "optimal": 4, "best": 9}
_AVIF_EFFORT = 3  # the encoder's speed of 6, which Pillow takes


def prepare() -> None:
    """Load it, and have it keep nothing for later."""
    import pyvips

    pyvips.cache_set_max(0)


def convert(source: Path, outputs: Iterable[OutputSpec], folder: Path) -> int:
    """Convert a photo, and return the bytes of its files. Nothing is checked, and EXIF is left as it is."""
    return sum(_convert(source, output, folder / f"{number}") for number, output in enumerate(outputs))


def _convert(source: Path, output: OutputSpec, target: Path) -> int:
    import pyvips

    image = pyvips.Image.new_from_file(str(source), access="sequential", fail_on="error")
    factor = min(output.scale or 1.0, (output.max_width or image.width) / image.width)
    if factor < 1:
        image = image.resize(factor, kernel="lanczos3")
    if output.color_space == "CMYK" or output.color_profile:
        image = _transformed(image, output)
    path, save = f"{target}.{output.format or 'jpeg'}", _options(output)
    getattr(image, save.pop("by"))(path, **save)
    return Path(path).stat().st_size


def _transformed(image: Any, output: OutputSpec) -> Any:
    from airflow_provider_autoenhance.imaging.profiles import load_profile

    if output.color_profile == "sRGB":
        return image.icc_transform("srgb", embedded=True, intent="relative", black_point_compensation=True)
    with tempfile.NamedTemporaryFile(suffix=".icc", delete=False) as file:
        file.write(load_profile(output.color_profile or "ISO_Coated").data)
    return image.icc_transform(file.name, embedded=True, intent="relative", black_point_compensation=True)


def _options(output: OutputSpec) -> dict[str, Any]:
    from airflow_provider_autoenhance.imaging.output import QUALITIES

    kind, lossless = output.format or "jpeg", output.compression == "lossless"
    quality = {"Q": output.quality or QUALITIES.get(kind, 85)}
    if kind == "jpeg":
        full = "off" if int(quality["Q"]) >= 90 or output.color_space == "CMYK" else "on"
        return {
            "by": "jpegsave",
            "interlace": output.progressive is not False,
            "optimize_coding": True,
            "subsample_mode": full,
        } | quality
    if kind == "png":
        return {"by": "pngsave", "compression": _PNG_LEVELS[output.compression or "optimal"], "filter": "all"}
    if kind == "tiff":
        lossy = output.compression == "lossy"
        return {"by": "tiffsave"} | (
            {"compression": "jpeg"} | quality if lossy else {"compression": "lzw", "predictor": "horizontal"}
        )
    if kind == "webp":
        return {"by": "webpsave", "lossless": lossless, "exact": lossless} | ({} if lossless else quality)
    effort = 2 if lossless else _AVIF_EFFORT
    return {"by": "heifsave", "compression": "av1", "lossless": lossless, "effort": effort} | (
        {} if lossless else quality
    )
