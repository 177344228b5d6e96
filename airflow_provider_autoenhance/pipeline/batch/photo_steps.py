"""Carrying out single decisions: make and upload an image, enhance it again, land it. Safe to call from many threads."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import ImageStatus
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.batch.pictures import Pictures
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.plan.decide import (
    GONE,
    NO_ORIGINAL,
    RESTYLED,
    Decision,
    Step,
    passes,
    sourceless,
)
from airflow_provider_autoenhance.pipeline.records import Record, Row, now
from airflow_provider_autoenhance.pipeline.remote.edits import ensure_edit
from airflow_provider_autoenhance.pipeline.remote.identity import image_metadata
from airflow_provider_autoenhance.pipeline.remote.images import find_image
from airflow_provider_autoenhance.pipeline.remote.style import seen_settings
from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket
from airflow_provider_autoenhance.pipeline.transfer.deliver import BOUGHT, Delivery
from airflow_provider_autoenhance.pipeline.transfer.upload import FATAL, upload_new
from airflow_provider_autoenhance.storage import open_destination

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Submitted:
    """A photo whose image is being enhanced.

    :param decision: what is waited for.
    :param seconds: what that took.
    """

    decision: Decision
    seconds: float


class Transfer:
    """Moves the photos of one job's group.

    :param own: this run's record of the group.
    :param delivery: makes files of enhanced images.
    :param pictures: keeps thumbnails of what passes.
    """

    def __init__(self, hook: AutoenhanceHook, job: Job, own: Record, delivery: Delivery, pictures: Pictures) -> None:
        self._hook = hook
        self._job = job
        self._own = own
        self._delivery = delivery
        self._pictures = pictures

    def submit(self, decision: Decision, order_id: str) -> Submitted | Row:
        """Bring a photo to where it is being enhanced.

        :param order_id: order for a new image.
        :raises AutoenhanceError: only what every other photo would meet too.
        """
        began = time.monotonic()
        photo = decision.photo
        try:
            if decision.step is Step.REPROCESS:
                image_id, order_id = decision.image_id or "", decision.order_id or order_id
                seen = seen_settings(self._hook.process_image(image_id, settings=decision.settings))
                if decision.reason:
                    log.info("Photo %r is enhanced again, which is free: %s", photo.path, decision.reason)
            else:
                if decision.step is Step.REPLACE and decision.image_id:
                    self._hook.delete_image(decision.image_id)
                wanted = UploadTicket(photo.image_name, order_id, self._job.settings, image_metadata(photo))
                with self._pictures.going_up(photo) as copy:
                    made = upload_new(self._hook, self._job, photo, wanted, copy)
                    self._pictures.went_up(photo, copy)
                image_id, seen = made.id, made.seen
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this photo's
            # The order may hold an image all the same: its answer got lost, or the upload failed.
            return self.failure(replace(decision, order_id=decision.order_id or order_id), error)
        placed = replace(decision, step=Step.WAIT, image_id=image_id, order_id=order_id)
        if decision.style.is_answered_by(seen):  # else the first look shows what Autoenhance answers of it
            placed = replace(placed, style=decision.style.taught(seen), seen=seen)
        return Submitted(placed, time.monotonic() - began)

    def edit(self, decision: Decision, check: Callable[[], None]) -> Submitted | Row:
        """Have a premium edit made of the image that a decision names as its parent.

        :param check: called before it is asked for; raises to refuse.
        :raises AutoenhanceError: only what every photo would meet too.
        """
        began, photo, run = time.monotonic(), decision.photo, self._job.run
        # One process at a time works on a folder; without records, nobody keeps others from it.
        owner = self._job.destination if self._job.durable else f"{run.dag_id}/{run.run_id}/{run.task_id}"
        try:
            parent = find_image(self._hook, decision.parent_id or "")
            if parent is None or parent.status is ImageStatus.EXPIRED:
                return self.row(decision, "held", reason=NO_ORIGINAL)
            child = ensure_edit(self._hook, parent, self._job.edit, owner=f"{owner} {photo.fingerprint}", check=check)
        except (*FATAL, errors.FolderBusyError) as error:
            if error.status_code != 403:  # the account has no premium edits, and all the rest
                raise
            return self.failure(decision, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this photo's
            return self.failure(decision, error)
        seconds = time.monotonic() - began
        placed = replace(
            decision,
            step=Step.WAIT,
            image_id=child.image_id,
            order_id=child.order_id,
            paid=child.downloaded,
            seen=seen_settings(child),
        )
        return Submitted(placed, seconds)

    def fetch(self, decision: Decision, upload_seconds: float = 0.0) -> Row:
        """Land an enhanced photo, as its image was last seen.

        :raises AutoenhanceError: only what every other photo would meet too.
        """
        began = time.monotonic()
        photo, image_id = decision.photo, decision.image_id or ""
        try:
            places = [open_destination(target, conn_id=self._job.destination_conn_id) for target in photo.targets]
            with self._pictures.coming_down() as copy:
                outputs = self._delivery.deliver(self._hook, image_id, places, about=f"photo {photo.path!r}", copy=copy)
                self._pictures.came_down(photo, image_id, copy, outputs)
        except Exception as error:
            if isinstance(error, FATAL) and not self._is_about(photo, error):
                raise
            return self.failed_download(decision, error)
        row = self.row(decision, "landed")
        row.outputs = outputs
        row.request = self._job.request
        row.watermark = self._job.dev_mode
        row.credits = int(decision.paid or self._job.buys)
        row.credit_spent = self._job.buys and self._own.answers_for(image_id)
        if not photo.original:  # an edit's settings say nothing of what the account has by itself
            row.answered = dict(decision.style.answered if decision.seen is None else decision.seen)
        row.seconds = {"upload": round(upload_seconds, 3), "download": round(time.monotonic() - began, 3)}
        return row

    def failed_download(self, decision: Decision, error: Exception) -> Row:
        """A row for an image that may be bought, though no file of it has landed."""
        row = self.failure(decision, error)
        bought = decision.paid or (self._job.buys and self._is_bought(decision.image_id or ""))
        row.credit_spent = self._job.buys and bought and self._own.answers_for(decision.image_id)
        row.credits = int(bought)
        if bought and str(error).endswith(BOUGHT):
            row.reason = f"{row.reason} {BOUGHT}"
        return row

    def _is_about(self, photo: Photo, error: Exception) -> bool:
        """Whether it is the name of a photo's own file that the destination does not take, while it takes others."""
        full = isinstance(error, errors.DestinationFullError)
        if full or not isinstance(error, errors.DestinationError) or not str(error).startswith(photo.targets):
            return False  # it is about the key, the connection, or the worker's own disk
        try:
            folder = f"{self._job.destination}{RECORDS_FOLDER}/"
            open_destination(folder, conn_id=self._job.destination_conn_id).check_writable()
        except Exception:  # noqa: BLE001 - the error that led here is the one to tell
            return False
        return True

    def _is_bought(self, image_id: str) -> bool:
        """Whether a credit was spent on an image that did not land; in doubt the next try finds out."""
        try:
            return self._hook.get_image(image_id).downloaded
        except Exception:  # noqa: BLE001 - the photo has failed already
            return False

    def failure(self, decision: Decision, error: Exception) -> Row:
        """A row for what went wrong, here or with another photo, whose image may be bought while this one is not."""
        described = errors.unexpected(error, f"photo {decision.photo.path!r}")
        row = self.row(decision, "failed", reason=str(described).removesuffix(BOUGHT).rstrip())
        row.transient = described.retryable
        if isinstance(described, (errors.NotFoundError, errors.UploadUrlExpiredError, errors.ConflictError)):
            # The next try reads the order, and makes the image again; in another order, where this one is gone.
            row.transient = True
        return row

    def unenhanced(self, decision: Decision, reason: str | None) -> Row:
        """A row for an image that Autoenhance could not enhance, or that is gone: left for the next run where that may help."""
        reason = sourceless(reason) if decision.photo.gone else reason
        described = reason or "Autoenhance gave no reason"
        row = self.row(decision, "postponed" if passes(reason) else "failed", reason=described)
        row.transient = reason in (GONE, RESTYLED)
        return row

    def row(self, decision: Decision, status: str, *, reason: str | None = None) -> Row:
        """A row about a decision's photo."""
        photo = decision.photo
        return Row(
            source=photo.source,
            etag=photo.etag,
            size=photo.size,
            fingerprint=photo.fingerprint,
            status=status,  # type: ignore[arg-type]
            run=self._own.run,
            image_id=decision.image_id,
            order_id=decision.order_id,
            image_name=decision.image_name or photo.image_name,
            reason=reason,
            targets=list(photo.targets) if status == "pending" else [],
            credits=int(decision.paid),
            exposures=[{"source": each.source, "etag": each.etag, "size": each.size} for each in photo.exposures],
            settings=dict(self._job.settings),
            answered=decision.style.remembered(None if decision.other else decision.seen),
            api_version=self._job.api_version,
            reprocessed=decision.settings is not None or decision.rounds > 0,
            rounds=decision.rounds,
            edit=(
                {"environment": self._job.edit, "of": photo.original, "parent_image_id": decision.parent_id}
                if photo.original
                else None
            ),
            heads=json.loads(decision.heads) if decision.heads else [],
            warnings=list(decision.doubts),
            store=self._job.sources.store(photo.origin),
            at=now(),
        )
