"""All enhanced images of an order into a folder."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus, Order
from airflow_provider_autoenhance.api.redact import redact_text
from airflow_provider_autoenhance.api.shown import counted
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.imaging.output import file_name
from airflow_provider_autoenhance.pipeline.remote.images import check_whole
from airflow_provider_autoenhance.pipeline.transfer.download import PhotoTarget, download_photo
from airflow_provider_autoenhance.storage.naming import public_uri

log = logging.getLogger(__name__)

_MAX_NAMES = 20


def download_order(hook: AutoenhanceHook, order: Order, folder: PhotoTarget, *, concurrency: int) -> dict[str, Any]:
    """Download what is enhanced; one that fails does not hold up the others.

    :param folder: its ``uri`` ends in ``/``.
    :returns: ``order_id``, ``name``, ``destination``, the numbers ``images``, ``landed`` and ``failed``, the first ``failures``,
        ``bytes``, ``credits``.
    :raises AutoenhanceError: the first error, when at least one download failed, naming how many.
    """
    check_whole(order)
    landed: list[dict[str, Any]] = []
    broken: list[tuple[Image, errors.AutoenhanceError]] = []
    lost = [image for image in order.images if image.status in (ImageStatus.ERROR, ImageStatus.EXPIRED)]
    for image in lost:
        log.warning("Left out: %s: %s", image.label, _reason(image))
    with ThreadPoolExecutor(max(1, concurrency), thread_name_prefix="autoenhance") as pool:
        running = [
            (image, pool.submit(download_photo, hook, target, image_id=image.image_id))
            for image, target in _targets(order, folder)
        ]
        for image, future in running:
            try:
                landed.append(future.result())
            except Exception as caught:  # noqa: BLE001 - whatever it is, it is this image's
                error = errors.unexpected(caught, image.label)
                log.warning("Failed: %s: %s", image.label, error)
                broken.append((image, error))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    destination = public_uri(folder.uri)
    log.info(
        "Landed %s of %s of order %s in %s",
        len(landed),
        counted(len(order.images), "image"),
        order.order_id,
        destination,
    )
    if broken:
        _raise(order, broken, len(landed))
    return {
        "order_id": order.order_id,
        "name": order.name,
        "destination": destination,
        "images": len(order.images),
        "landed": len(landed),
        "failed": len(lost),
        "failures": [{"photo": image.image_name, "reason": _reason(image)} for image in lost[:_MAX_NAMES]],
        "bytes": sum(output["size"] for each in landed for output in each["outputs"]),
        "credits": sum(each["credit_spent"] for each in landed),
    }


def _reason(image: Image) -> str:
    return redact_text(image.status_reason or str(image.status))


def _targets(order: Order, folder: PhotoTarget) -> Iterator[tuple[Image, PhotoTarget]]:
    """Give each enhanced image files of its own; images of one name get a piece of their id."""
    ready = [image for image in order.images if image.status is ImageStatus.PROCESSED]
    names = {image.image_id: image.image_name or image.image_id for image in ready}
    shared = Counter(file_name(name, "jpeg") for name in names.values())
    for image in ready:
        name = names[image.image_id]
        if shared[file_name(name, "jpeg")] > 1:
            stem, dot, extension = name.rpartition(".")
            name = f"{stem or name}-{image.image_id[:8]}{dot}{extension}"
        yield image, replace(folder, name=name)


def _raise(order: Order, broken: list[tuple[Image, errors.AutoenhanceError]], landed: int) -> None:
    # Airflow's retry helps when it can help one of them.
    error = next((each for _, each in broken if each.retryable), broken[0][1])
    names = ", ".join(repr(image.image_name) for image, _ in broken[:5])
    raise type(error)(
        f"order {order.order_id}: {len(broken)} of {landed + len(broken)} downloads failed ({names}); the first: {error}"
    )
