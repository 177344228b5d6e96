"""The plan of a batch: every photo's next step, from the source, the destination, the records there, and the orders still open."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from airflow_provider_autoenhance.api.errors import NotFoundError
from airflow_provider_autoenhance.api.models import Image, Order
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.brackets.grouping import resolve
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Folder, Photo
from airflow_provider_autoenhance.pipeline.plan.decide import Decision, Step, decide
from airflow_provider_autoenhance.pipeline.plan.listing import check_targets, list_folders, list_present
from airflow_provider_autoenhance.pipeline.plan.state import Known, merge_key, read_known
from airflow_provider_autoenhance.pipeline.records import Record, Row, Rows, latest_rows, now
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder, merged_images
from airflow_provider_autoenhance.pipeline.remote.images import images_by_fingerprint
from airflow_provider_autoenhance.storage import StoredFile


@dataclass
class GroupPlan:
    """A group's decisions and records.

    :param own: this run's record, new or read back.
    :param others: records of other runs, by id.
    :param orders: the open orders, as read.
    :param brackets: those of them that hold brackets.
    :param free: places left in this run's orders, by order id.
    :param merges: what is to be merged in which of this run's orders of brackets.
    :param lost: this run's orders that were deleted in Autoenhance; their ids cannot be taken again.
    :param warnings: about the grouping of exposures, or a damaged record; a line each.
    :param readonly: a record of it is damaged, so that none of them is written before somebody has restored it.
    """

    group: Folder
    own: Record
    others: dict[str, Record]
    decisions: list[Decision]
    orders: dict[str, Order] = field(default_factory=dict)
    brackets: list[BracketOrder] = field(default_factory=list)
    free: dict[str, int] = field(default_factory=dict)
    merges: dict[str, list[Decision]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    readonly: bool = False

    @property
    def records(self) -> list[Record]:
        """All records, this run's own last."""
        return [*self.others.values(), self.own]

    def rows(self) -> Rows:
        """What is known of each fingerprint; the latest wins, and in doubt this run's own."""
        return latest_rows(self.records)

    def placed(self) -> Iterator[tuple[Decision, str]]:
        """Yield what is submitted one by one, each with its order: what makes an image gets a place in one of this run's orders."""
        places = (order for order, free in self.free.items() for _ in range(free))
        for decision in self.decisions:
            makes = decision.step in (Step.CREATE, Step.REPLACE)
            if decision.submits and not (makes and decision.photo.exposures):
                yield decision, next(places) if makes else decision.order_id or ""

    @property
    def files_to_upload(self) -> int:
        """How many files go up, exposures among them."""
        merged = (decision for decisions in self.merges.values() for decision in decisions)
        return sum(1 for _ in self.placed()) + sum(len(decision.photo.exposures) for decision in merged)


@dataclass
class Plan:
    """All groups of a batch."""

    groups: list[GroupPlan]

    @property
    def decisions(self) -> list[Decision]:
        """All decisions, group by group."""
        return [decision for group in self.groups for decision in group.decisions]

    @property
    def warnings(self) -> list[str]:
        """About the grouping of exposures, a line each."""
        return [warning for group in self.groups for warning in group.warnings]

    def count(self) -> Counter[Step]:
        """How many photos are at each step."""
        return Counter(decision.step for decision in self.decisions)

    def credits_ahead(self, job: Job) -> int:
        """What the decided steps will cost."""
        return sum(costs(decision, job) for decision in self.decisions if decision.works)


def costs(decision: Decision, job: Job) -> int:
    """Credits that a photo will cost when it gets through; at most one per exposure where Autoenhance has yet to group them."""
    if job.preview or decision.paid:
        return 0
    return len(decision.photo.exposures) if decision.photo.ungrouped else 1


def make_plan(job: Job, hook: AutoenhanceHook, *, resumed: bool = False) -> Plan:
    """Plan a batch: listing calls, one read per record, one read per order that is still open. Changes nothing.

    :param resumed: the try goes on after a wait.
    """
    plan = Plan(_plan_groups(job, hook, resumed))
    check_targets(decision.photo for decision in plan.decisions if decision.step is not Step.OMIT)
    _limit(plan, job)
    for group in plan.groups:
        reserve(job, group)
    return plan


def reserve(job: Job, plan: GroupPlan) -> None:
    """Name the orders for what will be made; anew after some were found lost."""
    plan.free, plan.merges = {}, {}
    _reserve_orders(job, plan)
    _reserve_merges(job, plan)


def _plan_groups(job: Job, hook: AutoenhanceHook, resumed: bool) -> list[GroupPlan]:
    with ThreadPoolExecutor(1) as beside:
        listing = beside.submit(list_present, job)
        groups = list_folders(job)
        present = listing.result()
    return [_plan_group(job, hook, known, present, resumed) for known in read_known(job, hook, groups, present)]


def _plan_group(
    job: Job, hook: AutoenhanceHook, known: Known, present: Mapping[str, StoredFile], resumed: bool
) -> GroupPlan:
    if known.damage:
        return _readonly_group(known, str(known.damage))
    own, rows, brackets, bracketing = known.own, known.rows, known.brackets, known.bracketing
    photos = [*bracketing.photos, *resolve(job, bracketing, brackets, rows, resumed)]
    images = _find_images(photos, known.orders.values(), brackets)

    def decided(photo: Photo) -> Decision:
        row = rows.get(photo.fingerprint)
        return decide(
            photo,
            job=job,
            row=row,
            image=images.get(photo.fingerprint) or _unlisted(hook, row),
            present=_landed(photo, row, present),
            own=own.run,
            resumed=resumed,
            merging=next((each.order.order_id for each in brackets if each.is_merging(photo)), None),
            refused=any(each.refused(photo) for each in brackets),
        )

    decisions = [decided(photo) for photo in sorted(photos, key=lambda photo: photo.path)]
    decisions += [Decision(photo, Step.OMIT, reason=reason) for photo, reason in bracketing.omitted]
    return GroupPlan(known.group, own, known.others, decisions, known.orders, brackets, warnings=bracketing.warnings)


def _unlisted(hook: AutoenhanceHook, row: Row | None) -> Image | None:
    """The image that a row names and its order does not list: a list may lag, and only a 404 says that an image is gone."""
    if row is None or not row.image_id or row.status == "landed":
        return None
    try:
        return hook.get_image(row.image_id)
    except NotFoundError:
        return None


def _readonly_group(known: Known, reason: str) -> GroupPlan:
    """Each photo fails, for the reason of the record; so the other groups go on, and a person is told."""
    photos, own = known.bracketing.photos, known.own
    for photo in photos:
        own.rows[photo.fingerprint] = Row(
            source=photo.source,
            etag=photo.etag,
            size=photo.size,
            fingerprint=photo.fingerprint,
            status="failed",
            run=own.run,
            image_name=photo.image_name,
            reason=reason,
            at=now(),
        )
    kept = [Decision(photo, Step.KEEP, reason=reason) for photo in photos]
    return GroupPlan(known.group, own, known.others, kept, warnings=[reason], readonly=True)


def _find_images(
    photos: Iterable[Photo], orders: Iterable[Order], brackets: Sequence[BracketOrder]
) -> Mapping[str, Image]:
    photos = list(photos)
    singles = [photo for photo in photos if not photo.exposures]
    return {**images_by_fingerprint(orders, singles), **merged_images(photos, brackets)}


def _landed(photo: Photo, row: Row | None, present: Mapping[str, StoredFile]) -> bool:
    """Whether the outputs that a row tells of are there."""
    outputs = row.outputs if row else []
    there = bool(outputs) and all(_is_there(present.get(output["uri"]), output) for output in outputs)
    return there and {output["uri"] for output in outputs} >= set(photo.targets)


def _is_there(found: StoredFile | None, output: Mapping[str, Any]) -> bool:
    """Whether a listed file is the one that was written."""
    if found is None or found.size != output["size"]:
        return False
    return None in (found.etag, output.get("etag")) or found.etag == output["etag"]


def _reserve_orders(job: Job, plan: GroupPlan) -> None:
    """Name enough orders for everything that will be created, before anything is: the record must tell of them first."""
    needed = sum(
        decision.step in (Step.CREATE, Step.REPLACE) and not decision.photo.exposures for decision in plan.decisions
    )
    for part in count():
        if needed <= 0:
            return
        order_id = job.key(plan.group.source, plan.group.destination, part)
        if order_id in plan.lost:
            continue
        taken = len(plan.orders[order_id].images) if order_id in plan.orders else 0
        plan.free[order_id] = max(0, job.max_order_size - taken)
        needed -= plan.free[order_id]


def _reserve_merges(job: Job, plan: GroupPlan) -> None:
    """Name the orders for what is to be merged. An order is processed once, so each takes only what goes into that one call.

    What an earlier try of this run has uploaded, without processing it, is gone on with in the same order.
    """
    known = {each.order.order_id: each for each in plan.brackets}
    todo = deque(each for each in plan.decisions if each.step in (Step.CREATE, Step.REPLACE) and each.photo.exposures)
    for part in count():
        if not todo:
            return
        order_id = merge_key(job, plan.group, part)
        begun = known.get(order_id)
        if order_id in plan.lost:
            continue
        if order_id in plan.orders and (plan.orders[order_id].images or (begun and begun.processed)):
            continue
        if begun:  # what has brackets there goes first; sorting keeps the order otherwise
            todo = deque(sorted(todo, key=lambda decision, begun=begun: not begun.brackets_of(decision.photo)))  # type: ignore[misc]
        free = job.max_order_size
        while todo and (free >= len(todo[0].photo.exposures) or free == job.max_order_size):
            free -= len(todo[0].photo.exposures)
            plan.merges.setdefault(order_id, []).append(todo.popleft())


def _limit(plan: Plan, job: Job) -> None:
    """Hold back what is over ``max_images`` and ``max_credits``. What an earlier try chose stays chosen, so a limit holds across tries."""
    if job.max_images is None and job.max_credits is None:
        return
    for group in plan.groups:
        group.own.chosen = _chosen_before(group, job)
    chosen = {fingerprint for group in plan.groups for fingerprint in group.own.chosen or ()}
    images = len(chosen)
    credits = len(chosen) if not job.preview else 0
    for group in plan.groups:
        kept = list(group.own.chosen or ())
        for number, decision in enumerate(group.decisions):
            if not decision.works or decision.photo.ungrouped or decision.photo.fingerprint in chosen:
                continue  # what Autoenhance has yet to group is limited then: nothing is spent before
            cost = costs(decision, job)
            over_images = job.max_images is not None and images + 1 > job.max_images
            over_credits = job.max_credits is not None and cost and credits + cost > job.max_credits
            if over_images or over_credits:
                limit = f"max_images={job.max_images}" if over_images else f"max_credits={job.max_credits}"
                group.decisions[number] = replace(decision, step=Step.HOLD, reason=f"over this run's {limit}")
                continue
            images += 1
            credits += cost
            kept.append(decision.photo.fingerprint)
        group.own.chosen = kept


def _chosen_before(group: GroupPlan, job: Job) -> list[str]:
    """What an earlier try of this run chose, or made where it left no record of its choice."""
    if group.own.chosen is not None:
        return group.own.chosen
    own = [group.orders[order] for order in group.own.orders if order in group.orders]
    merged = [each for each in group.brackets if each.order.order_id in group.own.orders]
    images = _find_images([decision.photo for decision in group.decisions], own, merged)
    # Autoenhance groups before anything can be chosen; only buying is a choice then.
    return [key for key, image in images.items() if job.brackets != "auto" or image.downloaded]
