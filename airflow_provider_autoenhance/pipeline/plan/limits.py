"""The limits of a run: ``max_images`` and ``max_credits``."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.plan.decide import Step
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan, Plan
from airflow_provider_autoenhance.pipeline.plan.state import find_images


def hold_back(plan: Plan, job: Job) -> None:
    """Hold what is over the limits. What an earlier try chose stays chosen, so a limit holds across tries."""
    if job.max_images is None and job.max_credits is None:
        return
    for folder in plan.folders:
        folder.own.chosen = _chosen_before(folder, job)
    chosen = {fingerprint for folder in plan.folders for fingerprint in folder.own.chosen or ()}
    images = len(chosen)
    credits = sum(_costs(folder, job) for folder in plan.folders)
    for folder in plan.folders:
        kept, held = list(folder.own.chosen or ()), set[str]()
        for number, decision in enumerate(folder.decisions):
            if not decision.works or decision.photo.ungrouped or decision.photo.fingerprint in chosen:
                continue  # what Autoenhance has yet to group is limited then: nothing is spent before
            cost = decision.cost(job)
            over_images = job.max_images is not None and images + 1 > job.max_images
            over_credits = job.max_credits is not None and cost and credits + cost > job.max_credits
            if over_images or over_credits or decision.photo.original in held:
                limit = f"max_images={job.max_images}" if over_images else f"max_credits={job.max_credits}"
                held.add(decision.photo.fingerprint)
                folder.decisions[number] = replace(decision, step=Step.HOLD, reason=f"over this run's {limit}")
                continue
            images += 1
            credits += cost
            kept.append(decision.photo.fingerprint)
        folder.own.chosen = kept


def _costs(folder: FolderPlan, job: Job) -> int:
    """Credits that what was chosen before has cost this run, or will. Images that others have bought cost nothing."""
    if not job.buys:
        return 0
    decisions = {decision.photo.fingerprint: decision for decision in folder.decisions}

    def is_free(fingerprint: str) -> bool:
        decision, row = decisions.get(fingerprint), folder.own.rows.get(fingerprint)
        if row is not None and row.credit_spent:
            return False
        if decision is None:
            return False  # its file is gone, and its image may have been bought
        if decision.step is Step.SKIP:
            return True  # landed, and this run has not bought it
        image_id = decision.image_id or (row.image_id if row is not None else None)
        return (
            image_id in folder.noted
            or not folder.own.answers_for(image_id)
            or (decision.paid and decision.order_id not in folder.own.orders)
        )

    return sum(not is_free(fingerprint) for fingerprint in folder.own.chosen or ())


def _chosen_before(folder: FolderPlan, job: Job) -> list[str]:
    """What an earlier try of this run chose, or made where it left no record of its choice."""
    if folder.own.chosen is not None:
        return folder.own.chosen
    own = [folder.orders[order] for order in folder.own.orders if order in folder.orders]
    merged = [each for each in folder.brackets if each.order.order_id in folder.own.orders]
    photos = [decision.photo for decision in folder.decisions if not decision.photo.original]
    images = find_images(photos, own, merged)
    # Autoenhance groups before anything can be chosen; only buying is a choice then.
    return [key for key, image in images.items() if job.brackets != "auto" or image.downloaded]
