"""What a batch is asked to do."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.settings import WireSettings
from airflow_provider_autoenhance.api.shown import last_part
from airflow_provider_autoenhance.imaging.naming import safe_path
from airflow_provider_autoenhance.imaging.output import OutputSpec
from airflow_provider_autoenhance.imaging.purchase import plan_outputs
from airflow_provider_autoenhance.pipeline.sources import Sources
from airflow_provider_autoenhance.storage.base import OWN_FOLDER
from airflow_provider_autoenhance.storage.location import Location

OnExisting = Literal["skip", "redownload", "reprocess", "reenhance"]

#: What a source folder without photos is.
IfEmpty = Literal["warn", "fail"]

#: Whether photos are looked over before the first upload; see docs/preflight.md.
Preflight = Literal["off", "warn", "read", "hold"]

#: Who groups exposures into brackets; see docs/brackets.md.
Brackets = Literal["none", "auto", "exif"] | int

#: Whether the API pages an order's images is unknown, so a bigger group becomes several orders.
MAX_ORDER_SIZE = 250

#: Folder beside the outputs in which a batch remembers what it did.
RECORDS_FOLDER = OWN_FOLDER

_NAMESPACE = uuid.UUID("0f0c7a52-0a42-5a60-8a39-a5b1a9f7a0d3")


@dataclass(frozen=True)
class Run:
    """Which task works, in which DAG run: never which try, and never which map index.

    :param mapped: the task is one of several.
    :param map_index: which of them, for people, and to tell processes apart that are at work.
    """

    dag_id: str
    task_id: str
    run_id: str
    mapped: bool = False
    map_index: int = -1


def run_of(ti: Any) -> Run:
    """Return which task an instance of it is.

    :param ti: Airflow's task instance.
    """
    map_index = -1 if ti.map_index is None else int(ti.map_index)
    return Run(str(ti.dag_id), str(ti.task_id), str(ti.run_id), mapped=map_index != -1, map_index=map_index)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A batch's arguments, checked. See ``AutoenhanceEnhanceOperator`` for each.

    :param destination: folder, without a connection id.
    :param api_version: what the connection pins; empty leaves it to the account.
    :param dev_mode: the connection spends no credits, and its full-size downloads carry a watermark.
    :param listings: each source folder is planned, limited and written down for itself: see :attr:`parts`.
    :param packed: of such a part, which others share its task: a digest.
    :param edit: the premium edit that photos get, as ``restage.environment`` spells it.
    :param edited: which photos get it: paths, names, patterns, URIs, or ids of their images. It is no part of ``selection``: who picks
        others later goes on with the same orders and records.
    :param edit_template: path of an edit, from that of its original.
    """

    run: Run
    sources: Sources
    destination: str
    destination_conn_id: str | None = None
    settings: WireSettings = field(default_factory=WireSettings)
    api_version: str = ""
    dev_mode: bool = False
    outputs: tuple[OutputSpec, ...] = (OutputSpec(),)
    preview: bool = True
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    recursive: bool = True
    group_by: Literal["folder", "all"] = "folder"
    brackets: Brackets = "none"
    on_existing: OnExisting = "reprocess"
    if_empty: IfEmpty = "warn"
    preflight: Preflight = "warn"
    max_images: int | None = None
    max_credits: int | None = None
    concurrency: int = 16
    image_name_template: str = "{folder}{stem}-{fingerprint}{extension}"
    destination_template: str | None = None
    edit: str = "DUSK"
    edited: Sequence[str] = ()
    edit_template: str = "{folder}{stem}_dusk"
    durable: bool = True
    listings: bool = False
    packed: str = ""
    thumbnails: bool = True
    max_order_size: int = MAX_ORDER_SIZE

    @cached_property
    def parts(self) -> tuple[Job, ...]:
        """The jobs that are planned: itself, or one for each of its listings, which is what a task over that listing alone would do.

        So files, records, orders and manifests lie in the same places, and have the same names, whichever listings share a task.

        :raises SettingsError: two listings are not apart, or one is not a folder.
        """
        if not self.listings:
            return (self,)
        _check_apart(self.sources.locations)
        return tuple(map(self._part, self.sources.locations))

    def _part(self, location: Location) -> Job:
        return replace(
            self,
            sources=replace(self.sources, given=(location.full_uri,)),
            destination=f"{self.destination}{safe_path(location.name)}/",
            listings=False,
            packed=self.selection,
        )

    @property
    def name(self) -> str:
        """Of its only source, as people call a listing."""
        return last_part(self.sources.uris[0].rstrip("/"))

    @cached_property
    def converted(self) -> tuple[OutputSpec, ...]:
        """The outputs that are encoded here."""
        return plan_outputs(self.outputs).converted

    @property
    def buys(self) -> bool:
        """Whether the first download of an image costs a credit."""
        return not (self.preview or self.dev_mode)

    @cached_property
    def request(self) -> dict[str, Any]:
        """What is asked of a photo's outputs; what was made for another request is not up to date."""
        asked = [output.request() for output in self.outputs]
        return {"preview": self.preview, **(asked[0] if len(asked) == 1 else {"outputs": asked})}

    @cached_property
    def selection(self) -> str:
        """Digest of what selects and shapes the photos. Mapped tasks on one folder differ in it, and each has books of its own."""
        # Two stores may each have a bucket of that name.
        connections = [*(location.conn_id for location in self.sources.locations), self.destination_conn_id]
        return self._selection(connections if self.run.mapped and any(connections) else [])

    @cached_property
    def earlier_selection(self) -> str:
        """What ``selection`` was before connections were part of it."""
        return self._selection([])

    def _selection(self, connections: Sequence[str | None]) -> str:
        known = [
            self.sources.uris, list(self.sources.paths), list(self.include), list(self.exclude), self.recursive, self.group_by,
            str(self.brackets), self.settings, self.request, self.on_existing, self.image_name_template, self.destination_template,
        ]  # fmt: skip
        known += [connections] if connections else []
        return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()

    def key(self, source: str, destination: str, part: int | str = 0, *, selection: str | None = None) -> str:
        """Id that a retry derives again: of a group's record, and of its orders.

        :param selection: an earlier one; empty: the id that all mapped tasks on one folder had, before that was part of it.

        ``reenhance`` needs no salt here: its fingerprints hold the run, so no earlier image matches.
        """
        parts = [self.run.dag_id, self.run.task_id, self.run.run_id, source, destination, str(part)]
        parts += [] if selection == "" else [selection or self.selection, *filter(None, [self.packed])]
        return str(uuid.uuid5(_NAMESPACE, "\0".join(parts)))

    @property
    def origin(self) -> str:
        """DAG, task and run in words, as records name them."""
        return f"{self.run.dag_id}/{self.run.task_id} {self.run.run_id}"

    @property
    def lease_stem(self) -> str:
        """What the leases of all mapped tasks begin with that have these records: those that ask for the same, or for other edits."""
        sources = "\0".join(self.sources.uris)
        return f"{self.destination}{RECORDS_FOLDER}/{self.key(sources, self.destination, 'lease')}."

    @property
    def lease_uri(self) -> str:
        """Where a process of this task proves that it is alive, while it works. Each try has the same, and each mapped task its own."""
        return f"{self.lease_stem}{f'{self.run.map_index}.' if self.run.mapped else ''}lease"

    def fingerprint(
        self, source: str, etag: str | None, size: int, kind: Literal["single", "exposure"] = "single"
    ) -> str:
        """Digest of a file and everything that decides how it is enhanced; how it is downloaded does not matter."""
        salt = self.run.run_id if self.on_existing == "reenhance" else ""
        return fingerprint_of(source, etag, size, self.settings, kind, salt)


def _check_apart(listings: Sequence[Location]) -> None:
    """Refuse listings that would share photos or files.

    :raises SettingsError: naming both.
    """
    named: dict[str, Location] = {}
    outer: Location | None = None
    for each in sorted(listings, key=lambda listing: listing.place):
        if not each.uri.endswith("/"):
            raise SettingsError(f"listings=True takes folders, whose URIs end in a slash. {each.uri} is a file.")
        if outer is not None and each.place.startswith(outer.place):
            raise SettingsError(f"listings=True: {each.uri} lies in {outer.uri}. Leave one of them out.")
        if (other := named.setdefault(safe_path(each.name), each)) is not each:
            raise SettingsError(
                f"listings=True: {other.uri} and {each.uri} have one name. Give each a task of its own."
            )
        outer = each


def fingerprint_of(
    source: str, etag: str | None, size: int, settings: Mapping[str, Any], kind: str = "single", salt: str = ""
) -> str:
    """Digest of a file and its wire settings. A batch and a single-image task give the same file the same."""
    known = json.dumps([source, etag, size, settings, kind, salt], sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()


def merged_fingerprint(exposures: Iterable[str], *, ungrouped: bool = False) -> str:
    """Digest of a photo that exposures are merged into.

    :param exposures: their fingerprints.
    :param ungrouped: Autoenhance has yet to group them.
    """
    return hashlib.sha256("\0".join([f"merged {ungrouped}", *exposures]).encode()).hexdigest()
