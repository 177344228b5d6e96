"""A download to where it should lie, whole or not at all."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Mapping

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.download import Download
from airflow_provider_autoenhance.imaging.integrity import check_for
from airflow_provider_autoenhance.imaging.sniff import ImageFormat, sniff
from airflow_provider_autoenhance.storage import Destination, StoredFile
from airflow_provider_autoenhance.storage.streams import CheckedReader

log = logging.getLogger(__name__)


def land(download: Download, destination: Destination, format: str | None) -> tuple[StoredFile, ImageFormat]:
    """Write a download to its destination, checked by type, size, digest and format.

    :param format: what was asked for; ``None`` takes anything.
    :raises IntegrityError: it did not arrive whole; nothing was published.
    """
    kind = sniff(download.peek())
    if kind is None:
        raise errors.IntegrityError(f"{download.about}: what arrived is no image ({download.content_type}).")
    if format is not None and kind.mime != f"image/{format}":
        raise errors.ServerError(f"{download.about}: asked for {format}, but {kind.name} arrived.")
    digests = sent_digests(download.headers)
    body = CheckedReader(
        download, name=download.about, size=download.size, digests=digests, checks=[check_for(kind, download.size)]
    )
    return destination.write(body, size=download.size, content_type=kind.mime), kind


def sent_digests(headers: Mapping[str, str]) -> dict[str, str]:
    """Digests that the sending host vouches for, as hex by algorithm.

    An ETag counts only from S3 (``x-amz-request-id``) and without KMS, where it is the MD5; elsewhere it may be anything.
    """
    found: dict[str, str] = {}
    for header, algorithm, size in (
        ("content-md5", "md5", 16),
        ("x-amz-checksum-sha256", "sha256", 32),
        ("x-amz-checksum-crc32", "crc32", 4),
    ):
        if header in headers and "-" not in headers[header]:
            try:
                digest = base64.b64decode(headers[header], validate=True)
            except ValueError:  # not base64, or not ASCII
                continue
            if len(digest) == size:
                found[algorithm] = digest.hex()
    etag = headers.get("etag", "").strip('"')
    plain_s3 = "x-amz-request-id" in headers and headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
    if (
        plain_s3
        and "x-amz-server-side-encryption-customer-algorithm" not in headers
        and re.fullmatch("[0-9a-f]{32}", etag)
    ):
        found.setdefault("md5", etag)
    return found
