"""Orders of brackets read back: which photo became which image, what is still being merged, and what nothing came of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from airflow_provider_autoenhance.api.models import Bracket, Image, Order
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.remote.identity import EXPOSURE_KEY, FINGERPRINT_KEY, mark
from airflow_provider_autoenhance.pipeline.remote.images import rank


@dataclass(frozen=True)
class BracketOrder:
    """An order with its brackets."""

    order: Order
    brackets: tuple[Bracket, ...]

    @property
    def processed(self) -> bool:
        """Whether the one call that merges was accepted. A second could merge anew. Images that came of it may be gone since."""
        return self._under_way or bool(self.order.images) or self._told

    @property
    def under_way(self) -> bool:
        """Whether images may still come of it."""
        all_gone = self._told and not self.order.images and not self._under_way
        return self.processed and not self.order.finished and not all_gone

    @property
    def _under_way(self) -> bool:
        return self.order.is_merging or self.order.is_processing

    @property
    def _told(self) -> bool:
        return any(bracket.image_id for bracket in self.brackets)

    def brackets_of(self, photo: Photo) -> list[Bracket]:
        """The brackets registered for a photo."""
        exposures = {exposure.fingerprint for exposure in photo.exposures}
        numbers = sorted(number for fingerprint in exposures for number in self._by_exposure.get(fingerprint, ()))
        found = (self.brackets[number] for number in numbers)
        return [each for each in found if mark(each, FINGERPRINT_KEY) in (None, photo.fingerprint)]

    def image_of(self, photo: Photo) -> Image | None:
        """The image merged from just a photo's exposures: told by its brackets, else by its metadata or name."""
        brackets = self.brackets_of(photo)
        if any(FINGERPRINT_KEY not in bracket.metadata for bracket in brackets):
            return self._grouped_from(photo)
        ids = {bracket.image_id for bracket in brackets if bracket.image_id}
        by_name = not ids and self._holds(photo)  # another grouping may begin with the same exposure
        names = {exposure.image_name for exposure in photo.exposures} if by_name else set()
        found = [
            image
            for image in self.order.images
            if image.image_id in ids or mark(image, FINGERPRINT_KEY) == photo.fingerprint or image.image_name in names
        ]
        return min(found, key=rank, default=None)

    def is_merging(self, photo: Photo) -> bool:
        """Whether an image may still come of a photo's exposures."""
        return self.under_way and self._holds(photo) and not self.made_of(photo)

    def made_of(self, photo: Photo) -> str | None:
        """Id of the image that was merged from a photo's exposures, as far as they say; listed still, or gone."""
        ids = {bracket.image_id for bracket in self.brackets_of(photo) if mark(bracket, FINGERPRINT_KEY)}
        return min(filter(None, ids), default=None)

    def refused(self, photo: Photo) -> bool:
        """Whether merging is over and no image came of a photo's exposures, nor of some with others."""
        if not self.order.finished or not self._holds(photo) or self.image_of(photo) or self.made_of(photo):
            return False
        grouped = {each.bracket_id for each in chain(*self._by_image.values()) if FINGERPRINT_KEY not in each.metadata}
        return all(bracket.bracket_id not in grouped for bracket in self.brackets_of(photo))

    def grouped(self, exposures: Mapping[str, Photo]) -> Iterator[list[Photo]]:
        """Yield the exposures of each image that Autoenhance grouped by itself.

        An image with an exposure that is not among them is left out: its source has changed or is gone.

        :param exposures: by fingerprint, in the order that they are to have.
        """
        places = {fingerprint: number for number, fingerprint in enumerate(exposures)}
        for brackets in self._by_image.values():
            files = {mark(bracket, EXPOSURE_KEY) or "" for bracket in brackets}
            if files <= exposures.keys():
                yield [exposures[fingerprint] for fingerprint in sorted(files, key=places.__getitem__)]

    def uploaded(self, exposures: Mapping[str, Photo]) -> list[Photo]:
        """The exposures that the order has the bytes of."""
        held = {mark(bracket, EXPOSURE_KEY) for bracket in self.brackets if bracket.is_uploaded}
        return [exposure for fingerprint, exposure in exposures.items() if fingerprint in held]

    def _holds(self, photo: Photo) -> bool:
        held = {mark(bracket, EXPOSURE_KEY) for bracket in self.brackets_of(photo) if bracket.is_uploaded}
        return bool(photo.exposures) and all(exposure.fingerprint in held for exposure in photo.exposures)

    def _grouped_from(self, photo: Photo) -> Image | None:
        """The image that Autoenhance by itself merged from all of a photo's exposures and no other."""
        wanted = {exposure.fingerprint for exposure in photo.exposures}
        ids = {
            image_id
            for image_id, brackets in self._by_image.items()
            if {mark(bracket, EXPOSURE_KEY) for bracket in brackets} == wanted
        }
        return min((image for image in self.order.images if image.image_id in ids), key=rank, default=None)

    @cached_property
    def _by_exposure(self) -> Mapping[str, list[int]]:
        """Places of brackets by the exposure that they hold, as far as their metadata tell it."""
        numbers: dict[str, list[int]] = {}
        for number, bracket in enumerate(self.brackets):
            if isinstance(fingerprint := bracket.metadata.get(EXPOSURE_KEY), str):
                numbers.setdefault(fingerprint, []).append(number)
        return numbers

    @cached_property
    def _by_image(self) -> Mapping[str, list[Bracket]]:
        """Uploaded brackets by image. Where they do not tell, an image bears its first bracket's name, and the next ones follow."""
        names = {image.image_name: image.image_id for image in self.order.images}
        grouped: dict[str, list[Bracket]] = {}
        current: str | None = None
        for bracket in self.brackets:
            current = bracket.image_id if self._told else names.get(bracket.name, current)
            if current is not None:
                grouped.setdefault(current, []).append(bracket)
        return grouped


def read_brackets(hook: AutoenhanceHook, order: Order) -> BracketOrder:
    """Read the brackets of an order."""
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
    """Yield what to tell people about brackets that no image came of, nor will.

    :param photos: photos that wait for an image of this order, or have it.
    """
    used: dict[tuple[str, str], str] = {}
    for photo in photos:
        for bracket in order.brackets_of(photo):
            if bracket.is_uploaded:
                used.setdefault((photo.fingerprint, mark(bracket, EXPOSURE_KEY) or ""), bracket.bracket_id)
    for bracket in order.brackets:
        if bracket.image_id or bracket.bracket_id in used.values():
            continue
        state = "uploaded" if bracket.is_uploaded else "registered but never uploaded"
        yield {
            "source": bracket.metadata.get("source") or bracket.name,
            "status": "orphaned",
            "order_id": order.order.order_id,
            "bracket_id": bracket.bracket_id,
            "reason": f"this exposure was {state} by a try that did not end, and no image is merged from it; it costs nothing",
        }
