"""One purchase and every file that is made of it: what Autoenhance renders is streamed, the rest is encoded here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_autoenhance.api.calls import Variant
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.download import Download
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.imaging.purchase import SOURCE_QUERY, Purchase, plan_outputs
from airflow_provider_autoenhance.pipeline.transfer.landing import land
from airflow_provider_autoenhance.storage import Destination, StoredFile, open_destination, open_source
from airflow_provider_autoenhance.storage.temporary import temporary_folder

if TYPE_CHECKING:
    from airflow_provider_autoenhance.imaging.convert import ConvertedFile, Converter

T = TypeVar("T")


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
        self, hook: AutoenhanceHook, image_id: str, destinations: Sequence[Destination], *, about: str
    ) -> list[dict[str, Any]]:
        """Fetch an image and land all its outputs, the converted ones first. Only the first full-size download can cost a credit.

        :param destinations: one per output, in their order.
        :returns: per output ``uri``, ``size``, ``etag``, ``sha256`` and ``content_type``; of a converted one its other facts too.
        :raises ConversionError: the picture cannot be converted.
        """
        places = dict(zip(self.purchase.outputs, destinations, strict=True))
        made = self._convert(hook, image_id, self.converter, places, about) if self.converter else {}
        for output in self.purchase.rendered:
            made[output] = self._stream(hook, image_id, places[output], output)
        return [made[output] for output in self.purchase.outputs]

    def _stream(
        self, hook: AutoenhanceHook, image_id: str, destination: Destination, output: OutputSpec
    ) -> dict[str, Any]:
        def take(download: Download) -> dict[str, Any]:
            stored, kind = land(download, destination, output.format)
            return _told(stored) | {"content_type": kind.mime}

        return self._download(hook, image_id, take, output.query())

    def _convert(
        self,
        hook: AutoenhanceHook,
        image_id: str,
        converter: Converter,
        places: dict[OutputSpec, Destination],
        about: str,
    ) -> dict[OutputSpec, dict[str, Any]]:
        with temporary_folder(about) as folder:
            bought = folder / "bought.png"

            def keep(download: Download) -> StoredFile:
                return land(download, open_destination(str(bought)), "png")[0]

            self._download(hook, image_id, keep, SOURCE_QUERY)
            files = converter.convert(bought, folder, about=about)
            return {file.output: _publish(file, places[file.output]) for file in files}

    def _download(
        self, hook: AutoenhanceHook, image_id: str, take: Callable[[Download], T], rendering: dict[str, str]
    ) -> T:
        return hook.download_image(image_id, take, variant=self.variant, preview=self.preview, rendering=rendering)


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


def _publish(file: ConvertedFile, destination: Destination) -> dict[str, Any]:
    with file.path.open("rb") as body:
        stored = destination.write(body, size=file.size, content_type=file.mime)
    return file.facts() | _told(stored)


def _told(stored: StoredFile) -> dict[str, Any]:
    return {"uri": stored.uri, "size": stored.size, "etag": stored.etag, "sha256": stored.sha256}
