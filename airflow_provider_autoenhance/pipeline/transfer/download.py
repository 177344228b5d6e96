"""One photo from Autoenhance to the files that are wanted of it."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.calls import Variant
from airflow_provider_autoenhance.api.models import Image, ImageStatus
from airflow_provider_autoenhance.api.waiting import check_image
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.imaging.output import OutputSpec, named_output
from airflow_provider_autoenhance.imaging.purchase import Purchase, output_names
from airflow_provider_autoenhance.pipeline.gallery.downloads import Downloads
from airflow_provider_autoenhance.pipeline.transfer.deliver import Delivery, prepare
from airflow_provider_autoenhance.pipeline.transfer.overwriting import check_overwriting
from airflow_provider_autoenhance.storage import open_destination
from airflow_provider_autoenhance.storage.location import locate_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhotoTarget:
    """Where a photo goes and what it should look like.

    :param uri: file URI for a single output, or a folder URI ending in ``/``.
    :param preview: the free rendering; ``False`` buys the full size.
    :param name: what the files in a folder are named after; by default the image's name.
    """

    uri: str
    conn_id: str | None = None
    outputs: tuple[OutputSpec, ...] = (OutputSpec(),)
    variant: Variant = "enhanced"
    preview: bool = True
    name: str | None = None

    @property
    def untouched(self) -> bool:
        """The original file as it was uploaded."""
        return self.variant == "original" and self.outputs == (OutputSpec(),) and not self.uri.endswith("/")

    def with_formats(self, image: Image) -> PhotoTarget:
        """Return the target with the format of each output.

        :raises SettingsError: when a folder's URI is of another place than it seems, a file's extension and its format contradict each
            other, or one file is to hold several outputs.
        """
        if self.untouched:
            return self
        if self.uri.endswith("/"):
            folder = locate_folder(self.uri).full_uri
            return replace(self, uri=folder, outputs=tuple(output.with_format() for output in self.outputs))
        try:
            return replace(self, outputs=(named_output(self.outputs, self.uri),))
        except errors.SettingsError as error:
            raise errors.SettingsError(f"{image.label}: {error}") from None

    def uris(self, image: Image) -> list[str]:
        """Where each output goes."""
        if not self.uri.endswith("/"):
            return [self.uri]
        name = self.name or image.image_name or image.image_id
        return [self.uri + each for each in output_names(self.outputs, name, fingerprint=image.image_id)]


def download_photo(
    hook: AutoenhanceHook, target: PhotoTarget, *, image_id: str, shown: Downloads | None = None
) -> dict[str, Any]:
    """Download an image; everything that can be checked is checked before a credit is spent.

    :param shown: shows it to people.
    :returns: ``image_id``, ``credit_spent``, and ``outputs`` with the facts of each; the facts of the first stand at the top too; and
        ``gallery`` and ``contact_sheet``, where it is shown.
    :raises SettingsError: an original, or a file that a batch has made of another photo, would be written over.
    """
    image = hook.get_image(image_id)
    _check_ready(image, target.variant)
    target = target.with_formats(image)
    files = dict.fromkeys(target.uris(image), image)
    for uri in files:
        open_destination(uri, conn_id=target.conn_id)  # refuses what is no place for a file
    check_overwriting(hook, files, target.conn_id, folder=target.uri.rpartition("/")[0] + "/")
    landed = land(hook, target, image, shown)
    return landed | (shown.write() if shown else {})


def land(hook: AutoenhanceHook, target: PhotoTarget, image: Image, shown: Downloads | None = None) -> dict[str, Any]:
    """Download an image to places that hold nobody else's file; as :func:`download_photo`.

    :param target: with formats.
    :param shown: gets to know of it.
    """
    _check_ready(image, target.variant)
    if target.untouched:
        delivery = Delivery(Purchase(target.outputs, target.outputs, ()), None, target.variant, target.preview)
    else:
        delivery = prepare(hook, target.outputs, conn_id=target.conn_id, variant=target.variant, preview=target.preview)
    destinations = [open_destination(uri, conn_id=target.conn_id) for uri in target.uris(image)]
    for destination in destinations:
        destination.check_writable()
    spent = target.variant == "enhanced" and not (target.preview or image.downloaded or hook.config.extra.dev_mode)
    with shown.copying() if shown else nullcontext() as copy:
        outputs = delivery.deliver(hook, image.image_id, destinations, about=image.label, copy=copy)
        if shown:
            credits = int(spent or image.downloaded)
            original = target.variant == "original"
            shown.landed(image, copy, outputs, credits=credits, original=original, preview=target.preview)
    for output in outputs:
        log.info("%s landed at %s (%s bytes)", image.label, output["uri"], output["size"])
    if spent:
        log.info("%s cost one credit", image.label)
    return {"image_id": image.image_id, **outputs[0], "credit_spent": spent, "outputs": outputs}


def _check_ready(image: Image, variant: Variant) -> None:
    if variant == "original" and image.status is not ImageStatus.WAITING:
        return
    if not check_image(image):
        raise errors.InvalidRequestError(
            f"{image.label} is still {image.status}; wait for it with AutoenhanceImageStatusSensor before downloading."
        )
