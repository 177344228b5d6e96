"""The contact sheet: one file that needs nothing else, whatever photos are called."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Any

import pytest

from airflow_provider_autoenhance.pipeline.gallery import sheet
from airflow_provider_autoenhance.pipeline.gallery.rows import Entry
from airflow_provider_autoenhance.pipeline.gallery.sheet import MAX_PICTURED, render

HOSTILE = (
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "' onmouseover='alert(1).jpg",
    "javascript:alert(1).jpg",
    "</style></article><h1>x.jpg",
    "&lt;b&gt;&amp;.jpg",
    "a\u202egpj.exe.jpg",
    "half\udcff.jpg",
    "new\nline.jpg",
)


def photo(name: str = "kitchen.jpg", **about: Any) -> Entry:
    known: dict[str, Any] = {
        "name": name,
        "listing": "",
        "state": "landed",
        "before": f"{name}-b",
        "after": f"{name}-a",
    }
    return known | about  # type: ignore[return-value]


def sheet_of(photos: Iterable[Entry], picture: bytes | None = b"webp", **header: Any) -> str:
    listed = list(photos)
    return b"".join(render(header, lambda: listed, lambda name: picture)).decode()


class Page(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [about for name, about in self.tags if name == tag]


def test_a_photo_is_shown_before_and_after() -> None:
    page = Page(
        sheet_of(
            [
                photo(
                    credits=1,
                    seconds=4.25,
                    outputs=[{"name": "kitchen.jpg", "bytes": 8_100_000, "width": 60, "height": 40}],
                )
            ]
        )
    )
    assert [each["src"] for each in page.of("img")] == ["data:image/webp;base64,d2VicA=="] * 2
    (slider,) = page.of("input")
    assert (slider["type"], slider["aria-label"]) == ("range", "Before and after: kitchen.jpg")
    for word in ("kitchen.jpg", "Enhanced", "1 credit", "4.2 s on its way", "60 \N{MULTIPLICATION SIGN} 40", "8.1 MB"):
        assert word in page.words


def test_its_policy_allows_its_own_style_and_script_and_nothing_else() -> None:
    text = sheet_of([photo()])
    page = Page(text)
    (policy,) = [
        each["content"] or "" for each in page.of("meta") if each.get("http-equiv") == "Content-Security-Policy"
    ]
    for tag in ("style", "script"):
        (held,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(held.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    attributes = {name for _, about in page.tags for name in about}
    assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert not re.findall(r"https?://", text)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_wherever_it_stands(name: str) -> None:
    honest = Page(sheet_of([photo("a", listing="b"), photo("c", listing="d")], dag_id="e"))
    hostile = photo(
        name, listing=name, state=name, reason=name, exposures=[name], parent=name, outputs=[{"name": name, "bytes": 1}]
    )
    text = sheet_of([hostile, photo("c", listing="d")], dag_id=name, run_id=name, destination=name)
    page = Page(text)
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in honest.tags} | {"p", "li", "ul"}
    assert len(page.of("script")) == len(page.of("style")) == 1
    assert len(page.of("img")) == len(honest.of("img"))
    assert name.encode(errors="replace").decode() in page.words
    assert not [each for each in page.of("a") if not re.fullmatch(r"#l\d+", each["href"] or "")]


def test_each_state_and_its_reason_is_said() -> None:
    states = ("landed", "skipped", "pending", "postponed", "held", "failed", "omitted")
    page = Page(sheet_of([photo(f"{each}.jpg", state=each, reason=f"because {each}") for each in states]))
    for said in (
        "Enhanced",
        "Up to date",
        "Still being enhanced",
        "Left for the next run",
        "Held back",
        "Not enhanced",
        "Left out",
    ):
        assert f"{said}: 1" in page.words
    assert all(f"because {each}" in page.words for each in states)


def test_a_big_batch_shows_some_pictures_and_names_all() -> None:
    photos = [photo(f"{number:04}.jpg", state="landed" if number > 900 else "skipped") for number in range(1000)]
    page = Page(sheet_of(photos))
    assert len(page.of("img")) == 2 * MAX_PICTURED
    assert page.words.count("Not all pictures are in this file") == 1
    assert all(each["name"] in page.words for each in photos)
    shown = {(each["alt"] or "").partition(",")[0] for each in page.of("img")}
    assert shown >= {f"{number:04}.jpg" for number in range(901, 1000)}, "what this run landed comes first"


def test_big_pictures_end_at_a_size_that_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MAX_PICTURE_BYTES", 100_000)
    text = sheet_of([photo(f"{number}.jpg") for number in range(50)], b"x" * 20_000)
    assert len(text) < 250_000
    assert text.count("Not all pictures are in this file") == 1


def test_a_photo_without_a_picture_is_not_said_to_be_left_out() -> None:
    assert "Not all pictures" not in sheet_of([photo(), photo("held.jpg", state="held", before=None, after=None)])


def test_listings_stand_apart_and_are_linked() -> None:
    page = Page(sheet_of([photo("a.jpg", listing="elm"), photo("b.jpg", listing="oak"), photo("c.jpg", listing="oak")]))
    assert [each["id"] for each in page.of("section")] == ["l0", "l1"]
    assert [each["href"] for each in page.of("a")] == ["#l0", "#l1"]


@pytest.mark.parametrize("read", [None, b""])
def test_without_pictures_names_and_facts_are_left(read: bytes | None) -> None:
    page = Page(sheet_of([photo()], read))
    assert page.of("img") == page.of("input") == []
    assert "kitchen.jpg" in page.words


def test_one_picture_alone_has_nothing_to_be_divided() -> None:
    page = Page(sheet_of([photo(before=None)]))
    assert len(page.of("img")) == 1
    assert page.of("input") == []


def test_no_photos_are_said_kindly() -> None:
    assert "found no photos" in Page(sheet_of([])).words
