"""Text from outside made safe to show and to keep.

A presigned URL is a credential, and so is whatever stands before an ``@``. A line break in somebody else's text could forge a log line.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

# Compiled by ``re`` at their first use: compiling here would cost every DAG file some milliseconds.

#: Query parameters that carry a credential: S3 (both signature versions), CloudFront, Google, Azure, and what web services call theirs.
_CREDENTIAL = (
    r"(?:sig|signature|awsaccesskeyid|googleaccessid|key-pair-id|x-amz-[a-z0-9-]+|x-goog-[a-z0-9-]+|policy|credential|hdnts|hmac|x-api-key"
    r"|(?:api|access|auth|secret|private|rl)[_-]?(?:key|token|secret))"
)
#: Words that carry one in a query only; elsewhere they may stand in a file's name.
_IN_QUERY = rf"(?:{_CREDENTIAL}|key|token|secret|password)"
_SECRET_QUERY = rf"(?i)\?(?=(?:[^\s?]*[?&;])?{_IN_QUERY}=)"
_SECRET_VALUE = (
    rf"(?i)((?<![\w-]){_CREDENTIAL}=|(?<=[?&;]){_IN_QUERY}=)[^\s&;'\"<>]+"
    r"|(?<![\w-])(x-api-key['\"]?\s*:\s*['\"]?)[^\s,'\"<>}]+"
)
#: Begins behind the scheme: a search for schemes would take quadratic time in a long word.
_ADDRESS = r"://[^\s\"<>]+"
_CLOSING = r"[)\]}',.;:]*\Z"
_USER_INFO = r"://[^/\s]*@"
#: Control characters, line separators, marks that turn the direction of text round, and halves of surrogate pairs.
_UNPRINTABLE = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"

#: Real keys have 30 characters and more. A local sandbox may have any.
_SHORTEST_KEY = 8


def redact_url(url: str) -> str:
    """Return ``url`` without user info, and without query and fragment where these can hold a secret.

    Of an http(s) URL query and fragment always go. Elsewhere ``?`` and ``#`` are ordinary characters of a file's name
    (``s3://photos/house #4.jpg``) and stay, unless what follows the ``?`` looks like a signature or a token.

    :param url: any URI or a plain path.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _without_secret(url)
    if scheme.lower() in ("http", "https"):
        rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{_without_secret(path)}"


def shown_host(url: str) -> str:
    """Return the host of an address and its port, for messages.

    >>> shown_host("https://user:pw@host.example:8443/a.jpg?Signature=x")
    'host.example:8443'
    """
    return one_line(redact_url(url)).partition("://")[2].partition("/")[0][:300]


def _without_secret(path: str) -> str:
    secret = re.search(_SECRET_QUERY, path)
    return path[: secret.start()] if secret else path


def redact_text(text: str) -> str:
    """Redact every address in a text, and the value of everything that looks like a credential."""
    if "://" in text:
        text = re.sub(_ADDRESS, _redacted_address, text)
    return re.sub(_SECRET_VALUE, r"\1\2***", text) if "=" in text or ":" in text else text


def holds_credential(text: str) -> bool:
    """Whether a text holds an address with a credential in it. An ordinary query is not one."""
    return bool(re.search(_SECRET_QUERY, text) or re.search(_USER_INFO, text))


def holds_key(text: str, key: str) -> bool:
    """Whether a text holds the API key, percent-encoded or not.

    A key too short to be a secret is not looked for: it may be part of common words.

    >>> holds_key("https://other.example/?k=ab%2DSECRET", "ab-SECRET"), holds_key("https://demo.example/", "demo")
    (True, False)
    """
    return len(key) >= _SHORTEST_KEY and (key in text or key in unquote(text))


def _redacted_address(match: re.Match[str]) -> str:
    scheme = match.string[max(0, match.start() - 5) : match.start()].lower()
    address = match.group()
    redacted = redact_url(("https" if scheme.endswith(("http", "https")) else "other") + address).partition("://")[2]
    closing = re.search(_CLOSING, address)
    return "://" + (redacted if address.endswith(redacted) or closing is None else redacted + closing.group())


def one_line(text: str) -> str:
    """Return a text as one line that shows what it says: each run of control characters becomes a space.

    >>> one_line("sky too dark\\n[ERROR] forged")
    'sky too dark [ERROR] forged'
    """
    return text if text.isprintable() else re.sub(_UNPRINTABLE, " ", text)


def clean_text(text: str) -> str:
    """Return a text that somebody else wrote as it may be logged, raised and stored: one line, without credentials.

    >>> clean_text("see https://bucket.example/a.jpg?Signature=c2VjcmV0\\r\\nand retry")
    'see https://bucket.example/a.jpg and retry'
    """
    return redact_text(one_line(text))
