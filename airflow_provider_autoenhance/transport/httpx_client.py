"""The triggerer's side, on ``httpx``: small JSON answers only."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from airflow_provider_autoenhance.api.answers import MAX_WHOLE_BYTES, Answer
from airflow_provider_autoenhance.api.exchange import NoAnswer, Send, too_long, without_body
from airflow_provider_autoenhance.api.quiet import quiet_logs
from airflow_provider_autoenhance.api.redact import shown_host

if TYPE_CHECKING:
    from airflow_provider_autoenhance.api.config import ApiConfig

#: Requests at a time. Whoever calls :func:`send_once` waits for a place first, so that waiting in line is not taken for a slow answer.
MAX_CONNECTIONS = 32

_CONNECT_TIMEOUT_SECONDS = 10.0


def new_client(config: ApiConfig) -> httpx.AsyncClient:
    """Make a client with this connection's proxies and certificates. It keeps no cookies: one client serves many tasks."""
    quiet_logs()
    verify = _verification(config.extra.verify)
    proxies = config.extra.proxies or {}
    mounts = {f"{scheme}://": httpx.AsyncHTTPTransport(proxy=url, verify=verify) for scheme, url in proxies.items()}
    return httpx.AsyncClient(
        verify=verify,
        mounts=mounts or None,
        timeout=httpx.Timeout(config.extra.timeout_seconds, connect=_CONNECT_TIMEOUT_SECONDS, pool=None),
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=16),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
    )


def _verification(verify: bool | str) -> bool | ssl.SSLContext:
    if isinstance(verify, bool):
        return verify
    folder = Path(verify).is_dir()
    return ssl.create_default_context(cafile=None if folder else verify, capath=verify if folder else None)


async def send_once(client: httpx.AsyncClient, config: ApiConfig, send: Send) -> Answer | NoAnswer:
    """Send one request and read its whole answer, within limits of time and size."""
    host = shown_host(send.url)
    began = time.monotonic()
    try:
        async with asyncio.timeout(config.extra.timeout_seconds):
            return await _exchange(client, config, send)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError):
        return NoAnswer(f"no connection to {host}", maybe_received=False)
    except (httpx.TimeoutException, TimeoutError):
        return NoAnswer(f"{host} did not answer in time", waited=time.monotonic() - began)
    except Exception:  # noqa: BLE001 - whatever an answer that is not HTTP provokes in the libraries
        return NoAnswer(f"the connection to {host} broke off")


async def _exchange(client: httpx.AsyncClient, config: ApiConfig, send: Send) -> Answer | NoAnswer:
    headers = config.headers(to_api=send.to_api)
    async with client.stream(send.method, send.url, content=send.body, headers=headers) as response:
        answer = Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()})
        if answer.compressed:
            return without_body(answer)
        body = bytearray()
        async for block in response.aiter_raw():
            body += block
            if len(body) > MAX_WHOLE_BYTES:
                return too_long(shown_host(send.url))
        return replace(answer, body=bytes(body), secret=config.api_key)
