"""What the API answers, as typed values. Parsing is tolerant: older and newer versions, unknown keys and unknown states pass.

Images and orders carry the whole answer in ``raw`` for what is not modelled. Upload URLs are credentials, so they never appear in a repr.
An answer that is not the contract's is a ``ValueError`` here; :func:`~airflow_provider_autoenhance.api.answers.read` says of which call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from airflow_provider_autoenhance.api.fields import UPLOAD_URL_KEYS, checked_id
from airflow_provider_autoenhance.api.quiet import quiet_logs
from airflow_provider_autoenhance.api.redact import one_line, redact_text


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


#: Characters of a ``status_reason`` that are kept: it stands in log lines, errors and records.
_MAX_REASON = 1000

#: Names of answered fields that are handed on. A task's own result is the XCom ``return_value``.
_XCOM_KEY = r"(?!return_value\Z|skipmixin)[a-zA-Z][a-zA-Z0-9_]{0,99}"

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
    :param parent_image_id: of a premium edit, the image that it was made of.
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
    parent_image_id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """Name and id, for messages."""
        return f"image {self.image_name!r} ({self.image_id})" if self.image_name else f"image {self.image_id}"

    @property
    def premium_edit(self) -> str | None:
        """Which premium edit it is, such as ``DUSK``, as far as the answer says so."""
        restage = self.raw.get("restage")
        edit = _text(restage.get("environment")) if isinstance(restage, Mapping) else None
        return edit.upper() if edit and edit.upper() != "AS_SHOT" else None

    @property
    def details(self) -> dict[str, Any]:
        """All that the API answered of it, as tasks return it: plain values under names that can be an XCom's key. What looks like a
        credential is left out, in what a DAG gave as metadata, too."""
        answered = {name: _redacted(value) for name, value in self.raw.items() if re.fullmatch(_XCOM_KEY, name)}
        return {
            **answered,
            "image_id": self.image_id,
            "image_name": self.image_name,
            "order_id": self.order_id,
            "status": self.status.value,
            "status_reason": self.status_reason,
            "downloaded": self.downloaded,
            "scene": self.scene,
            "metadata": _redacted(self.metadata),
            "date_added": self.date_added,
        }


@dataclass(frozen=True)
class CreatedImage:
    """A fresh image and where to put its bytes."""

    image: Image
    upload_url: str = field(repr=False)


@dataclass(frozen=True)
class Bracket:
    """One exposure of a bracketed shot. The API calls it a bracket."""

    bracket_id: str
    name: str
    order_id: str | None
    is_uploaded: bool = False
    image_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CreatedBracket:
    """A fresh exposure and where to put its bytes."""

    bracket: Bracket
    upload_url: str = field(repr=False)


@dataclass(frozen=True)
class Order:
    """One order. A fresh order looks finished (both flags false, no images): see :attr:`finished`.

    :param total_images: how many images it has by its own word, ``None`` where the answer does not say.
    """

    order_id: str
    name: str | None
    status: str
    is_merging: bool
    is_processing: bool
    is_deleted: bool
    images: tuple[Image, ...]
    total_images: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def originals(self) -> tuple[Image, ...]:
        """Its images without premium edits. Such an edit carries its parent's name and metadata, and is not another image of the photo."""
        return tuple(image for image in self.images if not image.parent_image_id)

    @property
    def created_at(self) -> float | None:
        """Seconds since the epoch, ``None`` where the answer does not say. Autoenhance leaves the offset out and means UTC."""
        text = self.raw.get("created_at")
        try:
            moment = datetime.fromisoformat(text) if isinstance(text, str) else None
            return None if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            return None

    @property
    def finished(self) -> bool:
        """Nothing is under way and there is at least one image, all of them final."""
        under_way = self.is_merging or self.is_processing
        return not under_way and bool(self.images) and all(image.status.final for image in self.images)


@dataclass(frozen=True)
class OrderPage:
    """One page of the account's orders. ``next_offset`` is opaque, ``None`` on the last page."""

    orders: tuple[Order, ...]
    next_offset: str | None


def _redacted(value: Any) -> Any:
    """Redact all texts in a JSON value."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {_redacted(name): _redacted(each) for name, each in value.items()}
    return [_redacted(each) for each in value] if isinstance(value, list) else value


def parse_image(body: Any) -> Image:
    """Read an image of any API version.

    :raises ValueError: when the answer has no ``image_id``.
    """
    answer = _object(body, "image", "image_id")
    return Image(
        image_id=_id(answer["image_id"]),
        image_name=_text(answer.get("image_name")) or "",
        order_id=_text(answer.get("order_id")),
        status=_image_status(answer),
        status_reason=(_text(answer.get("status_reason")) or _words(answer.get("error")) or "")[:_MAX_REASON] or None,
        downloaded=answer.get("downloaded") is True,
        scene=_text(answer.get("scene")),
        metadata=_metadata(answer),
        date_added=_count(answer.get("date_added")) or 0,
        parent_image_id=_text(answer.get("parent_image_id")),
        raw={key: value for key, value in answer.items() if key not in UPLOAD_URL_KEYS},
    )


def parse_created_image(body: Any) -> CreatedImage:
    """Read the answer to a creation: the image and its upload URL (under any of :data:`UPLOAD_URL_KEYS`)."""
    return CreatedImage(parse_image(body), _upload_url(body))


def parse_bracket(body: Any) -> Bracket:
    """Read an exposure."""
    answer = _object(body, "bracket", "bracket_id")
    return Bracket(
        bracket_id=_id(answer["bracket_id"]),
        name=_text(answer.get("name")) or "",
        order_id=_text(answer.get("order_id")),
        is_uploaded=answer.get("is_uploaded") is True,
        image_id=_text(answer.get("image_id")),
        metadata=_metadata(answer),
    )


def parse_created_bracket(body: Any) -> CreatedBracket:
    """Read the answer to an exposure's creation."""
    return CreatedBracket(parse_bracket(body), _upload_url(body))


def parse_brackets(body: Any) -> tuple[Bracket, ...]:
    """Read an order's exposures."""
    return tuple(map(parse_bracket, _list(_object(body, "list of brackets", "brackets"), "brackets")))


def parse_order(body: Any) -> Order:
    """Read an order. An image in it that lacks an id is left out."""
    answer = _object(body, "order", "order_id")
    return Order(
        order_id=_id(answer["order_id"]),
        name=_text(answer.get("name")),
        status=(_text(answer.get("status")) or "").lower(),
        is_merging=answer.get("is_merging") is True,
        is_processing=answer.get("is_processing") is True,
        is_deleted=answer.get("is_deleted") is True,
        images=tuple(parse_image(each) for each in _list(answer, "images") if _has_id(each)),
        total_images=_count(answer.get("total_images")),
        raw={key: value for key, value in answer.items() if key != "images"},
    )


def parse_order_page(body: Any) -> OrderPage:
    """Read a page of orders."""
    answer = _object(body, "page of orders", "orders")
    pagination = answer.get("pagination")
    following = pagination.get("next_offset") if isinstance(pagination, Mapping) else None
    return OrderPage(tuple(map(parse_order, _list(answer, "orders"))), one_line(_text(following) or "") or None)


def _object(body: Any, what: str, key: str) -> Mapping[str, Any]:
    if isinstance(body, Mapping) and body.get(key) is not None:
        return body
    found = f"the keys {_keys(body)}" if isinstance(body, Mapping) else type(body).__name__
    raise ValueError(f"{found} where an {what} with {key!r} was expected")


def _list(answer: Mapping[str, Any], key: str) -> list[Any]:
    value = answer.get(key)
    if value is None or isinstance(value, list):
        return value or []
    raise ValueError(f"{type(value).__name__} as {key!r} where a list was expected")


def _id(value: Any) -> str:
    text = _text(value)
    if text is None:
        raise ValueError(f"{type(value).__name__} where an id was expected")
    return checked_id(text)


def _upload_url(body: Any) -> str:
    quiet_logs()
    for key in UPLOAD_URL_KEYS:
        if isinstance(body.get(key), str) and body[key]:
            return str(body[key])
    raise ValueError(f"{body.get('image_id') or body.get('bracket_id')} but not an upload URL (keys: {_keys(body)})")


def _keys(body: Mapping[str, Any]) -> str:
    return ", ".join(sorted(body)[:40])


def _image_status(answer: Mapping[str, Any]) -> ImageStatus:
    """The flags ``enhanced`` and ``error`` may stand beside ``status``, or alone. Alone they do not say whether an image has its bytes."""
    spelled = (_text(answer.get("status")) or "").lower()
    known = _STATUS_ALIASES.get(spelled) or (ImageStatus(spelled) if spelled in set(ImageStatus) else None)
    if answer.get("error") and not (known and known.final):
        return ImageStatus.ERROR
    if known is None and answer.get("enhanced") is True:
        return ImageStatus.PROCESSED
    if known is None and not spelled and "enhanced" in answer:
        return ImageStatus.WAITING
    return known or ImageStatus.PROCESSING


def _metadata(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = answer.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _has_id(body: Any) -> bool:
    return isinstance(body, Mapping) and body.get("image_id") is not None


def _text(value: Any) -> str | None:
    """A text, or a number spelled as one; ``None`` for anything else, which no field of the contract is."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _words(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    """A whole number that is not negative and not absurd; APIs send some as floats."""
    return (
        int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 53 else None
    )
