"""The S3 beside the API: a moto server in a process of its own.

A process of its own uses another core, and its memory is not the API's. moto keeps each big object in a temporary file with an open
descriptor and small ones in memory, so the limit on descriptors is raised as far as allowed. moto checks neither signatures nor
expiry; the sandbox's own upload endpoint does. Of moto's services only S3 and STS are served, and ``/moto-api/`` is switched off.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_autoenhance.sandbox.errors import ApiError, not_found
from airflow_provider_autoenhance.sandbox.http.gate import Gate

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

HEADERS = "sandbox.headers"
SERVICES = frozenset({None, "s3", "sts"})
PATIENCE_SECONDS = 600.0
MOST_BODY_BYTES = 5 << 30
IN_MEMORY_BYTES = 1 << 20
WITHOUT_DESCRIPTORS_BYTES = 64 << 20
PLENTY_OF_DESCRIPTORS = 16_384
START_SECONDS = 60
RESET_SECONDS = 30
API_KEY_SEEN = b'{"api_key": true}\n'
WAS_RESET = b'{"reset": true}\n'
BAD_DIGEST = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>BadDigest</Code>'
    b"<Message>The Content-MD5 you specified did not match what we received.</Message></Error>"
)
Environ = dict[str, Any]
log = logging.getLogger(__name__)


class S3Process:
    """A running S3. It ends with the process that started it, however that ends.

    :param process: the server.
    :param port: where it listens.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port
        self._watcher: asyncio.Task[None] | None = None
        self._resets: asyncio.Queue[None] = asyncio.Queue()
        self._stopping = False

    @classmethod
    async def start(
        cls, host: str, port: int, folder: Path, tls: tuple[Path, Path] | None, names: Sequence[str]
    ) -> S3Process:
        """Start it and wait until it listens.

        :param host: address to listen on.
        :param port: 0 = choose a free one.
        :param folder: where its objects go.
        :param tls: certificate and key files.
        :param names: further names that it answers to, beside the loopback's.
        :raises RuntimeError: when it doesn't come up.
        """
        folder.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            json.dumps(
                {"host": host, "port": port, "tls": [str(path) for path in tls] if tls else None, "names": names}
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        assert process.stdout is not None  # noqa: S101 - piped above
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
            port = json.loads(line)["port"]
        except (TimeoutError, ValueError):
            process.kill()
            raise RuntimeError(f"S3 did not come up on {host}:{port}; is the port in use?") from None
        return cls(process, port)

    def watch(self, on_api_key: Callable[[], None]) -> None:
        """Read what it reports.

        :param on_api_key: called for each request that carries an API key.
        """

        async def read() -> None:
            assert self._process.stdout is not None  # noqa: S101 - piped at start
            while line := await self._process.stdout.readline():
                if line == API_KEY_SEEN:
                    on_api_key()
                elif line == WAS_RESET:
                    self._resets.put_nowait(None)
            if not self._stopping:
                log.error("S3 on port %s has died; restart the sandbox", self.port)

        self._watcher = asyncio.ensure_future(read())

    async def reset(self) -> None:
        """Drop all buckets."""
        assert self._process.stdin is not None  # noqa: S101 - piped at start
        self._process.stdin.write(b"reset\n")
        await self._process.stdin.drain()
        await asyncio.wait_for(self._resets.get(), RESET_SECONDS)

    async def stop(self) -> None:
        """End it, and kill it when it has not ended after five seconds."""
        self._stopping = True
        if self._watcher:
            self._watcher.cancel()
        if self._process.stdin:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class GateLayer:
    """WSGI layer that lets in only what the gate admits. It never admits a web page."""

    def __init__(self, app: Callable[..., Iterable[bytes]], gate: Gate) -> None:
        self._app, self._gate = app, gate

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in environ[HEADERS]]
        try:
            self._gate.admit(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["RAW_URI"], headers)
            if environ["PATH_INFO"].startswith("/moto-api"):
                raise not_found()
            _check_length(environ.get("CONTENT_LENGTH") or "0")
        except ApiError as error:
            answer = error.storage_response()
            start_response(f"{error.status} {HTTPStatus(error.status).phrase}", list(answer.headers.items()))
            return [bytes(answer.body)]
        # moto knows localhost only in this spelling.
        environ["HTTP_HOST"] = environ["HTTP_HOST"].lower().replace(".:", ":")
        return self._app(environ, start_response)


def _check_length(text: str) -> None:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ApiError(400)
    if int(text) > MOST_BODY_BYTES:
        raise ApiError(413)


class KeyWatch:
    """WSGI layer that reports a request with ``x-api-key`` to the parent process."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_X_API_KEY" in environ:
            os.write(1, API_KEY_SEEN)
        return self._app(environ, start_response)


class DigestCheck:
    """WSGI layer that refuses bytes whose MD5 is not that of ``Content-MD5``. S3 does so, moto does not."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        claimed = environ.get("HTTP_CONTENT_MD5")
        if claimed and environ["REQUEST_METHOD"] == "PUT":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            if base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode() != claimed:
                start_response("400 Bad Request", [("Content-Type", "application/xml")])
                return [BAD_DIGEST]
            environ["wsgi.input"] = io.BytesIO(body)
        return self._app(environ, start_response)


def _raise_descriptor_limit() -> int:
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return PLENTY_OF_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard


def main(arguments: str) -> None:
    """Serve S3 until standard input ends. Each line of it asks for a reset.

    :param arguments: JSON with ``host``, ``port``, ``tls`` and ``names``, as :meth:`S3Process.start` takes them.
    """
    options = json.loads(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plenty = _raise_descriptor_limit() >= PLENTY_OF_DESCRIPTORS
    in_memory = IN_MEMORY_BYTES if plenty else WITHOUT_DESCRIPTORS_BYTES
    os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(in_memory))
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
    sys.stdout = sys.stderr  # moto prints there; descriptor 1 is for the parent process
    server = _server(options)
    os.write(1, json.dumps({"port": server.server_port}).encode() + b"\n")

    import threading

    from moto.moto_api._internal.models import moto_api_backend

    threading.Thread(target=server.serve_forever, daemon=True).start()
    for _ in sys.stdin.buffer:
        moto_api_backend.reset()
        os.write(1, WAS_RESET)
    os._exit(0)


def _server(options: dict[str, Any]) -> BaseWSGIServer:
    from flask import Flask
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    from airflow_provider_autoenhance.sandbox.store.s3_listing import QuickListing

    class Handler(MotoRequestHandler):
        timeout = PATIENCE_SECONDS

        def make_environ(self) -> Environ:
            return {**super().make_environ(), HEADERS: self.headers.items()}

        def run_wsgi(self) -> None:
            try:
                super().run_wsgi()
            except ValueError:
                self.send_error(HTTPStatus.BAD_REQUEST, "The request target is not an address.")

        def log_request(self, *_: Any, **__: Any) -> None:
            pass

    class Dispatcher(DomainDispatcherApplication):
        def get_backend_for_host(self, host: str | None) -> Any:
            service = super().get_backend_for_host(host)
            return service if service in SERVICES else "s3"

    def bounded(service: Any) -> Flask:
        app = create_backend_app(service)
        app.config["MAX_CONTENT_LENGTH"] = MOST_BODY_BYTES
        return app

    app = KeyWatch(DigestCheck(QuickListing(Dispatcher(bounded))))
    tls = tuple(options["tls"]) if options["tls"] else None
    server = make_server(options["host"], options["port"], app, threaded=True, request_handler=Handler, ssl_context=tls)
    gate = Gate(server.server_port, tls=bool(tls), names=options["names"], subdomains=True)
    server.app = GateLayer(app, gate)
    return server


if __name__ == "__main__":
    main(sys.argv[1])
