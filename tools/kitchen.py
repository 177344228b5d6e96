"""Installs the servers that the commands need beside Airflow, and starts them on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tools.airflow_home import REPOSITORY, clean_environment
from tools.processes import Child, Children

#: A user of Debian's that nobody logs in as.
PLAIN_USER = "daemon"
_INSTALL_SECONDS = 900
_START_SECONDS = 60


class Kitchen:
    """Installs and starts the servers.

    :param children: where what it starts is ended.
    :param temporary: where what it makes outside ``.run`` is deleted.
    :param logs: the folder of their logs.
    """

    def __init__(self, children: Children, temporary: ExitStack, logs: Path) -> None:
        self.children = children
        self._temporary = temporary
        self._logs = logs

    def temporary_folder(self) -> Path:
        """Make a folder that any user can reach, wherever the checkout lies; it is deleted at the end."""
        folder = Path(tempfile.mkdtemp(prefix="autoenhance-servers-"))
        folder.chmod(0o755)
        self._temporary.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def install(self, what: str, command: Sequence[str], *, folder: Path = REPOSITORY) -> None:
        """Run an installer to its end.

        :raises ProcessError: naming what could not be installed.
        """
        command = ["env", f"--chdir={folder}", *command]
        self.run(f"installing {what}", command, environment=dict(os.environ), seconds=_INSTALL_SECONDS)

    def run(self, what: str, command: Sequence[str], *, environment: Mapping[str, str], seconds: float) -> None:
        """Run a command to its end.

        :raises ProcessError: it failed, or took longer than ``seconds``.
        """
        log = self._logs / f"{what.replace(' ', '-')}.log"
        self.children.run(what, command, environment=environment, log=log, seconds=seconds)

    def serve(self, name: str, port: int, command: Sequence[str], **environment: str) -> Child:
        """Start a server and wait until it listens."""
        child = self.children.start(
            name, command, environment=clean_environment() | environment, log=self._logs / f"{name}.log"
        )
        child.wait_until(lambda: _listens(port), seconds=_START_SECONDS, what="listening")
        return child


def as_plain_user(command: Sequence[str], folder: Path) -> list[str]:
    """Return the command that runs ``command`` without root's rights, and give ``folder`` to who then runs it.

    For root only: who is not root cannot be somebody else, and need not.
    """
    if os.geteuid() != 0:
        return list(command)
    subprocess.run(["chown", "--recursive", PLAIN_USER, str(folder)], check=True)
    return ["setpriv", f"--reuid={PLAIN_USER}", "--regid=nogroup", "--clear-groups", *command]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
