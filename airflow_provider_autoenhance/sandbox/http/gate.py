"""The gate: strangers are refused on every port, before a request has any effect.

A browser on this machine runs pages of every site. Such a page can reach the sandbox in two ways: by a name of its own site that
resolves to this machine (DNS rebinding), which the Host header shows, or across origins, which Origin or Sec-Fetch-Site shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from airflow_provider_autoenhance.sandbox.errors import ApiError

CONTROL = "/sandbox/"
_AUTHORITY = re.compile(r"([a-z0-9_.-]+|\[[0-9a-f.]*:[0-9a-f:.]*\])(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"https?://[a-z0-9_.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?|null")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OUR_SITE = frozenset({b"none", b"same-origin"})

Headers = Iterable[tuple[bytes, bytes]]


class Gate:
    """Decides whether a request may come in to one server.

    :param port: where the server listens; loopback names must come with it.
    :param tls: whether it speaks https.
    :param names: further ``NAME`` or ``NAME:PORT`` that are its own; without a port, its own port is meant.
    :param origins: web pages that may call it, but for ``/sandbox/*``.
    :param subdomains: whether names below its own are its own too, as ``bucket.localhost`` is S3's.
    """

    def __init__(
        self, port: int, *, tls: bool, names: Iterable[str] = (), origins: Iterable[str] = (), subdomains: bool = False
    ) -> None:
        self._port = port
        self._default_port = 443 if tls else 80
        self._origins = {_checked_origin(origin).encode() for origin in origins}
        self._subdomains = subdomains
        self._own = {("localhost", port), ("::1", port)} | {authority(name, port) for name in names}
        self._usual = {f"{name}:{port}".encode() for name in ("localhost", "127.0.0.1", "[::1]")}

    def admit(self, method: str, path: str, target: str, headers: Headers) -> str | None:
        """Let a request in.

        :param method: its HTTP method.
        :param path: its path, as sent.
        :param target: its whole request target, which may name a host itself.
        :param headers: names in lower case, and values.
        :returns: the allowed Origin that it comes from, if from a web page.
        :raises ApiError: 421 for a name that is not ours, 403 for a web page.
        """
        hosts, origins, sites = [], [], []
        for name, value in headers:
            if name == b"host":
                hosts.append(value.strip(b" \t"))
            elif name == b"origin":
                origins.append(value)
            elif name == b"sec-fetch-site":
                sites.append(value)
        if len(hosts) != 1 or not self._is_own(hosts[0]) or not self._is_own_target(target):
            raise ApiError(421, self._not_our_name())
        control = path.startswith(CONTROL)
        if origins:
            if control or len(origins) > 1 or origins[0] not in self._origins:
                raise ApiError(403, self._no_page(control))
            return origins[0].decode()
        if not _OUR_SITE.issuperset(sites) and (control or self._subdomains or method not in _READING):
            raise ApiError(403, self._no_page(control))
        return None

    def _is_own(self, host: bytes) -> bool:
        if host in self._usual:
            return True
        try:
            name, port = authority(host.decode("latin-1"), self._default_port)
        except ValueError:
            return False
        if (name, port) in self._own or (port == self._port and _is_loopback(name)):
            return True
        parents = [own for own, own_port in self._own if own_port == port and not _is_address(own)]
        return self._subdomains and name.endswith(tuple(f".{parent}" for parent in parents))

    def _is_own_target(self, target: str) -> bool:
        scheme, absolute, rest = target.partition("://")
        if not absolute or "/" in scheme or "?" in scheme:
            return True
        return self._is_own(re.split(r"[/?#]", rest, maxsplit=1)[0].encode("latin-1"))

    def _not_our_name(self) -> str:
        return (
            f"The Host header does not name this sandbox. It answers to localhost:{self._port} and 127.0.0.1:{self._port};"
            " start it with --allow-host NAME or --allow-host NAME:PORT to reach it by another name."
        )

    def _no_page(self, control: bool) -> str:
        reason = "The request comes from a web page, as its Origin or Sec-Fetch-Site header says"
        if control or self._subdomains:
            return f"{reason}. /sandbox/* and S3 do not serve web pages; call them from a program."
        return f"{reason}, of an origin that is not allowed. Start the sandbox with --allow-origin ORIGIN to allow it."


def authority(text: str, default_port: int) -> tuple[str, int]:
    """Read a host with or without a port, as a Host header holds it.

    :param text: the host.
    :param default_port: the port where the text does not name one.
    :returns: the name in lower case, without a final dot; an address in its usual spelling, without brackets.
    :raises ValueError: for anything else, such as user info or a port out of range.
    """
    found = _AUTHORITY.fullmatch(text.lower())
    port = int(found[2] or default_port) if found else 0
    if found is None or not 0 < port < 1 << 16:
        raise ValueError(f"{text!r} is not a host: give NAME or NAME:PORT, and an IPv6 address in brackets")
    name = found[1].removesuffix(".")
    if name.startswith("["):
        return str(ip_address(name[1:-1])), port
    return name, port


def _checked_origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError(f"{text!r} is not an origin: give http://HOST or https://HOST:PORT, as a browser sends it")
    return text


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return name.startswith("127.") and _is_address(name)
