"""Waiting for orders in the triggerer: one poll per order, whatever the number of its images."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.coerce import Duration, seconds
from airflow_provider_autoenhance.api.events import ErrorEvent, error_event, reported, reported_error
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID, DEFAULT_POLL_INTERVAL
from airflow_provider_autoenhance.triggers.images import EARLIEST_EVENT_SECONDS

if TYPE_CHECKING:
    from airflow_provider_autoenhance.api.models import Order
    from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook

#: Failed images that a result names.
MAX_FAILURES_NAMED = 20

#: Images that an order does not list, and that are asked for in one look.
_MOST_ASKED = 5

#: The state of a task that is marked failed.
_FAILED = "failed"


class OrdersEvent(ErrorEvent, total=False):
    """Payload of the trigger's event: the orders that finished, else what went wrong."""

    orders: list[str]


class AutoenhanceOrderTrigger(BaseTrigger):
    """Wait until all images of one or several orders are final, well or badly, or until the deadline.

    One event, never earlier than 5 seconds after the start (apache/airflow#71580). Nothing is downloaded here.

    ::

        trigger = AutoenhanceOrderTrigger(orders={order_id: 24}, deadline=time.time() + 3600)
        self.defer(trigger=trigger, method_name="execute_complete")

    :param orders: order id to the number of images that will become final; ``None``: all that the order lists.
    :param image_ids: images to delete when the task is marked failed while it waits (Airflow 3.3 and later); usually none.
    :param autoenhance_conn_id: Airflow connection.
    :param poll_interval: time between polls of an order, in seconds or as a ``timedelta``.
    :param deadline: seconds since the epoch; absolute, so that it outlives a restart of the triggerer. ``None``: no deadline.
    :param closed: all images that are waited for exist already, or are being merged: an order with fewer has lost some.
    :param awaited: order id to the ids of the images that are waited for, as far as they are known: one that is deleted ends the wait at
        the next look, whatever else the order lists. So does each that a look has seen under way. ``None``: only too few end it.
    """

    def __init__(
        self,
        *,
        orders: Mapping[str, int | None],
        image_ids: Sequence[str] = (),
        autoenhance_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: Duration = DEFAULT_POLL_INTERVAL,
        deadline: float | None = None,
        closed: bool = False,
        awaited: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.orders = dict(orders)
        self.image_ids = list(image_ids)
        self.autoenhance_conn_id = autoenhance_conn_id
        self.poll_interval = seconds(type(self).__name__, "poll_interval", poll_interval)
        self.deadline = deadline
        self.closed = closed
        self.awaited = None if awaited is None else {order_id: list(ids) for order_id, ids in awaited.items()}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "orders": self.orders,
            "image_ids": self.image_ids,
            "autoenhance_conn_id": self.autoenhance_conn_id,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
            "closed": self.closed,
            "awaited": self.awaited,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until there is something to report."""
        from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook

        started = time.monotonic()
        hook = AutoenhanceAsyncHook(self.autoenhance_conn_id)
        try:
            await _together(self._wait(hook, order_id, number) for order_id, number in self.orders.items())
            event: OrdersEvent | ErrorEvent = OrdersEvent(orders=list(self.orders))
        except Exception as caught:  # noqa: BLE001 - the task that wakes up says what it was
            about = f"waiting for order {', '.join(list(self.orders)[:3])}"
            event = error_event(errors.unexpected(caught, about))
        await asyncio.sleep(max(0.0, EARLIEST_EVENT_SECONDS - (time.monotonic() - started)))
        yield TriggerEvent(event)

    async def on_kill(self) -> None:
        """Delete the images that the DAG wishes to be deleted, but for those that are bought. Called by Airflow 3.3 and later; repeating it
        does no harm.

        Airflow also calls it in a triggerer that stood still, for what another one has taken over. So only a task that has failed loses its
        images: any other may wait for them still, be downloading them, or go on with them.
        """
        from airflow_provider_autoenhance.api import calls
        from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook

        if not self.image_ids:
            return
        state = await _state_of(self.task_instance) if self.task_instance is not None else _FAILED
        if state != _FAILED:
            self.log.info("Nothing is deleted: the task is %s", state or "to run again")
            return
        hook = AutoenhanceAsyncHook(self.autoenhance_conn_id)
        reads = (hook.run(calls.retrieve_order(order_id)) for order_id in self.orders)
        read = await asyncio.gather(*reads, return_exceptions=True)
        orders = [each for each in read if not isinstance(each, BaseException)]
        unpaid = {image.image_id for order in orders for image in order.images if not image.downloaded}
        # One that cannot be deleted must not keep the others.
        deletions = (hook.run(calls.delete_image(image_id)) for image_id in self.image_ids if image_id in unpaid)
        ended = await asyncio.gather(*deletions, return_exceptions=True)
        for failed in (each for each in (*read, *ended) if isinstance(each, BaseException)):
            raise failed

    async def _wait(self, hook: AutoenhanceAsyncHook, order_id: str, expected: int | None) -> None:
        from airflow_provider_autoenhance.api import calls
        from airflow_provider_autoenhance.api.waiting import OrderWait

        wait = OrderWait(self.deadline, self.poll_interval, closed=self.closed)
        under_way = None if self.awaited is None else set(self.awaited.get(order_id, ()))
        # The task has just looked. Where the order lists nothing of what is awaited, its next look would end the wait at once.
        pause: float | None = self.poll_interval if expected == 0 else min(self.poll_interval, EARLIEST_EVENT_SECONDS)
        while pause is not None:
            await asyncio.sleep(pause)
            try:
                order = await hook.run(calls.retrieve_order(order_id))
                if under_way is not None:
                    await _check_there(hook, order, under_way)
            except errors.AutoenhanceError as error:
                pause = wait.on_error(error, f"order {order_id}")
            else:
                pause = wait.on_order(order, expected)


async def _check_there(hook: AutoenhanceAsyncHook, order: Order, under_way: set[str]) -> None:
    """Ask for images that an order does not list: it may lag, and only an answer of 404 says that one is gone.

    :param under_way: their ids; what the order shows to be under way as well is added.
    :raises NotFoundError: one is gone.
    """
    from airflow_provider_autoenhance.api import calls

    for image_id in sorted(under_way - {image.image_id for image in order.images})[:_MOST_ASKED]:
        await hook.run(calls.retrieve_image(image_id))
    under_way |= {image.image_id for image in order.images if not image.status.final}


async def _state_of(task_instance: Any) -> str | None:
    """Ask Airflow for the state that a task has by now.

    :returns: ``None``: it was cleared.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index,
    )
    found = next(iter(states.get(task_instance.run_id, {}).values()), None)
    return None if found is None else str(getattr(found, "value", found))


async def _together(waits: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all side by side. When one fails, the others are ended before its error goes on: nobody would hear them."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def error_of(event: OrdersEvent | None) -> errors.AutoenhanceError | None:
    """Return what an event reports as gone wrong, ``None`` where the orders finished."""
    return None if reported(event, "orders", list) is not None else reported_error(event)


def order_xcom(order: Order) -> dict[str, Any]:
    """An order as tasks return it: its images as numbers, the ids of those that are enhanced, and the first failures."""
    from airflow_provider_autoenhance.api.models import ImageStatus
    from airflow_provider_autoenhance.api.redact import redact_text

    failed = [image for image in order.images if image.status in (ImageStatus.ERROR, ImageStatus.EXPIRED)]
    image_ids = [image.image_id for image in order.images if image.status is ImageStatus.PROCESSED]
    return {
        "order_id": order.order_id,
        "name": order.name,
        "images": len(order.images),
        "processed": len(image_ids),
        "failed": len(failed),
        "image_ids": image_ids,
        "failures": [
            {"photo": image.image_name, "reason": redact_text(image.status_reason or str(image.status))}
            for image in failed[:MAX_FAILURES_NAMED]
        ],
    }
