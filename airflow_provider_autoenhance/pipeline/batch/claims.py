"""Who works on a folder: one process at a time, so that two runs neither make a photo twice, nor buy or overwrite it together.

A claim stands in the record of the run that works on the folder, beside the outputs, and names the :mod:`lease
<airflow_provider_autoenhance.pipeline.batch.lease>` of its process. A process writes its claim first, then looks at the folder's records
once more. It goes to work only if nobody else claims the folder, and nothing has changed since it planned. Of two that write at the same
moment, each sees the other, so at most one goes on. That takes nothing of a store but that who reads later sees what was
written: not a conditional write, which many stores lack.

A deferred task claims nothing: what it has made is in its record, and another run takes that over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain, compress
from typing import NoReturn

from airflow_provider_autoenhance.api.errors import AutoenhanceError, FolderBusyError, SourceError
from airflow_provider_autoenhance.pipeline.batch.books import Books
from airflow_provider_autoenhance.pipeline.batch.lease import Lease, Watched, claim_of
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Job
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan
from airflow_provider_autoenhance.pipeline.records import Record, folder_of, is_record, read_record
from airflow_provider_autoenhance.storage import EVERYWHERE, StoredFile, has_anything, list_files
from airflow_provider_autoenhance.storage.location import locate, path_inside

log = logging.getLogger(__name__)

#: Pauses between the looks of a run that waits for another one.
POLL_SECONDS = 1.0, 2.0, 5.0
#: How long the first by id of two runs that claim a folder at the same moment gives the other one to step back.
_STEP_BACK_SECONDS = 3.0
#: How often a run that waits says so.
_SAY_SECONDS = 60.0
#: So many folders are listed one by one.
_MAX_LISTED = 8

_Listed = Callable[[str], list[StoredFile]]
"""Lists the records of a folder, each folder once."""


class Claims:
    """This process's claims.

    :param books: writes the records.
    """

    def __init__(self, job: Job, books: Books) -> None:
        self._job = job
        self._books = books
        self._held: list[FolderPlan] = []
        self._lease = Lease(job.lease_uri, job.destination_conn_id)
        #: This process stood still, and nobody has looked yet whether another one has gone on.
        self._lapsed = False
        self._looking = threading.Lock()
        #: Records of the runs that work on folders in which this one has work.
        self.blockers: list[Record] = []
        #: Whether such folders changed under the plan, so that it has to be made again.
        self.outdated = False

    def take(self, folders: Iterable[FolderPlan]) -> list[FolderPlan]:
        """Claim folders.

        :returns: those that this process may work on. Of the others, ``blockers`` and ``outdated`` say why not.
        """
        wanted = [folder for folder in folders if not folder.readonly]
        if not self._job.durable:
            self._held = wanted
        elif wanted and self._lease.begin():
            # The plan may be older than what the other try has done since.
            self._lease.wait_for_the_other()
            self.outdated = True
        elif wanted and not self._shares_books(wanted):
            with ThreadPoolExecutor(self._job.concurrency, thread_name_prefix="autoenhance-claim") as pool:
                free = list(pool.map(self._claim, wanted))  # all, before anything is looked at
                claimed = list(compress(wanted, free))
                listed = cache(self._records_in)
                taken = pool.map(lambda folder: self._take(folder, listed), claimed)
                self._held = list(compress(claimed, taken))
        return self._held

    def _shares_books(self, wanted: Sequence[FolderPlan]) -> bool:
        """Whether another mapped task that has the same records is at work, or has been since the plan was made. They go one by one."""
        if not self._job.run.mapped:
            return False
        until = time.monotonic() + _STEP_BACK_SECONDS
        while siblings := self._siblings():
            # Of two that begin at the same moment, the first waits for the other to step back.
            if time.monotonic() > until or any(
                each.claim and each.claim["lease"] < self._lease.uri for each in siblings
            ):
                break
            time.sleep(0.1)
        written = {file.uri: file.etag for file in self._records_of({folder.own.folder for folder in wanted})}
        changed = any(written.get(folder.own.uri) != folder.etags.get(folder.own.uri) for folder in wanted)
        if not siblings and not changed:
            return False
        self._books.is_over = True  # what the others write is newer
        if any(folder.works for folder in wanted):
            self.blockers += siblings
            self.outdated |= changed
        return True

    def _siblings(self) -> list[Record]:
        """What stands for the other mapped tasks that have the same records, and may be at work: they have one record."""
        job = self._job
        claims = (
            claim_of(file.uri, job.destination_conn_id)
            for file in self._files_in(job.destination)
            if file.uri.startswith(job.lease_stem) and file.uri != self._lease.uri
        )
        return [
            Record("", f"another mapped task of {job.origin}", claim=claim, folder=job.destination)
            for claim in filter(None, claims)
        ]

    def holds(self, folder: FolderPlan) -> bool:
        """Whether this process works on a folder."""
        return folder in self._held

    def check(self) -> None:
        """Called before anything is made or bought: a process that stood still may have been taken for dead.

        :raises FolderBusyError: another run may be at work; the next try sees what it has done.
        """
        if not self._job.durable or (self._lease.is_fresh and not self._lapsed):
            return
        with self._looking:
            if self._lease.is_fresh and not self._lapsed:
                return
            self._lapsed = True  # renewed, the lease is fresh; still the other threads wait for what this one sees
            listed = cache(self._records_in)
            if not self._lease.renew():
                self._give_up("another try of this task has begun")
            if not all(self._look(each, listed) == ([], True) for each in self._held):
                self._give_up("this worker stood still, and another run has gone on in its place")
            self._lapsed = False

    def _give_up(self, why: str) -> NoReturn:
        """Let another process go on: what the records say now is newer than what is known here."""
        self._books.is_over = True
        raise FolderBusyError(f"{self._job.destination}: {why}. The next try sees what that has done.")

    def release(self) -> None:
        """Let others work on the folders."""
        held, self._held = self._held, []
        try:
            for folder in held:
                if folder.own.claim is not None:
                    folder.own.claim = None
                    self._books.write(folder.own, folder)
        finally:
            self._lease.end()

    def _claim(self, folder: FolderPlan) -> bool:
        if self._is_blocked(folder, self._living(folder.others.values())):
            return False
        folder.own.claim = self._lease.claim
        self._books.write(folder.own, folder)
        return True

    def _take(self, folder: FolderPlan, listed: _Listed) -> bool:
        until = time.monotonic() + _STEP_BACK_SECONDS
        while True:
            rivals, as_known = self._look(folder, listed)
            # Of two that claim at the same moment, the first by id waits for the other to step back.
            if not rivals or time.monotonic() > until or any(folder.own.run > rival.run for rival in rivals):
                break
            time.sleep(0.1)
            listed = cache(self._records_in)
        if not self._is_blocked(folder, rivals) and as_known:
            return True
        self.outdated |= folder.works
        folder.own.claim = None
        self._books.write(folder.own, folder)
        return False

    def _is_blocked(self, folder: FolderPlan, rivals: list[Record]) -> bool:
        if folder.works:  # nobody waits for what is only to be tidied up
            self.blockers += rivals
        return bool(rivals)

    def _living(self, records: Iterable[Record]) -> list[Record]:
        """Those of other runs that claim the folder, and may be at work."""
        claims = [(each, each.claim) for each in records if each.claim and each.claim != self._lease.claim]
        return [each for each, claim in claims if self._is_held(each, claim)]

    def _is_held(self, record: Record, claim: dict[str, str]) -> bool:
        try:
            return Watched(claim, self._job.destination_conn_id).is_alive()
        except AutoenhanceError as error:
            if error.retryable or path_inside(record.folder, folder_of(claim["lease"])) is not None:
                raise
            return False  # it was copied from a place that is closed to this task

    def _look(self, folder: FolderPlan, listed: _Listed) -> tuple[list[Record], bool]:
        """Look at a folder's records.

        :returns: those whose runs may be at work, and whether all say what they said when the plan was made.
        """
        changed = self._changed(folder, listed)
        # Who was dead before is looked at again, too: a process that stood still may go on.
        known = {**folder.others, **{record.run: record for record in changed}}
        rivals = self._living(each for each in known.values() if each.run != folder.own.run)
        return rivals, all(self._is_as_known(folder, record) for record in changed)

    def _changed(self, folder: FolderPlan, listed: _Listed) -> list[Record]:
        """The records about the folder's photos that are not as they were planned with, or as this process wrote them."""
        related = {*folder.folder.related, folder.own.folder, *(record.folder for record in folder.others.values())}
        return [
            read_record(file.uri, self._job.destination_conn_id)
            for file in self._records_of(related, listed)
            if folder_of(file.uri) in related and (file.uri not in folder.etags or folder.etags[file.uri] != file.etag)
        ]

    def _records_of(self, folders: Collection[str], listed: _Listed | None = None) -> Iterator[StoredFile]:
        """List the records of some folders, and of others where there are many: from above, which takes fewer calls."""
        listed = listed or self._records_in
        return chain.from_iterable(map(listed, folders if len(folders) <= _MAX_LISTED else [""]))

    def _records_in(self, folder: str) -> list[StoredFile]:
        """List the records of a folder; of all under the destination where it is empty."""
        return [file for file in self._files_in(folder) if is_record(file.uri)]

    def _files_in(self, folder: str) -> list[StoredFile]:
        """List what lies beside the records, and the records."""
        uri = f"{folder}{RECORDS_FOLDER}/" if folder else self._job.destination
        conn_id = self._job.destination_conn_id
        try:
            # Beside the records there may be many thumbnails, in a folder of their own.
            return list(list_files(uri, conn_id=conn_id, access=EVERYWHERE, strict=True, recursive=not folder))
        except SourceError:
            if has_anything(locate(uri, conn_id=conn_id, error=SourceError), EVERYWHERE):
                raise
            return []  # a folder above or beside, in which nobody has written a record

    def _is_as_known(self, folder: FolderPlan, record: Record) -> bool:
        if record.claim == self._lease.claim:
            return True
        if record.run == folder.own.run:
            return False
        known = folder.others.get(record.run)
        if known is None:
            return not (record.orders or record.rows)
        return [*record.unclaimed_lines()] == [*known.unclaimed_lines()]


def wait_for_others(job: Job, blockers: Sequence[Record], until: float) -> None:
    """Wait until one of the runs that work on this batch's folders has ended, or waits for Autoenhance.

    :param until: seconds since the epoch after which that takes too long.
    :raises FolderBusyError: it does; names the other run.
    """
    watched = [(record, Watched(record.claim, job.destination_conn_id)) for record in blockers if record.claim]
    pauses = iter(POLL_SECONDS)
    pause, said = 0.0, 0.0
    while watched:
        dead = [lease for record, lease in watched if not _is_alive(record, lease)]
        # Those that died together are found out together.
        if dead and all(lease in dead or lease.is_judged for _, lease in watched):
            for lease in dead:
                lease.bury()
            return
        first, lease = watched[0]
        # Before that, nobody knows whether it is alive: with a short timeout, each try would begin to watch again.
        if time.time() > until and lease.is_judged:
            raise FolderBusyError(
                f"{job.destination}: {first.origin} is still at work there, so this run has made nothing. "
                "Let that run end, or stop it, then clear this task."
            )
        if time.monotonic() - said > _SAY_SECONDS or not said:
            said = time.monotonic()
            log.info("Waiting: %s works on the same folder under %s", first.origin, job.destination)
        pause = next(pauses, pause)
        time.sleep(pause)


def _is_alive(record: Record, lease: Watched) -> bool:
    try:
        return lease.is_alive()
    except AutoenhanceError as error:
        log.warning("Whether %s is still at work cannot be seen: %s", record.origin, error)
        return True
