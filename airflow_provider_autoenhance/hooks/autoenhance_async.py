"""The triggerer's client, on ``httpx``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID
from airflow_provider_autoenhance.hooks.config import read_connection
from airflow_provider_autoenhance.hooks.rate import TokenBucket

if TYPE_CHECKING:
    import httpx

    from airflow_provider_autoenhance.api.answers import Answer
    from airflow_provider_autoenhance.api.calls import Call
    from airflow_provider_autoenhance.api.config import ApiConfig
    from airflow_provider_autoenhance.api.exchange import NoAnswer
    from airflow_provider_autoenhance.api.models import Order, OrderPage

T = TypeVar("T")

#: One client and one rate per connection and event loop, whatever the number of triggers that wait in it.
_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()


class AutoenhanceAsyncHook(BaseHook):
    """Client of the Autoenhance.ai API for the triggerer: :meth:`run` carries out any call of
    :mod:`~airflow_provider_autoenhance.api.calls`, with the same decisions as
    :class:`~airflow_provider_autoenhance.hooks.autoenhance.AutoenhanceHook`. It moves no photo bytes.

    ::

        async def names():
            return [order.name async for order in AutoenhanceAsyncHook().list_orders()]

    :param autoenhance_conn_id: Airflow connection of type ``autoenhance``.
    """

    def __init__(self, autoenhance_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autoenhance_conn_id = autoenhance_conn_id
        self._config: ApiConfig | None = None

    async def get_config(self) -> ApiConfig:
        """Read and check the connection, once."""
        if self._config is None:
            from airflow.providers.common.compat.connection import get_async_connection

            self._config = read_connection(await get_async_connection(self.autoenhance_conn_id))
        return self._config

    async def run(self, call: Call[T]) -> T:
        """Carry out a call.

        :raises AutoenhanceError: classified, as from the sync hook.
        """
        from airflow_provider_autoenhance.api.exchange import Pause, exchange
        from airflow_provider_autoenhance.transport.httpx_client import send_once

        config = await self.get_config()
        shared = await _shared(config)
        steps = exchange(call, config.base_url, config.patience)
        answer: Answer | NoAnswer | None = None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Pause):
                    self.log.warning("%s", step.reason)
                    await asyncio.sleep(step.seconds)
                    answer = None
                else:
                    await asyncio.sleep(shared.bucket.reserve())
                    async with shared.places:
                        answer = await send_once(await shared.client, config, step)
        except StopIteration as finished:
            result: T = finished.value
            return result

    async def list_orders(self) -> AsyncIterator[Order]:
        """Read all orders of the account with their images, a page of 15 at a time; leave off where you have seen enough."""
        from airflow_provider_autoenhance.api.calls import OrderPages

        pages = OrderPages()
        while not pages.ended:
            page = await self.list_orders_page(offset=pages.offset)
            pages.turn(page)
            for order in page.orders:
                yield order

    async def lists_newest_first(self) -> bool:
        """Whether the pinned API version promises that the newest orders come first."""
        from airflow_provider_autoenhance.api.versions import SORTED_ORDERS

        return (await self.get_config()).extra.api_version >= SORTED_ORDERS

    async def list_orders_page(self, *, offset: str | None = None) -> OrderPage:
        """Read one page of the account's orders.

        :param offset: ``next_offset`` of the page before; opaque.
        """
        from airflow_provider_autoenhance.api import calls

        sort = "-date" if await self.lists_newest_first() else None
        return await self.run(calls.list_orders(offset=offset, sort=sort))


class _Shared:
    def __init__(self, config: ApiConfig) -> None:
        from airflow_provider_autoenhance.transport.httpx_client import MAX_CONNECTIONS, new_client

        self.config = config
        self.bucket = TokenBucket(config.extra.max_requests_per_second)
        self.places = asyncio.Semaphore(MAX_CONNECTIONS)
        # Reading the certificate store takes tens of milliseconds; the event loop must not stand still for it.
        self.client: asyncio.Future[httpx.AsyncClient] = asyncio.ensure_future(asyncio.to_thread(new_client, config))


async def _shared(config: ApiConfig) -> _Shared:
    """Thousands of triggers may begin at once, and they all wait for the client that the first of them makes."""
    of_loop = _SHARED.setdefault(asyncio.get_running_loop(), {})
    held = of_loop.get(config.conn_id)
    if held is None or held.config != config:
        held = of_loop[config.conn_id] = _Shared(config)
    try:
        # One trigger's cancellation must not take the client away from the others.
        await asyncio.shield(held.client)
    except Exception:
        if of_loop.get(config.conn_id) is held:
            del of_loop[config.conn_id]
        raise
    return held
