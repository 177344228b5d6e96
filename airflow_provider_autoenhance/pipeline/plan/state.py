"""What is known of each folder before anything is decided: the records beside its outputs, how its exposures go together, and the orders
that are still open; read many at a time, for each read waits for an answer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from airflow_provider_autoenhance.api.errors import DestinationError
from airflow_provider_autoenhance.api.models import Image, Order
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Job
from airflow_provider_autoenhance.pipeline.photo import Folder, Photo
from airflow_provider_autoenhance.pipeline.plan.exposures import GroupedFiles, group_files
from airflow_provider_autoenhance.pipeline.plan.orders import derived_orders
from airflow_provider_autoenhance.pipeline.records import Record, Rows, is_record, latest_rows, read_record
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder, merged_images, read_brackets
from airflow_provider_autoenhance.pipeline.remote.images import images_by_fingerprint, read_order
from airflow_provider_autoenhance.storage import StoredFile


@dataclass
class FolderState:
    """What is known of a folder.

    :param own: this run's record, new or read back.
    :param others: records of other runs, by id.
    :param rows: what became of each photo, by fingerprint.
    :param orders: the open orders, as read.
    :param brackets: those of them that hold brackets.
    :param seen: etags of the records that were read, by URI.
    :param damage: a record of it that cannot be read. Nothing is decided then: what is not known could be paid for again.
    """

    folder: Folder
    own: Record
    others: dict[str, Record]
    rows: Rows
    files: GroupedFiles
    orders: dict[str, Order] = field(default_factory=dict)
    brackets: list[BracketOrder] = field(default_factory=list)
    seen: dict[str, str | None] = field(default_factory=dict)
    damage: DestinationError | None = None

    def open_orders(self) -> list[str]:
        """Name the orders that may hold an image which no row names, or whose state a row cannot know."""
        incomplete = (record for record in (self.own, *self.others.values()) if not record.complete)
        orders = dict.fromkeys(order for record in incomplete for order in record.orders)
        photos = (*self.files.photos, *self.files.loose.values())
        rows = [row for photo in photos if (row := self.rows.get(photo.fingerprint)) is None or row.status != "landed"]
        if rows:
            orders |= dict.fromkeys(self.own.orders)
        return list(orders | dict.fromkeys(row.order_id for row in rows if row and row.order_id))


def read_state(
    job: Job, hook: AutoenhanceHook, folders: Sequence[Folder], present: Mapping[str, StoredFile]
) -> list[FolderState]:
    """Read what is known of each folder: one read per record, one per order that is still open.

    :param present: files at the destination, by URI.
    :raises DestinationError: when each folder has a damaged record. Where only some have, the others go on.
    """
    with ThreadPoolExecutor(job.concurrency, thread_name_prefix="autoenhance-plan") as pool:
        records = _read_records(job, folders, present, pool)
        found = [_state(job, folder, listed) for folder, listed in zip(folders, records, strict=True)]
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
    seen: dict[str, dict[str, str | None]] = defaultdict(dict)
    for uri, file in present.items():
        if is_record(uri):
            seen[uri.rpartition("/")[0]][uri] = file.etag
    for each, ids in zip(found, open_orders, strict=True):
        each.seen = seen[each.folder.destination + RECORDS_FOLDER]
        each.orders = {order_id: orders[order_id] for order_id in ids if order_id in orders}
        each.brackets = [brackets[order_id] for order_id in each.orders if order_id in brackets]
    return found


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
    """Yield each folder's records; in the place of a damaged one, what is wrong with it."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for uri in filter(is_record, present):
        by_folder[uri.rpartition("/")[0]].append(uri)

    def read(uri: str) -> Record | DestinationError:
        try:
            return read_record(uri, job.destination_conn_id)
        except DestinationError as error:
            return error

    listed = [by_folder[folder.destination + RECORDS_FOLDER] for folder in folders]
    records = pool.map(read, [uri for uris in listed for uri in uris])
    return ([next(records) for _ in uris] for uris in listed)


def _state(job: Job, folder: Folder, read: Sequence[Record | DestinationError]) -> FolderState:
    run = job.key(folder.source, folder.destination)
    origin = f"{job.run.dag_id}/{job.run.task_id} {job.run.run_id}"
    others = {record.run: record for record in read if isinstance(record, Record)}
    own = others.pop(run, None) or Record(run, origin, submitted_at=time.time())
    damage = next((each for each in read if isinstance(each, DestinationError)), None)
    if damage:
        return FolderState(folder, own, others, Rows(), GroupedFiles(list(folder.photos)), damage=damage)
    if not job.durable:
        own.orders = derived_orders(job, folder)  # no record names them
    records = [*others.values(), own]
    rows = latest_rows(records)
    files = group_files(job, folder.photos, records, rows)
    own.grouping = files.grouping
    return FolderState(folder, own, others, rows, files)
