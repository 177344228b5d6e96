"""Damaged files: each is told by the name of what it was and a number."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from io import BytesIO

from tests.imaging import exif_samples
from tests.imaging.inputs import INPUTS, photo, upright
from tests.imaging.moving import long_boxes
from tests.imaging.samples import PICTURES, picture

#: Numbers at their ends, of 32 and of 64 bits, in both orders.
_MARKS = (
    *(bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\0\0\xff\xff", b"\x80\0\0\0"),
    *(
        b"\xff" * 8,
        b"\x7f" + b"\xff" * 7,
        b"\x80" + bytes(7),
        b"\x40" + bytes(7),
        bytes(7) + b"\x40",
        bytes(7) + b"\x80",
    ),
)


def _bigtiff() -> bytes:
    import tifffile

    file = BytesIO()
    tifffile.imwrite(file, upright(), bigtiff=True, photometric="rgb")
    return file.getvalue()


#: Whole files that damaged ones are made of.
WHOLE: dict[str, Callable[[], bytes]] = {
    **{f"photo {form}": functools.partial(photo, form) for form in INPUTS},
    **{name: functools.partial(picture, name) for name in PICTURES},
    **{
        form: functools.partial(lambda form: exif_samples.raw(form)[:6000], form)
        for form in ("DNG", "NEF", "ARW", "CR2")
    },
    "CR3": lambda: exif_samples.cr3(exif_samples.block(exif=None), exif_samples.block(exif_samples.EXIF, None))[
        :12_000
    ],
    "RAF": lambda: exif_samples.raf(exif_samples.block())[:6000],
    "HEIF": lambda: exif_samples.heif(exif_samples.block(), in_item_data=True)[:6000],
    "BigTIFF": _bigtiff,
    "long HEIC": lambda: long_boxes(photo("HEIC")),
    "long AVIF": lambda: long_boxes(photo("AVIF")),
    # An item's kind that is not ASCII crashes pi-heif 1.4.0.
    "poisoned HEIC": lambda: photo("HEIC").replace(b"Exif\0", b"E\xd1if\0", 1),
}


@functools.cache
def whole(name: str) -> bytes:
    """Return a whole file."""
    return WHOLE[name]()


def damaged(names: list[str], number: int) -> bytes:
    """Damage one of the files in a few places, or cut it; headers more often than pixels."""
    chance = random.Random(number)
    data = bytearray(whole(chance.choice(names)))
    for _ in range(chance.randint(1, 8)):
        end = len(data) if chance.random() < 0.4 else min(len(data), 700)
        at, kind = chance.randrange(end), chance.random()
        if kind < 0.4:
            data[at] = chance.randrange(256)
        elif kind < 0.6:
            mark = chance.choice(_MARKS)
            data[at : at + len(mark)] = mark
        elif kind < 0.8:
            data[at] ^= 1 << chance.randrange(8)
        elif kind < 0.9:
            length, other = chance.randrange(1, 40), chance.randrange(len(data))
            data[at : at + length] = data[other : other + length]
        else:
            data[at : at + chance.randrange(1, 9)] = chance.randbytes(chance.randrange(9))
    if chance.random() < 0.15:
        del data[chance.randrange(1, len(data)) :]
    return bytes(data)
