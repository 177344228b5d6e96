"""Looking at an account's orders again and again, with as few calls as is safe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from airflow_provider_autoenhance.api.calls import OrderPages
from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook
from airflow_provider_autoenhance.pipeline.watch.finished import FORGOTTEN_SECONDS, WATCHED_SECONDS, OrderSeen

#: How often more of the list is read than the last day.
FULL_WALK_SECONDS = 60 * 60.0


class OrderWalk:
    """Reads the list of orders, page by page, as far back as it has to.

    From 2026-11-09 on the API promises that the newest come first. Then the first look reads back to where nothing is unfinished any more,
    the next ones stop at the first page that is older than a day, and once an hour one goes back to the oldest order that is not finished.
    Before, the first look reads the whole list. If that was newest first throughout, the next looks stop after a day as well, and the
    whole list is read once an hour to make sure.

    :param back_to: moment in seconds since the epoch that the first look reads back to at least.
    """

    def __init__(self, clock: Callable[[], float] = time.time, back_to: float = math.inf) -> None:
        self._clock = clock
        self._back_to = back_to
        self._known: dict[str, OrderSeen] = {}
        self._newest_first = False
        self._far_at = -math.inf

    async def look(self, hook: AutoenhanceAsyncHook, *, promised: bool = False) -> tuple[OrderSeen, ...]:
        """Return the orders: fresh, or (older than a day) as they were within the hour.

        :param promised: the API version promises that the newest come first.
        :raises AutoenhanceError: what the hook raises; the next look begins again.
        """
        now = self._clock()
        far = now - self._far_at >= FULL_WALK_SECONDS or not (promised or self._newest_first)
        horizon = now - WATCHED_SECONDS
        if far:
            horizon = self._oldest_of_interest(now) if promised else -math.inf
        seen: dict[str, OrderSeen] = {}
        newest_first, last = True, math.inf
        pages = OrderPages()
        while not pages.ended and not (newest_first and last < horizon):
            page = await hook.list_orders_page(offset=pages.offset)
            pages.turn(page)
            for order in map(OrderSeen.of, page.orders):
                created = math.inf if order.created_at is None else order.created_at
                newest_first = newest_first and created <= last
                last = created
                seen[order.order_id] = order
        if pages.ended:
            self._known, self._newest_first, far = seen, newest_first, True
        else:
            self._known = self._older(last, now) | seen
        if far:
            self._far_at = now
        return tuple(self._known.values())

    def _oldest_of_interest(self, now: float) -> float:
        """How far back a look goes that does more than the usual: at first to where nothing is unfinished, later to what is."""
        forgotten = now - FORGOTTEN_SECONDS
        if self._far_at == -math.inf:
            return min(forgotten, self._back_to)
        unfinished = (order.created_at or 0.0 for order in self._known.values() if not order.finished)
        return max(forgotten, min(unfinished, default=math.inf)) if self._known else forgotten

    def _older(self, moment: float, now: float) -> dict[str, OrderSeen]:
        """What an earlier look saw of orders that this one did not reach."""
        forgotten = now - FORGOTTEN_SECONDS
        known = self._known.items()
        return {key: each for key, each in known if each.created_at is None or forgotten <= each.created_at <= moment}
