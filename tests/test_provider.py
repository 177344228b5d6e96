"""What Airflow sees of this provider: its description, its command line, its connection form."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS, AIRFLOW_V_3_3_PLUS

from airflow_provider_autoenhance.get_provider_info import connection_fields, get_provider_info
from tests.support.sandbox import Sandbox

PACKAGE = "airflow_provider_autoenhance"
KINDS = ("hooks", "operators", "sensors", "triggers")
INFO = get_provider_info()


def run_airflow(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airflow", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def run_python(code: str) -> Any:
    """Run code in a fresh interpreter; return the JSON of its last line."""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_its_description_is_what_this_airflow_takes() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_it_lists_every_module_of_its_rooms_and_no_other() -> None:
    root = Path(importlib.import_module(PACKAGE).__file__ or "").parent
    helpers = {
        "assets",
        "base",
        "config",
        "download",
        "extra",
        "wakeup",
        "legacy_form",
        "lineage",
        "links",
        "watermark",
        "photo",
        "rate",
        "stop",
        "ticket",
    }
    for kind in KINDS:
        listed = {module for entry in INFO[kind] for module in entry["python-modules"]}
        files = {file.stem for file in (root / kind).glob("*.py")} - {"__init__"} - helpers
        assert listed == {f"{PACKAGE}.{kind}.{name}" for name in files}
        for module in listed:
            importlib.import_module(module)


def test_its_links_are_those_of_the_operators() -> None:
    listed = {path.rpartition(".")[2] for path in INFO["extra-links"]}
    operators = [
        getattr(importlib.import_module(module), name)
        for entry in INFO["operators"]
        for module in entry["python-modules"]
        for name in dir(importlib.import_module(module))
        if name.startswith("Autoenhance") and name.endswith("Operator")
    ]
    assert {type(link).__name__ for each in operators for link in each.operator_extra_links or ()} == listed
    for path in INFO["extra-links"]:
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(module), name)().name


def test_its_decorator_and_its_plugin_are_where_it_says() -> None:
    for each in INFO["task-decorators"]:
        module, _, name = each["class-name"].rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
    plugins = {
        each.name: each.load() for each in entry_points(group="airflow.plugins") if each.value.startswith(PACKAGE)
    }
    assert {name: plugin.name for name, plugin in plugins.items()} == {"autoenhance_webhook": "autoenhance_webhook"}


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="only Airflow 3 uses them")
def test_airflow_knows_its_configuration() -> None:
    shown = run_python(
        "import json\n"
        "from airflow.configuration import conf\n"
        "from airflow.providers_manager import ProvidersManager\n"
        "ProvidersManager().initialize_providers_configuration()\n"
        "secret = ('autoenhance', 'webhook_token') in conf.sensitive_config_values\n"
        "print(json.dumps([secret, conf.get('autoenhance', 'webhook_conn_id')]))"
    )
    assert shown == [True, "autoenhance_default"]


def test_its_entry_point_leads_to_its_description() -> None:
    points = [point for point in entry_points(group="apache_airflow_provider") if point.module.startswith(PACKAGE)]
    assert points
    for point in points:  # installed in place, it may be found twice
        assert point.load()() == INFO


def test_airflow_lists_everything_it_brings() -> None:
    done = run_airflow("providers", "get", "airflow-provider-autoenhance", "--full", "--output", "json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[{")))[0]
    for kind in KINDS:
        modules = [entry["python-modules"] for entry in INFO[kind]]
        assert [entry["python-modules"] for entry in shown[kind]] == modules
        assert modules
    assert shown["connection-types"][0]["connection-type"] == "autoenhance"


def test_airflow_tests_its_connection_from_the_command_line(
    autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = run_airflow("connections", "test", "autoenhance_default")
    assert right.returncode == 0, right.stdout + right.stderr
    assert "Connection success!" in right.stdout
    wrong = {"conn_type": "autoenhance", "password": "wrong-key-77", "host": autoenhance.url}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(wrong))
    refused = run_airflow("connections", "test", "autoenhance_default")
    assert "Connection failed!" in refused.stdout
    assert "refuses the API key" in " ".join(refused.stdout.split())
    assert "wrong-key-77" not in refused.stdout + refused.stderr
    assert autoenhance.ledger()["credits"]["spent"] == 0


@pytest.mark.skipif(not AIRFLOW_V_3_2_PLUS, reason="before 3.2 the hook brings the form")
def test_the_form_comes_from_the_description_alone() -> None:
    shown = run_python(
        "import json, sys\n"
        "from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService\n"
        "form, = [hook for hook in HookMetaService.hook_meta_data() if hook.connection_type == 'autoenhance']\n"
        f"loaded = '{PACKAGE}.hooks.autoenhance' in sys.modules\n"
        "print(json.dumps({'form': form.model_dump(mode='json'), 'loaded': loaded}))"
    )
    form = shown["form"]
    assert set(form["extra_fields"]) == set(connection_fields())
    for name, field in connection_fields().items():
        assert form["extra_fields"][name]["schema"]["title"] == field["label"]
        assert form["extra_fields"][name]["value"] == field["schema"].get("default")
    assert form["standard_fields"]["password"]["title"] == "API key"
    assert form["standard_fields"]["login"]["hidden"]
    # 3.2 reads the form from the description, but imports every hook all the same, to see whether it is there.
    assert not (shown["loaded"] and AIRFLOW_V_3_3_PLUS)


@pytest.mark.skipif(AIRFLOW_V_3_0_PLUS, reason="Airflow 3 shows the form with no Flask")
def test_the_form_comes_from_widgets_on_airflow_2() -> None:
    shown = run_python(
        "import json\n"
        "from airflow.providers_manager import ProvidersManager\n"
        "manager = ProvidersManager()\n"
        "mine = [each.field_name for name, each in manager.connection_form_widgets.items() if '__autoenhance__' in name]\n"
        "print(json.dumps({'fields': mine, 'standard': manager.field_behaviours['autoenhance']}))"
    )
    assert shown["fields"] == list(connection_fields())
    assert shown["standard"]["relabeling"] == {"password": "API key", "host": "Base URL"}
    assert "login" in shown["standard"]["hidden_fields"]
