"""A presigned source gets to the task whole, and to nowhere else: not to a log, and not to Airflow's database."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from jinja2 import Environment

from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.operators.images import AutoenhanceUploadImageOperator
from airflow_provider_autoenhance.sensors.status import AutoenhanceImageStatusSensor
from tests.storage.web_host import Host, page
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import connection_of, context, run_dag_file, without_masking

DAGS = Path(__file__).parents[1] / "support" / "dags"
SECRET = "c2VjcmV0c2VjcmV0"
#: A slash in a signature cuts a name in two; a short query is one, too.
QUERIES = {
    "one": f"?AWSAccessKeyId=ASIA{SECRET}&Signature=x/{SECRET}/y%3D&Expires=1790000000",
    "two": f"?t={SECRET}",
}


@pytest.fixture
def web() -> Iterator[Host]:
    with Host() as host:
        for number, (name, query) in enumerate(QUERIES.items()):
            host.paths[f"/day/{name}.jpg"] = page(photo(shade=60 + number), query)
        yield host


@pytest.fixture
def urls(web: Host, autoenhance: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Presigned addresses, as Airflow variables too."""
    allowing = json.loads(connection_of(autoenhance, "AUTOENHANCE_DEFAULT")) | {
        "extra": {"allow_private_sources": True}
    }
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(allowing))
    found = {name: web.url(f"/day/{name}.jpg{query}") for name, query in QUERIES.items()}
    for name, url in found.items():
        monkeypatch.setenv(f"AIRFLOW_VAR_PHOTO_{name.upper()}", url)
    return found


def test_on_a_real_airflow(
    urls: dict[str, str],
    web: Host,
    autoenhance: Sandbox,
    airflow_db: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PRESIGNED_TO", str(tmp_path))
    autoenhance.settings(processing_seconds=[1.0, 1.0])
    done = run_dag_file(DAGS / "presigned_dag.py", "2026-05-01", {})
    assert (tmp_path / "given.txt").read_text().splitlines() == [f"function {urls['two']}"]  # once, whatever the wait
    folder = tmp_path / "out"
    landed = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.jpg"))
    assert landed == ["one.jpg", "two.jpg"], done.stdout[-4000:]
    assert SECRET not in without_masking(done.stdout)
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file.name != "given.txt" and _holds(file)]
    home = Path(os.environ["AIRFLOW_HOME"])
    assert not [file for file in home.rglob("*") if file.is_file() and _holds(file)]
    names, fields = _stored(home / "airflow.db")
    base = web.url("/day")
    assert names == {
        ("mapped", "one.jpg"),
        ("mapped", "two.jpg … one.jpg"),
        ("named", f"['{base}/two.jpg']"),
    }
    assert fields["mapped", 0]["source"] == [f"{base}/one.jpg"]
    assert fields["templated", -1]["source"] == [f"{base}/one.jpg", "/nowhere/2026-05-01.jpg"]
    assert fields["asked", -1]["op_kwargs"] == {"where": {"two": f"{base}/two.jpg"}}
    assert fields["asked", -1]["source"] == [f"{base}/one.jpg", f"{base}/two.jpg"]
    assert fields["create", -1]["metadata"] == {"from": f"{base}/two.jpg"}
    assert fields["upload", -1]["source"] == f"{base}/one.jpg"
    given = [image["metadata"].get("from") for image in autoenhance.ledger()["images"] if image["name"] == "one.jpg"]
    assert given == [urls["two"]]  # what the user gives goes to Autoenhance whole


def _holds(file: Path) -> bool:
    return SECRET.encode() in file.read_bytes()


def _stored(database: Path) -> tuple[set[tuple[str, str]], dict[tuple[str, int], dict[str, Any]]]:
    """Return names of map indexes, and rendered fields by task and map index."""
    dag = ("presigned_dag",)
    with sqlite3.connect(database) as db:
        names = db.execute(
            "SELECT task_id, rendered_map_index FROM task_instance WHERE dag_id = ? AND map_index >= 0", dag
        ).fetchall()
        rows = db.execute(
            "SELECT task_id, map_index, rendered_fields FROM rendered_task_instance_fields WHERE dag_id = ?", dag
        ).fetchall()
    db.close()
    return set(names), {(task, index): json.loads(fields) for task, index, fields in rows}


def rendered(operator: Any, **about: Any) -> Any:
    """Return an operator as Airflow renders it before it runs."""
    operator = operator.prepare_for_execution()
    operator.render_template_fields(about, Environment())
    return operator


def test_fields_are_whole_only_while_the_task_runs(urls: dict[str, str], tmp_path: Path) -> None:
    url = urls["one"]
    it = rendered(AutoenhanceEnhanceOperator(task_id="e", source=["{{ url }}"], destination=str(tmp_path)), url=url)
    assert SECRET not in str([getattr(it, field) for field in it.template_fields])
    assert it.listing == "one.jpg"
    with it.uncovered():
        assert it.source == [url]
        it.render_template_fields({}, Environment())  # as some decorators do
        assert it.source == [url]
    assert SECRET not in str(it.source)
    assert it.execute(context(it))["landed"] == 1
    assert SECRET not in str(it.source)


def test_a_task_that_is_rendered_twice_keeps_what_it_was_given() -> None:
    url = f"https://photos.example/{SECRET}.jpg?Signature={SECRET}"
    it = rendered(AutoenhanceUploadImageOperator(task_id="u", image_id="i", upload_url="", source="{{ url }}"), url=url)
    it.render_template_fields({}, Environment())
    assert it.source == f"https://photos.example/{SECRET}.jpg"
    with it.uncovered():
        assert it.source == url


def test_who_looks_through_all_attributes_sees_none() -> None:
    pytest.importorskip("airflow.providers.openlineage")
    from airflow.providers.openlineage.utils.utils import InfoJsonEncodable

    url = f"https://photos.example/1.jpg?Signature={SECRET}"
    it = rendered(AutoenhanceUploadImageOperator(task_id="u", image_id="i", upload_url="", source="{{ url }}"), url=url)
    assert SECRET not in str(vars(it)) + json.dumps(InfoJsonEncodable(it), default=str)
    again = pickle.loads(pickle.dumps(it._covered))
    assert again.values == [("source", url, "https://photos.example/1.jpg")]


def test_sensors_too() -> None:
    it = rendered(
        AutoenhanceImageStatusSensor(task_id="s", image_id="{{ url }}"), url=f"https://h/1?Signature={SECRET}"
    )
    assert it.image_id == "https://h/1"


@pytest.mark.parametrize(
    "source", ["s3://ASIA:c2VjcmV0@listings/", "s3://ASIA:c2Vj/cmV0@listings/", "gs://k:c2VjcmV0@b/"]
)
def test_a_key_in_the_uri_is_refused_unseen(source: str, autoenhance: Sandbox, s3: SimpleNamespace) -> None:
    it = AutoenhanceEnhanceOperator(task_id="e", source=source, destination="s3://enhanced/")
    with pytest.raises(AirflowFailException, match="Airflow connection") as failed:
        it.execute(context(it))
    assert "c2Vj" not in str(failed.value) + it.listing
