"""Log records without credentials and forged lines: this package's own, and those of the libraries that move the bytes.

Libraries log whole addresses and headers: urllib3 and botocore at DEBUG, httpx at INFO. A filter on a logger does not see what the
loggers below it log, and handlers come and go with each task. So records are cleaned where all of them are made.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable

from airflow_provider_autoenhance.api.redact import clean_text, redact_text

_OWN = "airflow_provider_autoenhance"
_LIBRARIES = (
    "urllib3", "requests", "httpx", "httpcore", "h2", "hpack", "aiohttp", "botocore", "aiobotocore", "boto3", "s3transfer",
    "fsspec", "s3fs", "gcsfs", "adlfs", "azure", "google",
)  # fmt: skip
#: An address may stand in pieces there, so every query goes.
_QUERY = r"\?[^\s'\"<>]+"
_HEADER = (
    r"(?i)((?:proxy-)?authorization|(?:set-)?cookie|x-api-key|x-amz-security-token|x-auth-token|signature|secretaccesskey|sessiontoken)"
    r"(\b['\"]?\s*[:,>]\s*(?:b(?=['\"]))?)('[^']*'|\"[^\"]*\"|(?:(?:basic|bearer)\s+)?[^\s,;<]+)"
)
#: What a record may not show; made up.
_PROBE = "c2VjcmV0"


def quiet_logs() -> None:
    """Let no record show a credential from now on. Called wherever a secret address comes into being; cheap, and once is enough.

    Another library may have put its own maker of records in place of ours since, so a record is tried.
    """
    made = logging.getLogRecordFactory()
    if isinstance(made, _Quiet):
        return
    record = made("urllib3", logging.DEBUG, __file__, 0, "GET /?key=%s", (_PROBE,), None)
    if _PROBE in record.getMessage():
        logging.setLogRecordFactory(_Quiet(made))


class _Quiet:
    """Makes log records as ``make`` does, and cleans those that may hold a credential."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, name: str | None, *args: object, **kwargs: object) -> logging.LogRecord:
        record = self._make(name, *args, **kwargs)
        if name and _OWN in name:
            _clean(record, clean_text)
        elif name and name.partition(".")[0] in _LIBRARIES:
            _clean(record, _of_library)
        return record


def _clean(record: logging.LogRecord, clean: Callable[[str], str]) -> None:
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001 - a handler complains of a bad format, as ever
        return
    cleaned = clean(text)
    if record.exc_info and record.exc_info[1] is not None:
        parts = traceback.format_exception(record.exc_info[1])
        # What is indented are mostly places in the code, on lines of their own; an exception's own text may have any number of lines.
        shown_parts = [redact_text(part) if part.startswith("  ") else clean(part.strip("\n")) + "\n" for part in parts]
        if shown_parts != [part if part.startswith("  ") else part.strip("\n") + "\n" for part in parts]:
            record.exc_info = None
            cleaned = "\n".join([cleaned, "".join(shown_parts).rstrip()])
    if cleaned != text:
        record.msg, record.args = cleaned, ()


def _of_library(text: str) -> str:
    return re.sub(_HEADER, r"\1\2***", clean_text(re.sub(_QUERY, "", text)))
