"""What a task that downloads images shows to people. It has neither photos nor records: it knows what Autoenhance says of the images."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from airflow_provider_autoenhance.api.models import Image
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.gallery.rows import Entry, Gallery, output_entry
from airflow_provider_autoenhance.pipeline.gallery.sheet import write_sheet
from airflow_provider_autoenhance.pipeline.gallery.thumbnails import Thumbnails, after_name
from airflow_provider_autoenhance.pipeline.job import Run
from airflow_provider_autoenhance.pipeline.remote.style import seen_settings
from airflow_provider_autoenhance.storage.naming import split_conn_id

if TYPE_CHECKING:
    from airflow_provider_autoenhance.imaging.thumbnail import Copy

log = logging.getLogger(__name__)


class Downloads:
    """The images that one task downloads into one folder. Safe to use from many threads; fails neither an image nor the task.

    ::

        shown = Downloads(hook, run_of(ti), "s3://enhanced/elm/", None, of=order_id)
        ...  # shown.landed(...) for each image
        result |= shown.write()

    :param folder: URI of the folder; a connection may stand in it.
    :param conn_id: Airflow connection of it, where the URI names none.
    :param of: id of the order or image that the task is about: tasks on one folder have files of their own.
    :param few: it is about one image.
    """

    def __init__(
        self, hook: AutoenhanceHook, run: Run, folder: str, conn_id: str | None, *, of: str, few: bool = False
    ) -> None:
        self._hook = hook
        place, conn_id = split_conn_id(folder, conn_id)
        digest = hashlib.sha256("\0".join((run.dag_id, run.task_id, of)).encode()).hexdigest()
        self._gallery = Gallery(run, f"{place}autoenhance-manifest-{digest[:8]}.jsonl", conn_id)
        self._kept = Thumbnails(place, conn_id, few=few)
        self._entries: dict[str, Entry] = {}

    def copying(self) -> AbstractContextManager[Copy | None]:
        """Return what copies a file while it is downloaded."""
        return self._kept.copy() or nullcontext()

    def landed(
        self,
        image: Image,
        copy: Copy | None,
        outputs: Sequence[dict[str, Any]],
        *,
        credits: int,
        original: bool,
        preview: bool,
    ) -> None:
        """Take an image that has landed.

        :param outputs: the facts of its files.
        :param credits: what it has cost.
        :param original: the upload was downloaded, which has no other picture to be held against.
        :param preview: the small free rendering was downloaded; the image may not be bought.
        """
        before, after = self._name(image, "before"), self._name(image, "after")
        if copy is not None:
            upload = self._kept.rendered(self._hook, image.image_id, variant="original")
            bought = self._kept.rendered(self._hook, image.image_id, variant="enhanced", preview=preview)
            if not self._kept.keep(after, copy, about=image.label):
                self._kept.make(after, upload if original else bought, about=image.label)
            if not original and not self._kept.has(before):
                self._kept.make(before, upload, about=image.label)
        self._entries[image.image_id] = self._entry(image, "landed") | Entry(
            before=before if not original and self._kept.has(before) else None,
            after=after if self._kept.has(after) else None,
            credits=credits,
            outputs=[output_entry(each, self._gallery.folder) for each in outputs],
        )

    def failed(self, image: Image, reason: str) -> None:
        """Take an image that has not landed."""
        self._entries[image.image_id] = self._entry(image, "failed") | Entry(reason=clean_text(reason))

    def write(self) -> dict[str, str | None]:
        """Write the gallery's JSON and the contact sheet.

        :returns: their URIs, ``gallery`` and ``contact_sheet``; empty where they cannot be written.
        """
        entries = sorted(self._entries.values(), key=lambda each: each["name"])
        header = self._gallery.header()
        try:
            write_sheet(self._gallery, header, lambda: entries, self._kept.read)
            self._gallery.write(header, lambda: entries)
            self._kept.sum_up()
        except Exception as error:  # noqa: BLE001 - the images have landed
            log.warning("The gallery and the contact sheet cannot be written: %s", clean_text(str(error)))
            return {}
        return self._gallery.uris()

    def _entry(self, image: Image, state: str) -> Entry:
        return Entry(
            name=image.image_name or image.image_id,
            listing="",
            state=state,
            reason=None,
            before=None,
            after=None,
            settings=dict(seen_settings(image)),
            credits=0,
            outputs=[],
            exposures=[],
            image_id=image.image_id,
            order_id=image.order_id,
            parent=None,
            seconds=None,
        )

    def _name(self, image: Image, side: str) -> str:
        digest = hashlib.sha256(f"{side}\0{image.image_id}".encode()).hexdigest()
        return after_name(digest) if side == "after" else f"{digest[:32]}-before.webp"
