"""Section of the part ``conversion``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tools.bench.bars import cpu, grown
from tools.bench.sections.words import in_words, markdown_table


def conversion(result: Mapping[str, Any]) -> Iterator[str]:
    """Write the section."""
    plan = result["plan"]
    width, height = plan["size"]
    yield "## Conversion\n"
    yield (
        f"A photo of {width * height / 1e6:.0f} megapixels, decoded and encoded in a process of its own; {plan['rounds']} rounds in turns. "
        f"{plan['at_once']} at once are {plan['at_once']} threads, each to JPEG, CMYK, TIFF and a small AVIF. The peak is what the process "
        "holds beyond its start; reserved is what the [memory budget](outputs.md#memory) keeps for it.\n"
    )
    rows = [
        (
            name,
            in_words(samples, lambda sample: sample["count"] / sample["seconds"], 2),
            in_words(samples, lambda sample: cpu(sample) / sample["count"], 2),
            in_words(samples, lambda sample: sample["bytes"] / 1e6),
            in_words(samples, grown, 0),
            f"{samples[0]['promised']:,.0f}",
        )
        for name, samples in result["cases"].items()
    ]
    yield markdown_table(("to", "images/s", "CPU s/image", "MB out", "peak MB", "reserved MB"), rows) + "\n"
    if "libvips" in result:
        yield from _beside_libvips(result)


def _beside_libvips(result: Mapping[str, Any]) -> Iterator[str]:
    yield "### Beside libvips\n"
    yield (
        "The same outputs, as far as both have their options, by libvips, which streams from file to file, and here checks nothing: "
        "ours / its. On a busy machine processor time and memory hold, and seconds do not.\n"
    )
    rows = [
        (name, *(f"{in_words(samples, of, digits)} / {in_words(theirs, of, digits)}" for of, digits in _COMPARED))
        for name, samples in result["cases"].items()
        if (theirs := result["libvips"].get(name))
    ]
    yield markdown_table(("to", "CPU s/image", "peak MB", "MB out"), rows) + "\n"
    yield _VERDICT


_COMPARED: tuple[tuple[Callable[[Mapping[str, float]], float], int], ...] = (
    (lambda sample: cpu(sample) / sample["count"], 2),
    (grown, 0),
    (lambda sample: sample["bytes"] / 1e6, 1),
)
_VERDICT = (
    "It is not taken. A JPEG, progressive or not, is written here with Huffman tables of its own, which make it a tenth smaller; for "
    "these libvips holds the whole picture, too. (Without them, a baseline JPEG takes it 50 MB.) It is ahead by half and more where it "
    "streams: in the memory of TIFF, PNG and pictures that are made smaller, and in the processor time of a lossy TIFF and of these. That "
    "would need limits, colours, orientation and the child process for damaged files a second time, beside Pillow, which stays for the "
    "other formats: `imaging/` would grow. Nor can it take Pillow's place: its wheel reads no HEIC, and it writes EXIF anew, with fields "
    "of its own, and none into a TIFF. Lossless AVIF is the one format that it writes here.\n"
)
