"""Nights at random over a folder of exposures: two brackets of two, any exposure of which may come, change and go."""

from __future__ import annotations

import json
from functools import cache
from itertools import chain, groupby
from typing import Any, ClassVar

from tests.crash.nights import ENDPOINTS, Nights
from tests.support.photos import exposure

_NAMES = ("a0.jpg", "a1.jpg", "b0.jpg", "b1.jpg")


@cache
def _shot(name: str, version: int) -> bytes:
    bracket, number = "ab".index(name[0]), int(name[1])
    return exposure(20 * bracket + 0.4 * number, 2 * number - 1 + 0.1 * version, size=(16, 12))


class BracketNights(Nights):
    """What is on both sides of a bracket: exposures of which one image is made, or of which one is left and stands alone."""

    names: ClassVar[tuple[str, ...]] = _NAMES
    endpoints: ClassVar[tuple[str, ...]] = (
        *ENDPOINTS, "v3_brackets_post", "v3_orders_order_id_brackets_get", "delete_bracket", "process_order",
    )  # fmt: skip
    brackets: ClassVar[str] = "exif"
    selections: ClassVar[tuple[str, ...]] = ("all",)  # a part of a bracket is another photo

    @staticmethod
    def picture(name: str, version: int) -> bytes:
        return _shot(name, version)

    def settle(self) -> None:
        """What was bought of exposures that are gone lands; then its rest is left out."""
        self.work("night-before")

    def to_enhance(self) -> list[str]:
        """The files, but for what is left of brackets that were bought."""
        lines = chain.from_iterable(
            path.read_text().splitlines()[1:] for path in self.destination.glob(".autoenhance/*.jsonl")
        )
        latest = {row["fingerprint"]: row for row in sorted(map(json.loads, lines), key=lambda row: str(row["at"]))}
        left: set[str] = set()
        whole: set[str] = set()
        for row in latest.values():
            files = {each["source"].rpartition("/")[2]: each["etag"] for each in row["exposures"]}
            here = {name for name, etag in files.items() if name in self.photos and etag == self._etag(name)}
            if not (row["image_id"] and (row["credits"] or row["status"] == "landed")):
                continue
            if len(here) == len(files):
                whole |= here
            elif row["credits"] and self.photos.keys().isdisjoint(files.keys() - here):
                left |= here
        return sorted(self.photos.keys() - (left - whole))

    def _etag(self, name: str) -> str:
        found = (self.source / name).stat()
        return f"{found.st_mtime_ns:x}-{found.st_size:x}"

    def wanted(self) -> dict[str, bytes]:
        brackets = groupby(self.to_enhance(), key=lambda name: name[0])
        firsts = [next(iter(names)) for _, names in brackets]
        # The sandbox hands back the first exposure's bytes as the merged photo.
        return {name: _shot(name, self.photos[name]) for name in firsts}

    @staticmethod
    def print_of(image: dict[str, Any], ledger: dict[str, Any]) -> str:
        exposures = {each["bracket_id"]: each["metadata"]["exposure"] for each in ledger["brackets"]}
        of_image = sorted(exposures[each] for each in image["bracket_ids"])
        return " ".join(of_image) or Nights.print_of(image, ledger)

    @staticmethod
    def bytes_of(image: dict[str, Any], ledger: dict[str, Any]) -> str:
        files = {each["bracket_id"]: each["metadata"] for each in ledger["brackets"]}
        of_image = sorted(f"{files[each]['source']} {files[each]['etag']}" for each in image["bracket_ids"])
        return " ".join(of_image) or Nights.bytes_of(image, ledger)

    def check(self) -> dict[str, Any]:
        ledger = super().check()
        used = [bracket_id for image in ledger["images"] for bracket_id in image["bracket_ids"]]
        assert len(used) == len(set(used)), "an exposure is merged once"
        return ledger


class AutoBracketNights(BracketNights):
    """The same, but Autoenhance says what belongs together, of what there is; what comes later stands apart from what landed."""

    brackets: ClassVar[str] = "auto"

    def wanted(self) -> dict[str, bytes]:
        rows = self.manifest("landed") if self.photos else []
        told = [[each["source"].rpartition("/")[2] for each in row["exposures"]] for row in rows]
        # A night with nothing to do leaves the manifest as it is, with photos of which nothing is left.
        wanted = self.to_enhance()
        brackets = [names for names in told if not set(wanted).isdisjoint(names)]
        assert sorted(chain(*brackets)) == wanted, "each exposure belongs to one photo"
        return {name: _shot(name, self.photos[name]) for name, *_ in brackets}
