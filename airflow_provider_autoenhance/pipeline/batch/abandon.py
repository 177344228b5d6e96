"""Deleting what a killed task has made and not paid for.

Airflow kills a task with a signal, whose handler runs in the midst of whatever the main thread does, and that may hold any lock: the
connections', the pace's, a thread pool's. So another thread does all of it, and the handler waits for it only as long as it gets on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.batch.in_flight import InFlight
from airflow_provider_autoenhance.pipeline.batch.waiting import unpaid_marks
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan
from airflow_provider_autoenhance.pipeline.records import Row
from airflow_provider_autoenhance.pipeline.remote.images import read_order

log = logging.getLogger(__name__)

#: A killed task has five seconds in all. So long it waits for the images that it is just creating, before it deletes them.
_MADE_SECONDS = 2.0

#: The handler returns when for so long nothing was answered: the other thread may wait for a lock of the thread that it has interrupted.
_STILL_SECONDS = 3.0


def abandon(hook: AutoenhanceHook, job: Job, folders: Sequence[FolderPlan], in_flight: InFlight) -> None:
    """Delete what this run has made and not paid for, but for what is being downloaded, and what another run has to do with.

    :param folders: those that this process works on; on others another run may be at work.
    """
    _Abandoned(hook, job, folders, in_flight).delete()


class _Abandoned:
    def __init__(self, hook: AutoenhanceHook, job: Job, folders: Sequence[FolderPlan], in_flight: InFlight) -> None:
        self._hook = hook
        self._job = job
        self._folders = folders
        self._in_flight = in_flight
        self._answers = 0

    def delete(self) -> None:
        thread = threading.Thread(target=self._delete, name="autoenhance-abandon", daemon=True)
        thread.start()
        before = -1
        while thread.is_alive() and self._answers > before:
            before = self._answers
            thread.join(_STILL_SECONDS)

    def _delete(self) -> None:
        self._hook.wait_until_made(_MADE_SECONDS)
        with ThreadPoolExecutor(self._job.concurrency, thread_name_prefix="autoenhance-abandon") as pool:
            # First: what lands meanwhile is among the one or the other.
            kept = {each.decision.image_id for each in tuple(self._in_flight.downloads.values())}
            made = chain.from_iterable(pool.map(self._made, self._folders))
            for _ in pool.map(self._delete_image, sorted({*self._in_flight.unpaid(), *made} - kept)):
                pass

    def _delete_image(self, image_id: str) -> None:
        """Delete an image. One that cannot be deleted must not keep the others."""
        try:
            self._hook.delete_image(image_id)
        except errors.AutoenhanceError as error:
            log.warning("An image stays at Autoenhance: %s", error)
        self._answers += 1

    def _made(self, folder: FolderPlan) -> list[str]:
        """Ids of the unpaid images that this run's own orders hold of a folder's photos, but for those that have landed as previews.

        They have the photos' marks: what somebody else has put there has not, and no image counts by its name alone.
        """
        rows = map(Row.from_line, folder.own.rows.lines())
        landed = {row.image_id for row in rows if row.status == "landed"}
        photos = {decision.photo.fingerprint for decision in folder.decisions}
        made: set[str] = set()
        for order_id in (*folder.free, *folder.merges):
            try:
                order = read_order(self._hook, order_id, whole=False)
            except errors.AutoenhanceError as error:
                log.warning("What order %s holds is not deleted: %s", order_id, error)
                continue
            self._answers += 1
            unpaid = unpaid_marks(order) if order and order_id in folder.own.orders else {}
            made |= {image_id for image_id, fingerprint in unpaid.items() if fingerprint in photos}
        return list(made - landed - folder.named_by_others)
