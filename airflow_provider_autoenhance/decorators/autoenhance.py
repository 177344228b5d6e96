"""``@task.autoenhance``: a function says what to enhance, the batch operator does it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_autoenhance.api.coerce import is_list, is_literal, is_path, names_image, settled
from airflow_provider_autoenhance.api.errors import SettingsError
from airflow_provider_autoenhance.api.shown import quoted, shown
from airflow_provider_autoenhance.operators.base import HANDED_OVER, named_place, outputs, push, task_run
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator, take_source

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskDecorator

    from airflow_provider_autoenhance.triggers.orders import OrdersEvent

_NAME = "@task.autoenhance"

#: XCom key of what the function returned in this try.
ASKED_FOR = "asked_for"

#: Key in that XCom of what the function returned, encrypted: where it holds a presigned address.
_SEALED = "sealed"


class AutoenhanceDecoratedOperator(DecoratedOperator, AutoenhanceEnhanceOperator):
    """The task behind ``@task.autoenhance``.

    The function is called once per try. A task that was deferred goes on with what the function returned before, so that a function
    which would answer differently by now cannot leave paid images behind. That is kept as an XCom; with ``do_xcom_push=False`` the
    function is called again after the wait. A retry or a clear calls it again too.

    :param python_callable: returns what to enhance: a folder URI, a list of URIs, or a mapping with ``source`` and, if you wish, any
        templated argument of :class:`~airflow_provider_autoenhance.operators.enhance.AutoenhanceEnhanceOperator`, which then counts
        instead of the decorator's.
    :param op_args: positional arguments of the function (templated).
    :param op_kwargs: keyword arguments of the function (templated).
    :raises SettingsError: when the function returns anything else.
    """

    custom_operator_name = _NAME
    #: The UI shows what the function returned, once the task is done.
    overwrite_rtif_after_execution = True

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *AutoenhanceEnhanceOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **AutoenhanceEnhanceOperator.template_fields_renderers,
    }

    def __init__(self, *, python_callable: Callable[..., Any], **kwargs: Any) -> None:
        if inspect.iscoroutinefunction(python_callable):
            raise TypeError(f"{_NAME} takes a plain function; {python_callable.__name__} is async.")
        if "source" in kwargs:
            raise TypeError(f"{_NAME}: {python_callable.__name__} returns the source; do not pass it as an argument.")
        super().__init__(python_callable=python_callable, source="", **kwargs)

    @classmethod
    def check_literals(cls, given: Mapping[str, Any]) -> None:
        """As every operator; but the function names the source, and may name the destination."""
        left = {name: value for name, value in given.items() if name != "source" and value != ""}
        if any(names_image(str(each)) for each in (left.get("destination"), named_place(left.get("output_spec")))):
            left["source"] = cls._call  # whether a single photo goes to this file, shows when the function has named it
        super().check_literals(
            {name: value for name, value in left.items() if name != "destination" or value is not None}
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the function, and enhance what it names."""
        with task_run(self, context, label=self.task_id, foreign=True, read=False):
            push(context, ASKED_FOR, self._to_keep(self._call(context)))
        # Not by way of DecoratedOperator.execute, which on Airflow 3.0 needs a method that operators no longer have.
        return AutoenhanceEnhanceOperator.execute(self, context)

    def execute_complete(self, context: Context, event: OrdersEvent | None = None) -> dict[str, Any]:
        """Go on with what the function returned before the wait. With ``do_xcom_push=False`` it is called again."""
        with task_run(self, context, label=self.task_id, foreign=not self.do_xcom_push, read=False):
            if self.do_xcom_push:
                self._recall(context)
            else:
                self._call(context)
        return super().execute_complete(context, event)

    def _call(self, context: Context) -> dict[str, Any]:
        context_merge(context, self.op_kwargs)
        arguments = determine_kwargs(self.python_callable, self.op_args, context)
        return self._ask_for(self.python_callable(*self.op_args, **arguments))

    def _recall(self, context: Context) -> None:
        ti = context["ti"]
        # Through XCom and not through the deferral's own arguments, which `airflow dags test` drops.
        kept = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, key=ASKED_FOR)
        if kept is None:
            raise SettingsError(
                f"{_NAME}: the XCom {ASKED_FOR!r} of this task was deleted during its wait; clear the task to begin again."
            )
        self._ask_for(self._kept(kept))

    def _ask_for(self, returned: Any) -> dict[str, Any]:
        """Take over what the function returned, and return it in plain values.

        :raises SettingsError: when that is not what to enhance.
        """
        asked = self._read(returned)
        if named_place(asked.get("output_spec")) or asked.get("destination"):
            self._forget_place()
        for argument, value in asked.items():
            setattr(self, argument, value)
        return asked

    def _forget_place(self) -> None:
        """Leave out the decorator's destination, which it may name itself or in its outputs."""
        self.destination = None
        if named_place(self.output_spec):
            self.output_spec = [
                replace(each, destination=None) for each in outputs(_NAME, "output_spec", self.output_spec)
            ]

    def _to_keep(self, asked: dict[str, Any]) -> dict[str, Any]:
        if shown(asked) == asked:
            return asked
        from airflow_provider_autoenhance.pipeline.remote.ticket import seal

        return {"autoenhance_conn_id": self.autoenhance_conn_id, _SEALED: seal(asked, self.hook.config.api_key)}

    def _kept(self, kept: dict[str, Any]) -> dict[str, Any]:
        if _SEALED not in kept:
            return kept
        from cryptography.fernet import InvalidToken

        from airflow_provider_autoenhance.pipeline.remote.ticket import unseal

        self.autoenhance_conn_id = kept["autoenhance_conn_id"]
        try:
            return dict(unseal(kept[_SEALED], self.hook.config.api_key))
        except InvalidToken:
            raise SettingsError(
                f"{_NAME}: what {self.python_callable.__name__} returned cannot be read any more, because the API key has changed "
                "during the wait; clear the task to begin again."
            ) from None

    def _read(self, returned: Any) -> dict[str, Any]:
        about = f"{_NAME}: {self.python_callable.__name__}"
        asked = dict(returned) if isinstance(returned, Mapping) else {"source": returned}
        allowed = set(AutoenhanceEnhanceOperator.template_fields)
        if unknown := sorted(map(str, asked.keys() - allowed)):
            raise SettingsError(
                f"{about} returned {', '.join(map(quoted, unknown))}; allowed are {', '.join(sorted(allowed))}. "
                "Everything else is an argument of the decorator."
            )
        asked = take_source(asked)
        try:
            # Plain values, because they wait in Airflow's database; found out before anything is sent.
            asked["source"] = self.with_slashes(settled(asked.get("source")), asked.get("source_conn_id"))
            plain: dict[str, Any] = json.loads(json.dumps(asked, default=_plain))
        except TypeError as error:
            raise SettingsError(f"{about} returned what cannot be kept through a wait: {error}.") from None
        for name, empty in HANDED_OVER.items():
            if name in plain and plain[name] is None:
                plain[name] = empty  # was handed over, not left out
        for name in ("destination", "output_spec"):
            if not is_literal(plain.get(name)):
                raise SettingsError(
                    f"{about} returned a template as {name}, which nobody renders: {quoted(plain[name])}. Let it take what it needs, "
                    "such as ds or params, as an argument."
                )
        source = plain.get("source")
        if isinstance(source, str) or (isinstance(source, list) and all(isinstance(each, str) for each in source)):
            return plain
        raise SettingsError(
            f"{about} has to return a folder URI, a list of URIs, or an object with 'source', not {quoted(returned)}. "
            "Raise AirflowSkipException where there is nothing to enhance."
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if is_path(value):
        return str(value)
    if is_list(value):
        return settled(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value) and not isinstance(value, type):
        return {name: each for name, each in asdict(value).items() if each is not None}
    raise TypeError(f"{type(value).__name__} is no text, number, list or object")


def autoenhance_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> TaskDecorator:
    """Make a task of a function that says what to enhance, as ``@task.autoenhance``.

    The task's arguments are those of :class:`~airflow_provider_autoenhance.operators.enhance.AutoenhanceEnhanceOperator` but
    ``source``; it returns the same summary. The function gets its own arguments and, by name, anything from Airflow's context. Let what
    it returns depend on the DAG run (``ds``, ``params``, upstream results) and not on the clock: a retry asks it again, and finds what
    was paid by source, destination and settings.

    :param python_callable: the function.
    :param multiple_outputs: has no effect beyond Airflow's own: each key of the summary is an XCom of its own anyway.
    """
    decorator: TaskDecorator = task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=AutoenhanceDecoratedOperator,
        **AutoenhanceDecoratedOperator.kept(kwargs),
    )
    return _settling(decorator) if python_callable is not None else lambda function: _settling(decorator(function))  # type: ignore[return-value]


def _settling(task: Any) -> Any:
    """Have ``override`` keep its arguments as the decorator does: each call of the task makes an operator of them."""
    override = task.override
    task.override = lambda **kwargs: _settling(override(**AutoenhanceDecoratedOperator.kept(kwargs)))
    return task
