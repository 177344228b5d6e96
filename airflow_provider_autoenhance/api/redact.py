"""Keep credentials out of text: presigned URLs lose their query, URLs their userinfo."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

_URL = re.compile(r"https?://[^\s'\"<>)\]]+", re.IGNORECASE)


def redact_url(url: str) -> str:
    """Return the URL without userinfo, query and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return url.partition("?")[0]


def redact_text(text: str) -> str:
    """Redact every URL in a text."""
    return _URL.sub(lambda match: redact_url(match.group()), text)
