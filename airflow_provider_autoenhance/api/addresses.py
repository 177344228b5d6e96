"""Web addresses that come from outside, read by one grammar that leaves nothing to interpretation.

URL parsers disagree about ``https://evil.example\\@api.autoenhance.ai/``. What is checked must be what is connected to, so only addresses
are taken whose authority every parser reads alike: a plain host name or address, and perhaps a port.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urljoin

_HOST = r"\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\.?"
_ADDRESS = rf"(?i)(https?)://({_HOST})(?::([0-9]{{1,5}}))?(?=[/?#]|\Z)"
_CONTROL = r"[\x00-\x1f\x7f]"
#: Characters. Presigned addresses have some 2,000; HTTP libraries take quadratic time over very long ones.
MAX_LENGTH = 16_384
_DEFAULT_PORTS = {"http": 80, "https": 443}


class AddressError(ValueError):
    """The text is not a web address that every parser reads alike. The message says why, and never holds the address."""


class Origin(NamedTuple):
    """Where an address leads. Two addresses of one origin reach the same server."""

    scheme: str
    host: str
    port: int


def origin_of(url: str) -> Origin:
    """Return where an address leads.

    >>> origin_of("https://API.autoenhance.ai/v3/orders/")
    Origin(scheme='https', host='api.autoenhance.ai', port=443)

    :raises AddressError: when the authority holds a backslash, user info, control or non-ASCII characters, or cannot be parsed.
    """
    if len(url) > MAX_LENGTH:
        raise AddressError(f"has more than {MAX_LENGTH} characters")
    if re.search(_CONTROL, url):
        raise AddressError("holds a control character")
    match = re.match(_ADDRESS, url)
    if match is None:
        raise AddressError("is not a plain web address")
    scheme, host = match[1].lower(), match[2].lower()
    port = int(match[3] or _DEFAULT_PORTS[scheme])
    if not 1 <= port <= 65535:
        raise AddressError("has a port out of range")
    if host.startswith("["):
        import ipaddress

        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            raise AddressError("has an IPv6 address that cannot be read") from None
    return Origin(scheme, host, port)


def join(base: str, target: str) -> str:
    """Return the address that a redirect from ``base`` leads to.

    :param target: of the ``Location`` header; absolute or relative.
    :raises AddressError: when it cannot be parsed, or leads from https to http.
    """
    if len(target) > MAX_LENGTH:
        raise AddressError(f"has more than {MAX_LENGTH} characters")
    if re.search(_CONTROL, target):  # ``urljoin`` would drop some
        raise AddressError("holds a control character")
    try:
        url = urljoin(base, target)
    except ValueError:
        raise AddressError("cannot be parsed") from None
    if origin_of(url).scheme == "http" and base.lower().startswith("https:"):
        raise AddressError("leads from https to plain http")
    return url
