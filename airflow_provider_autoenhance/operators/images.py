"""Operators for single images: create, upload, reprocess, download, delete, report. Each is safe to retry and to map.

For whole folders, a batch operator does the same with fewer tasks and calls.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import conf

from airflow_provider_autoenhance.api import coerce, errors
from airflow_provider_autoenhance.api.shown import last_part, quoted
from airflow_provider_autoenhance.hooks import DEFAULT_POLL_INTERVAL
from airflow_provider_autoenhance.operators.base import (
    WAITING,
    AutoenhanceBaseOperator,
    outputs,
    push_result,
    task_run,
)
from airflow_provider_autoenhance.operators.links import PHOTO_LINKS
from airflow_provider_autoenhance.utils.openlineage import LineageMixin, Moved

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_autoenhance.api.models import Image
    from airflow_provider_autoenhance.imaging.output import OutputSpec
    from airflow_provider_autoenhance.pipeline.remote.create import Made
    from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket
    from airflow_provider_autoenhance.triggers.images import Event

log = logging.getLogger(__name__)

#: Orders of one run that may have been deleted at Autoenhance.
_MOST_LOST = 9


class AutoenhanceCreateImageOperator(AutoenhanceBaseOperator):
    """Register an image, or adopt the one that an earlier try of this task made.

    Returns ``image_id``, ``order_id``, ``status``, ``upload_url``, and each other field that Autoenhance answers. ``upload_url`` is not
    the URL itself but a ticket for :class:`AutoenhanceUploadImageOperator`, encrypted, because a presigned URL is a credential; empty when
    the adopted image has its bytes already.

    ::

        photo = "s3://listings/elm/kitchen.jpg"
        created = AutoenhanceCreateImageOperator(
            task_id="create", image_name="elm/kitchen.jpg", source=photo, settings={"enhance_type": "warm"}
        )

    :param image_name: name in Autoenhance, unique among the photos of an hour: use the path, not ``DSC0001.jpg`` (templated).
    :param source: URI of the photo, as the upload task gets it (templated). Optional, but it keeps photos of the same name apart, and
        makes a mapped list safe to re-order and to re-expand.
    :param order_id: order to put it into (templated). By default all images of one DAG run share one, whose id a retry derives again.
    :param settings: an ``EnhancementSettings`` or a plain object (templated).
    :param metadata: JSON object that comes back with the image (templated).
    :param content_type: MIME type of the photo; only API versions before 2025-05-05 take it (templated).
    :raises SettingsError: on a setting that is wrong or that the pinned API version does not know; nothing was sent.
    :raises SourceError: the source is a folder; nothing was sent.
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "image_name": coerce.required,
        "source": coerce.text,
        "order_id": coerce.identifier,
        "settings": coerce.settings,
        "metadata": coerce.mapping,
        "content_type": coerce.text,
    }
    template_fields: Sequence[str] = (
        "image_name", "source", "order_id", "settings", "metadata", "content_type", "autoenhance_conn_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        image_name: str,
        source: coerce.Place | None = None,
        order_id: str | None = None,
        settings: Mapping[str, Any] | str | None = None,
        metadata: Mapping[str, Any] | str | None = None,
        content_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_name = image_name
        self.source: Any = source
        self.order_id = order_id
        self.settings: Any = settings
        self.metadata: Any = metadata
        self.content_type = content_type
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the order, then adopt or create."""
        with task_run(self, context, label=self.image_name):
            made = self._ensure(context)
            verb = "Adopted" if made.adopted else "Created"
            log.info("%s %s in order %s, %s", verb, made.label, made.ticket.order_id, made.status)
            result = {
                **made.details,
                "image_id": made.id,
                "order_id": made.ticket.order_id,
                "status": made.status.value,
                "upload_url": "" if made.adopted else made.ticket.seal(self.hook.config.api_key),
            }
            return push_result(context, result)

    def _ensure(self, context: Context) -> Made:
        """Adopt or create, in the run's order; where that was deleted, in its next one."""
        from airflow_provider_autoenhance.pipeline.remote.create import ensure
        from airflow_provider_autoenhance.pipeline.remote.identity import origin_check, run_order_id
        from airflow_provider_autoenhance.pipeline.remote.images import read_order

        ti = context["ti"]
        wanted, check = self._wanted(context), origin_check(ti, self.source)
        if self.order_id:
            return ensure(self.hook, wanted, check=check)
        for number in count():
            order_id = run_order_id(ti.dag_id, ti.run_id, number)
            try:
                return ensure(
                    self.hook, replace(wanted, order_id=order_id), order_name=f"{ti.dag_id} {ti.run_id}", check=check
                )
            except errors.ConflictError as error:
                if number == _MOST_LOST or read_order(self.hook, order_id, whole=False) is not None:
                    raise
                log.warning("%s The images of this run get another one.", error)
        raise AssertionError("unreachable")

    def _wanted(self, context: Context) -> UploadTicket:
        from airflow_provider_autoenhance.api.settings import wire_settings
        from airflow_provider_autoenhance.pipeline.remote.identity import task_metadata
        from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket
        from airflow_provider_autoenhance.pipeline.transfer.upload import PhotoSource

        settings = wire_settings(self.settings, version=self.hook.config.extra.api_version)
        photo = PhotoSource(self.source, access=self.hook.source_access) if self.source else None
        metadata = task_metadata(
            context["ti"],
            self.image_name,
            source=photo.place if photo else None,
            user=self.metadata,
            settings=settings,
            fingerprint=photo.fingerprint(settings) if photo else None,
        )
        return UploadTicket(self.image_name, self.order_id, settings, metadata, content_type=self.content_type)


class AutoenhanceUploadImageOperator(LineageMixin, AutoenhanceBaseOperator):
    """Stream a photo to Autoenhance. Enhancement starts by itself when it has arrived.

    An image that has its bytes already is left alone. Where the upload URL has expired, the image is made again with the settings it was
    created with. Returns ``image_id``, which holds from then on: use it, not the creation's, in the tasks that follow.

    ::

        uploaded = AutoenhanceUploadImageOperator(
            task_id="upload",
            image_id=created.output["image_id"],
            upload_url=created.output["upload_url"],
            source=photo,
        )

    :param image_id: from the create task (templated).
    :param upload_url: the create task's ``upload_url`` (templated); empty when the image was adopted.
    :param source: the photo: ``s3://``, another object storage URI, ``http(s)://``, or a local path (templated).
    :param source_conn_id: Airflow connection of the source (templated).
    :param content_type: MIME type, where the upload URL does not name it (templated).
    :raises SourceError: missing, empty, cut short, or of a type that Autoenhance does not take.
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "image_id": coerce.required_id,
        "upload_url": coerce.text,
        "source": coerce.required,
        "source_conn_id": coerce.text,
        "content_type": coerce.text,
    }
    template_fields: Sequence[str] = (
        "image_id", "upload_url", "source", "source_conn_id", "content_type", "autoenhance_conn_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        image_id: str,
        upload_url: str,
        source: coerce.Place,
        source_conn_id: str | None = None,
        content_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_id = image_id
        self.upload_url = upload_url
        self.source: Any = source
        self.source_conn_id = source_conn_id
        self.content_type = content_type
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Upload unless that has been done."""
        with task_run(self, context, label=last_part(self.source)):
            from airflow_provider_autoenhance.pipeline.transfer.upload import PhotoSource, upload_photo

            photo = PhotoSource(uri=self.source, conn_id=self.source_conn_id, access=self.hook.source_access)
            uploaded = upload_photo(
                self.hook, photo, image_id=self.image_id, token=self.upload_url or "", content_type=self.content_type
            )
            self._moved = Moved(sources=(photo.uri,))
            return push_result(context, {"image_id": uploaded})


class AutoenhanceReprocessImageOperator(AutoenhanceBaseOperator):
    """Enhance an image again with other settings; costs nothing. Settings left out keep their value.

    Waits for the result, unless ``wait_for_completion`` is false, and returns the image: each field that Autoenhance answers.
    A retry goes on waiting for what an earlier try started.

    ::

        AutoenhanceReprocessImageOperator(
            task_id="again", image_id="{{ params.image_id }}", settings={"enhance_type": "neutral"}, deferrable=True
        )

    :param image_id: id of the image (templated).
    :param settings: what to change (templated).
    :param wait_for_completion: wait until it is enhanced again.
    :param deferrable: wait in the triggerer; by default as ``[operators] default_deferrable`` says.
    :param poll_interval: time between polls, in seconds or as a ``timedelta`` (templated).
    :param timeout: time after which the wait fails, in seconds or as a ``timedelta`` (templated).
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "image_id": coerce.required_id,
        "settings": coerce.settings,
        **WAITING,
    }
    template_fields: Sequence[str] = ("image_id", "settings", "poll_interval", "timeout", "autoenhance_conn_id")

    def __init__(
        self,
        *,
        image_id: str,
        settings: Mapping[str, Any] | str | None = None,
        wait_for_completion: bool | str = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: coerce.Duration = DEFAULT_POLL_INTERVAL,
        timeout: coerce.Duration = 60.0 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_id = image_id
        self.settings: Any = settings
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval: Any = poll_interval
        self.timeout: Any = timeout
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Start, unless an earlier try did, and wait."""
        from airflow_provider_autoenhance.api.waiting import ImageWait
        from airflow_provider_autoenhance.pipeline.remote.wait import wait_for_image
        from airflow_provider_autoenhance.triggers.images import AutoenhanceImageTrigger

        with task_run(self, context, label=self.image_id):
            image = self._start(retried=context["ti"].try_number > 1)
            if not self.wait_for_completion:
                return push_result(context, image.details)
            wait = ImageWait(time.time() + self.timeout, self.poll_interval)
            if self.deferrable and wait.on_image(image) is not None:
                trigger = AutoenhanceImageTrigger(
                    image_id=image.image_id,
                    autoenhance_conn_id=self.autoenhance_conn_id,
                    poll_interval=self.poll_interval,
                    deadline=wait.deadline,
                )
                self.defer(trigger=trigger, method_name="execute_complete")
            return push_result(context, wait_for_image(self.hook, image, wait).details)

    def execute_complete(self, context: Context, event: Event | None = None) -> dict[str, Any]:
        """Go on where the trigger ended."""
        with task_run(self, context, label=self.image_id):
            return push_result(context, self.image_of(event))

    def _start(self, *, retried: bool) -> Image:
        """Ask for the enhancement. On a retry, what is under way, or done, with just these settings is taken as it is."""
        from airflow_provider_autoenhance.api.settings import wire_settings
        from airflow_provider_autoenhance.api.waiting import check_image
        from airflow_provider_autoenhance.pipeline.remote.style import Style, seen_settings

        wire = wire_settings(self.settings, version=self.hook.config.extra.api_version)
        if retried:
            image = self.hook.get_image(self.image_id)
            has_them = Style(wire).lacks(seen_settings(image)) is None
            if has_them and (not image.status.final or (wire and check_image(image))):
                log.info("Not started again: %s is %s with these settings already", image.label, image.status)
                return image
        image = self.hook.process_image(self.image_id, settings=wire)
        log.info("Reprocessing %s", image.label)
        return image


class AutoenhanceDownloadImageOperator(LineageMixin, AutoenhanceBaseOperator):
    """Stream an image from Autoenhance to a file, whole or not at all.

    The destination is tried before anything is spent. A retry downloads again, but never pays again. Returns ``uri``, ``size`` (bytes),
    ``sha256``, ``content_type``, ``image_id``, ``credit_spent`` (whether this try spent one), ``outputs`` with the facts of each file,
    ``gallery`` and ``contact_sheet`` (URIs).

    ::

        AutoenhanceDownloadImageOperator(
            task_id="download",
            image_id=enhanced.output["image_id"],
            destination="s3://enhanced/elm/",
            output_spec=["jpeg", {"format": "webp", "max_width": 2048}],
            preview=False,
        )

    :param image_id: id of the image (templated).
    :param destination: file URI, or a folder URI ending in ``/``, in which the file is named after the image (templated). A path object
        without an extension is a folder. Neither an original nor what a batch has made of another photo is written over. Left out, the
        ``output_spec`` names it; where that does not either, it is a folder below the connection's ``temporary_folder``.
    :param destination_conn_id: Airflow connection of the destination (templated).
    :param variant: ``enhanced``, or ``original`` (the upload; for HDR the merged picture).
    :param preview: a small free rendering, as the API's default is. ``False`` spends one credit the first time (templated).
    :param output_spec: an ``OutputSpec``, an object of its fields, or just a format; a list of them for several files from one purchase,
        into a folder (templated).
    :param thumbnails: also write what people look at: a small picture of the image before and after, the gallery's row (``gallery``) and a
        contact sheet (``contact_sheet``). Needs the extra ``imaging`` for the pictures, and up to two free calls of the API.
    :raises NoCreditsError: no credit is left; the enhanced image waits.
    :raises DestinationError: not writable; nothing was spent.
    :raises SettingsError: an original, or another photo's file, would be written over; nothing was spent.
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "image_id": coerce.required_id,
        "destination": coerce.file_or_folder,
        "destination_conn_id": coerce.text,
        "variant": coerce.one_of("enhanced", "original"),
        "preview": coerce.boolean,
        "output_spec": outputs,
        "thumbnails": coerce.boolean,
    }
    operator_extra_links = PHOTO_LINKS
    template_fields: Sequence[str] = (
        "image_id", "destination", "destination_conn_id", "preview", "output_spec", "autoenhance_conn_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        image_id: str,
        destination: coerce.Place | None = None,
        destination_conn_id: str | None = None,
        variant: Literal["enhanced", "original"] = "enhanced",
        preview: bool | str = True,
        output_spec: OutputSpec | Mapping[str, Any] | str | Sequence[Any] | None = None,
        thumbnails: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_id = image_id
        self.destination: Any = destination
        self.destination_conn_id = destination_conn_id
        self.variant = variant
        self.preview: Any = preview
        self.output_spec = output_spec
        self.thumbnails = thumbnails
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, then download."""
        from airflow_provider_autoenhance.imaging.output import outputs_of
        from airflow_provider_autoenhance.pipeline.gallery.downloads import Downloads
        from airflow_provider_autoenhance.pipeline.job import run_of
        from airflow_provider_autoenhance.pipeline.transfer.download import PhotoTarget, download_photo

        with task_run(self, context, label=last_part(self.destination or "") or self.image_id):
            target = PhotoTarget(
                uri=self.destination,
                conn_id=self.destination_conn_id,
                outputs=outputs_of(self.output_spec),
                variant=self.variant,
                preview=self.preview,
            )
            shown: Downloads | None = None
            if self.thumbnails:
                folder = f"{target.uri.rpartition('/')[0]}/"
                conn_id = self.destination_conn_id
                shown = Downloads(self.hook, run_of(context["ti"]), folder, conn_id, of=self.image_id, few=True)
            landed = download_photo(self.hook, target, image_id=self.image_id, shown=shown)
            files = landed["outputs"]
            written = tuple(file["uri"] for file in files)
            self._moved = Moved(destinations=written, files=len(files), size=sum(each["size"] for each in files))
            return push_result(context, landed)


class AutoenhanceDeleteImageOperator(AutoenhanceBaseOperator):
    """Delete an image from Autoenhance. One that is gone already is fine, so a retry is too. Returns ``image_id``.

    ::

        AutoenhanceDeleteImageOperator(task_id="delete", image_id=downloaded.output["image_id"])

    :param image_id: id of the image (templated).
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "image_id": coerce.required_id,
    }
    template_fields: Sequence[str] = ("image_id", "autoenhance_conn_id")

    def __init__(self, *, image_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image_id = image_id
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete."""
        with task_run(self, context, label=self.image_id):
            self.hook.delete_image(self.image_id)
            log.info("Deleted image %s", self.image_id)
            return push_result(context, {"image_id": self.image_id})


def _categories(owner: str, name: str, value: Any) -> tuple[str, ...]:
    from airflow_provider_autoenhance.api.calls import REPORT_CATEGORIES

    found = coerce.texts(owner, name, value)
    if not found or any(each.upper() not in REPORT_CATEGORIES for each in found):
        raise errors.SettingsError(f"{owner}: {name} takes any of {', '.join(REPORT_CATEGORIES)}, not {quoted(value)}.")
    return found


class AutoenhanceReportImageOperator(AutoenhanceBaseOperator):
    """Send feedback on an image's quality to Autoenhance. Returns ``image_id``.

    ::

        AutoenhanceReportImageOperator(
            task_id="report", image_id="{{ params.image_id }}", categories=["HDR"], comment="too dark", score=2
        )

    :param image_id: id of the image (templated).
    :param categories: one or more of :data:`~airflow_provider_autoenhance.api.calls.REPORT_CATEGORIES` (templated).
    :param comment: free text (templated).
    :param score: 0 (worst) to 5 (templated).
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "image_id": coerce.required_id,
        "categories": _categories,
        "comment": coerce.text,
        "score": coerce.number_between(0, 5),
    }
    template_fields: Sequence[str] = ("image_id", "categories", "comment", "score", "autoenhance_conn_id")

    def __init__(
        self,
        *,
        image_id: str,
        categories: Sequence[str] | str,
        comment: str | None = None,
        score: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_id = image_id
        self.categories: Any = categories
        self.comment = comment
        self.score: Any = score
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Send the report."""
        with task_run(self, context, label=self.image_id):
            self.hook.report_image(self.image_id, categories=self.categories, comment=self.comment, score=self.score)
            log.info("Reported image %s: %s", self.image_id, ", ".join(self.categories))
            return push_result(context, {"image_id": self.image_id})
