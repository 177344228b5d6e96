"""Synthetic photos: a dim room with a bright window, at any exposure, with camera EXIF."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

TAKEN = "2024:05:17 10:20:30"


def room(
    width: int = 240,
    height: int = 160,
    exposure: float = 1.0,
    cast: tuple[float, float, float] = (1, 1, 1),
    seed: int = 1,
) -> npt.NDArray[np.uint8]:
    """
    Return the pixels of a room as a camera would see it.

    :param exposure: factor on the light; 1 shows the walls in mid-tones and clips the window.
    :param cast: factor per channel.
    :param seed: which room.
    """
    random = np.random.default_rng(seed)
    light = np.full((height, width), 0.18)
    light[: height // 3] = 0.26
    light[2 * height // 3 :] = 0.1
    for _ in range(10):
        y, x = random.integers(0, height - 20), random.integers(0, width // 2)
        light[y : y + random.integers(8, 20), x : x + random.integers(8, 40)] = random.uniform(0.02, 0.4)
    window = np.s_[height // 5 : height // 2, 5 * width // 8 : 7 * width // 8]
    rows, columns = np.indices(light[window].shape)
    light[window] = 1.2 + 1.2 * ((rows // 6 + columns // 6) % 2)
    light = light * (0.9 + 0.2 * random.random((height, width)))
    linear = np.clip(light[..., None] * exposure * np.array(cast), 0, 1)
    return np.asarray(np.power(linear, 1 / 2.2) * 255 + 0.5, np.uint8)


def encode(pixels: npt.NDArray[np.uint8], kind: str = "JPEG", **options: Any) -> bytes:
    """Encode pixels in a format that Pillow knows."""
    file = BytesIO()
    if kind == "JPEG":
        options = {"quality": 92, **options}
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def photo(**options: Any) -> bytes:
    """Return a JPEG of a room."""
    return encode(room(**options))


def decode(data: bytes) -> npt.NDArray[np.float64]:
    """Return RGB values 0..255."""
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), np.float64)


def camera_exif(
    exposure_time: float, *, taken: str = TAKEN, subsecond: str = "00", model: str = "Test Camera"
) -> bytes:
    """Return an EXIF block as cameras write it."""
    exif = Image.Exif()
    exif[0x0110] = model
    details = exif.get_ifd(0x8769)
    details.update({0x829A: exposure_time, 0x829D: 8.0, 0x8827: 400, 0x9003: taken, 0x9291: subsecond})
    return exif.tobytes()


def bracket(
    steps: tuple[float, ...] = (-2, 0, 2), *, second: int = 30, seed: int = 1, exif: bool = True
) -> list[bytes]:
    """
    Return the exposures of one scene, one JPEG per step.

    :param steps: EV of each shot.
    :param second: second of the minute in which they were taken.
    """
    shots = []
    for number, step in enumerate(steps):
        options: dict[str, Any] = {}
        if exif:
            options["exif"] = camera_exif(
                0.0125 * 2**step, taken=f"2024:05:17 10:20:{second:02d}", subsecond=f"{number * 20:02d}"
            )
        shots.append(encode(room(exposure=2.0**step, seed=seed), **options))
    return shots
