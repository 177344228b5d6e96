"""docker-compose.yaml is valid, names only what exists, listens on loopback alone, and holds no secret."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.local_service import LocalService

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
    """Make the secrets; by path under the folder, of which each service mounts its own part."""
    subprocess.run([sys.executable, str(ROOT / "docker" / "make_secrets.py"), str(folder)], check=True)
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def _mounts(service: dict[str, Any]) -> dict[str, str]:
    """Volumes by the folder at which a service has them."""
    return {volume.split(":")[1]: volume.split(":")[0] for volume in service.get("volumes", [])}


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    first = _make_secrets(tmp_path / "one")
    assert _make_secrets(tmp_path / "one") == first
    other = _make_secrets(tmp_path / "other")
    assert [name for name in first if first[name] == other[name]] == []


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_secret_that_a_service_reads_is_made_for_it(tmp_path: Path, name: str) -> None:
    service = SERVICES[name]
    made = _make_secrets(tmp_path)
    parts = {target.rpartition("/")[2]: volume for target, volume in _mounts(SERVICES["secrets"]).items()}
    texts = [*map(str, service.get("environment", {}).values()), *map(str, service.get("command", []))]
    read = [Path(word) for text in texts for word in shlex.split(text) if re.match(r"/run/\w+-\w+/", word)]
    for path in read:
        volume = _mounts(service)[str(path.parent)]
        part = next(part for part, of in parts.items() if of == volume)
        assert f"{part}/{path.name}" in made


def test_a_worker_has_neither_the_database_nor_the_keys_of_the_server(tmp_path: Path) -> None:
    assert {name for name in _make_secrets(tmp_path) if name.startswith("worker/")} == {
        "worker/api-secret-key", "worker/celery-broker-url", "worker/celery-result-backend",
    }  # fmt: skip
    assert _mounts(SERVICES["worker"])["/run/airflow-secrets"] == "secrets-worker"
    assert "login" not in _mounts(SERVICES["worker"]).values()


def test_airflow_may_write_the_file_of_logins(tmp_path: Path) -> None:
    """The API server opens it for appending."""
    _make_secrets(tmp_path)
    mounted = next(volume for volume in SERVICES["api-server"]["volumes"] if volume.startswith("login:"))
    assert not mounted.endswith(":ro")
    if os.geteuid() == 0:
        assert (tmp_path / "login" / "passwords.json").stat().st_uid == 50000


def test_other_users_in_the_containers_can_read_the_secrets(tmp_path: Path) -> None:
    _make_secrets(tmp_path)
    assert all(file.stat().st_mode & stat.S_IROTH for file in tmp_path.rglob("*"))


@pytest.mark.parametrize(("host", "free"), [("http://sandbox:8787", True), ("https://api.autoenhance.ai", False)])
def test_sample_photos_are_put_only_where_nobody_pays(host: str, free: bool) -> None:
    connections = {
        name: re.sub(r"\$\{AUTOENHANCE_HOST[^}]*\}", host, str(value))
        for name, value in SERVICES["sample-photos"]["environment"].items()
        if name.startswith("AIRFLOW_CONN_")
    }
    assert LocalService(connections).is_free is free
