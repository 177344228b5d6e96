"""The docs name everything that users meet, and nothing that does not exist."""

from __future__ import annotations

import ast
import doctest
import json
import re
import tomllib
from dataclasses import fields
from inspect import Parameter, getdoc, signature
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

import airflow_provider_autoenhance
from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.config import Extra
from airflow_provider_autoenhance.api.models import Order
from airflow_provider_autoenhance.api.settings import PREFERENCES
from airflow_provider_autoenhance.get_provider_info import get_provider_info
from airflow_provider_autoenhance.imaging.budget import DEFAULT_MEGABYTES
from airflow_provider_autoenhance.imaging.budget import VARIABLE as MEMORY_VARIABLE
from airflow_provider_autoenhance.imaging.cost import FULL_COLOR_FROM, MAX_SIDES, Header, megabytes_for
from airflow_provider_autoenhance.imaging.decode import MAX_MEGAPIXELS
from airflow_provider_autoenhance.imaging.naming import EXTENSIONS, name_parts
from airflow_provider_autoenhance.imaging.output import (
    COMPRESSIONS,
    PRINT_PROFILES,
    QUALITIES,
    OutputSpec,
    outputs_of,
)
from airflow_provider_autoenhance.imaging.profiles import CARRIED, load_profile
from airflow_provider_autoenhance.imaging.profiles import VARIABLE as ICC_VARIABLE
from airflow_provider_autoenhance.operators.base import AutoenhanceBaseOperator
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator, allowed_failures
from airflow_provider_autoenhance.pipeline.gallery.rows import Entry
from airflow_provider_autoenhance.pipeline.gallery.sheet import MAX_PICTURED
from airflow_provider_autoenhance.sandbox.__main__ import parse
from airflow_provider_autoenhance.triggers.orders import order_xcom
from airflow_provider_autoenhance.utils.assets import COUNTS

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
#: Errors are caught alike: the example of their base is that of all.
EXPLAINED = [
    each
    for each in (getattr(airflow_provider_autoenhance, name) for name in airflow_provider_autoenhance.__all__)
    if each is errors.AutoenhanceError or not (isinstance(each, type) and issubclass(each, errors.AutoenhanceError))
]
OPERATORS = (ROOT / "docs" / "operators.md").read_text()
OUTPUTS = (ROOT / "docs" / "outputs.md").read_text()


def rows(section: str, page: str = REFERENCE) -> dict[str, list[str]]:
    """Return a table's rows by each name in their first cell."""
    text = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    table = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {name: cells for cells in table for name in re.findall(r"`([\w-]+)`", cells[0])}


def test_every_extra_with_its_default() -> None:
    table = rows("Connection")
    assert set(table) == set(Extra.__dataclass_fields__)
    for name, cells in table.items():
        told = cells[1].strip(" `").lower()
        default = getattr(Extra(), name)
        assert told == ("none" if default is None else str(default).lower().removesuffix(".0")), name


def test_every_configuration_option_with_its_default() -> None:
    table = rows("Configuration")
    options = get_provider_info()["config"]["autoenhance"]["options"]
    assert set(table) == set(options)
    for name, cells in table.items():
        assert cells[1].strip(" `") == (options[name]["default"] or "none"), name


def test_every_setting_with_its_values() -> None:
    table = rows("Enhancement settings")
    assert set(table) == set(PREFERENCES)
    for name, preference in PREFERENCES.items():
        for value in preference.values:
            assert f"`{value}`" in table[name][1], name


def test_every_argument_of_the_batch_operator_with_its_default() -> None:
    table = rows("Arguments of `AutoenhanceEnhanceOperator`", OPERATORS)
    kinds = (AutoenhanceEnhanceOperator, AutoenhanceBaseOperator)
    found = {name: each for kind in kinds for name, each in signature(kind.__init__).parameters.items()}
    defaults = {name: each.default for name, each in found.items() if name not in ("self", "kwargs")}
    del defaults["deferrable"]  # as Airflow is configured
    assert {name: cells[1].strip(" `") for name, cells in table.items() if name != "deferrable"} == {
        name: spelled(default) for name, default in defaults.items()
    }
    assert {name for name, cells in table.items() if cells[2].strip() == "yes"} == set(
        AutoenhanceEnhanceOperator.template_fields
    )
    part, photos, rounded = re.findall(r'`"(\d+%)"` of (\d+) photos is (\d+)', table["max_failures"][3])[0]
    assert allowed_failures(part, int(photos)) == int(rounded) < int(photos) * int(part[:-1]) / 100


def spelled(default: Any) -> str:
    if default is Parameter.empty:
        return "required"
    if default is None or default == ():
        return "none"
    return str(default).lower().removesuffix(".0")


def test_every_number_and_list_of_a_result_is_explained() -> None:
    order = order_xcom(Order("order-1", None, "", False, False, False, ()))
    assert {*COUNTS, *order, "order_ids"} - {"name"} <= set(rows("Results", OPERATORS))


def test_every_error_with_its_retry_meaning() -> None:
    table = rows("Errors")
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.AutoenhanceError)
    }
    del kinds["AutoenhanceError"]
    assert set(table) == set(kinds)
    for name, kind in kinds.items():
        assert table[name][1].strip() == ("yes" if kind.retryable else "no"), name


class TestOutputs:
    def test_every_field_with_its_default_and_limits(self) -> None:
        table = rows("Fields", OUTPUTS)
        assert set(table) == {field.name for field in fields(OutputSpec)}
        for name, low, high in (("quality", 1, 100), ("dpi", 1, 65535)):
            assert f"{low} to {high}" in table[name][2]
            for value in (low, high):
                OutputSpec(**{name: value})  # type: ignore[arg-type]
            for value in (low - 1, high + 1):
                with pytest.raises(errors.SettingsError):
                    OutputSpec(**{name: value})  # type: ignore[arg-type]
        assert table["format"][1].strip(" `") == OutputSpec().with_format().format
        assert table["embed_profile"][1].strip() == str(OutputSpec().embed_profile).lower()
        assert re.findall(r"`(\w+)`", table["format"][2].partition(";")[0]) == list(EXTENSIONS)
        assert all(f"`{{{part}}}`" in table["name_template"][2] for part in name_parts("a"))

    def test_every_format_with_its_ways(self) -> None:
        table = rows("Formats", OUTPUTS)
        assert list(table) == list(EXTENSIONS)
        for name, (_, ways, quality, side, *_) in table.items():
            assert re.findall(r"`(\w+)`", ways) == list(COMPRESSIONS.get(name, ()))
            assert quality.strip() == ("Autoenhance's" if name == "jxl" else str(QUALITIES.get(name, "none")))
            assert side.strip() == (f"{MAX_SIDES[name]:,} pixels" if name in MAX_SIDES else "any")

    def test_what_autoenhance_renders(self) -> None:
        told = OUTPUTS.partition("Autoenhance renders ")[2].partition(";")[0]
        assert re.findall(r"`(\w+)`", told.partition(" itself")[0]) == [
            name for name in ("jpeg", "png", "webp", "avif", "jxl") if OutputSpec(format=name).why_local() is None
        ]
        quality, dpi = (int(number) for number in re.findall(r"\d+", told))
        assert OutputSpec(quality=quality).why_local() is None
        assert OutputSpec(quality=quality + 1).why_local()
        assert OutputSpec(dpi=dpi).why_local() is None
        assert OutputSpec(dpi=dpi - 1).why_local()

    def test_every_profile_with_where_it_comes_from(self) -> None:
        table = rows("Colours", OUTPUTS)
        assert set(table) == {*PRINT_PROFILES, "sRGB"}
        for name in PRINT_PROFILES:
            file = re.findall(r"`([\w.]+\.icc)`", table[name][3])[0]
            if "carried" in table[name][3]:
                assert load_profile(name).data == (CARRIED / file).read_bytes()
                assert file.endswith(f"_{table[name][2].strip(' %')}.icc")
            else:
                assert not (CARRIED / file).exists()
        assert f"`{ICC_VARIABLE}`" in OUTPUTS
        assert "the default of `CMYK`" in table[str(OutputSpec(color_space="CMYK").profile_name)][3]

    def test_the_memory_that_is_reserved_is_what_is_promised(self) -> None:
        assert f"`{MEMORY_VARIABLE}` (default {DEFAULT_MEGABYTES:.0f})" in OUTPUTS
        assert f"quality {FULL_COLOR_FROM} on" in OUTPUTS.replace("\n", " ")
        assert f"more than {MAX_MEGAPIXELS:.0f} megapixels" in OUTPUTS
        told = OUTPUTS.partition("\n## Memory\n")[2]
        table = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in told.splitlines()
            if line.startswith("| `")
        ]
        assert len(table) >= 8
        for output, promised, *_ in table:
            asked = json.loads(output.strip("`"))
            assert int(promised.replace(",", "").removesuffix(" MB")) == round(
                megabytes_for(Header(8000, 6000), outputs_of(asked))
            )


def test_the_readme_installs_what_is_built() -> None:
    page = (ROOT / "README.md").read_text()
    wheel = f"dist/airflow_provider_autoenhance-{airflow_provider_autoenhance.__version__}-py3-none-any.whl"
    assert page.count(wheel) == 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == airflow_provider_autoenhance.__version__
    assert set(rows("Install", page)) == project["optional-dependencies"].keys() - {"test", "dev"}


def test_the_sandboxs_page_names_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    told = capsys.readouterr().out
    page = (ROOT / "docs" / "sandbox.md").read_text()
    named = set(re.findall(r"`(--[a-z0-9-]+)|`(AUTOENHANCE_\w+)", page))
    assert len(named) >= 10
    assert [name for pair in named for name in pair if name not in told] == []


@pytest.mark.parametrize("thing", EXPLAINED, ids=lambda thing: thing.__name__)
def test_every_public_name_has_an_example_that_holds(thing: Any) -> None:
    about = getdoc(thing) or ""
    names = {name: getattr(airflow_provider_autoenhance, name) for name in airflow_provider_autoenhance.__all__}
    spoken = doctest.DocTestParser().get_doctest(about, names, thing.__name__, None, 0)
    assert doctest.DocTestRunner().run(spoken).failed == 0
    shown = [ast.parse(dedent(block)) for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", about + "\n")]
    nodes = [node for tree in shown for node in ast.walk(tree)]
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert thing.__name__ in used or any(thing.__name__ in each.source for each in spoken.examples)
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        called = call.func.value if isinstance(call.func, ast.Attribute) else call.func
        if isinstance(called, ast.Name) and called.id in names:
            assert {word.arg for word in call.keywords} <= arguments_of(names[called.id])


def arguments_of(thing: Any) -> set[str]:
    made_by = [kind.__init__ for kind in thing.__mro__] if isinstance(thing, type) else [thing]
    return {name for each in made_by for name in signature(each).parameters}


def test_every_public_name_has_its_place() -> None:
    told = "".join(page.read_text() for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    assert [name for name in airflow_provider_autoenhance.__all__ if not re.search(rf"`{name}\b", told)] == []


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda page: page.name,
)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_deployment_names_what_there_is() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    pod, values = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    (container,) = pod["spec"]["containers"]
    assert container["name"] == "base", "what Airflow starts the task in"
    names = {each["name"]: each["value"] for each in container["env"]}
    assert set(names) == {"TMPDIR", MEMORY_VARIABLE}
    assert names["TMPDIR"] == container["volumeMounts"][0]["mountPath"]
    assert f"`{MEMORY_VARIABLE}` ({DEFAULT_MEGABYTES:g})" in page
    assert yaml.safe_load(values["extraSecrets"]["autoenhance"]["stringData"])
    assert f"connection ({Extra().max_requests_per_second:g})" in page
    named = set(re.findall(r"requirements/airflow-[\d.]+\.txt", page))
    assert named == {f"requirements/{path.name}" for path in (ROOT / "requirements").glob("*.txt")}


def test_every_switch_of_the_sandbox_with_its_default() -> None:
    from airflow_provider_autoenhance.sandbox.state.settings import Settings

    page = (ROOT / "docs" / "sandbox.md").read_text()
    table = rows("Its switches", page)
    defaults = Settings().model_dump()
    assert defaults.keys() <= table.keys()
    for name, default in defaults.items():
        if isinstance(default, bool | str) or (type(default) is int and default and name != "max_upload_bytes"):
            told = table[name][1].strip("` ")
            assert str(default).lower() in told.lower(), name


def test_the_gallery_has_the_fields_that_are_described() -> None:
    assert rows("Pictures for people", OUTPUTS).keys() == Entry.__annotations__.keys()
    assert f"Pictures of up to {MAX_PICTURED} photos" in OUTPUTS
