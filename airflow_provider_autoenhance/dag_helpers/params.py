"""Enhancement settings as typed ``params``, so that Airflow's Trigger form offers each preference with its allowed values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import Param
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

from airflow_provider_autoenhance.api.settings import PREFERENCES, RESTAGE_VALUES, Preference
from airflow_provider_autoenhance.api.versions import DEFAULT_VERSION

#: The drop-downs' first entry, which leaves a setting as it is. Forms before Airflow 3.1 would send a null there as the text "None".
UNCHANGED = None if AIRFLOW_V_3_1_PLUS else "unchanged"

#: Headings of the form, in its order; what is in none of them goes under the last.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Style": ("preset_id", "enhance", "enhance_type", "ai_version", "upscale"),
    "Sky and windows": ("sky_replacement", "cloud_type", "window_pull", "window_pull_type"),
    "Geometry": (
        "vertical_correction", "perspective_correction", "perspective_correction_mode", "lens_correction", "threesixty", "tripod_hide",
    ),
    "Privacy and restaging": ("privacy", "restage"),
    "More settings": ("finetune_settings", "rating"),
}  # fmt: skip

#: What becomes of photos that were enhanced before, and what it costs.
ON_EXISTING = {
    "reprocess": "other settings: enhance the bought image again, no credit",
    "skip": "other settings: another image, a credit for each photo",
    "redownload": "download all again; other settings: a credit for each photo",
    "reenhance": "make all again: a credit for each photo",
}

#: What becomes of photos that look wrong before the first upload.
PREFLIGHT = {
    "warn": "name them, as far as listings show them",
    "read": "read the first kilobytes of each photo, and name them",
    "hold": "read the first kilobytes of each photo, and hold them back",
    "off": "do not look",
}

_RESTAGE = "restage_"
_SWITCH = {"true": "on", "false": "off"}


def settings_params(version: str = DEFAULT_VERSION) -> dict[str, Param]:
    """Return one Param per setting that an API version knows, each left unchanged (not sent) by default.

    Feed them back with :func:`chosen_settings`.

    ::

        @dag(params={"source": Param("s3://listings/", type="string"), **settings_params()})
        def by_hand():
            ...

    :param version: API version that the connection pins, ``YYYY-MM-DD``.
    """
    params: dict[str, Param] = {}
    for section, name in _in_order():
        preference = PREFERENCES[name]
        if not preference.known_to(version):
            continue
        if name == "restage":
            for switch, values in RESTAGE_VALUES.items():
                thing = switch.replace("_", " ")
                about = {"title": f"Restage: {thing}", "description": f"What becomes of {thing}", "section": section}
                params[_RESTAGE + switch] = _choice({value: value for value in values}, **about)
        else:
            title = name.replace("_", " ").capitalize().replace("Ai ", "AI ")
            params[name] = _param(preference, version, title=title, description=preference.about, section=section)
    return params


def on_existing_param() -> Param:
    """Return a Param for the batch operator's ``on_existing``, which says what a change of settings costs.

    ::

        @dag(params={"on_existing": on_existing_param(), **settings_params()})
        def by_hand():
            AutoenhanceEnhanceOperator(
                task_id="enhance", source="s3://in/", destination="s3://out/", on_existing="{{ params.on_existing }}"
            )
    """
    return _explained(
        ON_EXISTING,
        title="Photos enhanced before",
        description="What other settings cost. In each case the new file takes the place of the earlier one, where both have the same name",
    )


def output_param() -> Param:
    """Return a Param for ``output_spec``: an output as a JSON object, which may name its ``destination`` too.

    ::

        @dag(params={"destination": Param(None, type=["string", "null"]), "output": output_param()})
        def by_hand():
            AutoenhanceEnhanceOperator(
                task_id="enhance", source="s3://in/", destination="{{ params.destination }}", output_spec="{{ params.output }}"
            )
    """
    return Param(
        None,
        type=["object", "null"],
        title="Output",
        description='As JSON: {"format": {"type": "jpeg", "quality": 85}, "metadata": {"dpi": 300}}. Empty: JPEG. It may hold a '
        '"destination", where the field of that name is empty',
    )


def preflight_param() -> Param:
    """Return a Param for the batch operator's ``preflight``, which says what each value does.

    ::

        @dag(params={"preflight": preflight_param()})
        def by_hand():
            AutoenhanceEnhanceOperator(
                task_id="enhance", source="s3://in/", destination="s3://out/", preflight="{{ params.preflight }}"
            )
    """
    return _explained(
        PREFLIGHT,
        title="Photos that look wrong",
        description="Damaged, twice the same, too small, far from the rest of their folder, doubtful brackets",
    )


def chosen_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the settings that were filled in from a run's ``params``.

    >>> chosen_settings({"source": "s3://listings/", "enhance_type": "warm", "cloud_type": None, "restage_grass": "GREEN"})
    {'enhance_type': 'warm', 'restage': {'grass': 'GREEN'}}
    """
    left: tuple[Any, ...] = (None, "", {}, UNCHANGED)
    chosen = {name: params[name] for name in PREFERENCES if params.get(name) not in left}
    restage = {
        switch: params[_RESTAGE + switch] for switch in RESTAGE_VALUES if params.get(_RESTAGE + switch) not in left
    }
    return chosen | ({"restage": restage} if restage else {})


def _in_order() -> list[tuple[str, str]]:
    placed = [(section, name) for section, names in SECTIONS.items() for name in names]
    rest = PREFERENCES.keys() - {name for _, name in placed}
    return placed + [(placed[-1][0], name) for name in PREFERENCES if name in rest]


def _param(preference: Preference, version: str, **about: Any) -> Param:
    if preference.kind is bool:
        return _choice(_SWITCH, **about)
    if preference.values:
        return _choice({value: value for value in preference.values_for(version)}, **about)
    schema: dict[str, Any] = {"type": ["object" if preference.kind is dict else "string", "null"]}
    if preference.aliases:  # proposals beside free text
        schema["examples"] = [name.lower() for name in preference.aliases]
    if preference.kind is int and preference.bounds:
        low, high = preference.bounds
        schema = {"type": ["integer", "null"], "minimum": low, "maximum": high}
    return Param(None, **about, **schema)


def _explained(values: Mapping[str, str], **about: Any) -> Param:
    """A drop-down of values that say what each does, the default first."""
    return Param(next(iter(values)), type="string", enum=list(values), values_display=dict(values), **about)


def _choice(values: Mapping[str, str], **about: Any) -> Param:
    """A drop-down; a check box could not say "unchanged"."""
    return Param(
        UNCHANGED,
        type=["string", "null"],
        enum=[UNCHANGED, *values],
        values_display={"null": "unchanged", **values},
        **about,
    )
