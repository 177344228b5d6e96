"""Enhancing: a dark property photo becomes bright, neutral and clear, as a photo editor would make it.

White balance by shades of grey (Finlayson and Trezzi 2004), local exposure by a gain on the edge-preserving base of a
fast guided filter (He and Sun 2015), then black and white points, a gentle S-curve and vibrance. It works in strips, so
that it needs little more memory than the pixels themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from airflow_provider_autoenhance.sandbox.photo.decoding import Pixels

Floats = npt.NDArray[np.float32]

STATS_SIDE = 640
STRIP_ROWS = 256
TARGET_MEDIAN = 0.62
MAX_GAIN = 4.0
TABLE_SIZE = 2048
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Look:
    """What an ``enhance_type`` does to colours.

    :param warmth: added to red and taken from blue, as a share.
    :param contrast: strength of the S-curve, 0..1.
    :param vibrance: how much dull colours gain, 0..1.
    """

    warmth: float = 0.0
    contrast: float = 0.22
    vibrance: float = 0.06


LOOKS = {
    "warm": Look(warmth=0.025),
    "neutral": Look(),
    "modern": Look(warmth=-0.01, contrast=0.32, vibrance=0.08),
    "property": Look(vibrance=0.12),
    "property_usa": Look(warmth=0.015, contrast=0.28, vibrance=0.16),
    "authentic": Look(contrast=0.12, vibrance=0.05),
}


def enhance(pixels: Pixels, settings: dict[str, Any]) -> Pixels:
    """Enhance an upright RGB image.

    :param pixels: the image; it is not changed.
    :param settings: preferences of the image; ``enhance``, ``enhance_type`` and ``upscale`` are honoured.
    """
    result = pixels
    if settings.get("enhance", True):
        look = LOOKS.get(settings.get("enhance_type") or "neutral", Look())
        result = _enhance(pixels, look)
    if settings.get("upscale"):
        height, width = result.shape[:2]
        result = np.asarray(cv2.resize(result, (width * 2, height * 2), interpolation=cv2.INTER_CUBIC), np.uint8)
    return result


def _enhance(pixels: Pixels, look: Look) -> Pixels:
    height, width = pixels.shape[:2]
    scale = min(1.0, STATS_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    gains = _white_balance(small, look.warmth)
    small = _balanced(small, gains)
    luma = small @ LUMA
    slope, offset = _guided_filter(luma, radius=max(2, max(size) // 24), epsilon=0.012)
    tone = _tone_curve(slope * luma + offset)
    black, white = _end_points(small, slope * luma + offset, tone)
    curve = _s_curve(look.contrast)
    result = np.empty_like(pixels)
    for top in range(0, height, STRIP_ROWS):
        bottom = min(height, top + STRIP_ROWS)
        strip = _balanced(pixels[top:bottom].astype(np.float32) / 255.0, gains)
        luma = strip @ LUMA
        base = upsample(slope, width, height, top, bottom) * luma + upsample(offset, width, height, top, bottom)
        strip *= _lookup(base, tone)[..., None]
        strip = (strip - black) / (white - black)
        strip = _soft_clip(strip)
        strip = _lookup(strip, curve)
        strip = _vibrance(strip, look.vibrance)
        result[top:bottom] = (strip * 255.0 + 0.5).clip(0, 255).astype(np.uint8)
    return result


def _white_balance(image: Floats, warmth: float) -> Floats:
    """Return a gain per channel that brings the cast of mid-tones most of the way to grey."""
    luma = image @ LUMA
    spread = image.max(axis=2) - image.min(axis=2)
    usable = (luma > 0.06) & (luma < 0.92) & (spread < 0.35 * (luma + 0.15))
    chosen = image[usable] if usable.sum() > 0.05 * luma.size else image.reshape(-1, 3)
    norm = np.power(np.mean(np.power(chosen, 4.0), axis=0), 0.25) + 1e-4
    gains = np.clip(np.power(norm.mean() / norm, 0.8), 0.75, 1.4)
    gains *= np.array([1.0 + warmth, 1.0, 1.0 - warmth])
    gains /= float(gains @ LUMA)
    return np.asarray(gains, np.float32)


def _balanced(image: Floats, gains: Floats) -> Floats:
    """Apply the gains. Pixels that the camera clipped to white stay white."""
    clipped = np.clip((image.min(axis=2, keepdims=True) - 0.85) / 0.13, 0.0, 1.0)
    return np.asarray(np.minimum(image * (gains + (1.0 - gains) * clipped), 1.0), np.float32)


def _guided_filter(guide: Floats, radius: int, epsilon: float) -> tuple[Floats, Floats]:
    """Return the linear model (slope, offset) that smooths the guide and keeps its edges."""
    box = (2 * radius + 1, 2 * radius + 1)
    mean = cv2.blur(guide, box)
    variance = cv2.blur(guide * guide, box) - mean * mean
    slope = variance / (variance + epsilon)
    offset = mean - slope * mean
    return cv2.blur(slope, box).astype(np.float32), cv2.blur(offset, box).astype(np.float32)


def _tone_curve(base: Floats) -> Floats:
    """Return the table of gains, by brightness of the base, that lifts shadows and keeps windows."""
    median = float(np.clip(np.median(base), 0.02, 0.98))
    power = float(np.clip(np.log(TARGET_MEDIAN) / np.log(median), 0.42, 1.0))
    levels = np.linspace(0.0, 1.0, TABLE_SIZE, dtype=np.float32)
    floor = np.maximum(levels, 0.015)
    gain = np.minimum(np.power(floor, power - 1.0), MAX_GAIN)
    highlight = np.clip((levels - 0.72) / 0.28, 0.0, 1.0)
    gain *= 1.0 - 0.06 * highlight * highlight * (3.0 - 2.0 * highlight)
    return np.asarray(gain, np.float32)


def _end_points(image: Floats, base: Floats, tone: Floats) -> tuple[float, float]:
    lifted = (image @ LUMA) * _lookup(base, tone)
    low, high = np.percentile(lifted, (0.4, 99.2))
    return float(min(low, 0.1)) * 0.85, float(np.clip(high, 0.8, 1.0))


def _s_curve(strength: float) -> Floats:
    levels = np.linspace(0.0, 1.0, TABLE_SIZE, dtype=np.float32)
    curved = levels * levels * (3.0 - 2.0 * levels)
    return np.asarray(levels + strength * (curved - levels), np.float32)


def _lookup(values: Floats, table: Floats) -> Floats:
    """Read a function of 0..1 from its table."""
    last = len(table) - 1
    return np.asarray(np.take(table, (values * last).clip(0, last).astype(np.int16)), np.float32)


def _soft_clip(values: npt.NDArray[np.floating[Any]]) -> Floats:
    """Roll off values above 0.9 instead of cutting them, so that windows keep their detail."""
    over = np.maximum(values - 0.9, 0.0)
    return np.asarray(np.clip(np.minimum(values, 0.9) + 0.1 * (1.0 - np.exp(-over / 0.1)), 0.0, 1.0), np.float32)


def _vibrance(values: Floats, amount: float) -> Floats:
    """Deepen dull colours, and remove the remaining tint from walls and ceilings."""
    luma = (values @ LUMA)[..., None]
    spread = (values.max(axis=2) - values.min(axis=2))[..., None]
    levels = np.linspace(0.0, 1.0, TABLE_SIZE)
    factor = 1.0 + np.interp(levels, (0.0, 0.06, 0.2, 0.5, 1.0), (-0.5, -0.3, amount, amount, 0.0))
    return np.asarray(luma + (values - luma) * _lookup(spread, factor.astype(np.float32)), np.float32)


def upsample(coarse: Floats, width: int, height: int, top: int, bottom: int) -> Floats:
    """Enlarge rows ``top`` to ``bottom`` of a coarse map bilinearly."""
    rows = (np.arange(top, bottom, dtype=np.float32) + 0.5) * coarse.shape[0] / height - 0.5
    columns = (np.arange(width, dtype=np.float32) + 0.5) * coarse.shape[1] / width - 0.5
    map_x = np.broadcast_to(columns, (bottom - top, width))
    map_y = np.broadcast_to(rows[:, None], (bottom - top, width))
    enlarged = cv2.remap(
        coarse,
        np.ascontiguousarray(map_x),
        np.ascontiguousarray(map_y),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(enlarged, np.float32)
