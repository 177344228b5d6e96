"""Which photos of a batch get a premium edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.shown import quoted
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.storage.location import locate


class Picks:
    """The photos that somebody has picked, and which of the picks have matched nothing so far.

    :param picked: paths, names or URIs of photos, in any spelling, patterns of these, as ``include`` takes them, or ids of images.
    """

    def __init__(self, picked: Sequence[str]) -> None:
        self._picked = {pick: _as_shown(pick) for pick in picked}
        self._unused = dict.fromkeys(self._picked)

    def takes(self, photo: Photo, image_id: str | None) -> bool:
        """Whether a photo is picked. One whose exposures Autoenhance has yet to group is not there yet; it will have the name of one.

        :param image_id: of its image, where it has one.
        """
        shots = photo.exposures if photo.ungrouped else (photo,)
        found = [pick for pick in self._picked if pick == image_id or any(map(self._matcher(pick), shots))]
        for pick in found:
            self._unused.pop(pick, None)
        return bool(found) and not photo.ungrouped

    def warnings(self) -> list[str]:
        """Name the picks that match nothing, as misspelled ones do."""
        return [f"dusk matches no photo with {quoted(pick)}; check its spelling." for pick in self._unused]

    def _matcher(self, pick: str) -> Callable[[Photo], bool]:
        shown = self._picked[pick]
        pattern = shown.lower()

        def matches(photo: Photo) -> bool:
            names = [photo.path, photo.source] if "/" in shown else [photo.path.rpartition("/")[2]]
            return any(shown == name or fnmatchcase(name.lower(), pattern) for name in names)

        return matches


def _as_shown(pick: str) -> str:
    """A URI as a photo's is spelled; anything else as it is."""
    if "://" in pick or pick.startswith("/"):
        with suppress(SettingsError):  # it may still be a pattern
            return locate(pick, conn_id=None, error=SettingsError).uri
    return pick
