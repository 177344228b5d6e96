"""What an output takes, from the size of its source and what is asked for: pixels on a side, and memory.

Memory is in bytes per pixel, measured with ``make bench ARGS=conversion`` and rounded up. Pillow holds every pixel in 4 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_autoenhance.api.errors import ConversionError
from airflow_provider_autoenhance.imaging.output import QUALITIES, OutputSpec

#: Quality from which JPEG keeps colours at full resolution.
FULL_COLOR_FROM = 90

#: Longest side that a format can hold, in pixels.
MAX_SIDES = {"jpeg": 65_500, "webp": 16_383, "avif": 65_535}

_BASE_MEGABYTES = 16.0
_PIXEL = 4.0
_DECODING = 2 * _PIXEL + 0.5  # as stored, and upright
_DECODING_APART, _APART_MEGABYTES = 13.0, 32.0  # in a process of its own, and what that takes for itself
_JPEG, _JPEG_FULL_COLOR, _JPEG_CMYK = 4.0, 7.5, 9.5  # of pure noise, too
_ENCODING = {"png": 1.0, "tiff": 1.0, "webp": 9.0, "avif": 26.0, "jpeg": _JPEG}
_ENCODING_OTHERWISE = {"tiff": 5.0, "webp": 30.0, "avif": 46.0}  # TIFF with loss, the others without


@dataclass(frozen=True)
class Header:
    """What the beginning of a picture file shows.

    :param width: upright.
    :param transparent: it has an alpha channel, or a transparent colour.
    :param cmyk: it is made of inks.
    :param apart: it is decoded in a process of its own.
    """

    width: int
    height: int
    transparent: bool = False
    cmyk: bool = False
    apart: bool = False


def output_size(width: int, height: int, output: OutputSpec) -> tuple[int, int]:
    """Size of an output; never larger than the picture."""
    wanted = width * (output.scale or 1)
    wanted = max(1, round(min(wanted, output.max_width or wanted)))
    return (wanted, max(1, round(height * wanted / width))) if wanted < width else (width, height)


def check_fits(outputs: Iterable[OutputSpec], width: int, height: int, *, about: str) -> None:
    """Check that the outputs of a picture are not longer than their formats can hold; before a credit is spent on it.

    :param width: of the picture, upright, before it is scaled.
    :raises ConversionError: one would be.
    """
    for output in outputs:
        check_side(output.format or "jpeg", max(output_size(width, height, output)), about=about)


def check_side(format: str, side: int, *, about: str) -> None:
    """Check the longer side of an output. See :func:`check_fits`."""
    if side > MAX_SIDES.get(format, side):
        raise ConversionError(
            f"{about} is {side} pixels long, but {format.upper()} ends at {MAX_SIDES[format]}; set max_width, or choose another format."
        )


def megabytes_for(header: Header, outputs: Iterable[OutputSpec]) -> float:
    """Most memory that a conversion takes: its decoding, or the hungriest of its outputs."""
    pixels = header.width * header.height
    peak = max((_bytes_for(header, output) for output in outputs), default=0.0)
    decoding = pixels * (_DECODING_APART if header.apart else _DECODING)
    base = _BASE_MEGABYTES + (_APART_MEGABYTES if header.apart else 0.0)
    return base + max(decoding, pixels * _PIXEL + peak) / 1e6


def _bytes_for(header: Header, output: OutputSpec) -> float:
    """Bytes that an output takes beside the decoded picture."""
    width, height = output_size(header.width, header.height, output)
    scaling = _PIXEL * (width * header.height + width * height) if width < header.width else 0.0
    colors = _PIXEL if output.profile_name or not output.embed_profile or header.cmyk else 0.0
    white = header.width * header.height * (_PIXEL + 1) if header.transparent else 0.0
    return white + max(scaling, scaling / 2 + width * height * (colors + _encoding(header, output)))


def _encoding(header: Header, output: OutputSpec) -> float:
    format = output.format or "jpeg"
    if format == "jpeg":
        if output.color_space == "CMYK" or (header.cmyk and output.color_space is None):
            return _JPEG_CMYK
        return _JPEG_FULL_COLOR if (output.own_quality or QUALITIES["jpeg"]) >= FULL_COLOR_FROM else _JPEG
    otherwise = output.lossless is not (format == "tiff")
    return _ENCODING_OTHERWISE.get(format, _ENCODING[format]) if otherwise else _ENCODING[format]
