"""Orders of exposures, read back: which photo became which image, what is still being merged, and what nothing came of.

The API calls an exposure a bracket. Here ``Bracket``, ``brackets`` and ``remote`` are exposures as Autoenhance has them, and
:attr:`Photo.exposures <airflow_provider_autoenhance.pipeline.photo.Photo.exposures>` are the files that they were made of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from airflow_provider_autoenhance.api.models import Bracket, Image, Order
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.remote.identity import (
    FINGERPRINT_KEY,
    GROUPED_KEY,
    exposure_mark,
    exposures_by_mark,
    mark,
)
from airflow_provider_autoenhance.pipeline.remote.images import rank


@dataclass(frozen=True)
class BracketOrder:
    """An order with its exposures."""

    order: Order
    brackets: tuple[Bracket, ...]

    @property
    def processed(self) -> bool:
        """Whether the one call that merges was accepted. A second could merge again. Its images may have been deleted since."""
        return self._under_way or bool(self.order.images) or self._names_images

    @property
    def under_way(self) -> bool:
        """Whether images may still come of it."""
        all_gone = self._names_images and not self.order.images and not self._under_way
        return self.processed and not self.order.finished and not all_gone

    @property
    def _under_way(self) -> bool:
        return self.order.is_merging or self.order.is_processing

    @property
    def _names_images(self) -> bool:
        """Whether exposures name the image that they were merged into; old API versions leave that out."""
        return any(remote.image_id for remote in self.brackets)

    @property
    def merged(self) -> bool:
        """Whether an image of the order was merged, as far as it shows. The upload of a plain image is listed as an exposure too."""
        made_of = Counter(remote.image_id for remote in self.brackets)
        alone = {(remote.image_id, remote.name) for remote in self.brackets if made_of[remote.image_id] == 1}
        plain = {
            image.image_id
            for image in self.order.images
            if (image.image_id, image.image_name) in alone and GROUPED_KEY not in image.metadata
        }
        return any(remote.image_id and remote.image_id not in plain for remote in self.brackets)

    def brackets_of(self, photo: Photo) -> list[Bracket]:
        """The exposures registered for a photo."""
        marks = exposures_by_mark(photo.exposures)
        numbers = sorted(number for each in marks for number in self._by_exposure.get(each, ()))
        found = (self.brackets[number] for number in numbers)
        return [each for each in found if mark(each, FINGERPRINT_KEY) in (None, photo.fingerprint)]

    def image_of(self, photo: Photo) -> Image | None:
        """The image merged from just a photo's exposures: named by them, else found by its metadata or name."""
        brackets = self.brackets_of(photo)
        if any(FINGERPRINT_KEY not in remote.metadata for remote in brackets):
            return self._grouped_from(photo)
        ids = {remote.image_id for remote in brackets if remote.image_id}
        by_name = not ids and self._holds(photo)  # another grouping may begin with the same exposure
        names = {exposure.image_name for exposure in photo.exposures} if by_name else set()
        found = [
            image
            for image in self.order.originals
            if image.image_id in ids or mark(image, FINGERPRINT_KEY) == photo.fingerprint or image.image_name in names
        ]
        return min(found, key=rank, default=None)

    def is_merging(self, photo: Photo) -> bool:
        """Whether an image may still come of a photo's exposures."""
        return self.under_way and self._holds(photo) and not self.made_of(photo)

    def made_of(self, photo: Photo) -> str | None:
        """Id of the image that was merged from a photo's exposures, as far as they say; listed still, or gone."""
        ids = {remote.image_id for remote in self.brackets_of(photo) if mark(remote, FINGERPRINT_KEY)}
        return min(filter(None, ids), default=None)

    def refused(self, photo: Photo) -> bool:
        """Whether merging is over and no image came of a photo's exposures, nor of some with others."""
        if not self.order.finished or not self._holds(photo) or self.image_of(photo) or self.made_of(photo):
            return False
        grouped = {each.bracket_id for each in chain(*self._by_image.values()) if FINGERPRINT_KEY not in each.metadata}
        return all(remote.bracket_id not in grouped for remote in self.brackets_of(photo))

    def grouped(self, exposures: Mapping[str, Photo]) -> Iterator[list[Photo]]:
        """Yield the exposures of each image that Autoenhance grouped by itself.

        An image with an exposure that is not among them is left out: its source has changed or is gone.

        :param exposures: by fingerprint, in the order that they are to have.
        """
        places = {fingerprint: number for number, fingerprint in enumerate(exposures)}
        marks = exposures_by_mark(exposures.values())
        for brackets in self._by_image.values():
            files = {marks.get(exposure_mark(remote) or "", "") for remote in brackets}
            if files <= exposures.keys():
                yield [exposures[fingerprint] for fingerprint in sorted(files, key=places.__getitem__)]

    def uploaded(self, exposures: Mapping[str, Photo]) -> list[Photo]:
        """The exposures that the order has the bytes of."""
        marks = exposures_by_mark(exposures.values())
        held = {marks.get(exposure_mark(remote) or "") for remote in self.brackets if remote.is_uploaded}
        return [exposure for fingerprint, exposure in exposures.items() if fingerprint in held]

    def _holds(self, photo: Photo) -> bool:
        marks = exposures_by_mark(photo.exposures)
        held = {marks.get(exposure_mark(remote) or "") for remote in self.brackets_of(photo) if remote.is_uploaded}
        return bool(photo.exposures) and all(exposure.fingerprint in held for exposure in photo.exposures)

    def _grouped_from(self, photo: Photo) -> Image | None:
        """The image that Autoenhance by itself merged from all of a photo's exposures and no other."""
        wanted, marks = {exposure.fingerprint for exposure in photo.exposures}, exposures_by_mark(photo.exposures)
        ids = {
            image_id
            for image_id, brackets in self._by_image.items()
            if {marks.get(exposure_mark(remote) or "") for remote in brackets} == wanted
        }
        return min((image for image in self.order.originals if image.image_id in ids), key=rank, default=None)

    @cached_property
    def _by_exposure(self) -> Mapping[str, list[int]]:
        """Places in ``brackets`` by what an exposure is known by."""
        numbers: dict[str, list[int]] = {}
        for number, remote in enumerate(self.brackets):
            if (known_by := exposure_mark(remote)) is not None:
                numbers.setdefault(known_by, []).append(number)
        return numbers

    @cached_property
    def _by_image(self) -> Mapping[str, list[Bracket]]:
        """Exposures by image. Where they do not name it, an image has its first exposure's name, and the next ones follow."""
        names = {image.image_name: image.image_id for image in self.order.originals}
        grouped: dict[str, list[Bracket]] = {}
        current: str | None = None
        for remote in self.brackets:
            current = remote.image_id if self._names_images else names.get(remote.name, current)
            if current is not None:
                grouped.setdefault(current, []).append(remote)
        return grouped


def read_brackets(hook: AutoenhanceHook, order: Order) -> BracketOrder:
    """Read the exposures of an order."""
    return BracketOrder(order, hook.list_brackets(order.order_id))


def merged_images(photos: Iterable[Photo], orders: Sequence[BracketOrder]) -> dict[str, Image]:
    """Match images to merged photos, by fingerprint. The furthest along wins."""
    found: dict[str, Image] = {}
    for photo in photos:
        images = [image for each in orders if photo.exposures and (image := each.image_of(photo))]
        if images:
            found[photo.fingerprint] = min(images, key=rank)
    return found


def orphans(order: BracketOrder, photos: Iterable[Photo]) -> Iterator[dict[str, Any]]:
    """Yield what people have to know about exposures that no image came of, nor will.

    :param photos: photos that wait for an image of this order, or have it.
    """
    used: dict[tuple[str, str], str] = {}
    for photo in photos:
        marks = exposures_by_mark(photo.exposures)
        for remote in order.brackets_of(photo):
            if remote.is_uploaded:
                used.setdefault((photo.fingerprint, marks[exposure_mark(remote) or ""]), remote.bracket_id)
    for remote in order.brackets:
        if remote.image_id or remote.bracket_id in used.values():
            continue
        state = "uploaded" if remote.is_uploaded else "registered but never uploaded"
        yield {
            "source": remote.metadata.get("source") or remote.name,
            "status": "orphaned",
            "order_id": order.order.order_id,
            "bracket_id": remote.bracket_id,
            "reason": f"this exposure was {state} by a try that did not end, and no image is merged from it; it costs nothing",
        }
