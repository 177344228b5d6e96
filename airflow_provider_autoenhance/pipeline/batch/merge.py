"""Carrying out a merge: exposures up, many at a time, then the one call that makes images of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo, merged_photo
from airflow_provider_autoenhance.pipeline.plan.decide import Decision, Step
from airflow_provider_autoenhance.pipeline.remote.brackets import EXPOSURE_KEY, BracketOrder, bracket_metadata
from airflow_provider_autoenhance.pipeline.remote.exposure import give_up
from airflow_provider_autoenhance.pipeline.transfer.upload import FATAL, upload_new

log = logging.getLogger(__name__)

#: How often a call whose answer got lost is made again.
_ATTEMPTS = 3

#: Seconds between looks for the mark that an exposure has arrived; it may lag the upload.
ARRIVAL_POLLS = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)


class Merge:
    """What one order of brackets is to hold. Its exposures may be uploaded from many threads.

    :param decisions: photos to be merged; or sets that Autoenhance groups, but not both.
    :param begun: the order, where an earlier try has begun to fill it.
    """

    def __init__(
        self, hook: AutoenhanceHook, job: Job, order_id: str, decisions: Sequence[Decision], begun: BracketOrder | None
    ) -> None:
        self.order_id = order_id
        self.decisions = list(decisions)
        self._hook = hook
        self._job = job
        self._give_up = partial(give_up, hook)
        self._lock = threading.Lock()
        self._left = sum(len(decision.photo.exposures) for decision in decisions)
        self._failed: dict[str, errors.AutoenhanceError] = {}
        self._bracket_ids: dict[tuple[str, str], str] = {}
        for decision in decisions if begun else ():
            for bracket in begun.brackets_of(decision.photo) if begun else ():
                if bracket.is_uploaded:
                    key = decision.photo.fingerprint, str(bracket.metadata[EXPOSURE_KEY])
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
            self._bracket_ids[key] = upload_new(
                self._hook, self._job, exposure, lambda: self._create(photo, exposure), self._give_up
            )
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
        told = self._spoilt()
        spoilt = {decision for decision, _ in told}
        whole = [each for each in self.decisions if each not in spoilt]
        error: errors.AutoenhanceError | None = None
        if whole:
            try:
                self._make_images(whole)
            except FATAL:
                raise
            except Exception as refused:  # noqa: BLE001 - of this order alone
                error = errors.unexpected(refused, f"order {self.order_id}")
        return [*((decision, error) for decision in whole), *told]

    def _make_room(self, decision: Decision) -> None:
        """Delete the useless image that a photo's new one replaces; where that fails, the photo does."""
        if decision.step is not Step.REPLACE or not decision.image_id or decision.photo.fingerprint in self._failed:
            return
        try:
            self._hook.delete_image(decision.image_id)
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this photo's
            told = errors.unexpected(error, f"image {decision.image_id}")
            self._failed[decision.photo.fingerprint] = told

    def _spoilt(self) -> list[tuple[Decision, errors.AutoenhanceError]]:
        """What cannot be merged: photos with an exposure that failed, and such exposures of a set by themselves.

        A set is put off whole where another try may bring the exposure along; Autoenhance would merge without it for good.
        """
        told = []
        for decision in self.decisions:
            photo = decision.photo
            if not photo.ungrouped:
                if photo.fingerprint in self._failed:
                    told.append((decision, self._failed[photo.fingerprint]))
                continue
            failed = {file: self._failed[file.fingerprint] for file in photo.files if file.fingerprint in self._failed}
            passing = next((error for error in failed.values() if error.retryable), None)
            if passing or len(failed) == len(photo.files):
                told.append((decision, passing or next(iter(failed.values()))))
            else:
                alone = ((merged_photo(self._job, [file], ungrouped=True), error) for file, error in failed.items())
                told += [(replace(decision, photo=file), error) for file, error in alone]
        return told

    def _make_images(self, decisions: Sequence[Decision]) -> None:
        groups = [self._ids_of(decision.photo) for decision in decisions]
        self._wait_for_arrival({bracket_id for group in groups for bracket_id in group})
        for left in reversed(range(_ATTEMPTS)):
            try:
                self._hook.process_order(
                    self.order_id,
                    groups=None if decisions[0].photo.ungrouped else groups,
                    settings=self._job.settings,
                )
            except (errors.ServerError, errors.UnreachableError, errors.ConflictError):
                # Whether it was carried out, the order tells; asked twice, Autoenhance might merge twice.
                if BracketOrder(self._hook.get_order(self.order_id), ()).processed:
                    return
                if not left:
                    raise
            else:
                return

    def _ids_of(self, photo: Photo) -> list[str]:
        keys = ((photo.fingerprint, exposure.fingerprint) for exposure in photo.exposures)
        return [self._bracket_ids[key] for key in keys if key in self._bracket_ids]

    def _wait_for_arrival(self, wanted: set[str]) -> None:
        """Wait until Autoenhance knows that it has the bytes, and take out what no image is to be made of."""
        for pause in ARRIVAL_POLLS:
            time.sleep(pause)
            brackets = self._hook.list_brackets(self.order_id)
            arrived = {bracket.bracket_id for bracket in brackets if bracket.is_uploaded}
            if wanted <= arrived:
                break
        else:
            log.warning(
                "order %s: %d exposures are uploaded but not marked so; merging all the same",
                self.order_id,
                len(wanted - arrived),
            )
        for bracket in brackets:
            if bracket.bracket_id not in wanted:
                self._give_up(bracket.bracket_id)

    def _create(self, photo: Photo, exposure: Photo) -> tuple[str, str]:
        """Register an exposure. Where an answer got lost, what it left behind is taken out before the merge."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                created = self._hook.create_bracket(
                    exposure.image_name, order_id=self.order_id, metadata=bracket_metadata(photo, exposure)
                )
            except (errors.ServerError, errors.UnreachableError):
                if not left:
                    raise
            else:
                return created.bracket.bracket_id, created.upload_url
        raise AssertionError("unreachable")
