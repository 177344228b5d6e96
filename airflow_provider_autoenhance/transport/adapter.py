"""A requests adapter whose answers are limited, and which connects to public addresses only where that is asked for.

It resolves, checks and connects in one step, so that DNS cannot change its mind in between.
"""

from __future__ import annotations

import socket
from functools import cache
from typing import Any

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.util.connection import create_connection

from airflow_provider_autoenhance.api.addresses import origin_of
from airflow_provider_autoenhance.transport.addresses import check_proxied, resolve_public
from airflow_provider_autoenhance.transport.limits import LimitedResponse

#: Bytes moved at once: 256 KiB, as in storage. requests' own 16 KiB cost 3.7 times the CPU of 1 MiB (measured, plain http).
BLOCK_SIZE = 1 << 18


class _PublicOnly:
    """Mixed into urllib3's connections: the host name stays for TLS and the Host header, only the socket is ours."""

    host: str
    port: int
    timeout: Any
    source_address: tuple[str, int] | None
    socket_options: Any

    def _new_conn(self) -> socket.socket:
        failure: OSError | None = None
        for address in resolve_public(self.host, self.port):
            try:
                return create_connection(
                    (address, self.port),
                    self.timeout,
                    source_address=self.source_address,
                    socket_options=self.socket_options,
                )
            except OSError as error:
                failure = error
        raise failure or OSError("no address")


@cache
def _limited(kind: type, public_only: bool) -> type:
    """Make a class of connections out of urllib3's own: direct, or by way of a proxy."""
    bases = (_PublicOnly, kind) if public_only else (kind,)
    return type(f"Limited{kind.__name__}", bases, {"response_class": LimitedResponse})


class LimitedAdapter(HTTPAdapter):
    """Reads answers within the limits of :mod:`~airflow_provider_autoenhance.transport.limits`.

    :param public_only: connect to public addresses only. A proxy is the operator's own and stays reachable; it resolves names, so
        only what the worker's own name service says of them is checked, if anything.
    :param kept_connections: connections to one host that are kept open for the next request.
    """

    def __init__(self, *, public_only: bool = False, kept_connections: int = 10) -> None:
        self._public_only = public_only
        super().__init__(pool_maxsize=kept_connections)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Move bigger blocks than requests would."""
        super().init_poolmanager(*args, blocksize=BLOCK_SIZE, **options)

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool of connections for a request, whose connections keep the limits."""
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        proxied = select_proxy(request.url or "", proxies) is not None
        if proxied and self._public_only:
            where = origin_of(request.url or "")
            check_proxied(where.host, where.port)
        kind = pool.ConnectionCls  # read once: another thread may be doing the same
        if kind.response_class is not LimitedResponse:
            pool.ConnectionCls = _limited(kind, self._public_only and not proxied)
        return pool
