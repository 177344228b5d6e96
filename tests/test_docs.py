"""The docs name everything that users meet, and nothing that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.config import Extra
from airflow_provider_autoenhance.api.settings import PREFERENCES
from airflow_provider_autoenhance.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()


def rows(section: str) -> dict[str, list[str]]:
    """Return a table's rows by each name in their first cell."""
    text = REFERENCE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    table = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {name: cells for cells in table for name in re.findall(r"`(\w+)`", cells[0])}


def test_every_extra_with_its_default() -> None:
    table = rows("Connection")
    assert set(table) == set(Extra.__dataclass_fields__)
    for name, cells in table.items():
        told = cells[1].strip(" `")
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


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
