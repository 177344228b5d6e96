"""A batch from plan to summary: submit what is not there yet, wait, land what is ready, write down what happened.

It may die at any line. The next try reads what is there, here and on the remote side, and goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import ImageStatus, Order
from airflow_provider_autoenhance.api.waiting import Wait
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.batch.in_flight import Awaited, Pending
from airflow_provider_autoenhance.pipeline.batch.lookout import Lookout, Sight
from airflow_provider_autoenhance.pipeline.batch.merge import Merge
from airflow_provider_autoenhance.pipeline.batch.photo_steps import Submitted, Transfer
from airflow_provider_autoenhance.pipeline.batch.progress import Progress
from airflow_provider_autoenhance.pipeline.batch.summary import manifest_uri, summarize
from airflow_provider_autoenhance.pipeline.batch.workers import Crew, crew
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.plan.decide import GONE, REFUSED, Decision, Step
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan, Plan
from airflow_provider_autoenhance.pipeline.plan.orders import reserve
from airflow_provider_autoenhance.pipeline.plan.plan import make_plan
from airflow_provider_autoenhance.pipeline.records import Record, Row, record_uri, to_line, write_lines
from airflow_provider_autoenhance.pipeline.remote.brackets import orphans, read_brackets
from airflow_provider_autoenhance.pipeline.remote.images import make_order, read_order
from airflow_provider_autoenhance.pipeline.transfer.deliver import prepare

log = logging.getLogger(__name__)

#: An open record of another run is closed after this time even if images of it never matched a photo again.
_FORGET_SECONDS = 60 * 24 * 3600.0

_ADOPTABLE = (ImageStatus.WAITING, ImageStatus.PROCESSING, ImageStatus.PROCESSED)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a piece of work comes to.

    :param size: bytes moved.
    :param note: puts it down, in the thread that hands out the work, which alone keeps the books.
    """

    size: int
    failed: bool
    note: Callable[[], None]


class Batch:
    """One try of a batch.

    :param resumed: the try goes on after a wait.
    """

    def __init__(self, hook: AutoenhanceHook, job: Job, *, resumed: bool = False) -> None:
        self.hook = hook
        self.job = job
        self.delivery = prepare(hook, job.outputs, conn_id=job.destination_conn_id, preview=job.preview)
        self.plan: Plan = make_plan(job, hook, resumed=resumed)
        self.pending = Pending()
        self.lookout = Lookout(hook)
        self._changed = False
        for group in self.plan.folders:
            for decision in group.decisions:
                if decision.step is Step.WAIT:
                    self._await(group, decision)

    # Phases

    def submit(self) -> None:
        """Create and upload what is missing, and land what is ready, many at a time.

        The records tell of the orders before the first image is created in them.
        """
        groups = self.plan.folders
        for group in groups:
            self._announce(group)
        uploads = (each for group in groups for each in self._work(group))
        landings = (
            self._ready(Awaited(group, decision))
            for group in groups
            for decision in group.decisions
            if decision.step is Step.FETCH
        )
        files = sum(group.files_to_upload for group in groups)
        for verb, work, number in (("Uploaded", uploads, files), ("Landed", landings, self.plan.count()[Step.FETCH])):
            if number:
                with self._crew(verb, number) as crew:
                    crew.add(work)
                    crew.work()

    def look(self) -> dict[str, int | None]:
        """Read what is waited for once, and land what is ready.

        :returns: the orders that are still waited for; with each, how many final images it will list, as far as that is known.
        """
        orders: dict[str, int | None] = {}
        with self._crew("Landed", len(self.pending)) as crew:
            for order_id in self.pending.orders():
                sight = self.lookout.look(order_id, self.pending.of(order_id))
                crew.add(self._take_in(sight))
                if self.pending.of(order_id):
                    orders[order_id] = self._expected(sight.order)
            crew.work()
        return orders

    def watch(self, wait: Wait) -> bool:
        """Land what gets ready, until nothing is waited for any more. Orders are read while photos land.

        :param wait: decides how long to wait.
        :returns: whether Autoenhance has grouped exposures, so that the orders have to be read anew.
        :raises DeadlineError: it takes too long; what is ready has landed.
        """
        with self._crew("Landed", len(self.pending)) as crew:
            while self.pending:
                try:
                    pause = self._look_on(crew, wait)
                except errors.AutoenhanceError:
                    crew.work()
                    raise
                if pause is None:
                    break
                crew.work(pause)
            crew.work()
        return bool(self.pending)

    def _look_on(self, crew: Crew[Moved], wait: Wait) -> float | None:
        """Read all orders that are waited for; the seconds until the next look, ``None`` where there is nothing to look for."""
        pause: float | None = None
        for order_id in self.pending.orders():
            try:
                sight = self.lookout.look(order_id, self.pending.of(order_id))
            except errors.AutoenhanceError as error:
                pause = wait.on_error(error, f"order {order_id}")
                continue
            crew.add(self._take_in(sight))
            left = self.pending.of(order_id)
            if left and not (sight.order.finished and all(each.decision.photo.ungrouped for each in left)):
                pause = wait.under_way(f"order {order_id} has {len(left)} photos under way")
        return pause

    def _take_in(self, sight: Sight) -> list[Callable[[], Moved]]:
        """Take in a look at an order: note what failed or is gone; return the work of landing what is ready."""
        ready = []
        for awaited in self.pending.of(sight.order.order_id):
            photo = awaited.decision.photo
            image = sight.images.get(photo.fingerprint)
            if photo.fingerprint in sight.gone:
                self._unenhanced(awaited, GONE)
            elif image is None:
                if sight.order.finished and not photo.ungrouped:
                    self._unenhanced(awaited, REFUSED)
            else:  # of a merged photo, this look may be the first that shows its image
                decision = replace(awaited.decision, image_id=image.image_id, paid=image.downloaded)
                seen = replace(awaited, decision=decision)
                self.pending.add(seen)
                if image.status is ImageStatus.PROCESSED:
                    self.pending.remove(seen)
                    ready.append(self._ready(seen))
                elif image.status.final:
                    self._unenhanced(seen, image.status_reason)
        return ready

    def _expected(self, order: Order) -> int | None:
        """How many final images an order will list when it is finished; ``None``: Autoenhance decides.

        Only what it lists counts, and what is yet to be merged: fewer then mean that an image is gone.
        """
        pending = self.pending.of(order.order_id)
        if any(each.decision.photo.ungrouped for each in pending):
            return None
        listed = {image.image_id: image.status.final for image in order.images}
        known = sum(each.decision.image_id in listed for each in pending)
        to_come = sum(each.decision.image_id is None for each in pending) if order.is_merging or not listed else 0
        return known + to_come + sum(listed.values())

    def _unenhanced(self, awaited: Awaited, reason: str | None) -> None:
        self.pending.remove(awaited)
        self._note(awaited.group, self._transfer(awaited.group).unenhanced(awaited.decision, reason))

    def give_up(self, error: errors.AutoenhanceError) -> None:
        """Note that the wait for what is under way ended badly. The orders stay open, so a later try adopts the images."""
        for each in self.pending.under_way():
            self._note(each.group, self._transfer(each.group).failure(each.decision, error))
        self.pending = Pending()

    def settle(self) -> None:
        """Write down what happened so far; before a deferral, and at the end."""
        for group in self.plan.folders:
            for decision in (each for each in group.decisions if each.step is Step.KEEP):
                known = group.own.rows.get(decision.photo.fingerprint)
                if known is None or known.status in ("pending", "landed"):
                    self._note(group, self._transfer(group).unenhanced(decision, decision.reason))
        for each in self.pending.under_way():
            if each.decision.step is Step.WAIT:
                self._note(each.group, self._transfer(each.group).row(each.decision, "pending"))
        for group in self.plan.folders:
            self._save(group)

    def finish(self) -> dict[str, Any]:
        """Write the manifest, close what is done with, in this order, and return the summary."""
        for group in self.plan.folders:
            self._find_orphans(group)
        self.settle()
        manifest = manifest_uri(self.job)
        if self._changed or any(record.unfinished for group in self.plan.folders for record in group.records):
            write_lines(manifest, self.job.destination_conn_id, self._manifest_lines)
        for group in self.plan.folders:
            self._close(group)
        return summarize(self.plan, manifest if self.plan.decisions else None)

    def abandon(self) -> None:
        """Delete what is pending and not paid for; a killed task's wish, not a failed one's."""
        for image_id in self.pending.unpaid():
            self.hook.delete_image(image_id)

    @property
    def submitted_at(self) -> float:
        """Seconds since the epoch at which the images that are waited for were submitted, in whichever try."""
        return max(each.group.own.submitted_at for each in self.pending)

    # Steps

    def _announce(self, group: FolderPlan) -> None:
        if not any(decision.works for decision in group.decisions):
            return
        if any(decision.submits for decision in group.decisions):
            group.own.submitted_at = time.time()
        group.own.complete = False
        while True:
            orders = [*group.free, *group.merges]
            group.own.orders += [order for order in orders if order not in group.own.orders]
            self._write(group.own, group)
            new = [order for order in orders if order not in group.orders]
            lost = [order for order in new if not make_order(self.hook, order, group.folder.name)]
            if not lost:
                return
            group.lost.update(lost)
            reserve(self.job, group)

    def _work(self, group: FolderPlan) -> Iterator[Callable[[], Moved]]:
        """Yield a step for each file that goes up."""
        for decision, order_id in group.placed():
            yield partial(self._submit, group, decision, order_id)
        begun = {each.order.order_id: each for each in group.brackets}
        for order_id, decisions in group.merges.items():
            merge = Merge(self.hook, self.job, order_id, decisions, begun.get(order_id))
            for decision in decisions:
                for exposure in decision.photo.exposures:
                    yield partial(self._expose, group, merge, decision, exposure)

    def _expose(self, group: FolderPlan, merge: Merge, decision: Decision, exposure: Photo) -> Moved:
        """Upload an exposure; whoever brings an order's last one has its images made."""
        size = merge.upload(decision, exposure)
        made = merge.process() if merge.ended() else []
        failed = any(error is not None for _, error in made)
        return Moved(size, failed, partial(self._merging, group, merge.order_id, made))

    def _merging(
        self, group: FolderPlan, order_id: str, made: Iterable[tuple[Decision, errors.AutoenhanceError | None]]
    ) -> None:
        for decision, error in made:
            placed = replace(decision, step=Step.WAIT, image_id=None, order_id=order_id)
            if error is None:
                self._await(group, placed)
            else:
                self._note(group, self._transfer(group).failure(placed, error))

    def _submit(self, group: FolderPlan, decision: Decision, order_id: str) -> Moved:
        outcome = self._transfer(group).submit(decision, order_id)
        if isinstance(outcome, Submitted):
            placed = replace(decision, step=Step.WAIT, image_id=outcome.image_id, order_id=outcome.order_id)
            return Moved(decision.photo.size, False, partial(self._await, group, placed, outcome.seconds))
        return Moved(0, True, partial(self._note, group, outcome))

    def _ready(self, awaited: Awaited) -> Callable[[], Moved]:
        """Return the work of landing an enhanced photo."""
        self.pending.landing[awaited.decision.photo.fingerprint] = awaited
        return partial(self._fetch, awaited)

    def _fetch(self, awaited: Awaited) -> Moved:
        row = self._transfer(awaited.group).fetch(awaited.decision, awaited.upload_seconds)
        size = sum(output["size"] for output in row.outputs)
        return Moved(size, row.status != "landed", partial(self._landed, awaited.group, row))

    def _landed(self, group: FolderPlan, row: Row) -> None:
        self._note(group, row)
        del self.pending.landing[row.fingerprint]

    def _await(self, group: FolderPlan, decision: Decision, seconds: float = 0.0) -> None:
        self._changed = True
        self.pending.add(Awaited(group, decision, seconds))

    def _transfer(self, group: FolderPlan) -> Transfer:
        return Transfer(self.hook, self.job, group.own, self.delivery)

    def _note(self, group: FolderPlan, row: Row) -> None:
        """Put down what became of a photo. Each credit is answered for once: by the run that told of it first."""
        self._changed = True
        told = [record.rows.get(row.fingerprint) for record in group.others.values()]
        if any(other is not None and other.image_id == row.image_id and other.credit_spent for other in told):
            row.credit_spent = False
        known = group.own.rows.get(row.fingerprint)
        if known is not None and known.image_id == row.image_id:
            row.credit_spent |= known.credit_spent
        group.own.rows[row.fingerprint] = row

    @contextmanager
    def _crew(self, verb: str, photos: int) -> Iterator[Crew[Moved]]:
        """Have threads for a while; what is fatal for all photos ends it, after what is under way has ended."""
        progress = Progress(log, photos, verb)

        def done(moved: Moved) -> None:
            moved.note()
            progress.add(size=moved.size, failed=moved.failed)

        try:
            with crew(self.job.concurrency, done) as made:
                yield made
        except BaseException:
            self.settle()
            raise

    # Records

    def _save(self, group: FolderPlan) -> None:
        if self._changed and group.own.rows:
            group.own.complete = False
            self._write(group.own, group)

    def _write(self, record: Record, group: FolderPlan) -> None:
        if self.job.durable and not group.readonly:
            uri = record_uri(group.folder.destination, record.run)
            write_lines(uri, self.job.destination_conn_id, record.to_lines)

    def _close(self, group: FolderPlan) -> None:
        """Mark records complete whose orders hold no image that a later run could adopt and no row tells of."""
        unfinished = [record for record in group.records if record.unfinished]
        told = {row.image_id for row in group.rows().values()} if unfinished else set()
        for record in unfinished:
            images = [image for order in record.orders if order in group.orders for image in group.orders[order].images]
            hidden = any(image.status in _ADOPTABLE and image.image_id not in told for image in images)
            hidden |= any(decision.photo.ungrouped for decision in group.decisions)
            if not hidden or time.time() - record.submitted_at > _FORGET_SECONDS:
                record.complete = True
                self._write(record, group)

    def _find_orphans(self, group: FolderPlan) -> None:
        """Put down which exposures at Autoenhance no image came of, beside the order that holds them."""
        if not self._changed and not any(record.unfinished for record in group.records):
            return
        merged = (read_order(self.hook, order_id) for order_id in group.merges)
        filled = [read_brackets(self.hook, order) for order in merged if order]
        read = {each.order.order_id: each for each in (*group.brackets, *filled)}
        rows = group.rows()
        for record in group.records:
            for order_id in record.orders:
                if order_id in read:
                    photos = [
                        each.photo for each in group.decisions if _awaits(rows.get(each.photo.fingerprint), order_id)
                    ]
                    others = [each for each in record.orphans if each["order_id"] != order_id]
                    record.orphans = [*others, *orphans(read[order_id], photos)]

    def _manifest_lines(self) -> Iterator[bytes]:
        for group in self.plan.folders:
            rows = group.rows()
            for decision in group.decisions:
                line = rows.line(decision.photo.fingerprint)
                if decision.step is Step.OMIT:
                    line = self._transfer(group).row(decision, "omitted", reason=decision.reason).to_line()
                elif line is None or decision.step is Step.HOLD:
                    line = self._transfer(group).row(decision, "postponed", reason=decision.reason).to_line()
                yield line
            for record in group.records:
                yield from map(to_line, record.orphans)


def _awaits(row: Row | None, order_id: str) -> bool:
    return row is not None and row.order_id == order_id and bool(row.image_id or row.status == "pending")
