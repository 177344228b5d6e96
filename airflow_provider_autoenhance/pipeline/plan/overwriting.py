"""Which file at the destination is another photo's, or another task's: it is not written over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo, bytes_of
from airflow_provider_autoenhance.pipeline.plan.decide import Decision, Step
from airflow_provider_autoenhance.pipeline.plan.listing import Places, originals_beside
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan
from airflow_provider_autoenhance.pipeline.records import KEPT, Record, Row, differ, made_of, records_in
from airflow_provider_autoenhance.storage import StoredFile
from airflow_provider_autoenhance.storage.location import locate

_WAY_OUT = "set destination_template, for example to '{folder}{stem}-{fingerprint}.jpg', or another destination"


def spare_others(job: Job, folders: Sequence[FolderPlan], present: Mapping[str, StoredFile]) -> None:
    """Keep a plan from writing over what another photo, or another task, has landed or waits for, as the records say.

    Where the file is the same task's, its photo fails, and the others go on. A task may write over its own photos: what changed, or was
    asked for in another style. But it buys none of them again that was bought under another destination, whose records are not its own.

    :param present: the files under the destination, by URI.
    :raises SettingsError: the file is another task's; names both.
    """
    working = [folder for folder in folders if folder.works]
    written = _Written(working)
    taken: dict[str, dict[str, str]] = {folder.own.run: {} for folder in working}
    kept_since = (datetime.now(UTC) - KEPT).isoformat()
    above = _records_above(job) if any(target in present for target in written.targets) else {}
    # Folders whose files lie in one place share their records: each is gone through once.
    related = {record.uri: record for folder in working for record in folder.records}
    named: set[str] = set()

    def spare(records: Mapping[str, Record]) -> None:
        for uri, record in records.items():
            for row in record.rows.values():
                for target, folder, decision in written.by(row, present, kept_since, own=record.run in taken):
                    named.add(target)
                    if uri in related and record.run != folder.own.run and record.run not in folder.others:
                        continue
                    reason = _conflict(job, folder, record, row, decision.photo, target)
                    if uri not in related:
                        reason = reason or _bought(job, record, row, decision, target)
                    if reason:
                        taken[folder.own.run][decision.photo.fingerprint] = reason

    spare(related)
    spare({uri: record for uri, record in above.items() if uri not in related})
    spare(_records_beside(job, [target for target in written.targets if target in present and target not in named]))
    for folder in working:
        reasons = taken[folder.own.run]
        folder.decisions[:] = [
            replace(each, step=Step.KEEP, reason=reasons[each.photo.fingerprint])
            if each.works and each.photo.fingerprint in reasons
            else each
            for each in folder.decisions
        ]


class _Written:
    """What a plan writes, by place: a row may spell it in another way."""

    def __init__(self, folders: Iterable[FolderPlan]) -> None:
        self.targets = {
            target: (folder, each)
            for folder in folders
            for each in folder.decisions
            if each.works
            for target in each.photo.targets
        }
        self._places = Places()
        self._names = {target.rpartition("/")[2] for target in self.targets}
        self._spelled = {self._places.of(target): target for target in self.targets}

    def by(
        self, row: Row, present: Mapping[str, StoredFile], kept_since: str, *, own: bool
    ) -> Iterator[tuple[str, FolderPlan, Decision]]:
        """Yield which of the files a row names, and which are there, or will be.

        :param own: it is this run's. What it waits for is in its plan, or nobody's.
        """
        if row.status == "pending" and row.at > kept_since and not own:
            yield from ((target, *self.targets[target]) for target in map(self._at, row.targets) if target)
        for output in row.outputs:
            target = self._at(output["uri"])
            if target and target in present and present[target].size == output["size"]:
                yield target, *self.targets[target]

    def _at(self, uri: str) -> str | None:
        if uri in self.targets:
            return uri
        return self._spelled.get(self._places.of(uri)) if uri.rpartition("/")[2] in self._names else None


def spare_unknown(job: Job, folders: Sequence[FolderPlan], present: Mapping[str, StoredFile]) -> None:
    """Keep a plan from writing over a file that lies among its sources, and that no record names: it may be an original, such as the
    camera's JPEG beside a raw photo. The photo that would become it fails, and the others go on.

    Where outputs and sources lie apart, a file that no record names is a result of which somebody has deleted the record.

    :param present: the files under the destination, by URI.
    """
    suspects = [
        (folder, each)
        for folder in folders
        for each in folder.decisions
        # What this run has an image of had nothing in its place when the image was made.
        if each.works and each.order_id not in folder.own.orders and any(file in present for file in each.photo.targets)
    ]
    if not suspects:
        return
    places = Places()
    photos = (each.photo for folder in folders for each in folder.decisions)
    beside = {place.rpartition("/")[0] for place in originals_beside(job, photos, places)}
    for folder, each in suspects if beside else ():
        lying = [
            file for file in each.photo.targets if file in present and places.of(file).rpartition("/")[0] in beside
        ]
        if file := next((file for file in lying if not _is_named(file, folder, places)), None):
            reason = (
                f"{each.photo.source} would become {file}, which lies among the sources and is in no record: it may be an original, and "
                f"photos are never written over. {_WAY_OUT[0].upper()}{_WAY_OUT[1:]}"
            )
            _keep(folder, each, reason)


def _is_named(file: str, folder: FolderPlan, places: Places) -> bool:
    """Whether a record names a file as an output, or as one to come, however its folder is spelled."""
    name, place = file.rpartition("/")[2], places.of(file)
    rows = (row for record in folder.records for row in record.rows.values())
    named = (uri for row in rows for uri in (*row.targets, *(str(output["uri"]) for output in row.outputs)))
    return any(uri.rpartition("/")[2] == name and places.of(uri) == place for uri in named)


def _keep(folder: FolderPlan, decision: Decision, reason: str) -> None:
    """Let a photo fail for a reason."""
    kept = replace(decision, step=Step.KEEP, reason=reason)
    folder.decisions[:] = [kept if each is decision else each for each in folder.decisions]


def _records_above(job: Job) -> dict[str, Record]:
    """Read the records of the folders above the destination, by URI: a task over a whole day knows the files of its listings there."""
    return _read(job, (above for each in _spellings(job.destination) for above, _ in _cuts(each) if above != each))


def _records_beside(job: Job, targets: Iterable[str]) -> dict[str, Record]:
    """Read the records of tasks that a template has had write into folders beside their own, by URI: ``day/web/maple/`` beside
    ``day/maple/``. It is looked for where files lie that no other record names."""
    folders = {target.rpartition("/")[0] + "/" for target in targets}
    spelled = {spelling for folder in folders for spelling in _spellings(folder)}
    return _read(
        job, (above + below for each in spelled for above, rest in _cuts(each) for _, below in _cuts(rest) if below)
    )


def _spellings(folder: str) -> set[str]:
    """A folder as it is given, and where it really is."""
    location = locate(folder, conn_id=None, error=SettingsError)
    return {location.uri, location.place if location.scheme == "file" else location.uri}


def _cuts(folder: str) -> Iterator[tuple[str, str]]:
    """Cut a folder's URI or path at each slash, but for those that its store stands before.

    >>> [*_cuts("s3://enhanced/day/maple/")]
    [('s3://enhanced/', 'day/maple/'), ('s3://enhanced/day/', 'maple/'), ('s3://enhanced/day/maple/', '')]
    """
    begins = folder.find("/", folder.find("://") + 3) if "://" in folder else 0
    return ((folder[: each.end()], folder[each.end() :]) for each in re.finditer("/", folder) if each.start() >= begins)


def _read(job: Job, folders: Iterable[str]) -> dict[str, Record]:
    """Read the records of folders, by URI."""
    found = (record for folder in dict.fromkeys(folders) for record in records_in(folder, job.destination_conn_id))
    return {record.uri: record for record in found}


def _conflict(job: Job, folder: FolderPlan, record: Record, row: Row, photo: Photo, target: str) -> str | None:
    """Say why a photo of the same task cannot become a file; ``None`` where it can."""
    sibling = job.run.mapped and record.origin == folder.own.origin and record.run != folder.own.run
    other_task = sibling or not record.origin.startswith(f"{job.run.dag_id}/{job.run.task_id} ")
    if not _is_same_file(job, row, photo):
        source = f"{row.source} of another store" if row.source == photo.source else row.source
        conflict = f"{photo.source} would become {target}, which is made from {source} ({record.origin}); "
        if other_task:
            raise SettingsError(f"{conflict}{_WAY_OUT}.")
        return f"{conflict}delete that file if nobody wants it any more, or {_WAY_OUT}"
    if other_task and _differs(row, job):
        raise SettingsError(
            f"{photo.source} would become {target}, which {record.origin} makes in other settings; {_WAY_OUT}."
        )
    return None


def _bought(job: Job, record: Record, row: Row, decision: Decision, target: str) -> str | None:
    """Say why a photo is not made that was bought under another destination; ``None`` where it was not, or would be bought there too."""
    photo = decision.photo
    known = row.fingerprint == photo.fingerprint or (job.on_existing == "reprocess" and made_of(row) == bytes_of(photo))
    if not (known and row.credits and decision.creates and job.buys):
        return None
    return (
        f"{photo.source} would become {target}, which {record.origin} has bought of it already, with destination {record.folder}, and it "
        "would be bought again. Give that destination, or delete the file if you want that"
    )


def _differs(row: Row, job: Job) -> bool:
    styled = row.settings is not None and row.settings != job.settings
    return styled or (row.status == "landed" and row.request != job.request)


def _is_same_file(job: Job, row: Row, photo: Photo) -> bool:
    """Whether a row is about the same file, whatever it was called and what has changed in it."""
    if row.etag is not None and (row.etag, row.size) == (photo.etag, photo.size):
        return True
    return row.source == photo.source and not differ(row.store, job.sources.store(photo.origin))
