"""What to do about one photo, from what is known. Pure: the same knowledge gives the same decision."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from airflow_provider_autoenhance.api.models import Image, ImageStatus
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.api.settings import WireSettings
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.records import Row
from airflow_provider_autoenhance.pipeline.remote.style import Style, seen_settings

#: Failures that pass by themselves, as far as the vendor's free text says: the daily limit above all.
_PASSING_REASON = re.compile(r"\b(limit|quota|try again|timed? ?out|temporar\w*)\b", re.IGNORECASE)

#: Why a photo whose exposures were merged into nothing failed.
REFUSED = "Autoenhance merged no image from these exposures"

#: Why a photo whose image was there, and is no longer, failed.
GONE = "its image is gone from Autoenhance, deleted there most likely, before it was downloaded; the next try makes it again"

#: What is added where the next try cannot make a photo's image again.
SOURCE_GONE = "its source file is gone, or its address has expired, so that it cannot be uploaded again"

#: Why a photo has no premium edit whose image is gone.
NO_ORIGINAL = (
    "its original is gone from Autoenhance, deleted or no longer kept, so nothing can be made of it; have the photo enhanced again "
    "(on_existing='reenhance'), or leave it out of dusk"
)

#: Why a photo failed whose image somebody gives other settings again and again.
RESTYLED = (
    "somebody had its image enhanced with other settings again and again while this run waited for it; the next try has it "
    "enhanced as asked"
)

#: How often a run has an image enhanced as asked. Whoever wants another style of it, another run above all, is done before.
MOST_ROUNDS = 8

#: Why an image that was made for a photo is enhanced again.
OTHER_SETTINGS = "its image has been enhanced with other settings since"


class Step(StrEnum):
    """The next step for a photo, in the order of a photo's life."""

    CREATE = "create"  # make the image and upload
    REPLACE = "replace"  # delete the useless image first
    REPROCESS = "reprocess"  # the bytes are there; enhance again
    WAIT = "wait"  # being enhanced
    DOWNLOAD = "download"  # enhanced
    EDIT = "edit"  # a premium edit, to be made of a photo that lands before
    SKIP = "skip"  # up to date
    KEEP = "keep"  # failed or postponed in this very try; only reported
    HOLD = "hold"  # over a limit of this run, or doubtful
    OMIT = "omit"  # another file shows the same shot


@dataclass(frozen=True, slots=True)
class Earlier:
    """What there is of a photo's bytes in other settings.

    :param image: ``None``: it is gone from Autoenhance.
    :param style: how the image has to be enhanced for this photo; ``None``: nobody knows what has to be taken back.
    :param paid: it was bought.
    """

    image: Image | None
    style: Style | None
    paid: bool

    @property
    def usable(self) -> bool:
        """Whether its image can be enhanced for this photo."""
        return self.image is not None and self.style is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """A photo's next step, and the image it is about.

    :param paid: the image's full size is bought already.
    :param reason: why, where a person would ask.
    :param style: how the image should have been enhanced.
    :param seen: the image's settings, as last answered.
    :param settings: what the image is enhanced again with; ``None``: it is not.
    :param lacking: the image is enhanced, with other settings than it should be.
    :param rounds: how often this run has had the image enhanced again, with this decision.
    :param other: the image is under way with other settings; when it is enhanced, the plan is made again.
    :param bought: the photo was bought before, in whatever settings.
    :param image_name: the image's name where it is not the photo's: it was made for other settings, or somebody has renamed it.
    :param replaces: files of an earlier style that are overwritten.
    :param changed: whether a file that is overwritten is not as it landed: somebody has retouched it.
    :param parent_id: of a premium edit, the image that it is made of.
    :param heads: what the first kilobytes of its files have shown, for its row, as JSON; empty where that is not known.
    :param doubts: what looks wrong about it.
    """

    photo: Photo
    step: Step
    image_id: str | None = None
    order_id: str | None = None
    paid: bool = False
    reason: str | None = None
    style: Style = field(default=Style(), compare=False)
    seen: Mapping[str, Any] | None = field(default=None, compare=False)
    settings: WireSettings | None = field(default=None, compare=False)
    lacking: bool = False
    rounds: int = 0
    other: bool = False
    bought: bool = False
    image_name: str | None = None
    replaces: tuple[str, ...] = ()
    changed: bool = False
    parent_id: str | None = None
    heads: str = field(default="", compare=False)
    doubts: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether there is anything to do."""
        return self.step not in (Step.SKIP, Step.KEEP, Step.HOLD, Step.OMIT)

    @property
    def creates(self) -> bool:
        """Whether an image is made."""
        return self.step in (Step.CREATE, Step.REPLACE)

    @property
    def submits(self) -> bool:
        """Whether Autoenhance gets something to do."""
        return self.creates or self.step is Step.REPROCESS

    @property
    def restyles(self) -> bool:
        """Whether an image that is enhanced, or nearly so, is enhanced again in other settings."""
        return self.other or self.lacking

    @property
    def buys_again(self) -> bool:
        """Whether an image is made of a photo that was bought before."""
        return self.creates and self.bought

    def of_one(self, file: Photo, alone: Photo) -> Decision:
        """The decision about a set that Autoenhance has yet to group, about one of its files.

        :param alone: the file as a photo of its own.
        """
        at, about = self.photo.files.index(file), f"{file.path}: "
        heads = json.dumps(json.loads(self.heads)[at : at + 1]) if self.heads else ""
        doubts = tuple(each.removeprefix(about) for each in self.doubts if each.startswith(about))
        return replace(self, photo=alone, heads=heads, doubts=doubts)

    def cost(self, job: Job) -> int:
        """Credits that the photo will cost when it gets through; at most one per exposure where Autoenhance has yet to group them."""
        if self.paid or not job.buys:
            return 0
        return len(self.photo.exposures) if self.photo.ungrouped else 1


def is_up_to_date(job: Job, row: Row | None, own: str, *, present: bool) -> bool:
    """Whether there is nothing to do about a photo.

    :param present: the output is there, as the row says.
    """
    if row is None or row.status != "landed" or row.request != job.request or not present:
        return False
    if row.watermark and not job.dev_mode:
        return False
    # Within a run, "redownload" is done once the run itself has landed the photo.
    return job.on_existing != "redownload" or row.run == own


def decide(
    photo: Photo,
    *,
    job: Job,
    row: Row | None,
    image: Image | None,
    present: bool,
    own: str,
    resumed: bool,
    merging: str | None = None,
    refused: bool = False,
    style: Style | None = None,
    gone: bool = False,
    earlier: Earlier | None = None,
) -> Decision:
    """Decide about a photo.

    :param row: what the records say of this fingerprint.
    :param image: the image of this fingerprint, where it was read.
    :param present: the output is there, as the row says.
    :param own: id of this run's record.
    :param resumed: the try goes on after a wait, so what failed in it is not tried again.
    :param merging: order in which its exposures are being merged.
    :param refused: merging is over, and no image came of its exposures.
    :param style: how its image should have been enhanced.
    :param gone: the image that the row names is gone from Autoenhance.
    :param earlier: what there is of the photo's bytes in other settings.
    """
    style = style or Style(job.settings)
    if resumed and row is not None and row.run == own and row.status in ("failed", "postponed"):
        return Decision(photo, Step.KEEP, row.image_id, row.order_id, reason=row.reason)
    if is_up_to_date(job, row, own, present=present):
        return Decision(photo, Step.SKIP)
    bought = (row is not None and bool(row.credits)) or (earlier is not None and earlier.paid)
    if earlier is not None and earlier.usable and earlier.paid and not job.preview:
        image = image if image is not None and image.downloaded else None  # it would be bought, and the other one is
    if image is not None:
        mine = row if row is not None and row.run == own and row.image_id == image.image_id else None
        again, rounds = mine is not None and mine.reprocessed, mine.rounds if mine is not None and resumed else 0
        decision = _by_image(photo, image, style, resumed, again=again, rounds=rounds)
        reason = OTHER_SETTINGS if decision.lacking else decision.reason
        return replace(decision, reason=reason)
    if row is not None and row.status == "landed" and not gone:
        paid = bool(row.credits)
        return Decision(photo, Step.DOWNLOAD, row.image_id, row.order_id, paid=paid, style=style)
    if merging:
        return Decision(photo, Step.WAIT, order_id=merging, style=style)
    if resumed and refused:
        return Decision(photo, Step.KEEP, reason=REFUSED)
    restyled = None
    if earlier is not None and earlier.image is not None and earlier.style is not None:
        restyled = _by_image(photo, earlier.image, earlier.style, resumed)
        if earlier.paid:
            return restyled
    if resumed and row is not None and row.run == own and row.status == "pending":
        # It was waited for and is not there any more. Made again in the same try, an image that goes again and again would never end.
        return Decision(photo, Step.KEEP, row.image_id, row.order_id, reason=GONE)
    if restyled is not None:
        return restyled
    return Decision(photo, Step.CREATE, style=Style(job.settings), bought=bought)


def decide_edit(
    photo: Photo, *, job: Job, row: Row | None, image: Image | None, present: bool, own: str, resumed: bool
) -> Decision:
    """Decide about a premium edit of a photo.

    :param row: what the records say of it.
    :param image: the image that the row names, where it was read.
    :param present: the output is there, as the row says.
    :param own: id of this run's record.
    :param resumed: the try goes on after a wait, so what failed in it is not tried again.
    """
    if resumed and row is not None and row.run == own and row.status in ("failed", "postponed"):
        return Decision(photo, Step.KEEP, row.image_id, row.order_id, reason=row.reason)
    parent_id = row.edit.get("parent_image_id") if row is not None and row.edit else None
    if is_up_to_date(job, row, own, present=present):
        return Decision(photo, Step.SKIP, parent_id=parent_id)
    steps = {
        ImageStatus.PROCESSED: Step.DOWNLOAD,
        ImageStatus.PROCESSING: Step.WAIT,
        ImageStatus.WAITING: Step.WAIT,  # it has no bytes of its own to wait for
    }
    if image is not None and image.status in steps:
        paid = image.downloaded
        return Decision(
            photo, steps[image.status], image.image_id, image.order_id, paid, bought=paid, parent_id=parent_id
        )
    if resumed and row is not None and row.run == own and row.status == "pending" and row.image_id:
        # Made again in the same try, an edit that fails or goes again and again would never end.
        failed = image is not None and image.status is ImageStatus.ERROR
        reason = image.status_reason if image is not None and failed else GONE
        return Decision(photo, Step.KEEP, row.image_id, row.order_id, reason=reason, parent_id=parent_id)
    return Decision(photo, Step.EDIT, reason="its original has not landed")


def restyled(decision: Decision, image: Image) -> Decision | None:
    """Decide about an image that was to be downloaded, or has been: whether somebody has had it enhanced with other settings.

    :returns: ``None``: it is as asked.
    """
    lacking = decision.style.lacks(seen_settings(image))
    if not lacking:
        return None
    found = replace(decision, image_id=image.image_id, paid=decision.paid or image.downloaded)
    if decision.rounds >= MOST_ROUNDS:
        return replace(found, step=Step.KEEP, reason=RESTYLED)
    settings = WireSettings({**lacking, **decision.style.asked})
    return replace(
        found,
        step=Step.REPROCESS,
        settings=settings,
        reason=OTHER_SETTINGS,
        seen=None,
        lacking=True,
        rounds=decision.rounds + 1,
    )


def after(decision: Decision, seen: Mapping[str, Any]) -> Decision:
    """Let another run, which waits for the image as it is, land it first."""
    return replace(decision, step=Step.WAIT, seen=seen, settings=None, lacking=False, other=True)


def _by_image(
    photo: Photo, image: Image, style: Style, resumed: bool, *, again: bool = False, rounds: int = 0
) -> Decision:
    """Decide by an image.

    :param again: this run has had it enhanced again already. What Autoenhance answered then is as near as it comes.
    :param rounds: how often, since it began to wait for it.
    """
    seen, asked = seen_settings(image), style.asked
    style = style.answered_only() if again and style.answered else style
    lacking = style.lacks(seen)
    step = {
        ImageStatus.PROCESSED: Step.REPROCESS if lacking else Step.DOWNLOAD,
        ImageStatus.PROCESSING: Step.WAIT,
        ImageStatus.WAITING: Step.WAIT if photo.exposures else Step.REPLACE,  # merged from bytes that are there
        ImageStatus.EXPIRED: Step.REPLACE,
        # An image that was bought has been enhanced before, and another one would cost again.
        ImageStatus.ERROR: Step.REPROCESS if image.downloaded or passes(image.status_reason) else Step.REPLACE,
    }[image.status]
    reason = image.status_reason
    if resumed and image.status is ImageStatus.ERROR:
        step = Step.KEEP
    elif rounds >= MOST_ROUNDS and step is Step.REPROCESS:
        step, reason = Step.KEEP, RESTYLED
    paid = image.downloaded and step is not Step.REPLACE
    decision = Decision(
        photo,
        step,
        image.image_id,
        image.order_id,
        paid,
        reason,
        style,
        seen,
        rounds=rounds,
        bought=image.downloaded,
    )
    if image.image_name and image.image_name != clean_text(photo.image_name):
        decision = replace(decision, image_name=image.image_name)
    if step is Step.REPROCESS:
        return replace(
            decision,
            settings=WireSettings({**(lacking or {}), **asked}),
            seen=None,
            lacking=image.status is ImageStatus.PROCESSED,
            rounds=rounds + 1,
        )
    return replace(decision, other=step is Step.WAIT and bool(lacking))


def sourceless(reason: str | None) -> str:
    """Why a photo failed whose source file is gone, from why its image was not to be had."""
    if reason is None or reason == GONE:
        return f"its image is not to be had from Autoenhance, and {SOURCE_GONE}"
    return reason if passes(reason) or SOURCE_GONE in reason else f"{reason}; {SOURCE_GONE}"


def passes(reason: str | None) -> bool:
    """Whether a failure's reason sounds as if the next night would not meet it."""
    return bool(_PASSING_REASON.search(reason or ""))
