"""One purchase and every file that is made of it: what Autoenhance renders is streamed, the rest is encoded here."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.calls import Variant
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.download import Download
from airflow_provider_autoenhance.imaging.integrity import check_for, never_again
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.imaging.purchase import SOURCE_QUERY, Purchase, plan_outputs
from airflow_provider_autoenhance.imaging.sniff import ImageFormat, sniff
from airflow_provider_autoenhance.pipeline.transfer.kept import KeptFile
from airflow_provider_autoenhance.storage import Destination, StoredFile, open_destination, open_source
from airflow_provider_autoenhance.storage.streams import CheckedReader, StreamCheck
from airflow_provider_autoenhance.storage.temporary import check_room, temporary_folder

if TYPE_CHECKING:
    from airflow_provider_autoenhance.imaging.convert import ConvertedFile, Converter
    from airflow_provider_autoenhance.imaging.thumbnail import Copy

T = TypeVar("T")

#: What an error says that comes after the purchase.
BOUGHT = "The image is bought, for one credit; another try downloads it free of charge."


@dataclass(frozen=True)
class Delivery:
    """How images become files. Made by :func:`prepare`; safe to use from many threads.

    :param converter: encodes what Autoenhance does not render; ``None`` where it renders all.
    """

    purchase: Purchase
    converter: Converter | None
    variant: Variant = "enhanced"
    preview: bool = True

    def deliver(
        self,
        hook: AutoenhanceHook,
        image_id: str,
        destinations: Sequence[Destination],
        *,
        about: str,
        copy: Copy | None = None,
    ) -> list[dict[str, Any]]:
        """Download an image and publish all its outputs, the converted ones first. Only the first full-size download can cost a credit.

        :param destinations: one per output, in their order.
        :param copy: gets the bytes of one output as they pass, or the pixels that outputs are encoded from.
        :returns: per output ``uri``, ``size``, ``etag``, ``sha256`` and ``content_type``; of a converted one its other facts too, and with
            ``copy`` of a rendered one ``width`` and ``height``, where its first bytes show them.
        :raises ConversionError: the picture cannot be converted.
        :raises ServerError: the temporary folder has no room for what needs it; nothing was bought.
        """
        if self.converter or any(destination.copies_first for destination in destinations):
            check_room(about)
        places = dict(zip(self.purchase.outputs, destinations, strict=True))
        made = self._convert(hook, image_id, self.converter, places, about, copy) if self.converter else {}
        smallest = None if self.converter else min(self.purchase.rendered, key=lambda output: output.max_width or 1e9)
        for output in self.purchase.rendered:
            looks_on = copy if output is smallest else None
            made[output] = self._stream(hook, image_id, places[output], output, about, looks_on)
        return [made[output] for output in self.purchase.outputs]

    def _stream(
        self,
        hook: AutoenhanceHook,
        image_id: str,
        destination: Destination,
        output: OutputSpec,
        about: str,
        copy: Copy | None,
    ) -> dict[str, Any]:
        def publish(download: Download) -> dict[str, Any]:
            size = copy.size_of(download.peek()) if copy else {}
            stored, kind = publish_download(
                download, destination, output.format, *([copy.begun(download.size)] if copy else [])
            )
            return _facts(stored) | {"content_type": kind.mime, **size}

        return self._download(hook, image_id, publish, output.query(preview=self.preview), about)

    def _convert(
        self,
        hook: AutoenhanceHook,
        image_id: str,
        converter: Converter,
        places: dict[OutputSpec, Destination],
        about: str,
        copy: Copy | None,
    ) -> dict[OutputSpec, dict[str, Any]]:
        kept: KeptFile | None = None
        try:
            with temporary_folder(about) as folder:
                bought = folder / "bought.png"

                def receive(download: Download) -> KeptFile:
                    kept = KeptFile(image_id, (self.variant, self.preview, SOURCE_QUERY), download)
                    if not kept.take(bought):
                        publish_download(download, open_destination(str(bought)), "png")
                    return kept

                kept = self._download(hook, image_id, receive, SOURCE_QUERY, about)
                try:
                    files = converter.convert(bought, folder, about=about, look_at=copy.look_at if copy else None)
                    return {file.output: _publish_converted(file, places[file.output]) for file in files}
                except Exception:
                    kept.keep(bought)
                    raise
        except Exception as caught:
            if kept is None:  # the download says by itself what was spent
                raise
            raise self._after_purchase(hook, caught, about) from None

    def _download(
        self,
        hook: AutoenhanceHook,
        image_id: str,
        take: Callable[[Download], T],
        rendering: dict[str, str],
        about: str,
    ) -> T:
        def taken(download: Download) -> T:
            try:
                return take(download)
            except Exception as caught:  # noqa: BLE001 - raised again
                raise self._after_purchase(hook, caught, about) from None

        return hook.download_image(image_id, taken, variant=self.variant, preview=self.preview, rendering=rendering)

    def _after_purchase(self, hook: AutoenhanceHook, caught: Exception, about: str) -> Exception:
        """Let an error say what was spent, where Autoenhance has begun to hand out what costs a credit."""
        if self.preview or self.variant != "enhanced" or hook.config.extra.dev_mode:
            return caught
        error = errors.unexpected(caught, about)
        error.args = (f"{error} {BOUGHT}", *error.args[1:])  # class and details stay
        return error


def prepare(
    hook: AutoenhanceHook,
    outputs: Iterable[OutputSpec],
    *,
    conn_id: str | None = None,
    variant: Variant = "enhanced",
    preview: bool = True,
) -> Delivery:
    """Decide who makes which output, and check all that can be checked before anything is sent or spent.

    :param conn_id: Airflow connection for a colour profile given by URI.
    :raises SettingsError: a library or a colour profile is missing, or two outputs would have one name.
    """
    purchase = plan_outputs(outputs)
    if not purchase.converted:
        return Delivery(purchase, None, variant, preview)
    from airflow_provider_autoenhance.imaging.convert import converter_for

    def read_uri(uri: str) -> bytes:
        with open_source(uri, conn_id=conn_id) as source:
            return source.read()

    folder = hook.config.extra.icc_directory
    converter = converter_for(purchase.converted, profile_directories=[folder] if folder else [], read_uri=read_uri)
    return Delivery(purchase, converter, variant, preview)


def publish_download(
    download: Download, destination: Destination, format: str | None, *checks: StreamCheck
) -> tuple[StoredFile, ImageFormat]:
    """Write a download to its destination, checked by type, size, digest and format.

    :param format: what was asked for; ``None`` takes any.
    :param checks: what else looks at the bytes.
    :raises IntegrityError: the download did not arrive whole; nothing was published.
    """
    kind = sniff(download.peek())
    if kind is None:
        raise errors.IntegrityError(f"{download.about}: what arrived is not an image ({download.content_type}).")
    if format is not None and kind.mime != f"image/{format}":
        raise errors.ServerError(f"{download.about}: asked for {format}, but {kind.name} arrived.")
    digests = sent_digests(download.headers)
    checks = (check_for(kind, download.size, again=never_again), *checks)
    body = CheckedReader(download, name=download.about, size=download.size, digests=digests, checks=checks)
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


def _publish_converted(file: ConvertedFile, destination: Destination) -> dict[str, Any]:
    with file.path.open("rb") as body:
        stored = destination.write(body, size=file.size, content_type=file.mime)
    return file.facts() | _facts(stored)


def _facts(stored: StoredFile) -> dict[str, Any]:
    return {"uri": stored.uri, "size": stored.size, "etag": stored.etag, "sha256": stored.sha256}
