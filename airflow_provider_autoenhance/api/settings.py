"""Enhancement settings: which preferences there are, what they take, and which API versions know them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_autoenhance.api import versions
from airflow_provider_autoenhance.api.errors import SettingsError

_SLIDER_VALUES = ("NONE", "LOW", "MEDIUM", "HIGH")


@dataclass(frozen=True)
class Preference:
    """One setting of the contract.

    :param kind: Python type of the value: ``bool``, ``int``, ``str`` or ``dict``.
    :param about: one line for forms and error messages.
    :param values: allowed values of a ``str``, spelled as on the wire; empty means free text.
    :param aliases: other spellings that the vendor's prose uses, to the wire's spelling.
    :param since: first API version that knows it.
    :param until: first API version that no longer knows it.
    :param orders: whether it may be sent when an order's exposures are processed.
    :param bounds: lowest and highest value of an ``int``.
    :param retired: values that are gone, each with the first API version that no longer takes it.
    """

    kind: type
    about: str
    values: tuple[str, ...] = ()
    aliases: Mapping[str, str] | None = None
    since: str = ""
    until: str = "9999"
    orders: bool = True
    bounds: tuple[int, int] | None = None
    retired: Mapping[str, str] = field(default_factory=dict)

    def known_to(self, version: str) -> bool:
        """Say whether this API version takes the preference."""
        return self.since <= version < self.until

    def values_for(self, version: str) -> tuple[str, ...]:
        """Return the values that this API version takes."""
        return tuple(value for value in self.values if version < self.retired.get(value, "9999"))


def _slider(about: str) -> Preference:
    return Preference(str, about, values=_SLIDER_VALUES, until=versions.NO_SLIDERS, orders=False)


#: Every preference that the contract names, in the order in which forms show them.
PREFERENCES: dict[str, Preference] = {
    "preset_id": Preference(str, "Preset made in the Autoenhance web app", since=versions.WINDOW_PULL_TYPE),
    "enhance": Preference(bool, "Enhance colours, light and contrast (on unless switched off)"),
    "enhance_type": Preference(
        str,
        "Style of the enhancement",
        values=("property", "property_usa", "warm", "neutral", "modern", "authentic"),
        retired={"authentic": versions.NO_SLIDERS},
    ),
    "ai_version": Preference(str, "AI version: latest, stable, beta, a number such as 5.3, or a family such as 5.x"),
    "sky_replacement": Preference(bool, "Replace a dull sky"),
    "cloud_type": Preference(
        str, "Clouds of the replaced sky", values=("CLEAR", "LOW_CLOUD", "HIGH_CLOUD", "LOW_CLOUD_LOW_SAT")
    ),
    "window_pull": Preference(bool, "Recover the view through windows", until=versions.WINDOW_PULL_TYPE),
    "window_pull_type": Preference(
        str,
        "Recover the view through windows",
        values=("NONE", "ONLY_WINDOWS", "WINDOWS_WITH_SKIES"),
        aliases={"WITH_SKIES": "WINDOWS_WITH_SKIES"},
        since=versions.WINDOW_PULL_TYPE,
    ),
    "vertical_correction": Preference(bool, "Straighten vertical lines (on unless switched off)"),
    "perspective_correction": Preference(bool, "Correct the perspective", since=versions.PERSPECTIVE),
    "perspective_correction_mode": Preference(
        str,
        "How perspective is weighed against lost edges",
        values=("DEFAULT_ENABLED", "PRESERVE_CONTENT", "PRIORITIZE_PERSPECTIVE"),
        since=versions.PERSPECTIVE,
    ),
    "lens_correction": Preference(bool, "Remove lens distortion (on unless switched off)"),
    "upscale": Preference(bool, "Enlarge small photos", since=versions.NO_SLIDERS),
    "privacy": Preference(bool, "Blur faces and number plates"),
    "tripod_hide": Preference(bool, "Hide the tripod in 360-degree photos", since=versions.WINDOW_PULL_TYPE),
    "restage": Preference(
        dict,
        "In-painting switches: fire_in_fireplaces, grass, photographer, tvs",
        since=versions.WINDOW_PULL_TYPE,
    ),
    "finetune_settings": Preference(
        dict, "Fine-tuning as stored by the web app", since=versions.BRACKETS, orders=False
    ),
    "threesixty": Preference(bool, "The photo is a 360-degree panorama", orders=False),
    "rating": Preference(int, "Your own rating of the photo", orders=False, bounds=(0, 5)),
    "brightness_boost": _slider("Brightness"),
    "brightness_boost_external": _slider("Brightness of outdoor photos"),
    "brightness_boost_internal": _slider("Brightness of indoor photos"),
    "contrast_boost": _slider("Contrast"),
    "contrast_boost_external": _slider("Contrast of outdoor photos"),
    "contrast_boost_internal": _slider("Contrast of indoor photos"),
    "clarity_level": _slider("Clarity"),
    "denoise_level": _slider("Noise reduction"),
    "saturation_level": _slider("Saturation"),
    "sharpen_level": _slider("Sharpening"),
}

#: Allowed values of ``restage``; other switches pass through, because the vendor adds to them.
RESTAGE_VALUES: dict[str, tuple[str, ...]] = {
    "fire_in_fireplaces": ("AS_SHOT", "ALIGHT"),
    "grass": ("AS_SHOT", "GREEN"),
    "photographer": ("AS_SHOT", "REMOVE"),
    "tvs": ("AS_SHOT", "BLACK_OUT"),
}

#: Key under which settings that this provider does not know yet pass through unchecked.
EXTRA = "extra"


class EnhancementSettings(dict[str, Any]):
    """What Autoenhance should do with a photo. Only what you set is sent, so stored presets stay as they are.

    A plain ``dict`` with the same keys is accepted wherever this class is. Being a ``dict`` itself, it may hold Jinja templates and
    travels through XCom. Names and values are checked here, and again (with the API version that the connection pins) before
    anything is sent. See :data:`PREFERENCES` for every name, its values and the API versions that know it.

    >>> EnhancementSettings(enhance_type="warm", sky_replacement=True)
    {'enhance_type': 'warm', 'sky_replacement': True}

    :param extra: settings that are newer than this provider; sent as they are.
    :raises SettingsError: on an unknown name or a value that is not allowed.
    """

    def __init__(self, *, extra: Mapping[str, Any] | None = None, **preferences: Any) -> None:
        super().__init__({name: value for name, value in preferences.items() if value is not None})
        if extra:
            self[EXTRA] = dict(extra)
        check_settings(self)


class WireSettings(dict[str, Any]):
    """Settings that were checked, spelled as the wire does. :func:`wire_settings` makes them, and lets them pass from then on.

    Whoever keeps them as JSON wraps what is read back: ``WireSettings(ticket.settings)``.
    """


def check_settings(settings: Mapping[str, Any]) -> None:
    """Check names and values as far as they do not depend on the API version; what is a template is left alone.

    :raises SettingsError: on an unknown name or a value that is not allowed.
    """
    for name, value in settings.items():
        if name != EXTRA and value is not None and not _is_template(value):
            _wire_value(name, _preference(name), value)


def wire_settings(settings: Mapping[str, Any] | str | None, *, version: str, order: bool = False) -> WireSettings:
    """Check settings against the pinned API version and spell them as the wire does.

    ``None`` values count as not set (a form leaves them so). Text such as ``"true"`` is taken for a bool, because Jinja renders text.

    :param settings: an :class:`EnhancementSettings`, a mapping, or JSON text of one; :class:`WireSettings` are returned as they are.
    :param version: API version, ``YYYY-MM-DD``.
    :param order: whether they go to an order's process call, which takes fewer.
    :raises SettingsError: names the setting, what it takes, and the version where that is the trouble.
    """
    if isinstance(settings, WireSettings):
        return settings
    given = _as_mapping(settings)
    wire: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or name == EXTRA:
            continue
        preference = _preference(name)
        _check_version(name, preference, version)
        if order and not preference.orders:
            raise SettingsError(f"Setting {name!r} cannot be given for an order's exposures; set it per image.")
        wire[name] = _wire_value(name, preference, value, version)
    extra = given.get(EXTRA) or {}
    if not isinstance(extra, Mapping):
        raise SettingsError(f"Setting 'extra' takes an object of settings to pass through, not {extra!r}.")
    return WireSettings(wire | dict(extra))


def _as_mapping(settings: Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    if isinstance(settings, str):
        try:
            settings = json.loads(settings) if settings.strip() not in ("", "None") else None
        except ValueError:
            raise SettingsError(f"settings is text that is not a JSON object: {settings!r:.80}") from None
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise SettingsError(f"settings takes an EnhancementSettings or an object, not {type(settings).__name__}.")
    return settings


def _preference(name: str) -> Preference:
    if name in PREFERENCES:
        return PREFERENCES[name]
    import difflib

    close = difflib.get_close_matches(name.removeprefix("auto_"), PREFERENCES, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise SettingsError(
        f"Unknown setting {name!r}.{hint} A setting that is newer than this provider goes under {EXTRA!r}: "
        f"{{{EXTRA!r}: {{{name!r}: ...}}}}."
    )


def _check_version(name: str, preference: Preference, version: str) -> None:
    if preference.known_to(version):
        return
    reason = f"exists since {preference.since}" if version < preference.since else f"was dropped on {preference.until}"
    other = {"window_pull": "window_pull_type", "window_pull_type": "window_pull"}.get(name)
    hint = f" Use {other!r}." if other else ""
    raise SettingsError(
        f"Setting {name!r} {reason}, but the connection pins api_version {version}.{hint or ' Leave it out, or pin another version.'}"
    )


def _wire_value(name: str, preference: Preference, value: Any, version: str = "") -> Any:
    if preference.kind is bool:
        return _wire_bool(name, value)
    if preference.kind is int:
        return _wire_int(name, preference, value)
    if preference.kind is dict:
        return _wire_object(name, value)
    return _wire_text(name, preference, value, version)


def _wire_bool(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise SettingsError(f"Setting {name!r} takes true or false, not {value!r}.")


def _wire_int(name: str, preference: Preference, value: Any) -> int:
    low, high = preference.bounds or (0, 0)
    number = int(value) if isinstance(value, str) and value.strip().isdigit() else value
    if isinstance(number, int) and not isinstance(number, bool) and low <= number <= high:
        return number
    raise SettingsError(f"Setting {name!r} takes a whole number from {low} to {high}, not {value!r}.")


def _wire_object(name: str, value: Any) -> dict[str, Any]:
    value = _as_mapping(value) if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        raise SettingsError(f"Setting {name!r} takes an object, not {value!r}.")
    if name != "restage":
        return dict(value)
    return {
        switch: _one_of(f"restage.{switch}", RESTAGE_VALUES[switch], {}, choice) if switch in RESTAGE_VALUES else choice
        for switch, choice in value.items()
    }


def _wire_text(name: str, preference: Preference, value: Any, version: str) -> str:
    if not preference.values:
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
        raise SettingsError(f"Setting {name!r} takes text, not {value!r}.")
    return _one_of(name, preference.values_for(version), preference.aliases or {}, value)


def _one_of(name: str, values: tuple[str, ...], aliases: Mapping[str, str], value: Any) -> str:
    """Match without regard to case: the vendor's prose spells in capitals what the wire spells in small letters."""
    spelled = str(value).strip().upper()
    spelled = aliases.get(spelled, spelled)
    for allowed in values:
        if allowed.upper() == spelled:
            return allowed
    raise SettingsError(f"Setting {name!r} takes one of {', '.join(values)}, not {value!r}.")


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)
