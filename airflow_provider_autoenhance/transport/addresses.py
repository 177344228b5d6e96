"""Which internet addresses a URL from outside may lead to: of a source, of a redirect, of an upload.

It must not make the worker ask the company's own network, the worker itself, or a cloud's metadata service.
"""

from __future__ import annotations

import ipaddress
import socket

from airflow_provider_autoenhance.api.errors import SourceError, UnreachableError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: Not for the public internet, yet Python's tables (of one version or another) call them global: site-local, documentation, the
#: 6to4 relay, protocol assignments.
_NOT_PUBLIC = tuple(
    map(ipaddress.ip_network, ("fec0::/10", "3fff::/20", "192.88.99.0/24", "192.0.0.0/24", "64:ff9b:1::/48"))
)
_ISATAP = (0x00005EFE, 0x02005EFE)
_AZURE_WIRESERVER = ipaddress.ip_address("168.63.129.16")  # public by number, yet it answers with a machine's secrets


class HostRefusedError(SourceError):
    """The host is unknown, or not on the public internet. Nothing was sent to it."""


def resolve_public(host: str, port: int) -> list[str]:
    """Return all addresses of a host, after checking that each is a public one.

    :raises HostRefusedError: when the host is unknown, or one of its addresses is not public.
    :raises UnreachableError: the name service did not answer.
    """
    addresses = resolve(host, port)
    require_public(host, addresses)
    return addresses


def require_public(host: str, addresses: list[str]) -> None:
    """Raise HostRefusedError unless each address of the host is a public one."""
    for address in addresses:
        if not is_public(address):
            raise HostRefusedError(
                f"The host {host!r} leads to {address}, which is not a public internet address. If you trust such hosts, "
                'set "allow_private_sources": true in the extra of the Autoenhance connection.'
            )


def check_proxied(host: str, port: int) -> None:
    """Check a host that a proxy will resolve, as far as the worker's own name service knows it."""
    try:
        addresses = resolve(host, port)
    except (HostRefusedError, UnreachableError):
        return
    require_public(host, addresses)


def is_private(host: str, port: int) -> bool:
    """Say whether a host is known and not on the public internet."""
    try:
        return not all(map(is_public, resolve(host, port)))
    except (HostRefusedError, UnreachableError):
        return False


def resolve(host: str, port: int) -> list[str]:
    """Return all addresses of a host."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise UnreachableError(f"The name service did not answer for host {host!r}; try again.") from None
        raise HostRefusedError(f"There is no host {host!r}. Check the address.") from None
    except (UnicodeError, OverflowError, ValueError):
        raise HostRefusedError(f"{host!r} is not a valid host name. Check the address.") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet, also when it is wrapped in an IPv6 one."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _unwrap(ip)
        if inner is not None:
            return is_public(str(inner))
    if any(ip in network for network in _NOT_PUBLIC if network.version == ip.version):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and ip != _AZURE_WIRESERVER


def _unwrap(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
