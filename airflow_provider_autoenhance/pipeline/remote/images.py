"""The remote orders read back: they remember what was made, whatever died in between."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Bracket, Image, ImageStatus, Order
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.remote.create import check_whole

log = logging.getLogger(__name__)

#: Seconds between looks for an order whose id is taken, before it counts as deleted.
LOST_ORDER_POLLS = (0.0, 2.0, 5.0)

#: Key of an image's metadata that says which photo, in which settings, it was made from.
FINGERPRINT_KEY = "fingerprint"

_PROGRESS = {ImageStatus.PROCESSED: 0, ImageStatus.PROCESSING: 1, ImageStatus.WAITING: 2}


def metadata_of(photo: Photo) -> dict[str, object]:
    """What an image is created with, so that any run can tell what it is."""
    return {"source": photo.source, "etag": photo.etag, "size": photo.size, FINGERPRINT_KEY: photo.fingerprint}


def mark(made: Image | Bracket, key: str) -> str | None:
    """Read one of our marks in the metadata of an image or bracket; somebody else's may hold anything under the same key."""
    value = made.metadata.get(key)
    return value if isinstance(value, str) else None


def read_order(hook: AutoenhanceHook, order_id: str) -> Order | None:
    """Read an order; ``None`` where it does not exist: its run died before the first image, or somebody has deleted it.

    :raises AutoenhanceError: when it cannot be read, or not whole: "unknown" is not "absent".
    """
    try:
        order = hook.get_order(order_id)
    except errors.NotFoundError:
        return None
    check_whole(order)
    return None if order.is_deleted else order


def make_order(hook: AutoenhanceHook, order_id: str, name: str) -> bool:
    """Make an order that the plan has not found.

    :returns: ``False`` where its id is taken and nobody can read it: somebody has deleted it. Images then need another.
    :raises ServerError: it is there after all, with images; the plan stands on a wrong answer.
    """
    try:
        hook.create_order(order_id=order_id, name=name)
    except errors.ConflictError:
        for pause in LOST_ORDER_POLLS:
            time.sleep(pause)  # an order of a try that has just died may lag; it must not be passed over
            order = read_order(hook, order_id)
            if order is None:
                continue
            if order.images:
                raise errors.ServerError(f"order {order_id} could not be found a moment ago; try again.") from None
            return True
        log.warning("Order %s was deleted in Autoenhance; its photos get another", order_id)
        return False
    return True


def images_by_fingerprint(orders: Iterable[Order], photos: Iterable[Photo]) -> Mapping[str, Image]:
    """Match images to photos by metadata, or by their unique name where an API version returns none. The furthest along wins.

    Names come back cleaned, as all text of an answer does.
    """
    by_name: dict[str, str | None] = {}
    for photo in photos:
        name = clean_text(photo.image_name)
        by_name[name] = None if name in by_name else photo.fingerprint  # a name of two photos says nothing
    found: dict[str, Image] = {}
    for order in orders:
        for image in order.images:
            fingerprint = mark(image, FINGERPRINT_KEY) or by_name.get(image.image_name)
            if fingerprint is None:
                continue
            other = found.get(fingerprint)
            if other is None or rank(image) < rank(other):
                found[fingerprint] = image
    return found


def rank(image: Image) -> tuple[bool, int, int, str]:
    """Order images of one photo: the one to go on with first."""
    return not image.downloaded, _PROGRESS.get(image.status, 3), image.date_added, image.image_id
