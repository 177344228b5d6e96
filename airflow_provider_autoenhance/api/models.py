"""What the API answers, as typed values. Parsing is tolerant: older and newer versions, unknown keys and unknown states pass.

Images and orders carry the whole answer in ``raw`` for what is not modelled. Upload URLs are credentials, so they never appear in a repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from airflow_provider_autoenhance.api.errors import ServerError


class ImageStatus(StrEnum):
    """Where an image stands. ``waiting``: created, no bytes yet. ``expired``: never uploaded, or no longer kept."""

    WAITING = "waiting"
    PROCESSING = "processing"
    PROCESSED = "processed"
    ERROR = "error"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """No further change comes by itself."""
        return self in (ImageStatus.PROCESSED, ImageStatus.ERROR, ImageStatus.EXPIRED)


#: Spellings that integrators have met or guessed; anything else that is unknown counts as still running.
_STATUS_ALIASES = {
    "failed": ImageStatus.ERROR,
    "completed": ImageStatus.PROCESSED,
    "enhanced": ImageStatus.PROCESSED,
    "uploading": ImageStatus.WAITING,
}


@dataclass(frozen=True)
class Image:
    """One image of the account.

    :param image_id: the API's id.
    :param order_id: the order that holds it.
    :param status_reason: the vendor's free text, mostly for failures.
    :param downloaded: already paid for; a full-size download costs nothing.
    :param metadata: what was stored at creation.
    :param date_added: milliseconds since the epoch, ``0`` where unknown.
    """

    image_id: str
    image_name: str
    order_id: str | None
    status: ImageStatus
    status_reason: str | None = None
    downloaded: bool = False
    scene: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    date_added: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """Name and id, for messages."""
        return f"image {self.image_name!r} ({self.image_id})" if self.image_name else f"image {self.image_id}"


@dataclass(frozen=True)
class CreatedImage:
    """A fresh image and where to put its bytes."""

    image: Image
    upload_url: str = field(repr=False)


@dataclass(frozen=True)
class Bracket:
    """One exposure of an HDR group."""

    bracket_id: str
    name: str
    order_id: str | None
    is_uploaded: bool = False
    image_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CreatedBracket:
    """A fresh bracket and where to put its bytes."""

    bracket: Bracket
    upload_url: str = field(repr=False)


@dataclass(frozen=True)
class Order:
    """One order. A fresh order looks finished (both flags false, no images): see :attr:`settled`."""

    order_id: str
    name: str | None
    status: str
    is_merging: bool
    is_processing: bool
    is_deleted: bool
    images: tuple[Image, ...]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def created_at(self) -> float | None:
        """Seconds since the epoch, ``None`` where the answer does not tell. Autoenhance leaves the offset out and means UTC."""
        told = self.raw.get("created_at")
        try:
            moment = datetime.fromisoformat(told) if isinstance(told, str) else None
        except ValueError:
            return None
        return None if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()

    @property
    def settled(self) -> bool:
        """Nothing is under way and there is at least one image, all of them final."""
        under_way = self.is_merging or self.is_processing
        return not under_way and bool(self.images) and all(image.status.final for image in self.images)


@dataclass(frozen=True)
class OrderPage:
    """One page of the account's orders. ``next_offset`` is opaque, ``None`` on the last page."""

    orders: tuple[Order, ...]
    next_offset: str | None


def parse_image(body: Any) -> Image:
    """Read an image of any API version.

    :raises ServerError: when the answer has no ``image_id``.
    """
    answer = _object(body, "image", "image_id")
    return Image(
        image_id=str(answer["image_id"]),
        image_name=str(answer.get("image_name") or ""),
        order_id=_text(answer.get("order_id")),
        status=_image_status(answer),
        status_reason=_text(answer.get("status_reason")) or _text(answer.get("error"), only=str),
        downloaded=answer.get("downloaded") is True,
        scene=_text(answer.get("scene")),
        metadata=_metadata(answer),
        date_added=answer["date_added"] if isinstance(answer.get("date_added"), int) else 0,
        raw={key: value for key, value in answer.items() if key not in ("upload_url", "s3PutObjectUrl")},
    )


def parse_created_image(body: Any) -> CreatedImage:
    """Read the answer to a creation: the image and its upload URL (``upload_url``, or ``s3PutObjectUrl`` for old accounts)."""
    return CreatedImage(parse_image(body), _upload_url(body))


def parse_bracket(body: Any) -> Bracket:
    """Read a bracket."""
    answer = _object(body, "bracket", "bracket_id")
    return Bracket(
        bracket_id=str(answer["bracket_id"]),
        name=str(answer.get("name") or ""),
        order_id=_text(answer.get("order_id")),
        is_uploaded=answer.get("is_uploaded") is True,
        image_id=_text(answer.get("image_id")),
        metadata=_metadata(answer),
    )


def parse_created_bracket(body: Any) -> CreatedBracket:
    """Read the answer to a bracket's creation."""
    return CreatedBracket(parse_bracket(body), _upload_url(body))


def parse_brackets(body: Any) -> tuple[Bracket, ...]:
    """Read an order's brackets."""
    return tuple(parse_bracket(each) for each in _object(body, "list of brackets", "brackets")["brackets"] or ())


def parse_order(body: Any) -> Order:
    """Read an order. An image in it that lacks an id is left out."""
    answer = _object(body, "order", "order_id")
    return Order(
        order_id=str(answer["order_id"]),
        name=_text(answer.get("name")),
        status=str(answer.get("status") or "").lower(),
        is_merging=answer.get("is_merging") is True,
        is_processing=answer.get("is_processing") is True,
        is_deleted=answer.get("is_deleted") is True,
        images=tuple(parse_image(each) for each in answer.get("images") or () if _has_id(each)),
        raw={key: value for key, value in answer.items() if key != "images"},
    )


def parse_order_page(body: Any) -> OrderPage:
    """Read a page of orders."""
    answer = _object(body, "page of orders", "orders")
    pagination = answer.get("pagination")
    following = pagination.get("next_offset") if isinstance(pagination, Mapping) else None
    return OrderPage(tuple(parse_order(each) for each in answer["orders"] or ()), _text(following))


def _object(body: Any, what: str, key: str) -> Mapping[str, Any]:
    if isinstance(body, Mapping) and key in body and body[key] is not None:
        return body
    found = f"the keys {sorted(map(str, body))}" if isinstance(body, Mapping) else f"{type(body).__name__}"
    raise ServerError(
        f"Autoenhance answered {found} where an {what} with {key!r} was expected; check the pinned api_version."
    )


def _upload_url(body: Any) -> str:
    for key in ("upload_url", "s3PutObjectUrl"):
        if isinstance(body.get(key), str) and body[key]:
            return str(body[key])
    raise ServerError(
        f"Autoenhance created {body.get('image_id') or body.get('bracket_id')} but gave no upload URL "
        f"(keys: {sorted(map(str, body))}); check the pinned api_version."
    )


def _image_status(answer: Mapping[str, Any]) -> ImageStatus:
    """Newer versions send ``status``; until mid-2024 there were the flags ``enhanced`` and ``error``."""
    spelled = str(answer.get("status") or "").lower()
    known = _STATUS_ALIASES.get(spelled) or (ImageStatus(spelled) if spelled in set(ImageStatus) else None)
    if answer.get("error") and known is not ImageStatus.PROCESSED:
        return ImageStatus.ERROR
    if known is None:
        return ImageStatus.PROCESSED if answer.get("enhanced") is True else ImageStatus.PROCESSING
    return known


def _metadata(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = answer.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _has_id(body: Any) -> bool:
    return isinstance(body, Mapping) and body.get("image_id") is not None


def _text(value: Any, only: type | None = None) -> str | None:
    return str(value) if value not in (None, "") and (only is None or isinstance(value, only)) else None
