"""What docs/fields.md and the table of settings say of each field, held against the code and against the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from inspect import signature
from typing import Any

import pytest
import yaml

import airflow_provider_autoenhance as public
from airflow_provider_autoenhance.api import versions
from airflow_provider_autoenhance.api.calls import create_image
from airflow_provider_autoenhance.api.config import Extra
from airflow_provider_autoenhance.api.fields import UPLOAD_URL_KEYS
from airflow_provider_autoenhance.api.models import Image as Answer
from airflow_provider_autoenhance.api.models import parse_image
from airflow_provider_autoenhance.api.settings import OLDEST, PREFERENCES, Preference, for_version, wire_settings
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.imaging.output import COMPRESSIONS, OutputSpec, outputs_of
from airflow_provider_autoenhance.sandbox.api import schemas, views
from airflow_provider_autoenhance.sandbox.api.images import chosen_settings
from airflow_provider_autoenhance.sandbox.http.versions import SLIDERS, Version
from airflow_provider_autoenhance.sandbox.state.models import Image
from airflow_provider_autoenhance.storage.location import MAX_URI_LENGTH, locate
from tests.support.pins import PINS
from tests.support.sandbox import ROOT
from tests.test_docs import rows

PAGE = (ROOT / "docs" / "fields.md").read_text()
CONTRACT = yaml.safe_load((ROOT / "tests" / "contract" / "openapi.yaml").read_text())["components"]["schemas"]
_DATES = {str(each) for name, each in vars(versions).items() if name.isupper()}
#: Each version at which anything changes, and the last one before it.
VERSIONS = sorted(
    {
        *filter(None, PINS),
        *_DATES,
        *(str(date.fromisoformat(each) - timedelta(days=1)) for each in _DATES),
        "2024-09-01",
    }
)
#: The two spellings of a sky are translated, so all versions take both.
SKY = ("sky_replacement", "cloud_type")
SAMPLES: dict[type, Any] = {bool: True, int: 3, str: "text", dict: {}}


def told(cell: str, version: str) -> bool:
    """Whether a cell says that an API version knows a field."""
    first = cell.strip().partition(";")[0]
    assert re.match(r"all|from|before", first), cell
    since, until = (re.search(rf"{word} ([\d-]+)", first) for word in ("from", "before"))
    return (not since or since[1] <= version) and (not until or version < until[1])


def sample(preference: Preference, version: str) -> Any:
    values = preference.values_for(version)
    return values[-1] if values else SAMPLES[preference.kind]


@pytest.mark.parametrize("version", VERSIONS)
def test_each_setting_goes_out_at_the_versions_that_are_told(version: str) -> None:
    sandbox, of_order = schemas.image_in(Version(version)).fields, schemas.process_order(Version(version)).fields
    table = rows("Enhancement settings") | dict.fromkeys(SLIDERS, rows("Enhancement settings")[SLIDERS[0]])
    for name, preference in PREFERENCES.items():
        known = told(table[name][2], version)
        assert known is preference.known_to(version), name
        if not known:
            body = {"image_name": "a.jpg", name: sample(preference, VERSIONS[-1])}
            assert name not in sandbox or name not in chosen_settings(body, Version(version))
            continue
        given = {name: sample(preference, version)} | ({"sky_replacement": True} if name in SKY else {})
        sent = for_version(wire_settings(given, version=version), version)
        assert sent.keys() <= sandbox.keys(), "what is sent is what the sandbox knows"
        assert schemas.image_in(Version(version)).validate({"image_name": "a.jpg", **sent}) == {}
        assert not preference.orders or sent.keys() <= of_order.keys()


def test_settings_are_taken_where_the_page_says() -> None:
    cells = dict(re.findall(r"^\| (operators|methods of `AutoenhanceHook`) \| (.*) \|$", PAGE, re.MULTILINE))
    taking = [name for name in public.__all__ if "settings" in getattr(getattr(public, name), "template_fields", ())]
    assert set(re.findall(r"`(Autoenhance\w+)`", cells["operators"])) == set(taking)
    methods = {
        name
        for name, each in vars(AutoenhanceHook).items()
        if callable(each) and not name.startswith("_") and "settings" in signature(each).parameters
    }
    assert set(re.findall(r"`(\w+)`", cells["methods of `AutoenhanceHook`"])) == methods


def test_each_field_that_is_sent_has_its_row_and_its_arguments() -> None:
    table = rows("An image, as it is sent", PAGE)
    own = {name for part in CONTRACT["ImageIn"]["allOf"] for name in part.get("properties", ())}
    assert set(table) == (own | OLDEST.keys()) - PREFERENCES.keys() - {"contentType"}, "contentType is another spelling"
    for name, (_, _, operators, methods) in table.items():
        for kind, argument in re.findall(r"`(Autoenhance\w+)\((\w+)\)`", operators):
            assert argument in signature(getattr(public, kind).__init__).parameters, name
        found = re.findall(r"`(\w+)\((\w+)\)`", methods)
        assert found, name
        for method, argument in found:
            assert argument in signature(getattr(AutoenhanceHook, method)).parameters, name


@pytest.mark.parametrize("version", VERSIONS)
def test_each_field_is_sent_at_the_versions_that_are_told(version: str) -> None:
    sandbox, table = schemas.image_in(Version(version)).fields, rows("An image, as it is sent", PAGE)
    known = {name: told(cells[1], version) for name, cells in table.items()}
    about = {"image_id": "i", "order_id": "o", "metadata": {"a": 1}, "content_type": "image/jpeg"}
    sent = create_image("a.jpg", version=version, **about).body or {}
    assert {name for name in known if name in sent} == {name for name in ("image_name", *about) if known[name]}
    assert sent.keys() <= sandbox.keys()
    assert known["hdr"] is ("hdr" in sandbox)
    assert all(known[name] is each.known_to(version) for name, each in OLDEST.items())


def answers(version: str) -> dict[str, Any]:
    """What the sandbox answers of an image that was created with all that a version knows."""
    settings = {name: sample(each, version) for name, each in PREFERENCES.items() if each.known_to(version)}
    image = Image("i", "a.jpg", "o", "u", 0.0, 1.0, settings, {}, 3, "image/jpeg")
    key = Version(version).upload_url_key("image_id")
    return {**views.image_out(image, Version(version)), key: "https://upload.example/"}


@pytest.mark.parametrize("version", VERSIONS)
def test_each_field_is_answered_at_the_versions_that_are_told(version: str) -> None:
    table, answered = rows("An image, as it is answered", PAGE), answers(version)
    assert answered.keys() == {name for name, cells in table.items() if told(cells[1], version)}
    image = parse_image(answered)
    for name, cells in table.items():
        place = cells[2].strip()
        if name in UPLOAD_URL_KEYS:
            assert place.startswith("none")
            assert name not in image.details
        elif name in answered:
            assert image.details.keys() >= {name}, "a task returns it"
            assert (name in Answer.__dataclass_fields__) is (place != "`raw`")


def test_the_contract_has_no_further_field_of_an_image() -> None:
    named = {
        name
        for kind in ("ImageSettings", "ImageOut", "ImageCreatedOut")
        for part in [CONTRACT[kind], *CONTRACT[kind].get("allOf", ())]
        for name in part.get("properties", ())
    }
    # The vendor's pages do not list it among the answers.
    assert named - {"tripod_hide"} <= rows("An image, as it is answered", PAGE).keys()


def options() -> Iterator[tuple[str, str, str]]:
    text = PAGE.partition("\n## Image I/O\n")[2]
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| option"):
            name, here, example = line.strip("|").split(" | ")
            yield name.strip(), here, example.strip(" |`")


@pytest.mark.parametrize(("name", "here", "example"), list(options()))
def test_each_option_of_image_io_is_taken_as_told(name: str, here: str, example: str) -> None:
    for kind, argument in re.findall(r"`(Autoenhance\w+)\((\w+)", here):
        assert argument in signature(getattr(public, kind).__init__).parameters
    if not example:
        return
    value = json.loads(example)
    if not isinstance(value, dict):
        storages = Extra(storages={"print-shop": "s3://conn@orders/in/"})
        places = [storages.place_of(each) for each in (value if isinstance(value, list) else [value])]
        assert [locate(each, conn_id=None, error=public.SourceError).uri for each in places]
        return
    if "source" in value:
        for given in (value, example):
            assert public.AutoenhanceEnhanceOperator.unfolded({"source": given}) == value
        return
    (output,) = outputs_of(value)
    assert output != OutputSpec()
    assert outputs_of(example) == (output,), "as text too, which a template makes of it"


def test_the_page_of_image_io_is_whole() -> None:
    shown = " ".join(f"{name} {example}" for name, _, example in options())
    assert all(f"{name.upper()}: `compression`" in shown for name in COMPRESSIONS)
    assert f"up to {MAX_URI_LENGTH:,} characters" in PAGE
