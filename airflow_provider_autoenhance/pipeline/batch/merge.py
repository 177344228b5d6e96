"""Carrying out a merge: exposures up, many at a time, then the one call that makes images of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.batch.pictures import Pictures
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo, merged_photo
from airflow_provider_autoenhance.pipeline.plan.decide import Decision, Step
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder
from airflow_provider_autoenhance.pipeline.remote.create import discard
from airflow_provider_autoenhance.pipeline.remote.identity import exposure_mark, exposure_metadata, exposures_by_mark
from airflow_provider_autoenhance.pipeline.remote.process import Grouping, process_order, wait_for_arrival
from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket
from airflow_provider_autoenhance.pipeline.transfer.upload import FATAL, upload_new

log = logging.getLogger(__name__)


class Merge:
    """What one order of brackets is to hold. Its exposures may be uploaded from many threads.

    :param decisions: photos to be merged; or sets that Autoenhance groups, but not both.
    :param begun: the order, where an earlier try has begun to fill it.
    :param pictures: keeps thumbnails of what passes.
    """

    def __init__(
        self,
        hook: AutoenhanceHook,
        job: Job,
        order_id: str,
        decisions: Sequence[Decision],
        begun: BracketOrder | None,
        pictures: Pictures,
    ) -> None:
        self.order_id = order_id
        self.decisions = list(decisions)
        self._hook = hook
        self._job = job
        self._pictures = pictures
        self._lock = threading.Lock()
        self._left = sum(len(decision.photo.exposures) for decision in decisions)
        self._failed: dict[str, errors.AutoenhanceError] = {}
        self._bracket_ids: dict[tuple[str, str], str] = {}
        for decision in decisions if begun else ():
            marks = exposures_by_mark(decision.photo.exposures)
            for bracket in begun.brackets_of(decision.photo) if begun else ():
                if bracket.is_uploaded:
                    key = decision.photo.fingerprint, marks[exposure_mark(bracket) or ""]
                    self._bracket_ids.setdefault(key, bracket.bracket_id)

    def upload(self, decision: Decision, exposure: Photo) -> int:
        """Upload one exposure, unless an earlier try did.

        :returns: bytes moved.
        :raises AutoenhanceError: only what every other photo would meet too.
        """
        photo = decision.photo
        key = photo.fingerprint, exposure.fingerprint
        spoilt = photo.fingerprint in self._failed and not photo.ungrouped
        if key in self._bracket_ids or spoilt:
            return 0
        try:
            marks = exposure_metadata(photo, exposure)
            wanted = UploadTicket(exposure.image_name, self.order_id, {}, marks, kind="bracket")
            with self._pictures.going_up(exposure, of=photo) as copy:
                self._bracket_ids[key] = upload_new(self._hook, self._job, exposure, wanted, copy).id
                self._pictures.went_up(exposure, copy)
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this exposure's
            failed = exposure.fingerprint if photo.ungrouped else photo.fingerprint
            self._failed.setdefault(failed, errors.unexpected(error, f"exposure {exposure.path!r}"))
            return 0
        return exposure.size

    def ended(self) -> bool:
        """Count an exposure as dealt with; true for the last."""
        with self._lock:
            self._left -= 1
            return self._left == 0

    def process(self) -> list[tuple[Decision, errors.AutoenhanceError | None]]:
        """Have the images made of what has arrived whole.

        :returns: each decision, with what went wrong for it; exposures that were left out of a set stand alone.
        :raises AutoenhanceError: only what every other photo would meet too.
        """
        for decision in self.decisions:
            self._make_room(decision)
        found = self._spoilt()
        spoilt = {decision for decision, _ in found}
        whole = [each for each in self.decisions if each not in spoilt]
        error: errors.AutoenhanceError | None = None
        if whole:
            try:
                self._make_images(whole)
            except FATAL:
                raise
            except Exception as refused:  # noqa: BLE001 - of this order alone
                error = errors.unexpected(refused, f"order {self.order_id}")
        return [*((decision, error) for decision in whole), *found]

    def _make_room(self, decision: Decision) -> None:
        """Delete the useless image that a photo's new one replaces; where that fails, the photo does."""
        if decision.step is not Step.REPLACE or not decision.image_id or decision.photo.fingerprint in self._failed:
            return
        try:
            self._hook.delete_image(decision.image_id)
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this photo's
            described = errors.unexpected(error, f"image {decision.image_id}")
            self._failed[decision.photo.fingerprint] = described

    def _spoilt(self) -> list[tuple[Decision, errors.AutoenhanceError]]:
        """What cannot be merged: photos with an exposure that failed, and such exposures of a set by themselves.

        A set is put off whole where another try may bring the exposure along; Autoenhance would merge without it for good.
        """
        found = []
        for decision in self.decisions:
            photo = decision.photo
            if not photo.ungrouped:
                if photo.fingerprint in self._failed:
                    found.append((decision, self._failed[photo.fingerprint]))
                continue
            failed = {file: self._failed[file.fingerprint] for file in photo.files if file.fingerprint in self._failed}
            passing = next((error for error in failed.values() if error.retryable), None)
            if passing or len(failed) == len(photo.files):
                found.append((decision, passing or next(iter(failed.values()))))
            else:
                alone = ((file, merged_photo(self._job, [file], ungrouped=True)) for file in failed)
                found += [(decision.of_one(file, photo), failed[file]) for file, photo in alone]
        return found

    def _make_images(self, decisions: Sequence[Decision]) -> None:
        groups = [self._ids_of(decision.photo) for decision in decisions]
        wanted = {bracket_id for group in groups for bracket_id in group}
        brackets, missing = wait_for_arrival(self._hook, self.order_id, wanted)
        if missing:
            log.warning(
                "Order %s is merged although %s do not count as uploaded yet", self.order_id, ", ".join(missing)
            )
        for bracket in brackets:
            if bracket.bracket_id not in wanted:
                discard(self._hook, "bracket", bracket.bracket_id)
        grouping = Grouping(None if decisions[0].photo.ungrouped else groups)
        process_order(self._hook, self.order_id, grouping, self._job.settings)

    def _ids_of(self, photo: Photo) -> list[str]:
        keys = ((photo.fingerprint, exposure.fingerprint) for exposure in photo.exposures)
        return [self._bracket_ids[key] for key in keys if key in self._bracket_ids]
