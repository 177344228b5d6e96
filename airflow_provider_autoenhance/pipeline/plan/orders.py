"""Which orders a run makes. Their ids are derived, so that a retry finds the orders of the try before it."""

from __future__ import annotations

from collections import deque
from itertools import chain, count

from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Folder
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan

#: Orders of exposures that a run without records may have made beyond those that its photos fill: each try that merges needs another.
_MERGING_TRIES = 4


def reserve(job: Job, plan: FolderPlan) -> None:
    """Name the orders for everything that will be created; again after some were found lost.

    Nothing is created here: the record has to name the orders first.
    """
    plan.free, plan.merges = {}, {}
    _reserve_singles(job, plan)
    _reserve_merges(job, plan)


def derived_orders(job: Job, folder: Folder) -> list[str]:
    """The orders that an earlier try of a run without records may have made."""
    # One more, which takes the place of one that was deleted in Autoenhance.
    parts = [str(part) for part in range(1 - (-len(folder.photos) // job.max_order_size))]
    if job.brackets != "none":
        parts += [_merging(part) for part in range(len(parts) - 1 + _MERGING_TRIES)]
    selections = dict.fromkeys([job.selection, job.earlier_selection, ""])
    return [job.key(folder.source, folder.destination, part, selection=each) for each in selections for part in parts]


def _order_id(job: Job, folder: Folder, part: int) -> str:
    return job.key(folder.source, folder.destination, part)


def _merge_id(job: Job, folder: Folder, part: int) -> str:
    return job.key(folder.source, folder.destination, _merging(part))


def _merging(part: int) -> str:
    return f"brackets {part}"


def _reserve_singles(job: Job, plan: FolderPlan) -> None:
    needed = sum(decision.creates and not decision.photo.exposures for decision in plan.decisions)
    for part in count():
        if needed <= 0:
            return
        order_id = _order_id(job, plan.folder, part)
        if order_id in plan.lost:
            continue
        taken = len(plan.orders[order_id].originals) if order_id in plan.orders else 0
        plan.free[order_id] = max(0, job.max_order_size - taken)
        needed -= plan.free[order_id]


def _reserve_merges(job: Job, plan: FolderPlan) -> None:
    """An order of exposures is processed once, so each takes only what goes into that one call.

    What an earlier try or run has uploaded, without processing it, is gone on with in the same order: nobody else works on the folder.
    """
    known = {each.order.order_id: each for each in plan.brackets}
    todo = deque(each for each in plan.decisions if each.creates and each.photo.exposures)
    started = [order for order, each in known.items() if any(each.brackets_of(decision.photo) for decision in todo)]
    for order_id in chain(started, (_merge_id(job, plan.folder, part) for part in count())):
        if not todo:
            return
        begun = known.get(order_id)
        if order_id in plan.lost or order_id in plan.merges:
            continue
        if order_id in plan.orders and (plan.orders[order_id].images or (begun and begun.processed)):
            continue
        if begun:  # what has exposures there goes first; sorting keeps the order otherwise
            todo = deque(sorted(todo, key=lambda decision, begun=begun: not begun.brackets_of(decision.photo)))  # type: ignore[misc]
        free = job.max_order_size
        while todo and (free >= len(todo[0].photo.exposures) or free == job.max_order_size):
            free -= len(todo[0].photo.exposures)
            plan.merges.setdefault(order_id, []).append(todo.popleft())
