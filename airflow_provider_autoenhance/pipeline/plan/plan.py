"""The plan of a batch: every photo's next step, from the source, the destination, the records there, and the orders still open."""

from __future__ import annotations

from collections.abc import Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_provider_autoenhance.api.errors import NotFoundError
from airflow_provider_autoenhance.api.models import Image
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.plan.decide import Decision, Step, decide
from airflow_provider_autoenhance.pipeline.plan.exposures import photos_of_loose
from airflow_provider_autoenhance.pipeline.plan.limits import hold_back
from airflow_provider_autoenhance.pipeline.plan.listing import check_targets, list_folders, list_present
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan, Plan
from airflow_provider_autoenhance.pipeline.plan.names import fail_unfit
from airflow_provider_autoenhance.pipeline.plan.orders import reserve
from airflow_provider_autoenhance.pipeline.plan.overwriting import check_overwriting
from airflow_provider_autoenhance.pipeline.plan.state import FolderState, find_images, read_state
from airflow_provider_autoenhance.pipeline.records import Row, now
from airflow_provider_autoenhance.storage import StoredFile


def make_plan(job: Job, hook: AutoenhanceHook, *, resumed: bool = False, worked: Container[str] = ()) -> Plan:
    """Plan a batch: listing calls, one read per record, one read per order that is still open. Changes nothing.

    :param resumed: the try goes on after a wait.
    :param worked: folders by destination in which it goes on otherwise, for it has worked on them before.
    """
    plan = Plan(_plan_folders(job, hook, resumed, worked))
    check_targets(decision.photo for decision in plan.decisions if decision.step is not Step.OMIT)
    fail_unfit(plan, job)
    hold_back(plan, job)
    for folder in plan.folders:
        reserve(job, folder)
    return plan


def _plan_folders(job: Job, hook: AutoenhanceHook, resumed: bool, worked: Container[str]) -> list[FolderPlan]:
    with ThreadPoolExecutor(1) as beside:
        listing = beside.submit(list_present, job)
        folders = list_folders(job)
        present = listing.result()
    plans = [
        _plan_folder(job, hook, state, present, resumed or state.folder.destination in worked)
        for state in read_state(job, hook, folders, present)
    ]
    for plan in plans:
        check_overwriting(job, plan, present)
    return plans


def _plan_folder(
    job: Job, hook: AutoenhanceHook, state: FolderState, present: Mapping[str, StoredFile], resumed: bool
) -> FolderPlan:
    if state.damage:
        return _readonly(state, str(state.damage))
    own, rows, brackets, files = state.own, state.rows, state.brackets, state.files
    photos = [*files.photos, *photos_of_loose(job, files, brackets, rows, resumed)]
    images = find_images(photos, state.orders.values(), brackets)

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
    decisions += [Decision(photo, Step.OMIT, reason=reason) for photo, reason in files.omitted]
    return FolderPlan(
        state.folder, own, state.others, decisions, state.orders, brackets, warnings=files.warnings, seen=state.seen
    )


def _unlisted(hook: AutoenhanceHook, row: Row | None) -> Image | None:
    """The image that a row names and its order does not list: a list may lag, and only a 404 says that an image is gone."""
    if row is None or not row.image_id or row.status == "landed":
        return None
    try:
        return hook.get_image(row.image_id)
    except NotFoundError:
        return None


def _readonly(state: FolderState, reason: str) -> FolderPlan:
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
    return FolderPlan(state.folder, own, state.others, kept, warnings=[reason], readonly=True)


def _landed(photo: Photo, row: Row | None, present: Mapping[str, StoredFile]) -> bool:
    """Whether the outputs that a row names are there."""
    outputs = row.outputs if row else []
    there = bool(outputs) and all(_is_there(present.get(output["uri"]), output) for output in outputs)
    return there and {output["uri"] for output in outputs} >= set(photo.targets)


def _is_there(found: StoredFile | None, output: Mapping[str, Any]) -> bool:
    """Whether a listed file is the one that was written."""
    if found is None or found.size != output["size"]:
        return False
    return None in (found.etag, output.get("etag")) or found.etag == output["etag"]
