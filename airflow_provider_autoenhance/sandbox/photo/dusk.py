"""Day to Dusk: a day picture as it would look in the blue hour, dim and blue, with an evening sky and light in the windows.

What is bright and bluish in the upper part counts as sky; what is brightest elsewhere counts as lit. It works in strips, as enhancing does.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from airflow_provider_autoenhance.sandbox.photo.decoding import Pixels
from airflow_provider_autoenhance.sandbox.photo.enhancing import LUMA, STATS_SIDE, STRIP_ROWS, Floats, upsample

#: How much of the daylight is left, and its colour in the blue hour.
_DIM, _GAMMA = 0.42, 1.3
_BLUE = np.array([0.66, 0.84, 1.28], np.float32)
#: Of lamps and lit windows, and of the light around them.
_LIT = np.array([1.0, 0.80, 0.50], np.float32)
_GLOW = np.array([0.34, 0.20, 0.07], np.float32)
#: The sky: overhead, and near the horizon.
_ZENITH = np.array([0.06, 0.11, 0.30], np.float32)
_HORIZON = np.array([0.62, 0.38, 0.40], np.float32)


def dusk(pixels: Pixels) -> Pixels:
    """Make a dusk of an upright RGB image.

    :param pixels: the image; it is not changed.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, STATS_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    sky = _sky(small)
    lit = _step(small @ LUMA, 0.74, 0.93) * (1.0 - sky)
    radius = max(1.0, max(size) / 40)
    glow = cv2.GaussianBlur(lit, (0, 0), radius).astype(np.float32)
    sky = cv2.GaussianBlur(sky, (0, 0), max(1.0, radius / 8)).astype(np.float32)
    horizon = _horizon(sky) * height
    result = np.empty_like(pixels)
    for top in range(0, height, STRIP_ROWS):
        bottom = min(height, top + STRIP_ROWS)
        strip = pixels[top:bottom].astype(np.float32) / 255.0
        luma = strip @ LUMA
        in_sky = upsample(sky, width, height, top, bottom)[..., None]
        here = _step(luma, 0.74, 0.93)[..., None] * (1.0 - in_sky)
        evening = np.power(strip, _GAMMA) * _DIM * _BLUE
        evening += here * (strip * _LIT - evening) * 0.85
        evening += upsample(glow, width, height, top, bottom)[..., None] * _GLOW
        depth = np.clip((np.arange(top, bottom, dtype=np.float32) + 0.5) / max(horizon, 1.0), 0.0, 1.0)[:, None, None]
        heaven = (_ZENITH + (_HORIZON - _ZENITH) * depth**2) * (0.55 + 0.6 * luma[..., None])
        evening += in_sky * (heaven - evening)
        result[top:bottom] = (evening * 255.0 + 0.5).clip(0, 255).astype(np.uint8)
    return result


def _sky(image: Floats) -> Floats:
    """Say of each pixel, from 0 to 1, how much it looks like a day's sky."""
    rows = np.linspace(0.0, 1.0, image.shape[0], dtype=np.float32)[:, None]
    bright = _step(image @ LUMA, 0.40, 0.62)
    blue = _step(image[..., 2] - image[..., 0], 0.0, 0.10)
    return np.asarray(bright * blue * (1.0 - _step(rows, 0.45, 0.70)), np.float32)


def _horizon(sky: Floats) -> float:
    """Return down to where the sky reaches, as a share of the height."""
    rows = np.flatnonzero(sky.mean(axis=1) > 0.05)
    return float(rows[-1] + 1) / len(sky) if len(rows) else 1.0


def _step(values: npt.NDArray[np.floating[Any]], low: float, high: float) -> Floats:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share), np.float32)
