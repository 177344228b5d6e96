"""What Airflow's database knows of tasks with photos: which there are, and where their photos lie.

A task's place is the destination that Airflow has rendered for it. An XCom can be edited by people who may not change the DAG, so it only
says which of the lists there is the task's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.providers.common.compat.sdk import AirflowException
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_autoenhance.api.coerce import names_image
from airflow_provider_autoenhance.api.errors import AutoenhanceError, SettingsError, SourceError
from airflow_provider_autoenhance.api.fields import STORAGE
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.storage.location import Location, locate, path_inside

#: Tasks of a run that are shown.
MAX_TASKS = 1000

#: Results that are looked through for recent runs, and runs that are shown.
_RESULTS, _RUNS = 2000, 50

#: Lists of one task that are read: it works on no more listings.
MAX_LISTS = 500

#: A listing that shares its task with others has a folder of its own.
_LIST = re.compile(r"(?!\.)([^/]+/)?autoenhance-(gallery(-[0-9a-f]{8})?\.json|manifest(-[0-9a-f]{8})?\.jsonl)")
_NUMBERS = ("photos", "landed", "skipped", "failed", "postponed", "held", "credits")
_NOT_BEGUN = (None, "none", "scheduled", "queued", "removed")
_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


class UnknownTaskError(LookupError):
    """Airflow knows no such task, or it is not one with photos."""


@dataclass(frozen=True)
class Key:
    """Names one task of one run.

    :param map_index: -1 of a task that is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True)
class Task:
    """A task with photos.

    :param state: Airflow's.
    :param label: what its map index is called.
    :param folder: where its outputs lie; ``None`` where Airflow does not know that yet, or any more.
    :param lists: paths of the files in the folder that list its photos: one, or one of each listing; empty before there is any.
    """

    key: Key
    state: str
    label: str | None
    folder: Location | None
    lists: tuple[str, ...]

    @property
    def ended(self) -> bool:
        """Whether it goes on no more, unless it is cleared."""
        return self.state in _ENDED

    @property
    def begun(self) -> bool:
        """Whether a worker has taken it."""
        return self.state not in _NOT_BEGUN


def find_task(key: Key) -> Task:
    """Look one up.

    :raises UnknownTaskError: there is none; or its XCom names a list outside of its destination.
    """
    with create_session() as session:
        found = session.scalar(_instances(key.dag_id, key.run_id, key.task_id, key.map_index))
        if found is None:
            raise UnknownTaskError
        fields = session.scalar(
            select(RenderedTaskInstanceFields.rendered_fields).where(*_is(RenderedTaskInstanceFields, key))
        )
        named = session.execute(
            select(XComModel.key, XComModel.value).where(
                *_is(XComModel, key), XComModel.key.in_(("gallery", "manifest", "summary"))
            )
        ).all()
        state, label, operator = _about(found)
    if not _is_ours(operator, fields):
        raise UnknownTaskError
    folder = _folder(fields or {})
    xcoms = {row[0]: _value(row[1]) for row in named}
    return Task(key, state, label, folder, () if folder is None else _lists(fields or {}, folder, xcoms))


def tasks_of(dag_id: str, run_id: str) -> list[dict[str, Any]]:
    """List the tasks of a run that have photos, each with ``task_id``, ``map_index``, ``label`` and ``state``."""
    with create_session() as session:
        instances = session.scalars(
            _instances(dag_id, run_id).order_by(TaskInstance.task_id, TaskInstance.map_index).limit(MAX_TASKS)
        ).all()
        rendered = {
            (row.task_id, row.map_index): row.rendered_fields
            for row in session.scalars(
                select(RenderedTaskInstanceFields)
                .where(RenderedTaskInstanceFields.dag_id == dag_id, RenderedTaskInstanceFields.run_id == run_id)
                .limit(MAX_TASKS)
            )
        }
        found = [(each.task_id, each.map_index, *_about(each)) for each in instances]
    return [
        {"task_id": task_id, "map_index": map_index, "label": label, "state": state}
        for task_id, map_index, state, label, operator in found
        if _is_ours(operator, rendered.get((task_id, map_index)))
    ]


def recent_runs(dag_ids: set[str]) -> list[dict[str, Any]]:
    """List the runs that have left a list of photos last, the latest first, with their numbers.

    :param dag_ids: DAGs that may be shown.
    """
    about = (XComModel.dag_id, XComModel.run_id, XComModel.task_id, XComModel.map_index)
    latest = (
        select(*about, XComModel.timestamp)
        .where(XComModel.key.in_(("gallery", "manifest")), XComModel.dag_id.in_(dag_ids))
        .order_by(XComModel.timestamp.desc())
        .limit(_RESULTS)
    )
    runs: dict[tuple[str, str], dict[str, Any]] = {}
    with_photos: set[tuple[Any, ...]] = set()
    with create_session() as session:
        for dag_id, run_id, task_id, map_index, at in session.execute(latest):
            if len(runs) < _RUNS or (dag_id, run_id) in runs:
                run = {"dag_id": dag_id, "run_id": run_id, "at": at.isoformat(), **dict.fromkeys(_NUMBERS, 0)}
                runs.setdefault((dag_id, run_id), run)
                with_photos.add((dag_id, run_id, task_id, map_index))
        numbers = select(*about, XComModel.key, XComModel.value).where(
            XComModel.key.in_(_NUMBERS),
            XComModel.dag_id.in_({dag_id for dag_id, _ in runs}),
            XComModel.run_id.in_({run_id for _, run_id in runs}),
        )
        for *task, name, value in session.execute(numbers):
            number = _value(value)
            if tuple(task) in with_photos and isinstance(number, int):  # a report sums these up once more
                runs[task[0], task[1]][name] += number
    return list(runs.values())


def _instances(dag_id: str, run_id: str, task_id: str | None = None, map_index: int | None = None) -> Any:
    query = select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    if task_id is not None:
        query = query.where(TaskInstance.task_id == task_id, TaskInstance.map_index == map_index)
    return query


def _is(model: Any, key: Key) -> Iterator[Any]:
    return (getattr(model, name) == value for name, value in vars(key).items())


def _about(instance: Any) -> tuple[str, str | None, str]:
    return str(instance.state or "none"), instance.rendered_map_index, str(instance.operator or "")


def _is_ours(operator: str, fields: Mapping[str, Any] | None) -> bool:
    """By the arguments that no other operator has; by its class before they are rendered, and when Airflow has forgotten them."""
    if fields is not None:
        return "destination" in fields and "autoenhance_conn_id" in fields
    return re.fullmatch(r"Autoenhance(Enhance|Decorated|DownloadImage|DownloadOrder)Operator", operator) is not None


def _folder(fields: Mapping[str, Any]) -> Location | None:
    """Where a task's lists lie, as its own arguments say."""
    destination, conn_id = fields.get("destination"), fields.get("destination_conn_id")
    if not isinstance(destination, str) or not destination:
        return None
    if "image_id" not in fields and not names_image(destination):
        destination = destination.rstrip("/") + "/"  # of a single image it may be the place of a file
    try:
        if destination.lower().startswith(f"{STORAGE}://"):
            hook = AutoenhanceHook(str(fields.get("autoenhance_conn_id") or DEFAULT_CONN_ID))
            destination = hook.config.extra.place_of(destination)
        place = locate(destination, conn_id=conn_id if isinstance(conn_id, str) else None, error=SettingsError)
        folder = place.full_uri.rpartition("/")[0] + "/"
        found = locate(folder, conn_id=place.conn_id, error=SettingsError)
    except (AutoenhanceError, AirflowException):  # Airflow's own: the connection is not there any more
        return None
    return None if found.is_web else found


def _lists(fields: Mapping[str, Any], folder: Location, xcoms: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of the lists that a task's result names, from its folder.

    :raises UnknownTaskError: one is outside.
    """
    summary = xcoms.get("summary")
    told = [xcoms, *([summary] if isinstance(summary, dict) else [])]
    uris = [each[name] for name in ("gallery", "manifest") for each in told if each.get(name)][:1]
    packed = str(fields.get("listings")).lower() == "true"
    if not uris and packed and len(told) == 2 and isinstance(told[1].get("listings"), list):
        listings = (each for each in told[1]["listings"][:MAX_LISTS] if isinstance(each, dict))
        uris = [uri for each in listings if (uri := each.get("gallery") or each.get("manifest"))]
    return tuple(_inside(folder, uri, packed=packed) for uri in uris)


def _inside(folder: Location, uri: Any, *, packed: bool) -> str:
    try:
        path = path_inside(uri, folder.uri) if isinstance(uri, str) else None
    except (SettingsError, SourceError):
        path = None
    if path is None or not _LIST.fullmatch(path) or ("/" in path and not packed):
        raise UnknownTaskError("an XCom of the task names a place outside of its destination")
    return path


def _value(stored: Any) -> Any:
    """What was pushed: Airflow keeps it as JSON in a column of JSON."""
    if isinstance(stored, str):
        try:
            return json.loads(stored)
        except ValueError:
            return stored
    return stored
