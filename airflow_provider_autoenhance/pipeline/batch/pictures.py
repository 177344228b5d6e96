"""What a batch shows to people of its photos: thumbnails as they pass, and in the end the gallery's rows and the contact sheet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.gallery.rows import Entry, Gallery, entry
from airflow_provider_autoenhance.pipeline.gallery.sheet import write_sheet
from airflow_provider_autoenhance.pipeline.gallery.thumbnails import Thumbnails, after_name, before_name, stored
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.plan.decide import Decision, Step
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan, PartPlan
from airflow_provider_autoenhance.pipeline.records import Row, Rows
from airflow_provider_autoenhance.storage import open_destination

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from airflow_provider_autoenhance.imaging.thumbnail import Copy

log = logging.getLogger(__name__)


class PictureThreads:
    """The threads of a batch in which pictures are made that are not at hand: a photo's transfer does not wait for its picture.

    :param size: how many are made at a time.
    """

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="autoenhance-pictures")
        self._left: set[Future[None]] = set()

    def add(self, make: Callable[[], None]) -> None:
        """Have something made."""
        try:
            future = self._pool.submit(make)
        except RuntimeError as error:  # the system gives no more threads
            log.info("Without a thumbnail: %s", error)
            return
        self._left.add(future)
        future.add_done_callback(self._left.discard)

    def wait(self) -> None:
        """Wait until all is made. Called while nobody adds anything."""
        wait(self._left.copy())

    def close(self) -> None:
        """Make nothing more than what is begun."""
        self._pool.shutdown(cancel_futures=True)


class Pictures:
    """The thumbnails of a batch, or of one of its listings. Safe to use from many threads.

    Nothing that goes wrong here fails a photo or the task.

    :param threads: of the batch.
    """

    def __init__(self, hook: AutoenhanceHook, job: Job, threads: PictureThreads) -> None:
        self._hook = hook
        self._job = job
        self._threads = threads
        wanted = job.thumbnails and job.durable
        self._kept = Thumbnails(job.destination, job.destination_conn_id) if wanted else None

    def going_up(self, photo: Photo, *, of: Photo | None = None) -> AbstractContextManager[Copy | None]:
        """Return what copies a file while it is uploaded; nothing where its thumbnail is there, or nobody wants one.

        :param of: the photo that the file is an exposure of.
        """
        shown = _shown(of or photo)
        if self._kept is None or shown is None or shown.source != photo.source or self._kept.has(_before(photo)):
            return nullcontext()
        return self._kept.copy(whole=of is not None) or nullcontext()

    def went_up(self, photo: Photo, copy: Copy | None) -> None:
        """Keep the thumbnail of a file that has been uploaded. What is not decoded here is shown once it is enhanced."""
        if self._kept is not None and copy is not None and not copy.problem:
            self._kept.keep(_before(photo), copy, about=f"photo {photo.path!r}")

    def coming_down(self) -> AbstractContextManager[Copy | None]:
        """Return what copies a file while it is downloaded."""
        return (self._kept.copy() if self._kept else None) or nullcontext()

    def came_down(self, photo: Photo, image_id: str, copy: Copy | None, outputs: Sequence[Mapping[str, Any]]) -> None:
        """Keep the thumbnail of a photo that has landed; and that of its source, where that is big, or a worker died before it was there.

        :param outputs: the facts of its files.
        """
        if self._kept is None or copy is None:
            return
        made = self._kept.keep(after_name(photo.fingerprint), copy, about=f"photo {photo.path!r}")
        self._have_made(photo, image_id, () if made else outputs)

    def ended(self, photo: Photo, image_id: str | None) -> None:
        """Keep the thumbnail of the source of a photo that Autoenhance is done with, where there is not any."""
        self._have_made(photo, image_id, ())

    def catch_up(self, part: PartPlan) -> None:
        """Keep the thumbnails of what an earlier try of this run has landed, where there are not any: it was stopped before."""
        for folder in part.folders if self._kept is not None else ():
            for photo in (each.photo for each in folder.decisions if each.step is Step.SKIP and folder.own.rows):
                if row := folder.own.rows.get(photo.fingerprint):
                    there = self._named(after_name(photo.fingerprint))
                    self._have_made(photo, row.image_id, () if there else row.outputs)

    def _have_made(self, photo: Photo, image_id: str | None, outputs: Sequence[Mapping[str, Any]]) -> None:
        """Have made what is not at hand: the thumbnail of the source, where there is not any, and that of a file.

        :param outputs: the facts of the files that one of is shown; none: that one is shown already.
        """
        shown = _shown(photo)
        if self._kept is not None and (outputs or (shown and not self._kept.has(_before(shown)))):
            self._threads.add(partial(self._make, self._kept, photo, image_id or "", outputs))

    def _make(self, kept: Thumbnails, photo: Photo, image_id: str, outputs: Sequence[Mapping[str, Any]]) -> None:
        about, shown = f"photo {photo.path!r}", _shown(photo)
        if outputs:
            ways = [stored(min(outputs, key=lambda each: each["size"])["uri"], conn_id=self._job.destination_conn_id)]
            if kept.renders:
                ways.insert(0, kept.rendered(self._hook, image_id, variant="enhanced", preview=self._job.preview))
            kept.make(after_name(photo.fingerprint), *ways, about=about)
        if shown is not None and not kept.has(_before(shown)):
            ways = [stored(shown.origin.given, conn_id=shown.origin.conn_id, access=self._job.sources.access)]
            if image_id and not photo.exposures and kept.renders:  # of a bracket, Autoenhance shows another picture
                ways.insert(0, kept.rendered(self._hook, image_id, variant="original"))
            kept.make(_before(shown), *ways, about=about)

    def write(self, part: PartPlan, manifest: str, *, again: bool) -> dict[str, str | None]:
        """Write the gallery's JSON and the contact sheet.

        :param again: something may have changed since they were written.
        :returns: their URIs, ``gallery`` and ``contact_sheet``; empty where nobody wants them, or they cannot be written.
        """
        if self._kept is None:
            return {}
        job = self._job
        gallery = Gallery(job.run, manifest, job.destination_conn_id)
        try:
            there = open_destination(gallery.uri, conn_id=job.destination_conn_id).stat() is not None
            if again or not there:
                header, rows = gallery.header(), partial(self._entries, part)
                write_sheet(gallery, header, rows, self._kept.read)
                gallery.write(header, rows)  # where it is, the sheet is
            self._kept.sum_up()
        except Exception as error:  # noqa: BLE001 - the photos have landed
            log.warning("The gallery and the contact sheet cannot be written: %s", error)
            return {}
        return gallery.uris()

    def _entries(self, part: PartPlan) -> Iterator[Entry]:
        listings = len(part.folders) > 1
        decisions = (each for folder in part.folders for each in folder.decisions)
        names = {each.photo.fingerprint: each.photo for each in decisions} if self._job.edited else {}
        for folder in part.folders:
            rows = folder.rows()
            for decision in folder.decisions:
                yield self._entry(folder, decision, rows, names, listings=listings)

    def _entry(
        self, folder: FolderPlan, decision: Decision, rows: Rows, names: dict[str, Photo], *, listings: bool
    ) -> Entry:
        photo, run = decision.photo, folder.own.run
        row = rows.get(photo.fingerprint)
        if row is None or decision.step in (Step.OMIT, Step.HOLD):
            row = _unwritten(decision, run)
        listing, name = _split(photo) if listings else ("", photo.path)
        original = names.get(photo.original) if photo.original else None
        shown = _shown(photo)
        return entry(
            row,
            state="skipped" if row.status == "landed" and row.run != run else row.status,
            destination=self._job.destination,
            name=name,
            listing=listing,
            before=self._named(after_name(photo.original) if photo.original else _before(shown) if shown else None),
            after=self._named(after_name(photo.fingerprint)) if row.outputs else None,
            exposures=[_split(each)[1] for each in photo.exposures],
            parent=(_split(original)[1] if listings else original.path) if original else None,
        )

    def _named(self, name: str | None) -> str | None:
        return name if name and self._kept is not None and self._kept.has(name) else None


def _unwritten(decision: Decision, run: str) -> Row:
    """A row for a photo of which this run writes none."""
    photo = decision.photo
    status = "omitted" if decision.step is Step.OMIT else "held"
    return Row(
        photo.source,
        photo.etag,
        photo.size,
        photo.fingerprint,
        status,  # type: ignore[arg-type]
        run,
        image_id=decision.image_id,
        order_id=decision.order_id,
        reason=decision.reason,
    )


def _shown(photo: Photo) -> Photo | None:
    """The file that shows what a photo was before: of a bracket the exposure in the middle. Edits and what Autoenhance groups have none."""
    if photo.original or photo.ungrouped:
        return None
    return photo.exposures[len(photo.exposures) // 2] if photo.exposures else photo


def _before(photo: Photo) -> str:
    return before_name(photo.source, photo.etag, photo.size)


def _split(photo: Photo) -> tuple[str, str]:
    folder, _, name = photo.path.rpartition("/")
    return folder, name
