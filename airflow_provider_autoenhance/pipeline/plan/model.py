"""A plan: the decisions about every photo of a batch, folder by folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from airflow_provider_autoenhance.api.errors import AutoenhanceError
from airflow_provider_autoenhance.api.models import Order
from airflow_provider_autoenhance.api.shown import counted, quoted
from airflow_provider_autoenhance.imaging.head import Head
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Folder
from airflow_provider_autoenhance.pipeline.plan.decide import OTHER_SETTINGS, Decision, Step
from airflow_provider_autoenhance.pipeline.records import Record, Row, Rows, latest_rows
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder

_GONE = "its image is gone from Autoenhance, or nobody knows what it was enhanced with before and has to be taken back"

#: Why a photo that was bought is bought again.
_WHY = {
    "reprocess": _GONE,
    "skip": f"on_existing='skip' makes another image for other settings, which 'reprocess' does not; or {_GONE}",
    "redownload": f"on_existing='redownload' makes another image for other settings, which 'reprocess' does not; or {_GONE}",
    "reenhance": "on_existing='reenhance' asks for it",
}


@dataclass(eq=False)
class FolderPlan:
    """The decisions and records of one folder.

    :param job: what is done in it: of several listings, the part that it belongs to.
    :param own: this run's record, new or read back.
    :param others: records of other runs, by id; of those of folders above and beside, too, which may be about the same photos.
    :param asked: what is known of photos of which another task has made other files since.
    :param orders: the open orders, as read.
    :param brackets: those of them that hold exposures.
    :param free: places left in this run's orders, by order id.
    :param merges: what is to be merged in which of this run's orders of exposures.
    :param lost: this run's orders that were deleted in Autoenhance; their ids cannot be taken again.
    :param warnings: about the grouping of exposures, or a damaged record; a line each.
    :param etags: those of the records under the destination that the plan was made with, by URI, and of what this process has written
        since; all folders of a plan share them.
    :param heads: first kilobytes of files that were read for their exposures, by source.
    :param doubts: why exposures may not belong together, by the source of the first of them.
    :param readonly: none of its records is written: one is damaged, and somebody has to restore it first, or there is no place for one.
    """

    job: Job
    folder: Folder
    own: Record
    others: dict[str, Record]
    decisions: list[Decision]
    orders: dict[str, Order] = field(default_factory=dict)
    brackets: list[BracketOrder] = field(default_factory=list)
    free: dict[str, int] = field(default_factory=dict)
    merges: dict[str, list[Decision]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    etags: dict[str, str | None] = field(default_factory=dict)
    asked: Mapping[str, Row] = field(default_factory=dict)
    heads: Mapping[str, Head] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)
    readonly: bool = False

    @property
    def records(self) -> list[Record]:
        """All records, this run's own last."""
        return [*self.others.values(), self.own]

    def rows(self) -> Rows:
        """What is known of each fingerprint; the latest wins, and in doubt this run's own."""
        rows = latest_rows(self.records)
        rows.update((fingerprint, row) for fingerprint, row in self.asked.items() if fingerprint not in self.own.rows)
        return rows

    def placed(self) -> Iterator[tuple[Decision, str]]:
        """Yield what is submitted one by one, each with its order: what makes an image gets a place in one of this run's orders."""
        places = (order for order, free in self.free.items() for _ in range(free))
        for decision in self.decisions:
            if decision.submits and not (decision.creates and decision.photo.exposures):
                yield decision, next(places) if decision.creates else decision.order_id or ""

    @cached_property
    def noted(self) -> frozenset[str | None]:
        """Images of whose credit a row of another run has written, in whatever settings."""
        return frozenset(row.image_id for row in self._rows_of_others() if row.noted)

    @cached_property
    def named_by_others(self) -> frozenset[str | None]:
        """Images that other runs wait for, or have landed."""
        return frozenset(row.image_id for row in self._rows_of_others())

    def _rows_of_others(self) -> Iterator[Row]:
        for record in self.others.values():
            yield from record.rows.values()

    @property
    def works(self) -> bool:
        """Whether there is anything to do."""
        return any(decision.works for decision in self.decisions)

    @property
    def files_to_upload(self) -> int:
        """How many files go up, exposures among them."""
        merged = (decision for decisions in self.merges.values() for decision in decisions)
        return sum(1 for _ in self.placed()) + sum(len(decision.photo.exposures) for decision in merged)


@dataclass
class PartPlan:
    """What is planned for itself: a whole job, or one of its listings.

    :param error: why nothing is done for this listing.
    """

    job: Job
    folders: list[FolderPlan]
    error: AutoenhanceError | None = None


@dataclass
class Plan:
    """All parts of a batch: one, or as many as there are listings."""

    parts: list[PartPlan]

    @property
    def of_listings(self) -> bool:
        """Whether each part is a listing."""
        return any(part.job.packed for part in self.parts)

    @cached_property
    def folders(self) -> list[FolderPlan]:
        """All folders, part by part."""
        return [folder for part in self.parts for folder in part.folders]

    @property
    def decisions(self) -> list[Decision]:
        """All decisions, folder by folder."""
        return [decision for folder in self.folders for decision in folder.decisions]

    @property
    def warnings(self) -> list[str]:
        """About the grouping of exposures, and photos that look wrong, a line each."""
        return [warning for folder in self.folders for warning in folder.warnings]

    def notices(self, job: Job) -> list[str]:
        """What people have to hear before it is done, a line each: photos that are bought again, other settings, overwritten files."""
        works = [decision for decision in self.decisions if decision.works]
        found = {
            f"enhanced again as asked for, which is free, because {OTHER_SETTINGS}": [
                decision for decision in works if decision.restyles and decision.reason == OTHER_SETTINGS
            ],
            "enhanced again with the settings that are asked for now, from the image that there is of it, which is free": [
                decision for decision in works if decision.restyles and decision.reason != OTHER_SETTINGS
            ],
            f"bought before and {'bought again' if job.buys else 'made again'}, because {_WHY[job.on_existing]}": [
                decision for decision in works if decision.buys_again
            ],
            "written over the file of an earlier style; for both, give each style a destination_template or a destination": [
                decision for decision in works if decision.replaces
            ],
            "written over a file that somebody has changed since it landed; move it away first if it is still wanted": [
                decision for decision in works if decision.changed
            ],
        }
        return [
            f"{counted(len(photos), 'photo')} (such as {quoted(photos[0].photo.path)}): {what}."
            for what, photos in found.items()
            if photos
        ]

    def count(self) -> Counter[Step]:
        """How many photos are at each step."""
        return Counter(decision.step for decision in self.decisions)

    def credits_ahead(self, job: Job) -> int:
        """What the decided steps will cost."""
        return sum(decision.cost(job) for decision in self.decisions if decision.works)
