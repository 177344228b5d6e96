"""Schemas of bodies and queries. The vendor's framework checks with marshmallow too, so the messages are the same."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, TypeAlias

from marshmallow import INCLUDE, Schema, fields
from marshmallow.validate import Length, OneOf, Range

from airflow_provider_autoenhance.sandbox.http.versions import SLIDERS, Version
from airflow_provider_autoenhance.sandbox.state.world import page_start

STYLES = ("property", "property_usa", "warm", "neutral", "modern", "authentic")
CLOUDS = ("CLEAR", "LOW_CLOUD", "HIGH_CLOUD", "LOW_CLOUD_LOW_SAT")
SKIES = ("CLEAR", "LOW_CLOUD", "LOW_CLOUD_LOW_SAT", "HIGH_CLOUD", "WHISPY_CLOUD", "DUSK_CLOUD")
WINDOW_PULLS = ("NONE", "ONLY_WINDOWS", "WINDOWS_WITH_SKIES", "WITH_SKIES")
PERSPECTIVES = ("DEFAULT_ENABLED", "PRESERVE_CONTENT", "PRIORITIZE_PERSPECTIVE")
LEVELS = ("NONE", "LOW", "MEDIUM", "HIGH")
CATEGORIES = (
    "AUTO_PRIVACY",
    "COLOUR",
    "CONTRAST",
    "DOWNLOAD",
    "DYNAMIC_RANGE",
    "EXPOSURE",
    "HDR",
    "IMAGE_QUALITY",
    "ITEM_REMOVAL",
    "LENS_CORRECTION",
    "NO_COMPLAINTS",
    "NOISE",
    "OTHER",
    "PERSPECTIVE_CORRECTION",
    "PROCESSING",
    "SHARPNESS",
    "SKY_REPLACEMENT",
    "WHITE_BALANCE",
    "WINDOW_PULL",
    "PRIVACY",
)
FORMATS = ("png", "jpeg", "webp", "avif", "jxl")

MAX_EXPOSURES = 9
MAX_PAGE = 15
MAX_DPI = 65_535

Fields: TypeAlias = "dict[str, fields.Field[Any]]"


class Body(Schema):
    """An object. Its unknown fields pass, unless ``load`` is called with another ``unknown``."""

    class Meta:
        unknown = INCLUDE


class Whole(fields.Integer):
    """A whole number, as text too. marshmallow's own also cuts 3.7, and takes ``"1_000"``."""

    def _validated(self, value: Any) -> int:
        whole = value.is_integer() if isinstance(value, float) else isinstance(value, int)
        if not whole and not (isinstance(value, str) and re.fullmatch("-?[0-9]{1,4000}", value)):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class PageToken(fields.String):
    """The offset of a page of orders, read as the sequence number of the order to start behind."""

    default_error_messages = {"invalid": "Not a valid offset."}  # noqa: RUF012 - as marshmallow declares it

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        try:
            return page_start(value)
        except ValueError:
            raise self.make_error("invalid") from None


def _one_of(*choices: str, nullable: bool = False) -> fields.String:
    return fields.String(validate=OneOf(choices), allow_none=nullable)


class Restage(Body):
    environment = _one_of("AS_SHOT", "DUSK", nullable=True)
    sky = _one_of("AS_SHOT", *SKIES, nullable=True)
    fire_in_fireplaces = _one_of("AS_SHOT", "ALIGHT")
    grass = _one_of("AS_SHOT", "GREEN")
    photographer = _one_of("AS_SHOT", "REMOVE")
    tvs = _one_of("AS_SHOT", "BLACK_OUT")


class Group(Body):
    bracket_ids = fields.List(fields.String(), required=True, validate=Length(1, MAX_EXPOSURES))


class OrderIn(Body):
    name = fields.String()
    order_id = fields.String()
    default_image_sort_order = fields.String()


class BracketIn(Body):
    name = fields.String(required=True)
    order_id = fields.String(required=True)
    metadata = fields.Dict(allow_none=True)


class ReportIn(Body):
    categories = fields.List(_one_of(*CATEGORIES), required=True)
    comment = fields.String()
    score = Whole(validate=Range(0, 5))
    source = _one_of("WEBAPP", "API")


class PageQuery(Schema):
    offset = PageToken()
    per_page = Whole(validate=Range(1, MAX_PAGE))
    q = fields.String()
    sort = _one_of("name", "-name", "date", "-date")


class DownloadQuery(Schema):
    preview = fields.Boolean()
    watermark = fields.Boolean()
    finetune = fields.Boolean()
    visible_disclosure = fields.Boolean()
    format = _one_of(*FORMATS)
    quality = Whole(validate=Range(1, 90))
    max_width = Whole(validate=Range(1))
    scale = fields.Float(validate=Range(0.0, 1.0))
    dpi = Whole(validate=Range(72, MAX_DPI))


def _flag() -> fields.Boolean:
    return fields.Boolean(allow_none=True)


def _text() -> fields.String:
    return fields.String(allow_none=True)


# A null stands for a preference that is not set: SDK 1.0.0 to 1.0.4 send every slider so.
_PREFERENCES: Fields = {
    "ai_version": _text(),
    "enhance": _flag(),
    "enhance_type": _one_of(*STYLES, nullable=True),
    "lens_correction": _flag(),
    "privacy": _flag(),
    "vertical_correction": _flag(),
}
_SKY: Fields = {"sky_replacement": _flag(), "cloud_type": _one_of(*CLOUDS, nullable=True)}
_WINDOW_PULL: Fields = {"window_pull": _flag()}
_WINDOW_PULL_TYPE: Fields = {"window_pull_type": _one_of(*WINDOW_PULLS, nullable=True)}
_LATE_2025: Fields = {
    "preset_id": _text(),
    "restage": fields.Nested(Restage, allow_none=True),
    "tripod_hide": _flag(),
}
_PERSPECTIVE: Fields = {
    "perspective_correction": _flag(),
    "perspective_correction_mode": _one_of(*PERSPECTIVES, nullable=True),
}
_IMAGE: Fields = {
    "image_name": fields.String(),
    "order_id": _text(),
    "metadata": fields.Dict(allow_none=True),
    "rating": Whole(validate=Range(0, 5), allow_none=True),
    "threesixty": _flag(),
}
_OLD_IMAGE: Fields = {"hdr": _flag()}
#: Of use since later versions. The contract has each version refuse what is of another type.
_LATER: Fields = {"finetune_settings": fields.Dict(allow_none=True), "upscale": _flag()}


def preferences(version: Version) -> Fields:
    """Return the enhancement preferences of an API version.

    :param version: the API version.
    """
    known = dict(_PREFERENCES)
    if not version.has_restage_sky:
        known |= _SKY
    if version.has_window_pull:
        known |= _WINDOW_PULL
    if version.has_window_pull_type:
        known |= _WINDOW_PULL_TYPE
    if version.has_restage:
        known |= _LATE_2025
    if version.has_perspective:
        known |= _PERSPECTIVE
    if version.has_sliders:
        known |= {name: _one_of(*LEVELS, nullable=True) for name in SLIDERS}
    else:
        known["upscale"] = _flag()
    return known


def _of_image(version: Version) -> Fields:
    return _LATER | preferences(version) | _IMAGE


@lru_cache
def image_in(version: Version) -> Schema:
    """Return the body that creates an image."""
    own: Fields = {"image_name": fields.String(required=True), "image_id": _text()}
    own |= {"content_type": _text(), "contentType": _text()}
    return _body(_of_image(version) | own | ({} if version.has_brackets else _OLD_IMAGE))


@lru_cache
def image_update(version: Version) -> Schema:
    """Return the body that changes an image, or processes it again."""
    return _body(_of_image(version))


@lru_cache
def process_order(version: Version) -> Schema:
    """Return the body that processes an order's exposures."""
    own: Fields = {
        "images": fields.List(fields.Nested(Group)),
        "number_of_brackets_per_image": Whole(validate=Range(0, MAX_EXPOSURES)),
    }
    return _body(preferences(version) | own)


def _body(known: Fields) -> Schema:
    return Body.from_dict(dict(known))()


ORDER_IN = OrderIn()
BRACKET_IN = BracketIn()
REPORT_IN = ReportIn()
PAGE_QUERY = PageQuery()
DOWNLOAD_QUERY = DownloadQuery()
