"""Waiting in a worker. What to do after each look is decided in :mod:`airflow_provider_autoenhance.api.waiting`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Image, Order
from airflow_provider_autoenhance.api.waiting import ImageWait, OrderWait, Wait
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook

T = TypeVar("T")


def wait_for_image(hook: AutoenhanceHook, image: Image, wait: ImageWait) -> Image:
    """Poll until the image is enhanced.

    :raises AutoenhanceError: as :class:`~airflow_provider_autoenhance.api.waiting.ImageWait` decides.
    """
    return _poll(image, partial(hook.get_image, image.image_id), wait.on_image, wait, image.label)


def wait_for_order(hook: AutoenhanceHook, order: Order, wait: OrderWait, expected: int | None) -> Order:
    """Poll until all images of the order are final, well or badly.

    :param expected: images that will become final; ``None``: all that the order lists.
    :raises AutoenhanceError: as :class:`~airflow_provider_autoenhance.api.waiting.OrderWait` decides.
    """
    decide = partial(wait.on_order, expected=expected)
    return _poll(order, partial(hook.get_order, order.order_id), decide, wait, f"order {order.order_id}")


def _poll(seen: T, look: Callable[[], T], decide: Callable[[T], float | None], wait: Wait, about: str) -> T:
    pause = decide(seen)
    while pause is not None:
        time.sleep(pause)
        try:
            seen = look()
        except errors.AutoenhanceError as error:
            pause = wait.on_error(error, about)
        else:
            pause = decide(seen)
    return seen
