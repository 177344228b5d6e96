"""An Airflow of its own for each command: home, database, keys and ports under ``.run/``, apart from the user's."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tools.processes import Children

REPOSITORY = Path(__file__).resolve().parent.parent
RUN = REPOSITORY / ".run"
DAGS = REPOSITORY / "dags"
ADMIN = "admin"
PYTHON = Path(sys.executable)
_MIGRATE_SECONDS = 180

# What the user's shell may hold for another Airflow or another AWS account stays out of ours.
_FOREIGN = ("AIRFLOW", "_AIRFLOW", "AWS_", "AUTOENHANCE")


def free_port(preferred: int = 0) -> int:
    """Return a free loopback port: ``preferred`` if it is free, else any."""
    for candidate in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what belongs to another Airflow or AWS account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    # As an IDE sets it: this folder on the path doubles the package's plugin, and Airflow drops all plugins that come after a double.
    paths = [
        path for path in kept.pop("PYTHONPATH", "").split(os.pathsep) if path and Path(path).resolve() != REPOSITORY
    ]
    kept |= {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}
    return kept | {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class AirflowHome:
    """One isolated Airflow.

    :param path: its home folder; what was there before is deleted by :meth:`create`.
    :param dags: the folder of its DAG files.
    :param port: the port of its API server and UI, on loopback.
    :param python: the interpreter of the environment that it is installed in.
    """

    path: Path
    dags: Path = DAGS
    port: int = 0
    python: Path = PYTHON
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9), repr=False)
    fernet_key: str = field(default_factory=lambda: base64.urlsafe_b64encode(os.urandom(32)).decode(), repr=False)
    jwt_secret: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    @property
    def address(self) -> str:
        """The UI's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def logs(self) -> Path:
        """The folder of the task logs."""
        return self.path / "logs"

    def create(self) -> None:
        """Make the home folder afresh, with the login of the one user."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        self._passwords.write_text(json.dumps({ADMIN: self.password}))
        self._passwords.chmod(0o600)

    def environment(self, connections: dict[str, str]) -> dict[str, str]:
        """Return the whole environment for this Airflow's processes.

        :param connections: ``AIRFLOW_CONN_...`` variables.
        """
        return (
            clean_environment()
            | connections
            | self._core()
            | self._servers()
            | {
                "PATH": os.pathsep.join([str(self.python.parent), os.environ.get("PATH", "")]),
            }
        )

    @property
    def _passwords(self) -> Path:
        return self.path / "passwords.json"

    def _core(self) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__FERNET_KEY": self.fernet_key,
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords),
            # Its components share the file; each may wait a minute for another's write, where the default is 5 s.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database(60),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs),
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            # A task that asks again after 5 s, while SQLite is locked or the API server still loads, keeps it locked.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        }

    def api_server(self) -> dict[str, str]:
        """What the API server needs beside the rest.

        A request that waits for SQLite's lock on its event loop stops that, and with it the request that holds the lock. So it gives up
        soon, and who is answered so asks again.
        """
        return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database(10)}

    def _database(self, seconds: int) -> str:
        return f"sqlite:///{self.path / 'airflow.db'}?timeout={seconds}"

    def _servers(self) -> dict[str, str]:
        return {
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.address,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": self.jwt_secret,
            "AIRFLOW__API_AUTH__JWT_SECRET": self.jwt_secret,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.address}/execution/",
        }


def migrate(children: Children, environment: dict[str, str], folder: Path, *, python: Path = PYTHON) -> None:
    """Make the metadata database of the Airflow that ``environment`` describes; ``folder`` gets the log."""
    command = [str(python), "-m", "airflow", "db", "migrate"]
    children.run(
        "airflow db migrate", command, environment=environment, log=folder / "airflow-db.log", seconds=_MIGRATE_SECONDS
    )
