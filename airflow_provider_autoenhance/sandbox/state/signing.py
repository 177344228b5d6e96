"""Presigned URLs in the form of AWS Signature Version 4, signed and checked."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlencode

from airflow_provider_autoenhance.sandbox.errors import StorageError

_ALGORITHM = "AWS4-HMAC-SHA256"
_REGION = "eu-west-1"
_STAMP = "%Y%m%dT%H%M%SZ"


class Signer:
    """Makes and checks presigned URLs.

    :param secret: the signing key.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        #: Signature of each URL, so that a search can look for all of them.
        self.made: list[str] = []

    def presign(
        self,
        method: str,
        base: str,
        path: str,
        *,
        now: float,
        seconds: int,
        content_type: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> str:
        """Return a URL that allows one method on one path for a time.

        :param method: HTTP method.
        :param base: scheme and host, e.g. ``http://127.0.0.1:8789``.
        :param path: absolute path.
        :param now: seconds since the epoch.
        :param seconds: life of the URL.
        :param content_type: the Content-Type that the request must carry; None leaves it free.
        :param extra: further query parameters, signed as well.
        """
        stamp = datetime.fromtimestamp(now, UTC).strftime(_STAMP)
        query = {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"SANDBOX/{stamp[:8]}/{_REGION}/s3/aws4_request",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "content-type;host" if content_type is not None else "host",
            **(extra or {}),
        }
        host = base.split("://", 1)[1]
        signature = self._signature(method, path, query, {"content-type": content_type or "", "host": host})
        self.made.append(signature)
        return f"{base}{quote(path)}?{urlencode({**query, 'X-Amz-Signature': signature}, quote_via=quote)}"

    def verify(self, method: str, path: str, query_string: str, headers: Mapping[str, str], *, now: float) -> None:
        """Check a request against its presigned URL.

        :param method: its HTTP method.
        :param path: its path, decoded.
        :param query_string: its query, as sent.
        :param headers: its headers, names in lower case.
        :param now: seconds since the epoch.
        :raises StorageError: 403 or 400, as S3 answers.
        """
        query = dict(parse_qsl(query_string, keep_blank_values=True))
        signature = query.pop("X-Amz-Signature", "")
        if not signature:
            raise StorageError(403, "AccessDenied", "Access Denied")
        try:
            signed_at = datetime.strptime(query.get("X-Amz-Date", ""), _STAMP).replace(tzinfo=UTC)
            expires_at = signed_at + timedelta(seconds=int(query.get("X-Amz-Expires", "")))
        except (ValueError, OverflowError):
            message = "Query-string authentication version 4 requires the X-Amz-Date and X-Amz-Expires parameters."
            raise StorageError(400, "AuthorizationQueryParametersError", message) from None
        if now >= expires_at.timestamp():
            raise StorageError(
                403,
                "AccessDenied",
                "Request has expired",
                **{
                    "X-Amz-Expires": query["X-Amz-Expires"],
                    "Expires": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "ServerTime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                },
            )
        if not hmac.compare_digest(signature.encode(), self._signature(method, path, query, headers).encode()):
            raise StorageError(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
            )

    def _signature(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
        names = query.get("X-Amz-SignedHeaders", "").split(";")
        canonical = "\n".join(
            [
                method,
                quote(path),
                urlencode(sorted(query.items()), quote_via=quote),
                *(f"{name}:{headers.get(name, '')}" for name in names),
            ],
        )
        return hmac.new(self._secret, canonical.encode(), hashlib.sha256).hexdigest()
