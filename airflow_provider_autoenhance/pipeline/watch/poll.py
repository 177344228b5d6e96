"""Looking at an account's orders again and again, with as few calls as is safe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from airflow_provider_autoenhance.api.calls import OrderPages
from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook
from airflow_provider_autoenhance.pipeline.watch.finished import WATCHED_SECONDS, OrderSeen

#: How often the whole list is read where a part of it would do.
FULL_WALK_SECONDS = 60 * 60.0


class OrderWalk:
    """Reads the list of orders, page by page.

    The contract does not say in which sequence orders are listed, so the first look reads the whole list. If that was newest first
    throughout, the next looks stop at the first page that is older than a day, and the whole list is read once an hour to make sure.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._known: dict[str, OrderSeen] = {}
        self._newest_first = False
        self._whole_at = -math.inf

    async def look(self, hook: AutoenhanceAsyncHook) -> tuple[OrderSeen, ...]:
        """Return all orders: fresh, or (older than a day) as they were within the hour.

        :raises AutoenhanceError: what the hook raises; the next look begins again.
        """
        now = self._clock()
        may_stop = self._newest_first and now - self._whole_at < FULL_WALK_SECONDS
        seen: dict[str, OrderSeen] = {}
        newest_first, last = True, math.inf
        pages = OrderPages()
        while not pages.ended:
            page = await hook.list_orders_page(offset=pages.offset)
            pages.turn(page)
            for order in map(OrderSeen.of, page.orders):
                created = math.inf if order.created_at is None else order.created_at
                newest_first = newest_first and created <= last
                last = created
                seen[order.order_id] = order
            if may_stop and newest_first and last < now - WATCHED_SECONDS:
                self._known |= seen
                break
        else:
            self._known, self._newest_first, self._whole_at = seen, newest_first, now
        return tuple(self._known.values())
