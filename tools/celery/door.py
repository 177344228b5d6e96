"""A door before a server on loopback, that can be shut: whoever comes is answered 503, or not at all."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Literal, Self

Mode = Literal["open", "unavailable", "silent"]
_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_BLOCK = 1 << 16


class Door:
    """It relays what comes to its port to another, which :attr:`leads_to` names. Leaving the ``with`` block closes it."""

    leads_to: int

    def __init__(self) -> None:
        self._mode: Mode = "open"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._server.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="door", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self.set("silent")

    def set(self, mode: Mode) -> None:
        """Let all who come from now on be answered so; what is under way is cut off."""
        with self._lock:
            self._mode, cut = mode, list(self._open)
            self._open.clear()
        for each in cut:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            with self._lock:
                mode = self._mode
                self._open.add(client)
            try:
                self._answer(client, mode)
            finally:
                with self._lock:
                    self._open.discard(client)

    def _answer(self, client: socket.socket, mode: Mode) -> None:
        if mode == "open":
            with socket.create_connection(("127.0.0.1", self.leads_to)) as server:
                threading.Thread(target=_relay, args=(server, client), daemon=True).start()
                _relay(client, server)
                return
        client.recv(_BLOCK)
        if mode == "unavailable":
            client.sendall(_UNAVAILABLE)
        while client.recv(_BLOCK):  # until whoever came goes away, or the door is set anew
            pass


def _relay(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(_BLOCK):
            target.sendall(block)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
