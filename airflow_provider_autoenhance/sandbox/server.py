"""The server: it starts the listeners and the S3, prints how to connect to them, and stops them cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import uvicorn

from airflow_provider_autoenhance.sandbox.api.endpoints import API, ASSETS, CONTROL
from airflow_provider_autoenhance.sandbox.http.gate import Gate
from airflow_provider_autoenhance.sandbox.http.listener import Listener
from airflow_provider_autoenhance.sandbox.http.wire import ExposingProtocol
from airflow_provider_autoenhance.sandbox.state.faults import FaultRule
from airflow_provider_autoenhance.sandbox.state.service import Service
from airflow_provider_autoenhance.sandbox.state.settings import Settings
from airflow_provider_autoenhance.sandbox.store.s3 import S3Process

KEEP_ALIVE_SECONDS = 75
STOP_SECONDS = 1

log = logging.getLogger(__name__)


@dataclass
class Options:
    """What can be chosen only at start.

    :param settings: those that a reset returns to.
    :param host: address to listen on.
    :param port: of the API; 0 = a free one.
    :param s3_port: as ``port``; None leaves S3 out.
    :param asset_port: as ``port``, of uploads and downloads.
    :param api_keys: one account each.
    :param data_dir: where files go while it runs; None = a temporary folder.
    :param public_host: name used in URLs that clients get; None = the one each client used.
    :param allow_hosts: further names, or ``NAME:PORT``, by which clients may reach it.
    :param allow_origins: web pages that may call the API and the asset host.
    :param env_file: where to write the environment lines when ready.
    :param tls: certificate and key files for all ports.
    :param rules: faults from the start on.
    :param stop_on_eof: also stop when standard input ends, as it does when the parent dies.
    """

    settings: Settings
    host: str = "127.0.0.1"
    port: int = 8787
    s3_port: int | None = 8788
    asset_port: int = 8789
    api_keys: list[str] = field(default_factory=list)
    data_dir: Path | None = None
    public_host: str | None = None
    allow_hosts: list[str] = field(default_factory=list)
    allow_origins: list[str] = field(default_factory=list)
    env_file: Path | None = None
    tls: tuple[Path, Path] | None = None
    stop_on_eof: bool = False
    rules: list[FaultRule] = field(default_factory=list)


class _Server(uvicorn.Server):
    """A uvicorn that leaves signals to :func:`serve`, because two of them share the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(options: Options) -> None:
    """Run the sandbox until SIGINT or SIGTERM.

    :param options: what was chosen at start.
    :raises OSError: when a port is taken.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.stop_on_eof:
        loop.add_reader(sys.stdin, lambda: None if os.read(sys.stdin.fileno(), 4096) else _stop_reading(loop, stop))
    with _folder(options.data_dir) as folder:
        await _serve(options, folder, stop)


def _stop_reading(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    loop.remove_reader(sys.stdin)
    stop.set()


async def _serve(options: Options, folder: Path, stop: asyncio.Event) -> None:
    api, assets = (_listen(options.host, port) for port in (options.port, options.asset_port))
    scheme = "https" if options.tls else "http"
    address = _address(api)
    host = options.public_host or _shown(options.host, address)
    names = _names(options, address)
    service = Service(
        options.settings,
        options.rules,
        options.api_keys,
        folder,
        endpoints=frozenset(name for route in (*API, *ASSETS) for name in route.names),
        scheme=scheme,
        asset_port=assets.getsockname()[1],
        public_host=options.public_host,
    )
    api_address, asset_address = (f"{host}:{sock.getsockname()[1]}" for sock in (api, assets))
    gates = [
        Gate(sock.getsockname()[1], tls=bool(options.tls), names=names, origins=options.allow_origins)
        for sock in (api, assets)
    ]
    servers = [
        _server(options, Listener(service, [*API, *CONTROL], api_address, gates[0], storage=False)),
        _server(options, Listener(service, ASSETS, asset_address, gates[1], storage=True)),
    ]
    tasks = [asyncio.ensure_future(server.serve([sock])) for server, sock in zip(servers, (api, assets), strict=True)]
    try:
        s3_address = await _start_s3(options, service, folder, host, names)
        while not all(server.started for server in servers):
            await asyncio.sleep(0.01)
        service.addresses = {
            "api": f"{scheme}://{api_address}",
            "assets": f"{scheme}://{asset_address}",
            "s3": f"{scheme}://{s3_address}" if s3_address else None,
        }
        if not address.is_loopback:
            log.warning(
                "The sandbox listens on %s, beyond this machine: whoever reaches its ports can steer it (/sandbox/*) and"
                " read and delete what its S3 holds. Neither asks for a key.",
                address,
            )
        _announce(options, service.addresses)
        if service.world.settings.webhook_url:
            service.webhooks.saved(service.world)
        await stop.wait()
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)
        await service.stop()
        if service.s3:
            await service.s3.stop()


def _address(sock: socket.socket) -> IPv4Address | IPv6Address:
    """Return the address that a socket listens on."""
    return ip_address(sock.getsockname()[0].partition("%")[0])


def _shown(host: str, address: IPv4Address | IPv6Address) -> str:
    """Return the host that clients on this machine put into URLs."""
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{host}]" if ":" in host else host


def _names(options: Options, address: IPv4Address | IPv6Address) -> list[str]:
    """Return the names that the sandbox answers to besides the loopback's."""
    names = [*options.allow_hosts, *([options.public_host] if options.public_host else [])]
    if not address.is_unspecified:
        names += [_shown(str(address), address), _shown(options.host, address)]
    return names


async def _start_s3(options: Options, service: Service, folder: Path, host: str, names: list[str]) -> str | None:
    if options.s3_port is None:
        return None
    s3 = await S3Process.start(options.host, options.s3_port, folder / "s3", options.tls, names)
    service.s3 = s3
    address = f"{host}:{s3.port}"

    def on_api_key() -> None:
        service.world.api_key_hosts[address] += 1

    s3.watch(on_api_key)
    return address


def _announce(options: Options, addresses: dict[str, str | None]) -> None:
    connections: dict[str, dict[str, object]] = {
        "AIRFLOW_CONN_AUTOENHANCE_DEFAULT": {
            "conn_type": "autoenhance",
            "host": addresses["api"],
            "password": options.api_keys[0],
        },
    }
    if addresses["s3"]:
        connections["AIRFLOW_CONN_AWS_DEFAULT"] = {
            "conn_type": "aws",
            "login": "sandbox",
            "password": "sandbox",
            "extra": {"endpoint_url": addresses["s3"], "region_name": "us-east-1"},
        }
    lines = [f"export {name}={shlex.quote(json.dumps(value))}" for name, value in connections.items()]
    text = "\n".join(lines) + "\n"
    if options.env_file:
        partial = options.env_file.with_name(f".{options.env_file.name}.partial")
        partial.touch(mode=0o600)
        partial.chmod(0o600)
        partial.write_text(text)
        partial.replace(options.env_file)
    print(text + "ready", flush=True)


def _listen(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"Can't listen on {host}:{port}: {error.strerror}. Choose another port.") from None
    return sock


def _server(options: Options, app: Listener) -> _Server:
    certificate, key = options.tls or (None, None)
    return _Server(
        uvicorn.Config(
            app,
            http=ExposingProtocol,
            ws="none",
            lifespan="off",
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        ),
    )


@contextlib.contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    """Yield a new folder for files. It is removed at the end."""
    parent = chosen or Path(tempfile.gettempdir())
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="autoenhance-sandbox-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
