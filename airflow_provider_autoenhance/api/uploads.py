"""Rules of the presigned upload: which Content-Type to send, and what the upload host's refusals mean."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.addresses import AddressError, join, origin_of
from airflow_provider_autoenhance.api.answers import Answer
from airflow_provider_autoenhance.api.redact import clean_text, holds_key, redact_url


def check_upload_url(upload_url: str, base_url: str, about: str, api_key: str) -> None:
    """Refuse an upload URL that is not a plain web address, holds the API key, or is not encrypted where the API is.

    :param base_url: of the API.
    :raises ForbiddenAddressError: nothing was sent.
    """
    if holds_key(upload_url, api_key):
        raise errors.ForbiddenAddressError(f"{about}: Autoenhance gave an upload address with the API key in it.")
    try:
        join(base_url, upload_url)
        origin_of(upload_url)
    except AddressError as error:
        raise errors.ForbiddenAddressError(
            f"{about}: Autoenhance gave the upload address {redact_url(upload_url)[:200]}, which {error}."
        ) from None


def upload_content_type(upload_url: str, sent_at_creation: str | None = None) -> str:
    """The Content-Type that the URL's signature covers.

    The ``content-type`` query parameter where there is one; else what was sent when the image was created; else
    ``application/octet-stream``. A wrong one is refused with 403.

    :raises ServerError: when it cannot be sent as a header.
    """
    named = [value for name, value in parse_qsl(urlsplit(upload_url).query) if name.lower() == "content-type" and value]
    content_type = named[0] if named else sent_at_creation or "application/octet-stream"
    if not re.fullmatch(r"[!-~](?:[ -~]{0,126}[!-~])?", content_type):
        raise errors.ServerError(
            f"The upload's content type {clean_text(content_type)[:80]!r} cannot be sent as a header."
        )
    return content_type


def check_upload(answer: Answer, about: str, content_type: str) -> None:
    """Judge the upload host's answer by its status alone: S3 has nothing to say on success.

    :raises UploadUrlExpiredError: the URL is too old.
    :raises UploadError: refused for good (signature, size).
    :raises ServerError: refused for now.
    """
    if 200 <= answer.status < 300:
        return
    said = answer.body.decode("utf-8", "replace")
    if answer.status == 403 and "expired" in said.lower():
        raise errors.UploadUrlExpiredError(
            f"{about}: the upload URL has expired; the image has to be made again.", status_code=answer.status
        )
    if answer.status == 403:
        raise errors.UploadError(
            f"{about}: the upload host refused the signature (403). It covers the Content-Type; {content_type!r} was sent, as the upload "
            "address says, or else the content_type that was given. Leave that unset, and clear the create task for a new address.",
            status_code=answer.status,
        )
    if answer.status in (408, 429) or answer.status >= 500:
        raise errors.ServerError(f"{about}: the upload host answered {answer.status}.", status_code=answer.status)
    raise errors.UploadError(
        f"{about}: the upload host refused the bytes with {answer.status}.", status_code=answer.status
    )
