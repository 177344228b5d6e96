"""Settings: names, values and API versions are checked before anything is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.settings import (
    PREFERENCES,
    RESTAGE_VALUES,
    SHARED_PRESETS,
    EnhancementSettings,
    WireSettings,
    for_version,
    wire_settings,
)
from airflow_provider_autoenhance.pipeline.job import fingerprint_of

NOW = "2025-08-31"


def example(name: str) -> object:
    preference = PREFERENCES[name]
    if preference.kind is str:
        return preference.values[0] if preference.values else "some text"
    return {bool: True, int: 3, dict: {}}[preference.kind]


@pytest.mark.parametrize("name", PREFERENCES)
def test_each_preference_passes_unless_it_is_newer_than_the_version_or_has_a_successor(name: str) -> None:
    preference = PREFERENCES[name]
    given = {name: example(name)} | ({"sky_replacement": True} if name == "cloud_type" else {})
    for version in ("2024-10-01", "2025-01-01", "2025-05-08", "2025-08-31", "2026-10-01", ""):
        if version == "" or (preference.since <= version and (version < preference.until or name != "window_pull")):
            assert wire_settings(given, version=version) == given
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


@pytest.mark.parametrize(
    ("name", "preset_id"), [(name, SHARED_PRESETS[name.upper()]) for name in ("warm", "Vivid", "NATURAL")]
)
def test_a_shared_preset_has_a_name_and_the_same_fingerprint_by_either(name: str, preset_id: str) -> None:
    by_name, by_id = (wire_settings({"preset_id": each}, version=NOW) for each in (name, preset_id))
    assert by_name == by_id == {"preset_id": preset_id}
    assert wire_settings({"preset_id": "my own"}, version=NOW) == {"preset_id": "my own"}


def test_restage_switches_of_the_future_pass() -> None:
    known = {switch: values[1] for switch, values in RESTAGE_VALUES.items()}
    del known["sky"]
    assert wire_settings({"restage": known | {"floor": "X"}}, version=NOW)["restage"] == known | {"floor": "X"}


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


SKY_2026 = "2026-07-01"


@pytest.mark.parametrize(
    ("given", "before", "since"),
    [
        ({"sky_replacement": True, "cloud_type": "HIGH_CLOUD"}, None, {"restage": {"sky": "HIGH_CLOUD"}}),
        ({"sky_replacement": False}, None, {"restage": {"sky": "AS_SHOT"}}),
        ({"sky_replacement": False, "cloud_type": "CLEAR"}, None, {"restage": {"sky": "AS_SHOT"}}),
        ({"sky_replacement": True}, None, {"restage": {"sky": "CLEAR"}}),
        ({"restage": {"sky": "as_shot"}}, {"sky_replacement": False}, {"restage": {"sky": "AS_SHOT"}}),
        (
            {"restage": {"sky": "low_cloud_low_sat", "grass": "GREEN"}},
            {"sky_replacement": True, "cloud_type": "LOW_CLOUD_LOW_SAT", "restage": {"grass": "GREEN"}},
            {"restage": {"sky": "LOW_CLOUD_LOW_SAT", "grass": "GREEN"}},
        ),
        (
            {"restage": {"sky": "CLEAR"}, "sky_replacement": True},
            {"sky_replacement": True, "cloud_type": "CLEAR"},
            {"restage": {"sky": "CLEAR"}},
        ),
    ],
)
def test_a_sky_may_be_spelled_in_either_way_at_either_version(
    given: dict[str, Any], before: dict[str, Any] | None, since: dict[str, Any]
) -> None:
    for version in ("2024-10-01", NOW) if "grass" not in str(given) else (NOW,):
        assert for_version(wire_settings(given, version=version), version) == (before or given)
    assert for_version(wire_settings(given, version=""), "") == (before or given) | since
    assert for_version(wire_settings(given, version=SKY_2026), SKY_2026) == since


def test_the_same_sky_has_the_same_fingerprint_which_a_setting_given_as_before_keeps() -> None:
    old, new = {"sky_replacement": True, "cloud_type": "LOW_CLOUD"}, {"restage": {"sky": "LOW_CLOUD"}}
    made = {
        fingerprint_of("s3://in/1.jpg", "e", 1, wire_settings(given, version=version))
        for given in (old, new)
        for version in ("2024-10-01", NOW, SKY_2026, "2026-11-09", "")
    }
    assert made == {fingerprint_of("s3://in/1.jpg", "e", 1, old)}
    bare = {"sky_replacement": True}
    assert wire_settings(bare, version=SKY_2026) == bare


@pytest.mark.parametrize("sky", ["WHISPY_CLOUD", "DUSK_CLOUD"])
def test_a_sky_that_an_older_version_cannot_say_is_refused_there(sky: str) -> None:
    given = {"restage": {"sky": sky}}
    assert for_version(wire_settings(given, version=SKY_2026), SKY_2026) == given
    with pytest.raises(SettingsError, match=f"{sky}.*2026-07-01.*{NOW}.*LOW_CLOUD_LOW_SAT"):
        wire_settings(given, version=NOW)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"restage": {"sky": "CLEAR"}, "sky_replacement": False}, "contradict"),
        ({"restage": {"sky": "CLEAR"}, "cloud_type": "HIGH_CLOUD"}, "contradict"),
        ({"restage": {"sky": "AS_SHOT"}, "sky_replacement": True}, "contradict"),
        ({"restage": {"sky": "RED"}}, "AS_SHOT, CLEAR"),
        ({"cloud_type": "CLEAR"}, "'cloud_type' alone"),
    ],
)
def test_a_sky_that_says_two_things_or_too_little_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        wire_settings(given, version=SKY_2026)


def test_a_setting_may_be_cleared_with_a_null() -> None:
    settings = EnhancementSettings(enhance_type="warm", clear=["privacy", "restage"])
    assert wire_settings(settings, version=NOW) == {"enhance_type": "warm", "privacy": None, "restage": None}
    assert wire_settings({"clear": "cloud_type, finetune_settings"}, version=NOW) == {
        "cloud_type": None, "finetune_settings": None,
    }  # fmt: skip
    for wrong in (["enhance"], "enhance", 5, {"privacy": 1}):
        with pytest.raises(SettingsError, match="'clear' takes any of privacy"):
            wire_settings({"clear": wrong}, version=NOW)


@pytest.mark.parametrize("version", ["2024-10-01", "2025-05-05", "2026-11-09", ""])
def test_what_older_pages_alone_name_goes_out_as_it_stands(version: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    first = {"ai_version": "4.x", "enhance": True, "enhance_type": "neutral", "hdr": True}
    sliders = {name: "LOW" for name, each in PREFERENCES.items() if each.values == ("NONE", "LOW", "MEDIUM", "HIGH")}
    oldest = {"content_type": "image/jpeg", "hdr": True, "is_threesixty": False, **sliders}
    assert len(sliders) == 10
    for given in (first, oldest):
        assert wire_settings(given, version=version) == given
    assert ("'hdr'" in caplog.text) == (version >= "2025-05-05")
