"""What a batch remembers beside its outputs: which orders it made (written before the first image is created), and what became of
each photo.

One file per run and group, owned by that run alone, so that two runs cannot overwrite each other's rows. Their union is what is known.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from airflow_provider_autoenhance.api.errors import DestinationError
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from airflow_provider_autoenhance.storage import EVERYWHERE, open_destination, open_source

Status = Literal["pending", "landed", "failed", "postponed", "omitted"]


@dataclass(slots=True)
class Row:
    """What became of one photo.

    :param status: ``pending``: being enhanced; ``landed``; ``failed``; ``postponed``: left for the next run; ``omitted``: another file
        shows the same shot. ``reason`` says why.
    :param transient: a failure that the next try may not meet.
    :param order_id: order that holds the image, or may hold it: it is read again while the photo has not landed.
    :param outputs: ``uri``, ``size`` (bytes), ``etag``, ``sha256`` and ``content_type`` of each file.
    :param request: what was asked of the outputs.
    :param credits: what the image has cost so far, 0 or 1.
    :param credit_spent: whether this run answers for it: it bought the image, or found it bought by a try that died too soon to say so.
    :param seconds: by phase: ``upload``, ``download``.
    :param exposures: ``source``, ``etag`` and ``size`` of each file that a merged photo is made from.
    """

    source: str
    etag: str | None
    size: int
    fingerprint: str
    status: Status
    run: str
    image_id: str | None = None
    order_id: str | None = None
    image_name: str | None = None
    reason: str | None = None
    transient: bool = False
    outputs: list[dict[str, Any]] = field(default_factory=list)
    request: dict[str, Any] = field(default_factory=dict)
    credits: int = 0
    credit_spent: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    exposures: list[dict[str, Any]] = field(default_factory=list)
    at: str = ""


@dataclass
class Record:
    """One run's file for one group.

    :param run: id of the record, derived from DAG, task, run and group.
    :param origin: DAG, task and run in words.
    :param orders: orders that images may have been created in.
    :param submitted_at: seconds since the epoch of the last try that submitted anything; deadlines count from here, so that a retry that
        only goes on waiting does not extend them.
    :param complete: rows tell of every image in the orders, so these need not be read again for what may be hidden in them.
    :param chosen: fingerprints that a limited run (``max_images``, ``max_credits``) may work on.
    :param grouping: which exposures belong together, as read from them, so that unchanged ones are not read again.
    :param orphans: exposures at Autoenhance that no image came of, for the manifest.
    """

    run: str
    origin: str
    orders: list[str] = field(default_factory=list)
    submitted_at: float = 0.0
    complete: bool = False
    chosen: list[str] | None = None
    grouping: dict[str, Any] | None = None
    orphans: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def unfinished(self) -> bool:
        """Whether a try that wrote it may have died before it was done."""
        return not self.complete and bool(self.orders or self.rows)

    def to_jsonl(self) -> bytes:
        """Header first, then a line per row."""
        header = {name: value for name, value in vars(self).items() if name != "rows"}
        return jsonl([header, *(asdict(row) for row in self.rows.values())])

    @classmethod
    def from_jsonl(cls, data: bytes) -> Record:
        """Read it back; fields of a later version are ignored."""
        header, *rows = [json.loads(line) for line in data.splitlines() if line.strip()]
        record = cls(**_known(cls, header))
        record.rows = {row["fingerprint"]: Row(**_known(Row, row)) for row in rows}
        return record


def _known(kind: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in kind.__dataclass_fields__ and name != "rows"}


def jsonl(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """One JSON object a line."""
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def record_uri(folder: str, run: str) -> str:
    """Where a run's record of a group lies."""
    return f"{folder}{RECORDS_FOLDER}/{run}.jsonl"


def is_record(uri: str) -> bool:
    """Whether a listed file is a record."""
    return f"/{RECORDS_FOLDER}/" in uri and uri.endswith(".jsonl")


def read_record(uri: str, conn_id: str | None) -> Record:
    """Read a record.

    :raises DestinationError: it is damaged.
    """
    with open_source(uri, conn_id=conn_id, local_folders=EVERYWHERE) as source:
        data = source.read()
    try:
        return Record.from_jsonl(data)
    except (ValueError, KeyError, TypeError):
        raise DestinationError(
            f"{uri} is damaged. Restore it, or delete it: photos of which it alone tells are then enhanced, and paid, again."
        ) from None


def write_bytes(uri: str, conn_id: str | None, data: bytes) -> None:
    """Write a small file, whole or not at all."""
    open_destination(uri, conn_id=conn_id).write(io.BytesIO(data), size=len(data), content_type="application/x-ndjson")


def now() -> str:
    """The time, as rows tell it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
