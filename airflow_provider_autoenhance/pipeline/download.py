"""One photo from Autoenhance to where it should lie, whole or not at all."""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.calls import Variant
from airflow_provider_autoenhance.api.models import Image, ImageStatus
from airflow_provider_autoenhance.api.waiting import check_image
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.download import Download
from airflow_provider_autoenhance.imaging.integrity import check_for
from airflow_provider_autoenhance.imaging.output import EXTENSIONS, OutputSpec, file_name, format_of_extension
from airflow_provider_autoenhance.imaging.sniff import ImageFormat, sniff
from airflow_provider_autoenhance.storage import Destination, StoredFile, open_destination
from airflow_provider_autoenhance.storage.streams import CheckedReader

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhotoTarget:
    """Where a photo goes and what it should look like.

    :param uri: file URI, or a folder URI ending in ``/``.
    :param preview: the free rendering; ``False`` buys the full size.
    """

    uri: str
    conn_id: str | None = None
    output: OutputSpec = field(default_factory=OutputSpec)
    variant: Variant = "enhanced"
    preview: bool = True

    def settled(self, image: Image) -> PhotoTarget:
        """Return the target with file name and format filled in.

        :raises SettingsError: when the file's extension and the format contradict each other.
        """
        if self.uri.endswith("/"):
            return replace(
                self, uri=self.uri + file_name(image.image_name or image.image_id, self.output.format or "jpeg")
            )
        if self.variant == "original" and self.output.format is None:
            return self
        by_name = format_of_extension(self.uri)
        wanted = self.output.format or by_name
        if wanted is None or (by_name or wanted) != wanted:
            raise errors.SettingsError(
                f"{image.label}: destination {self.uri.rpartition('/')[2]!r} does not fit output format {self.output.format!r}; "
                f"Autoenhance renders {', '.join(EXTENSIONS)}."
            )
        return replace(self, output=replace(self.output, format=wanted))


def download_photo(hook: AutoenhanceHook, target: PhotoTarget, *, image_id: str) -> dict[str, Any]:
    """Download an image; everything that can be checked is checked before a credit is spent.

    :returns: ``image_id``, ``uri``, ``size``, ``sha256``, ``content_type``, ``credit_spent``.
    """
    image = hook.get_image(image_id)
    _check_ready(image, target.variant)
    target = target.settled(image)
    destination = open_destination(target.uri, conn_id=target.conn_id)
    destination.check_writable()
    stored, kind = hook.download_image(
        image_id,
        lambda download: land(download, destination, target.output.format),
        variant=target.variant,
        preview=target.preview,
        rendering=target.output.query(),
    )
    spent = target.variant == "enhanced" and not (target.preview or image.downloaded or hook.config.extra.dev_mode)
    log.info("%s landed at %s (%s bytes%s)", image.label, stored.uri, stored.size, ", one credit" if spent else "")
    return {
        "image_id": image_id,
        "uri": stored.uri,
        "size": stored.size,
        "sha256": stored.sha256,
        "content_type": kind.mime,
        "credit_spent": spent,
    }


def _check_ready(image: Image, variant: Variant) -> None:
    if variant == "original" and image.status is not ImageStatus.WAITING:
        return
    if not check_image(image):
        raise errors.InvalidRequestError(
            f"{image.label} is still {image.status}; wait for it with AutoenhanceImageStatusSensor before downloading."
        )


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
    body = CheckedReader(download, name=download.about, size=download.size, digests=digests, checks=[check_for(kind)])
    return destination.write(body, size=download.size, content_type=kind.mime), kind


def sent_digests(headers: Mapping[str, str]) -> dict[str, str]:
    """Digests that the sending host vouches for, as hex by algorithm.

    An ETag counts only from S3 (``x-amz-request-id``) and without KMS, where it is the MD5; elsewhere it may be anything.
    """
    found: dict[str, str] = {}
    for header, algorithm in (
        ("content-md5", "md5"),
        ("x-amz-checksum-sha256", "sha256"),
        ("x-amz-checksum-crc32", "crc32"),
    ):
        if header in headers and "-" not in headers[header]:
            try:
                found[algorithm] = base64.b64decode(headers[header], validate=True).hex()
            except binascii.Error:
                continue
    etag = headers.get("etag", "").strip('"')
    plain_s3 = "x-amz-request-id" in headers and headers.get("x-amz-server-side-encryption", "AES256") == "AES256"
    if (
        plain_s3
        and "x-amz-server-side-encryption-customer-algorithm" not in headers
        and re.fullmatch("[0-9a-f]{32}", etag)
    ):
        found.setdefault("md5", etag)
    return found
