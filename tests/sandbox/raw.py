"""Sends requests byte by byte, as HTTP libraries would not."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """
    :param status: 0 when the connection ended without an answer.
    :param headers: names in lower case.
    """

    status: int
    headers: dict[str, str]
    body: str

    @property
    def shared_with(self) -> list[str]:
        """The headers that let a web page read the answer."""
        return [name for name in self.headers if name.startswith("access-control-")]


def ask(url: str, start: str, *headers: str, body: bytes = b"", host: str | None = None) -> Answer:
    """
    Send one request and read all of the answer.

    :param url: where to connect.
    :param start: method and target, and the version where it is not 1.1.
    :param headers: header lines as they are.
    :param host: the Host header; None is the usual one, an empty string leaves it out.
    """
    address = urlsplit(url)
    lines = [start if " HTTP/" in start else f"{start} HTTP/1.1"]
    if host != "":
        lines.append(f"Host: {host or address.netloc}")
    lines += [*headers, "Connection: close", f"Content-Length: {len(body)}", "", ""]
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + body)
        return _parsed(_rest(connection))


def _rest(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def _parsed(data: bytes) -> Answer:
    head, _, body = data.decode("latin-1").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    pairs = (line.partition(":") for line in lines)
    status = int(first.split()[1]) if first.startswith("HTTP/") else 0
    return Answer(status, {name.lower(): value.strip() for name, _, value in pairs}, body)
