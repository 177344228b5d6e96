"""An image's settings against those that it should have: what counts as a difference, and what is sent to mend it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_autoenhance.api.models import parse_image
from airflow_provider_autoenhance.pipeline.remote.style import Style, instead, seen_settings


def seen(**answer: Any) -> dict[str, Any]:
    return seen_settings(parse_image({"image_id": "i1", **answer}))


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({}, {"enhance_type": "modern"}),
        ({"enhance_type": "warm"}, {"enhance_type": "WARM"}),
        ({"enhance_type": "warm"}, {}),
        ({"enhance_type": "warm"}, {"enhance_type": None}),
        ({"sky_replacement": False}, {"sky_replacement": None}),
        ({"privacy": True}, {"privacy": "true"}),
        ({"window_pull_type": "WINDOWS_WITH_SKIES"}, {"window_pull_type": "WITH_SKIES"}),
        ({"window_pull_type": "NONE"}, {"window_pull_type": None}),
        ({"window_pull": True}, {"window_pull_type": "ONLY_WINDOWS"}),
        ({"ai_version": "4.2"}, {"ai_version": "4.7"}),
        ({"ai_version": "4.2"}, {"ai_version": "stable"}),
        ({"ai_version": "5.x"}, {"ai_version": "5.3"}),
        ({"ai_version": "latest"}, {"ai_version": "5.3"}),
        ({"restage": {"grass": "GREEN"}}, {"restage": {"grass": "green", "tvs": "AS_SHOT", "sky": "AS_SHOT"}}),
        ({"restage": {"grass": "AS_SHOT"}}, {"restage": None}),
        ({"sky_replacement": True, "cloud_type": "CLEAR"}, {"restage": {"sky": "CLEAR"}, "sky_replacement": False}),
        ({"sky_replacement": False}, {"restage": {"sky": "AS_SHOT"}}),
        ({"finetune_settings": {"warmth": 1}}, {"finetune_settings": {"warmth": 1.0, "tint": 0}}),
        ({"rating": 3}, {"rating": 5}),
        ({"new_setting": "a"}, {"new_setting": "b"}),
    ],
)
def test_in_doubt_they_are_the_same(asked: dict[str, Any], answer: dict[str, Any]) -> None:
    assert Style(asked).lacks(seen(**answer)) is None


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"enhance_type": "warm"}, {"enhance_type": "modern"}),
        ({"sky_replacement": True}, {"sky_replacement": False}),
        ({"sky_replacement": False}, {"sky_replacement": True}),
        ({"sky_replacement": False}, {"restage": {"sky": "CLEAR"}}),
        ({"cloud_type": "CLEAR"}, {"cloud_type": "LOW_CLOUD"}),
        ({"ai_version": "5.3"}, {"ai_version": "4.7"}),
        ({"ai_version": "5.3"}, {"ai_version": "5.1"}),
        ({"restage": {"grass": "GREEN"}}, {"restage": {"grass": "AS_SHOT"}}),
        ({"preset_id": "a"}, {"preset_id": "b"}),
    ],
)
def test_what_was_asked_for_is_asked_for_again_where_it_is_otherwise(
    asked: dict[str, Any], answer: dict[str, Any]
) -> None:
    assert Style(asked).lacks(seen(**answer)) == asked
    assert Style(asked, seen(**answer)).lacks(seen(**answer)) is None, "Autoenhance has always answered so"


@pytest.mark.parametrize(
    ("then", "now", "sent"),
    [
        ({"enhance_type": "neutral"}, {"enhance_type": "modern"}, {"enhance_type": "neutral"}),
        ({"upscale": False, "privacy": None}, {"upscale": True, "privacy": True}, {"upscale": False, "privacy": None}),
        ({"restage": None}, {"restage": {"grass": "GREEN"}}, {"restage": None}),
        ({"restage": {}}, {"restage": {"grass": "GREEN"}}, {"restage": None}),
        ({"restage": {"grass": "GREEN"}}, {"restage": None}, {"restage": {"grass": "GREEN"}}),
        ({"restage": None}, {"restage": {"sky": "AS_SHOT"}}, None),
        ({"sky_replacement": False, "restage": None}, {"restage": {"sky": "AS_SHOT"}}, None),
        (
            {"preset_id": None},
            {"preset_id": "a"},
            None,
        ),  # a null cannot be sent there, and the preset's settings are answered too
        ({"window_pull": True}, {"window_pull_type": "NONE"}, None),
        ({"ai_version": "5.3"}, {"ai_version": "5.4"}, None),
        ({"ai_version": "5.3"}, {"ai_version": "4.7"}, {"ai_version": "5.3"}),
        ({"scene": "kitchen"}, {"scene": "bath"}, None),
    ],
)
def test_what_nobody_asked_for_is_taken_back_to_what_it_was(
    then: dict[str, Any], now: dict[str, Any], sent: dict[str, Any] | None
) -> None:
    assert Style({}, seen(**then)).lacks(seen(**now)) == sent


def test_an_ai_version_that_was_not_mapped_up_is_somebody_s_wish() -> None:
    assert Style({"ai_version": "4.7"}, {"ai_version": "4.7"}).lacks(seen(ai_version="5.3")) == {"ai_version": "4.7"}
    assert Style({"ai_version": "4.2"}, {"ai_version": "4.7"}).lacks(seen(ai_version="4.7")) is None


def test_another_style_takes_back_what_the_earlier_one_changed() -> None:
    now = seen(enhance_type="warm", sky_replacement=True, upscale=False)
    warm = {"enhance_type": "warm", "sky_replacement": True}
    modern = instead({"enhance_type": "modern"}, [warm], {}, now)
    assert modern is not None
    assert modern.lacks(now) == {"enhance_type": "modern", "sky_replacement": False}
    assert instead({}, [warm], {}, now) is None, "nobody knows the account's own style"
    plain = instead({}, [warm], {"enhance_type": "neutral"}, now)
    assert plain is not None
    assert plain.lacks(now) == {"enhance_type": "neutral", "sky_replacement": False}
    assert instead({"enhance_type": "modern"}, [None], {}, now) is not None
    assert instead({"upscale": True}, [None], {}, now) is None, "a row of an older version does not say what was asked"
