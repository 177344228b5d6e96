"""The books of a batch: its rows, its records, and the manifest for people.

Called only from the main thread, so the records need no lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from airflow_provider_autoenhance.api.models import ImageStatus
from airflow_provider_autoenhance.pipeline.batch.in_flight import Awaited
from airflow_provider_autoenhance.pipeline.batch.manifest import find_manifest, write_manifest
from airflow_provider_autoenhance.pipeline.batch.photo_steps import Transfer
from airflow_provider_autoenhance.pipeline.batch.pictures import Pictures
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.plan.decide import Step
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan, PartPlan, Plan
from airflow_provider_autoenhance.pipeline.records import Record, Row, to_line, write_lines
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder, orphans

#: An open record of another run is closed after this time even if images of it never matched a photo again.
_FORGET_SECONDS = 60 * 24 * 3600.0

_ADOPTABLE = (ImageStatus.WAITING, ImageStatus.PROCESSING, ImageStatus.PROCESSED)


class Books:
    """Writes down what happens to the photos of a plan.

    :param steps: gives what makes the rows of a folder.
    """

    def __init__(self, job: Job, plan: Plan, steps: Callable[[FolderPlan], Transfer]) -> None:
        self._job = job
        self._plan = plan
        self._steps = steps
        self._changed = False
        #: A newer try of this run has begun, so that nothing may be written over what it writes.
        self.is_over = False

    def announce(self, folder: FolderPlan) -> None:
        """Name the reserved orders in the record: called before the first image is created in them."""
        if any(decision.submits for decision in folder.decisions):
            folder.own.submitted_at = time.time()
        folder.own.complete = False
        reserved = [*folder.free, *folder.merges]
        folder.own.orders += [order for order in reserved if order not in folder.own.orders]
        self.write(folder.own, folder)

    def note(self, folder: FolderPlan, row: Row) -> None:
        """Take a row. Each credit is answered for once: by the run that wrote of it first."""
        self._changed = True
        if row.image_id in folder.noted:
            row.credit_spent = False
        known = folder.own.rows.get(row.fingerprint)
        if known is not None and known.image_id == row.image_id:
            row.credit_spent |= known.credit_spent
        folder.own.rows[row.fingerprint] = row

    def checkpoint(self, in_flight: Iterable[Awaited]) -> None:
        """Write what happened so far into the records: before a deferral, at the end, and when the task breaks off."""
        for folder in self._plan.folders:
            for decision in (each for each in folder.decisions if each.step is Step.KEEP):
                known = folder.own.rows.get(decision.photo.fingerprint)
                if known is None or known.status in ("pending", "landed") or known.reason != decision.reason:
                    self.note(folder, self._steps(folder).unenhanced(decision, decision.reason))
            for row in self._newly_held(folder):
                self.note(folder, row)
        for each in in_flight:
            if each.decision.step is Step.WAIT:
                self.note(each.folder, self._steps(each.folder).row(each.decision, "pending"))
        for folder in self._plan.folders:
            if self._changed and folder.own.rows:
                folder.own.complete = False
                self.write(folder.own, folder)

    def is_open(self, folder: FolderPlan) -> bool:
        """Whether a folder's records have to be written or closed."""
        unfinished = any(record.unfinished for record in folder.records)
        return self._changed or unfinished or any(self._newly_held(folder))

    def _newly_held(self, folder: FolderPlan) -> Iterator[Row]:
        """Yield the rows of held photos that no record says yet: what their first kilobytes showed is not read again then. A row that says
        what landed, or was bought, is never given up for one; nor is any for that of a photo that only has to wait."""
        held = [each for each in folder.decisions if each.step is Step.HOLD and (each.doubts or each.heads)]
        rows = folder.rows() if held else {}
        for decision in held:
            row = self._steps(folder).row(decision, "held", reason=decision.reason)
            known = rows.get(row.fingerprint)
            if known is None or not (
                (known.status != "held" and not decision.doubts)
                or known.has_image
                or (known.status, known.reason, known.heads) == ("held", row.reason, row.heads)
            ):
                yield row

    def note_orphans(self, folder: FolderPlan, read: Iterable[BracketOrder]) -> None:
        """Note which exposures at Autoenhance no image came of, beside the order that holds them.

        :param read: orders of exposures, as they are at the end of the batch.
        """
        by_id = {each.order.order_id: each for each in (*folder.brackets, *read)}
        rows = folder.rows()
        for record in folder.records:
            for order_id in (order for order in record.orders if order in by_id):
                photos = [
                    each.photo for each in folder.decisions if _belongs_to(order_id, rows.get(each.photo.fingerprint))
                ]
                others = [each for each in record.orphans if each["order_id"] != order_id]
                record.orphans = [*others, *orphans(by_id[order_id], photos)]

    def write_manifests(self, pictures: Mapping[str, Pictures]) -> dict[str, dict[str, str | None]]:
        """Write what is for people: the gallery and the contact sheet, then the manifest, with a row per photo; for each listing its own.

        :param pictures: of each part of the job, by its destination.
        :returns: by the destination the URIs ``manifest``, ``gallery`` and ``contact_sheet`` of what there is; nothing where there are no
            photos.
        """
        parts = [part for part in self._plan.parts if any(folder.decisions for folder in part.folders)]
        with ThreadPoolExecutor(self._job.concurrency, thread_name_prefix="autoenhance-manifest") as pool:
            written = pool.map(lambda part: self._manifest(part, pictures[part.job.destination]), parts)
            return {part.job.destination: uris for part, uris in zip(parts, written, strict=True)}

    def _manifest(self, part: PartPlan, pictures: Pictures) -> dict[str, str | None]:
        uri, there = find_manifest(part.job)
        again = not there or any(map(self.is_open, part.folders))
        shown = pictures.write(part, uri, again=again)
        if again:
            write_manifest(part.job, uri, partial(self._manifest_lines, part.folders))
        return {"manifest": uri, **shown}

    def close(self, holds: Callable[[FolderPlan], bool]) -> None:
        """Mark records complete whose orders hold no image that a later run could adopt and no row names.

        :param holds: whether this process works on a folder; if not, another one may, and its records are left alone.
        """
        own = {folder.own.run for folder in self._plan.folders}
        for folder in filter(holds, self._plan.folders):
            # Folders that share a destination have each other's records as they were when the plan was made.
            others = [record for record in folder.others.values() if record.run not in own]
            unfinished = [record for record in (*others, folder.own) if record.unfinished]
            named = {row.image_id for row in folder.rows().values()} if unfinished else set()
            for record in unfinished:
                orders = [folder.orders[order] for order in record.orders if order in folder.orders]
                images = [image for order in orders for image in order.originals]
                hidden = any(image.status in _ADOPTABLE and image.image_id not in named for image in images)
                hidden |= any(decision.photo.ungrouped for decision in folder.decisions)
                if not hidden or time.time() - record.submitted_at > _FORGET_SECONDS:
                    record.complete, record.claim = True, None
                    self.write(record, folder)

    def write(self, record: Record, folder: FolderPlan) -> None:
        """Write a record."""
        if self._job.durable and not folder.readonly and not self.is_over:
            written = write_lines(record.uri, self._job.destination_conn_id, record.to_lines)
            folder.etags[record.uri] = written.etag

    def _manifest_lines(self, folders: Iterable[FolderPlan]) -> Iterator[bytes]:
        for folder in folders:
            rows, steps = folder.rows(), self._steps(folder)
            for decision in folder.decisions:
                line = rows.line(decision.photo.fingerprint)
                if decision.step is Step.OMIT:
                    line = steps.row(decision, "omitted", reason=decision.reason).to_line()
                elif line is None or decision.step is Step.HOLD:
                    line = steps.row(decision, "held", reason=decision.reason).to_line()
                yield line
            for record in folder.records:
                if record.folder == folder.folder.destination:
                    yield from map(to_line, record.orphans)


def _belongs_to(order_id: str, row: Row | None) -> bool:
    """Whether a photo waits for an image of an order, or has it."""
    return row is not None and row.order_id == order_id and bool(row.image_id or row.status == "pending")
