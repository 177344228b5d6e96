"""From an HTTP answer to a value or a classified error."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, TypeVar

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.calls import Call
from airflow_provider_autoenhance.api.fields import UPLOAD_URL_KEYS
from airflow_provider_autoenhance.api.redact import clean_text, holds_credential, holds_key

T = TypeVar("T")


#: Bytes of the largest body that is read whole. An order of thousands of images has a few.
MAX_WHOLE_BYTES = 16 << 20

#: Values in the largest JSON that is parsed. Each costs some 100 bytes of memory, whatever its length in the text.
_MAX_VALUES = 500_000

_MAX_DEPTH = 50

#: What goes back as it came, and where in an answer it lies.
_SENT_BACK = {**dict.fromkeys(UPLOAD_URL_KEYS, ""), "next_offset": "pagination"}

#: Text beyond ASCII takes up to four bytes a character in memory, and is copied once.
_MAX_WIDE_BYTES = 8 << 20

#: A longer ``Retry-After`` is read as this: a day.
_LONGEST_RETRY_AFTER_SECONDS = 24 * 3600.0

#: Of the vendor's words, an error quotes so many characters, so many faulty fields, and fields so deep.
_MAX_WORDS = 500
_MAX_FAULTS = 20
_MAX_FAULT_DEPTH = 5


@dataclass(frozen=True)
class Answer:
    """What came back.

    :param headers: by lower-case name.
    :param body: stays empty where bytes are streamed elsewhere.
    :param secret: what no text of the answer may hold, such as the key that the API says it does not know.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    secret: str = field(default="", repr=False)

    def clean(self, text: str) -> str:
        """Clean a text of the answer: one line, without credentials."""
        return clean_text(text.replace(self.secret, "***") if holds_key(text, self.secret) else text)

    def is_harmless(self, value: Any) -> bool:
        """Whether a value that JSON can hold is free of credentials. An ordinary address is not a credential."""
        text = json.dumps(value, ensure_ascii=False)
        return not (holds_credential(text) or holds_key(text, self.secret))

    @property
    def content_type(self) -> str:
        """Media type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        """Number of bytes announced, ``None`` where the server does not say."""
        return decimal(self.headers.get("content-length", ""))

    @property
    def compressed(self) -> bool:
        """Whether the body is not the thing itself. Nothing here asks for that, and what unpacks has no limit of its own."""
        return self.headers.get("content-encoding", "").strip().lower() not in ("", "identity")


def decimal(text: str) -> int | None:
    """Read a whole number of a header, ``None`` where it is not one. ``int`` alone would take ``+5``, ``1_0`` and Arabic digits."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text.strip()) else None


def read(call: Call[T], answer: Answer) -> T:
    """Return what the call's parser makes of the answer. The vendor's words in it are redacted and flattened here.

    :raises AutoenhanceError: classified by status, naming the image or order and the way out.
    """
    if answer.status == 404 and call.missing_ok:
        return call.parse({})
    if not 200 <= answer.status < 300:
        raise error_of(answer, call.about, call.hints or {})
    try:
        return call.parse(_cleaned(load_json(answer.body), answer) if answer.body else {})
    except Exception as error:  # noqa: BLE001 - whatever parsing raises, the answer is not the contract's
        said = str(error) if isinstance(error, ValueError) else type(error).__name__
        raise errors.ServerError(
            f"{call.about}: {call.method} {call.path} answered {answer.status} with something that is not Autoenhance's contract "
            f"({answer.clean(said)[:300]}). Check the connection's host and api_version.",
            status_code=answer.status,
        ) from None


def load_json(body: bytes) -> Any:
    """Parse JSON that somebody else wrote.

    :raises ValueError: when it is not JSON, nested too deeply, or takes too much memory.
    """
    if len(body) > _MAX_WIDE_BYTES and (not body.isascii() or b"\\u" in body):
        raise ValueError(f"more than {_MAX_WIDE_BYTES >> 20} MiB of text that is not ASCII")
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _MAX_VALUES:
        raise ValueError(f"more than {_MAX_VALUES} values")
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:  # its text quotes the body
        raise ValueError("not JSON") from None


def _cleaned(value: Any, answer: Answer, depth: int = 0, within: str = "") -> Any:
    """Clean every text in an answer, in place, but not what is only sent back: upload URLs, whose query is what they are for, and offsets.

    Metadata is the caller's own and comes back as stored, unless it holds a credential.

    :raises ValueError: when it is nested so deeply that it could not be pickled.
    """
    if isinstance(value, str):
        return answer.clean(value)
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        for number, inner in enumerate(value):
            value[number] = _cleaned(inner, answer, depth + 1, f"{within}[]")
    elif isinstance(value, dict):
        for name in list(value):
            inner = value.pop(name)
            if name == "metadata" and answer.is_harmless(inner):
                _cleaned(deepcopy(inner), answer, depth + 1)
            elif not (_SENT_BACK.get(name) == within and isinstance(inner, str)):
                inner = _cleaned(inner, answer, depth + 1, f"{within}.{name}" if within else name)
            value[answer.clean(name)] = inner
    return value


def error_of(answer: Answer, about: str, hints: Mapping[int, str] | None = None) -> errors.AutoenhanceError:
    """Classify an answer that is not a success.

    :param about: what the call concerned, such as ``image 1234``.
    :param hints: the way out, by status, where it is not the usual one.
    """
    said = _message(answer)
    status = answer.status
    message = f"{about}: Autoenhance answered {status}{f' ({said})' if said else ''}."
    if hint := (hints or {}).get(status):
        kind = {402: errors.NoCreditsError, 403: errors.AuthenticationError}.get(status, errors.InvalidRequestError)
        return kind(f"{message} {hint}", status_code=status)
    if status in (401, 403):
        return errors.AuthenticationError(
            f"{message} The API key is missing or wrong; put the right one into the connection's password.",
            status_code=status,
        )
    if status == 402:
        return errors.NoCreditsError(
            f"{message} No credit or plan is left for a full-size download; buy credits, or use preview=True, and run again. "
            "The enhanced image is kept and waits.",
            status_code=status,
        )
    if status == 404:
        return errors.NotFoundError(f"{message} No such id in this account, or it was deleted.", status_code=status)
    if status == 409:
        return errors.ConflictError(f"{message} The chosen id is taken.", status_code=status)
    if status == 429:
        return errors.RateLimitError(
            f"{message} Too many requests, or the same file name 30 times within an hour (give each photo a name of its own).",
            status_code=status,
            retry_after=retry_after(answer.headers),
        )
    if 300 <= status < 400:
        return errors.ServerError(
            f"{message} A redirect where none belongs; check the connection's host.", status_code=status
        )
    if 400 <= status < 500 and status not in (408, 425):
        return errors.InvalidRequestError(f"{message} Correct the named fields and run again.", status_code=status)
    return errors.ServerError(
        f"{message} The service is in trouble; try again later.",
        status_code=status,
        retry_after=retry_after(answer.headers),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the ``Retry-After`` header (seconds or a date); ``None`` where it is missing or cannot be read."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", value):
        seconds = float(value)
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError, OSError):  # a date that the library did not expect
            return None
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER_SECONDS)


def _message(answer: Answer) -> str:
    """The vendor's words, where there are any: ``message``, and the faulty fields of a validation error."""
    try:
        body = load_json(answer.body)
    except ValueError:
        return ""
    if not isinstance(body, Mapping):
        return ""
    parts = [body["message"]] if isinstance(body.get("message"), str) else []
    parts += islice(_field_faults(body.get("detail")), _MAX_FAULTS)
    return answer.clean("; ".join(part[:_MAX_WORDS] for part in parts))[:_MAX_WORDS]


def _field_faults(detail: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    if isinstance(detail, Mapping) and depth < _MAX_FAULT_DEPTH:
        for name, inner in detail.items():
            yield from _field_faults(inner, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(detail, list) and detail:
        words = [each for each in detail[:_MAX_FAULTS] if isinstance(each, str | int | float | bool)]
        yield f"{path}: {', '.join(map(str, words))}" if path else ", ".join(map(str, words))
    elif isinstance(detail, str | int | float | bool) and detail != "":
        yield f"{path}: {detail}" if path else str(detail)
