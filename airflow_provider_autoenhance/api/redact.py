"""Addresses made safe to show: a presigned URL is a credential, and so is whatever stands before an ``@``."""

from __future__ import annotations

import re

# Compiled by ``re`` at their first use: compiling here would cost every DAG file some milliseconds.
_CREDENTIAL_QUERY = r"(?i)\?(?=.*\b(?:sig|signature|x-amz-[a-z-]+|x-goog-[a-z-]+|token|key|secret|password)=)"
_URL = r"(?i)https?://[^\s'\"<>)\]]+"


def redact_url(url: str) -> str:
    """Return ``url`` without user info, and without query and fragment where these can hold a secret.

    Of an http(s) URL query and fragment always go. Elsewhere ``?`` and ``#`` are ordinary characters of a file's name
    (``s3://photos/house #4.jpg``) and stay, unless what follows the ``?`` looks like a signature or a token.

    :param url: any URI or a plain path.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _without_secret(url)
    authority, slash, path = rest.partition("/")
    if scheme.lower() in ("http", "https"):
        authority = re.split(r"[?#]", authority, maxsplit=1)[0]
        path = re.split(r"[?#]", path, maxsplit=1)[0]
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{_without_secret(path)}"


def _without_secret(path: str) -> str:
    secret = re.search(_CREDENTIAL_QUERY, path)
    return path[: secret.start()] if secret else path


def redact_text(text: str) -> str:
    """Redact every web address in a text that somebody else wrote."""
    return re.sub(_URL, lambda match: redact_url(match.group()), text)
