"""Which photos of a batch get a premium edit."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from airflow_provider_autoenhance.api.shown import quoted
from airflow_provider_autoenhance.pipeline.photo import Photo


class Picks:
    """The photos that somebody has picked, and which of the picks have matched nothing so far.

    :param picked: paths, names or URIs of photos, patterns of these, as ``include`` takes them, or ids of images.
    """

    def __init__(self, picked: Sequence[str]) -> None:
        self._picked = tuple(picked)
        self._unused = dict.fromkeys(self._picked)

    def takes(self, photo: Photo, image_id: str | None) -> bool:
        """Whether a photo is picked. One whose exposures Autoenhance has yet to group is not there yet.

        :param image_id: of its image, where it has one.
        """
        if photo.ungrouped:
            return False
        name = photo.path.rpartition("/")[2]
        found = [
            pick
            for pick in self._picked
            if pick in (photo.path, name, photo.source, image_id)
            or fnmatchcase((photo.path if "/" in pick else name).lower(), pick.lower())
        ]
        for pick in found:
            self._unused.pop(pick, None)
        return bool(found)

    def warnings(self) -> list[str]:
        """Name the picks that match nothing, as misspelled ones do."""
        return [f"dusk matches no photo with {quoted(pick)}; check its spelling." for pick in self._unused]
