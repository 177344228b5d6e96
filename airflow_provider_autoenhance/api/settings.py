"""Enhancement settings: which preferences there are, what they take, and which API versions know them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_autoenhance.api import versions
from airflow_provider_autoenhance.api.errors import SettingsError

log = logging.getLogger(__name__)

_CLOUDS = ("CLEAR", "LOW_CLOUD", "HIGH_CLOUD", "LOW_CLOUD_LOW_SAT")
#: Skies that ``restage.sky`` alone can say.
_NEW_SKIES = ("WHISPY_CLOUD", "DUSK_CLOUD")
#: The sky of ``sky_replacement`` without ``cloud_type``, where it has to have a name.
_PLAIN_SKY = "CLEAR"
_SLIDER_VALUES = ("NONE", "LOW", "MEDIUM", "HIGH")


#: Presets that every account has, by name.
SHARED_PRESETS = {
    "WARM": "c1824178-a113-43f3-a9b5-15caa91d93df",
    "VIVID": "d8a5ecac-202e-4d1f-8ed4-39669d4f81cb",
    "NATURAL": "b02886eb-a8e8-4ffc-bcd4-e9c901dddb52",
}


@dataclass(frozen=True)
class Preference:
    """One setting of the contract.

    :param kind: Python type of the value: ``bool``, ``int``, ``str`` or ``dict``.
    :param about: one line for forms and error messages.
    :param values: allowed values of a ``str``, spelled as on the wire; empty means free text.
    :param aliases: other spellings that the vendor's prose uses, in capitals, to the wire's spelling; names for what is free text.
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
        return not version or self.since <= version < self.until

    def values_for(self, version: str) -> tuple[str, ...]:
        """Return the values that this API version takes."""
        return tuple(value for value in self.values if version < self.retired.get(value, "9999"))


def _slider(about: str) -> Preference:
    return Preference(str, about, values=_SLIDER_VALUES, until=versions.NO_SLIDERS, orders=False)


#: Every preference that the contract names, in the order in which forms show them.
PREFERENCES: dict[str, Preference] = {
    "preset_id": Preference(
        str,
        "Preset made in the Autoenhance web app, or one that all accounts have",
        aliases=SHARED_PRESETS,
        since=versions.WINDOW_PULL_TYPE,
    ),
    "enhance": Preference(bool, "Enhance colours, light and contrast (on unless switched off)"),
    "enhance_type": Preference(
        str,
        "Style of the enhancement",
        values=("property", "property_usa", "warm", "neutral", "modern", "authentic"),
        retired={"authentic": versions.NO_SLIDERS},
    ),
    "ai_version": Preference(str, "AI version: latest, stable, beta, a number such as 5.3, or a family such as 5.x"),
    "sky_replacement": Preference(bool, "Replace a dull sky"),
    "cloud_type": Preference(str, "Clouds of the replaced sky", values=_CLOUDS),
    "window_pull": Preference(bool, "Recover the view through windows", until=versions.WINDOW_PULL_TYPE),
    "window_pull_type": Preference(
        str,
        "Recover the view through windows",
        values=("NONE", "ONLY_WINDOWS", "WINDOWS_WITH_SKIES"),
        aliases={"WITH_SKIES": "WINDOWS_WITH_SKIES"},
        since=versions.BRACKETS,
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
        "In-painting switches: fire_in_fireplaces, grass, photographer, sky, tvs",
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

#: What the oldest pages name beside the preferences; sent as they are.
OLDEST: dict[str, Preference] = {
    "content_type": Preference(str, "MIME type of the upload", until=versions.BRACKETS, orders=False),
    "hdr": Preference(bool, "The photo is one exposure of a bracketed shot", until=versions.BRACKETS, orders=False),
    "is_threesixty": Preference(bool, "The photo is a 360-degree panorama", until=versions.NO_SLIDERS, orders=False),
}

#: Allowed values of ``restage``; other switches pass through, because the vendor adds to them.
RESTAGE_VALUES: dict[str, tuple[str, ...]] = {
    "fire_in_fireplaces": ("AS_SHOT", "ALIGHT"),
    "grass": ("AS_SHOT", "GREEN"),
    "photographer": ("AS_SHOT", "REMOVE"),
    "sky": ("AS_SHOT", *_CLOUDS, *_NEW_SKIES),
    "tvs": ("AS_SHOT", "BLACK_OUT"),
}

#: Premium edits, as ``restage`` spells them: of an image that has finished processing, each makes another one.
PREMIUM_EDITS: dict[str, tuple[str, ...]] = {"environment": ("AS_SHOT", "DUSK")}

#: Key under which settings that this provider does not know yet pass through unchecked.
EXTRA = "extra"

#: Key that names settings to clear: they are sent as null.
CLEAR = "clear"

#: Settings that a null clears.
CLEARABLE = ("privacy", "cloud_type", "restage", "finetune_settings")


class EnhancementSettings(dict[str, Any]):
    """What Autoenhance should do with a photo. Only what you set is sent, so stored presets stay as they are.

    A plain ``dict`` with the same keys is accepted wherever this class is. Being a ``dict`` itself, it may hold Jinja templates and
    travels through XCom. Names and values are checked here, and again (with the API version that the connection pins) before
    anything is sent. See :data:`PREFERENCES` for every name, its values and the API versions that know it.

    >>> EnhancementSettings(enhance_type="warm", sky_replacement=True)
    {'enhance_type': 'warm', 'sky_replacement': True}

    :param clear: settings to clear on an image that has them: any of :data:`CLEARABLE`.
    :param extra: settings that are newer than this provider; sent as they are.
    :raises SettingsError: on an unknown name or a value that is not allowed.
    """

    def __init__(
        self, *, clear: Sequence[str] | None = None, extra: Mapping[str, Any] | None = None, **preferences: Any
    ) -> None:
        super().__init__({name: value for name, value in preferences.items() if value is not None})
        if clear:
            self[CLEAR] = clear
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
        if name == CLEAR:
            _cleared(value)
        elif name != EXTRA and value is not None and not _is_template(value):
            _wire_value(name, _preference(name), value)


def wire_settings(
    settings: Mapping[str, Any] | str | None, *, version: str, order: bool = False, premium: bool = False
) -> WireSettings:
    """Check settings against the pinned API version and spell them as the wire does.

    ``None`` values count as not set (a form leaves them so). Text such as ``"true"`` is taken for a bool, because Jinja renders text.
    A sky is spelled with ``sky_replacement`` and ``cloud_type``, as far as these can say it, at every version: so the same wish has the
    same settings, and the same fingerprint. :func:`for_version` spells it as a version does.

    :param settings: an :class:`EnhancementSettings`, a mapping, or JSON text of one; :class:`WireSettings` are returned as they are.
    :param version: API version, ``YYYY-MM-DD``.
    :param order: whether they go to an order's process call, which takes fewer.
    :param premium: whether they may ask for a premium edit.
    :raises SettingsError: names the setting, what it takes, and the version where that is the trouble.
    """
    if isinstance(settings, WireSettings):
        return settings
    given = _as_mapping(settings)
    wire: dict[str, Any] = dict.fromkeys(_cleared(given.get(CLEAR)))
    for name, value in given.items():
        if value is None or name in (EXTRA, CLEAR):
            continue
        wire[name] = _wire_value(name, _preference(name), value, version)
    if (edit := premium_edit(wire)) and not premium:
        raise SettingsError(
            f"Setting 'restage.environment' {edit!r} is a premium edit: it makes another image of one that is enhanced already. Leave it "
            "out here, and have it made with AutoenhancePremiumEditOperator, or hook.update_image."
        )
    wire = _one_sky(wire, version)
    for name in wire:
        _check_version(name, _preference(name), version)
        if order and not _preference(name).orders:
            raise SettingsError(f"Setting {name!r} cannot be given for an order's exposures; set it per image.")
    extra = given.get(EXTRA) or {}
    if not isinstance(extra, Mapping):
        raise SettingsError(f"Setting 'extra' takes an object of settings to pass through, not {extra!r}.")
    return WireSettings(wire | dict(extra))


def premium_edit(settings: Mapping[str, Any]) -> str | None:
    """Return the premium edit that wire settings ask for.

    >>> premium_edit({"restage": {"environment": "DUSK"}}), premium_edit({"restage": {"environment": "AS_SHOT"}})
    ('DUSK', None)
    """
    restage = settings.get("restage")
    edit = restage.get("environment") if isinstance(restage, Mapping) else None
    return None if edit in (None, "AS_SHOT") else str(edit)


def for_version(settings: Mapping[str, Any], version: str) -> WireSettings:
    """Spell the sky of checked settings as an API version does.

    >>> for_version({"sky_replacement": True, "cloud_type": "HIGH_CLOUD"}, "2026-07-01")
    {'restage': {'sky': 'HIGH_CLOUD'}}

    :param version: API version; where it is empty, both spellings go out, because the account may know either.
    """
    cloud, replaced = settings.get("cloud_type"), settings.get("sky_replacement")
    unsaid = replaced is None and (cloud is None or not version)
    if unsaid or versions.older(version, versions.RESTAGE_SKY):
        return WireSettings(settings)
    old = ("sky_replacement", "cloud_type") if version else ()
    rest = {name: value for name, value in settings.items() if name not in old}
    sky = cloud or _PLAIN_SKY if replaced in (None, True) else "AS_SHOT"
    return WireSettings({**rest, "restage": {**(rest.get("restage") or {}), "sky": sky}})


def _one_sky(wire: dict[str, Any], version: str) -> dict[str, Any]:
    """Spell ``restage.sky`` with the two older settings, as far as these can say it.

    :raises SettingsError: where the two spellings contradict each other, or the version cannot say it.
    """
    restage: Mapping[str, Any] = wire.get("restage") or {}
    sky = restage.get("sky")
    if sky is None:
        if version >= versions.RESTAGE_SKY and wire.get("cloud_type") and "sky_replacement" not in wire:
            raise SettingsError(
                f"Setting 'cloud_type' alone does not say whether the sky is replaced, which api_version {version} wants to know. Give "
                "'sky_replacement' too, or 'restage' with 'sky'."
            )
        return wire
    replaced = sky != "AS_SHOT"
    said = {name: wire[name] for name in ("sky_replacement", "cloud_type") if wire.get(name) is not None}
    meant = {"sky_replacement": replaced, "cloud_type": sky if replaced else said.get("cloud_type")}
    if any(meant[name] != value for name, value in said.items()):
        raise SettingsError(
            f"Settings 'restage' with 'sky' {sky!r} and {said} contradict each other; give one of them."
        )
    if sky in _NEW_SKIES:
        if versions.older(version, versions.RESTAGE_SKY):
            raise SettingsError(
                f"Sky {sky!r} exists since {versions.RESTAGE_SKY}, but the connection pins api_version {version}. Choose one of "
                f"{', '.join(_CLOUDS)}, or pin another version."
            )
        return wire
    rest = {name: value for name, value in restage.items() if name != "sky"}
    others = {name: value for name, value in wire.items() if name != "restage"}
    cloud = {"cloud_type": sky} if replaced else {}
    return {**others, **({"restage": rest} if rest else {}), "sky_replacement": replaced, **cloud}


def _cleared(names: Any) -> list[str]:
    names = names.split(",") if isinstance(names, str) else names or []
    wanted = (
        [str(name).strip() for name in names] if isinstance(names, list | tuple | set | frozenset) else [repr(names)]
    )
    unknown = [name for name in wanted if name not in CLEARABLE]
    if unknown:
        raise SettingsError(f"Setting {CLEAR!r} takes any of {', '.join(CLEARABLE)}, not {unknown[0]!r:.80}.")
    return wanted


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
    if known := PREFERENCES.get(name) or OLDEST.get(name):
        return known
    import difflib

    close = difflib.get_close_matches(name.removeprefix("auto_"), PREFERENCES, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise SettingsError(
        f"Unknown setting {name!r}.{hint} A setting that is newer than this provider goes under {EXTRA!r}: "
        f"{{{EXTRA!r}: {{{name!r}: ...}}}}."
    )


def _check_version(name: str, preference: Preference, version: str) -> None:
    """Refuse what is newer than a version. What older pages alone name goes out as it is, unless another setting has taken its place."""
    if preference.known_to(version):
        return
    other = {"window_pull": "window_pull_type", "window_pull_type": "window_pull"}.get(name)
    if version >= preference.until and not other:
        log.debug("Setting %r is of API versions before %s; %s may ignore it", name, preference.until, version)
        return
    reason = f"exists since {preference.since}" if version < preference.since else f"was dropped on {preference.until}"
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
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, int) and not isinstance(number, bool) and low <= number <= high:
        return number
    raise SettingsError(f"Setting {name!r} takes a whole number from {low} to {high}, not {value!r}.")


def _wire_object(name: str, value: Any) -> dict[str, Any]:
    value = _as_mapping(value) if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        raise SettingsError(f"Setting {name!r} takes an object, not {value!r}.")
    if name != "restage":
        return dict(value)
    known = RESTAGE_VALUES | PREMIUM_EDITS
    return {
        switch: _one_of(f"restage.{switch}", known[switch], {}, choice)
        if switch in known and choice is not None
        else choice
        for switch, choice in value.items()
    }


def _wire_text(name: str, preference: Preference, value: Any, version: str) -> str:
    if not preference.values:
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
            text = str(value).strip()
            return (preference.aliases or {}).get(text.upper(), text)
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
