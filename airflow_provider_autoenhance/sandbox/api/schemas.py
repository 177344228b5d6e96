"""Checks of request bodies and queries, with the messages that the vendor's framework gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_autoenhance.sandbox.http import versions

_INTEGER = re.compile(r"-?[0-9]{1,100}")
Check = Callable[[Any], str | None]

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


@dataclass(frozen=True)
class Field:
    check: Check
    required: bool = False
    nullable: bool = False


@dataclass(frozen=True)
class Schema:
    """The fields of one body; ``open`` ones take others, too."""

    fields: Mapping[str, Field]
    open: bool = field(default=False)

    def problems(self, body: Any, *, strict: bool) -> dict[str, Any]:
        """Return field name to messages; empty when the body is fine."""
        if not isinstance(body, dict):
            return {"_schema": ["Invalid input type."]}
        found: dict[str, Any] = {}
        for name, rule in self.fields.items():
            if name not in body:
                if rule.required:
                    found[name] = ["Missing data for required field."]
            elif body[name] is None:
                if not rule.nullable:
                    found[name] = ["Field may not be null."]
            elif message := rule.check(body[name]):
                found[name] = [message]
        if strict:
            found.update({name: ["Unknown field."] for name in body if name not in self.fields})
        return found


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "Not a valid string."


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "Not a valid boolean."


def _mapping(value: Any) -> str | None:
    return None if isinstance(value, dict) else "Not a valid mapping type."


def _one_of(choices: tuple[str, ...]) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return "Not a valid string."
        return None if value in choices else f"Must be one of: {', '.join(choices)}."

    return check


def _integer(low: int, high: int | None = None) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "Not a valid integer."
        if isinstance(value, float) and not value.is_integer():
            return "Not a valid integer."
        if value < low or (high is not None and value > high):
            upper = "" if high is None else f" and less than or equal to {high}"
            return f"Must be greater than or equal to {low}{upper}."
        return None

    return check


def _list_of(check: Check) -> Check:
    def check_list(value: Any) -> str | None:
        if not isinstance(value, list):
            return "Not a valid list."
        return next((message for item in value if (message := check(item))), None)

    return check_list


def _object(fields: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return "Not a valid mapping type."
        for name in required:
            if name not in value:
                return f"{name}: Missing data for required field."
        for name, inner in fields.items():
            if name in value and (message := inner(value[name])):
                return f"{name}: {message}"
        return None

    return check


_BASE: dict[str, Field] = {
    "ai_version": Field(_text),
    "cloud_type": Field(_one_of(CLOUDS), nullable=True),
    "enhance": Field(_flag),
    "enhance_type": Field(_one_of(STYLES)),
    "lens_correction": Field(_flag),
    "privacy": Field(_flag, nullable=True),
    "sky_replacement": Field(_flag),
    "upscale": Field(_flag),
    "vertical_correction": Field(_flag),
}
_WINDOW_PULL = {"window_pull": Field(_flag, nullable=True)}
_LATE_2025: dict[str, Field] = {
    "window_pull_type": Field(_one_of(WINDOW_PULLS), nullable=True),
    "preset_id": Field(_text, nullable=True),
    "restage": Field(
        _object(
            {
                "fire_in_fireplaces": _one_of(("AS_SHOT", "ALIGHT")),
                "grass": _one_of(("AS_SHOT", "GREEN")),
                "photographer": _one_of(("AS_SHOT", "REMOVE")),
                "tvs": _one_of(("AS_SHOT", "BLACK_OUT")),
            },
        ),
        nullable=True,
    ),
    "tripod_hide": Field(_flag, nullable=True),
}
_PERSPECTIVE: dict[str, Field] = {
    "perspective_correction": Field(_flag),
    "perspective_correction_mode": Field(_one_of(PERSPECTIVES)),
}
_IMAGE: dict[str, Field] = {
    "image_name": Field(_text),
    "order_id": Field(_text),
    "metadata": Field(_mapping, nullable=True),
    "finetune_settings": Field(_mapping, nullable=True),
    "rating": Field(_integer(0, 5)),
    "threesixty": Field(_flag),
}


def preferences(version: versions.Version) -> dict[str, Field]:
    """Return the enhancement preferences that a version knows."""
    fields = dict(_BASE)
    fields.update(_LATE_2025 if version.has_window_pull_type else _WINDOW_PULL)
    if version.has_perspective:
        fields.update(_PERSPECTIVE)
    if version.has_sliders:
        fields.update({name: Field(_one_of(LEVELS)) for name in versions.SLIDERS})
    return fields


def image_in(version: versions.Version) -> Schema:
    fields = {**preferences(version), **_IMAGE, "image_name": Field(_text, required=True), "image_id": Field(_text)}
    if not version.has_brackets:
        fields.update(content_type=Field(_text), contentType=Field(_text), hdr=Field(_flag))
    return Schema(fields)


def image_update(version: versions.Version) -> Schema:
    return Schema({**preferences(version), **_IMAGE})


def process_order(version: versions.Version) -> Schema:
    group = _object({"bracket_ids": _list_of(_text)})
    return Schema(
        {
            **preferences(version),
            "images": Field(_list_of(group)),
            "number_of_brackets_per_image": Field(_integer(0, 9)),
        },
    )


ORDER_IN = Schema({"name": Field(_text), "order_id": Field(_text), "default_image_sort_order": Field(_text)})
BRACKET_IN = Schema(
    {
        "name": Field(_text, required=True),
        "order_id": Field(_text, required=True),
        "metadata": Field(_mapping, nullable=True),
    },
)
REPORT_IN = Schema(
    {
        "categories": Field(_list_of(_one_of(CATEGORIES)), required=True),
        "comment": Field(_text),
        "score": Field(_integer(0, 5)),
        "source": Field(_one_of(("WEBAPP", "API"))),
    },
)


class Query:
    """
    Typed reading of a query string; collects every problem before it complains.

    :param values: the raw parameters.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.problems: dict[str, list[str]] = {}

    def flag(self, name: str) -> bool | None:
        text = self._values.get(name)
        if text is None:
            return None
        if text in ("true", "false"):
            return text == "true"
        self._complain(name, "Not a valid boolean.")
        return None

    def integer(self, name: str, low: int, high: int | None = None) -> int | None:
        text = self._values.get(name)
        if text is None:
            return None
        if not _INTEGER.fullmatch(text):
            self._complain(name, "Not a valid integer.")
            return None
        number = int(text)
        if message := _integer(low, high)(number):
            self._complain(name, message)
            return None
        return number

    def number(self, name: str, low: float, high: float) -> float | None:
        text = self._values.get(name)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            self._complain(name, "Not a valid number.")
            return None
        if not low <= number <= high:
            self._complain(name, f"Must be greater than or equal to {low} and less than or equal to {high}.")
            return None
        return number

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        text = self._values.get(name)
        if text is None or text in choices:
            return text
        self._complain(name, f"Must be one of: {', '.join(choices)}.")
        return None

    def _complain(self, name: str, message: str) -> None:
        self.problems[name] = [message]
