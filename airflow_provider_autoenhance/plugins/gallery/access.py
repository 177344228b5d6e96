"""Who may look: Airflow's own login, and its permission for the DAG that the path names."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, HTTPException


def one_dag(dag_id: str) -> None:
    """Refuse what Airflow takes for "any DAG": its check would pass."""
    if dag_id.strip() in ("", "~"):
        raise HTTPException(404)


def known_user(user: GetUserDep) -> Any:
    """Return who is logged in."""
    return user


def readable_dags(user: Annotated[Any, Depends(known_user)]) -> set[str]:
    """Return the DAGs that the user may read."""
    return set(get_auth_manager().get_authorized_dag_ids(user=user, method="GET"))


#: For routes with ``dag_id`` in their path. Airflow would read it from the query, too, and let anybody pass who may read any DAG.
READS_DAG = [Depends(one_dag), Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))]

#: For routes that show nothing of a DAG, or only of those that the user may read.
LOGGED_IN = [Depends(known_user)]

ReadableDags = Annotated[set[str], Depends(readable_dags)]
