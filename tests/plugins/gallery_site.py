"""An ``airflow api-server`` below a base path, whose auth manager denies, and rows in its database as tasks leave them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tools.airflow_home import free_port

BASE = "/air"
PASSWORDS = {"viewer": "viewer-password", "chief": "chief-password"}
_START_SECONDS = 180


class Site:
    """The server, and who asks it."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log
        self._tokens: dict[str, str] = {}

    def token(self, user: str) -> str:
        """Log in."""
        if user not in self._tokens:
            body = json.dumps({"username": user, "password": PASSWORDS[user]})
            answer = self.send("POST", "/auth/token", body, {"Content-Type": "application/json"})
            assert answer[0] == 201, answer
            self._tokens[user] = json.loads(answer[2])["access_token"]
        return self._tokens[user]

    def get(
        self, path: str, user: str | None = "viewer", *, cookie: bool = True, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask for something below ``/autoenhance/gallery``, as a browser would; return status, headers and body.

        :param user: who is logged in; ``bad``: with a token that is none.
        """
        token = "not.a.token" if user == "bad" else self.token(user) if user else ""
        if token:
            headers |= {"Cookie": f"_token={token}"} if cookie else {"Authorization": f"Bearer {token}"}
        return self.send("GET", f"/autoenhance/gallery{path}", None, headers)

    def send(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                method, BASE + path, body, {name.replace("_", "-"): value for name, value in headers.items()}
            )
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


@contextmanager
def serve(folder: Path) -> Iterator[Site]:
    """Start the server over the database of the test run."""
    (folder / "passwords.json").write_text(json.dumps(PASSWORDS))
    site = Site(free_port(), folder / "api-server.log")
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{site.port}{BASE}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(site.port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-for-tests-of-the-gallery-and-nothing-else",
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.plugins.denying.DenyingAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:viewer" for name in PASSWORDS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "NO_PROXY": "127.0.0.1",
    }
    with site.log.open("w") as log:
        command = [sys.executable, "-P", "-m", "airflow", "api-server"]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder)
    try:
        _wait(site, server)
        yield site
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)


def _wait(site: Site, server: subprocess.Popen[bytes]) -> None:
    for _ in range(_START_SECONDS * 2):
        if server.poll() is not None:
            break
        try:
            if site.send("GET", "/api/v2/version", None, {})[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"the API server did not start: {site.log.read_text()[-5000:]}")


def row(session: Any, model: Any, **values: Any) -> None:
    """Add a row; columns that must hold something, and that the test does not care about, hold nothing much."""
    from sqlalchemy import Boolean, Integer, insert

    for column in model.__table__.columns:
        needed = (
            not column.nullable and column.default is None and column.server_default is None and not column.primary_key
        )
        if needed and column.name not in values:
            kind = column.type
            values[column.name] = False if isinstance(kind, Boolean) else 0 if isinstance(kind, Integer) else "x"
    session.execute(insert(model.__table__).values(**values))


def add_run(dag_id: str, run_id: str) -> int:
    """Put a run, and its DAG, into the database; return the run's number."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        if session.get(DagBundleModel, "gallery") is None:
            row(session, DagBundleModel, name="gallery")
        if session.get(DagModel, dag_id) is None:
            row(session, DagModel, dag_id=dag_id, bundle_name="gallery", is_stale=False)
        row(
            session,
            DagRun,
            dag_id=dag_id,
            run_id=run_id,
            run_type="manual",
            state="success",
            run_after=datetime.now(UTC),
        )
        number = session.scalar(select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        assert isinstance(number, int)
        return number


def add_task(
    dag_id: str,
    run_id: str,
    task_id: str = "enhance",
    map_index: int = -1,
    *,
    number: int,
    state: str = "success",
    operator: str = "AutoenhanceEnhanceOperator",
    fields: dict[str, Any] | None = None,
    **xcoms: Any,
) -> None:
    """Put a task into the database as it is when it has run.

    :param number: of its run.
    :param fields: its arguments, rendered.
    :param xcoms: what it has pushed.
    """
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    key = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    with create_session() as session:
        row(session, TaskInstance, **key, state=state, operator=operator, pool="default_pool", rendered_map_index=None)
        if fields is not None:
            row(session, RenderedTaskInstanceFields, **key, rendered_fields=fields)
        for name, value in xcoms.items():
            row(session, XComModel, **key, dag_run_id=number, key=name, value=json.dumps(value))


def path_of(what: str, dag_id: str, run_id: str, *parts: str | int) -> str:
    """The path of a route, each part encoded whole, as the page does."""
    return "/" + "/".join(quote(str(each), safe="") for each in (what, dag_id, *parts, run_id))
