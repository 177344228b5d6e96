"""Small picture files: written by Pillow, and by hand what Pillow cannot write."""

from __future__ import annotations

import functools
import io
import struct
from typing import Any

PICTURES = {
    "JPEG": {},
    "JPEG progressive": {"progressive": True},
    "JPEG with thumbnail": {"exif": True},
    "JPEG restart": {"restart_marker_blocks": 3},
    "PNG": {},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
    "WEBP animated": {"frames": 3},
    "AVIF": {},
    "GIF": {},
    "GIF animated": {"frames": 3},
    "TIFF": {},
    "TIFF lzw": {"compression": "tiff_lzw"},
    "TIFF jpeg": {"compression": "jpeg"},
    "TIFF deflate tiled": {"compression": "tiff_adobe_deflate", "tile": (16, 16)},
    "TIFF pages": {"frames": 2},
    "BMP": {},
}


@functools.cache
def picture(name: str, side: int = 40) -> bytes:
    """Return a noisy little picture of that kind."""
    from PIL import Image

    options: dict[str, Any] = dict(PICTURES[name])
    frames = [Image.effect_noise((side, side - 7), 90 + n).convert("RGB") for n in range(options.pop("frames", 1))]
    if options.pop("exif", False):
        thumbnail = io.BytesIO()
        frames[0].resize((16, 16)).save(thumbnail, "JPEG")
        options["exif"] = b"Exif\0\0" + tiff({271: "Canon"}) + thumbnail.getvalue()
        assert b"\xff\xd9" in options["exif"]
    if len(frames) > 1:
        options |= {"save_all": True, "append_images": frames[1:]}
    file = io.BytesIO()
    frames[0].save(file, name.split(maxsplit=1)[0], **options)
    return file.getvalue()


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box of the ISO base media format."""
    return struct.pack(">I", len(content) + 8) + kind + content


def iso_media(major: bytes, others: list[bytes]) -> bytes:
    """Return a file type box and the beginning of what follows."""
    return box(b"ftyp", major + bytes(4) + b"".join(others)) + box(b"meta", bytes(40))


def heic() -> bytes:
    """Return the boxes of a HEIC file; no encoder is at hand, and none is needed to walk them."""
    return (
        box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"meta", bytes(300)) + box(b"mdat", bytes(range(200)) * 3)
    )


def tiff(
    first: dict[int, int | str | bytes],
    inside: dict[int, int | str | bytes] | None = None,
    *,
    order: str = "<",
    big: bool = False,
) -> bytes:
    """Return a TIFF file with one directory, and one inside that (tag 330)."""
    value, count = ("Q", "Q") if big else ("I", "H")
    width = struct.calcsize(value)
    mark = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    start = len(mark) + (4 if big else 0) + width
    head = mark + (struct.pack(order + "HH", 8, 0) if big else b"") + struct.pack(order + value, start)
    entry = 4 + 2 * width

    def directory(entries: dict[int, int | str | bytes], at: int) -> bytes:
        end = at + struct.calcsize(order + count) + len(entries) * entry + width
        fields, values = b"", b""
        for tag, content in sorted(entries.items()):
            if isinstance(content, int):
                kind, number, raw = 4, 1, struct.pack(order + "I", content)
            else:
                raw = content.encode() + b"\0" if isinstance(content, str) else content
                kind, number = (2 if isinstance(content, str) else 1), len(raw)
            if len(raw) > width:
                field = struct.pack(order + value, end + len(values))
                values += raw
            else:
                field = raw.ljust(width, b"\0")
            fields += struct.pack(order + "HH" + value, tag, kind, number) + field
        return struct.pack(order + count, len(entries)) + fields + bytes(width) + values

    if inside is None:
        return (head + directory(first, start)).ljust(400, b"\0")
    place = start + len(directory({**first, 330: 0}, start))
    return (head + directory({**first, 330: place}, start) + directory(inside, place)).ljust(600, b"\0")
