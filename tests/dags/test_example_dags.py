"""The example DAGs, on a real Airflow."""

from __future__ import annotations

import importlib.util
import json
from datetime import timedelta
from itertools import groupby, permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_1_PLUS

from airflow_provider_autoenhance.api.settings import PREFERENCES, RESTAGE_VALUES
from airflow_provider_autoenhance.api.versions import DEFAULT_VERSION
from airflow_provider_autoenhance.dag_helpers.params import SECTIONS, UNCHANGED, chosen_settings, settings_params
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceDownloadImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.sensors.status import AutoenhanceImageStatusSensor
from airflow_provider_autoenhance.storage.location import path_inside
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import run, run_dag, without_masking
from tools.leaks import LeakSearch

# What waits for events needs Airflow 3, and is no DAG on Airflow 2.
EVENT_DRIVEN = {"autoenhance_on_order"}
DAGS = [path for path in sorted(Path("dags").glob("*.py")) if AIRFLOW_V_3_0_PLUS or path.stem not in EVENT_DRIVEN]


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.stem)
def test_each_dag_is_named_like_its_file_and_explains_itself(path: Path) -> None:
    dag = getattr(load(path), path.stem)()
    assert dag.dag_id == path.stem
    assert dag.doc_md
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, name
        # Sections are folded up in the form; what each run needs stands above them.
        assert bool(param.schema.get("section")) == (name in settings_params()), name
        assert param.schema["title"][0].isupper(), name


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.stem)
def test_an_outage_of_two_minutes_ends_no_run(path: Path) -> None:
    """Each task comes back until well after that, and never at once."""
    module = load(path)
    tasks = [task for name in vars(module) if name.startswith("autoenhance_") for task in getattr(module, name)().tasks]
    assert tasks
    for task in tasks:
        pauses = [task.retry_delay * 2**number for number in range(task.retries)]
        assert task.retry_exponential_backoff
        assert pauses[0] >= timedelta(seconds=30)
        assert timedelta(minutes=5) < sum(pauses, timedelta()) < timedelta(hours=1)
        assert max(pauses) <= task.max_retry_delay <= timedelta(minutes=15)


def folders(path: Path) -> set[str]:
    """Return the folders that the DAGs of a file read and write by default."""
    module = load(path)
    dags = [getattr(module, name)() for name in vars(module) if name.startswith("autoenhance_")]
    assert dags
    params = [dag.params for dag in dags]
    given = [each[name] for each in params for name in ("source", "destination") if name in each]
    return {folder.replace("{date}", "2026-02-01") for folder in given if folder}


def test_no_two_dags_work_on_one_folder_by_default() -> None:
    """Each would enhance, and pay, what the other one has."""
    of = {path.stem: folders(path) for path in DAGS}
    assert sum(map(bool, of.values())) > 4
    for one, other in permutations(of, 2):
        shared = [(mine, its) for mine in of[one] for its in of[other] if path_inside(mine, its) is not None]
        assert shared == [], (one, other)


def test_the_form_offers_every_setting_with_its_values() -> None:
    params = settings_params()
    for name, preference in PREFERENCES.items():
        if name == "restage" or not preference.known_to(DEFAULT_VERSION):
            assert name not in params
        elif preference.values:
            assert params[name].schema["enum"] == [UNCHANGED, *preference.values_for(DEFAULT_VERSION)]
            assert params[name].resolve() is UNCHANGED
    assert {f"restage_{switch}" for switch in RESTAGE_VALUES} <= set(params)
    assert "brightness_boost" in settings_params("2024-10-01")


def test_the_form_shows_each_section_once_in_one_piece() -> None:
    for version in (DEFAULT_VERSION, "2024-10-01"):
        shown = [param.schema["section"] for param in settings_params(version).values()]
        assert [section for section, _ in groupby(shown)] == [section for section in SECTIONS if section in shown]
    assert {name for names in SECTIONS.values() for name in names} <= set(PREFERENCES)


def test_no_drop_down_sends_none_as_text_where_airflow_cannot_tell_the_two_apart() -> None:
    """Airflow's form before 3.1 sends the null entry of a drop-down as the text "None"."""
    sent = None if AIRFLOW_V_3_1_PLUS else "unchanged"
    for param in settings_params().values():
        assert "enum" not in param.schema or param.schema["enum"][0] == sent
    assert chosen_settings({name: param.resolve() for name, param in settings_params().items()}) == {}


def test_what_the_form_leaves_empty_is_not_sent() -> None:
    blank = dict.fromkeys(settings_params())
    assert chosen_settings(blank) == {}
    filled = blank | {
        "enhance_type": "warm",
        "sky_replacement": "true",
        "restage_grass": "GREEN",
        "finetune_settings": {},
    }
    assert chosen_settings(filled) == {"enhance_type": "warm", "sky_replacement": "true", "restage": {"grass": "GREEN"}}


def labels(dag_id: str) -> dict[str, list[str | None]]:
    """Return what Airflow's database has as the names of mapped tasks, in order of their map index."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    found: dict[str, list[str | None]] = {}
    with create_session() as session:
        mapped = session.query(TaskInstance).filter(TaskInstance.dag_id == dag_id, TaskInstance.map_index >= 0)
        for each in mapped.order_by(TaskInstance.map_index):
            found.setdefault(each.task_id, []).append(each.rendered_map_index)
    return found


@pytest.mark.usefixtures("airflow_db")
def test_quickstart_lands_every_photo_once_however_often_the_run_is_cleared(
    autoenhance: Sandbox, s3: SimpleNamespace
) -> None:
    for name in ("kitchen.jpg", "upstairs/bedroom.png"):
        s3.put(f"maple/{name}", photo("PNG" if name.endswith("png") else "JPEG"))
    conf = {"source": "s3://listings/maple", "destination": "s3://enhanced/maple/", "preview": False}
    runs = [run_dag("autoenhance_quickstart", "2026-01-01", conf) for _ in range(2)]
    for each in runs:
        assert each.returncode == 0, each.stdout[-3000:]
        assert autoenhance.api_key not in without_masking(each.stdout)
        assert LeakSearch({}).look(without_masking(each.stdout).encode()) == set()
    assert s3.keys() == ["maple/kitchen.jpg", "maple/upstairs/bedroom.png.jpg"]
    assert labels("autoenhance_quickstart") == {
        "enhance.create": ["maple/kitchen.jpg", "maple/upstairs/bedroom.png"],
        "enhance.upload": ["kitchen.jpg", "bedroom.png"],
        "enhance.wait": ["maple/kitchen.jpg", "maple/upstairs/bedroom.png"],
        "enhance.download": ["kitchen.jpg", "bedroom.png.jpg"],
    }
    ledger = autoenhance.ledger()
    assert (ledger["images_created"], ledger["uploads_received"], ledger["credits"]["spent"]) == (2, 2, 2)
    assert len(ledger["api_key_hosts"]) == 1
    assert {image["name"] for image in ledger["images"]} == {"maple/kitchen.jpg", "maple/upstairs/bedroom.png"}


@pytest.mark.one_version
@pytest.mark.usefixtures("airflow_db")
def test_one_bad_photo_fails_by_name_and_the_others_land(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("oak/good.jpg", photo())
    s3.put("oak/bad.jpg", photo()[:-50])
    conf = {"source": "s3://listings/oak/", "destination": "s3://enhanced/oak/", "preview": False}
    run = run_dag("autoenhance_quickstart", "2026-01-02", conf)
    assert run.returncode != 0
    assert "s3://listings/oak/bad.jpg: the file is cut short" in run.stdout
    assert s3.keys() == ["oak/good.jpg"]
    assert autoenhance.ledger()["credits"]["spent"] == 1


@pytest.mark.usefixtures("airflow_db")
def test_reprocess_from_the_form(autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    s3.put("elm/kitchen.jpg", photo())
    source = "s3://listings/elm/kitchen.jpg"
    created = run(AutoenhanceCreateImageOperator(task_id="create", image_name="elm/kitchen.jpg", source=source))
    ticket = {name: created[name] for name in ("image_id", "upload_url")}
    run(AutoenhanceUploadImageOperator(task_id="upload", source=source, **ticket))
    run(AutoenhanceImageStatusSensor(task_id="wait", image_id=created["image_id"], poke_interval=0.1))
    run(
        AutoenhanceDownloadImageOperator(
            task_id="download", image_id=created["image_id"], destination="s3://enhanced/elm/kitchen.jpg", preview=False
        )
    )
    image_id = created["image_id"]
    conf: dict[str, Any] = {
        "image_ids": [image_id, f" {image_id} "],
        "enhance_type": "warm",
        "destination": "s3://enhanced/again",
        "preview": False,
    }
    done = run_dag("autoenhance_reprocess", "2026-01-03", conf)
    assert done.returncode == 0, done.stdout[-3000:]
    ledger = autoenhance.ledger()
    assert ledger["images"][0]["settings"]["enhance_type"] == "warm"
    assert ledger["credits"]["spent"] == 1
    assert s3.keys() == ["again/elm/kitchen.jpg", "elm/kitchen.jpg"]
    assert json.dumps(ledger["images"][0]["settings"]).count("null") == 0
