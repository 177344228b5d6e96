"""All components of an Airflow, each a process of its own, as ``make up`` and ``make e2e`` run them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tools.airflow_api import AirflowApi
from tools.airflow_home import AirflowHome, migrate
from tools.processes import Child, Children, ProcessError

# Log servers are left out: all components share one log folder, and nothing should listen beyond loopback.
COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
_START_SECONDS = 180
_FOREIGN_SECONDS = 30


@dataclass
class LiveAirflow:
    """A running Airflow.

    :param folder: gets a log per component.
    """

    children: Children
    home: AirflowHome
    folder: Path
    environment: Mapping[str, str]
    components: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.api = AirflowApi(self.home)

    def start(self, name: str) -> None:
        """Start a component, or start it again."""
        # Not from the working directory: what an editable install leaves there doubles the package's plugin, and Airflow then drops all
        # plugins that come after a double.
        command = [*self.prefix_of(name), str(self.home.python), "-P", "-m", "airflow", *self.command_of(name)]
        environment = self.environment_of(name)
        self.components[name] = self.children.start(
            name, command, environment=environment, log=self.folder / f"{name}.log"
        )

    def command_of(self, name: str) -> list[str]:
        """What Airflow's command line is given for a component."""
        return COMPONENTS[name]

    def prefix_of(self, name: str) -> list[str]:
        """What a component's program is started by, where something has to be done before."""
        return []

    def environment_of(self, name: str) -> dict[str, str]:
        """A component's whole environment."""
        return {**self.environment, **(self.home.api_server() if name == "api-server" else {})}

    def kill(self, name: str) -> None:
        """Kill a component and everything that it started, without a word (SIGKILL)."""
        child = self.components.pop(name)
        child.send_all(signal.SIGKILL)
        child.wait(timeout=10)
        self.children.forget(child)

    def freeze(self, name: str) -> None:
        """Stop a component and everything that it started where they are, as when a machine stands still."""
        self.components[name].send_all(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen component go on."""
        self.components[name].send_all(signal.SIGCONT)

    def wait_until_usable(self, *, foreign_dags: bool = False) -> None:
        """Wait until the API answers, every component reports healthy, and every DAG file has been read.

        :param foreign_dags: the folder may hold anybody's files: one that is broken, or that shows no DAG soon, holds nothing up.
        """
        self.components["api-server"].wait_until(self.api.healthy, seconds=_START_SECONDS, what="healthy")
        processor, what = self.components["dag-processor"], f"done reading {self.home.dags}"
        if not foreign_dags:
            processor.wait_until(lambda: not self.unread_files(), seconds=_START_SECONDS, what=what)
            return
        with suppress(ProcessError):
            processor.wait_until(lambda: not self.unread_files(broken=True), seconds=_FOREIGN_SECONDS, what=what)

    def unread_files(self, *, broken: bool = False) -> set[str]:
        """Return the names of the DAG files that show no DAG.

        :param broken: leave out those that Airflow could not read.
        """
        files = {file.name for file in self.home.dags.glob("*.py") if "@dag" in file.read_text(errors="replace")}
        files -= self.api.dag_files()
        return files - {Path(name).name for name in self.api.broken_files()} if broken else files


def start_live_airflow(
    children: Children,
    home: AirflowHome,
    folder: Path,
    extra: Mapping[str, str],
    *,
    prepare: Callable[[AirflowApi], None] = lambda _api: None,
    foreign_dags: bool = False,
) -> LiveAirflow:
    """Make a home and a database, start all components, and return when they are usable.

    :param extra: environment variables beside those of the home.
    :param prepare: makes what the DAGs need, before the first of them is read, and may run.
    :param foreign_dags: the folder of DAG files may hold anybody's.
    """
    home.create()
    environment = home.environment({}) | {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(max(4, os.cpu_count() or 1)),
        **extra,
    }
    migrate(children, environment, folder)
    airflow = LiveAirflow(children, home, folder, environment)
    for name in COMPONENTS:
        if name != "dag-processor":
            airflow.start(name)
    airflow.components["api-server"].wait_until(airflow.api.answers, seconds=_START_SECONDS, what="there")
    prepare(airflow.api)
    airflow.start("dag-processor")
    airflow.wait_until_usable(foreign_dags=foreign_dags)
    return airflow
