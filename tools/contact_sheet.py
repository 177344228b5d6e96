"""Before/after contact sheet of a batch of photos.

From the command line: ``python tools/contact_sheet.py --out sheet.jpg --title "Night of 14 May" BEFORE_DIR AFTER_DIR``
pairs the files of two folders by their path without suffix.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

MAX_BYTES = 2_000_000
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif"}

_PAPER, _INK, _MUTED, _RULE, _MOUNT = "#f6f5f2", "#1e2023", "#6b6f75", "#d9d6d0", "#e9e6e0"
_MARGIN, _GUTTER, _GAP = 48, 40, 6

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Pair(NamedTuple):
    """One photo before and after, and the lines printed under it (size, seconds, credits)."""

    name: str
    before: Path
    after: Path
    caption: tuple[str, ...] = ()


class Box(NamedTuple):
    """Rectangle in pixels: left, top, right and bottom (the last two outside of it)."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Cell:
    """Where one pair goes on the sheet."""

    before: Box
    after: Box
    text: Box


@dataclass(frozen=True)
class Layout:
    size: tuple[int, int]
    heading: Box
    cells: tuple[Cell, ...]
    name_size: int
    caption_size: int


def plan_layout(count: int, caption_lines: int) -> Layout:
    """Places for ``count`` pairs: one column for up to 3, then two, three from 13 and four from 25.

    :param count: pairs on the sheet, at least 1.
    :param caption_lines: the most caption lines that any pair has.
    """
    columns = 1 if count <= 3 else 2 if count <= 12 else 3 if count <= 24 else 4
    photo = {1: 760, 2: 500, 3: 390, 4: 320}[columns]
    name_size, caption_size = {1: (26, 20), 2: (21, 17), 3: (18, 15), 4: (16, 14)}[columns]
    height = photo * 2 // 3
    cell_width = 2 * photo + _GAP
    text_height = round(name_size * 1.5 + caption_lines * caption_size * 1.4)
    row = height + 12 + text_height + 32
    width = 2 * _MARGIN + columns * cell_width + (columns - 1) * _GUTTER
    heading = Box(_MARGIN, 40, width - _MARGIN, 132)
    cells = []
    for index in range(count):
        left = _MARGIN + (index % columns) * (cell_width + _GUTTER)
        top = heading.bottom + 28 + (index // columns) * row
        below = top + height + 12
        cells.append(
            Cell(
                before=Box(left, top, left + photo, top + height),
                after=Box(left + photo + _GAP, top, left + cell_width, top + height),
                text=Box(left, below, left + cell_width, below + text_height),
            )
        )
    bottom = heading.bottom + 28 + math.ceil(count / columns) * row + 8
    return Layout((width, bottom), heading, tuple(cells), name_size, caption_size)


def build_contact_sheet(pairs: Sequence[Pair], path: Path, *, title: str) -> Path:
    """Draw the sheet, before and after side by side, and write it to ``path`` as a JPEG under 2 MB.

    :raises ValueError: if there are no pairs, or a photo can't be read (the message names it).
    """
    if not pairs:
        raise ValueError("A contact sheet needs at least one photo")
    if path.suffix.lower() not in {".jpg", ".jpeg"}:
        raise ValueError(f"{path}: a contact sheet is a JPEG; give it a name that ends in .jpg")
    layout = plan_layout(len(pairs), max(len(pair.caption) for pair in pairs))
    sheet = Image.new("RGB", layout.size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_heading(draw, layout, title, len(pairs))
    for pair, cell in zip(pairs, layout.cells, strict=True):
        _paste(sheet, pair.before, cell.before)
        _paste(sheet, pair.after, cell.after)
        _draw_text(draw, layout, pair, cell.text)
    _write(sheet, path)
    return path


def _font(size: int) -> _Font:
    return ImageFont.load_default(size=size)


def _draw_heading(draw: ImageDraw.ImageDraw, layout: Layout, title: str, count: int) -> None:
    box = layout.heading
    width = box.right - box.left
    draw.text((box.left, box.top), fit_text(title, _font(38), width), fill=_INK, font=_font(38))
    note = f"{count} photo{'' if count == 1 else 's'}, before on the left, after on the right"
    draw.text((box.left, box.top + 52), fit_text(note, _font(20), width), fill=_MUTED, font=_font(20))
    draw.line((box.left, box.bottom, box.right, box.bottom), fill=_RULE, width=2)


def _draw_text(draw: ImageDraw.ImageDraw, layout: Layout, pair: Pair, box: Box) -> None:
    width = box.right - box.left
    name_font, caption_font = _font(layout.name_size), _font(layout.caption_size)
    draw.text((box.left, box.top), fit_text(pair.name, name_font, width), fill=_INK, font=name_font)
    top = box.top + round(layout.name_size * 1.5)
    for line in pair.caption:
        draw.text((box.left, top), fit_text(line, caption_font, width), fill=_MUTED, font=caption_font)
        top += round(layout.caption_size * 1.4)


def fit_text(text: str, font: _Font, width: int) -> str:
    """The text on one line; what is too wide loses its middle, since file names differ at their ends."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        shorter = f"{text[: kept // 2].rstrip()}...{text[len(text) - (kept - kept // 2) :].lstrip()}"
        if font.getlength(shorter) <= width:
            return shorter
    return "..."


def _paste(sheet: Image.Image, source: Path, box: Box) -> None:
    """The whole photo, upright, centred on its mount: portrait ones keep their shape."""
    size = (box.right - box.left, box.bottom - box.top)
    try:
        with Image.open(source) as opened:
            opened.draft("RGB", (2 * size[0], 2 * size[1]))
            photo = ImageOps.exif_transpose(opened).convert("RGB")
    except OSError as error:
        raise ValueError(f"{source}: not a readable photo ({error})") from error
    photo = ImageOps.contain(photo, size, Image.Resampling.LANCZOS)
    sheet.paste(_MOUNT, box)
    sheet.paste(photo, (box.left + (size[0] - photo.width) // 2, box.top + (size[1] - photo.height) // 2))


def _write(sheet: Image.Image, path: Path) -> None:
    """Write the JPEG at the best quality that stays under the size limit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in (90, 84, 76, 66, 50, 35):
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() <= MAX_BYTES:
            path.write_bytes(buffer.getvalue())
            return
    raise ValueError(
        f"{path}: {sheet.width} x {sheet.height} pixels don't fit into {MAX_BYTES} bytes; use fewer photos"
    )


def pair_folders(before: Path, after: Path) -> list[Pair]:
    """The photos that both folders have, by relative path without suffix; captions give type, pixels and file size."""
    outputs = {file.relative_to(after).with_suffix(""): file for file in _photos(after)}
    pairs = []
    for file in _photos(before):
        key = file.relative_to(before).with_suffix("")
        if key in outputs:
            pairs.append(Pair(key.as_posix(), file, outputs[key], (f"{_facts(file)}  ->  {_facts(outputs[key])}",)))
    return pairs


def _photos(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in PHOTO_SUFFIXES)


def _facts(file: Path) -> str:
    with Image.open(file) as image:
        return f"{image.format} {image.width} x {image.height}, {file.stat().st_size / 1000:,.0f} kB"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="folder of the photos before")
    parser.add_argument("after", type=Path, help="folder of the photos after")
    parser.add_argument("--out", type=Path, required=True, help="the sheet to write, a .jpg")
    parser.add_argument("--title", default="Before and after")
    options = parser.parse_args(argv)
    pairs = pair_folders(options.before, options.after)
    if not pairs:
        raise SystemExit(f"No photo is in both {options.before} and {options.after}")
    try:
        print(build_contact_sheet(pairs, options.out, title=options.title))
    except ValueError as error:
        raise SystemExit(str(error)) from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
