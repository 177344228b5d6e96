"""All services of docker-compose.yaml as processes on loopback: two workers, and as many triggerers as one likes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tools.airflow_home import ADMIN, DAGS, AirflowHome, clean_environment, free_port
from tools.celery.compose import Compose
from tools.celery.door import Door
from tools.celery.servers import PYTHON, Postgres, Redis, install_environment
from tools.celery.small_disk import SmallDisk
from tools.console import detail, step
from tools.kitchen import Kitchen
from tools.live_airflow import LiveAirflow
from tools.local_service import LocalService
from tools.night_run import DAG_ID
from tools.processes import ProcessError

WORKERS = ("worker-1", "worker-2")
LASTING = ("api-server", "scheduler", "dag-processor", "triggerer", *WORKERS)
_COMMAND_SECONDS = 240
_DRAIN_SECONDS = 300

#: Airflow takes minutes to notice that a part of it has died; here it takes seconds. And two cores that share all of this may answer later
#: than in the 5 s that Airflow gives its API server.
_QUICK = {
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
    "AUTOENHANCE_ORDER_POLL_SECONDS": "5",
}


@dataclass(kw_only=True)
class CeleryAirflow(LiveAirflow):
    """A running Airflow with Celery. A component is called as its service, with a number behind it where there are more.

    :param compose: where commands and environments come from.
    :param s3: the door to S3.
    :param more: variables that a component has beside its service's, from its next start on.
    :param disks: small disks for the temporary files of a component, likewise.
    """

    compose: Compose
    s3: Door
    postgres: Postgres
    redis: Redis
    more: dict[str, dict[str, str]] = field(default_factory=dict)
    disks: dict[str, SmallDisk] = field(default_factory=dict)

    def command_of(self, name: str) -> list[str]:
        """What Airflow's command line is given for a component: the service's command."""
        command = self.compose.command(_service(name))
        if name in WORKERS:
            # Else both would be one and the same to Celery, as no two containers are. Four tasks suit a small machine.
            command += ["--celery-hostname", f"{name}@%h", "--concurrency", "4"]
        # All share one folder of logs, and nothing should listen beyond loopback.
        return command + (["--skip-serve-logs"] if _service(name) in ("worker", "scheduler", "triggerer") else [])

    def environment_of(self, name: str) -> dict[str, str]:
        """A component's whole environment: the service's, and where folders and ports are here."""
        return {**self.environment, **self.compose.environment(_service(name)), **self.more.get(name, {})}

    def prefix_of(self, name: str) -> list[str]:
        """What mounts a component's small disk, where it has one."""
        return self.disks[name].prefix() if name in self.disks else []

    def finish(self, name: str) -> None:
        """Stop a component as ``docker compose stop`` does: its first process alone is asked, and may finish what it has begun.

        :raises ProcessError: it took longer than the five minutes that docker-compose.yaml gives a worker.
        """
        child = self.components.pop(name)
        child.send(signal.SIGTERM)
        try:
            child.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{name} did not end within {_DRAIN_SECONDS} s: {child.log}") from None
        self.children.forget(child)

    def restart(self, name: str) -> None:
        """Stop a component and start it again."""
        self.finish(name)
        self.start(name)

    @contextmanager
    def kept_running(self) -> Iterator[None]:
        """For the duration of the block, start again what ends by itself, as ``restart: unless-stopped`` does."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(2):
                for name, child in list(self.components.items()):
                    if not child.running() and self.components.get(name) is child:
                        detail(f"{name} had ended by itself and is started again")
                        self.children.forget(child)
                        self.start(name)

        watcher = threading.Thread(target=watch, name="restart", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def restore(self) -> None:
        """Kill the components that differ from their services, and start them as these are."""
        changed = list(self.more)
        self.more.clear()
        self.disks.clear()
        for name in changed:
            if name in self.components:
                self.kill(name)
            self.start(name)

    def mend(self) -> None:
        """Bring back what a night that went wrong has left dead, frozen or shut, and end its run: it keeps the next one waiting."""
        self.s3.set("open")
        for server in (self.postgres, self.redis):
            if server.child is None or not server.child.running():
                server.start()
        for name in list(self.components):
            self.thaw(name)
        self.restore()
        for name in LASTING:
            if name not in self.components:
                self.start(name)
        self.wait_until_usable()
        path = f"dags/{DAG_ID}/dagRuns"
        for run in self.api.get(f"{path}?state=running&state=queued")["dag_runs"]:
            self.api.patch(f"{path}/{run['dag_run_id']}", {"state": "failed"})

    def run(self, service: str) -> None:
        """Run a service that comes to an end."""
        command = [str(PYTHON), "-P", "-m", "airflow", *self.command_of(service)]
        log = self.folder / f"{service}.log"
        environment = self.environment_of(service)
        self.children.run(service, command, environment=environment, log=log, seconds=_COMMAND_SECONDS)

    @classmethod
    def started(cls, kitchen: Kitchen, folder: Path, service: LocalService, s3: Door, *, scheduling: bool) -> Self:
        """Install what is needed, make everything afresh, start it, and return when it is usable.

        :param folder: gets logs, home and secrets.
        :param s3: the door through which tasks go to the service's S3.
        :param scheduling: let DAGs run by the clock and by events too. Else no nightly of its own keeps the first night waiting.
        """
        step(f"Installing Airflow with Celery, PostgreSQL and Redis from PyPI into {PYTHON.parents[1]}")
        install_environment(kitchen)
        step("Starting PostgreSQL, Redis, and what docker-compose.yaml starts, with two workers")
        airflow = cls.made(kitchen, folder, service, s3, {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": str(scheduling)})
        airflow.postgres.create()
        airflow.redis.start()
        airflow.run("migrate")
        for name in LASTING:
            airflow.start(name)
        airflow.run("pool")  # while the others start: nothing needs it before they have
        airflow.wait_until_usable()
        return airflow

    @classmethod
    def made(cls, kitchen: Kitchen, folder: Path, service: LocalService, s3: Door, more: Mapping[str, str]) -> Self:
        ports = {name: free_port() for name in ("api", "health", "postgres", "redis")}
        home, secrets, data = folder / "airflow", folder / "secrets", folder / "redis"
        for path in (home, data):
            path.mkdir(parents=True)
        compose = Compose(
            secrets, _addresses({**ports, "s3": s3.port}, service, data), {"AUTOENHANCE_API_KEY": service.api_key}
        )
        compose.make_secrets()
        shutil.copytree(DAGS, folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
        password = json.loads((secrets / "login" / "passwords.json").read_text())[ADMIN]
        return cls(
            kitchen.children,
            AirflowHome(home, folder / "dags", ports["api"], PYTHON, password),
            folder,
            clean_environment() | _native(home, folder / "dags", ports) | _QUICK | more,
            compose=compose,
            s3=s3,
            postgres=Postgres(kitchen, ports["postgres"], secrets / "postgres" / "password"),
            redis=Redis(kitchen, ports["redis"], secrets / "redis"),
        )


def _service(name: str) -> str:
    """The service that a component is one of: ``worker-2`` of ``worker``."""
    return name.rstrip("0123456789").rstrip("-")


def _addresses(ports: dict[str, int], service: LocalService, data: Path) -> dict[str, str]:
    """Return ours by docker-compose.yaml's."""
    api = f"http://127.0.0.1:{ports['api']}"
    return {
        "http://api-server:8080": api,
        "http://127.0.0.1:8080": api,
        "http://sandbox:8787": service.api,
        "http://sandbox:8788": f"http://127.0.0.1:{ports['s3']}",
        "@postgres/": f"@127.0.0.1:{ports['postgres']}/",
        "@redis:6379/": f"@127.0.0.1:{ports['redis']}/",
        "dir /data": f"dir {data}",
    }


def _native(home: Path, dags: Path, ports: dict[str, int]) -> dict[str, str]:
    """What a container has by being one: folders, and ports of its own."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ports["api"]),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(ports["health"]),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PATH": f"{PYTHON.parent}:/usr/bin:/bin",
    }
