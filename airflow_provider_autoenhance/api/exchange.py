"""How a call is carried out, without carrying it out: when to send, when to wait, when to give up.

:func:`exchange` and :func:`open_download` are generators that yield :class:`Send` and :class:`Wait` commands and receive what happened.
The sync and the async hook each drive them with a few lines, so every decision about retries and redirects is made once, here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.answers import Answer, error_of, read
from airflow_provider_autoenhance.api.calls import Call
from airflow_provider_autoenhance.api.redact import redact_url

T = TypeVar("T")

#: Answers after which the same request, sent again, may well succeed.
_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

#: A longer ``Retry-After`` is left to the task's own retries, which hold no worker.
LONGEST_WAIT_SECONDS = 60.0

#: A creation that is still refused with 429 after all tries, with no ``Retry-After``, has mostly met the limit on equal file names,
#: which is counted by the hour.
NAME_LIMIT_SECONDS = 3600.0

MAX_REDIRECTS = 5


@dataclass(frozen=True)
class Send:
    """Send this request now. ``to_api``: to the API's host, with the key; otherwise elsewhere, without it."""

    method: str
    url: str
    about: str
    body: bytes | None = None
    to_api: bool = True


@dataclass(frozen=True)
class Wait:
    """Sleep, then go on."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class NoAnswer:
    """The transport failed. ``maybe_received``: the request may have reached the server."""

    reason: str
    maybe_received: bool = True


Steps = Generator[Send | Wait, Answer | NoAnswer | None, T]


@dataclass(frozen=True)
class Patience:
    """How often to try, and how long to wait in between.

    Waits grow from ``first_wait_seconds`` by doubling, with full jitter, up to :data:`LONGEST_WAIT_SECONDS`.
    """

    max_attempts: int = 5
    first_wait_seconds: float = 0.5
    jitter: Callable[[], float] = random.random

    def wait_after(self, error: errors.AutoenhanceError, attempt: int) -> float | None:
        """Seconds until the next try, or ``None`` to give up."""
        if attempt >= self.max_attempts:
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= LONGEST_WAIT_SECONDS else None
        ceiling = min(LONGEST_WAIT_SECONDS, self.first_wait_seconds * 2.0 ** (attempt - 1))
        return ceiling * (0.5 + 0.5 * self.jitter())


def exchange(call: Call[T], base_url: str, patience: Patience) -> Steps[T]:
    """Carry out a call that answers JSON.

    A call that is not repeatable is sent again only where the server certainly did nothing: it could not be reached, or it refused
    with 429. Otherwise the lost answer surfaces as an error, and the caller reads the order before creating anything anew.
    """
    send = _request(call, base_url)
    attempt = 0
    while True:
        attempt += 1
        answer = yield send
        try:
            return read(call, _arrived(answer, call.about))
        except errors.AutoenhanceError as error:
            pause = patience.wait_after(error, attempt) if _may_repeat(call, error) else None
            if pause is None:
                if _names_a_file(call) and error.status_code == 429 and error.retry_after is None:
                    error.retry_after = NAME_LIMIT_SECONDS
                raise
            yield Wait(pause, f"{error} Trying again in {pause:.1f} s ({attempt} of {patience.max_attempts}).")


def open_download(call: Call[Any], base_url: str, patience: Patience) -> Steps[Answer]:
    """Follow a download to its bytes: return the head of the answer that streams them.

    The key goes only to the API's own origin, never along a redirect to another. An answer in JSON with a ``url`` is followed too,
    because the vendor's own samples read one.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return (yield from _follow(_request(call, base_url)))
        except errors.AutoenhanceError as error:
            pause = patience.wait_after(error, attempt) if _passing(error) else None
            if pause is None:
                raise
            yield Wait(pause, f"{error} Trying again in {pause:.1f} s ({attempt} of {patience.max_attempts}).")


def _follow(send: Send) -> Steps[Answer]:
    origin = _origin(send.url)
    for _ in range(MAX_REDIRECTS + 1):
        answer = _arrived((yield send), send.about)
        target = _redirect_target(answer)
        if target is None:
            _check_bytes(answer, send)
            return answer
        url = urljoin(send.url, target)
        if urlsplit(url).scheme not in ("http", "https"):
            raise errors.ServerError(
                f"{send.about}: the download was redirected to {redact_url(url)}, which is no web address."
            )
        send = Send("GET", url, send.about, to_api=_origin(url) == origin)
    raise errors.ServerError(f"{send.about}: the download was redirected more than {MAX_REDIRECTS} times.")


def _redirect_target(answer: Answer) -> str | None:
    if answer.status in (301, 302, 303, 307, 308):
        return answer.headers.get("location") or None
    if answer.status == 200 and answer.content_type == "application/json":
        try:
            body = json.loads(answer.body)
        except ValueError:
            return None
        url = body.get("url") if isinstance(body, dict) else None
        return url if isinstance(url, str) else None
    return None


def _check_bytes(answer: Answer, send: Send) -> None:
    untyped = answer.content_type in ("", "application/octet-stream", "binary/octet-stream")
    if answer.status == 200 and (untyped or answer.content_type.startswith("image/")):
        return
    if not send.to_api and answer.status in (401, 403, 404):
        # The asset host's link is short-lived; asking the API again gives a fresh one.
        raise errors.ServerError(
            f"{send.about}: the asset host {urlsplit(send.url).hostname} answered {answer.status}; the link may have expired.",
            status_code=answer.status,
        )
    if answer.status == 200 or 300 <= answer.status < 400:
        raise errors.ServerError(
            f"{send.about}: expected image bytes from {redact_url(send.url)} but got {answer.status} "
            f"{answer.content_type or 'without a type'}."
        )
    raise error_of(answer, send.about)


def _request(call: Call[Any], base_url: str) -> Send:
    query = f"?{urlencode(call.query)}" if call.query else ""
    body = None if call.body is None else json.dumps(call.body).encode()
    return Send(call.method, f"{base_url}{call.path}{query}", call.about, body)


def _arrived(answer: Answer | NoAnswer | None, about: str) -> Answer:
    if isinstance(answer, Answer):
        return answer
    reason, maybe = (answer.reason, answer.maybe_received) if answer else ("no answer", True)
    raise errors.UnreachableError(f"{about}: {reason}.", maybe_received=maybe)


def _names_a_file(call: Call[Any]) -> bool:
    return call.method == "POST" and call.path in ("/v3/images/", "/v3/brackets/")


def _may_repeat(call: Call[Any], error: errors.AutoenhanceError) -> bool:
    if call.repeatable:
        return _passing(error)
    return error.status_code == 429 or (isinstance(error, errors.UnreachableError) and not error.maybe_received)


def _passing(error: errors.AutoenhanceError) -> bool:
    return isinstance(error, errors.UnreachableError) or (
        error.retryable and (error.status_code is None or error.status_code in _PASSING_STATUSES | {401, 403, 404})
    )


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port
