"""The triggerer's side, on ``httpx``: small JSON answers only."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from airflow_provider_autoenhance.api.answers import Answer
from airflow_provider_autoenhance.api.exchange import NoAnswer, Send

if TYPE_CHECKING:
    from airflow_provider_autoenhance.api.config import ApiConfig


def new_client(config: ApiConfig) -> httpx.AsyncClient:
    """Make a client with this connection's proxies and certificates."""
    proxies = config.extra.proxies or {}
    mounts = {f"{scheme}://": httpx.AsyncHTTPTransport(proxy=url) for scheme, url in proxies.items()}
    return httpx.AsyncClient(
        verify=_verification(config.extra.verify),
        mounts=mounts or None,
        timeout=httpx.Timeout(config.extra.timeout_seconds, connect=10.0, pool=None),
        limits=httpx.Limits(max_connections=32, max_keepalive_connections=16),
        follow_redirects=False,
    )


def _verification(verify: bool | str) -> Any:
    if isinstance(verify, bool):
        return verify
    return ssl.create_default_context(cafile=verify)


async def send_once(client: httpx.AsyncClient, config: ApiConfig, send: Send) -> Answer | NoAnswer:
    """Send one request and read its whole answer."""
    host = urlsplit(send.url).netloc
    try:
        response = await client.request(
            send.method, send.url, content=send.body, headers=config.headers(to_api=send.to_api)
        )
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError):
        return NoAnswer(f"no connection to {host}", maybe_received=False)
    except httpx.TimeoutException:
        return NoAnswer(f"{host} did not answer in time")
    except httpx.TransportError:
        return NoAnswer(f"the connection to {host} broke off")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.content)
