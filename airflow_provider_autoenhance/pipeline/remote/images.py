"""Orders and their images: made once, read back, and one chosen where there are several of a photo."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus, Order
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.remote.identity import (
    FINGERPRINT_KEY,
    is_chosen_for_another,
    is_marked,
    mark,
)

log = logging.getLogger(__name__)

#: Seconds between looks for an order whose id is taken, before it counts as deleted.
LOST_ORDER_POLLS = (0.0, 2.0, 5.0)

#: States of an image that has its bytes, and that can be gone on with.
WITH_BYTES = (ImageStatus.PROCESSING, ImageStatus.PROCESSED)

_PROGRESS = {ImageStatus.PROCESSED: 0, ImageStatus.PROCESSING: 1, ImageStatus.WAITING: 2}


def rank(image: Image) -> tuple[bool, int, int, str]:
    """Order the images of one photo: paid first, then furthest along, then oldest. The first is gone on with."""
    return not image.downloaded, _PROGRESS.get(image.status, 3), image.date_added, image.image_id


def images_by_fingerprint(orders: Iterable[Order], photos: Iterable[Photo]) -> Mapping[str, Image]:
    """Match images to a batch's photos: by fingerprint; where an image has none of our marks, by name.

    The last part of a name, which holds a piece of the fingerprint, is enough: among other sources, a photo may lie in another folder.
    """
    by_name: dict[str, str | None] = {}
    by_last_part: dict[str, str] = {}
    for photo in photos:
        name = clean_text(photo.image_name)
        by_name[name] = None if name in by_name else photo.fingerprint  # a name of two photos says nothing
        if photo.fingerprint[:8] in (last_part := name.rpartition("/")[2]):
            by_last_part[last_part] = photo.fingerprint
    found: dict[str, Image] = {}
    there = ((image, order.order_id) for order in orders for image in order.originals)
    for image, order_id in sorted(there, key=lambda each: rank(each[0])):
        name = image.image_name
        named = by_name.get(name) or by_last_part.get(name.rpartition("/")[2])
        fingerprint = mark(image, FINGERPRINT_KEY) if is_marked(image) else named
        if fingerprint is None or (
            not is_marked(image) and is_chosen_for_another(image, order_id, {FINGERPRINT_KEY: fingerprint})
        ):
            continue
        found.setdefault(fingerprint, image)
    return found


def read_order(hook: AutoenhanceHook, order_id: str, *, whole: bool = True) -> Order | None:
    """Read an order; ``None`` where it does not exist: its run died before the first image, or somebody has deleted it.

    :param whole: refuse an order that lists fewer images than it has.
    :raises AutoenhanceError: when it cannot be read, or not whole: "unknown" is not "absent".
    """
    try:
        order = hook.get_order(order_id)
    except errors.NotFoundError:
        return None
    if whole:
        check_whole(order)
    return None if order.is_deleted else order


def find_image(hook: AutoenhanceHook, image_id: str) -> Image | None:
    """Read an image; ``None`` where it is gone."""
    try:
        return hook.get_image(image_id)
    except errors.NotFoundError:
        return None


def check_whole(order: Order) -> None:
    """Refuse to conclude from an order that lists fewer images than it has.

    :raises AutoenhanceError: naming the order.
    """
    if (order.total_images or 0) > len(order.images):
        raise errors.AutoenhanceError(
            f"order {order.order_id} lists {len(order.images)} of its {order.total_images} images, so nobody can say whether this one "
            "exists already; give smaller groups of photos an order_id of their own."
        )


def ensure_order(hook: AutoenhanceHook, order_id: str, name: str | None) -> Order:
    """Make an order, or adopt the one of its id.

    :raises ConflictError: the id is taken, and nobody can read the order.
    """
    try:
        return hook.create_order(order_id=order_id, name=name)
    except errors.ConflictError as conflict:
        for pause in LOST_ORDER_POLLS:
            time.sleep(pause)  # an order of a try that has just died may lag; it must not be passed over
            if order := read_order(hook, order_id, whole=False):
                return order
        raise errors.ConflictError(
            f"order {order_id}: the id is taken, but there is no such order in this account; it was deleted, or is another's. "
            "Choose another order_id, or another name.",
            status_code=conflict.status_code,
        ) from None


def make_order(hook: AutoenhanceHook, order_id: str, name: str) -> bool:
    """Make an order that a plan has not found.

    :returns: ``False`` where it was deleted. Images then need another.
    :raises ServerError: it is there after all, with images; the plan stands on a wrong answer.
    """
    try:
        order = ensure_order(hook, order_id, name)
    except errors.ConflictError:
        log.warning("Order %s was deleted in Autoenhance; its photos get another", order_id)
        return False
    if order.images:
        raise errors.ServerError(f"order {order_id} could not be found a moment ago; try again.")
    return True
