"""The app below ``/autoenhance``, and the door of the webhook in it: who may come in, how much is read, and an answer at once. The rest is
OrderCheck's."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.routing import Route

from airflow_provider_autoenhance.plugins.throttled_log import ThrottledLog

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from airflow_provider_autoenhance.plugins.order_check import OrderCheck

log = logging.getLogger(__name__)

#: The vendor's calls have some 200 bytes.
MAX_BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0

#: The vendor sends the first; a proxy or a later version may have the second.
_TOKEN_HEADERS = (b"authentication", b"authorization")


def build_app(token: str | None, order_check: OrderCheck | None, gallery: FastAPI | None = None) -> FastAPI:
    """Return the app that Airflow mounts. Each of its two parts works without the other.

    :param token: what the vendor's calls carry; ``None`` where there is no webhook.
    :param order_check: gets the orders that a call names.
    :param gallery: the photos' pages; ``None`` where Airflow has no place for them.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        if order_check is not None:
            await order_check.stop()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    if gallery is not None:
        app.mount("/gallery", gallery)
    if token is not None and order_check is not None:
        # The endpoint takes every other path, so that only the right call learns that there is anything.
        app.router.routes.append(Route("/{path:path}", endpoint=WebhookEndpoint(token, order_check)))
    return app


class WebhookEndpoint:
    """An ASGI app of one route.

    Without the right token the answer is 404 with nothing in it, whatever was asked: no body is read, nothing is parsed, called or
    queued, and at most one line a minute is logged.
    """

    def __init__(self, token: str, order_check: OrderCheck) -> None:
        # Digests have one length, so that a comparison in constant time shows nothing of the token's.
        self._digest = _digest(token.encode())
        self._order_check = order_check
        self._throttled = ThrottledLog(log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not self._authentic(scope["headers"]):
            self._throttled.warning("Refused webhook calls: %s. The token is missing or wrong.")
            await _answer(send, 404)
        elif scope["path_params"]["path"] != "webhook":
            await _answer(send, 404)
        elif scope["method"] != "POST":
            await _answer(send, 405)
        else:
            await _answer(send, await self._take(scope, receive))

    def _authentic(self, headers: list[tuple[bytes, bytes]]) -> bool:
        sent = dict(headers)
        return any(hmac.compare_digest(_digest(_bare(sent.get(name, b""))), self._digest) for name in _TOKEN_HEADERS)

    async def _take(self, scope: Scope, receive: Receive) -> int:
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > MAX_BODY_BYTES:
            return 413
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return 400
                    body += message.get("body", b"")
                    if len(body) > MAX_BODY_BYTES:
                        return 413
                    more = message.get("more_body", False)
        except TimeoutError:
            return 408
        self._pass_on(bytes(body))
        return 204

    def _pass_on(self, body: bytes) -> None:
        """Note the order of a finished image. Anything else is not an error: the vendor may be newer than this code."""
        try:
            event = json.loads(body) if body.strip() else {}
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            self._throttled.warning("Ignored webhook calls: %s. Their body is not a JSON object.")
            return
        kind: Any = event.get("event")
        if kind == "image_processed":
            self._order_check.note(event.get("order_id"), last=event.get("order_is_processing") is not True)
        else:
            self._throttled.info(
                "Ignored webhook calls: %s. They report something else than a finished image, as when the webhook is set up."
            )


def _bare(value: bytes) -> bytes:
    scheme, space, rest = value.strip().partition(b" ")
    return rest.strip() if space and scheme.lower() == b"bearer" else value.strip()


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


async def _answer(send: Send, status: int) -> None:
    headers = [] if status == 204 else [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
