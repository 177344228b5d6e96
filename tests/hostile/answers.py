"""Hostile answers from a seed: kinds of heads, framings, bodies and paces, put together for each method of the hooks.

>>> for answer in answers(seed=7, count=3):
...     print(answer)
7:0 create_image body=place-order_id status=no-reason
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tests.hostile import bodies, framings, heads, values
from tests.hostile.draft import Draft
from tests.hostile.heads import Kind
from tests.hostile.methods import METHODS, Method
from tests.hostile.wire import Piece, Places, Replies, Reply

#: Of answers with this many bytes, one is played at a time, so that the client's memory can be measured.
BIG = 200_000
PICTURE = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + bytes(400) + b"\xff\xd9"

_COMMON: dict[str, dict[str, Kind]] = {
    "status": heads.STATUSES,
    "header": heads.HEADERS,
    "retry-after": heads.RETRY_AFTER,
    "framing": framings.FRAMINGS,
    "encoding": framings.ENCODINGS,
    "strange": framings.STRANGE,
    "halt": framings.HALTS,
    "pace": framings.PACES,
    "text": bodies.TEXTS,
    "fault": bodies.FAULTS,
    "location": heads.LOCATIONS,
}
#: How often each dimension leads; the others follow it now and then.
_SHARES = {"shape": 8, "value": 5, "pages": 4, "redirect": 4, "upload-url": 5, "location": 2, "pace": 1, "halt": 1}
_FOLLOWS = ("status", "header", "framing", "encoding", "text", "fault")


@dataclass(frozen=True)
class Answer:
    """One hostile answer to one call.

    :param seed, index: make the same answer again.
    :param kinds: what is wrong with it, as (dimension, name).
    """

    seed: int
    index: int
    method: Method
    kinds: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.seed}:{self.index} {self.method.name} {' '.join(f'{each}={name}' for each, name in self.kinds)}"

    def replies(self, places: Places) -> Replies:
        """What each of a site's origins sends."""
        rng = random.Random(f"{self.seed}:{self.index}:reply")
        replies = self.polite(places)
        pages = dict(self.kinds).get("pages")
        mine = _paged(pages, places) if pages else [self._spoiled(rng, places)]
        if self.method.name.endswith("list_orders") and not pages and rng.random() < 0.4:
            mine = [polite(values.order_page(places, "next")), *mine]
        setattr(replies, self.method.role, mine)
        replies.circle = pages is not None
        return replies

    def polite(self, places: Places) -> Replies:
        """What each origin would send if none were hostile."""
        moved = self.method.role != "api" and self.method.downloads
        first = _moved(places) if moved else polite(self.method.document(places))
        return Replies(api=[first], upload=[_taken()], assets=[_picture()])

    def _spoiled(self, rng: random.Random, places: Places) -> Reply:
        document = self.method.document(places)
        body = PICTURE if self.method.downloads and self.method.role != "api" else values.dumped(document)
        draft = Draft(rng, places, document, body)
        if body is PICTURE:
            draft.content_type = b"image/jpeg"
        catalogue = catalogue_of(self.method)
        for dimension, name in self.kinds:
            catalogue[dimension][name](draft)
        return draft.rendered()


def answers(seed: int, count: int, methods: Collection[Method] = METHODS) -> Iterator[Answer]:
    """Yield hostile answers, each method in turn; the same seed gives the same ones.

    :param count: how many.
    :param methods: only answers to these.
    """
    every = (answer(seed, index) for index in itertools.count() if METHODS[index % len(METHODS)] in methods)
    return itertools.islice(every, count)


def answer(seed: int, index: int) -> Answer:
    """Make one answer."""
    method = METHODS[index % len(METHODS)]
    rng = random.Random(f"{seed}:{index}:kinds")
    catalogue = catalogue_of(method)
    dimensions = list(catalogue)
    (lead,) = rng.choices(dimensions, [_SHARES.get(each, 2) for each in dimensions])
    kinds = [(lead, rng.choice(list(catalogue[lead])))]
    for dimension in _FOLLOWS:
        if dimension != lead and lead not in ("strange", "pages") and rng.random() < 0.08:
            kinds.append((dimension, rng.choice(list(catalogue[dimension]))))
    kinds.sort(key=lambda kind: _ORDER.index(kind[0]))
    return Answer(seed, index, method, tuple(kinds))


#: Bodies first, then what wraps them.
_ORDER = (
    "pages", "shape", "value", "upload-url", "redirect", "text", "fault", "location", "status", "header", "retry-after", "encoding",
    "framing", "strange", "halt", "pace",
)  # fmt: skip


def catalogue_of(method: Method) -> dict[str, dict[str, Kind]]:
    """The kinds that make sense for a method's answers, by dimension."""
    sample = method.document(Places("127.0.0.1:10001", "127.0.0.1:10002", "127.0.0.1:10003"))
    found = dict(_COMMON)
    if not (method.downloads and method.role != "api"):
        found["shape"] = bodies.shapes(sample)
        found["value"] = {name: bodies.valued(sample, name) for name in values.VALUES}
        found["value"] |= {name: bodies.valued(sample, name) for name in values.secrets(_NOWHERE)}
    if method.downloads:
        found["redirect"] = bodies.REDIRECTS
    if method.uploads:
        found["upload-url"] = bodies.UPLOADS
    if method.name.endswith("list_orders"):
        found["pages"] = {name: lambda draft: None for name in values.PAGES}
    return found


_NOWHERE = Places("", "", "")


def polite(document: object) -> Reply:
    """Answer as the contract says."""
    return _said(b"200 OK", b"application/json", values.dumped(document))


def _said(status: bytes, content_type: bytes, body: bytes, more: bytes = b"") -> Reply:
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n" % (status, content_type, len(body), more)
    return Reply((Piece(head + body),), "keep")


def _taken() -> Reply:
    return _said(b"200 OK", b"application/xml", b"", b'ETag: "a"\r\n')


def _picture() -> Reply:
    return _said(b"200 OK", b"image/jpeg", PICTURE)


def _moved(places: Places) -> Reply:
    return _said(b"302 Found", b"text/html", b"<p>moved</p>", b"Location: %s\r\n" % places.signed_asset.encode())


def _paged(name: str, places: Places) -> list[Reply]:
    offsets, filled = values.PAGES[name]
    pages = [values.order_page(places, offset) | ({} if filled else {"orders": []}) for offset in offsets]
    return [polite(page) for page in pages]
