"""Photos from the web: public addresses only, redirects followed by hand, streamed, limited in size."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_autoenhance.api.addresses import AddressError, Origin, join, origin_of
from airflow_provider_autoenhance.api.answers import decimal, retry_after
from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    DestinationError,
    ServerError,
    SourceError,
    UnreachableError,
)
from airflow_provider_autoenhance.api.redact import redact_url
from airflow_provider_autoenhance.storage.base import (
    Destination,
    Reader,
    Source,
    SourceAccess,
    Store,
    StoredFile,
    clean_etag,
)
from airflow_provider_autoenhance.storage.location import Location
from airflow_provider_autoenhance.storage.streams import CheckedReader
from airflow_provider_autoenhance.storage.temporary import temporary_file

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)

LONG_ADDRESS = 512
"""Characters of a web address above which some services cut it or refuse it; a presigned one is often longer."""

MAX_BYTES = 512 << 20
"""Largest photo taken from the web: 512 MiB, several times the biggest camera RAW."""

MAX_REDIRECTS = 5
#: Seconds to connect, and seconds without a further 64 KiB after which the host counts as lost.
_TIMEOUT = (10.0, 60.0)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})


class WebStore(Store):
    """A file on the web.

    :param max_bytes: refuse more than this.
    """

    def __init__(self, location: Location, access: SourceAccess, *, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(location, access)
        self._max_bytes = max_bytes

    def open(self) -> Source:
        """Open a web address for reading."""
        location = self.location
        if location.conn_id:
            raise SourceError(
                f"{location.uri}: a web address is read without a connection, but {location.conn_id!r} was given."
            )
        if len(location.given) > LONG_ADDRESS:
            log.warning(
                "%s: the address has %s characters, more than the %s that every service takes; if it is refused, give a shorter one",
                location.uri,
                len(location.given),
                LONG_ADDRESS,
            )
        with self.explained(SourceError):  # requests and urllib3 put the full URL into their texts
            answer = _follow(location, self.access)
        try:
            return self._opened(answer)
        except BaseException:
            answer.close()
            raise

    def list(self, *, recursive: bool, strict: bool) -> Iterator[StoredFile]:
        """Refuse: the web lists nothing."""
        raise SourceError(
            f"{self.location.uri}: the web has no folders that could be listed. Name its photos, or give their addresses one by one."
        )

    def destination(self) -> Destination:
        """Refuse: the web takes nothing."""
        raise DestinationError(
            f"{self.location.uri}: the web can be a source only. Write to s3://, gs://, abfs:// or a local path."
        )

    def explain(self, error: Exception, kind: type[AutoenhanceError]) -> AutoenhanceError:
        """Say what an exception of requests or urllib3 means."""
        shown, name = self.location.uri, type(error).__name__
        if isinstance(error, ValueError):  # also what requests and urllib3 raise for malformed addresses
            return kind(f"{shown} is not a valid web address.")
        if "SSL" in name and "CERTIFICATE_VERIFY_FAILED" in str(error):
            return kind(f"{shown}: the host's TLS certificate is not trusted.")
        return UnreachableError(f"{shown}: the connection to the host failed ({name}); try again.")

    def _opened(self, answer: requests.Response) -> Source:
        shown, limit = self.location.uri, self._max_bytes
        _require_ok(answer, shown)
        if answer.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
            raise SourceError(f"{shown}: the host sends a compressed form, not the file itself.")
        body = _Body(answer.raw, shown, limit)
        announced = decimal(answer.headers.get("Content-Length", ""))
        if announced is None:
            return self._spooled(answer, body)
        if announced > limit:
            raise SourceError(f"{shown} has {announced} bytes, more than the {limit} allowed from the web.")
        found = _stored(shown, answer, announced)
        return self.source(found, body, name=self.location.name).on_close(answer.close)

    def _spooled(self, answer: requests.Response, body: Reader) -> Source:
        """Without an announced length, only a copy can show the size that the upload has to announce."""
        held = ExitStack()
        try:
            reader = CheckedReader(body, name=self.location.uri, size=None)
            file = held.enter_context(temporary_file(reader, self.location.uri))
        finally:
            answer.close()
        found = _stored(self.location.uri, answer, reader.taken)
        return self.source(found, file, name=self.location.name).on_close(held.close)


def _follow(location: Location, access: SourceAccess) -> requests.Response:
    """Send through the adapter, not a session: that would follow redirects unchecked and read netrc."""
    import requests

    from airflow_provider_autoenhance.transport.adapter import LimitedAdapter

    adapter = LimitedAdapter(public_only=not access.private_hosts)
    headers = {"Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity"}
    given = requests.Request("GET", location.given).prepare().url or ""  # as urllib3 reads it, which connects
    url, auth = requests.utils.urldefragauth(given), requests.utils.get_auth_from_url(given)
    home: Origin | None = None
    for _ in range(MAX_REDIRECTS + 1):
        prepared = requests.Request("GET", url, headers=headers).prepare()
        url = prepared.url or url
        home = home or origin_of(url)
        if auth != ("", "") and origin_of(url) == home:
            prepared.prepare_auth(auth)
        proxies = requests.utils.get_environ_proxies(url)
        answer = adapter.send(prepared, stream=True, timeout=_TIMEOUT, verify=_authorities(), proxies=proxies)
        if answer.status_code not in _REDIRECTS:
            return answer
        target = answer.headers.get("Location")
        answer.close()
        if not target:
            raise SourceError(f"{location.uri}: the host redirects to nowhere.", status_code=answer.status_code)
        try:
            url = join(url, target)
        except AddressError as error:
            raise SourceError(
                f"{location.uri}: the host redirects to {redact_url(target)[:200]}, which {error}. Give the final address."
            ) from None
    raise SourceError(f"{location.uri}: more than {MAX_REDIRECTS} redirects. Give the final address.")


def _authorities() -> str | bool:
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True


class _Body:
    """The undecoded body, up to a limit."""

    def __init__(self, raw: Any, shown: str, limit: int) -> None:
        self._raw, self._shown, self._limit, self._taken = raw, shown, limit, 0

    def read(self, n: int = -1, /) -> bytes:
        from airflow_provider_autoenhance.transport.limits import read_block

        block = read_block(self._raw, n if n >= 0 else self._limit + 1)
        self._taken += len(block)
        if self._taken > self._limit:
            raise SourceError(f"{self._shown} has more than the {self._limit} bytes allowed from the web.")
        return block


def _require_ok(answer: requests.Response, shown: str) -> None:
    status = answer.status_code
    if status == 200:
        return
    if status in (401, 403):
        raise SourceError(
            f"{shown}: the host refuses access. A presigned link may have expired: give a new one.", status_code=status
        )
    if status in _GONE:
        raise SourceError(f"{shown} does not exist.", status_code=status)
    if status == 429 or status >= 500:
        wait = retry_after({"retry-after": answer.headers.get("Retry-After", "")})
        raise ServerError(f"{shown}: the host answered {status}; try again.", status_code=status, retry_after=wait)
    raise SourceError(f"{shown}: the host answered {status}, which is not a file.", status_code=status)


def _stored(uri: str, answer: requests.Response, size: int) -> StoredFile:
    changed = answer.headers.get("Last-Modified")
    modified = None
    if changed:
        try:
            modified = parsedate_to_datetime(changed)
        except (ValueError, TypeError, IndexError, OverflowError):
            changed = None
    return StoredFile(uri, size, etag=clean_etag(answer.headers.get("ETag") or changed), modified=modified)
