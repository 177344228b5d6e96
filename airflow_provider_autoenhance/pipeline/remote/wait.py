"""Waiting in a worker."""

from __future__ import annotations

import time

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, Order
from airflow_provider_autoenhance.api.waiting import ImageWait, OrderWait
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook


def wait_for_image(hook: AutoenhanceHook, image: Image, wait: ImageWait) -> Image:
    """Poll until the image is enhanced.

    :raises AutoenhanceError: as :class:`~airflow_provider_autoenhance.api.waiting.ImageWait` decides.
    """
    pause = wait.on_image(image)
    while pause is not None:
        time.sleep(pause)
        try:
            image = hook.get_image(image.image_id)
        except errors.AutoenhanceError as error:
            pause = wait.on_error(error, image.label)
        else:
            pause = wait.on_image(image)
    return image


def wait_for_order(hook: AutoenhanceHook, order: Order, wait: OrderWait, expected: int | None) -> Order:
    """Poll until all images of the order are final, well or badly.

    :param expected: images that will become final; ``None``: all that the order lists.
    :raises AutoenhanceError: as :class:`~airflow_provider_autoenhance.api.waiting.OrderWait` decides.
    """
    pause = wait.on_order(order, expected)
    while pause is not None:
        time.sleep(pause)
        try:
            order = hook.get_order(order.order_id)
        except errors.AutoenhanceError as error:
            pause = wait.on_error(error, f"order {order.order_id}")
        else:
            pause = wait.on_order(order, expected)
    return order
