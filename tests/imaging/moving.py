"""HEIC and AVIF files, changed box by box."""

from __future__ import annotations

import struct

from .samples import box


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and contents of the boxes side by side."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big") or len(data) - at
        found.append((data[at + 4 : at + 8], data[at + 8 : at + size]))
        at += size
    return found


def joined(parts: list[tuple[bytes, bytes]]) -> bytes:
    """The boxes, one after the other."""
    return b"".join(box(kind, content) for kind, content in parts)


def extents(iloc: bytes) -> list[tuple[int, int, int]]:
    """Item, offset and length of each item's only extent."""
    version, sizes = iloc[0], struct.unpack_from(">H", iloc, 4)[0]
    assert version < 2
    offset, length, base, index = (sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, (sizes & 15) if version else 0)
    found, at = [], 8
    for _ in range(struct.unpack_from(">H", iloc, 6)[0]):
        item = int.from_bytes(iloc[at : at + 2], "big")
        at += 4 + (2 if version else 0)
        start = int.from_bytes(iloc[at : at + base], "big")
        assert iloc[at + base : at + base + 2] == b"\0\1"
        at += base + 2 + index
        start += int.from_bytes(iloc[at : at + offset], "big")
        found.append((item, start, int.from_bytes(iloc[at + offset : at + offset + length], "big")))
        at += offset + length
    return found


def _with_iloc(meta: bytes, items: list[tuple[int, int, int]], method: int, more: list[tuple[bytes, bytes]]) -> bytes:
    table = bytes([1, 0, 0, 0]) + b"\x44\x00" + struct.pack(">H", len(items))
    for item, start, length in items:
        table += struct.pack(">HHHHII", item, method, 0, 1, start, length)
    kept = [(kind, table if kind == b"iloc" else content) for kind, content in boxes(meta[4:])]
    return meta[:4] + joined(kept + more)


def pixels_in_description(data: bytes) -> bytes:
    """Move the items' bytes from the box behind the description into it."""
    top = boxes(data)
    meta = dict(top)[b"meta"]
    items = extents(dict(boxes(meta[4:]))[b"iloc"])
    body, moved = b"", []
    for item, start, length in items:
        moved.append((item, len(body), length))
        body += data[start : start + length]
    return joined([(b"ftyp", dict(top)[b"ftyp"]), (b"meta", _with_iloc(meta, moved, 1, [(b"idat", body)]))])


def with_property(data: bytes, kind: bytes, content: bytes) -> bytes:
    """Give every item that has properties one more, after its others."""
    top = boxes(data)
    meta = dict(top)[b"meta"]
    inner = dict(boxes(meta[4:]))
    (ipco, known), (ipma, table) = boxes(inner[b"iprp"])
    assert (ipco, ipma, table[:4]) == (b"ipco", b"ipma", bytes(4))
    number = len(boxes(known)) + 1
    changed, at = table[:8], 8
    for _ in range(int.from_bytes(table[4:8], "big")):
        count = table[at + 2]
        changed += table[at : at + 2] + bytes([count + 1, *table[at + 3 : at + 3 + count], 0x80 | number])
        at += 3 + count
    properties = joined([(b"ipco", known + box(kind, content)), (b"ipma", changed)])

    def meta_at(shift: int) -> bytes:
        items = [(item, start + shift, length) for item, start, length in extents(inner[b"iloc"])]
        renewed = meta[:4] + joined([(name, properties if name == b"iprp" else each) for name, each in boxes(meta[4:])])
        return _with_iloc(renewed, items, 0, [])

    shift = len(meta_at(0)) - len(meta)
    return joined([(name, meta_at(shift) if name == b"meta" else each) for name, each in top])


def long_boxes(data: bytes) -> bytes:
    """Spell the length of each box but the first with 64 bits. The items' bytes come last."""
    meta = dict(boxes(data))[b"meta"]
    items = extents(dict(boxes(meta[4:]))[b"iloc"])

    def spelled(shift: int) -> bytes:
        renewed = _with_iloc(meta, [(item, start + shift, length) for item, start, length in items], 0, [])
        first, *top = [(kind, renewed if kind == b"meta" else content) for kind, content in boxes(data)]
        long = (struct.pack(">I4sQ", 1, kind, len(content) + 16) + content for kind, content in top)
        return joined([first]) + b"".join(long)

    return spelled(len(spelled(0)) - len(data))


def clean_aperture(width: int, height: int, left: int, top: int, of: tuple[int, int]) -> bytes:
    """What of a picture is to be shown, as HEIF spells it: by its middle."""
    right, down = 2 * left + width - of[0], 2 * top + height - of[1]
    return struct.pack(">IIIIiIiI", width, 1, height, 1, right, 2, down, 2)
