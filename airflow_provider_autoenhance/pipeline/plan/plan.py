"""The plan of a batch: every photo's next step, from the source, the destination, the records there, and the orders still open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import chain

from airflow_provider_autoenhance.api.errors import DestinationError, DestinationFullError, SettingsError, SourceError
from airflow_provider_autoenhance.api.models import Image
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo, edited_photo
from airflow_provider_autoenhance.pipeline.plan.decide import (
    Decision,
    Step,
    after,
    decide,
    decide_edit,
    is_up_to_date,
)
from airflow_provider_autoenhance.pipeline.plan.edits import Picks
from airflow_provider_autoenhance.pipeline.plan.exposures import photos_of_loose
from airflow_provider_autoenhance.pipeline.plan.limits import hold_back
from airflow_provider_autoenhance.pipeline.plan.listing import list_folders, list_present
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan, PartPlan, Plan
from airflow_provider_autoenhance.pipeline.plan.names import fail_clashing, fail_unfit
from airflow_provider_autoenhance.pipeline.plan.orders import reserve
from airflow_provider_autoenhance.pipeline.plan.overwriting import spare_others, spare_unknown
from airflow_provider_autoenhance.pipeline.plan.preflight import look_over
from airflow_provider_autoenhance.pipeline.plan.state import (
    FolderState,
    find_images,
    is_present,
    lies_there,
    read_state,
)
from airflow_provider_autoenhance.pipeline.plan.styles import bought_images, earlier
from airflow_provider_autoenhance.pipeline.plan.vanished import check_lost, emptied_folders, goes_on, warnings_of
from airflow_provider_autoenhance.pipeline.records import Row, now
from airflow_provider_autoenhance.pipeline.remote.images import find_image, rank
from airflow_provider_autoenhance.pipeline.remote.style import Style, seen_settings
from airflow_provider_autoenhance.storage import StoredFile


def make_plan(job: Job, hook: AutoenhanceHook, *, resumed: bool = False, worked: Container[str] = ()) -> Plan:
    """Plan a batch: listing calls, one read per record, one read per order that is still open. Changes nothing.

    :param resumed: the try goes on after a wait.
    :param worked: ids of its records of the folders in which it goes on otherwise, for it has worked on them before.
    :raises AutoenhanceError: it cannot be planned; of several listings, none of them can.
    """
    if not job.listings:
        return _make_plan(job, hook, resumed, worked)
    with ThreadPoolExecutor(job.concurrency, thread_name_prefix="autoenhance-listing") as pool:
        parts = list(pool.map(lambda part: _plan_listing(part, hook, resumed, worked), job.parts))
    failed = [part.error for part in parts if part.error]
    if failed and len(failed) == len(parts):
        raise failed[0]
    return Plan(parts)


def _plan_listing(job: Job, hook: AutoenhanceHook, resumed: bool, worked: Container[str]) -> PartPlan:
    """Plan one of several listings. What is wrong with it alone fails it, and not the others.

    :raises AutoenhanceError: another try may help, or all meet it.
    """
    try:
        return _make_plan(job, hook, resumed, worked).parts[0]
    except (SettingsError, SourceError, DestinationError) as error:
        if error.retryable or isinstance(error, DestinationFullError):
            raise
        return PartPlan(job, [], error)


def _make_plan(job: Job, hook: AutoenhanceHook, resumed: bool, worked: Container[str]) -> Plan:
    picks = Picks(job.edited)
    plan = Plan([PartPlan(job, _plan_folders(job, hook, resumed, worked, picks))])
    if plan.folders:
        plan.folders[0].warnings += picks.warnings()
    fail_clashing(plan, job)
    fail_unfit(plan, job)
    if job.preflight == "hold":
        look_over(plan)  # what is held for it takes no place within the limits
    hold_back(plan, job)
    if job.preflight in ("warn", "read"):
        look_over(plan)
    for folder in plan.folders:
        reserve(job, folder)
    return plan


def _plan_folders(
    job: Job, hook: AutoenhanceHook, resumed: bool, worked: Container[str], picks: Picks
) -> list[FolderPlan]:
    lost: dict[str, SourceError] = {}
    with ThreadPoolExecutor(1) as beside:
        listing = beside.submit(list_present, job)
        folders = list_folders(job, lost)
        present = listing.result()
    states = read_state(job, hook, folders, present)
    if job.durable:
        known = chain.from_iterable(state.others.values() for state in states)
        emptied = list(emptied_folders(job, [state.own.run for state in states], known, present))
        states += read_state(job, hook, emptied, present) if emptied else []
    check_lost(lost, (photo for state in states for photo in state.gone()))
    plans = [_plan_folder(job, hook, state, present, resumed or state.own.run in worked, picks) for state in states]
    spare_others(job, plans, present)
    spare_unknown(job, plans, present)
    return plans


def _plan_folder(
    job: Job,
    hook: AutoenhanceHook,
    state: FolderState,
    present: Mapping[str, StoredFile],
    resumed: bool,
    picks: Picks,
) -> FolderPlan:
    if state.damage:
        return _readonly(job, state, str(state.damage))
    own, rows, brackets, files = state.own, state.rows, state.brackets, state.files
    photos = [*files.photos, *photos_of_loose(job, files, brackets, rows, resumed)]
    images = find_images(photos, state.orders.values(), brackets)
    reprocesses = job.on_existing == "reprocess"
    bought = bought_images(state.orders.values(), brackets) if reprocesses else {}

    def decided(photo: Photo, row: Row | None) -> Decision:
        image = images.get(photo.fingerprint)
        landed = row is not None and row.status == "landed"
        there = is_present(photo, row, present)
        if is_up_to_date(job, row, own.run, present=there):
            image = None
        elif row is not None and row.image_id and (image is None or landed):
            image = min(filter(None, (image, _named(hook, row, state))), key=rank, default=None)
        gone = landed and image is None and not is_up_to_date(job, row, own.run, present=there)
        before = None
        if reprocesses and (gone or not landed):
            if gone:  # nobody has looked at the others yet, for its own image was enough
                for each in state.styles.earlier_rows(photo):
                    _named(hook, each, state)
            before = earlier(photo, job.settings, state.styles, state.images, bought)
        decision = decide(
            photo,
            job=job,
            row=row,
            image=image,
            present=there,
            own=own.run,
            resumed=resumed,
            merging=next((each.order.order_id for each in brackets if each.is_merging(photo)), None),
            refused=any(each.refused(photo) for each in brackets),
            style=_style(job, row, image, state),
            gone=gone,
            earlier=before,
        )
        # Of two runs that have taken the image from each other, one lets the other land; else each would be too late each time.
        overtaken = resumed and image is not None and decision.lacking and decision.rounds and decision.rounds % 2 == 0
        if (
            overtaken
            and image is not None
            and any(
                own.run < other.run
                and Style(other.settings or {}, other.answered_at(job.api_version)).lacks(seen_settings(image)) is None
                for other in pending().get(image.image_id, ())
            )
        ):
            return after(decision, seen_settings(image))
        return decision

    @cache
    def pending() -> Mapping[str, list[Row]]:
        """What other runs wait for, by image."""
        found: dict[str, list[Row]] = defaultdict(list)
        for record in state.others.values():
            for row in record.rows.values():
                if row.status == "pending" and row.image_id:
                    found[row.image_id].append(row)
        return found

    def edits(decision: Decision, row: Row | None) -> Iterator[Decision]:
        """Yield the premium edit of a photo, if it is to have one."""
        if not picks.takes(decision.photo, decision.image_id or (row.image_id if row else None)):
            return
        photo = edited_photo(job, decision.photo)
        known = rows.get(photo.fingerprint)
        there = is_present(photo, known, present)
        fresh = is_up_to_date(job, known, own.run, present=there)
        image = _named(hook, known, state) if known is not None and known.image_id and not fresh else None
        yield decide_edit(photo, job=job, row=known, image=image, present=there, own=own.run, resumed=resumed)

    decisions: list[Decision] = []
    for photo in sorted(photos, key=lambda photo: photo.path):
        row = rows.get(photo.fingerprint)
        decision = _with_history(decided(photo, row), job, state, present)
        mine = row is None or photo.fingerprint in own.rows
        kept = goes_on(decision, row, mine=mine, named=job.sources.names(photo.source)) if photo.gone else decision
        if kept is not None:
            decisions += [kept, *edits(kept, row)]
        elif row is not None and not mine:
            state.missed.append(row)
    decisions = _with_changed_files(decisions, state, present)
    decisions += [Decision(photo, Step.OMIT, reason=reason) for photo, reason in files.omitted]
    own.bought_before = _bought_before(decisions, state)
    return FolderPlan(
        job,
        state.folder,
        own,
        state.others,
        decisions,
        state.orders,
        brackets,
        warnings=[*files.warnings, *warnings_of(state.missed, state.others)],
        etags=state.etags,
        asked=state.asked,
        heads=files.heads,
        doubts=files.doubts,
    )


def _with_changed_files(
    decisions: Iterable[Decision], state: FolderState, present: Mapping[str, StoredFile]
) -> list[Decision]:
    """Say of which photos a file will be written over that is not as any record says that it landed."""
    decisions = list(decisions)
    written = {target for each in decisions if each.works for target in each.photo.targets if target in present}
    rows = (row for record in (state.own, *state.others.values()) for row in record.rows.values()) if written else ()
    landed = [output for row in rows for output in row.outputs if output["uri"] in written]
    changed = {output["uri"] for output in landed} - {output["uri"] for output in landed if lies_there(output, present)}
    return [replace(each, changed=not changed.isdisjoint(each.photo.targets)) for each in decisions]


def _bought_before(decisions: Iterable[Decision], state: FolderState) -> list[str] | None:
    """Images that were bought before this run began, and by nobody who may have died before writing it down; ``None`` where an earlier try
    of it may have been."""
    own, others = state.own, state.others.values()
    if own.bought_before is not None or own.claim or own.rows or own.orders:
        return own.bought_before
    if any(record.claim or record.unfinished for record in others):
        return []
    return [each.image_id for each in decisions if each.paid and each.works and each.image_id]


def _named(hook: AutoenhanceHook, row: Row, state: FolderState) -> Image | None:
    """The image that a row names."""
    image_id = str(row.image_id)
    if image_id not in state.images:
        state.images[image_id] = find_image(hook, image_id)
    return state.images[image_id]


def _style(job: Job, row: Row | None, image: Image | None, state: FolderState) -> Style:
    """How a photo's image should have been enhanced."""
    if row is None or image is None or row.image_id != image.image_id:
        return Style(job.settings)
    return Style(job.settings, row.answered_at(job.api_version))


def _with_history(decision: Decision, job: Job, state: FolderState, present: Mapping[str, StoredFile]) -> Decision:
    """Add what the records say beyond the photo's own row: whether it is bought again, and which file of an earlier style is
    overwritten."""
    if not decision.works:
        return decision
    rows = state.styles.earlier_rows(decision.photo)
    lying = {output["uri"] for row in rows for output in row.outputs if lies_there(output, present)}
    replaced = tuple(target for target in decision.photo.targets if target in lying)
    bought = decision.bought or (job.on_existing != "reenhance" and any(row.credits for row in rows))
    return replace(decision, replaces=replaced, bought=bought)


def _readonly(job: Job, state: FolderState, reason: str) -> FolderPlan:
    """Each photo fails, for the reason of the record; so the other folders go on, and the summary says why."""
    photos, own = state.files.photos, state.own
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
    return FolderPlan(job, state.folder, own, state.others, kept, warnings=[reason], readonly=True)
