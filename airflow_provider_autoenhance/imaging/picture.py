"""A decoded picture, as it passes through the steps of a conversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_autoenhance.imaging.metadata import Tags

if TYPE_CHECKING:
    from PIL import Image


@dataclass
class Picture:
    """A decoded picture.

    :param image: mode RGB, RGBA or CMYK.
    :param profile: ICC profile of the pixels, where the file had one that fits.
    :param dpi: as the file says.
    :param notes: what of the file could not be taken over.
    """

    image: Image.Image
    profile: bytes | None
    tags: Tags
    dpi: int | None
    notes: list[str]
