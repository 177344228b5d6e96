"""Webhooks: events are posted to a receiver, once and in order, as the vendor does."""

from __future__ import annotations

import asyncio
import json
import logging
from http.client import HTTPException
from typing import Any
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from airflow_provider_autoenhance.sandbox.state.models import Image
from airflow_provider_autoenhance.sandbox.state.world import World

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect. An event goes to the address that was set or fails, as with any answer other than success."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Webhooks:
    """Queues events and posts them one after the other."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[World, dict[str, Any]]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._opener = build_opener(_NoRedirects)

    def saved(self, world: World) -> None:
        """Send the ping that follows a change of the webhook's address.

        :param world: whose settings hold the address.
        """
        self._post(world, {"event": "webhook_updated"})

    def image_registered(self, world: World, image: Image) -> None:
        """Announce a new image.

        :param world: where it is.
        :param image: the image.
        """
        self._post(world, {"event": "image_registered", "image_id": image.image_id, "order_id": image.order_id})

    def image_processed(self, world: World, image: Image) -> None:
        """Announce the outcome of a processing run.

        :param world: where the image is.
        :param image: the image.
        """
        order = world.orders[image.order_id]
        self._post(
            world,
            {
                "event": "image_processed",
                "image_id": image.image_id,
                "error": image.status == "error",
                "order_id": image.order_id,
                "order_is_processing": order.is_merging or world.order_is_processing(order),
            },
        )

    def _post(self, world: World, event: dict[str, Any]) -> None:
        if not world.settings.webhook_url:
            return
        for _ in range(world.settings.webhook_copies):
            self._queue.put_nowait((world, event))
        if self._task is None:
            self._task = asyncio.ensure_future(self._deliver())

    async def _deliver(self) -> None:
        while True:
            world, event = await self._queue.get()
            url = world.settings.webhook_url
            if world.closed or not url:
                continue
            status: int | None = None
            for _ in range(world.settings.webhook_attempts):
                status = await asyncio.to_thread(_send, self._opener, url, world.settings.webhook_token, event)
                if status is not None and 200 <= status < 300:
                    break
            world.deliveries.append({**event, "status": status, "at": world.now()})

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _send(opener: OpenerDirector, url: str, token: str | None, event: dict[str, Any]) -> int | None:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authentication"] = token
    request = Request(url, json.dumps(event).encode(), headers, method="POST")  # noqa: S310 - the operator's own URL
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return int(answer.status)
    except (OSError, HTTPException) as error:
        status = getattr(error, "code", None)
        log.warning("Webhook %s was not taken: %s", event["event"], status or error)
        return status if isinstance(status, int) else None
