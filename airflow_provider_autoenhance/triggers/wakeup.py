"""From the webhook to the watchers: look now, an order has finished.

The hint lies in an Airflow Variable, one per connection: the one place that the API server may write and a trigger may read on every
Airflow 3. It does not name an order; a watcher that sees it looks for itself. So a hint that is lost, doubled or forged
costs a look or a wait for the next poll, and never an event.
"""

from __future__ import annotations

import asyncio
import logging
import time

from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID

log = logging.getLogger(__name__)

#: How often a waiting watcher looks for a hint; also the shortest time between two looks at the orders.
LOOK_SECONDS = 5.0

#: Of the Variable.
DESCRIPTION = "When the Autoenhance webhook last named an order"


def variable_of(conn_id: str) -> str:
    """Return the name of the Variable that holds a connection's hint."""
    return f"autoenhance_order_hint_{conn_id}"


class Wakeup:
    """What one watcher has seen of a connection's hints.

    :param autoenhance_conn_id: Airflow connection that the watcher reads orders with.
    """

    def __init__(self, autoenhance_conn_id: str = DEFAULT_CONN_ID) -> None:
        self._variable = variable_of(autoenhance_conn_id)
        self._seen: str | None = None

    async def wait(self, seconds: float) -> bool:
        """Sleep, but not past the next hint; say whether there was one.

        A hint that came since the last wait counts. Where hints cannot be read, this is a sleep.

        :param seconds: the longest sleep.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, LOOK_SECONDS))
            try:
                held = await self._read()
            except Exception as error:  # noqa: BLE001 - the next poll does without
                log.debug("No hint can be read: %s", type(error).__name__)
                continue
            if held != self._seen:
                self._seen = held
                return True
        return False

    async def _read(self) -> str | None:
        from airflow.sdk import Variable
        from asgiref.sync import sync_to_async

        held = await sync_to_async(Variable.get)(self._variable, default=None)
        if held is None:
            # Airflow 3.0 and 3.1 log an error at each look for a Variable that is not there.
            await sync_to_async(Variable.set)(self._variable, "", description=DESCRIPTION)
        return str(held) if held else None
