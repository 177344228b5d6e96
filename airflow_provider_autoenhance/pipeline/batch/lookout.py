"""What an order shows of the photos that are waited for: whose image is there, and whose is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, Order
from airflow_provider_autoenhance.api.waiting import is_idle
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.batch.in_flight import Awaited
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder

#: Looks in a row that have to agree before an order counts as empty. One proves nothing: right after a creation an order may lag.
_LOOKS = 2


@dataclass(frozen=True)
class Sight:
    """One look at an order.

    :param images: the image of each photo, by fingerprint, where it has one.
    :param gone: fingerprints of the photos whose image was there, or was to come, and is not there any more.
    """

    order: Order
    images: Mapping[str, Image]
    gone: frozenset[str]


class Lookout:
    """Looks at orders again and again, and remembers from one look to the next what a single one cannot prove."""

    def __init__(self, hook: AutoenhanceHook) -> None:
        self._hook = hook
        self._empty: Counter[str] = Counter()

    def look(self, order_id: str, awaited: Sequence[Awaited]) -> Sight:
        """Read an order, and beyond it what it does not list of the photos that are waited for.

        An image that its order does not list is asked for by its id: a list may lag or be cut short, and only an answer of 404 says
        that the image is gone.

        :raises AutoenhanceError: it cannot be read; nothing is concluded from that.
        """
        order = self._read(order_id)
        is_empty = not order.images and (order.is_deleted or is_idle(order))
        self._empty[order_id] = self._empty[order_id] + 1 if is_empty else 0
        all_gone = self._empty[order_id] >= _LOOKS
        brackets = self._brackets(order, awaited)
        listed = {image.image_id: image for image in order.images}
        images: dict[str, Image] = {}
        gone: set[str] = set()
        for each in awaited:
            photo, image_id = each.decision.photo, each.decision.image_id
            image = listed.get(image_id or "")
            if image_id is None and not photo.ungrouped:
                image, image_id = brackets.image_of(photo), brackets.made_of(photo)
            if image is None and image_id and not order.is_deleted:
                image = self._ask_for(image_id)
                if image is None:
                    gone.add(photo.fingerprint)
            if image is not None:
                images[photo.fingerprint] = image
            elif all_gone:
                gone.add(photo.fingerprint)
        return Sight(order, images, frozenset(gone))

    def _read(self, order_id: str) -> Order:
        try:
            order = self._hook.get_order(order_id)
        except errors.NotFoundError:
            return Order(order_id, None, "", is_merging=False, is_processing=False, is_deleted=True, images=())
        return replace(order, images=()) if order.is_deleted else order

    def _brackets(self, order: Order, awaited: Sequence[Awaited]) -> BracketOrder:
        """The order with its brackets, where these may tell which image was merged from which exposures."""
        nameless = any(each.decision.image_id is None and not each.decision.photo.ungrouped for each in awaited)
        if not nameless or order.is_deleted or not (order.images or is_idle(order)):
            return BracketOrder(order, ())
        return BracketOrder(order, self._hook.list_brackets(order.order_id))

    def _ask_for(self, image_id: str) -> Image | None:
        try:
            return self._hook.get_image(image_id)
        except errors.NotFoundError:
            return None
