"""Section of the part ``conversion``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
