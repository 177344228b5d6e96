"""Make an image, unless it is there already: the order is read before anything is created."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus, Order
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.api.settings import WireSettings
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.remote.identity import IDENTITY_KEY
from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket


@dataclass(frozen=True)
class Creation:
    """An image that exists. ``ticket`` says where its bytes go; without ``upload_url`` they are there already."""

    image: Image
    ticket: UploadTicket
    adopted: bool


def ensure_image(
    hook: AutoenhanceHook,
    wanted: UploadTicket,
    *,
    order_name: str | None = None,
    check: Callable[[Image], None] = lambda image: None,
) -> Creation:
    """Adopt the image that an earlier try made, or make it.

    What is adopted: an image of the same identity that is being processed or is processed. An earlier image that still waits for its
    bytes (its upload URL cannot be read again), failed or expired is deleted and made anew.

    :param wanted: what to create; its ``metadata`` holds the identity.
    :param order_name: name of the order, where it is not there yet and has to be made. ``None``: leave that to Autoenhance.
    :param check: called with an image before it is adopted or replaced; raises to refuse.
    :raises AutoenhanceError: when the order cannot be read whole, because "unknown" is not "absent".
    """
    for image in _earlier_images(hook, wanted, order_name):
        check(image)
        if image.status in (ImageStatus.PROCESSING, ImageStatus.PROCESSED):
            return Creation(image, replace(wanted, upload_url=""), adopted=True)
        hook.delete_image(image.image_id)
    created = hook.create_image(
        wanted.image_name,
        order_id=wanted.order_id,
        settings=WireSettings(wanted.settings),
        metadata=wanted.metadata,
        content_type=wanted.content_type,
    )
    image = created.image
    ticket = replace(wanted, order_id=image.order_id or wanted.order_id, upload_url=created.upload_url)
    return Creation(image, ticket, adopted=False)


def _earlier_images(hook: AutoenhanceHook, wanted: UploadTicket, order_name: str | None) -> list[Image]:
    """Images of the same identity, the furthest along first."""
    if wanted.order_id is None:
        return []
    try:
        order = hook.get_order(wanted.order_id)
    except errors.NotFoundError:
        _make_order(hook, wanted.order_id, order_name)
        return []
    mine = [image for image in order.images if _is_same(image, wanted)]
    if not mine:
        check_whole(order)
    progress = {ImageStatus.PROCESSED: 0, ImageStatus.PROCESSING: 1}
    return sorted(mine, key=lambda image: (progress.get(image.status, 2), image.date_added, image.image_id))


def _make_order(hook: AutoenhanceHook, order_id: str, order_name: str | None) -> None:
    if order_name is None:
        return
    try:
        hook.create_order(order_id=order_id, name=order_name)
    except errors.ConflictError:
        return  # a mapped sibling was faster


def _is_same(image: Image, wanted: UploadTicket) -> bool:
    """By identity; by name where an old API version returns no metadata."""
    if IDENTITY_KEY in image.metadata:
        return bool(image.metadata[IDENTITY_KEY] == wanted.metadata.get(IDENTITY_KEY))
    return not image.metadata and image.image_name == clean_text(wanted.image_name)


def check_whole(order: Order) -> None:
    """Refuse to conclude from an order that lists fewer images than it has.

    :raises AutoenhanceError: naming the order.
    """
    if (order.total_images or 0) > len(order.images):
        raise errors.AutoenhanceError(
            f"order {order.order_id} lists {len(order.images)} of its {order.total_images} images, so it cannot be told whether this one "
            "exists already; give smaller groups of photos an order_id of their own."
        )
