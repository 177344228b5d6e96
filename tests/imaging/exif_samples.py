"""The beginnings of photos with camera EXIF, one per format, written by hand where no encoder is at hand."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any, NamedTuple

from .samples import box

Fields = dict[int, Any]

CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
TAKEN = "2026:05:14 10:32:07"

FIRST: Fields = {271: "Maker", 272: "Model 7", 274: 6}
EXIF: Fields = {
    33434: Fraction(1, 60),
    33437: Fraction(80, 10),
    34855: 400,
    36867: TAKEN,
    37380: (Fraction(-4, 3),),
    37521: "41",
    40962: 6000,
    40963: 4000,
    41986: 2,
    42033: "S/N 0815",
    42036: "16-35mm F4",
}


class Raw(NamedTuple):
    """A field of any kind: TIFF's number for it, how many, and the bytes in the block's own order."""

    kind: int
    count: int
    content: bytes


class Block:
    """Builds a TIFF block: ``Fraction`` is an unsigned rational, in a tuple a signed one, an ``int`` a short or long.

    :param gap: bytes between each directory and what it points to: maker notes, previews and the like.
    """

    def __init__(self, order: str = "<", gap: int = 0, mark: bytes = b"") -> None:
        self.order, self.gap = order, gap
        head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(mark)) + mark
        self.data = bytearray(head)

    def directory(self, fields: Fields, *, first: bool = False) -> int:
        """Append a directory and its values; returns its position. The first one is written last, in its place."""
        at = struct.unpack_from(self.order + "I", self.data, 4)[0] if first else len(self.data)
        place = len(self.data) + (0 if first else 2 + 12 * len(fields) + 4) + self.gap
        entries, values = b"", b""
        for tag, content in sorted(fields.items()):
            kind, count, raw = self._encoded(content)
            if len(raw) > 4:
                entries += struct.pack(self.order + "HHII", tag, kind, count, place + len(values))
                values += raw
            else:
                entries += struct.pack(self.order + "HHI", tag, kind, count) + raw.ljust(4, b"\0")
        directory = struct.pack(self.order + "H", len(fields)) + entries + bytes(4)
        if first:
            self.data[at : at + len(directory)] = directory
        else:
            self.data += directory
        self.data += bytes(place - len(self.data)) + values
        return at

    def _encoded(self, content: Any) -> tuple[int, int, bytes]:
        if isinstance(content, Raw):
            return content
        if isinstance(content, str):
            raw = content.encode() + b"\0"
            return 2, len(raw), raw
        if isinstance(content, bytes):
            return 7, len(content), content
        if isinstance(content, Fraction):
            return 5, 1, struct.pack(self.order + "II", *content.as_integer_ratio())
        if isinstance(content, tuple):
            return 10, 1, struct.pack(self.order + "ii", *content[0].as_integer_ratio())
        if content < 1 << 16:
            return 3, 1, struct.pack(self.order + "H", content)
        return 4, 1, struct.pack(self.order + "I", content)


def block(
    first: Fields = FIRST,
    exif: Fields | None = EXIF,
    *,
    order: str = "<",
    gap: int = 0,
    mark: bytes = b"",
    sub: Fields | None = None,
) -> bytes:
    """Return a TIFF block with its first directory, the EXIF directory (34665) and one inside (330)."""
    built = Block(order, gap, mark)
    pointers = {} if exif is None else {34665: 1 << 16}
    pointers |= {} if sub is None else {330: 1 << 16}
    built.data += bytes(2 + 12 * (len(first) + len(pointers)) + 4)
    if exif is not None:
        pointers[34665] = built.directory(exif)
    if sub is not None:
        pointers[330] = built.directory(sub)
    built.directory(first | pointers, first=True)
    return bytes(built.data)


def segment(kind: int, content: bytes) -> bytes:
    """Return a JPEG segment."""
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(content) + 2) + content


def jpeg(exif: bytes | None, *, size: tuple[int, int] = (6000, 4000), before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a JPEG up to its picture data, with segments before and after the EXIF."""
    frame = segment(0xC0, struct.pack(">BHHB", 8, size[1], size[0], 3) + bytes(9))
    told = segment(0xE1, b"Exif\0\0" + exif) if exif is not None else b""
    return b"\xff\xd8" + before + told + after + frame + segment(0xDA, bytes(10)) + bytes(200_000)


def gpano() -> bytes:
    """Return a segment with the XMP of a 360 degree picture."""
    xmp = '<x:xmpmeta xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular"/>'
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp.encode())


def raf(exif: bytes) -> bytes:
    """Return a Fujifilm RAW: a header that points to a JPEG."""
    head = b"FUJIFILMCCD-RAW 0201FF129502X-T3".ljust(84, b"\0") + struct.pack(">II", 148, 250_000)
    return head.ljust(148, b"\0") + jpeg(exif, size=(1920, 1280)) + bytes(300_000)


def cr3(first: bytes, exif: bytes) -> bytes:
    """Return a Canon CR3: boxes, with two TIFF blocks in Canon's own."""
    canon = box(b"CNCV", bytes(30)) + box(b"CMT1", first) + box(b"CMT2", exif) + box(b"CMT3", bytes(9000))
    moov = box(b"moov", box(b"uuid", CANON_UUID + canon) + box(b"mvhd", bytes(100)))
    return box(b"ftyp", b"crx \0\0\0\1crx isom") + moov + box(b"mdat", bytes(300_000))


def heif(
    exif: bytes, *, brand: bytes = b"heic", version: int = 1, in_item_data: bool = False, far: int = 200_000
) -> bytes:
    """Return a HEIC or AVIF with its EXIF as an item: in the item data box, or ``far`` into the media data."""
    payload = struct.pack(">I", 6) + b"Exif\0\0" + exif
    infe = b"".join(
        box(b"infe", struct.pack(">BxxxHH4s", 2, number, 0, kind) + b"\0")
        for number, kind in ((1, b"hvc1"), (2, b"mime"), (3, b"Exif"))
    )
    iinf = box(b"iinf", bytes(4) + struct.pack(">H", 3) + infe)
    extents = b"".join(
        box(b"ispe", bytes(4) + struct.pack(">II", *size)) for size in ((512, 512), (4032, 3024), (320, 240))
    )
    iprp = box(b"iprp", box(b"ipco", box(b"hvcC", bytes(40)) + extents))
    idat = box(b"idat", payload if in_item_data else bytes(8))

    def meta(exif_at: int) -> bytes:
        ids, indexed = "H" if version < 2 else "I", version > 0
        items = b""
        for number in (1, 2, 3):
            base = exif_at // 3
            items += struct.pack(">" + ids, number)
            items += struct.pack(">H", number == 3 and in_item_data) if indexed else b""
            items += struct.pack(">HIH", 0, base, 1) + (struct.pack(">I", 1) if indexed else b"")
            items += struct.pack(">II", exif_at - base if number == 3 else 99, len(payload))
        iloc = box(b"iloc", struct.pack(">BxxxBB" + ids, version, 0x44, 0x44 if indexed else 0x40, 3) + items)
        return box(b"meta", bytes(4) + box(b"hdlr", bytes(20)) + iinf + iprp + idat + iloc)

    ftyp = box(b"ftyp", brand + bytes(4) + b"mif1" + brand)
    begin = len(ftyp) + len(meta(0))
    at = 0 if in_item_data else begin + 8 + far
    media = bytes(far) + (b"" if in_item_data else payload) + bytes(1000)
    return ftyp + meta(at) + box(b"mdat", media)


def cfa() -> Fields:
    """Return a directory of sensor data."""
    return {254: 0, 256: 6048, 257: 4024, 262: 32803}


def raw(form: str) -> bytes:
    """Return a camera's TIFF-based RAW file: what tells the make, then previews and sensor data."""
    without_size = {tag: value for tag, value in EXIF.items() if tag not in (40962, 40963)}
    made = {
        "DNG": ({**FIRST, 50706: b"\1\4\0\0", 256: 256, 257: 171, 50735: "DNG-1"}, without_size, "<", b""),
        "NEF": ({**FIRST, 271: "NIKON CORPORATION", 256: 160, 257: 120}, without_size, ">", b""),
        "ARW": ({**FIRST, 271: "SONY", 254: 1, 256: 1616, 257: 1080}, EXIF, "<", b""),
        "CR2": ({**FIRST, 271: "Canon", 256: 6048, 257: 4024}, EXIF, "<", b"CR\2\0" + bytes(4)),
    }
    first, exif, order, mark = made[form]
    sub = None if form == "CR2" else cfa()
    return block(first, exif, order=order, mark=mark, sub=sub) + bytes(300_000)
