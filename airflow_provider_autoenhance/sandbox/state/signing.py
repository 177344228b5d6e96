"""Presigned URLs in the form of AWS Signature Version 2, as the vendor hands them out, signed and checked."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlencode

from airflow_provider_autoenhance.sandbox.errors import StorageError

_ACCESS_KEY = "ASIASANDBOX000000000"
_LAST_MOMENT = datetime.max.replace(tzinfo=UTC).timestamp()


class Signer:
    """Makes and checks presigned URLs.

    :param secret: the signing key.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        #: Signature of each URL, as it is and as the URL spells it, so that a search can look for all of them.
        self.made: list[str] = []

    def presign(
        self,
        method: str,
        base: str,
        path: str,
        *,
        now: float,
        seconds: int,
        extra: Mapping[str, str] | None = None,
    ) -> str:
        """Return a URL that allows one method on one path for a time.

        :param method: HTTP method.
        :param base: scheme and host, e.g. ``http://127.0.0.1:8789``.
        :param path: absolute path.
        :param now: seconds since the epoch.
        :param seconds: life of the URL.
        :param extra: further query parameters, signed as well.
        """
        query = {"AWSAccessKeyId": _ACCESS_KEY, "Expires": str(int(now) + seconds), **(extra or {})}
        signature = self._signature(method, path, query)
        self.made += dict.fromkeys([signature, quote(signature, safe="")])
        return f"{base}{quote(path)}?{urlencode({**query, 'Signature': signature}, quote_via=quote, safe='')}"

    def verify(self, method: str, path: str, query_string: str, *, now: float) -> dict[str, str]:
        """Check a request against its presigned URL.

        :param method: its HTTP method.
        :param path: its path, decoded.
        :param query_string: its query, as sent.
        :param now: seconds since the epoch.
        :returns: what the query says besides the signature.
        :raises StorageError: 403, as S3 answers.
        """
        query = dict(parse_qsl(query_string, keep_blank_values=True))
        signature = query.pop("Signature", "")
        if not signature or not query.get("AWSAccessKeyId"):
            raise StorageError(403, "AccessDenied", "Access Denied")
        expires = query.get("Expires", "")
        if not (expires.isascii() and expires.isdigit()) or len(expires) > len(str(int(_LAST_MOMENT))):
            raise StorageError(403, "AccessDenied", "Invalid date (should be seconds since epoch): " + expires[:100])
        if now >= int(expires):
            raise StorageError(
                403, "AccessDenied", "Request has expired", Expires=_moment(int(expires)), ServerTime=_moment(now)
            )
        if not hmac.compare_digest(signature.encode(), self._signature(method, path, query).encode()):
            raise does_not_match()
        return query

    def _signature(self, method: str, path: str, query: Mapping[str, str]) -> str:
        canonical = "\n".join([method, quote(path), urlencode(sorted(query.items()), quote_via=quote)])
        return base64.b64encode(hmac.new(self._secret, canonical.encode(), hashlib.sha1).digest()).decode()


def does_not_match() -> StorageError:
    """Build S3's answer to a request that is not the one that was signed."""
    return StorageError(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(min(seconds, _LAST_MOMENT), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
