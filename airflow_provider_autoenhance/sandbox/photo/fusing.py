"""Fusing: the exposures of a bracket become one picture, by exposure fusion (Mertens, Kautz and Van Reeth 2007).

Exposures are aligned by median threshold bitmaps (Ward 2003) and blended one after the other, so that memory does not
grow with their number beyond the 8-bit pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from airflow_provider_autoenhance.sandbox.photo.decoding import PixelError, Pixels

Floats = npt.NDArray[np.float32]

MIN_LEVEL_SIDE = 8
MAX_SHIFT_BITS = 6
MIN_BITMAP_SIDE = 16
_MEAN = np.full((1, 3), 1 / 3, np.float32)


def fuse(exposures: Sequence[Pixels]) -> Pixels:
    """Merge exposures of one scene.

    :param exposures: upright RGB images of the same size.
    :raises PixelError: when sizes differ.
    """
    if len({exposure.shape for exposure in exposures}) != 1:
        raise PixelError("The brackets of the image differ in size.")
    if len(exposures) == 1:
        return exposures[0]
    aligned = _align(exposures)
    height, width = aligned[0].shape[:2]
    total = np.full((height, width), 1e-12, np.float32)
    for exposure in aligned:
        total += _weight(exposure)
    levels = max(1, int(np.log2(min(height, width) / MIN_LEVEL_SIDE)))
    blended: list[Floats] = []
    for exposure in aligned:
        detail = _laplacian(exposure.astype(np.float32) / 255.0, levels)
        weight = _weight(exposure) / total
        for level, layer in enumerate(detail):
            weighted = layer * weight[..., None]
            if level == len(blended):
                blended.append(weighted)
            else:
                blended[level] += weighted
            if level < levels:
                weight = cv2.pyrDown(weight).astype(np.float32)
    return _collapse(blended)


def _align(exposures: Sequence[Pixels]) -> list[Pixels]:
    """Shift every exposure onto the middle one. Pictures too small for a bitmap pyramid stay where they are."""
    bits = min(MAX_SHIFT_BITS, int(np.log2(max(1.0, min(exposures[0].shape[:2]) / MIN_BITMAP_SIDE))))
    if bits < 1:
        return list(exposures)
    grays = [cv2.cvtColor(exposure, cv2.COLOR_RGB2GRAY) for exposure in exposures]
    reference = int(np.argsort([gray.mean() for gray in grays])[len(grays) // 2])
    aligner = cv2.createAlignMTB(bits)
    aligned = []
    for exposure, gray in zip(exposures, grays, strict=True):
        x, y = aligner.calculateShift(grays[reference], gray)
        matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
        size = (exposure.shape[1], exposure.shape[0])
        shifted = (
            exposure if (x, y) == (0, 0) else cv2.warpAffine(exposure, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        )
        aligned.append(np.asarray(shifted, np.uint8))
    return aligned


def _weight(exposure: Pixels) -> Floats:
    """Rate each pixel by contrast, saturation and good exposure."""
    image = exposure.astype(np.float32) / 255.0
    contrast = np.abs(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F)) + 0.02
    image -= 0.5
    mean = cv2.transform(image, _MEAN)
    square = cv2.transform(cv2.multiply(image, image), _MEAN)
    saturation = np.sqrt(np.maximum(square - mean * mean, 0.0)) + 0.05
    exposedness = cv2.exp(square * (-1.5 / 0.2**2))
    return np.asarray(contrast * saturation * exposedness, np.float32)


def _laplacian(image: Floats, levels: int) -> list[Floats]:
    pyramid = []
    for _ in range(levels):
        smaller = cv2.pyrDown(image).astype(np.float32)
        pyramid.append(image - _enlarge(smaller, image))
        image = smaller
    pyramid.append(image)
    return pyramid


def _collapse(pyramid: list[Floats]) -> Pixels:
    image = pyramid.pop()
    while pyramid:
        layer = pyramid.pop()
        image = _enlarge(image, layer)
        image += layer
    return np.asarray((image * 255.0 + 0.5).clip(0, 255), np.uint8)


def _enlarge(image: Floats, like: Floats) -> Floats:
    return np.asarray(cv2.pyrUp(image, dstsize=(like.shape[1], like.shape[0])), np.float32)
