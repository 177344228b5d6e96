"""Settings: names, values and API versions are checked before anything is sent."""

from __future__ import annotations

import json

import pytest

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.settings import (
    PREFERENCES,
    RESTAGE_VALUES,
    EnhancementSettings,
    WireSettings,
    wire_settings,
)

NOW = "2025-08-31"


def example(name: str) -> object:
    preference = PREFERENCES[name]
    if preference.kind is str:
        return preference.values[0] if preference.values else "some text"
    return {bool: True, int: 3, dict: {}}[preference.kind]


@pytest.mark.parametrize("name", PREFERENCES)
def test_each_preference_passes_in_a_version_that_knows_it_and_no_other(name: str) -> None:
    preference = PREFERENCES[name]
    for version in ("2024-10-01", "2025-01-01", "2025-05-08", "2025-08-31", "2026-10-01"):
        if preference.since <= version < preference.until:
            assert wire_settings({name: example(name)}, version=version) == {name: example(name)}
        else:
            with pytest.raises(SettingsError, match=rf"'{name}'.*{version}"):
                wire_settings({name: example(name)}, version=version)


def test_every_allowed_value_passes_in_any_case() -> None:
    for name, preference in PREFERENCES.items():
        old = preference.until < "9999" or preference.retired
        version = preference.since or ("2024-10-01" if old else NOW)
        for value in preference.values:
            for spelled in (value, value.lower(), value.upper(), f" {value} "):
                assert wire_settings({name: spelled}, version=version) == {name: value}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"enhance_typ": "warm"}, "Did you mean 'enhance_type'"),
        ({"auto_privacy": True}, "Did you mean 'privacy'"),
        ({"zzz": 1}, "'extra'"),
        ({"enhance_type": "sepia"}, "one of property, property_usa, warm"),
        ({"enhance_type": "authentic"}, "not 'authentic'"),
        ({"sky_replacement": "perhaps"}, "true or false, not 'perhaps'"),
        ({"sky_replacement": 1}, "true or false"),
        ({"rating": 6}, "from 0 to 5, not 6"),
        ({"rating": True}, "from 0 to 5"),
        ({"restage": "lots"}, "not a JSON object"),
        ({"restage": {"grass": "BLUE"}}, "'restage.grass' takes one of AS_SHOT, GREEN"),
        ({"ai_version": ""}, "takes text"),
        ({"window_pull": True}, "Use 'window_pull_type'"),
        ({"extra": 5}, "'extra' takes an object"),
        ("[1, 2]", "settings takes"),
        ("{oops", "not a JSON object"),
        ([1], "not list"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(settings: object, told: str) -> None:
    with pytest.raises(SettingsError, match=told.replace("(", r"\(")) as caught:
        wire_settings(settings, version=NOW)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_only_what_was_set_is_sent() -> None:
    assert wire_settings(None, version=NOW) == {}
    assert wire_settings("", version=NOW) == {}
    assert wire_settings({"enhance_type": None, "upscale": False}, version=NOW) == {"upscale": False}
    assert dict(EnhancementSettings(enhance_type="warm", privacy=None)) == {"enhance_type": "warm"}


def test_rendered_templates_are_text_and_still_work() -> None:
    given = {
        "sky_replacement": "True",
        "rating": "4",
        "restage": json.dumps({"grass": "green"}),
        "finetune_settings": "{}",
    }
    expected = {"sky_replacement": True, "rating": 4, "restage": {"grass": "GREEN"}, "finetune_settings": {}}
    assert wire_settings(json.dumps(given), version=NOW) == expected


def test_newer_settings_pass_through_extra_and_win() -> None:
    settings = EnhancementSettings(enhance_type="warm", extra={"new_thing": [1], "enhance_type": "odd"})
    assert wire_settings(settings, version=NOW) == {"enhance_type": "odd", "new_thing": [1]}


def test_prose_spelling_of_window_pull_is_understood() -> None:
    assert wire_settings({"window_pull_type": "with_skies"}, version=NOW) == {"window_pull_type": "WINDOWS_WITH_SKIES"}


def test_restage_switches_of_the_future_pass() -> None:
    known = {switch: values[1] for switch, values in RESTAGE_VALUES.items()}
    assert wire_settings({"restage": known | {"sky": "X"}}, version=NOW)["restage"] == known | {"sky": "X"}


def test_orders_take_fewer_settings() -> None:
    assert wire_settings({"enhance_type": "warm"}, version=NOW, order=True) == {"enhance_type": "warm"}
    with pytest.raises(SettingsError, match="'rating' cannot be given for an order"):
        wire_settings({"rating": 3}, version=NOW, order=True)


def test_the_class_checks_at_once_but_lets_templates_wait() -> None:
    with pytest.raises(SettingsError, match="enhance_type"):
        EnhancementSettings(enhance_type="sepia")
    with pytest.raises(SettingsError, match="Unknown setting"):
        EnhancementSettings(colour="red")
    later = EnhancementSettings(enhance_type="{{ params.style }}")
    assert json.loads(json.dumps(later)) == {"enhance_type": "{{ params.style }}"}


def test_what_was_checked_passes() -> None:
    wire = wire_settings({"extra": {"new_thing": [1]}}, version=NOW)
    assert wire_settings(wire, version="1999-01-01", order=True) is wire
    with pytest.raises(SettingsError, match="new_thing"):
        wire_settings(dict(wire), version=NOW)
    assert wire_settings(WireSettings(json.loads(json.dumps(wire))), version=NOW) == wire
