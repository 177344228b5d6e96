"""Schemas of bodies and queries. The vendor's framework checks with marshmallow too, so the messages are the same."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

from marshmallow import INCLUDE, Schema, fields
from marshmallow.validate import Length, OneOf, Range

from airflow_provider_autoenhance.sandbox.http.versions import SLIDERS, Version
from airflow_provider_autoenhance.sandbox.state.world import page_start

STYLES = ("property", "property_usa", "warm", "neutral", "modern", "authentic")
CLOUDS = ("CLEAR", "LOW_CLOUD", "HIGH_CLOUD", "LOW_CLOUD_LOW_SAT")
WINDOW_PULLS = ("NONE", "ONLY_WINDOWS", "WINDOWS_WITH_SKIES")
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


class Flag(fields.Boolean):
    """A boolean of JSON. marshmallow's own also takes ``"yes"`` and ``1``."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Whole(fields.Integer):
    """A whole number of JSON, ``3.0`` too. marshmallow's own also takes ``"3"`` and cuts 3.7."""

    def _validated(self, value: Any) -> int:
        if not isinstance(value, int) and not (isinstance(value, float) and value.is_integer()):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class PageToken(fields.String):
    """The offset of a page of orders, read as the sequence number to start below."""

    default_error_messages = {"invalid": "Not a valid offset."}  # noqa: RUF012 - as marshmallow declares it

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        try:
            return page_start(value)
        except ValueError:
            raise self.make_error("invalid") from None


def _one_of(*choices: str, nullable: bool = False) -> fields.String:
    return fields.String(validate=OneOf(choices), allow_none=nullable)


def _query_flag() -> fields.Boolean:
    return fields.Boolean(truthy={"true"}, falsy={"false"})


class Restage(Body):
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
    per_page = fields.Integer(validate=Range(1, MAX_PAGE))


class DownloadQuery(Schema):
    preview = _query_flag()
    watermark = _query_flag()
    finetune = _query_flag()
    visible_disclosure = _query_flag()
    format = _one_of(*FORMATS)
    quality = fields.Integer(validate=Range(1, 90))
    max_width = fields.Integer(validate=Range(1))
    scale = fields.Float(validate=Range(0.0, 1.0))
    dpi = fields.Integer(validate=Range(72, MAX_DPI))


_PREFERENCES: Fields = {
    "ai_version": fields.String(),
    "cloud_type": _one_of(*CLOUDS, nullable=True),
    "enhance": Flag(),
    "enhance_type": _one_of(*STYLES),
    "lens_correction": Flag(),
    "privacy": Flag(allow_none=True),
    "sky_replacement": Flag(),
    "upscale": Flag(),
    "vertical_correction": Flag(),
}
_WINDOW_PULL: Fields = {"window_pull": Flag(allow_none=True)}
_LATE_2025: Fields = {
    "window_pull_type": _one_of(*WINDOW_PULLS, nullable=True),
    "preset_id": fields.String(allow_none=True),
    "restage": fields.Nested(Restage, allow_none=True),
    "tripod_hide": Flag(allow_none=True),
}
_PERSPECTIVE: Fields = {
    "perspective_correction": Flag(),
    "perspective_correction_mode": _one_of(*PERSPECTIVES),
}
_IMAGE: Fields = {
    "image_name": fields.String(),
    "order_id": fields.String(),
    "metadata": fields.Dict(allow_none=True),
    "finetune_settings": fields.Dict(allow_none=True),
    "rating": Whole(validate=Range(0, 5)),
    "threesixty": Flag(),
}
_OLD_IMAGE: Fields = {"content_type": fields.String(), "contentType": fields.String(), "hdr": Flag()}


def preferences(version: Version) -> Fields:
    """Return the enhancement preferences of an API version.

    :param version: the API version.
    """
    known = _PREFERENCES | (_LATE_2025 if version.has_window_pull_type else _WINDOW_PULL)
    if version.has_perspective:
        known |= _PERSPECTIVE
    if version.has_sliders:
        known |= {name: _one_of(*LEVELS) for name in SLIDERS}
    return known


@lru_cache
def image_in(version: Version) -> Schema:
    """Return the body that creates an image."""
    own: Fields = {"image_name": fields.String(required=True), "image_id": fields.String()}
    return _body(preferences(version) | _IMAGE | own | ({} if version.has_brackets else _OLD_IMAGE))


@lru_cache
def image_update(version: Version) -> Schema:
    """Return the body that processes an image again."""
    return _body(preferences(version) | _IMAGE)


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
