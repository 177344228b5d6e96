"""The contact sheet: one HTML file that shows photos before and after, for e-mail, for a disk, and where Airflow has no place for a page.

It needs nothing but itself: pictures, style and script are in it, and its content security policy allows nothing else. Names of files are
others' input, and stand in it as text only.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import Any

from airflow_provider_autoenhance.api.shown import counted
from airflow_provider_autoenhance.pipeline.gallery.rows import Entry, Gallery
from airflow_provider_autoenhance.pipeline.records import Joined
from airflow_provider_autoenhance.storage import open_destination

#: Photos whose pictures are in a sheet, and bytes of these: more would fit into no e-mail. The others are named.
MAX_PICTURED = 120
MAX_PICTURE_BYTES = 6_000_000

#: Listings that a sheet lists at its top.
_MOST_LINKS = 60

#: What a state is called, in the order in which people want to know of them.
_STATES = {
    "landed": "Enhanced",
    "skipped": "Up to date",
    "pending": "Still being enhanced",
    "postponed": "Left for the next run",
    "held": "Held back",
    "failed": "Not enhanced",
    "omitted": "Left out",
}

_NOTE = (
    '<p class="note">Not all pictures are in this file, so that it stays small enough to be sent. The other photos are named, with what '
    "became of them.</p>"
)

Read = Callable[[str], bytes | None]


def write_sheet(gallery: Gallery, header: Mapping[str, Any], photos: Callable[[], Iterable[Entry]], read: Read) -> None:
    """Write the sheet beside the manifest, picture by picture.

    :param photos: gives the entries, the same each time.
    :param read: gives a thumbnail by its name; ``None`` where that cannot be read.
    """
    destination = open_destination(gallery.sheet, conn_id=gallery.conn_id)
    destination.write(Joined(render(header, photos, read)), size=None, content_type="text/html; charset=utf-8")


def render(header: Mapping[str, Any], photos: Callable[[], Iterable[Entry]], read: Read) -> Iterator[bytes]:
    """Yield the sheet, as UTF-8.

    ::

        with path.open("wb") as file:
            file.writelines(render({"destination": "s3://enhanced/elm/"}, lambda: entries, read))

    :param header: what the gallery's JSON says of itself, as far as it is known.
    :param photos: gives the entries, the same each time.
    :param read: gives a thumbnail by its name; ``None`` where that cannot be read.
    """
    return (each.encode(errors="replace") for each in _html(header, photos, read))


def _html(header: Mapping[str, Any], photos: Callable[[], Iterable[Entry]], read: Read) -> Iterator[str]:
    survey = _survey(photos())
    yield from _top(header, survey)
    left, number = MAX_PICTURE_BYTES, 0
    for listing, group in groupby(photos(), key=lambda photo: photo.get("listing") or ""):
        yield f'<section id="l{survey.listings[listing]}">'
        yield f"<h2>{escape(listing)}</h2>" if listing else ""
        yield '<div class="photos">'
        for photo in group:
            pair: dict[str, bytes] = {}
            if number in survey.pictured and left > 0:
                pair = _pair(photo, read)
                left -= sum(map(len, pair.values()))
                if left <= 0 and not survey.left_out:
                    yield _NOTE
            yield from _photo(photo, pair)
            number += 1
        yield "</div></section>"
    yield "</main><footer>Autoenhance photos in Apache Airflow. This file holds all that it shows.</footer>"
    yield f"<script>{_text('sheet.js')}</script></body></html>\n"


@dataclass(frozen=True)
class _Survey:
    """What is known before the first photo is shown.

    :param states: how many photos are in each.
    :param listings: with their numbers.
    :param pictured: numbers of the photos whose pictures are shown, what this run has landed first.
    :param left_out: of how many others there are pictures.
    """

    states: Counter[str]
    listings: Mapping[str, int]
    pictured: frozenset[int]
    left_out: int


def _survey(photos: Iterable[Entry]) -> _Survey:
    states: Counter[str] = Counter()
    listings: dict[str, int] = {}
    fresh: list[int] = []
    older: list[int] = []
    for number, photo in enumerate(photos):
        states[str(photo.get("state"))] += 1
        listings.setdefault(photo.get("listing") or "", len(listings))
        if photo.get("before") or photo.get("after"):
            (fresh if photo.get("state") == "landed" else older).append(number)
    numbers = [*fresh, *older]
    return _Survey(states, listings, frozenset(numbers[:MAX_PICTURED]), max(0, len(numbers) - MAX_PICTURED))


def _pair(photo: Entry, read: Read) -> dict[str, bytes]:
    found = {}
    for side in ("before", "after"):
        name = photo.get(side)
        data = read(str(name)) if name else None
        if data:
            found[side] = data
    return found


def _top(header: Mapping[str, Any], survey: _Survey) -> Iterator[str]:
    states, listings = survey.states, survey.listings
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest('sheet.css')}'; script-src '{_digest('sheet.js')}'; "
        "base-uri 'none'; form-action 'none'"
    )
    total = states.total()
    yield '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
    yield f"<title>Before and after: {escape(counted(total, 'photo'))}</title>"
    yield f"<style>{_text('sheet.css')}</style></head><body><header><h1>Before and after</h1>"
    about = [str(header[name]) for name in ("dag_id", "task_id", "run_id") if header.get(name)]
    about += [f"{str(header['written_at'])[:16].replace('T', ' ')} UTC"] if header.get("written_at") else []
    yield f'<p class="dim">{escape(" · ".join(about))}</p>' if about else ""
    yield f'<p class="dim">{escape(str(header["destination"]))}</p>' if header.get("destination") else ""
    known = [*(state for state in _STATES if states[state]), *sorted(states.keys() - _STATES.keys())]
    counts = "".join(f"<li>{escape(_called(state))}: {states[state]}</li>" for state in known)
    yield f'<ul class="counts">{counts}</ul>' if total else "<p>This run found no photos.</p>"
    if survey.left_out:
        yield _NOTE
    elif total and not survey.pictured:
        yield '<p class="note">There are no pictures of these photos; here is what became of each.</p>'
    if len(listings) > 1:
        links = "".join(f'<a href="#l{number}">{escape(name)}</a>' for name, number in listings.items() if name)
        yield f"<nav>{links}</nav>" if len(listings) <= _MOST_LINKS else ""
    yield "</header><main>"


def _photo(photo: Entry, pair: Mapping[str, bytes]) -> Iterator[str]:
    name, state = str(photo.get("name") or ""), str(photo.get("state"))
    yield f'<article class="{state if state in _STATES else "other"}">'
    if pair:
        yield f'<div class="pair{"" if len(pair) > 1 else " alone"}">'
        for side, data in pair.items():
            source = f"data:image/webp;base64,{base64.b64encode(data).decode()}"
            yield f'<img class="{side}" alt="{escape(name)}, {side}" src="{source}">'
        if len(pair) > 1:
            yield "<b>Before</b><b>After</b><i></i>"
            yield f'<input type="range" min="0" max="100" value="50" aria-label="Before and after: {escape(name)}">'
        else:
            yield f"<b>{'Before' if 'before' in pair else 'After'}</b>"
        yield "</div>"
    yield f'<div class="said"><h3>{escape(name)}</h3><p><span class="state">{escape(_called(state))}</span>'
    yield "".join(f" · {escape(fact)}" for fact in _facts(photo)) + "</p>"
    if reason := photo.get("reason"):
        yield f'<p class="reason">{escape(str(reason))}</p>'
    for output in photo.get("outputs") or ():
        yield f'<p class="dim">{escape(_described(output))}</p>'
    if exposures := photo.get("exposures"):
        yield f'<p class="dim">Merged from {escape(", ".join(map(str, exposures)))}</p>'
    if parent := photo.get("parent"):
        yield f'<p class="dim">Made of {escape(str(parent))}</p>'
    yield "</div></article>\n"


def _called(state: str) -> str:
    return _STATES.get(state, state)


def _facts(photo: Entry) -> Iterator[str]:
    if photo.get("credits"):
        yield counted(int(photo["credits"]), "credit")
    if photo.get("seconds"):
        yield f"{photo['seconds']:.1f} s on its way"


def _described(output: Mapping[str, Any]) -> str:
    parts = [str(output.get("name") or "").rpartition("/")[2]]
    if output.get("width") and output.get("height"):
        parts.append(f"{output['width']} \N{MULTIPLICATION SIGN} {output['height']}")
    if output.get("bytes"):
        size = int(output["bytes"])
        parts.append(f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.0f} kB")
    return " · ".join(parts)


@cache
def _text(name: str) -> str:
    return files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


def _digest(name: str) -> str:
    digest = hashlib.sha256(_text(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
