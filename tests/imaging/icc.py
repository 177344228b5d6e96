"""Small ICC profiles, made by hand."""

from __future__ import annotations

import struct

_WHITE = (0.9642, 1.0, 0.8249)
_WIDE = {b"rXYZ": (0.6097, 0.3111, 0.0195), b"gXYZ": (0.2053, 0.6257, 0.0609), b"bXYZ": (0.1492, 0.0632, 0.7446)}


def wide_gamut() -> bytes:
    """Return an RGB profile with colours far outside sRGB, which some cameras write."""
    tags = {name: _xyz(*values) for name, values in _WIDE.items()}
    return _profile(b"RGB ", "Wide test RGB", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(2.2)))


def gray(gamma: float = 1.0) -> bytes:
    """Return a profile of grey pixels."""
    return _profile(b"GRAY", "Grey test", {b"kTRC": _gamma(gamma)})


def hollow(space: bytes) -> bytes:
    """Return a profile that says how it is called and of which space it is, and nothing of its colours."""
    return _profile(space, "Hollow test", {})


def _profile(space: bytes, name: str, tags: dict[bytes, bytes]) -> bytes:
    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0public domain\0",
        b"wtpt": _xyz(*_WHITE),
        **tags,
    }
    table, data, start = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        content = content.ljust(-(-len(content) // 4) * 4, b"\0")  # noqa: PLW2901 - padded
        table += struct.pack(">4sII", tag, start + len(data), len(content))
        data += content
    size = start + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"test", 0x02100000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _xyz(*_WHITE)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _gamma(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
