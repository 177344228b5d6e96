"""A live Airflow's REST API."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from tools.airflow_home import ADMIN, AirflowHome
from tools.console import detail
from tools.processes import ProcessError

_TRIES = 5
_PAUSE_SECONDS = 2.0
#: For one answer: Airflow's components wait a minute for SQLite.
_SECONDS = 90


class ApiError(ProcessError):
    """Airflow refused, or did not answer. The message names the question and the answer.

    :param passing: asking again is safe, and may help: Airflow failed (5xx) and did nothing, as when SQLite, which its components
        share here, was locked for too long; or what was asked for does the same however often.
    """

    def __init__(self, message: str, *, passing: bool = False, by_airflow: bool = False) -> None:
        super().__init__(message, by_airflow=by_airflow)
        self.passing = passing


class AirflowApi:
    """The REST API of one Airflow, as its admin."""

    def __init__(self, home: AirflowHome) -> None:
        self._home = home

    def get(self, path: str) -> Any:
        """Read; ``path`` begins after ``/api/v2/``."""
        return self._call("GET", f"/api/v2/{path}", None, self._token)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Create, or ask for something to be done."""
        return self._call("POST", f"/api/v2/{path}", body, self._token)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Change."""
        return self._call("PATCH", f"/api/v2/{path}", body, self._token)

    def put(self, path: str) -> Any:
        """Ask for something to be done that takes no words."""
        return self._call("PUT", f"/api/v2/{path}", None, self._token)

    def answers(self) -> bool:
        """Whether it does."""
        with suppress(ApiError):
            self._ask("GET", "/api/v2/version", None, None)
            return True
        return False

    def healthy(self) -> bool:
        """Whether every component reports that it is."""
        with suppress(ApiError):
            health = self._ask("GET", "/api/v2/monitor/health", None, None)
            names = ("metadatabase", "scheduler", "dag_processor", "triggerer")
            return all(health[name]["status"] == "healthy" for name in names)
        return False

    def dag_files(self) -> set[str]:
        """Return the names of the files whose DAGs the UI shows."""
        return {Path(dag["fileloc"]).name for dag in self.get("dags?limit=100")["dags"]}

    def broken_files(self) -> dict[str, str]:
        """Return the names of the DAG files that Airflow could not read, each with the last line of why."""
        errors = self.get("importErrors?limit=100")["import_errors"]
        return {str(each["filename"]): str(each["stack_trace"]).strip().rpartition("\n")[2] for each in errors}

    @cached_property
    def _token(self) -> str:
        login = {"username": ADMIN, "password": self._home.password}
        return str(self._call("POST", "/auth/token", login, None)["access_token"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None, token: str | None) -> Any:
        """Ask, and ask again where that is safe and may help.

        :raises ApiError: it refused, did not answer, or failed five times.
        """
        for _ in range(1, _TRIES):
            try:
                return self._ask(method, path, body, token)
            except ApiError as error:
                if not error.passing:
                    raise
                detail(f"asking again: {error}")
                time.sleep(_PAUSE_SECONDS)
        return self._ask(method, path, body, token)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, token: str | None) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._home.address}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            words = f"Airflow answered {error.code} to {method} {path}: {error.read()[:500].decode(errors='replace')}"
            raise ApiError(words, passing=error.code >= 500, by_airflow=error.code >= 500) from error
        except OSError as error:
            words = f"Airflow did not answer {method} {path}: {error}"
            raise ApiError(words, passing=method in ("GET", "PUT"), by_airflow=True) from error
