"""What botocore's exceptions mean for a photo, in one line without secrets."""

from __future__ import annotations

from typing import Any

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    DestinationError,
    IntegrityError,
    ServerError,
    SourceError,
    UnreachableError,
)
from airflow_provider_autoenhance.storage.location import Location

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_DENIED = frozenset({"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem"})
_BAD_CREDENTIALS = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidToken",
        "TokenRefreshRequired",
    }
)
_WRONG_REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
)
_BUSY = frozenset(
    {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "InternalError", "ServiceUnavailable"}
)
_NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound", "NoAuthTokenError"}
)
_CLIENT_AT_FAULT = frozenset(
    {"ParamValidationError", "InvalidEndpointConfigurationError", "UnsupportedS3ConfigurationError"}
)


def error_code(error: Exception) -> str | None:
    """Return S3's error code, or ``None`` when the exception is not an answer of the store."""
    answer: Any = getattr(error, "response", None)
    if not isinstance(answer, dict):
        return None
    return str(answer.get("Error", {}).get("Code") or _status(error) or "")


def explain(error: Exception, location: Location, kind: type[AutoenhanceError]) -> AutoenhanceError:
    """Return the error to raise instead of a botocore one.

    :param kind: SourceError or DestinationError, for what a retry cannot help.
    """
    name = type(error).__name__
    if (code := error_code(error)) is not None:
        return _answered(code, _status(error), location, kind)
    conn_id = location.conn_id or "aws_default"
    if name in _NO_CREDENTIALS:
        return kind(
            f"{location.uri}: no AWS credentials ({name}). Fill in the Airflow connection {conn_id!r}, or name another."
        )
    if name in _CLIENT_AT_FAULT or isinstance(error, (TypeError, ValueError, ImportError)):
        return kind(
            f"{location.uri}: refused before it was sent ({name}). Check the bucket's name and connection {conn_id!r}."
        )
    if name == "UnseekableStreamError":  # botocore wanted to repeat the put, and a stream cannot be rewound
        return ServerError(f"{location.uri}: S3 broke off the upload; try again.")
    if name in ("AirflowNotFoundException", "AirflowException"):
        return kind(f"{location.uri}: the Airflow connection {conn_id!r} cannot be used ({name}).")
    return UnreachableError(f"{location.uri}: the connection to S3 failed ({name}); try again.")


def _status(error: Exception) -> int:
    answer: Any = getattr(error, "response", {})
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _answered(code: str, status: int, location: Location, kind: type[AutoenhanceError]) -> AutoenhanceError:
    uri, conn_id = location.uri, location.conn_id or "aws_default"
    if code == "NoSuchBucket":
        return kind(f"{uri}: there is no bucket {location.bucket!r} for connection {conn_id!r}.", status_code=status)
    if code in _MISSING:
        return kind(f"{uri} does not exist.", status_code=status)
    if code == "BadDigest":
        return IntegrityError(
            f"{uri}: other bytes arrived than the sender has. Nothing was published.", status_code=status
        )
    if code in _DENIED:
        return kind(f"{uri}: access denied. {_needs(kind)} (connection {conn_id!r}).", status_code=status)
    if code in _BAD_CREDENTIALS:
        return kind(f"{uri}: S3 does not take the credentials of connection {conn_id!r} ({code}).", status_code=status)
    if code in _WRONG_REGION:
        return kind(
            f"{uri}: the bucket is in another region. Set region_name in connection {conn_id!r}.", status_code=status
        )
    if code == "InvalidObjectState":
        return kind(f"{uri} is archived (Glacier). Restore it first.", status_code=status)
    if status >= 500 or status == 429 or code in _BUSY:
        return ServerError(f"{uri}: S3 answered {status} {code}; try again.", status_code=status)
    return kind(f"{uri}: S3 refused with {status} {code}.", status_code=status)


def _needs(kind: type[AutoenhanceError]) -> str:
    if kind is SourceError:
        return "Grant s3:GetObject, and s3:ListBucket, without which a missing object looks forbidden too"
    if kind is DestinationError:
        return "Grant s3:PutObject, and s3:GetObject and s3:ListBucket to see what is there"
    return "Grant access to the bucket"
