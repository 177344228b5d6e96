"""The Airflow of a command is its own: not the user's home, database, connections or AWS account."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tools.airflow_home import AirflowHome, clean_environment, free_port


def test_nothing_of_the_users_airflow_or_aws_account_gets_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    foreign = [
        "AIRFLOW_HOME",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW_CONN_AWS_DEFAULT",
        "AWS_PROFILE",
        "AWS_SECRET_ACCESS_KEY",
    ]
    for name in foreign:
        monkeypatch.setenv(name, "the user's")
    environment = AirflowHome(tmp_path / "home").environment({})
    assert "the user's" not in environment.values()
    assert "AWS_PROFILE" not in clean_environment()


def test_home_database_and_logs_lie_in_its_own_folder(tmp_path: Path) -> None:
    home = AirflowHome(tmp_path / "home")
    environment = home.environment({})
    assert environment["AIRFLOW_HOME"] == str(home.path)
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{home.path}/airflow.db?timeout=60"
    assert Path(environment["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]).is_relative_to(home.path)


def test_creating_it_deletes_what_was_there_and_keeps_the_login_private(tmp_path: Path) -> None:
    home = AirflowHome(tmp_path / "home")
    home.path.mkdir()
    (home.path / "airflow.db").touch()
    home.create()
    (passwords,) = home.path.iterdir()
    assert json.loads(passwords.read_text()) == {"admin": home.password}
    assert passwords.stat().st_mode & 0o077 == 0


def test_two_homes_share_no_secret(tmp_path: Path) -> None:
    one, other = AirflowHome(tmp_path), AirflowHome(tmp_path)
    assert one.password != other.password
    assert one.fernet_key != other.fernet_key
    assert one.jwt_secret != other.jwt_secret
    assert one.password not in repr(one)


def test_connections_are_passed_on(tmp_path: Path) -> None:
    connections = {"AIRFLOW_CONN_AUTOENHANCE_DEFAULT": "{}"}
    assert AirflowHome(tmp_path).environment(connections).items() >= connections.items()


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) not in (0, port)
    assert free_port(port) == port
