"""What docker-compose.yaml says of each service, with the folders and addresses of a native run in place of the containers'.

So the two cannot drift: a service that reads what is not known here is refused by name.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.airflow_home import REPOSITORY
from tools.processes import ProcessError

FILE = REPOSITORY / "docker-compose.yaml"
_MAKE_SECRETS = REPOSITORY / "docker" / "make_secrets.py"


class Compose:
    """The file, read for one native run.

    :param secrets: the folder in which the secrets are made, as the service ``secrets`` makes them in its volumes.
    :param addresses: what stands there for an address of ours: ``{"@redis:6379": "@127.0.0.1:40001", ...}``.
    :param variables: values of the variables that the file leaves to whoever starts it.
    """

    def __init__(self, secrets: Path, addresses: Mapping[str, str], variables: Mapping[str, str]) -> None:
        self.services: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
        self.secrets = secrets
        self._addresses = addresses
        self._variables = variables

    def make_secrets(self) -> None:
        """Make the secrets, with our addresses in them."""
        subprocess.run([sys.executable, str(_MAKE_SECRETS), str(self.secrets)], check=True)
        for file in self.secrets.rglob("*"):
            if file.is_file():
                file.write_text(self._here(file.read_text()))

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of a service.

        :raises ProcessError: it names a folder or an address of the containers that has no counterpart here.
        """
        found = {name: self._native(service, str(value)) for name, value in self._environment(service).items()}
        for name, value in found.items():
            if left := self._containers(value):
                raise ProcessError(f"{FILE.name}: {name} of {service} names {left}, for which a native run has nothing")
        return found

    def command(self, service: str) -> list[str]:
        """Return what Airflow's command line is given in a service."""
        return [self._native(service, str(word)) for word in self.services[service]["command"]]

    def _environment(self, service: str) -> dict[str, Any]:
        return dict(self.services[service].get("environment", {}))

    def _native(self, service: str, text: str) -> str:
        filled = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: self._variables.get(found[1], found[2]), text)
        for folder, path in self._folders(service).items():
            filled = filled.replace(folder, str(path))
        return self._here(filled)

    def _here(self, text: str) -> str:
        for there, here in self._addresses.items():
            text = text.replace(there, here)
        return text

    def _folders(self, service: str) -> dict[str, Path]:
        """Volumes with secrets, by where a service has them."""
        made = {
            volume: self.secrets / Path(target).name
            for volume, target in self._volumes("secrets")
            if target.startswith("/run/")
        }
        return {target: made[volume] for volume, target in self._volumes(service) if volume in made}

    def _volumes(self, service: str) -> list[tuple[str, str]]:
        volumes = [volume.split(":") for volume in self.services[service].get("volumes", [])]
        return [(volume[0], volume[1]) for volume in volumes]

    def _containers(self, text: str) -> str | None:
        """What a text names that only containers have: a folder of secrets, or another service's host."""
        hosts = "|".join(map(re.escape, self.services))
        text = text.replace(str(self.secrets), "")
        found = re.search(rf"/run/[\w./-]+|(?:://|@)(?:{hosts})\b[:\d]*", text)
        return found[0] if found else None
