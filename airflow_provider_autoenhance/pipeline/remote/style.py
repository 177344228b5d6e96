"""The settings that an image has, held against those that it should have. In doubt they are the same: a difference costs an enhancement.

An answer may spell a value otherwise, leave a setting out, or fold one into another, by API version; and Autoenhance enhances with a
newer AI where it has retired the one that was asked for. None of that is a difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from airflow_provider_autoenhance.api.models import Image
from airflow_provider_autoenhance.api.settings import CLEARABLE, PREFERENCES, WireSettings

#: Settings that change nothing about the picture.
_NO_STYLE = ("rating",)

#: What the API's documentation says of settings that nobody gives. Its style and its preset are the account's own.
_DOCUMENTED: Mapping[str, Any] = {
    "enhance": True,
    "lens_correction": True,
    "vertical_correction": True,
    "sky_replacement": False,
    "privacy": False,
    "upscale": False,
    "threesixty": False,
    "tripod_hide": False,
    "window_pull": False,
    "window_pull_type": "NONE",
    "cloud_type": None,
    "restage": None,
    "finetune_settings": None,
    "ai_version": "latest",
}


_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return _NOTHING


@dataclass(frozen=True, slots=True)
class Style:
    """How an image should have been enhanced.

    >>> Style({"enhance_type": "warm"}).lacks({"enhance_type": "MODERN", "upscale": False})
    {'enhance_type': 'warm'}

    :param asked: the settings that were asked for, as the wire has them.
    :param answered: what the API answers of an image that was enhanced so, as far as that is known; settings that nobody asked for among
        them.
    """

    asked: Mapping[str, Any] = field(default_factory=_nothing)
    answered: Mapping[str, Any] = field(default_factory=_nothing)

    def lacks(self, now: Mapping[str, Any]) -> WireSettings | None:
        """Return what an image has to be enhanced with so that it looks as it should; ``None``: it does.

        :param now: its settings, from :func:`seen_settings`.
        """
        asked = _unfolded(self.asked)
        other = [name for name in asked if name in now and not self._has(name, asked[name], now[name])]
        restored = {
            name: value
            for name, value in self.answered.items()
            if name not in asked and name in now and _can_be_sent(name, value) and not _same(name, value, now[name])
        }
        if "sky_replacement" in restored and self.answered.get("cloud_type"):
            restored.setdefault("cloud_type", self.answered["cloud_type"])  # newer versions take both as one
        if restored.get("restage") == {}:
            restored["restage"] = None  # an empty object may change nothing
        return WireSettings({**restored, **self.asked}) if other or restored else None

    def answered_only(self) -> Style:
        """Leave out what was asked for and never answered, as of an API that does not tell."""
        return Style({name: value for name, value in self.asked.items() if name in self.answered}, self.answered)

    def taught(self, seen: Mapping[str, Any]) -> Style:
        """Take the first answer after the image was asked for as what Autoenhance answers of it, spelled as it may be."""
        return Style(self.asked, _shared(self.remembered(seen)))

    def is_answered_by(self, seen: Mapping[str, Any]) -> bool:
        """Whether an answer holds all settings that were asked for."""
        return _unfolded(self.asked).keys() <= seen.keys()

    def remembered(self, seen: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return what to remember of an image that is under way to this style.

        :param seen: its settings meanwhile. They count for what was asked alone: the rest may not be filled in yet.
        """
        asked = _unfolded(self.asked)
        return {**self.answered, **{name: value for name, value in (seen or {}).items() if name in asked}}

    def _has(self, name: str, asked: Any, now: Any) -> bool:
        if name not in self.answered:
            return now is None or _same(name, asked, now, sure=False)
        kept = self.answered[name]
        if name == "ai_version" and kept == asked:  # it was not mapped up, so another one is somebody's wish
            return bool(now == asked)
        return _same(name, kept, now) or (now is not None and _same(name, asked, now, sure=False))


def seen_settings(image: Image) -> Mapping[str, Any]:
    """Return an image's settings, as far as an answer holds them."""
    names = (name for name in PREFERENCES if name in image.raw and name not in _NO_STYLE)
    return _shared(_unfolded({name: image.raw[name] for name in names}))


def _shared(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give thousands of photos the one object that they mostly have in common: each has it until it has landed."""
    return _read(json.dumps(settings))


@lru_cache(maxsize=64)
def _read(settings: str) -> Mapping[str, Any]:
    return MappingProxyType(json.loads(settings))


def instead(
    asked: Mapping[str, Any],
    earlier: Iterable[Mapping[str, Any] | None],
    learned: Mapping[str, Any],
    now: Mapping[str, Any],
) -> Style | None:
    """Return the style of an image that was enhanced with other settings. What these changed beyond ``asked`` is taken back.

    :param earlier: the settings that the image was enhanced with before; ``None`` where nobody wrote them down.
    :param learned: what the account has where a setting is not given.
    :param now: the image's settings.
    :returns: ``None`` where nobody knows what has to be taken back: the account's own style, above all.
    """
    changed: set[str] = set()
    for settings in earlier:
        changed |= {"enhance_type"} if settings is None else settings.keys()
    answered = {name: learned[name] for name in now if name in learned and name not in asked}
    for name in changed - asked.keys() - answered.keys():
        if name in _NO_STYLE:
            continue
        if name not in _DOCUMENTED:
            return None
        answered[name] = _DOCUMENTED[name]
    return Style(asked, answered)


def _unfolded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``restage.sky``, which newer versions answer in the place of ``sky_replacement`` and ``cloud_type``, as these two."""
    restage = settings.get("restage")
    sky = restage.get("sky") if isinstance(restage, Mapping) else None
    if not isinstance(sky, str):
        return dict(settings)
    replaced = _plain(sky) is not None
    sky_settings = {"sky_replacement": replaced, **({"cloud_type": sky} if replaced else {})}
    return {**settings, "restage": {name: value for name, value in restage.items() if name != "sky"}, **sky_settings}  # type: ignore[union-attr]


def _can_be_sent(name: str, value: Any) -> bool:
    return name in PREFERENCES and (value is not None or name in CLEARABLE)


def _same(name: str, wanted: Any, now: Any, *, sure: bool = True) -> bool:
    """Whether two values of a setting mean the same.

    :param sure: ``wanted`` is an answer too, and not just what was asked for.
    """
    if name == "ai_version":
        return _is_as_new(now, wanted)
    if isinstance(wanted, Mapping) or isinstance(now, Mapping):
        return _same_object(wanted, now, sure=sure) if name == "restage" or sure else True
    if name not in PREFERENCES and not sure:
        return True
    aliases = PREFERENCES[name].aliases or {} if name in PREFERENCES else {}
    return bool(_plain(wanted, aliases) == _plain(now, aliases))


def _same_object(wanted: Any, now: Any, *, sure: bool) -> bool:
    wanted, now = (value if isinstance(value, Mapping) else {} for value in (wanted, now))
    names = wanted.keys() | now.keys() if sure else wanted.keys() & now.keys()
    return all(_plain(wanted.get(name)) == _plain(now.get(name)) for name in names)


def _plain(value: Any, aliases: Mapping[str, str] | None = None) -> Any:
    """A value without its spelling; ``None`` for all that means "not at all"."""
    if isinstance(value, str):
        spelled = value.strip().upper()
        value = {"TRUE": True}.get(spelled, (aliases or {}).get(spelled, spelled))
    return None if value in (None, False, "", "NONE", "FALSE", "AS_SHOT") else value


def _is_as_new(now: Any, wanted: Any) -> bool:
    """Whether an AI version may stand for another: Autoenhance maps one up, and never down. A channel may stand for any."""
    found = [re.fullmatch(r"(\d+)\.(\d+|x)", str(each)) for each in (now, wanted)]
    if found[0] is None or found[1] is None:
        return True
    major, minor, wanted_major, wanted_minor = *found[0].groups(), *found[1].groups()
    if major != wanted_major or "x" in (minor, wanted_minor):
        return int(major) >= int(wanted_major)
    return int(minor) >= int(wanted_minor)
