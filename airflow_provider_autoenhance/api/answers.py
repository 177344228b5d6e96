"""From an HTTP answer to a value or a classified error."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.calls import Call
from airflow_provider_autoenhance.api.redact import redact_text

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers (lower-case names) and body. The body stays empty where bytes are streamed elsewhere."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    @property
    def content_type(self) -> str:
        """Media type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def read(call: Call[T], answer: Answer) -> T:
    """Return what the call's parser makes of the answer.

    :raises AutoenhanceError: classified by status, naming the image or order and the way out.
    """
    if 200 <= answer.status < 300 or (answer.status == 404 and call.missing_ok):
        return call.parse(_json(answer) if answer.body else {})
    raise error_of(answer, call.about)


def error_of(answer: Answer, about: str) -> errors.AutoenhanceError:
    """Classify an answer that is not a success.

    :param about: what the call concerned, such as ``image 1234``.
    """
    said = _message(answer)
    status = answer.status
    told = f"{about}: Autoenhance answered {status}{f' ({said})' if said else ''}."
    if status in (401, 403):
        return errors.AuthenticationError(
            f"{told} The API key is missing or wrong; put the right one into the connection's password.",
            status_code=status,
        )
    if status == 402:
        return errors.NoCreditsError(
            f"{told} No credit or plan is left for a full-size download; buy credits, or use preview=True, and run again. "
            "The enhanced image is kept and waits.",
            status_code=status,
        )
    if status == 404:
        return errors.NotFoundError(f"{told} No such id in this account, or it was deleted.", status_code=status)
    if status == 409:
        return errors.ConflictError(f"{told} The chosen id is taken.", status_code=status)
    if status == 429:
        return errors.RateLimitError(
            f"{told} Too many requests, or the same file name 30 times within an hour (give each photo a name of its own).",
            status_code=status,
            retry_after=retry_after(answer.headers),
        )
    if 300 <= status < 400:
        return errors.ServerError(
            f"{told} A redirect where none belongs; check the connection's host.", status_code=status
        )
    if 400 <= status < 500 and status not in (408, 425):
        return errors.InvalidRequestError(f"{told} Correct the named fields and run again.", status_code=status)
    return errors.ServerError(
        f"{told} The service is in trouble; try again later.",
        status_code=status,
        retry_after=retry_after(answer.headers),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the ``Retry-After`` header (seconds or a date), ``None`` where there is none that can be read."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value).timestamp()
    except ValueError:
        return None
    return max(0.0, when - time.time())


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        raise errors.ServerError(
            f"Autoenhance answered {answer.status} with {answer.content_type or 'something'} that is not JSON; "
            "check the connection's host.",
            status_code=answer.status,
        ) from None


def _message(answer: Answer) -> str:
    """The vendor's words, where there are any: ``message``, and the faulty fields of a validation error."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        return ""
    if not isinstance(body, Mapping):
        return ""
    parts = [str(body["message"])] if isinstance(body.get("message"), str) else []
    parts += _field_faults(body.get("detail"))
    return redact_text("; ".join(parts))[:500]


def _field_faults(detail: Any, path: str = "") -> list[str]:
    if isinstance(detail, Mapping):
        return [
            fault
            for name, inner in detail.items()
            for fault in _field_faults(inner, f"{path}.{name}" if path else str(name))
        ]
    if detail in (None, "", []):
        return []
    told = ", ".join(map(str, detail)) if isinstance(detail, list) else str(detail)
    return [f"{path}: {told}" if path else told]
