"""The worker's side, on ``requests``: whole answers, streamed answers, streamed uploads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from airflow_provider_autoenhance.api.answers import Answer
from airflow_provider_autoenhance.api.exchange import NoAnswer, Send

if TYPE_CHECKING:
    from airflow_provider_autoenhance.api.config import ApiConfig


class SizedReader(Protocol):
    """Bytes to upload: a length and blocks."""

    def __len__(self) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...


#: Bytes moved at once: 256 KiB, as in storage. requests' own 16 KiB cost 3.7 times the CPU of 1 MiB (measured, plain http).
BLOCK_SIZE = 1 << 18

_CONNECT_TIMEOUT_SECONDS = 10.0


class _BlockAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, blocksize=BLOCK_SIZE, **kwargs)


class _HideQueries(logging.Filter):
    """urllib3 logs whole paths at DEBUG; the query of a presigned URL is a credential."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                each.partition("?")[0] if isinstance(each, str) and "?" in each else each for each in record.args
            )
        return True


_HIDE_QUERIES = _HideQueries()


#: Connections to one host that are kept open for the next request.
_KEPT_CONNECTIONS = 64


class Sessions:
    """A session for each thread; they share their open connections, so that a new thread needs no handshakes.

    They have this connection's proxies and certificates, and neither key nor cookies nor netrc.
    """

    def __init__(self, config: ApiConfig) -> None:
        self._config = config
        self._adapter = _BlockAdapter(pool_maxsize=_KEPT_CONNECTIONS)
        self._local = threading.local()
        logging.getLogger("urllib3.connectionpool").addFilter(_HIDE_QUERIES)

    def mine(self) -> requests.Session:
        """Return this thread's session."""
        if not hasattr(self._local, "session"):
            session = requests.Session()
            session.mount("https://", self._adapter)
            session.mount("http://", self._adapter)
            session.auth = lambda request: request  # or requests would look for the host in ~/.netrc
            session.verify = self._config.extra.verify
            session.proxies = dict(self._config.extra.proxies or {})
            self._local.session = session
        mine: requests.Session = self._local.session
        return mine


def send_once(session: requests.Session, config: ApiConfig, send: Send) -> Answer | NoAnswer:
    """Send one request and read its whole answer."""
    try:
        with _request(session, config, send) as response:
            return Answer(response.status_code, _headers(response.headers), response.content)
    except requests.RequestException as error:
        return _no_answer(error, send.url)


def put_once(
    session: requests.Session, config: ApiConfig, url: str, body: SizedReader, content_type: str
) -> Answer | NoAnswer:
    """PUT a sized stream to a presigned URL. ``requests`` sends Content-Length from ``len(body)``; S3 refuses chunks."""
    headers = config.headers(to_api=False) | {"Content-Type": content_type, "Content-Length": str(len(body))}
    try:
        with _exchange(session, config, "PUT", url, headers, body) as response:
            return Answer(response.status_code, _headers(response.headers), response.content)
    except requests.RequestException as error:
        return _no_answer(error, url)


class Streamed:
    """A request whose answer is read block by block. Holds at most one open response."""

    def __init__(self, session: requests.Session, config: ApiConfig) -> None:
        self._session = session
        self._config = config
        self._response: requests.Response | None = None

    def send(self, send: Send) -> Answer | NoAnswer:
        """Send, after closing what was open. Reads the body only of what is not image bytes."""
        self.close()
        try:
            self._response = _request(self._session, self._config, send)
            answer = Answer(self._response.status_code, _headers(self._response.headers))
            if answer.status == 200 and answer.content_type not in ("application/json", "text/html"):
                return answer
            return Answer(answer.status, answer.headers, self._response.content)
        except requests.RequestException as error:
            return _no_answer(error, send.url)

    def read(self, size: int = -1) -> bytes:
        """Read the next block.

        :raises OSError: when the connection breaks or the body is shorter than announced.
        """
        if self._response is None:
            return b""
        try:
            data: bytes = self._response.raw.read(None if size < 0 else size)
        except HTTPError as error:
            raise ConnectionError(type(error).__name__) from None
        return data

    def close(self) -> None:
        """Give the connection back."""
        if self._response is not None:
            self._response.close()
            self._response = None


def _request(session: requests.Session, config: ApiConfig, send: Send) -> requests.Response:
    return _exchange(session, config, send.method, send.url, config.headers(to_api=send.to_api), send.body)


def _exchange(
    session: requests.Session, config: ApiConfig, method: str, url: str, headers: dict[str, str], body: Any
) -> requests.Response:
    """Send one request and read the head of its answer.

    By way of the adapter: what ``Session.request`` does beside is for cookies and redirects, of which there are none here.
    """
    prepared = requests.Request(method, url, headers={**session.headers, **headers}, data=body).prepare()
    around = session.merge_environment_settings(url, {}, True, None, None)
    return session.get_adapter(url).send(
        prepared,
        stream=True,
        timeout=_timeout(config),
        verify=config.extra.verify,  # or a variable of the environment would take the place of the connection's
        cert=around["cert"],
        proxies=around["proxies"],
    )


def _timeout(config: ApiConfig) -> tuple[float, float]:
    return min(_CONNECT_TIMEOUT_SECONDS, config.extra.timeout_seconds), config.extra.timeout_seconds


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _no_answer(error: requests.RequestException, url: str) -> NoAnswer:
    """Say in words why there was no answer. The library's own text holds the URL, so it is never used."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NameResolutionError):
        return NoAnswer(f"the host name {host} cannot be resolved", maybe_received=False)
    if isinstance(error, requests.exceptions.ProxyError):
        return NoAnswer("the proxy cannot be reached; check 'proxies' in the connection's extra", maybe_received=False)
    if isinstance(error, requests.exceptions.SSLError):
        return NoAnswer(f"the TLS certificate of {host} was refused; check 'verify'", maybe_received=False)
    if isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return NoAnswer(f"no connection to {host}", maybe_received=False)
    if isinstance(error, requests.Timeout):
        return NoAnswer(f"{host} did not answer in time")
    return NoAnswer(f"the connection to {host} broke off")
