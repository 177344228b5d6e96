"""Listening: the ASGI application of one port finds endpoints, counts requests, injects faults and answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from airflow_provider_autoenhance.sandbox.errors import ApiError, SandboxError, fault_response
from airflow_provider_autoenhance.sandbox.http.call import Call, Route
from airflow_provider_autoenhance.sandbox.http.gate import Gate
from airflow_provider_autoenhance.sandbox.http.routing import Redirect, Router
from airflow_provider_autoenhance.sandbox.http.wire import SLOW_SECONDS, TARGET, Dropped, MidAnswer, MidUpload, Wire
from airflow_provider_autoenhance.sandbox.state.faults import FaultRule
from airflow_provider_autoenhance.sandbox.state.service import Service

log = logging.getLogger(__name__)


class Listener:
    """The ASGI application of one port.

    :param service: the running sandbox.
    :param routes: endpoints of this port.
    :param address: host:port as the ledger names it.
    :param gate: which requests are refused.
    :param storage: whether it answers like S3 instead of like the API.
    """

    def __init__(self, service: Service, routes: list[Route], address: str, gate: Gate, *, storage: bool) -> None:
        self._service = service
        self._router = Router(routes)
        self._address = address
        self._gate = gate
        self._storage = storage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            with contextlib.suppress(Dropped, ClientDisconnect):
                await self._serve(scope, receive, send)
        except asyncio.CancelledError:
            Wire(scope, receive).abort()
            raise

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        try:
            origin = self._gate.admit(method, path, scope[TARGET], scope["headers"])
            if origin:
                send = _readable(send, origin)
            if origin and method == "OPTIONS":
                await _preflight(scope)(scope, receive, send)
                return
            self._note_keys(scope)
            route, params = self._router.match(method, path, scope["query_string"].decode("latin-1"))
        except Redirect as redirect:
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").strip()
            await redirect.response(f"{scope['scheme']}://{host}")(scope, receive, send)
            return
        except ApiError as error:
            await self._unrouted(scope, error)(scope, receive, send)
            return
        call = Call(self._service, route, params, scope, receive)
        if route.control:
            await (await self._handle(call))(scope, receive, send)
            return
        world = call.world
        world.requests[route.label] += 1

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                world.responses[f"{route.label} {message['status']}"] += 1
            await send(message)

        if not self._storage and world.settings.latency_ms:
            await asyncio.sleep(world.settings.latency_ms / 1000)
        try:
            rule = await self._fault(call)
        except ApiError as error:
            await error.response()(scope, receive, counting)
            return
        if rule is None:
            await (await self._handle(call))(scope, receive, counting)
        else:
            await self._fail(call, rule, counting)

    def _unrouted(self, scope: Scope, error: ApiError) -> Response:
        if error.status == 405 and scope["method"] == "OPTIONS":
            return Response(headers=error.headers)
        return error.storage_response() if self._storage else error.response()

    def _note_keys(self, scope: Scope) -> None:
        """Remember that an API key was seen here, in whichever header or query parameter."""
        world = self._service.world
        keys = [key.encode() for key in world.accounts]
        seen = any(
            name == b"x-api-key" or any(key in value for key in keys) for name, value in scope["headers"]
        ) or any(key in scope["query_string"] for key in keys)
        if seen:
            world.api_key_hosts[self._address] += 1

    async def _handle(self, call: Call) -> Response:
        try:
            if not self._storage and not call.route.control:
                call.world.count_request(call.scope["client"][0])
                call.authorize()
            return await call.route.handler(call)
        except SandboxError as error:
            return error.response()
        except (Dropped, ClientDisconnect):
            raise
        except Exception:
            if call.world.closed:
                raise Dropped from None
            log.exception("%s failed", call.route.label)
            return fault_response(500, storage=self._storage, html=False)

    async def _fault(self, call: Call) -> FaultRule | None:
        faults = self._service.faults
        if not faults.concern(call.route.names):
            return None
        return faults.pick(call.route.names, await _subjects(call))

    async def _fail(self, call: Call, rule: FaultRule, send: Send) -> None:
        scope, receive = call.scope, call.receive
        wire = Wire(scope, receive)
        is_upload = call.route.name == "put_object"
        if rule.phase == "mid-body":
            if is_upload and rule.kind != "corrupt":
                length = int(call.headers.get("content-length", "0"))
                call.receive = MidUpload(wire, rule, receive, length)
                await (await self._handle(call))(scope, receive, send)
            else:
                whole = await self._handle(call)
                await whole(scope, receive, MidAnswer(wire, rule, send, wrong_etag=is_upload))
            return
        if rule.kind == "slow" and rule.phase == "before":
            await asyncio.sleep(SLOW_SECONDS if rule.seconds is None else rule.seconds)
        answer = await self._handle(call) if rule.phase == "after" or rule.kind == "slow" else None
        if rule.kind == "slow" and rule.phase == "after":
            await asyncio.sleep(SLOW_SECONDS if rule.seconds is None else rule.seconds)
        await wire.act(rule)
        if rule.status:
            answer = await self._injected(call, wire, rule)
        if answer is not None:
            await answer(scope, receive, send)

    async def _injected(self, call: Call, wire: Wire, rule: FaultRule) -> Response:
        if rule.phase == "before" and not call.body_was_read and _has_body(call):
            await wire.drain()
        answer = fault_response(rule.status or 500, storage=self._storage, html=rule.is_html, message=rule.message)
        if rule.retry_after is not None:
            answer.headers["Retry-After"] = str(rule.retry_after)
        return answer


def _preflight(scope: Scope) -> Response:
    """Answer a browser's question what a page may send."""
    asked = dict(scope["headers"]).get(b"access-control-request-headers", b"").decode("latin-1")
    headers = {
        "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "Access-Control-Allow-Headers": asked,
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=headers)


def _readable(send: Send, origin: str) -> Send:
    """Return a ``send`` whose answers the pages of an origin may read."""
    headers = [
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-expose-headers", b"ETag, Location, Retry-After"),
        (b"vary", b"Origin"),
    ]

    async def sharing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *headers]}
        await send(message)

    return sharing


def _has_body(call: Call) -> bool:
    return call.headers.get("content-length", "0") != "0" or "transfer-encoding" in call.headers


async def _subjects(call: Call) -> list[str]:
    """Return the names of the images, exposures or orders that a request is about, for rules with ``match``."""
    world = call.world
    identifier = next((call.params[key] for key in ("id", "order_id", "key") if key in call.params), None)
    if identifier is None:
        try:
            body = json.loads(await call.body() or b"{}")
        except (ValueError, RecursionError):
            return []
        named = (body.get("image_name"), body.get("name")) if isinstance(body, dict) else ()
        return [name for name in named if isinstance(name, str)]
    if identifier in world.asset_names:
        return [world.asset_names[identifier]]
    identifier = world.upload_keys.get(identifier, ("", identifier))[1]
    for found in (world.images, world.exposures, world.orders):
        if identifier in found and found[identifier].name:
            return [str(found[identifier].name)]
    return []
