"""A batch from plan to summary: submit what is not there yet, wait, download what is ready, write down what happened.

It may die at any line. The next try reads what is there, here and at Autoenhance, and goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, Self

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.models import Order
from airflow_provider_autoenhance.api.shown import counted
from airflow_provider_autoenhance.api.waiting import Wait
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.batch.abandon import abandon
from airflow_provider_autoenhance.pipeline.batch.books import Books
from airflow_provider_autoenhance.pipeline.batch.claims import Claims, wait_for_others
from airflow_provider_autoenhance.pipeline.batch.in_flight import Awaited, InFlight
from airflow_provider_autoenhance.pipeline.batch.merge import Merge
from airflow_provider_autoenhance.pipeline.batch.photo_steps import Submitted, Transfer
from airflow_provider_autoenhance.pipeline.batch.pictures import Pictures, PictureThreads
from airflow_provider_autoenhance.pipeline.batch.progress import Progress
from airflow_provider_autoenhance.pipeline.batch.summary import summarize
from airflow_provider_autoenhance.pipeline.batch.waiting import Look, Watcher, unpaid_marks
from airflow_provider_autoenhance.pipeline.batch.workers import Workers, workers
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.plan.decide import Decision, Step, restyled
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan, Plan
from airflow_provider_autoenhance.pipeline.plan.orders import reserve
from airflow_provider_autoenhance.pipeline.plan.plan import make_plan
from airflow_provider_autoenhance.pipeline.records import Row, Rows
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder, read_brackets
from airflow_provider_autoenhance.pipeline.remote.images import make_order, read_order
from airflow_provider_autoenhance.pipeline.transfer.deliver import Delivery, prepare

log = logging.getLogger(__name__)

#: For so long before a deferral nobody looks again at what has landed: an order has but few calls, and no enhancement takes less.
_UNSEEN_SECONDS = 5.0

#: So many landed photos are worth a look before the rest has landed.
_MANY_LANDED = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a piece of work comes to.

    :param size: bytes moved.
    :param note: writes it into the books. Called only from the main thread.
    """

    size: int
    failed: bool
    note: Callable[[], None]


class Batch:
    """One try of a batch. :meth:`planned` makes it. In a ``with`` statement, it lets others work on its folders at the end."""

    def __init__(self, hook: AutoenhanceHook, job: Job, plan: Plan, delivery: Delivery) -> None:
        self.hook = hook
        self.job = job
        self.plan = plan
        self.in_flight = InFlight()
        self._delivery = delivery
        self._threads = PictureThreads(job.concurrency)
        self._pictures = {part.job.destination: Pictures(hook, part.job, self._threads) for part in plan.parts}
        self._watcher = Watcher(hook, self.in_flight)
        self._books = Books(job, plan, self._steps)
        self._claims = Claims(job, self._books)
        #: What has landed, and whose image has to be looked at once more.
        self._landed: list[Awaited] = []
        #: Premium edits, by the fingerprint of the photo that has to land before; and those whose original has.
        self._edits: dict[str, Awaited] = {}
        self._to_edit: list[Awaited] = []

    @classmethod
    def planned(cls, hook: AutoenhanceHook, job: Job, *, resumed: bool = False, worked: Container[str] = ()) -> Batch:
        """Read what is there, here and at Autoenhance, and plan. Changes nothing.

        :param resumed: the try goes on after a wait.
        :param worked: ids of its records of the folders on which the try has worked before, where it does not go on after a wait.
        """
        delivery = prepare(hook, job.outputs, conn_id=job.destination_conn_id, preview=job.preview)
        return cls(hook, job, make_plan(job, hook, resumed=resumed, worked=worked), delivery)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._threads.close()
        try:
            self._claims.release()
        except errors.AutoenhanceError as error:
            if kind is None:
                raise
            log.warning("The folders are free for others in a minute only: %s", error)

    # Phases

    def submit(self) -> set[str]:
        """Claim the folders; create and upload what is missing there, and download what is ready, many at a time.

        :returns: the ids of this run's records of the folders that are worked on.
        """
        folders = self._claims.take(each for each in self.plan.folders if each.works or self._books.is_open(each))
        for folder in folders:
            for decision in folder.decisions:
                if decision.step is Step.WAIT:
                    self.in_flight.add(Awaited(folder, decision))
            self._expect_edits(folder)
        for folder in folders:
            self._make_orders(folder)
        uploads = (each for folder in folders for each in self._uploads(folder))
        downloads = (
            self._to_download(Awaited(folder, decision))
            for folder in folders
            for decision in folder.decisions
            if decision.step is Step.DOWNLOAD
        )
        files = sum(folder.files_to_upload for folder in folders)
        for verb, work, number in (
            ("Uploaded", uploads, files),
            ("Landed", downloads, sum(each.step is Step.DOWNLOAD for folder in folders for each in folder.decisions)),
        ):
            if number:
                with self._workers(verb, number) as threads:
                    threads.add(work)
                    self._check_styles(threads)
        if self._to_edit:
            with self._workers("Edited", len(self._to_edit)) as threads:
                self._make_edits(threads)
        return {folder.own.run for folder in folders}

    @property
    def is_outdone(self) -> bool:
        """Whether others work on folders that this one has work in, or have changed them: the plan has to be made again."""
        return self._claims.outdated or bool(self._claims.blockers)

    def wait_for_others(self, until: float) -> None:
        """Wait for one of the runs that work on its folders. Nothing may be claimed meanwhile.

        :param until: seconds since the epoch.
        :raises FolderBusyError: it takes too long.
        """
        wait_for_others(self.job, self._claims.blockers, until)

    def look(self) -> dict[str, int | None]:
        """Read what is waited for once, and download what is ready.

        :returns: the orders that are still waited for; with each, how many final images it will list, as far as that is known.
        """
        orders: dict[str, Order] = {}
        began = time.monotonic()
        with self._workers("Landed", len(self.in_flight)) as threads:
            for order_id in self.in_flight.orders():
                look = self._watcher.look(order_id)
                threads.add(self._after(look))
                if not look.restyled:
                    orders[order_id] = look.order
            threads.work()
            waiting = len(self.in_flight)
            meddled = any(each.decision.rounds for each in self._landed)
            if not waiting or meddled or time.monotonic() - began > _UNSEEN_SECONDS:
                self._check_styles(threads)
            self._landed.clear()
            self._make_edits(threads)
            if len(self.in_flight) > waiting:  # what is enhanced again, or edited, shows in a new look alone
                orders = {}
        if self.in_flight:
            self._threads.wait()  # while Autoenhance is at work; else it is done in the end
        return {
            order_id: self._watcher.expected(orders.get(order_id) or self._watcher.read(order_id))
            for order_id in self.in_flight.orders()
        }

    def watch(self, wait: Wait) -> bool:
        """Download what gets ready, until nothing is waited for any more. Orders are read while photos are downloaded.

        :param wait: decides how long to wait.
        :returns: whether the orders have to be read again: Autoenhance has grouped exposures, or an image is enhanced again.
        :raises DeadlineError: it takes too long; what is ready has landed.
        """
        with self._workers("Landed", len(self.in_flight)) as threads:
            while self.in_flight:
                try:
                    pause = self._look_at_all(threads, wait)
                except errors.AutoenhanceError:
                    threads.work()
                    raise
                if pause is None:
                    self._check_styles(threads)
                    if not self._make_edits(threads):
                        break
                else:
                    threads.work(pause)
        return bool(self.in_flight)

    def end_wait(self, error: errors.AutoenhanceError) -> None:
        """Note that the wait for what is in flight ended badly. The orders stay open, so a later try adopts the images."""
        for each in self.in_flight:
            self._books.note(each.folder, self._steps(each.folder).failure(each.decision, error))
        for each in self.in_flight.downloads.values():
            self._books.note(each.folder, self._steps(each.folder).failed_download(each.decision, error))
        self.in_flight.clear()

    def checkpoint(self) -> None:
        """Write down what happened so far."""
        self._books.checkpoint(self.in_flight.everything())

    def finish(self) -> dict[str, Any]:
        """Delete twins, write manifest, gallery and contact sheet, close what is done with, in this order, and return the summary."""
        twins = sum(self._delete_twins(folder) for folder in self.plan.folders if self._claims.holds(folder))
        for folder in self.plan.folders:
            if self._books.is_open(folder):
                self._books.note_orphans(folder, self._read_merges(folder))
        self.checkpoint()
        for part in self.plan.parts:
            self._pictures[part.job.destination].catch_up(part)
        self._threads.wait()
        written = self._books.write_manifests(self._pictures)
        self._books.close(self._claims.holds)
        return summarize(self.plan, written, twins, self.hook.config.extra)

    def break_off(self, error: errors.AutoenhanceError) -> dict[str, Any]:
        """Note that the batch ends with an error that every photo would meet, and return the summary.

        :param error: each photo that is not done has failed with it.
        """
        self.end_wait(error)
        for folder in filter(self._claims.holds, self.plan.folders):
            for decision in (each for each in folder.decisions if each.works):
                row = folder.own.rows.get(decision.photo.fingerprint)
                if row is None or row.status == "pending":
                    self._books.note(folder, self._steps(folder).failure(decision, error))
        return summarize(self.plan, {}, 0, self.hook.config.extra)

    def abandon(self) -> None:
        """Delete what this run has made and not paid for, as a killed task may wish: see :mod:`.abandon`."""
        abandon(self.hook, self.job, list(filter(self._claims.holds, self.plan.folders)), self.in_flight)

    def _delete_twins(self, folder: FolderPlan) -> int:
        """Delete what a try that stood still and went on beside its retry has made twice.

        Only an unpaid image of this run's own orders, with the mark of a photo that has landed of another image, and that no record names:
        nobody waits for that one.

        :returns: how many were deleted.
        """
        unpaid: dict[str, str] = {}
        for order_id in folder.own.orders:
            seen = self._watcher.unpaid.get(order_id)
            if seen is None and order_id in folder.orders:
                seen = unpaid_marks(folder.orders[order_id])
            unpaid |= seen or {}
        if not unpaid:
            return 0
        rows = folder.rows()
        landed = {fingerprint: row.image_id for fingerprint, row in rows.items() if row.status == "landed"}
        named = {row.image_id for record in folder.records for row in record.rows.values()}
        deleted = {
            image_id
            for image_id, fingerprint in unpaid.items()
            if landed.get(fingerprint) and image_id not in named and self._delete_unpaid(image_id)
        }
        for order_id, order in folder.orders.items():  # the records are closed by what is there
            left = tuple(image for image in order.images if image.image_id not in deleted)
            folder.orders[order_id] = replace(order, images=left)
        if deleted:
            log.info(
                "Deleted %s at Autoenhance, unpaid: another try had made them beside this one",
                counted(len(deleted), "twin"),
            )
        return len(deleted)

    def _delete_unpaid(self, image_id: str) -> bool:
        """Delete an image, unless somebody has bought it; say whether it was deleted."""
        try:
            if self.hook.get_image(image_id).downloaded:
                return False
            self.hook.delete_image(image_id)
        except errors.NotFoundError:
            return False
        except errors.AutoenhanceError as error:
            log.warning("A twin stays at Autoenhance: %s", error)
            return False
        return True

    @property
    def submitted_at(self) -> float:
        """Seconds since the epoch at which the images that are waited for were submitted, in whichever try."""
        return max(each.folder.own.submitted_at for each in self.in_flight)

    # Steps

    def _make_orders(self, folder: FolderPlan) -> None:
        """Make the orders that uploads need. The record names them before."""
        if not any(decision.works for decision in folder.decisions):
            return
        while True:
            self._books.announce(folder)
            new = [order for order in (*folder.free, *folder.merges) if order not in folder.orders]
            lost = [order for order in new if not make_order(self.hook, order, folder.folder.name)]
            if not lost:
                return
            folder.lost.update(lost)
            reserve(folder.job, folder)

    def _uploads(self, folder: FolderPlan) -> Iterator[Callable[[], Outcome]]:
        """Yield a piece of work for each file that goes up."""
        for decision, order_id in folder.placed():
            yield partial(self._upload_photo, folder, decision, order_id)
        begun = {each.order.order_id: each for each in folder.brackets}
        for order_id, decisions in folder.merges.items():
            pictures = self._pictures[folder.job.destination]
            merge = Merge(self.hook, folder.job, order_id, decisions, begun.get(order_id), pictures)
            for decision in decisions:
                for exposure in decision.photo.exposures:
                    yield partial(self._upload_exposure, folder, merge, decision, exposure)

    def _upload_photo(self, folder: FolderPlan, decision: Decision, order_id: str) -> Outcome:
        self._claims.check()
        done = self._steps(folder).submit(decision, order_id)
        if not isinstance(done, Submitted):
            return Outcome(0, True, partial(self._books.note, folder, done))
        awaited = Awaited(folder, done.decision, done.seconds)
        return Outcome(decision.photo.size, False, partial(self.in_flight.add, awaited))

    def _upload_exposure(self, folder: FolderPlan, merge: Merge, decision: Decision, exposure: Photo) -> Outcome:
        """Upload an exposure. After an order's last one its images are made."""
        self._claims.check()
        size = merge.upload(decision, exposure)
        made = merge.process() if merge.ended() else []

        def note() -> None:
            for each, error in made:
                placed = replace(each, step=Step.WAIT, image_id=None, order_id=merge.order_id)
                if error is None:
                    self.in_flight.add(Awaited(folder, placed))
                else:
                    self._books.note(folder, self._steps(folder).failure(placed, error))

        return Outcome(size, any(error is not None for _, error in made), note)

    def _look_at_all(self, threads: Workers[Outcome], wait: Wait) -> float | None:
        """Read all orders that are waited for.

        :returns: seconds until the next look, ``None`` where there is nothing to look for.
        """
        pause: float | None = None
        for order_id in self.in_flight.orders():
            try:
                look = self._watcher.look(order_id)
            except errors.AutoenhanceError as error:
                pause = wait.on_error(error, f"order {order_id}")
                continue
            threads.add(self._after(look))
            if look.goes_on:
                left = counted(len(self.in_flight.of(order_id)), "photo")
                pause = wait.under_way(f"order {order_id} has {left} under way")
        return pause

    def _after(self, look: Look) -> Iterator[Callable[[], Outcome]]:
        """Note what has ended, and that the rest is begun; return the work that is left with it: to download what is enhanced."""
        for awaited, reason in look.ended:
            self._books.note(awaited.folder, self._steps(awaited.folder).unenhanced(awaited.decision, reason))
        shown = (partial(self._show, awaited) for awaited, _ in look.ended)
        again = (partial(self._enhance_again, awaited) for awaited in look.restyled)
        self.in_flight.downloads.update((each.decision.photo.fingerprint, each) for each in look.enhanced)
        downloads = (partial(self._download, awaited) for awaited in look.enhanced)
        return chain(shown, again, downloads, self._restyled_so_far())

    def _to_download(self, awaited: Awaited) -> Callable[[], Outcome]:
        self.in_flight.downloads[awaited.decision.photo.fingerprint] = awaited
        return partial(self._download, awaited)

    def _download(self, awaited: Awaited) -> Outcome:
        self._claims.check()
        row = self._steps(awaited.folder).fetch(awaited.decision, awaited.upload_seconds)

        def note() -> None:
            self._books.note(awaited.folder, row)
            del self.in_flight.downloads[row.fingerprint]
            if row.status == "landed":
                self._landed.append(awaited)
                self._may_edit(row)

        return Outcome(sum(output["size"] for output in row.outputs), row.status != "landed", note)

    def _show(self, awaited: Awaited) -> Outcome:
        """Let people see a photo that was not enhanced."""
        self._pictures[awaited.folder.job.destination].ended(awaited.decision.photo, awaited.decision.image_id)
        return Outcome(0, True, lambda: None)

    def _check_styles(self, threads: Workers[Outcome]) -> None:
        """Look once more at the images of what has landed: somebody may have had one enhanced with other settings meanwhile. It is enhanced
        again as asked, and waited for."""
        threads.work()
        threads.add(self._restyled())
        threads.work()

    def _restyled_so_far(self) -> Iterator[Callable[[], Outcome]]:
        """The same, without a wait for what is being downloaded; of many photos, so that they are not kept till the end."""
        if len(self._landed) >= _MANY_LANDED:
            yield from self._restyled()

    def _restyled(self) -> Iterator[Callable[[], Outcome]]:
        landed, self._landed = self._landed, []
        for awaited, image in self._watcher.images_of(landed):
            if again := restyled(awaited.decision, image):
                yield partial(self._enhance_again, replace(awaited, decision=again))

    def _enhance_again(self, awaited: Awaited) -> Outcome:
        """Have an image enhanced as asked once more, unless that was done too often already."""
        self._claims.check()
        decision, steps = awaited.decision, self._steps(awaited.folder)
        kept = decision.step is Step.KEEP
        done = steps.unenhanced(decision, decision.reason) if kept else steps.submit(decision, awaited.order_id)
        return Outcome(0, not isinstance(done, Submitted), partial(self._note_again, awaited, done))

    def _note_again(self, awaited: Awaited, done: Submitted | Row) -> None:
        """Wait for what Autoenhance has got to do once more with a photo, or note why it has not."""
        self.in_flight.downloads.pop(awaited.decision.photo.fingerprint, None)
        if isinstance(done, Submitted):
            awaited.folder.own.submitted_at = time.time()
            self.in_flight.add(replace(awaited, decision=done.decision))
            return
        self._books.note(awaited.folder, done)
        if done.status == "held":
            awaited.folder.warnings.append(f"{awaited.decision.photo.path}: {done.reason}.")

    # Premium edits

    def _expect_edits(self, folder: FolderPlan) -> None:
        """Find the premium edits that are to be made, and those whose original has landed before."""
        edits = [decision for decision in folder.decisions if decision.step is Step.EDIT]
        self._edits.update((decision.photo.original, Awaited(folder, decision)) for decision in edits)
        landed = {each.photo.fingerprint for each in folder.decisions if each.step is Step.SKIP}
        rows = folder.rows() if edits else Rows()
        for decision in edits:
            failed = folder.own.rows.get(decision.photo.fingerprint)
            if failed is not None and not failed.credits:
                # Of an earlier try. What this one waits for first must not find it.
                del folder.own.rows[decision.photo.fingerprint]
            if decision.photo.original in landed:
                self._may_edit(rows[decision.photo.original])

    def _may_edit(self, landed: Row) -> None:
        """Note that a photo has landed, of which an edit may be made now."""
        awaited = self._edits.pop(landed.fingerprint, None)
        if awaited is not None:
            self._to_edit.append(replace(awaited, decision=replace(awaited.decision, parent_id=landed.image_id)))

    def _make_edits(self, threads: Workers[Outcome]) -> bool:
        """Have the edits made of what has landed.

        :returns: whether there are some, which are waited for from now on.
        """
        threads.work()
        again = {each.decision.photo.fingerprint for each in self.in_flight}  # enhanced as asked before it is edited
        self._edits.update((edit.decision.photo.original, edit) for edit in self._to_edit)
        edits = [
            self._edits.pop(each.decision.photo.original)
            for each in self._to_edit
            if each.decision.photo.original not in again
        ]
        self._to_edit = []
        threads.add(partial(self._make_edit, awaited) for awaited in edits)
        threads.work()
        return bool(edits)

    def _make_edit(self, awaited: Awaited) -> Outcome:
        self._claims.check()
        done = self._steps(awaited.folder).edit(awaited.decision, self._claims.check)
        return Outcome(0, not isinstance(done, Submitted), partial(self._note_again, awaited, done))

    def _read_merges(self, folder: FolderPlan) -> list[BracketOrder]:
        orders = [order for order_id in folder.merges if (order := read_order(self.hook, order_id))]
        return [read_brackets(self.hook, order) for order in orders]

    def _steps(self, folder: FolderPlan) -> Transfer:
        return Transfer(self.hook, folder.job, folder.own, self._delivery, self._pictures[folder.job.destination])

    @contextmanager
    def _workers(self, verb: str, photos: int) -> Iterator[Workers[Outcome]]:
        """Run threads for the duration of the block; what is fatal for all photos ends it, after running work has ended."""
        progress = Progress(log, photos, verb)

        def done(outcome: Outcome) -> None:
            outcome.note()
            progress.add(size=outcome.size, failed=outcome.failed)

        try:
            with workers(self.job.concurrency, done) as threads:
                yield threads
        except BaseException:
            self.checkpoint()
            raise
