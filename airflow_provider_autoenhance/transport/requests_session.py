"""The worker's side, on ``requests``: whole answers, streamed answers, streamed uploads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import requests
from urllib3.exceptions import NameResolutionError, NewConnectionError, ReadTimeoutError

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.addresses import origin_of
from airflow_provider_autoenhance.api.answers import Answer
from airflow_provider_autoenhance.api.exchange import NoAnswer, Send, too_long, without_body
from airflow_provider_autoenhance.api.quiet import quiet_logs
from airflow_provider_autoenhance.api.redact import shown_host
from airflow_provider_autoenhance.transport.adapter import BLOCK_SIZE, LimitedAdapter
from airflow_provider_autoenhance.transport.addresses import HostRefusedError, is_private
from airflow_provider_autoenhance.transport.limits import AnswerTooLongError, read_block, read_whole

if TYPE_CHECKING:
    from airflow_provider_autoenhance.api.config import ApiConfig


class SizedReader(Protocol):
    """Bytes to upload: a length and blocks."""

    def __len__(self) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...


_CONNECT_TIMEOUT_SECONDS = 10.0

#: Connections to one host that are kept open for the next request.
_KEPT_CONNECTIONS = 64


class Sessions:
    """A session for each thread; they share their open connections, so that a new thread needs no handshakes.

    They have this connection's proxies and certificates, and neither key nor cookies nor netrc.
    """

    def __init__(self, config: ApiConfig) -> None:
        self._config = config
        self._api = LimitedAdapter(kept_connections=_KEPT_CONNECTIONS)
        self._local = threading.local()
        quiet_logs()

    def mine(self) -> requests.Session:
        """Return this thread's session."""
        if not hasattr(self._local, "session"):
            session = requests.Session()
            session.mount("https://", self._api)
            session.mount("http://", self._api)
            session.auth = lambda request: request  # or requests would look for the host in ~/.netrc
            session.verify = self._config.extra.verify
            session.proxies = dict(self._config.extra.proxies or {})
            self._local.session = session
        mine: requests.Session = self._local.session
        return mine

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Any = None, *, to_api: bool
    ) -> requests.Response:
        """Send one request and read the head of its answer.

        By way of the adapter: what ``Session.request`` adds is for cookies and redirects, which are not used here.
        """
        session, extra = self.mine(), self._config.extra
        prepared = requests.Request(method, url, headers={**session.headers, **headers}, data=body).prepare()
        around = session.merge_environment_settings(url, {}, True, None, None)
        return (self._api if to_api else self._elsewhere).send(
            prepared,
            stream=True,
            timeout=(min(_CONNECT_TIMEOUT_SECONDS, extra.timeout_seconds), extra.timeout_seconds),
            verify=extra.verify,  # or a variable of the environment would take the place of the connection's
            cert=around["cert"],
            proxies=around["proxies"],
        )

    @cached_property
    def _elsewhere(self) -> LimitedAdapter:
        """For uploads and redirects: public hosts only, unless the API itself stands on a private network, as the sandbox does."""
        api = origin_of(self._config.base_url)
        if self._config.extra.allow_private_sources or is_private(api.host, api.port):
            return self._api
        return LimitedAdapter(public_only=True, kept_connections=_KEPT_CONNECTIONS)


def send_once(sessions: Sessions, config: ApiConfig, send: Send) -> Answer | NoAnswer:
    """Send one request and read its whole answer."""

    def attempt() -> Answer | NoAnswer:
        headers = config.headers(to_api=send.to_api)
        with sessions.send(send.method, send.url, headers, send.body, to_api=send.to_api) as response:
            return _whole(response)

    return _attempt(attempt, send.url, config.api_key)


def put_once(
    sessions: Sessions, config: ApiConfig, url: str, body: SizedReader, content_type: str
) -> Answer | NoAnswer:
    """PUT a sized stream to a presigned URL. ``requests`` sends Content-Length from ``len(body)``; S3 refuses chunks."""

    def attempt() -> Answer | NoAnswer:
        headers = config.headers(to_api=False) | {"Content-Type": content_type, "Content-Length": str(len(body))}
        with sessions.send("PUT", url, headers, body, to_api=False) as response:
            return _whole(response)

    return _attempt(attempt, url, config.api_key)


class Streamed:
    """A request whose answer is read block by block. Holds at most one open response."""

    def __init__(self, sessions: Sessions, config: ApiConfig) -> None:
        self._sessions = sessions
        self._config = config
        self._response: requests.Response | None = None

    def send(self, send: Send) -> Answer | NoAnswer:
        """Send, after closing what was open. Reads the body only of what is not image bytes."""
        self.close()

        def attempt() -> Answer | NoAnswer:
            headers = self._config.headers(to_api=send.to_api)
            response = self._sessions.send(send.method, send.url, headers, send.body, to_api=send.to_api)
            self._response = response
            answer = Answer(response.status_code, _headers(response.headers))
            if answer.status == 200 and answer.content_type not in ("application/json", "text/html"):
                return answer
            return _whole(response)

        return _attempt(attempt, send.url, self._config.api_key)

    def read(self, size: int = -1) -> bytes:
        """Read the next block.

        :param size: bytes; -1 for all that is left.
        :raises OSError: when the connection breaks or the body is shorter than announced; ``TimeoutError`` when it is too slow.
        """
        if self._response is None:
            return b""
        if size < 0:
            return b"".join(iter(lambda: self.read(BLOCK_SIZE), b""))
        try:
            return read_block(self._response.raw, size)
        except ReadTimeoutError as error:
            raise TimeoutError(type(error).__name__) from None
        except Exception as error:  # noqa: BLE001 - urllib3 and the standard library have many, some with the URL in their text
            raise ConnectionError(type(error).__name__) from None

    def close(self) -> None:
        """Give the connection back."""
        if self._response is not None:
            self._response.close()
            self._response = None


def _whole(response: requests.Response) -> Answer | NoAnswer:
    answer = Answer(response.status_code, _headers(response.headers))
    return without_body(answer) if answer.compressed else replace(answer, body=read_whole(response.raw))


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _attempt(exchange: Callable[[], Answer | NoAnswer], url: str, api_key: str) -> Answer | NoAnswer:
    """Carry out an exchange, and say in words why there was no answer. The library's own text holds the URL, so it is never used."""
    began = time.monotonic()
    host = shown_host(url)
    try:
        answer = exchange()
        return replace(answer, secret=api_key) if isinstance(answer, Answer) else answer
    except HostRefusedError as error:
        return NoAnswer(str(error).rstrip("."), maybe_received=False, forbidden=True)
    except errors.AutoenhanceError:  # of the body that was to be sent
        raise
    except AnswerTooLongError:
        return too_long(host)
    except Exception as error:  # noqa: BLE001 - requests, urllib3 and the standard library have many
        return _no_answer(error, host, time.monotonic() - began)


def _no_answer(error: Exception, host: str, seconds: float) -> NoAnswer:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NameResolutionError):
        return NoAnswer(f"the host name {host} cannot be resolved", maybe_received=False)
    if isinstance(error, requests.exceptions.ProxyError):
        return NoAnswer("the proxy cannot be reached; check 'proxies' in the connection's extra", maybe_received=False)
    if isinstance(error, requests.exceptions.SSLError):
        return NoAnswer(f"the TLS certificate of {host} was refused; check 'verify'", maybe_received=False)
    if isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return NoAnswer(f"no connection to {host}", maybe_received=False, waited=seconds)
    if isinstance(error, (requests.Timeout, ReadTimeoutError)) or isinstance(reason, ReadTimeoutError):
        return NoAnswer(f"{host} did not answer in time", waited=seconds)
    return NoAnswer(f"the connection to {host} broke off")
