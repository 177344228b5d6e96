"""An auth manager that keeps DAGs apart, as those of real installations do: Airflow's simple one lets each viewer read all."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class DenyingAuthManager(SimpleAuthManager):
    """DAGs called ``secret...`` are the chief's alone."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **about: Any) -> bool:
        """Whether a user may do something with a DAG; without a name: with any."""
        secret = details is not None and str(details.id or "").startswith("secret")
        return (not secret or user.username == "chief") and super().is_authorized_dag(
            user=user, details=details, **about
        )
