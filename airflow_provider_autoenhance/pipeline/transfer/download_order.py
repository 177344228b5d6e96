"""All enhanced images of an order into a folder."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import Any

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, ImageStatus, Order
from airflow_provider_autoenhance.api.redact import redact_text
from airflow_provider_autoenhance.api.shown import counted
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.imaging.naming import folded
from airflow_provider_autoenhance.pipeline.gallery.downloads import Downloads
from airflow_provider_autoenhance.pipeline.remote.images import check_whole
from airflow_provider_autoenhance.pipeline.transfer.download import PhotoTarget, land
from airflow_provider_autoenhance.pipeline.transfer.overwriting import check_overwriting
from airflow_provider_autoenhance.storage.naming import public_uri

log = logging.getLogger(__name__)

_MAX_NAMES = 20

#: What is left out, by name: nothing of it will come.
_LOST = (ImageStatus.ERROR, ImageStatus.EXPIRED, ImageStatus.WAITING)


def download_order(
    hook: AutoenhanceHook, order: Order, folder: PhotoTarget, *, concurrency: int, shown: Downloads | None = None
) -> dict[str, Any]:
    """Download what is enhanced; one that fails does not hold up the others.

    :param folder: its ``uri`` ends in ``/``.
    :param shown: shows the images to people.
    :returns: ``order_id``, ``name``, ``destination``, the numbers ``images``, ``landed`` and ``failed``, the first ``failures``,
        ``bytes``, ``credits``; ``gallery`` and ``contact_sheet``, where they are shown.
    :raises SettingsError: an original, or a file that a batch has made of another photo, would be written over; nothing was spent.
    :raises AutoenhanceError: the first error, when at least one download failed, naming how many.
    """
    check_whole(order)
    landed: list[dict[str, Any]] = []
    broken: list[tuple[Image, errors.AutoenhanceError]] = []
    lost = [image for image in order.images if image.status in _LOST]
    for image in lost:
        log.warning("Left out: %s: %s", image.label, _reason(image))
    ready = [image for image in order.images if image.status is ImageStatus.PROCESSED]
    targets = _targets(order, folder)
    files = {uri: image for image in ready for uri in targets[image.image_id].uris(image)}
    check_overwriting(hook, files, folder.conn_id, folder=folder.uri, order=order)

    def download(image: Image) -> dict[str, Any]:
        return land(hook, targets[image.image_id], hook.get_image(image.image_id), shown)

    broken += [
        (
            image,
            errors.InvalidRequestError(
                f"{image.label} is still being enhanced. Let a sensor wait for the order first."
            ),
        )
        for image in order.images
        if image.status is ImageStatus.PROCESSING
    ]
    with ThreadPoolExecutor(max(1, concurrency), thread_name_prefix="autoenhance") as pool:
        running = [(image, pool.submit(download, image)) for image in ready]
        for image, future in running:
            try:
                landed.append(future.result())
            except errors.StoppedError:
                pool.shutdown(cancel_futures=True)
                raise
            except Exception as caught:  # noqa: BLE001 - whatever it is, it is this image's
                error = errors.unexpected(caught, image.label)
                log.warning("Failed: %s: %s", image.label, error)
                broken.append((image, error))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    for image, reason in (*((each, _reason(each)) for each in lost), *((each, str(error)) for each, error in broken)):
        if shown:
            shown.failed(image, reason)
    written = shown.write() if shown else {}
    destination = public_uri(folder.uri)
    log.info(
        "Landed %s of %s of order %s in %s",
        len(landed),
        counted(len(order.images), "image"),
        order.order_id,
        destination,
    )
    if broken:
        _raise(order, broken, landed)
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
        **written,
    }


def _reason(image: Image) -> str:
    if image.status is ImageStatus.WAITING:
        return "it waits for its upload"
    return redact_text(image.status_reason or str(image.status))


def _targets(order: Order, folder: PhotoTarget) -> Mapping[str, PhotoTarget]:
    """Give each image of an order files of its own, by id. Where names are one, or some file systems take them for one, they get a piece
    of the image's id; whether an image is enhanced changes nothing about that.

    :raises SettingsError: two would be one file all the same.
    """
    targets = {
        each.image_id: replace(folder, name=each.image_name or each.image_id).with_formats(each)
        for each in order.images
    }
    for digits in (8, None):
        shared = _shared(order, targets)
        for image in shared:
            stem, dot, extension = (image.image_name or "").rpartition(".")
            name = f"{stem or image.image_name}-{image.image_id[:digits]}{dot}{extension}" if stem else image.image_id
            targets[image.image_id] = replace(targets[image.image_id], name=name)
        if not shared:
            return targets
    if shared := _shared(order, targets):
        raise errors.SettingsError(
            f"order {order.order_id}: several images would become {shared[0].image_name!r}; put {{fingerprint}} into the output's "
            "name_template, or leave it out."
        )
    return targets


def _shared(order: Order, targets: Mapping[str, PhotoTarget]) -> list[Image]:
    """The images one of whose files would be another's too."""
    names = {each.image_id: set(map(folded, targets[each.image_id].uris(each))) for each in order.images}
    taken = Counter(chain.from_iterable(names.values()))
    return [each for each in order.images if any(taken[name] > 1 for name in names[each.image_id])]


def _raise(order: Order, broken: list[tuple[Image, errors.AutoenhanceError]], landed: list[dict[str, Any]]) -> None:
    # Airflow's retry helps when it can help one of them.
    error = next((each for _, each in broken if each.retryable), broken[0][1])
    names = ", ".join(repr(image.image_name) for image, _ in broken[:5])
    raise type(error)(
        f"order {order.order_id}: {len(broken)} of {len(landed) + len(broken)} downloads failed ({names}); the others landed, and cost "
        f"{counted(sum(each['credit_spent'] for each in landed), 'credit')}. The first: {error}"
    )
