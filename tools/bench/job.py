"""The work that every contender does."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from tools.local_service import LocalService


@dataclass(frozen=True)
class Job:
    """Enhance all photos of a folder, each into a file of the same name.

    :param source: folder in the source bucket, without slashes at its ends.
    :param destination: folder in the result bucket.
    :param concurrency: photos moved at the same time.
    :param poll_seconds: between two looks whether an enhancement is ready.
    :param run_id: of the Airflow run.
    :param plan_only: do nothing but find out what would be done.
    :param thumbnails: of each photo before and after; nobody but the operator makes them.
    """

    source: str
    destination: str
    concurrency: int = 16
    poll_seconds: float = 1.0
    run_id: str = "manual__1"
    plan_only: bool = False
    thumbnails: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def service_of_environment() -> LocalService:
    """Return the sandbox that the environment leads to."""
    return LocalService({name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_CONN_")})
