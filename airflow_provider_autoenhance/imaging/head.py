"""What the first kilobytes of a photo show before it is uploaded: whether it can be whole, how big its picture is, when and where it was
taken. Nothing is decoded."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_autoenhance.imaging import sniff
from airflow_provider_autoenhance.imaging.exif import CaptureFacts, capture_facts
from airflow_provider_autoenhance.imaging.exif_blocks import STARTS_OF_FRAME
from airflow_provider_autoenhance.imaging.integrity import missing_by_head
from airflow_provider_autoenhance.imaging.ranges import FIRST_READ, RangedFile, ReadRange

_END_OF_IMAGE, _START_OF_SCAN, _TABLES = 0xD9, 0xDA, 0xDB
_DIGITS = 3  # of degrees: some hundred metres


@dataclass(frozen=True, slots=True)
class Head:
    """What is remembered of a file's first kilobytes.

    :param digest: of the first 64 KiB, or of all of a shorter file.
    :param taken: by the camera's own clock.
    :param place: degrees north and east, to some hundred metres.
    :param pixels: width and height as people see it; not of camera RAW.
    :param camera: a digest of make, model and serial number: one clock.
    :param damage: why it is no whole picture; ``None`` where nothing shows that.
    """

    digest: str
    taken: datetime | None = None
    place: tuple[float, float] | None = None
    pixels: tuple[int, int] | None = None
    damage: str | None = None
    camera: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As a record keeps it: what is not known is left out."""
        known = {
            "digest": self.digest,
            "taken": self.taken and self.taken.isoformat(),
            "place": self.place and list(self.place),
            "pixels": self.pixels and list(self.pixels),
            "damage": self.damage,
            "camera": self.camera,
        }
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Head | None:
        """Read back what :meth:`to_json` made; ``None`` where somebody has altered it."""
        try:
            taken, place, pixels, damage, camera = map(kept.get, ("taken", "place", "pixels", "damage", "camera"))
            return cls(
                str(kept["digest"]),
                datetime.fromisoformat(taken).replace(tzinfo=None) if taken else None,
                (float(place[0]), float(place[1])) if place else None,
                (int(pixels[0]), int(pixels[1])) if pixels else None,
                str(damage) if damage else None,
                str(camera) if camera else None,
            )
        except (LookupError, TypeError, ValueError, OverflowError):
            return None


def read_head(read_range: ReadRange, size: int, name: str) -> tuple[Head, CaptureFacts]:
    """Read the first kilobytes of a file: 64 KiB, rarely more.

    :param read_range: gives bytes of the file: offset, length -> bytes.
    :param size: of the file, in bytes.
    :param name: of the file.
    :raises Exception: what ``read_range`` raises, and nothing else.
    """
    file = RangedFile(read_range, size)
    first = file.read(0, FIRST_READ)
    form = sniff.sniff(first, name)
    facts = capture_facts(file)
    pixels = (facts.width, facts.height) if facts.width and facts.height else _pixels(form, first)
    if form is not None and form.raw:  # what shows may be its preview, far smaller than the picture
        pixels = None
    if pixels and (facts.orientation or 1) >= 5:  # on its side
        pixels = pixels[1], pixels[0]
    place = facts.place and (round(facts.place[0], _DIGITS), round(facts.place[1], _DIGITS))
    damage = _damage(form, first, size)
    return Head(_digest(first), facts.captured_at, place, pixels, damage, _camera(facts)), facts


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _camera(facts: CaptureFacts) -> str | None:
    words = [facts.make or "", facts.model or "", facts.serial_number or ""]
    return _digest("\0".join(words).encode()) if any(words) else None


def _damage(form: sniff.ImageFormat | None, first: bytes, size: int) -> str | None:
    if not size:
        return "it is empty"
    if form is None:
        return "it does not begin as a picture does"
    if not form.accepted and form not in sniff.CONVERTIBLE:
        return f"it is {form.name}, which Autoenhance does not take"
    if form is sniff.PNG and zlib.crc32(first[12:29]) != int.from_bytes(first[29:33], "big"):
        return "its PNG header is damaged"
    # What stands before the picture can be longer than what was read.
    if form is sniff.JPEG and _stops_short(first, size):
        return "its JPEG header is damaged"
    return missing_by_head(form, first, size)


def _stops_short(first: bytes, size: int) -> bool:
    """Whether the segments of a JPEG lead, within what was read, to pixels without a frame and its tables, to the end, or nowhere. Bytes
    between two segments are passed over, as decoders do."""
    at, kinds = 2, set[int]()
    while at >= 0 and at + 4 <= len(first):
        kind = first[at + 1]
        if first[at] != 0xFF or kind in (0x00, 0xFF):
            at = first.find(b"\xff", at + 1)
        elif kind in (_END_OF_IMAGE, _START_OF_SCAN):
            return kind == _END_OF_IMAGE or _TABLES not in kinds or kinds.isdisjoint(STARTS_OF_FRAME)
        else:
            kinds.add(kind)
            at += 2 + max(2, int.from_bytes(first[at + 2 : at + 4], "big"))
    return at < 0 or at + 4 > size


def _pixels(form: sniff.ImageFormat | None, first: bytes) -> tuple[int, int] | None:
    """Width and height of the formats that have no EXIF to be read."""
    if form is sniff.PNG:
        return _numbers(first[16:24], 4, "big")
    if form is sniff.GIF:
        return _numbers(first[6:10], 2, "little")
    if form is sniff.BMP and int.from_bytes(first[14:18], "little") >= 40:
        return _numbers(first[18:26], 4, "little")
    if form is sniff.WEBP and first[12:16] == b"VP8X":
        width, height = _numbers(first[24:30], 3, "little")
        return width + 1, height + 1
    if form is sniff.WEBP and first[12:16] == b"VP8 ":
        width, height = _numbers(first[26:30], 2, "little")
        return width & 0x3FFF, height & 0x3FFF
    if form is sniff.WEBP and first[12:16] == b"VP8L":
        bits = int.from_bytes(first[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _numbers(raw: bytes, width: int, order: Any) -> tuple[int, int]:
    return tuple(abs(int.from_bytes(part, order, signed=width == 4)) for part in (raw[:width], raw[width:]))  # type: ignore[return-value]
