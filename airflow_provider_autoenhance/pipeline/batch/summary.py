"""What a batch says before it begins and when it is done: a few counts, and where the rows for people lie."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from airflow_provider_autoenhance.api.config import Extra
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.api.shown import counted
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.plan.decide import Step
from airflow_provider_autoenhance.pipeline.plan.model import FolderPlan, PartPlan, Plan

#: Failures, and warnings, that a summary names; the manifest has them all.
MAX_LINES = 20


def forecast(plan: Plan, job: Job, extra: Extra) -> dict[str, Any]:
    """What a plan is, and what it will cost; of several listings, what each is, too.

    :param extra: of the connection, which may know what a credit costs.
    """
    steps = plan.count()
    photos = [decision for decision in plan.decisions if decision.step is not Step.OMIT]
    works = [decision for decision in photos if decision.works]
    size = sum(decision.photo.size for decision in works)
    credits = plan.credits_ahead(job)
    full = credits if job.buys else sum(map(_full_size, plan.parts))
    at_most = "at most " if any(decision.photo.ungrouped for decision in works) else ""
    price = f"{at_most}{extra.priced(credits)}" if job.buys else "0 credits"
    without = "preview=False" if job.preview else "dev_mode off"
    later = "" if job.buys else f" ({at_most}{extra.priced(full)} with {without})"
    again = sum(decision.cost(job) for decision in works if decision.buys_again)
    replaced = sum(bool(decision.replaces) for decision in works)
    changed = sum(decision.changed for decision in works)
    of_these = f", {again} of them for photos that were bought before" if again else ""
    of_these += f"; {replaced} overwrite the file of an earlier style" if replaced else ""
    of_these += f"; {changed} overwrite a file that was changed since it landed" if changed else ""
    by_step = ", ".join(f"{steps[step]} {step}" for step in Step if steps[step]) or "no photos"
    ahead = {
        "photos": len(photos),
        "edits": sum(bool(decision.photo.original) for decision in photos),
        "skipped": steps[Step.SKIP],
        "held": steps[Step.HOLD],
        "bytes": size,
        "credits": credits,
        "full_size_credits": full,
        **extra.cost(credits),
        "merges": list(islice(merges(plan), MAX_LINES)),
        "warnings": _warnings(plan, plan.notices(job)),
        "plan": f"{counted(len(photos), 'photo')} in {counted(len(plan.folders), 'folder')}: {by_step}; "
        f"{size / 1e6:.1f} MB to move, {price}{later}{of_these}",
    }
    if job.listings:
        each = ({**forecast(Plan([part]), part.job, extra), **_broken(part)} for part in plan.parts)
        ahead["listings"] = [
            _listing(part, {name: value for name, value in said.items() if name not in _OF_ALL})
            for part, said in zip(plan.parts, each, strict=True)
        ]
    return ahead


#: What a forecast says of a whole task alone.
_OF_ALL = ("merges", "warnings", "plan")


def _listing(part: PartPlan, said: Mapping[str, Any]) -> dict[str, Any]:
    return {"source": part.job.sources.uris[0], "destination": part.job.destination, **said}


def _broken(part: PartPlan) -> dict[str, Any]:
    """Why nothing was done for a listing."""
    return {"error": clean_text(f"{type(part.error).__name__}: {part.error}")} if part.error else {}


def merges(plan: Plan) -> Iterator[str]:
    """Yield which exposures become which photo, a line each; of photos that are up to date, too."""
    for decision in plan.decisions:
        names = ", ".join(exposure.path for exposure in decision.photo.exposures)
        if decision.photo.ungrouped:
            yield clean_text(f"Autoenhance groups {counted(len(decision.photo.exposures), 'exposure')}: {names}")
        elif names:
            yield clean_text(f"{decision.photo.path} is merged from {names}")


def _full_size(part: PartPlan) -> int:
    """What a run of previews would cost at full size: each photo but those that are bought already, within the run's limits."""
    cost = 0
    for folder in part.folders:
        rows = folder.rows()
        for decision in folder.decisions:
            row = rows.get(decision.photo.fingerprint)
            if decision.step in (Step.OMIT, Step.HOLD, Step.KEEP) or decision.paid or (row is not None and row.credits):
                continue
            cost += len(decision.photo.exposures) if decision.photo.ungrouped else 1
    return cost if part.job.max_credits is None else min(cost, part.job.max_credits)


def summarize(plan: Plan, written: Mapping[str, Mapping[str, str | None]], twins: int, extra: Extra) -> dict[str, Any]:
    """What a task returns: counts and where to read more, never a row per photo. Of several listings each has its own counts, too.

    It is about the run, not the try: a cleared task that finds its work done returns the same again.

    :param written: by the destination, the URIs of manifest, gallery and contact sheet, where they were written.
    :param twins: images that this try has deleted because another one had made them beside it.
    """
    parts = [_counts(part.folders) for part in plan.parts]
    listings = [
        _listing(part, {**_files(written.get(part.job.destination, {})), **_priced(found, extra), **_broken(part)})
        for part, found in zip(plan.parts, parts, strict=True)
    ]
    if not plan.of_listings:
        (found,) = listings
        del found["source"], found["destination"]
    else:
        found = {**_files({}), **_priced(_together(plan, parts), extra)}
        found["listings"] = [{name: value for name, value in each.items() if name != "order_ids"} for each in listings]
    return {**found, "twins": twins, "warnings": _warnings(plan)}


def _files(written: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name: written.get(name) for name in ("manifest", "gallery", "contact_sheet")}


def _priced(found: dict[str, Any], extra: Extra) -> dict[str, Any]:
    return {**found, **extra.cost(found["credits"]), "failures": found["failures"][:MAX_LINES]}


def _together(plan: Plan, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add up what became of several listings. A failure's photo has its listing before it."""
    named = (
        {**failure, "photo": f"{part.job.name}/{failure['photo']}"}
        for part, found in zip(plan.parts, parts, strict=True)
        for failure in found["failures"]
    )
    numbers = {name: sum(found[name] for found in parts) for name in parts[0] if name not in ("order_ids", "failures")}
    return {"order_ids": [each for found in parts for each in found["order_ids"]], **numbers, "failures": list(named)}


def _counts(folders: Iterable[FolderPlan]) -> dict[str, Any]:
    """What became of the photos of some folders."""
    counts = dict.fromkeys(("photos", "edits", "landed", "skipped", "failed", "postponed", "held"), 0)
    orders: list[str] = []
    failures: list[dict[str, str | None]] = []
    transient = credits = size = 0
    for folder in folders:
        orders += folder.own.orders
        rows = folder.rows()
        for decision in folder.decisions:
            if decision.step is Step.OMIT:
                continue
            counts["photos"] += 1
            counts["edits"] += bool(decision.photo.original)
            row = rows.get(decision.photo.fingerprint)
            if decision.step is Step.HOLD or row is None or row.status == "pending":  # another run works on its folder
                counts["held"] += 1
                continue
            if row.status == "landed" and row.run != folder.own.run:
                counts["skipped"] += 1
                continue
            counts[row.status] += 1
            size += sum(output["size"] for output in row.outputs)
            if row.status == "failed":
                transient += row.transient
                failures.append({"photo": clean_text(decision.photo.path), "reason": row.reason})
        credits += folder.own.rows.credits_spent()
    return {
        "order_ids": orders,
        **counts,
        "transient": transient,
        "credits": credits,
        "bytes": size,
        "failures": failures,
    }


def _warnings(plan: Plan, notices: Sequence[str] = ()) -> list[str]:
    """They name files, and a file's name may hold a line break."""
    return [clean_text(warning) for warning in (*notices, *plan.warnings)[:MAX_LINES]]
