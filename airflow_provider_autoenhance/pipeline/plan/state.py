"""What is known of each folder before anything is decided: the records beside its outputs, how its exposures go together, and the orders
that are still open; read many at a time, for each read waits for an answer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

from airflow_provider_autoenhance.api.errors import AutoenhanceError, DestinationError
from airflow_provider_autoenhance.api.models import Image, Order
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Folder, Photo, edited_photo
from airflow_provider_autoenhance.pipeline.plan.decide import is_up_to_date
from airflow_provider_autoenhance.pipeline.plan.exposures import GroupedFiles, group_files, leave_out, remains
from airflow_provider_autoenhance.pipeline.plan.orders import derived_orders
from airflow_provider_autoenhance.pipeline.plan.styles import Styles
from airflow_provider_autoenhance.pipeline.plan.vanished import find_vanished, is_missed
from airflow_provider_autoenhance.pipeline.records import (
    Record,
    Row,
    Rows,
    folder_of,
    is_record,
    latest_rows,
    read_record,
)
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder, merged_images, read_brackets
from airflow_provider_autoenhance.pipeline.remote.images import find_image, images_by_fingerprint, read_order
from airflow_provider_autoenhance.storage import StoredFile, open_destination


@dataclass
class FolderState:
    """What is known of a folder.

    :param own: this run's record, new or read back.
    :param others: records of other runs, by id.
    :param rows: what became of each photo, by fingerprint; folders that share their records share it.
    :param styles: what the same records say of the photos in other settings.
    :param asked: those of ``rows`` that are not the latest: another task has made other files of the photo since.
    :param orders: the open orders, as read.
    :param brackets: those of them that hold brackets.
    :param etags: those of all records under the destination, by URI.
    :param images: images that rows name and that matter now, by id; ``None``: gone from Autoenhance.
    :param missed: rows of what has not landed, and does not go on here, for its source file is gone.
    :param damage: a record of it that cannot be read. Nothing is decided then: what is not known could be paid for again.
    """

    folder: Folder
    own: Record
    others: dict[str, Record]
    rows: Rows
    styles: Styles
    files: GroupedFiles
    orders: dict[str, Order] = field(default_factory=dict)
    brackets: list[BracketOrder] = field(default_factory=list)
    etags: dict[str, str | None] = field(default_factory=dict)
    images: dict[str, Image | None] = field(default_factory=dict)
    asked: dict[str, Row] = field(default_factory=dict)
    missed: list[Row] = field(default_factory=list)
    damage: DestinationError | None = None

    def as_asked(self, job: Job, present: Mapping[str, StoredFile]) -> Iterator[tuple[str, Row]]:
        """Yield the rows by which photos are up to date, where a later row of another run is about other files."""
        for photo in chain(self.files.photos, self.edits(job)):
            told = [other.rows for other in self.others.values() if photo.fingerprint in other.rows]
            if len(told) < 2 or self.rows[photo.fingerprint].run == self.own.run:
                continue
            for row in sorted((rows[photo.fingerprint] for rows in told), key=lambda row: row.at, reverse=True):
                if is_up_to_date(job, row, self.own.run, present=is_present(photo, row, present)):
                    if row != self.rows[photo.fingerprint]:
                        yield photo.fingerprint, row
                    break

    def rows_with_images(self, job: Job, present: Mapping[str, StoredFile]) -> Iterator[tuple[Row, bool]]:
        """Yield the rows whose images have to be looked at before anything is decided: of photos that landed and have to be downloaded
        again, and of photos in other settings, whose image may be enhanced again. Say of each whether it is the photo's own."""
        for photo in self.files.photos:
            row = self.rows.get(photo.fingerprint)
            if row is not None and row.status == "landed":
                if row.image_id and not is_up_to_date(job, row, self.own.run, present=is_present(photo, row, present)):
                    yield row, True
            elif job.on_existing == "reprocess":
                yield from ((each, False) for each in self.styles.earlier_rows(photo))
        for edit in self.edits(job):
            row = self.rows[edit.fingerprint]
            if row.image_id and not is_up_to_date(job, row, self.own.run, present=is_present(edit, row, present)):
                yield row, True

    def gone(self) -> Iterator[Photo]:
        """Yield the photos, and the exposures that Autoenhance groups, whose bytes are gone."""
        return (photo for photo in (*self.files.photos, *self.files.loose.values()) if photo.gone)

    def edits(self, job: Job) -> Iterator[Photo]:
        """Yield the premium edits of which something is known."""
        edits = (edited_photo(job, photo) for photo in self.files.photos) if job.edited else ()
        return (edit for edit in edits if edit.fingerprint in self.rows)

    def open_orders(self) -> list[str]:
        """Name the orders that may hold an image which no row names, or whose state a row cannot know."""
        incomplete = (record for record in (self.own, *self.others.values()) if not record.complete)
        orders = dict.fromkeys(order for record in incomplete for order in record.orders)
        photos = (*self.files.photos, *self.files.loose.values())
        unlanded = [photo.fingerprint for photo in photos if not self.rows.has_landed(photo.fingerprint)]
        if unlanded:
            orders |= dict.fromkeys(self.own.orders)
        rows = map(self.rows.get, unlanded)
        return list(orders | dict.fromkeys(row.order_id for row in rows if row and row.order_id))


def read_state(
    job: Job, hook: AutoenhanceHook, folders: Sequence[Folder], present: MutableMapping[str, StoredFile]
) -> list[FolderState]:
    """Read what is known of each folder: one read per record, and one per order that is still open, or that holds an image which has to
    be looked at again.

    :param present: the files at the destination, by URI; gets what has landed since they were listed.
    :raises DestinationError: when each folder has a damaged record. Where only some have, the others go on.
    """
    with ThreadPoolExecutor(job.concurrency, thread_name_prefix="autoenhance-plan") as pool:
        records = _read_records(job, folders, present, pool)
        known = _Known({job.key(folder.source, folder.destination) for folder in folders}, job.api_version)
        found = [_state(job, folder, listed, present, known) for folder, listed in zip(folders, records, strict=True)]
        damages = [each.damage for each in found if each.damage]
        if damages and len(damages) == len(found):
            raise damages[0]
        open_orders = [[] if each.damage else each.open_orders() for each in found]
        wanted = list(dict.fromkeys(chain.from_iterable(open_orders)))
        read = zip(wanted, pool.map(partial(read_order, hook), wanted), strict=True)
        orders = {order_id: order for order_id, order in read if order}
        merged = orders if job.brackets != "none" else {}
        filled = zip(merged, pool.map(partial(read_brackets, hook), merged.values()), strict=True)
        brackets = {order_id: order for order_id, order in filled if order.brackets}
        images = _read_images(job, hook, found, orders, present, pool)
    etags = {uri: file.etag for uri, file in present.items() if is_record(uri)}
    for each, ids in zip(found, open_orders, strict=True):
        each.etags = etags
        each.orders = {order_id: orders[order_id] for order_id in ids if order_id in orders}
        each.brackets = [brackets[order_id] for order_id in each.orders if order_id in brackets]
        each.images = images
    return found


def _read_images(
    job: Job,
    hook: AutoenhanceHook,
    folders: Iterable[FolderState],
    orders: Mapping[str, Order],
    present: MutableMapping[str, StoredFile],
    pool: ThreadPoolExecutor,
) -> dict[str, Image | None]:
    """Read the images that rows name and that have to be looked at: order by order, and what its order does not list by its id. The files
    that such rows name are looked at, too.

    A list may lag, and only an answer of 404 says that an image is gone.

    :param orders: what has been read already.
    """
    wanted: dict[str, str | None] = {}
    missed: dict[str, None] = {}
    for row, own in chain.from_iterable(each.rows_with_images(job, present) for each in folders if not each.damage):
        wanted[str(row.image_id)] = row.order_id
        if own:
            missed.update((output["uri"], None) for output in row.outputs if not lies_there(output, present))
    present.update(_landed_since(job, missed, pool))
    closed = [order_id for order_id in dict.fromkeys(wanted.values()) if order_id and order_id not in orders]
    listed = chain(orders.values(), filter(None, pool.map(partial(read_order, hook, whole=False), closed)))
    images: dict[str, Image | None] = {image.image_id: image for order in listed for image in order.images}
    unlisted = [image_id for image_id in wanted if image_id not in images]
    return images | dict(zip(unlisted, pool.map(partial(find_image, hook), unlisted), strict=True))


def is_present(photo: Photo, row: Row | None, present: Mapping[str, StoredFile]) -> bool:
    """Whether the outputs that a row names are there."""
    outputs = row.outputs if row else []
    there = bool(outputs) and all(lies_there(output, present) for output in outputs)
    return there and {output["uri"] for output in outputs} >= set(photo.targets)


def lies_there(output: Mapping[str, Any], present: Mapping[str, StoredFile]) -> bool:
    """Whether a listed file is the one that was written."""
    found = present.get(output["uri"])
    if found is None or found.size != output["size"]:
        return False
    return None in (found.etag, output.get("etag")) or found.etag == output["etag"]


def find_images(
    photos: Iterable[Photo], orders: Iterable[Order], brackets: Sequence[BracketOrder]
) -> Mapping[str, Image]:
    """Match images to photos, by fingerprint."""
    photos = list(photos)
    singles = [photo for photo in photos if not photo.exposures]
    return {**images_by_fingerprint(orders, singles), **merged_images(photos, brackets)}


def _read_records(
    job: Job, folders: Iterable[Folder], present: Iterable[str], pool: ThreadPoolExecutor
) -> Iterator[list[Record | DestinationError]]:
    """Yield the records that may be about each folder's photos; in the place of a damaged one, what is wrong with it."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for uri in filter(is_record, present):
        by_folder[folder_of(uri)].append(uri)

    def read(uri: str) -> Record | DestinationError:
        try:
            return read_record(uri, job.destination_conn_id)
        except DestinationError as error:
            return error

    listed = [[uri for related in folder.related for uri in by_folder.get(related, ())] for folder in folders]
    uris = list(dict.fromkeys(chain.from_iterable(listed)))
    records = dict(zip(uris, pool.map(read, uris), strict=True))
    return ([records[uri] for uri in each] for each in listed)


def _landed_since(job: Job, uris: Iterable[str], pool: ThreadPoolExecutor) -> Iterator[tuple[str, StoredFile]]:
    """Yield which files are there that rows say to have landed, and that were not when they were listed: another run has written them
    since, and nobody has to fetch them once more. Where outputs lie apart from their records, either may be listed first."""

    def look(uri: str) -> StoredFile | None:
        with suppress(AutoenhanceError):  # it may be listed, and no more
            return open_destination(uri, conn_id=job.destination_conn_id).stat()
        return None

    uris = list(uris)
    return ((uri, file) for uri, file in zip(uris, pool.map(look, uris), strict=True) if file)


class _Known:
    """What records say together, put together once for all folders that share them.

    :param own: ids of this run's records: in doubt, their rows stay.
    :param api_version: what the connection pins.
    """

    def __init__(self, own: Container[str], api_version: str) -> None:
        self._own = own
        self._api_version = api_version
        self._found: dict[frozenset[str], tuple[Rows, Styles, list[Row]]] = {}

    def of(self, records: Sequence[Record]) -> tuple[Rows, Styles, list[Row]]:
        """Return what they say of each photo, of its other styles, and of what other runs have left."""
        key = frozenset(record.uri for record in records)
        if key not in self._found:
            rows = latest_rows(sorted(records, key=lambda record: record.run in self._own))
            others = rows
            if any(record.run in self._own for record in records):
                others = latest_rows(record for record in records if record.run not in self._own)
            unlanded = filter(is_missed, others.unlanded())
            self._found[key] = (
                rows,
                Styles(rows, self._api_version),
                [row for row in unlanded if rows[row.fingerprint] == row],
            )
        return self._found[key]


def _state(
    job: Job,
    folder: Folder,
    read: Sequence[Record | DestinationError],
    present: Mapping[str, StoredFile],
    known: _Known,
) -> FolderState:
    run = job.key(folder.source, folder.destination)
    records = [record for record in read if isinstance(record, Record)]
    rows, styles, unlanded = known.of(records)
    others = {record.run: record for record in records}
    own = others.pop(run, None) or Record(run, job.origin, submitted_at=time.time(), folder=folder.destination)
    damage = next((each for each in read if isinstance(each, DestinationError)), None)
    if damage:
        return FolderState(folder, own, others, rows, styles, GroupedFiles(list(folder.photos)), damage=damage)
    if not job.durable:
        own.orders = derived_orders(job, folder)  # no record names them
    gone = find_vanished(
        job, folder, own, unlanded, rows, is_present=lambda photo, row: is_present(photo, row, present)
    )
    exposures = gone.exposures
    shots = [shot for shot in folder.photos if shot.source not in exposures]
    missed = remains(job, shots, rows)
    whole = [shot for shot in shots if shot.source not in missed]
    files = group_files(job, whole, [*others.values(), own], rows)
    own.grouping = files.grouping
    leave_out(files, (shot for shot in shots if shot.source in missed), missed)
    files.photos += gone.photos
    if gone.loose:  # in their old places, for a photo is named after its first exposure
        loose = sorted((*files.loose.values(), *gone.loose), key=lambda file: file.path)
        files.loose = {file.fingerprint: file for file in loose}
    state = FolderState(folder, own, others, rows, styles, files, missed=gone.missed)
    for fingerprint, row in state.as_asked(job, present):
        state.asked[fingerprint] = rows[fingerprint] = row
    return state
