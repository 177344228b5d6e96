"""The gallery's JSON: what the manifest says of each photo, as a page needs it, and which thumbnails show it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, cast

from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.pipeline.job import Run
from airflow_provider_autoenhance.pipeline.records import Row, now, write_lines
from airflow_provider_autoenhance.storage.naming import public_uri

#: Version of the format: fields may be added in it, but none may change its meaning.
VERSION = 1

_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


class Output(TypedDict, total=False):
    """A file that was made of a photo; ``name`` from the destination."""

    name: str
    bytes: int | None
    format: str | None
    width: int | None
    height: int | None


class Entry(TypedDict, total=False):
    """What the gallery says of a photo. docs/outputs.md describes each field."""

    name: str
    listing: str
    state: str
    reason: str | None
    before: str | None
    after: str | None
    settings: dict[str, Any]
    credits: int
    outputs: list[Output]
    exposures: list[str]
    image_id: str | None
    order_id: str | None
    parent: str | None
    seconds: float | None


@dataclass(frozen=True)
class Gallery:
    """A task's gallery, and where its files lie.

    :param manifest: URI of the manifest, or of what would be one.
    :param conn_id: Airflow connection of its folder.
    """

    run: Run
    manifest: str
    conn_id: str | None

    @property
    def folder(self) -> str:
        """URI of the folder of all its files."""
        return self.manifest.rpartition("/")[0] + "/"

    @property
    def uri(self) -> str:
        """Where the JSON lies."""
        return self._beside("gallery", ".json")

    @property
    def sheet(self) -> str:
        """Where the contact sheet lies."""
        return self._beside("contact-sheet", ".html")

    def uris(self) -> dict[str, str | None]:
        """Where JSON and sheet lie, as a task's result names them."""
        return {"gallery": public_uri(self.uri), "contact_sheet": public_uri(self.sheet)}

    def header(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "version": VERSION,
            "dag_id": self.run.dag_id,
            "run_id": self.run.run_id,
            "task_id": self.run.task_id,
            "map_index": self.run.map_index,
            "written_at": now(),
            "destination": public_uri(self.folder),
        }

    def write(self, header: Mapping[str, Any], photos: Callable[[], Iterable[Entry]]) -> None:
        """Write the JSON, without holding it.

        :param photos: gives the entries, the same each time.
        """
        write_lines(self.uri, self.conn_id, lambda: _blocks(header, photos()), content_type="application/json")

    def _beside(self, kind: str, ending: str) -> str:
        folder, slash, name = self.manifest.rpartition("/")
        return f"{folder}{slash}{name.replace('manifest', kind).replace('.jsonl', ending)}"


def _blocks(header: Mapping[str, Any], photos: Iterable[Entry]) -> Iterator[bytes]:
    yield _ENCODER.encode(header).encode()[:-1] + b',"photos":['
    for number, photo in enumerate(photos):
        yield (b"," if number else b"") + _ENCODER.encode(photo).encode()
    yield b"]}\n"


def entry(row: Row, *, state: str, destination: str, **about: Any) -> Entry:
    """Say of a photo what its row knows.

    :param destination: URI of the gallery's folder.
    :param about: the fields that a row does not know.
    """
    reason = row.reason or "; ".join(row.warnings) or None
    known = Entry(
        state=state,
        reason=None if reason is None else clean_text(reason),
        settings=dict(row.settings or {}),
        credits=row.credits,
        outputs=[output_entry(each, destination) for each in row.outputs],
        image_id=row.image_id,
        order_id=row.order_id,
        seconds=round(sum(row.seconds.values()), 3) if row.seconds else None,
    )
    return cast("Entry", known | about)


def output_entry(facts: Mapping[str, Any], destination: str) -> Output:
    """Say of a file what a task knows of it."""
    kind = str(facts.get("content_type") or "").partition("/")[2]
    return Output(
        name=str(facts["uri"]).removeprefix(destination),
        bytes=facts.get("size"),
        format=facts.get("format") or kind or None,
        width=facts.get("width"),
        height=facts.get("height"),
    )
