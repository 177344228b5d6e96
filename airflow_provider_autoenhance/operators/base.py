"""What all operators and sensors of this provider have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.providers.common.compat.sdk import (
    AirflowException,
    BaseOperator,
)

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.quiet import quiet_logs
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.api.shown import shown
from airflow_provider_autoenhance.dag_helpers.errors import fail_fast
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
    from airflow_provider_autoenhance.triggers.images import Event


#: The map index's name is handed to Airflow's template by value: on some versions ``task`` in it is not rendered yet.
_LABEL = "autoenhance_label"


@contextmanager
def task_run(task: AutoenhanceMixin, context: Context, *, label: Any, foreign: bool = False) -> Iterator[None]:
    """Around a task's work: name its map index, give it its arguments whole, and fail it at once (no Airflow retry) where a retry
    cannot help.

    An exception that nobody foresaw becomes an UnexpectedError: a library's text may hold a presigned address.

    With a ``retry_policy`` (Airflow 3.3 and later), errors are passed through unchanged, so the policy and the callbacks see them. A sensor
    that is skipped instead of failed is the exception, because Airflow skips it for exceptions of its own only.

    :param task: the operator or sensor.
    :param label: name of the map index in Airflow's UI, unless the DAG sets ``map_index_template``.
    :param foreign: the work is a function of the DAG's author, whose exceptions are left as they are.
    """
    quiet_logs()
    if context.get("map_index_template") is None:
        label = clean_text(str(label))
        cast("dict[str, Any]", context).update({"map_index_template": f"{{{{ {_LABEL} }}}}", _LABEL: label})
    running = context.get("task")
    skipped = getattr(running, "soft_fail", False) or getattr(running, "never_fail", False)
    with task.uncovered(), fail_fast() if skipped or getattr(running, "retry_policy", None) is None else nullcontext():
        try:
            yield
        except AirflowException:
            raise
        except Exception as error:
            if foreign or isinstance(error, errors.AutoenhanceError):
                raise
            raise errors.unexpected(error, f"task {getattr(running, 'task_id', label)}") from None


class _Covered:
    """What template fields rendered to. Neither prints nor turns into JSON: some catalogues look through all attributes of a task."""

    __slots__ = ("values",)

    def __init__(self, values: list[tuple[str, Any, Any]]) -> None:
        self.values = values


class AutoenhanceMixin:
    """The hook of an operator or a sensor, the end of its waiting, and arguments that may hold credentials.

    Airflow stores what template fields render to, and shows it, and templates may name it. So from rendering to execution, and after
    that, such a field holds what may be shown, and :meth:`uncovered` gives the task the rest. Airflow's own masker would not do: on
    Airflow 3.0 it does not see what is stored, short values pass it, and its cost grows with the square of their number.
    """

    autoenhance_conn_id: str
    template_fields: Collection[str]
    _covered: _Covered | None = None
    _uncovered = 0

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        """Called by each Airflow on the task that runs, mapped or not, and by itself on what lies in a field."""
        with self.uncovered() if parent is self else nullcontext():
            super()._do_render_template_fields(parent, *args, **kwargs)  # type: ignore[misc]

    @contextmanager
    def uncovered(self) -> Iterator[None]:
        """For the duration of the block, template fields hold what they rendered to."""
        for name, value, safe in self._covered.values if self._covered else ():
            if getattr(self, name, None) is safe:  # what somebody has set since, such as a subclass, stays
                setattr(self, name, value)
        self._covered = None
        self._uncovered += 1
        try:
            yield
        finally:
            self._uncovered -= 1
            if not self._uncovered:
                self._cover()

    def _cover(self) -> None:
        given = [(name, getattr(self, name, None)) for name in self.template_fields]
        compared = [(name, value, shown(value)) for name, value in given]
        covered = [each for each in compared if each[1] is not each[2]]
        self._covered = _Covered(covered) if covered else None
        for name, _, safe in covered:
            setattr(self, name, safe)

    @cached_property
    def hook(self) -> AutoenhanceHook:
        """Client of this task's connection."""
        from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook

        return AutoenhanceHook(self.autoenhance_conn_id)

    @staticmethod
    def image_of(event: Event | None) -> dict[str, Any]:
        """Unpack a trigger's event: the image as XCom has it.

        :raises AutoenhanceError: what the trigger ran into.
        """
        from airflow_provider_autoenhance.triggers.images import result_of

        return result_of(event)


class AutoenhanceBaseOperator(AutoenhanceMixin, BaseOperator):
    """Base of the operators: connection, map index label, fail-fast errors.

    :param autoenhance_conn_id: Airflow connection of type ``autoenhance`` (templated).
    """

    ui_color = "#dff3ea"
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "settings": "json",
        "groups": "json",
        "metadata": "json",
        "output_spec": "json",
    }

    def __init__(self, *, autoenhance_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autoenhance_conn_id = autoenhance_conn_id


def push_result(context: Context, result: dict[str, Any]) -> dict[str, Any]:
    """Push each key of a task's result as an XCom of its own too, so that ``.output["image_id"]`` works in mapped task groups as well.

    Airflow's ``multiple_outputs`` would do it, but mapping resets that to its default. A task with ``do_xcom_push=False`` pushes nothing.
    Where the result has the name of the image or the order, the map index gets it.
    """
    if name := result.get("image_name") or result.get("name"):
        cast("dict[str, Any]", context)[_LABEL] = clean_text(name)
    for name, value in result.items():
        if value is not None:  # Airflow takes such an XCom for one that is missing
            push(context, name, value)
    return result


def push(context: Context, key: str, value: Any) -> None:
    """Push an XCom, unless the task has ``do_xcom_push=False``."""
    if getattr(context.get("task"), "do_xcom_push", True):
        context["ti"].xcom_push(key=key, value=value)
