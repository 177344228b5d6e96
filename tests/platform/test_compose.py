"""docker-compose.yaml is valid, names only what exists, listens on loopback alone, and holds no secret."""

from __future__ import annotations

import json
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
LONG_RUNNING = {name for name, service in SERVICES.items() if service.get("restart") != "no"}


def test_it_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_it_has_every_part_of_a_celery_airflow() -> None:
    commands = {" ".join(service.get("command", [])) for service in SERVICES.values()}
    assert {"api-server", "scheduler", "dag-processor", "triggerer", "celery worker", "db migrate"} <= commands
    assert {"postgres", "redis", "sandbox"} <= set(SERVICES)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_files_that_a_service_names_exist(name: str) -> None:
    service = SERVICES[name]
    mounted = [volume.split(":")[0] for volume in service.get("volumes", []) if volume.startswith(".")]
    built = [service["build"]["dockerfile"]] if "build" in service else []
    assert [path for path in mounted + built if not (ROOT / path).exists()] == []


def test_what_the_image_copies_exists_and_reaches_the_build() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE) for word in line.split()[1:-1]]
    allowed = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert copied
    assert [path for path in copied if not (ROOT / path).exists() or f"!{path}" not in allowed] == []


def test_the_image_is_of_the_airflow_that_the_makefile_installs() -> None:
    makefile = re.search(r"^AIRFLOW_VERSION \?= (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    dockerfile = re.search(r"^ARG AIRFLOW_VERSION=(\S+)$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    assert makefile
    assert dockerfile
    assert makefile[1] == dockerfile[1] == SERVICES["scheduler"]["image"].rpartition(":")[2]


@pytest.mark.parametrize("name", sorted(LONG_RUNNING))
def test_each_lasting_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_loopback_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_a_service_waits_for_can_come_true(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        lasting = needed in LONG_RUNNING
        assert how["condition"] == ("service_healthy" if lasting else "service_completed_successfully")


def test_every_secret_comes_from_a_file_or_the_environment() -> None:
    secret = re.compile(r"(KEY|SECRET|PASSWORD|SQL_ALCHEMY_CONN|RESULT_BACKEND)(_CMD|_FILE|S_FILE)?$")
    for name, service in SERVICES.items():
        found = [variable for variable in service.get("environment", {}) if secret.search(variable)]
        assert [variable for variable in found if not variable.endswith(("_CMD", "_FILE"))] == [], name


@pytest.mark.parametrize("connection", ["AUTOENHANCE", "AWS"])
def test_connections_are_json_once_the_environment_is_filled_in(connection: str) -> None:
    text = SERVICES["worker"]["environment"][f"AIRFLOW_CONN_{connection}_DEFAULT"]
    assert json.loads(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))["conn_type"] == connection.lower()


def _make_secrets(folder: Path) -> dict[str, str]:
    subprocess.run([sys.executable, str(ROOT / "docker" / "make_secrets.py"), str(folder)], check=True)
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    first = _make_secrets(tmp_path / "one")
    assert _make_secrets(tmp_path / "one") == first
    other = _make_secrets(tmp_path / "other")
    assert [name for name in first if first[name] == other[name]] == []


def test_every_secret_file_that_a_service_reads_is_made(tmp_path: Path) -> None:
    made = set(_make_secrets(tmp_path))
    environments = [str(value) for service in SERVICES.values() for value in service.get("environment", {}).values()]
    paths = [word for text in environments for word in shlex.split(text) if word.startswith("/run/airflow-secrets/")]
    assert paths
    assert {Path(path).name for path in paths} <= made


def test_other_users_in_the_containers_can_read_the_secrets(tmp_path: Path) -> None:
    _make_secrets(tmp_path)
    assert all(file.stat().st_mode & stat.S_IROTH for file in tmp_path.iterdir())
