"""What an order shows of the photos that are waited for: whose image is enhanced, whose is not yet, and whose is gone."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus, Order
from airflow_provider_autoenhance.api.waiting import is_idle
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.batch.in_flight import Awaited, InFlight
from airflow_provider_autoenhance.pipeline.plan.decide import GONE, REFUSED, restyled
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder
from airflow_provider_autoenhance.pipeline.remote.identity import FINGERPRINT_KEY, mark
from airflow_provider_autoenhance.pipeline.remote.style import seen_settings

log = logging.getLogger(__name__)

#: Looks in a row that have to agree before an order counts as empty. One proves nothing: right after a creation an order may lag.
_LOOKS = 2


@dataclass
class Look:
    """What one look at an order showed.

    :param enhanced: photos that can be downloaded.
    :param restyled: photos whose image somebody has had enhanced with other settings: what each needs.
    :param ended: photos that will not be enhanced, each with the reason.
    :param other: how many are enhanced, with other settings than asked for.
    :param goes_on: whether another look at this order may show more.
    """

    order: Order
    enhanced: list[Awaited] = field(default_factory=list)
    restyled: list[Awaited] = field(default_factory=list)
    ended: list[tuple[Awaited, str | None]] = field(default_factory=list)
    other: int = 0
    goes_on: bool = False


def unpaid_marks(order: Order) -> dict[str, str]:
    """The images of an order that nobody has bought and that bear our mark: their ids, each with the fingerprint of its photo."""
    marks = ((image.image_id, mark(image, FINGERPRINT_KEY)) for image in order.originals if not image.downloaded)
    return {image_id: fingerprint for image_id, fingerprint in marks if fingerprint}


class Watcher:
    """Looks at orders again and again, and remembers from one look to the next what a single one cannot prove.

    :param in_flight: what is waited for. A look takes out what has ended.
    """

    def __init__(self, hook: AutoenhanceHook, in_flight: InFlight) -> None:
        self._hook = hook
        self._in_flight = in_flight
        self._empty: Counter[str] = Counter()
        #: Of each order that was looked at, without what is waited for: see :func:`unpaid_marks`. The order itself may be big.
        self.unpaid: dict[str, dict[str, str]] = {}

    def look(self, order_id: str) -> Look:
        """Read an order, and beyond it what it does not list of the photos that are waited for.

        An image that its order does not list is asked for by its id: a list may lag or be cut short, and only an answer of 404 says
        that the image is gone.

        :raises AutoenhanceError: it cannot be read; nothing is concluded from that.
        """
        look = Look(self.read(order_id))
        order, waiting = look.order, self._in_flight.of(order_id)
        is_empty = not order.images and (order.is_deleted or is_idle(order))
        self._empty[order_id] = self._empty[order_id] + 1 if is_empty else 0
        brackets = self._brackets(order, waiting)
        listed = {image.image_id: image for image in order.images}
        for awaited, image, gone in [(each, *self._find(each, order, listed, brackets)) for each in waiting]:
            self._sort(look, awaited, image, gone)
        left = self._in_flight.of(order_id)
        ungrouped = sum(each.decision.photo.ungrouped for each in left) if order.finished else 0
        look.goes_on = len(left) > ungrouped + look.other
        return look

    def expected(self, order: Order) -> int | None:
        """How many final images an order will list when it is finished; ``None``: Autoenhance decides.

        Only what it lists counts, and what is yet to be merged: fewer then mean that an image is gone.
        """
        waiting = self._in_flight.of(order.order_id)
        if any(each.decision.photo.ungrouped for each in waiting):
            return None
        listed = {image.image_id: image.status.final for image in order.images}
        known = sum(listed.get(each.decision.image_id or "") is False for each in waiting)
        to_come = sum(each.decision.image_id is None for each in waiting) if order.is_merging or not listed else 0
        return known + to_come + sum(listed.values())

    def _find(
        self, awaited: Awaited, order: Order, listed: Mapping[str, Image], brackets: BracketOrder
    ) -> tuple[Image | None, bool]:
        """The image of a photo, if it has one; and whether it was there, or was to come, and is gone."""
        photo, image_id = awaited.decision.photo, awaited.decision.image_id
        image = listed.get(image_id or "")
        if image_id is None and not photo.ungrouped:
            image, image_id = brackets.image_of(photo), brackets.made_of(photo)
        gone = False
        if image is None and image_id and not order.is_deleted:
            image = self._ask_for(image_id)
            gone = image is None
        return image, gone or (image is None and self._empty[order.order_id] >= _LOOKS)

    def _sort(self, look: Look, awaited: Awaited, image: Image | None, gone: bool) -> None:
        """Sort a photo into what is enhanced, what has ended, and what is waited for still."""
        if image is None:
            if gone or (look.order.finished and not awaited.decision.photo.ungrouped):
                self._in_flight.remove(awaited)
                look.ended.append((awaited, GONE if gone else REFUSED))
            return
        # Of a merged photo, this look may be the first that shows its image.
        known, settings = awaited.decision, seen_settings(image)
        style = known.style if known.other or known.seen is not None else known.style.taught(settings)
        decision = replace(known, image_id=image.image_id, paid=image.downloaded, style=style, seen=settings)
        seen = replace(awaited, decision=decision)
        self._in_flight.add(seen)
        if known.other and image.status is ImageStatus.PROCESSED:
            look.other += 1  # it is not as asked, and stays in flight until the plan is made again
        elif image.status.final:
            self._in_flight.remove(seen)
            if image.status is ImageStatus.PROCESSED:
                again = restyled(decision, image)
                if again:
                    look.restyled.append(replace(seen, decision=again))
                else:
                    look.enhanced.append(seen)
            else:
                look.ended.append((seen, image.status_reason))

    def images_of(self, awaited: Sequence[Awaited]) -> Iterator[tuple[Awaited, Image]]:
        """Read photos' images, one order after the other, which may be big; without those that cannot be read."""
        by_order: dict[str, list[Awaited]] = defaultdict(list)
        for each in awaited:
            by_order[each.order_id].append(each)
        for order_id, photos in by_order.items():
            try:
                images = {image.image_id: image for image in self.read(order_id).images}
            except errors.AutoenhanceError as error:
                log.warning("Whether what has landed is still as asked could not be seen: %s", error)
                continue
            found = ((each, images.get(each.decision.image_id or "")) for each in photos)
            yield from ((each, image) for each, image in found if image is not None)

    def read(self, order_id: str) -> Order:
        """Read an order; one that is gone is deleted."""
        try:
            order = self._hook.get_order(order_id)
        except errors.NotFoundError:
            order = Order(order_id, None, "", is_merging=False, is_processing=False, is_deleted=True, images=())
        order = replace(order, images=()) if order.is_deleted else order
        waiting = {each.decision.image_id for each in self._in_flight.of(order_id)}
        marks = unpaid_marks(order).items()
        self.unpaid[order_id] = {image_id: made_for for image_id, made_for in marks if image_id not in waiting}
        return order

    def _brackets(self, order: Order, waiting: Sequence[Awaited]) -> BracketOrder:
        """The order with its brackets, where these may show which image was merged from which exposures."""
        nameless = any(each.decision.image_id is None and not each.decision.photo.ungrouped for each in waiting)
        if not nameless or order.is_deleted or not (order.images or is_idle(order)):
            return BracketOrder(order, ())
        return BracketOrder(order, self._hook.list_brackets(order.order_id))

    def _ask_for(self, image_id: str) -> Image | None:
        try:
            return self._hook.get_image(image_id)
        except errors.NotFoundError:
            return None
