"""What to do about one photo, from what is known. Pure: the same knowledge gives the same decision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_autoenhance.api.models import Image, ImageStatus
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.pipeline.records import Row

#: Failures that pass by themselves, as far as the vendor's free text says: the daily limit above all.
_PASSING_REASON = re.compile(r"\b(limit|quota|try again|timed? ?out|temporar\w*)\b", re.IGNORECASE)

#: Why a photo whose exposures were merged into nothing failed.
REFUSED = "Autoenhance merged no image from these exposures"

#: Why a photo whose image was there, and is no longer, failed.
GONE = "its image is gone from Autoenhance, deleted there most likely, before it was downloaded; the next try makes it anew"


class Step(StrEnum):
    """The next step for a photo, in the order of a photo's life."""

    CREATE = "create"  # make the image and upload
    REPLACE = "replace"  # delete the useless image first
    REPROCESS = "reprocess"  # the bytes are there; enhance again
    WAIT = "wait"  # being enhanced
    DOWNLOAD = "download"  # enhanced
    SKIP = "skip"  # up to date
    KEEP = "keep"  # failed or postponed in this very try; only reported
    HOLD = "hold"  # over a limit of this run
    OMIT = "omit"  # another file shows the same shot


@dataclass(frozen=True, slots=True)
class Decision:
    """A photo's next step, and the image it is about.

    :param paid: the image's full size is bought already.
    :param reason: why, where a person would ask.
    """

    photo: Photo
    step: Step
    image_id: str | None = None
    order_id: str | None = None
    paid: bool = False
    reason: str | None = None

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

    def cost(self, job: Job) -> int:
        """Credits that the photo will cost when it gets through; at most one per exposure where Autoenhance has yet to group them."""
        if job.preview or self.paid:
            return 0
        return len(self.photo.exposures) if self.photo.ungrouped else 1


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
) -> Decision:
    """Decide about a photo.

    :param row: what the records say of this fingerprint.
    :param image: the image of this fingerprint, where its order was read.
    :param present: the output is there, as the row says.
    :param own: id of this run's record.
    :param resumed: the try goes on after a wait, so what failed in it is not tried again.
    :param merging: order in which its exposures are being merged.
    :param refused: merging is over, and no image came of its exposures.
    """
    if resumed and row is not None and row.run == own and row.status in ("failed", "postponed"):
        return Decision(photo, Step.KEEP, row.image_id, row.order_id, reason=row.reason)
    current = row is not None and row.status == "landed" and row.request == job.request and present
    # Within a run, "redownload" is done once the run itself has landed the photo.
    if current and row is not None and (job.on_existing != "redownload" or row.run == own):
        return Decision(photo, Step.SKIP)
    if image is not None:
        return _by_image(photo, image, resumed)
    if row is not None and row.status == "landed":
        return Decision(photo, Step.DOWNLOAD, row.image_id, row.order_id, paid=bool(row.credits))
    if merging:
        return Decision(photo, Step.WAIT, order_id=merging)
    if resumed and refused:
        return Decision(photo, Step.KEEP, reason=REFUSED)
    if resumed and row is not None and row.run == own and row.status == "pending":
        # It was waited for and is not there any more. Made anew in the same try, an image that goes again and again would never end.
        return Decision(photo, Step.KEEP, row.image_id, row.order_id, reason=GONE)
    return Decision(photo, Step.CREATE)


def _by_image(photo: Photo, image: Image, resumed: bool) -> Decision:
    step = {
        ImageStatus.PROCESSED: Step.DOWNLOAD,
        ImageStatus.PROCESSING: Step.WAIT,
        ImageStatus.WAITING: Step.WAIT if photo.exposures else Step.REPLACE,  # merged from bytes that are there
        ImageStatus.EXPIRED: Step.REPLACE,
        ImageStatus.ERROR: Step.REPROCESS if passes(image.status_reason) else Step.REPLACE,
    }[image.status]
    if resumed and image.status is ImageStatus.ERROR:
        step = Step.KEEP
    return Decision(photo, step, image.image_id, image.order_id, image.downloaded, image.status_reason)


def passes(reason: str | None) -> bool:
    """Whether a failure's reason sounds as if the next night would not meet it."""
    return bool(_PASSING_REASON.search(reason or ""))
