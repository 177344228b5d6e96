"""
The S3 beside the API: a moto server in a process of its own.

Its own process, so that it uses another core and its memory can't grow into the API's. moto keeps each big object in
a temporary file with an open descriptor and small ones in memory; the limit on descriptors is raised as far as allowed.
moto checks neither signatures nor expiry: the sandbox's own upload endpoint does.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import logging
import os
import signal
import ssl
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

IN_MEMORY_BYTES = 1 << 20
WITHOUT_DESCRIPTORS_BYTES = 64 << 20
PLENTY_OF_DESCRIPTORS = 16_384
START_SECONDS = 60
BAD_DIGEST = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>BadDigest</Code>'
    b"<Message>The Content-MD5 you specified did not match what we received.</Message></Error>"
)
Environ = dict[str, Any]
log = logging.getLogger(__name__)


class S3Process:
    """A running S3; ends with the process that started it, however that ends."""

    def __init__(self, process: asyncio.subprocess.Process, host: str, port: int, scheme: str) -> None:
        self._process = process
        self._host, self._scheme = host, scheme
        self.port = port
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = False

    @classmethod
    async def start(cls, host: str, port: int, folder: Path, tls: tuple[Path, Path] | None) -> S3Process:
        """
        Start it and wait until it listens.

        :param port: 0 = choose a free one.
        :param folder: where its objects go.
        :param tls: certificate and key files.
        :raises RuntimeError: when it doesn't come up.
        """
        folder.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            json.dumps({"host": host, "port": port, "tls": [str(path) for path in tls] if tls else None}),
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
        return cls(process, host, port, "https" if tls else "http")

    def watch(self, on_api_key: Callable[[], None]) -> None:
        """Call back each time an API key shows up in a request."""

        async def read() -> None:
            assert self._process.stdout is not None  # noqa: S101 - piped at start
            while await self._process.stdout.readline():
                on_api_key()
            if not self._stopping:
                log.error("S3 on port %s has died; restart the sandbox", self.port)

        self._watcher = asyncio.ensure_future(read())

    async def reset(self) -> None:
        """Drop all buckets."""
        await asyncio.to_thread(self._post, "/moto-api/reset")

    def _post(self, path: str) -> None:
        context = ssl._create_unverified_context() if self._scheme == "https" else None  # noqa: S323 - own child
        host = "127.0.0.1" if self._host == "0.0.0.0" else self._host  # noqa: S104
        request = Request(f"{self._scheme}://{host}:{self.port}{path}", b"", method="POST")  # noqa: S310
        with urlopen(request, timeout=30, context=context):  # noqa: S310 - own child
            pass

    async def stop(self) -> None:
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


class KeyWatch:
    """WSGI layer that prints a line when a request carries ``x-api-key``."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_X_API_KEY" in environ:
            sys.stdout.write('{"api_key": true}\n')
            sys.stdout.flush()
        return self._app(environ, start_response)


class DigestCheck:
    """WSGI layer that refuses bytes which are not those that ``Content-MD5`` tells of, as S3 does and moto does not."""

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
    """Serve S3 until standard input ends."""
    options = json.loads(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plenty = _raise_descriptor_limit() >= PLENTY_OF_DESCRIPTORS
    in_memory = IN_MEMORY_BYTES if plenty else WITHOUT_DESCRIPTORS_BYTES
    os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(in_memory))

    import threading

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    from .s3_listing import QuickListing

    class QuietHandler(MotoRequestHandler):
        def log_request(self, *_: Any, **__: Any) -> None:
            pass

    app = KeyWatch(DigestCheck(QuickListing(DomainDispatcherApplication(create_backend_app))))
    tls = tuple(options["tls"]) if options["tls"] else None
    server = make_server(
        options["host"], options["port"], app, threaded=True, request_handler=QuietHandler, ssl_context=tls
    )
    sys.stdout.write(json.dumps({"port": server.server_port}) + "\n")
    sys.stdout.flush()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
