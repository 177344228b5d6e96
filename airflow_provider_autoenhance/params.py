"""Enhancement settings as typed ``params``, so that Airflow's Trigger form offers each preference with its allowed values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import Param

from airflow_provider_autoenhance.api.settings import PREFERENCES, RESTAGE_VALUES, Preference
from airflow_provider_autoenhance.api.versions import DEFAULT_VERSION

_RESTAGE = "restage_"
_SWITCH = {"true": "on", "false": "off"}


def settings_params(version: str = DEFAULT_VERSION, *, section: str = "Enhancement") -> dict[str, Param]:
    """Return one Param per setting that an API version knows, each empty (not sent) by default.

    Feed them back with :func:`chosen_settings`.

    :param version: API version that the connection pins, ``YYYY-MM-DD``.
    :param section: heading in the form.
    """
    params: dict[str, Param] = {}
    for name, preference in PREFERENCES.items():
        if not preference.known_to(version):
            continue
        if name == "restage":
            for switch, values in RESTAGE_VALUES.items():
                about = f"Restage: {switch.replace('_', ' ')}"
                params[_RESTAGE + switch] = _choice(about, {value: value for value in values}, section)
        else:
            params[name] = _param(preference, version, section)
    return params


def chosen_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the settings that were filled in from a run's ``params``."""
    chosen = {name: params[name] for name in PREFERENCES if params.get(name) not in (None, "", {})}
    restage = {switch: params[_RESTAGE + switch] for switch in RESTAGE_VALUES if params.get(_RESTAGE + switch)}
    return chosen | ({"restage": restage} if restage else {})


def _param(preference: Preference, version: str, section: str) -> Param:
    if preference.kind is bool:
        return _choice(preference.about, _SWITCH, section)
    if preference.values:
        return _choice(preference.about, {value: value for value in preference.values_for(version)}, section)
    schema: dict[str, Any] = {"type": ["object" if preference.kind is dict else "string", "null"]}
    if preference.kind is int and preference.bounds:
        low, high = preference.bounds
        schema = {"type": ["integer", "null"], "minimum": low, "maximum": high}
    return Param(None, description=preference.about, section=section, **schema)


def _choice(about: str, values: Mapping[str, str], section: str) -> Param:
    """A drop-down whose first entry leaves the setting as it is; a check box could not say "not set"."""
    return Param(
        None,
        description=about,
        section=section,
        type=["string", "null"],
        enum=[None, *values],
        values_display=dict(values),
    )
