"""A web server on loopback that answers as told."""

from __future__ import annotations

import datetime
import http.server
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Host:
    """A web server on loopback whose paths answer as told."""

    def __init__(self, context: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.paths: dict[str, Answer] = {}
        self.on_delete: Answer = lambda handler: handler.send_error(404)
        self.seen: list[tuple[str, dict[str, str]]] = []
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.seen.append((self.path, dict(self.headers)))
                host.paths.get(self.path.split("?")[0], lambda h: h.send_error(404))(self)

            do_PUT = do_GET  # noqa: N815

            def do_DELETE(self) -> None:
                host.on_delete(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up, that is the point
        self.port = self._server.server_port
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Host:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


def page(body: bytes, query: str | None = None) -> Answer:
    """A photo on the web; with ``query``, only for who has the signature."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        allowed = query is None or handler.path.endswith(query)
        handler.send_response(200 if allowed else 403)
        handler.send_header("ETag", '"1"')
        handler.send_header("Content-Length", str(len(body) if allowed else 0))
        handler.end_headers()
        handler.wfile.write(body if allowed else b"")

    return answer


def certificate(folder: Path, name: str) -> Path:
    """Make ``host.pem`` (certificate and key) and ``ca.pem`` (what to trust), and return the latter."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "host.pem").write_bytes(pem + secret)
    (folder / "ca.pem").write_bytes(pem)
    return folder / "ca.pem"
