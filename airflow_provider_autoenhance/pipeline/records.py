"""What a batch remembers beside its outputs: which orders it made (written before the first image is created), and what became of
each photo.

One file per run and folder, owned by that run alone, so that two runs cannot overwrite each other's rows. Their union is what is known.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from airflow_provider_autoenhance.api.errors import DestinationError, SourceError
from airflow_provider_autoenhance.api.typed import Typed, count, number, objects, optional, plain, text, texts
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER, fingerprint_of, merged_fingerprint
from airflow_provider_autoenhance.storage import (
    EVERYWHERE,
    SourceAccess,
    StoredFile,
    list_files,
    open_destination,
    open_source,
)
from airflow_provider_autoenhance.storage.location import ALIASES, in_one_spelling, locate

log = logging.getLogger(__name__)

#: Version of the records' format: fields may be added in it, but none may change its meaning. A file that names no version has this one.
VERSION = 1

Status = Literal["pending", "landed", "failed", "postponed", "held", "omitted"]


@dataclass(slots=True)
class Row:
    """What became of one photo.

    :param status: ``pending``: being enhanced; ``landed``; ``failed``; ``postponed``: left for the next run; ``held``: over a limit of this
        run, in a manifest alone, or doubtful, or a premium edit of what is gone; ``omitted``: another file shows the same shot. ``reason``
        says why.
    :param transient: a failure that the next try may not meet.
    :param order_id: order that holds the image, or may hold it: it is read again while the photo has not landed.
    :param targets: URIs of the files to come, while it is pending.
    :param outputs: ``uri``, ``size`` (bytes), ``etag``, ``sha256`` and ``content_type`` of each file.
    :param request: what was asked of the outputs.
    :param watermark: the connection's ``dev_mode`` has put a watermark on them.
    :param credits: what the image has cost so far, 0 or 1.
    :param credit_spent: whether this run answers for it: it bought the image, or found it bought by a try that died too soon to say so.
    :param seconds: by phase: ``upload``, ``download``.
    :param exposures: ``source``, ``etag`` and ``size`` of each file that a merged photo is made from.
    :param settings: what was asked for the image; ``None`` in rows of older versions.
    :param answered: the settings that the API answered of the image when it was as asked.
    :param api_version: the version that it was answered at; ``None`` in rows of older versions.
    :param reprocessed: this run has had the image enhanced again.
    :param rounds: how often, since it began to wait for it.
    :param edit: of a premium edit: its ``environment``, the fingerprint that it is an edit ``of``, and ``parent_image_id``. Its ``size`` is
        0, so that it is never taken for what its source was enhanced to before.
    :param heads: what the first kilobytes of each of its files have shown; empty where they were not read.
    :param warnings: what looks wrong about the photo.
    :param store: which store ``source`` lies in, see :func:`~airflow_provider_autoenhance.storage.store_mark`; ``None`` where nobody knows.
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
    targets: list[str] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    request: dict[str, Any] = field(default_factory=dict)
    watermark: bool = False
    credits: int = 0
    credit_spent: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    exposures: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] | None = None
    answered: dict[str, Any] = field(default_factory=dict)
    api_version: str | None = None
    reprocessed: bool = False
    rounds: int = 0
    edit: dict[str, Any] | None = None
    heads: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    store: str | None = None
    at: str = ""

    def answered_at(self, api_version: str) -> dict[str, Any]:
        """What the API is to answer of its image at an API version. Each version names an AI, and a sky, that existed when it was made."""
        if self.api_version in (None, api_version):
            return self.answered
        return {name: value for name, value in self.answered.items() if name != "cloud_type"} | {"ai_version": None}

    @property
    def has_image(self) -> bool:
        """Whether it names an image that landed, or was bought."""
        return bool(self.image_id and (self.status == "landed" or self.credits))

    @property
    def noted(self) -> bool:
        """Whether it, or a row before it, has written of a credit that the image has cost."""
        return bool(self.credits) and (
            self.credit_spent or (self.status == "landed" and not self.request.get("preview"))
        )

    def to_line(self) -> bytes:
        """As a line of JSON."""
        return to_line({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_line(cls, line: bytes) -> Row:
        """Read back what :meth:`to_line` made in this process."""
        return cls(**json.loads(line))


def differ(store: str | None, other: str | None) -> bool:
    """Whether two files are known to lie in two stores. Rows of older versions do not say in which."""
    return None not in (store, other) and store != other


def made_of(row: Row) -> frozenset[tuple[str, str | None, int]]:
    """What a row's photo was made from, as :func:`~airflow_provider_autoenhance.pipeline.photo.bytes_of` says it of a photo."""
    files = [(str(each["source"]), each.get("etag"), each["size"]) for each in row.exposures]
    return frozenset(files or [(row.source, row.etag, row.size)])


class Rows(MutableMapping[str, Row]):
    """Rows by fingerprint. Each is kept as its line, compressed, far less than an object takes, and unpacked when it is read."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}
        #: What most of them have in common, for the compressor: the first of them, above all. It stays, whoever reads them meanwhile.
        self._common = _COMMON

    def __getitem__(self, fingerprint: str) -> Row:
        return Row.from_line(self._unpack(self._packed[fingerprint]))

    def __setitem__(self, fingerprint: str, row: Row) -> None:
        line = row.to_line()
        if self._common is _COMMON:
            self._common = _COMMON + line
        self._packed[fingerprint] = self._pack(line)

    def __delitem__(self, fingerprint: str) -> None:
        del self._packed[fingerprint]

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, fingerprint: object) -> bool:
        return fingerprint in self._packed

    def line(self, fingerprint: str) -> bytes | None:
        """A row as it is written, ``None`` where there is none."""
        packed = self._packed.get(fingerprint)
        return None if packed is None else self._unpack(packed)

    def lines(self) -> Iterator[bytes]:
        """All rows as they are written; those that there are now, whoever adds others meanwhile."""
        return map(self._unpack, list(self._packed.values()))

    def has_landed(self, fingerprint: str) -> bool:
        """Whether a photo has landed; its row is not read whole."""
        return _LANDED in (self.line(fingerprint) or b"")

    def unlanded(self) -> Iterator[Row]:
        """The rows of what has not landed; the others are not read whole."""
        return (Row.from_line(line) for line in self.lines() if _LANDED not in line)

    def credits_spent(self) -> int:
        """How many credits they answer for; no row is read whole."""
        return sum(_SPENT in line for line in self.lines())

    def merged(self) -> Iterator[Row]:
        """The rows of photos that are merged from exposures; the others are not read whole."""
        return (Row.from_line(line) for line in self.lines() if b'"exposures": []' not in line)

    def take_in(self, others: Rows) -> None:
        """Add other rows; of two about one photo the later stays, and in doubt the other."""
        if self._common is _COMMON:
            self._common = others._common
        alike = self._common == others._common
        for fingerprint, packed in others._packed.items():
            if fingerprint not in self._packed or others[fingerprint].at >= self[fingerprint].at:
                self._packed[fingerprint] = packed if alike else self._pack(others._unpack(packed))

    def _pack(self, line: bytes) -> bytes:
        packing = zlib.compressobj(wbits=_WINDOW, memLevel=_MEMORY, zdict=self._common)
        return packing.compress(line) + packing.flush()

    def _unpack(self, packed: bytes) -> bytes:
        return zlib.decompressobj(_WINDOW, zdict=self._common).decompress(packed)


def latest_rows(records: Iterable[Record]) -> Rows:
    """What is known of each fingerprint; the latest wins, and in doubt the last record's."""
    rows = Rows()
    for record in records:
        rows.take_in(record.rows)
    return rows


#: Autoenhance keeps an image for so long. After that nobody downloads it any more.
KEPT = timedelta(days=45)


@dataclass
class Record:
    """One run's file for one folder.

    :param run: id of the record, derived from DAG, task, run and group.
    :param origin: DAG, task and run in words.
    :param orders: orders that images may have been created in.
    :param submitted_at: seconds since the epoch of the last try that submitted anything; deadlines count from here, so that a retry that
        only goes on waiting does not extend them.
    :param complete: rows name every image in the orders, so these need not be read again for what may be hidden in them.
    :param chosen: fingerprints that a limited run (``max_images``, ``max_credits``) may work on.
    :param grouping: which exposures belong together, as read from them, so that unchanged ones are not read again.
    :param orphans: exposures at Autoenhance that no image came of, for the manifest.
    :param claim: while a process works on the folder, the ``lease`` that it renews, and the ``token`` in it.
    :param bought_before: images that others had bought, in the web app or by a download, before the run first looked, so that it does not
        answer for their credits. ``None``: it has not looked.
    :param folder: URI of the folder that it lies in, which it does not say itself.
    """

    run: str
    origin: str
    orders: list[str] = field(default_factory=list)
    submitted_at: float = 0.0
    complete: bool = False
    chosen: list[str] | None = None
    grouping: dict[str, Any] | None = None
    orphans: list[dict[str, Any]] = field(default_factory=list)
    claim: dict[str, str] | None = None
    bought_before: list[str] | None = None
    folder: str = field(default="", compare=False)
    rows: Rows = field(default_factory=Rows)

    @property
    def uri(self) -> str:
        """Where it lies."""
        return record_uri(self.folder, self.run)

    def answers_for(self, image_id: str | None) -> bool:
        """Whether the run answers for the credit of an image, if it is bought."""
        return image_id not in (self.bought_before or ())

    @property
    def unfinished(self) -> bool:
        """Whether a try that wrote it may have died before it was done."""
        return not self.complete and bool(self.orders or self.rows)

    def to_lines(self) -> Iterator[bytes]:
        """Header first, then a line per row."""
        yield to_line(self._header())
        yield from self.rows.lines()

    def unclaimed_lines(self) -> Iterator[bytes]:
        """What it says, whoever works on the folder."""
        yield to_line(self._header() | {"claim": None})
        yield from self.rows.lines()

    @classmethod
    def from_lines(cls, lines: Iterable[bytes]) -> Record:
        """Read it back; unknown fields are ignored.

        :raises NewerRecordError: when its format is newer than what is read here.
        :raises ValueError: when it is damaged, in words: in which line, and how.
        """
        position = 1
        lines = iter(lines)
        try:
            header = next(lines, b"")
            if (version := _STAMP.read(header).version) > VERSION:
                raise NewerRecordError(version)
            record = _HEADER.read(header)
            to_line(record._header())  # what could not be written again has not been written
            for line in lines:
                position += 1
                if not line.isspace():
                    row = _ROW.read(line)
                    if _OTHER_SPELLING.search(line):
                        row = _in_one_spelling(row)
                    record.rows[row.fingerprint] = row
        except ValueError as error:
            problem = str(error)
        else:
            return record
        raise ValueError(f"line {position}: {problem}")

    def _header(self) -> dict[str, Any]:
        own = {name: value for name, value in vars(self).items() if name not in ("rows", "folder")}
        return {"version": VERSION} | own


#: Schemes that places had before each store had one.
_OTHER_SPELLING = re.compile(rf'"(?:{"|".join(ALIASES)})://'.encode())


def _in_one_spelling(row: Row) -> Row:
    """Return a row of an older version, which wrote ``abfss://`` where ``abfs://`` stands now, as it would be written now.

    The fingerprint of a photo holds its URI, too; under the old one nothing would find that it is bought. What is not found again by it,
    such as a premium edit, is known by what it was made from.
    """

    def fingerprint(spelled: Callable[[str], str], *, ungrouped: bool) -> str:
        settings = row.settings or {}
        if not row.exposures:
            return fingerprint_of(spelled(row.source), row.etag, row.size, settings)
        files = ((spelled(each["source"]), each.get("etag"), each["size"]) for each in row.exposures)
        return merged_fingerprint((fingerprint_of(*file, settings, "exposure") for file in files), ungrouped=ungrouped)

    own = next((way for way in (False, True) if fingerprint(str, ungrouped=way) == row.fingerprint), None)
    return replace(
        row,
        source=in_one_spelling(row.source),
        fingerprint=row.fingerprint if own is None else fingerprint(in_one_spelling, ungrouped=own),
        targets=list(map(in_one_spelling, row.targets)),
        outputs=[{**each, "uri": in_one_spelling(each["uri"])} for each in row.outputs],
        exposures=[{**each, "source": in_one_spelling(each["source"])} for each in row.exposures],
    )


class NewerRecordError(Exception):
    """A record in a format that this version of the provider does not know; its only argument is the format's version."""


@dataclass
class _Stamp:
    version: int = VERSION


def _fits(grouping: dict[str, Any] | None) -> bool:
    """Whether a header's ``grouping`` is what :func:`~airflow_provider_autoenhance.pipeline.plan.exposures.group_files` remembers."""
    if grouping is None:
        return True
    groups, left_out = grouping.get("groups"), grouping.get("left_out")
    return (
        text(grouping.get("key"))
        and type(groups) is list
        and all(map(texts, groups))
        and texts(grouping.get("ungrouped"))
        and type(left_out) is list
        and all(texts(each) and len(each) == 2 for each in left_out)
        and texts(grouping.get("warnings"))
        and type(doubts := grouping.get("doubts", {})) is dict
        and all(map(text, doubts.values()))
    )


_ROW = Typed(
    Row,
    fingerprint=plain,
    run=plain,
    image_id=optional(plain),
    order_id=optional(plain),
    size=count,
    targets=texts,
    credits=frozenset({0, 1}).__contains__,
    rounds=count,
    outputs=objects(uri=text, size=count, etag=optional(text)),
    seconds=lambda value: all(map(number, value.values())),
    exposures=objects(source=text, size=count, etag=optional(text)),
    heads=objects(digest=text),
    warnings=texts,
)
_STAMP = Typed(_Stamp, version=count)
_HEADER = Typed(
    Record,
    run=plain,
    orders=lambda value: texts(value) and all(map(plain, value)),
    submitted_at=lambda value: number(value) and 0 <= value < 1e11,
    chosen=optional(texts),
    grouping=_fits,
    orphans=objects(order_id=text),
    claim=optional(lambda value: text(value.get("lease")) and text(value.get("token"))),
    bought_before=optional(texts),
)


#: One for all lines: ``json.dumps`` makes one for each.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def to_line(fields: Mapping[str, Any]) -> bytes:
    """Write a JSON object as a line."""
    # A file name that is not text has halves of surrogate pairs in it, which stand as escapes in the line.
    return _ENCODER.encode(fields).encode(errors="backslashreplace") + b"\n"


#: No header, and a window of 8 kB: a compressor's own memory is what it takes longest to make.
_WINDOW, _MEMORY = -13, 3

#: What rows have in common, for the compressor.
_COMMON = Row(
    source="s3://",
    etag="",
    size=0,
    fingerprint="",
    status="landed",
    run="",
    outputs=[{"uri": "s3://", "size": 0, "etag": "", "sha256": "", "content_type": "image/jpeg"}],
    request={"preview": False, "format": None},
    credits=1,
    credit_spent=True,
    seconds={"upload": 0.0, "download": 0.0},
    settings={},
    heads=[{"digest": "", "taken": "2026-", "place": [0, 0], "pixels": [0, 0]}],
    store="",
    api_version="2026-11-09",
    answered={
        "enhance": True,
        "enhance_type": "warm",
        "ai_version": "latest",
        "sky_replacement": False,
        "cloud_type": None,
        "window_pull_type": "NONE",
        "vertical_correction": True,
        "lens_correction": True,
        "upscale": False,
        "privacy": False,
        "restage": None,
        "finetune_settings": None,
        "preset_id": None,
    },
).to_line()


# Parts of a row's line. Within a text their quotes would have backslashes.

_LANDED = b'"status": "landed"'
_SPENT = b'"credit_spent": true'


def record_uri(folder: str, run: str) -> str:
    """Where a run's record of a folder lies."""
    return f"{folder}{RECORDS_FOLDER}/{run}.jsonl"


def folder_of(uri: str) -> str:
    """URI of the folder that a record is about."""
    return uri.rpartition(f"{RECORDS_FOLDER}/")[0]


def is_record(uri: str) -> bool:
    """Whether a listed file is a record: named by its run's id. What copying and systems leave beside them is not."""
    return re.search(rf"/{re.escape(RECORDS_FOLDER)}/[0-9a-f-]{{36}}\.jsonl\Z", uri) is not None


def read_record(uri: str, conn_id: str | None) -> Record:
    """Read a record.

    :raises DestinationError: when it is damaged, too new or cannot be read; names the file, the line and the way out.
    """
    try:
        with open_source(uri, conn_id=conn_id, access=EVERYWHERE) as source:
            record = Record.from_lines(_lines(source))
    except NewerRecordError as error:
        raise DestinationError(
            f"{uri} was written by a newer version of this provider (format {error}; this version reads up to {VERSION}). "
            "Install that version on all workers."
        ) from None
    except SourceError as error:  # not allowed, not a file, or gone since it was listed
        problem = f"cannot be read: {error}"
    except ValueError as error:
        problem = f"is damaged, {error}"
    else:
        record.folder = folder_of(uri)
        if record.uri == uri:
            return record
        problem = "is damaged, line 1: its 'run' is not the file's name"
    raise DestinationError(
        f"{uri} {problem.rstrip('.')}. Restore it. If you delete it, photos recorded only there will be enhanced and charged again."
    )


def records_in(folder: str, conn_id: str | None) -> Iterator[Record]:
    """Yield the records of batches in a folder. Where the connection may write and not list, no batch has worked there with it.

    :raises DestinationError: one cannot be read.
    """
    place = f"{folder}{RECORDS_FOLDER}/"
    location = locate(place, conn_id=conn_id, error=DestinationError)
    if location.scheme == "file" and not os.path.isdir(location.key):  # noqa: PTH112
        return
    try:
        found = [file.uri for file in list_files(place, conn_id=conn_id, access=EVERYWHERE, recursive=False)]
    except SourceError as error:
        log.debug("Records of batches cannot be listed: %s", error)
        return
    yield from (read_record(uri, location.conn_id) for uri in found if is_record(uri))


def sources_of_results(uri: str, conn_id: str | None, access: SourceAccess, store: str | None) -> Iterator[str]:
    """Yield of which files of a store a record names results, there or to come. What it says else does not matter, nor whether it is
    damaged.

    :raises SourceError: it cannot be read.
    """
    with open_source(uri, conn_id=conn_id, access=access) as source:
        for line in _lines(source):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if (
                isinstance(row, dict)
                and isinstance(row.get("source"), str)
                and (row.get("outputs") or row.get("targets"))
                and not differ(row.get("store"), store)
            ):
                yield row["source"]


def write_lines(
    uri: str, conn_id: str | None, lines: Callable[[], Iterable[bytes]], *, content_type: str = "application/x-ndjson"
) -> StoredFile:
    """Write a file, whole or not at all, without holding it.

    :param lines: gives the lines, of the same lengths each time: once to know their size, once to write them.
    """
    size = sum(map(len, lines()))
    return open_destination(uri, conn_id=conn_id).write(Joined(lines()), size=size, content_type=content_type)


class Joined:
    """Gives lines in blocks."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._rest = memoryview(b"")

    def read(self, n: int = -1, /) -> bytes:
        parts, missing = [], sys.maxsize if n < 0 else n
        while missing:
            if not self._rest:
                line = next(self._lines, None)
                if line is None:
                    break
                self._rest = memoryview(line)
            parts.append(self._rest[:missing])
            self._rest = self._rest[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut blocks into lines."""
    begun: list[bytes] = []
    for block in blocks:
        rest, *others = block.split(b"\n")
        for other in others:
            yield b"".join((*begun, rest, b"\n"))
            begun, rest = [], other
        begun.append(rest)
    if any(begun):
        yield b"".join(begun)


def now() -> str:
    """The time, as rows write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
