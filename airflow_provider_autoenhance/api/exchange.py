"""How a call is carried out, without carrying it out: when to send, when to wait, when to give up.

:func:`exchange` and :func:`open_download` are generators that yield :class:`Send` and :class:`Pause` commands and receive what happened.
The sync and the async hook each drive them with a few lines, so every decision about retries and redirects is made once, here.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.addresses import AddressError, join, origin_of
from airflow_provider_autoenhance.api.answers import MAX_WHOLE_BYTES, Answer, error_of, load_json, read
from airflow_provider_autoenhance.api.calls import Call
from airflow_provider_autoenhance.api.redact import holds_key, redact_url

T = TypeVar("T")

#: Answers after which the same request, sent again, may well succeed.
_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

#: A longer ``Retry-After`` is left to the task's own retries, which hold no worker.
LONGEST_WAIT_SECONDS = 60.0

#: A creation that is still refused with 429 after all tries, with no ``Retry-After``, has mostly met the limit on equal file names,
#: which is counted by the hour.
NAME_LIMIT_SECONDS = 3600.0

MAX_REDIRECTS = 5

#: Where answers are slow or do not come, a call ends after so many times ``timeout_seconds``, whatever the number of its tries.
_TIMEOUTS_IN_ALL = 3


@dataclass(frozen=True)
class Send:
    """Send this request now. ``to_api``: to the API's host, with the key; otherwise elsewhere, without it."""

    method: str
    url: str
    about: str
    body: bytes | None = None
    to_api: bool = True


@dataclass(frozen=True)
class Pause:
    """Sleep, then go on."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class NoAnswer:
    """The transport failed.

    :param maybe_received: the request may have reached the server.
    :param waited: seconds that were spent waiting for bytes that did not come.
    :param unusable: an answer came, but one that cannot be read: too long, compressed, or not HTTP.
    :param forbidden: nothing was sent, because the address may not be asked.
    """

    reason: str
    maybe_received: bool = True
    waited: float = 0.0
    unusable: bool = False
    forbidden: bool = False


Steps = Generator[Send | Pause, Answer | NoAnswer | None, T]


@dataclass(frozen=True)
class Patience:
    """How often to try, and how long to wait in between.

    Waits grow from ``first_wait_seconds`` by doubling, with full jitter, up to :data:`LONGEST_WAIT_SECONDS`.

    :param timeout_seconds: seconds that one answer may take.
    """

    max_attempts: int = 5
    timeout_seconds: float = 60.0
    first_wait_seconds: float = 0.5
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic


@dataclass
class Tries:
    """The tries of one call, and the decision about another one."""

    patience: Patience
    made: int = 0
    _waited: float = field(default=0.0, init=False)

    def pause_after(self, error: errors.AutoenhanceError, waited: float) -> float | None:
        """Count a try that failed. Return the seconds until the next, or ``None`` to give up.

        :param waited: seconds that the try kept the caller waiting.
        """
        self.made += 1
        if self.made >= self.patience.max_attempts:
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= LONGEST_WAIT_SECONDS else None
        timeout = self.patience.timeout_seconds
        if waited > timeout / 2:  # a try that kept the caller waiting needs no pause as well
            self._waited += waited
            return 0.0 if self._waited + timeout < (_TIMEOUTS_IN_ALL + 0.1) * timeout else None
        ceiling = min(LONGEST_WAIT_SECONDS, self.patience.first_wait_seconds * 2.0 ** (self.made - 1))
        return ceiling * (0.5 + 0.5 * self.patience.jitter())

    def announce(self, error: errors.AutoenhanceError, pause: float) -> str:
        """Say in a log line that there will be another try."""
        return f"{error} Trying again in {pause:.1f} s ({self.made} of {self.patience.max_attempts})."


def exchange(call: Call[T], base_url: str, patience: Patience) -> Steps[T]:
    """Carry out a call that answers JSON.

    A call that is not repeatable is sent again only where the server certainly did nothing: it could not be reached, or it refused
    with 429. Otherwise the lost answer surfaces as an error, and the caller reads the order before creating anything again.
    """
    send = _request(call, base_url)
    tries = Tries(patience)
    while True:
        began = patience.clock()
        answer = yield send
        waited = patience.clock() - began
        try:
            return read(call, arrived(answer, call.about))
        except errors.AutoenhanceError as error:
            pause = tries.pause_after(error, waited) if _may_repeat(call, error) else None
            if pause is None:
                if _names_a_file(call) and error.status_code == 429 and error.retry_after is None:
                    error.retry_after = NAME_LIMIT_SECONDS
                raise
            yield Pause(pause, tries.announce(error, pause))


def open_download(call: Call[Any], base_url: str, patience: Patience) -> Steps[Answer]:
    """Follow a download to its bytes, once: return the head of the answer that streams them.

    The key goes only to the API's own origin. Once a redirect has left that, the key does not come back: the host there could
    name another image of the account, and have it bought. An answer in JSON with a ``url`` is followed too, because the vendor's own
    samples read one.

    :raises ForbiddenAddressError: when a redirect leads to what is not a plain web address, or from https to http.
    """
    send = _request(call, base_url)
    api = origin_of(base_url)
    began = patience.clock()
    for _ in range(MAX_REDIRECTS + 1):
        waited = patience.clock() - began
        if waited > (_TIMEOUTS_IN_ALL - 1) * patience.timeout_seconds:
            raise errors.UnreachableError(f"{send.about}: the redirects to the image took too long.", waited=waited)
        answer = arrived((yield send), send.about)
        target = _redirect_target(answer)
        if target is None:
            _check_bytes(answer, send)
            return answer
        if holds_key(target, answer.secret):
            raise errors.ForbiddenAddressError(
                f"{send.about}: the download was redirected to an address with the API key in it."
            )
        try:
            url = join(send.url, target)
            stays = send.to_api and origin_of(url) == api
        except AddressError as error:
            raise errors.ForbiddenAddressError(
                f"{send.about}: the download was redirected to {redact_url(target)[:200]}, which {error}."
            ) from None
        send = Send("GET", url, send.about, to_api=stays)
    raise errors.ServerError(f"{send.about}: the download was redirected more than {MAX_REDIRECTS} times.")


def _redirect_target(answer: Answer) -> str | None:
    if answer.status in (301, 302, 303, 307, 308):
        return answer.headers.get("location") or None
    if answer.status == 200 and answer.content_type == "application/json":
        try:
            body = load_json(answer.body)
        except ValueError:
            return None
        url = body.get("url") if isinstance(body, dict) else None
        return url if isinstance(url, str) else None
    return None


def _check_bytes(answer: Answer, send: Send) -> None:
    untyped = answer.content_type in ("", "application/octet-stream", "binary/octet-stream")
    if answer.status == 200 and (untyped or answer.content_type.startswith("image/")):
        if answer.compressed:
            raise errors.ServerError(
                f"{send.about}: {redact_url(send.url)} sends a compressed form, not the image itself."
            )
        return
    if not send.to_api and answer.status in (401, 403, 404):
        # The asset host's link is short-lived; asking the API again gives a fresh one.
        raise errors.ServerError(
            f"{send.about}: the asset host {origin_of(send.url).host} answered {answer.status}; the link may have expired.",
            status_code=answer.status,
        )
    if answer.status == 200 or 300 <= answer.status < 400:
        raise errors.ServerError(
            f"{send.about}: expected image bytes from {redact_url(send.url)} but got {answer.status} "
            f"{answer.clean(answer.content_type)[:80] or 'without a type'}."
        )
    raise error_of(answer, send.about)


def _request(call: Call[Any], base_url: str) -> Send:
    query = f"?{urlencode(call.query)}" if call.query else ""
    body = None if call.body is None else json.dumps(call.body).encode()
    return Send(call.method, f"{base_url}{call.path}{query}", call.about, body)


def arrived(answer: Answer | NoAnswer | None, about: str) -> Answer:
    """Return the answer.

    :raises AutoenhanceError: when there is not a usable answer.
    """
    if isinstance(answer, Answer):
        return answer
    lost = answer or NoAnswer("no answer")
    if lost.forbidden:
        raise errors.ForbiddenAddressError(f"{about}: {lost.reason}.")
    if lost.unusable:
        raise errors.ServerError(f"{about}: {lost.reason}.")
    raise errors.UnreachableError(f"{about}: {lost.reason}.", maybe_received=lost.maybe_received, waited=lost.waited)


def too_long(host: str) -> NoAnswer:
    """What a transport gives for a body that is longer than what is read whole."""
    return NoAnswer(f"{host} sent more than {MAX_WHOLE_BYTES >> 20} MiB where a short answer belongs", unusable=True)


def without_body(answer: Answer) -> Answer | NoAnswer:
    """What a transport gives for a compressed body, which it does not read: a failure's status says enough, a success does not."""
    if answer.status >= 300:
        return answer
    return NoAnswer("the answer is compressed, which was not asked for", unusable=True)


def _names_a_file(call: Call[Any]) -> bool:
    return call.method == "POST" and call.path in ("/v3/images/", "/v3/brackets/")


def _may_repeat(call: Call[Any], error: errors.AutoenhanceError) -> bool:
    if call.repeatable:
        return error.retryable and (error.status_code is None or error.status_code in _PASSING_STATUSES)
    return error.status_code == 429 or (isinstance(error, errors.UnreachableError) and not error.maybe_received)
