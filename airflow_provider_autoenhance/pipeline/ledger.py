"""The remote orders read back: they remember what was made, whatever died in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus, Order
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.creation import check_whole
from airflow_provider_autoenhance.pipeline.job import Photo

#: Key of an image's metadata that says which photo, in which settings, it was made from.
FINGERPRINT_KEY = "fingerprint"

_PROGRESS = {ImageStatus.PROCESSED: 0, ImageStatus.PROCESSING: 1, ImageStatus.WAITING: 2}


def metadata_of(photo: Photo) -> dict[str, object]:
    """What an image is created with, so that any run can tell what it is."""
    return {"source": photo.source, "etag": photo.etag, "size": photo.size, FINGERPRINT_KEY: photo.fingerprint}


def read_order(hook: AutoenhanceHook, order_id: str) -> Order | None:
    """Read an order; ``None`` where it does not exist, because its run died before the first image.

    :raises AutoenhanceError: when it cannot be read, or not whole: "unknown" is not "absent".
    """
    try:
        order = hook.get_order(order_id)
    except errors.NotFoundError:
        return None
    check_whole(order)
    return order


def images_by_fingerprint(orders: Iterable[Order], photos: Iterable[Photo]) -> Mapping[str, Image]:
    """Match images to photos by metadata, or by their unique name where an API version returns none. The furthest along wins.

    Names come back cleaned, as all text of an answer does.
    """
    by_name = {clean_text(photo.image_name): photo.fingerprint for photo in photos}
    found: dict[str, Image] = {}
    for order in orders:
        for image in order.images:
            fingerprint = image.metadata.get(FINGERPRINT_KEY) or by_name.get(image.image_name)
            if not isinstance(fingerprint, str):
                continue
            other = found.get(fingerprint)
            if other is None or rank(image) < rank(other):
                found[fingerprint] = image
    return found


def rank(image: Image) -> tuple[bool, int, int, str]:
    """Order images of one photo: the one to go on with first."""
    return not image.downloaded, _PROGRESS.get(image.status, 3), image.date_added, image.image_id
