"""What damaged files are given to. Each returns, or raises what its reader may; anything else is a failure."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from airflow_provider_autoenhance.api.errors import ConversionError
from airflow_provider_autoenhance.imaging import sniff
from airflow_provider_autoenhance.imaging.convert import check_source, converter_for
from airflow_provider_autoenhance.imaging.decode import read_header
from airflow_provider_autoenhance.imaging.exif import read_capture_facts
from airflow_provider_autoenhance.imaging.head import Head, read_head
from airflow_provider_autoenhance.imaging.heif import Memory, furthest_byte, main_picture
from airflow_provider_autoenhance.imaging.integrity import check_for
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.imaging.tiff import TiffHead
from tests.fuzz.inputs import WHOLE

_OUTPUTS: tuple[Any, ...] = (
    "jpeg",
    {"quality": 95, "embed_profile": False},
    {"color_space": "CMYK"},
    "png",
    "tiff",
    {"format": "tiff", "quality": 90},
    {"format": "webp", "color_profile": "sRGB"},
)


@dataclass(frozen=True)
class Target:
    """A reader, or a whole conversion.

    :param names: of the files that are damaged for it.
    :param share: of the number of inputs that is asked for; conversions are slow.
    """

    act: Callable[[bytes, int], None]
    names: list[str]
    share: float = 1.0


def _sniff(data: bytes, number: int) -> None:
    sniff.sniff(data, "a.nef" if number % 2 else None)
    TiffHead(data.ljust(16, b"\0"))


def _integrity(data: bytes, number: int) -> None:
    form = sniff.sniff(data) or sniff.FORMATS[number % len(sniff.FORMATS)]
    step = 1 + number % 5000
    verdicts = set()
    for size in (len(data), step):
        check = check_for(form)
        for at in range(0, len(data), size):
            check.feed(data[at : at + size])
        verdicts.add(check.finish())
    assert len(verdicts) == 1, "the size of the blocks matters"


def _facts(data: bytes, number: int) -> None:
    read_capture_facts(lambda at, length: data[at : at + length], len(data))


def _first_kilobytes(data: bytes, number: int) -> None:
    head, _ = read_head(lambda at, length: data[at : at + length], len(data), "a.nef" if number % 2 else "a.jpg")
    assert Head.from_json(json.loads(json.dumps(head.to_json()))) == head


def _boxes(data: bytes, number: int) -> None:
    main_picture(Memory(data))
    furthest_byte(data[number % 64 :])


def _head(data: bytes, number: int) -> None:
    with suppress(ConversionError):
        check_source(data[: 1 << 16], [OutputSpec(format="webp")], about="photo")
    with _source(data, number) as source, suppress(ConversionError):
        read_header(source, about="photo")


def _conversion(data: bytes, number: int) -> None:
    output = OutputSpec.of(_OUTPUTS[number % len(_OUTPUTS)])
    with tempfile.TemporaryDirectory() as folder, _source(data, number) as source, suppress(ConversionError):
        converter_for([output]).convert(source, Path(folder), about="photo")


@contextmanager
def _source(data: bytes, number: int) -> Iterator[BinaryIO]:
    """In memory, or on a disk, which says other things of places that no file has."""
    with tempfile.TemporaryFile() if number % 2 else BytesIO() as file:
        file.write(data)
        file.flush()
        yield cast("BinaryIO", file)


_EVERY = list(WHOLE)
_APART = ["photo HEIC", "photo AVIF", "AVIF", "HEIF", "poisoned HEIC", "long HEIC", "long AVIF"]

TARGETS = {
    "sniff": Target(_sniff, _EVERY),
    "integrity": Target(_integrity, _EVERY),
    "capture facts": Target(_facts, _EVERY),
    "first kilobytes": Target(_first_kilobytes, _EVERY),
    "boxes": Target(_boxes, [*_APART, "CR3"]),
    "head": Target(_head, _EVERY, 0.3),
    "conversion": Target(_conversion, [name for name in _EVERY if name not in _APART], 0.3),
    "conversion apart": Target(_conversion, _APART, 0.02),
}
