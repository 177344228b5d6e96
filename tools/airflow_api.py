"""A live Airflow's REST API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import suppress
from functools import cached_property
from typing import Any

from tools.airflow_home import ADMIN, AirflowHome


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

    def healthy(self) -> bool:
        """Tell whether every component reports that it is."""
        with suppress(urllib.error.URLError, OSError):
            health = self._call("GET", "/api/v2/monitor/health", None, None)
            names = ("metadatabase", "scheduler", "dag_processor", "triggerer")
            return all(health[name]["status"] == "healthy" for name in names)
        return False

    def dag_ids(self) -> list[str]:
        """Return the ids of the DAGs that the UI shows."""
        return [dag["dag_id"] for dag in self.get("dags")["dags"]]

    @cached_property
    def _token(self) -> str:
        login = {"username": ADMIN, "password": self._home.password}
        return str(self._call("POST", "/auth/token", login, None)["access_token"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None, token: str | None) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._home.address}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
