"""What is known of each group before anything is decided: the records beside its outputs, how its exposures go together, and the orders
that are still open; read many at a time, for each read waits for an answer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from airflow_provider_autoenhance.api.errors import DestinationError
from airflow_provider_autoenhance.api.models import Order
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.brackets.grouping import Bracketing, bracket
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, Job
from airflow_provider_autoenhance.pipeline.photo import Folder
from airflow_provider_autoenhance.pipeline.records import Record, Rows, is_record, latest_rows, read_record
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder, read_brackets
from airflow_provider_autoenhance.pipeline.remote.images import read_order

#: Orders of brackets that a run without records may have made beyond those that its photos fill: each try that merges needs another.
_MERGING_TRIES = 4


@dataclass
class Known:
    """What is known of a group.

    :param own: this run's record, new or read back.
    :param others: records of other runs, by id.
    :param rows: what became of each photo, by fingerprint.
    :param orders: the open orders, as read.
    :param brackets: those of them that hold brackets.
    :param damage: a record of it that cannot be read. Nothing is decided then: what is not known could be paid for again.
    """

    group: Folder
    own: Record
    others: dict[str, Record]
    rows: Rows
    bracketing: Bracketing
    orders: dict[str, Order] = field(default_factory=dict)
    brackets: list[BracketOrder] = field(default_factory=list)
    damage: DestinationError | None = None

    def open_orders(self) -> list[str]:
        """Name the orders that may hold an image which no row tells of, or whose state a row cannot know."""
        incomplete = (record for record in (self.own, *self.others.values()) if not record.complete)
        orders = dict.fromkeys(order for record in incomplete for order in record.orders)
        photos = (*self.bracketing.photos, *self.bracketing.loose.values())
        rows = [row for photo in photos if (row := self.rows.get(photo.fingerprint)) is None or row.status != "landed"]
        if rows:
            orders |= dict.fromkeys(self.own.orders)
        return list(orders | dict.fromkeys(row.order_id for row in rows if row and row.order_id))


def read_known(job: Job, hook: AutoenhanceHook, groups: Sequence[Folder], present: Iterable[str]) -> list[Known]:
    """Read what is known of each group: one read per record, one per order that is still open.

    :param present: URIs of the files at the destination.
    :raises DestinationError: when each group has a damaged record. Where only some have, the others go on.
    """
    with ThreadPoolExecutor(job.concurrency, thread_name_prefix="autoenhance-plan") as pool:
        records = _read_records(job, groups, present, pool)
        found = [_known(job, group, listed) for group, listed in zip(groups, records, strict=True)]
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
    for each, ids in zip(found, open_orders, strict=True):
        each.orders = {order_id: orders[order_id] for order_id in ids if order_id in orders}
        each.brackets = [brackets[order_id] for order_id in each.orders if order_id in brackets]
    return found


def merge_key(job: Job, group: Folder, part: int) -> str:
    """Id of this run's ``part``-th order of brackets."""
    return job.key(group.source, group.destination, f"brackets {part}")


def _read_records(
    job: Job, groups: Iterable[Folder], present: Iterable[str], pool: ThreadPoolExecutor
) -> Iterator[list[Record | DestinationError]]:
    """Yield each group's records; in the place of a damaged one, what is wrong with it."""
    folders: dict[str, list[str]] = defaultdict(list)
    for uri in filter(is_record, present):
        folders[uri.rpartition("/")[0]].append(uri)

    def read(uri: str) -> Record | DestinationError:
        try:
            return read_record(uri, job.destination_conn_id)
        except DestinationError as error:
            return error

    listed = [folders[group.destination + RECORDS_FOLDER] for group in groups]
    records = pool.map(read, [uri for uris in listed for uri in uris])
    return ([next(records) for _ in uris] for uris in listed)


def _known(job: Job, group: Folder, read: Sequence[Record | DestinationError]) -> Known:
    run = job.key(group.source, group.destination)
    origin = f"{job.run.dag_id}/{job.run.task_id} {job.run.run_id}"
    others = {record.run: record for record in read if isinstance(record, Record)}
    own = others.pop(run, None) or Record(run, origin, submitted_at=time.time())
    damage = next((each for each in read if isinstance(each, DestinationError)), None)
    if damage:
        return Known(group, own, others, Rows(), Bracketing(list(group.photos)), damage=damage)
    if not job.durable:
        # No record tells of the orders, but their ids can be derived again.
        parts = -(-len(group.photos) // job.max_order_size)
        # One more, which takes the place of one that was deleted in Autoenhance.
        own.orders = [job.key(group.source, group.destination, part) for part in range(parts + 1)]
        if job.brackets != "none":
            own.orders += [merge_key(job, group, part) for part in range(parts + _MERGING_TRIES)]
    records = [*others.values(), own]
    rows = latest_rows(records)
    bracketing = bracket(job, group.photos, records, rows)
    own.grouping = bracketing.grouping
    return Known(group, own, others, rows, bracketing)
