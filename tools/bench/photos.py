"""Photos that cost what real ones do: their bytes are pixels, so that what looks into a picture on its way has to work."""

from __future__ import annotations

import math
from functools import cache
from io import BytesIO

from tools.bench_memory import photo_of

_BYTES_PER_PIXEL = 0.9
_LEAST = 20_000


@cache
def noisy_photo(size: int) -> bytes:
    """Make a whole JPEG of exactly ``size`` bytes, nearly all of them pixels; a small one is filled up with comments."""
    from PIL import Image

    if size < _LEAST:
        return photo_of(size)
    side = int(math.sqrt(size / _BYTES_PER_PIXEL))
    while True:
        data = BytesIO()
        Image.effect_noise((side, side), 64).save(data, "JPEG", quality=90)
        if len(data.getvalue()) <= size - 8:
            return photo_of(size, data.getvalue())
        side = int(side * 0.97)


def numbered(photo: bytes, number: int) -> bytes:
    """Make a file of its own of the same picture: photos are not copies of one another, which a task would name."""
    return photo[:6] + number.to_bytes(4, "big") + photo[10:]  # in the comment that it begins with
