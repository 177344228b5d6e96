"""What happens after a webhook call was answered: ask the API whether the order has really finished, and have the watchers look."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.waiting import OrderWait
from airflow_provider_autoenhance.plugins.throttled_log import ThrottledLog
from airflow_provider_autoenhance.triggers.wakeup import DESCRIPTION, LOOK_SECONDS, variable_of

if TYPE_CHECKING:
    from airflow_provider_autoenhance.api.models import Order

log = logging.getLogger(__name__)

#: Orders in question at a time. What comes above it is left to the watchers' own polls.
MAX_ORDERS = 1000

#: Seconds between two questions to the API, whatever comes in.
PACE_SECONDS = 0.5

#: Seconds after a call that says that its order is still under way. A later one says so when it is done; this one may have overtaken it.
LATER_SECONDS = 20.0

#: Seconds that an order is asked about when it was said to be finished and is not yet.
PATIENCE_SECONDS = 120.0

_ORDER_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")


@dataclass
class _Noted:
    due: float
    wait: OrderWait


class OrderCheck:
    """Orders that webhook calls named, each once, however often it was named; asked about one after the other.

    It wakes nothing by itself: an order that the API confirms as finished becomes a hint, at most one in five seconds, upon which the
    watchers look. All of it happens in the API server's event loop, in no thread and no database session of the request.

    :param conn_id: Airflow connection of the account that the webhook belongs to.
    """

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id
        self._noted: dict[str, _Noted] = {}
        self._finished: set[str] = set()
        self._hinted_at = -LOOK_SECONDS
        self._task: asyncio.Task[None] | None = None
        self._throttled = ThrottledLog(log)

    def note(self, order_id: Any, *, last: bool) -> None:
        """Note that an image of an order is done.

        :param order_id: as the call has it; what cannot be one is dropped.
        :param last: nothing else of the order is under way, as far as the call says.
        """
        if not isinstance(order_id, str) or not _ORDER_ID.fullmatch(order_id):
            self._throttled.warning("Ignored webhook calls: %s. They do not name an order.")
            return
        due = time.monotonic() + (0.0 if last else LATER_SECONDS)
        if order_id in self._noted:
            self._noted[order_id].due = min(due, self._noted[order_id].due)
        elif len(self._noted) < MAX_ORDERS:
            self._noted[order_id] = _Noted(due, OrderWait(time.time() + LATER_SECONDS + PATIENCE_SECONDS, LOOK_SECONDS))
        else:
            self._throttled.warning(
                "Left orders of webhook calls to the watchers' own polls: %s. Too many came at once."
            )
            return
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """End with the server."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while self._noted or self._finished:
            try:
                await self._step()
            except Exception as error:  # noqa: BLE001 - the next order is not to suffer
                self._throttled.warning(
                    f"Failed to check orders that webhook calls name: %s times, with {type(error).__name__}."
                )
                log.debug("%s", error)
            await asyncio.sleep(PACE_SECONDS)

    async def _step(self) -> None:
        order_id = min(self._noted, key=lambda each: self._noted[each].due, default=None)
        if order_id is not None and self._noted[order_id].due <= time.monotonic():
            await self._confirm(order_id, self._noted.pop(order_id))
        if self._finished and time.monotonic() >= self._hinted_at + LOOK_SECONDS:
            self._hinted_at = time.monotonic()
            await asyncio.to_thread(self._leave_hint)
            log.info("Finished: order %s. Watchers of %r look now.", ", ".join(sorted(self._finished)), self.conn_id)
            self._finished.clear()

    async def _confirm(self, order_id: str, noted: _Noted) -> None:
        try:
            try:
                pause = noted.wait.on_order(await self._read(order_id))
            except errors.DeadlineError:
                return  # the watchers' own polls go on
            except errors.AutoenhanceError as error:
                pause = noted.wait.on_error(error, f"order {order_id}")
        except errors.AutoenhanceError as error:
            self._throttled.warning(f"Failed to confirm orders of webhook calls: %s, with {type(error).__name__}.")
            log.debug("%s", error)
            return
        if pause is None:
            self._finished.add(order_id)
        else:
            noted.due = time.monotonic() + pause
            self._noted.setdefault(order_id, noted)

    async def _read(self, order_id: str) -> Order:
        from airflow_provider_autoenhance.api import calls
        from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook

        # A hook of its own each time, so that a corrected connection is noticed.
        return await AutoenhanceAsyncHook(self.conn_id).run(calls.retrieve_order(order_id))

    def _leave_hint(self) -> None:
        from airflow.models.variable import Variable

        now = datetime.now(UTC).isoformat()
        Variable.set(variable_of(self.conn_id), now, description=DESCRIPTION)
