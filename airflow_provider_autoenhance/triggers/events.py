"""Scheduling DAGs by what happens in Autoenhance (Airflow 3 and later)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Hashable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.coerce import Duration, seconds
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID
from airflow_provider_autoenhance.triggers.wakeup import Wakeup
from airflow_provider_autoenhance.triggers.watermark import Watermark

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger

    from airflow_provider_autoenhance.pipeline.watch.finished import OrderSeen, OrderWatch
else:
    try:
        from airflow.triggers.base import BaseEventTrigger
    except ImportError:  # Airflow 2: the module can be imported, the class cannot be used
        BaseEventTrigger = None

log = logging.getLogger(__name__)

#: Polls closer together would only cost requests: an enhancement takes longer.
SHORTEST_POLL_SECONDS = 5.0

#: Airflow has stored an event after a second or two. Only then is it noted as fired, so that it cannot get lost.
NOTED_AFTER_SECONDS = 5.0

_LONGEST_PAUSE_SECONDS = 15 * 60.0
_FAILURES_TO_WORRY = 3


class AutoenhanceOrderEventTrigger(BaseEventTrigger or BaseTrigger):  # type: ignore[misc]
    """For ``AssetWatcher``: an event of all orders that have finished since the last look, whoever made them.

    Finished means that nothing of the order is under way and that it has at least one image; an order that gets further photos
    finishes again. The event's payload holds ``orders``: of each ``order_id``, ``name``, ``created_at``, the numbers ``images``,
    ``processed`` and ``failed``, and the first ``failures``, each with ``photo`` and ``reason``. ``reported_orders`` reads them.

    The trigger remembers across restarts which orders it has fired for: with the asset on Airflow 3.3 and later, in an Airflow Variable
    before that. It notes an event 5 seconds after firing. If the triggerer dies within these, its orders fire again. No event is lost.

    A poll reads the account's list of orders, 15 a request; where Autoenhance lists them newest first, the orders of the last day in
    each poll and all of them once an hour. From Airflow 3.3 on, watchers of the same connection and interval share one poll.

    ::

        trigger = AutoenhanceOrderEventTrigger(name_pattern="listing *")
        finished = Asset("finished_orders", watchers=[AssetWatcher(name="orders", trigger=trigger)])

    :param autoenhance_conn_id: Airflow connection.
    :param name_pattern: glob that the order's name must match, in full and with regard to case: ``"listing *"``.
    :param order_id_prefix: what the order's id must begin with.
    :param created_after: orders made before this moment are left out: a datetime, or ISO 8601 text, UTC where it names no zone.
        Those made later fire even if they had finished when the watcher first looked; without it, only what finishes from then on.
    :param poll_interval: time between polls, in seconds or as a ``timedelta``, at least 5 seconds. After errors the pauses grow, but an
        hour is the longest, also where Autoenhance asks for more (``Retry-After``).
    :param webhook: look at once, too, when Autoenhance's webhook reports a finished order (docs/webhook.md). Polls can then be rare.
    :raises RuntimeError: on Airflow 2, which has no watchers.
    :raises ValueError: on an argument that is out of range.
    """

    def __init__(
        self,
        *,
        autoenhance_conn_id: str = DEFAULT_CONN_ID,
        name_pattern: str = "*",
        order_id_prefix: str = "",
        created_after: datetime | str | None = None,
        poll_interval: Duration = 60.0,
        webhook: bool = False,
    ) -> None:
        if BaseEventTrigger is None:
            raise RuntimeError(
                "AutoenhanceOrderEventTrigger needs Airflow 3: Airflow 2 has no AssetWatcher. Use AutoenhanceOrderStatusSensor there."
            )
        super().__init__()
        interval = seconds(type(self).__name__, "poll_interval", poll_interval)
        if interval < SHORTEST_POLL_SECONDS:
            raise ValueError(f"poll_interval takes at least {SHORTEST_POLL_SECONDS:g} seconds, not {poll_interval!r}")
        self.autoenhance_conn_id = autoenhance_conn_id
        self.name_pattern = name_pattern
        self.order_id_prefix = order_id_prefix
        self.created_after = _moment(created_after)
        self.poll_interval = interval
        self.webhook = webhook

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "autoenhance_conn_id": self.autoenhance_conn_id,
            "name_pattern": self.name_pattern,
            "order_id_prefix": self.order_id_prefix,
            "created_after": self.created_after and self.created_after.isoformat(),
            "poll_interval": self.poll_interval,
            "webhook": self.webhook,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll alone, as Airflow before 3.3 has it."""
        async for event in self.filter_shared_stream(self.open_shared_stream(self.serialize()[1])):
            yield event

    def shared_stream_key(self) -> Hashable | None:
        """Watchers of one connection and interval share a poll, whatever they filter; how far back it begins is not a filter."""
        return ("autoenhance orders", self.autoenhance_conn_id, self.poll_interval, self.webhook, self.created_after)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[tuple[OrderSeen, ...]]:
        """Look at all orders, for ever.

        What goes wrong is logged and tried again, with pauses that grow: Airflow would start a trigger that raises again at once.
        """
        from airflow_provider_autoenhance.api.waiting import LONGEST_PAUSE_SECONDS
        from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook
        from airflow_provider_autoenhance.pipeline.watch.poll import OrderWalk

        after = _moment(kwargs.get("created_after"))
        walk = OrderWalk(back_to=after.timestamp() if after else math.inf)
        # Of an older version's trigger that is still under way, the argument is missing.
        wakeup = Wakeup(kwargs["autoenhance_conn_id"]) if kwargs.get("webhook") else None
        failures = 0
        while True:
            try:
                # A hook of its own for each look, so that a corrected connection is noticed.
                hook = AutoenhanceAsyncHook(kwargs["autoenhance_conn_id"])
                orders = await walk.look(hook, promised=await hook.lists_newest_first())
            except Exception as error:  # noqa: BLE001
                failures += 1
                pause = _pause(error, kwargs["poll_interval"], failures)
                level = logging.ERROR if failures >= _FAILURES_TO_WORRY else logging.WARNING
                log.log(level, "Orders cannot be watched: %s Looking again in %.0f s.", _described(error), pause)
            else:
                failures, pause = 0, kwargs["poll_interval"]
                yield orders
            spread = pause * (1.0 + 0.1 * random.random())  # noqa: S311 - so that many do not beat in step
            pause = max(min(spread, LONGEST_PAUSE_SECONDS), kwargs["poll_interval"])
            await (wakeup.wait(pause) if wakeup and not failures else asyncio.sleep(pause))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Fire for what has finished since the last look of this watcher, or of the one before it."""
        watermark = Watermark(getattr(self, "asset_state_store", None), self._memory_key)
        watch: OrderWatch | None = None
        async for orders in shared_stream:
            watch = watch or await self._recall(watermark)
            if watch is None:
                continue
            due = watch.finished([order for order in orders if self._matches(order)], time.time())
            await self._note(watermark, watch)
            if due:
                # One event for all: of several at once Airflow up to 3.3.2 may hand but the first to a run (apache/airflow#54659).
                yield TriggerEvent({"orders": [order.payload() for order in due]})
                log.info("Finished: %s", ", ".join(f"{order.name or ''} ({order.order_id})" for order in due))
                await asyncio.sleep(NOTED_AFTER_SECONDS)
            watch.remember(due, time.time())
            await self._note(watermark, watch)

    async def _recall(self, watermark: Watermark) -> OrderWatch | None:
        """Go on from what was noted; ``None`` while that cannot be read, because "unknown" is not "nothing"."""
        from airflow_provider_autoenhance.pipeline.watch.finished import OrderWatch

        try:
            watch = OrderWatch(await watermark.load(), from_now_on=self.created_after is None)
        except Exception as error:  # noqa: BLE001 - tried again at the next look
            log.warning(
                "Cannot read which orders were reported before: %s The next look tries again.", _described(error)
            )
            return None
        if watch.damaged:
            log.error(
                "The memory of this watcher, %s, is damaged, and starts again. There will be no event for orders that have finished "
                "since its last look: start what they should have started by hand.",
                self._memory_key,
            )
        return watch

    async def _note(self, watermark: Watermark, watch: OrderWatch) -> None:
        try:
            await watermark.save(watch.to_memory())
        except Exception as error:  # noqa: BLE001 - tried again at the next look
            log.warning("Cannot note which orders were reported: %s The next look tries again.", _described(error))

    def _matches(self, order: OrderSeen) -> bool:
        if self.created_after and order.created_at is not None and order.created_at < self.created_after.timestamp():
            return False
        return order.order_id.startswith(self.order_id_prefix) and fnmatchcase(order.name or "", self.name_pattern)

    @property
    def _memory_key(self) -> str:
        """Of what is watched, and not of how often: another interval goes on where this one left off."""
        watched = {
            name: value for name, value in self.serialize()[1].items() if name not in ("poll_interval", "webhook")
        }
        return f"autoenhance_orders_{hashlib.sha256(json.dumps(watched, sort_keys=True).encode()).hexdigest()[:16]}"


def _moment(value: datetime | str | None) -> datetime | None:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment and moment.replace(tzinfo=moment.tzinfo or UTC)


def _pause(error: Exception, interval: float, failures: int) -> float:
    from airflow_provider_autoenhance.api.waiting import pause_asked_for

    grown = min(interval * 2.0 ** min(failures - 1, 16), max(interval, _LONGEST_PAUSE_SECONDS))
    return max(grown, pause_asked_for(error))


def _described(error: Exception) -> str:
    from airflow_provider_autoenhance.api.redact import clean_text

    return clean_text(str(error) if isinstance(error, errors.AutoenhanceError) else f"{type(error).__name__}: {error}.")
