"""What there is of a folder's photos in other settings: rows, images, and the files that they became."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airflow_provider_autoenhance.api.models import Bracket, Image, ImageStatus, Order
from airflow_provider_autoenhance.pipeline.photo import Bytes, Photo, bytes_of
from airflow_provider_autoenhance.pipeline.plan.decide import Earlier
from airflow_provider_autoenhance.pipeline.records import Row, Rows, made_of
from airflow_provider_autoenhance.pipeline.remote.brackets import BracketOrder
from airflow_provider_autoenhance.pipeline.remote.identity import FINGERPRINT_KEY, mark
from airflow_provider_autoenhance.pipeline.remote.images import WITH_BYTES, rank
from airflow_provider_autoenhance.pipeline.remote.style import Style, instead, seen_settings


class Styles:
    """What a folder's records say of its photos in any settings.

    :param rows: what is known of each fingerprint; read when something is asked for.
    :param api_version: what the connection pins.
    """

    def __init__(self, rows: Rows, api_version: str) -> None:
        self._rows = rows
        self._api_version = api_version

    def earlier_rows(self, photo: Photo) -> list[Row]:
        """Rows of a photo's bytes under other fingerprints that have an image, the best to go on with first: what was bought, then what
        lies where the photo's own file will, then the latest."""
        found = self._known.by_bytes.get(bytes_of(photo), [])
        rows = [self._rows[fingerprint] for fingerprint in found if fingerprint != photo.fingerprint]
        rows.sort(key=lambda row: row.at, reverse=True)
        return sorted(rows, key=lambda row: (not row.credits, not _lies_in_the_way(row, photo)))

    def style_of(self, asked: Mapping[str, Any], image_id: str, now: Mapping[str, Any]) -> Style | None:
        """How an image that was made for other settings has to be enhanced; ``None`` where nobody knows what has to be taken back."""
        return instead(asked, self._known.asked_of.get(image_id, [None]), self._known.learned, now)

    @cached_property
    def _known(self) -> _Known:
        known = _Known()
        latest: dict[str, str] = {}
        for fingerprint, row in self._rows.items():
            if row.has_image:
                known.by_bytes[made_of(row)].append(fingerprint)
            if row.image_id:
                known.asked_of[row.image_id].append(row.settings)
            if row.status == "landed" and row.settings is not None:
                answered = row.answered_at(self._api_version)
                for name in answered.keys() - row.settings.keys():
                    if row.at >= latest.get(name, ""):
                        latest[name], known.learned[name] = row.at, answered[name]
        return known


@dataclass
class _Known:
    """What rows say.

    :param by_bytes: fingerprints with an image that landed or was bought, by what it was made from.
    :param asked_of: by image, the settings that it was enhanced with.
    :param learned: what the account has where a setting is not given, as the latest photo shows that landed without it.
    """

    by_bytes: dict[Bytes, list[str]] = field(default_factory=lambda: defaultdict(list))
    asked_of: dict[str, list[Mapping[str, Any] | None]] = field(default_factory=lambda: defaultdict(list))
    learned: dict[str, Any] = field(default_factory=dict)


def bought_images(orders: Iterable[Order], brackets: Iterable[BracketOrder]) -> Mapping[Bytes, Image]:
    """Images of open orders that are paid, by what they were made from as their metadata says; a try that died has written of none."""
    exposures: dict[str, list[Bracket]] = defaultdict(list)
    for each in brackets:
        for bracket in each.brackets:
            if bracket.image_id:
                exposures[bracket.image_id].append(bracket)
    found: dict[Bytes, Image] = {}
    for image in sorted((image for order in orders for image in order.originals if image.downloaded), key=rank):
        files: Sequence[Image | Bracket] = exposures.get(image.image_id) or [image]
        found.setdefault(frozenset(map(_file, files)), image)
    return found


def earlier(
    photo: Photo,
    asked: Mapping[str, Any],
    styles: Styles,
    images: Mapping[str, Image | None],
    bought: Mapping[Bytes, Image],
) -> Earlier | None:
    """Find what there is of a photo's bytes in other settings.

    :param images: the images of its rows, by id; ``None``: gone.
    :param bought: see :func:`bought_images`.
    """
    rows = styles.earlier_rows(photo)
    found = [images.get(str(row.image_id)) for row in rows]
    unwritten = bought.get(bytes_of(photo))
    if unwritten is not None and mark(unwritten, FINGERPRINT_KEY) != photo.fingerprint:
        found.append(unwritten)
    if not found:
        return None
    usable = [image for image in found if image is not None and _goes_on(image)]
    if not usable:
        return Earlier(None, None, any(row.credits for row in rows))
    image = min(usable, key=lambda image: not image.downloaded)
    return Earlier(image, styles.style_of(asked, image.image_id, seen_settings(image)), image.downloaded)


def _lies_in_the_way(row: Row, photo: Photo) -> bool:
    return not {output["uri"] for output in row.outputs}.isdisjoint(photo.targets)


def _goes_on(image: Image) -> bool:
    return image.status in WITH_BYTES or (image.status is ImageStatus.ERROR and image.downloaded)


def _file(made: Image | Bracket) -> tuple[str, str | None, int]:
    etag, size = made.metadata.get("etag"), made.metadata.get("size")
    return (
        str(made.metadata.get("source")),
        etag if isinstance(etag, str) else None,
        size if isinstance(size, int) else -1,
    )
