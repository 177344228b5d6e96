"""What all operators and sensors of this provider have in common."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    BaseOperator,
)

from airflow_provider_autoenhance.api import coerce, errors
from airflow_provider_autoenhance.api.fields import STORAGE
from airflow_provider_autoenhance.api.quiet import quiet_logs
from airflow_provider_autoenhance.api.redact import clean_text
from airflow_provider_autoenhance.api.shown import last_part, quoted, shown
from airflow_provider_autoenhance.dag_helpers.errors import fail_fast
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
    from airflow_provider_autoenhance.triggers.images import Event


_PACKAGE = f"{__name__.partition('.')[0]}."

#: The map index's name is handed to Airflow's template by value: on some versions ``task`` in it is not rendered yet.
_LABEL = "autoenhance_label"
_LABEL_TEMPLATE = f"{{{{ {_LABEL} }}}}"

#: Airflow's column for the name of a map index; PostgreSQL refuses longer ones.
_LONGEST_LABEL = 250

#: Readers of the arguments of what waits for an image or an order.
WAITING: Mapping[str, coerce.Reader] = {
    "wait_for_completion": coerce.boolean,
    "deferrable": coerce.boolean,
    "poll_interval": coerce.seconds,
    "timeout": coerce.seconds,
}

#: Arguments of what writes photos.
_PLACED = frozenset({"destination", "output_spec"})

#: Arguments without which a task does something else. So an empty one that was handed over to it must not count as left out.
HANDED_OVER: Mapping[str, Any] = {"destination": "", "paths": []}

#: Makes text of whatever a native template would take for a number.
_TEXT_MARK = "\N{WORD JOINER}"


class _Label(str):
    """The name of a map index, which is text in each of Airflow's template environments.

    A native one reads what a template renders to as Python, and ``20260201`` would be a number, on which Airflow fails the task. It
    reads the characters, which are quoted here; a text one asks ``str``.
    """

    def __new__(cls, name: Any) -> _Label:
        return super().__new__(cls, repr(_fit(name)))

    def __init__(self, name: Any) -> None:
        self.name = _fit(name)

    def __str__(self) -> str:
        return self.name


def _fit(name: Any) -> str:
    return clean_text(str(name))[:_LONGEST_LABEL]


@contextmanager
def task_run(
    task: AutoenhanceMixin, context: Context, *, label: Any, foreign: bool = False, read: bool = True
) -> Iterator[None]:
    """Around a task's work: name its map index, give it its arguments whole and read, and fail it at once (no Airflow retry) where a
    retry cannot help.

    An exception that nobody foresaw becomes an UnexpectedError: a library's text may hold a presigned address.

    With a ``retry_policy`` (Airflow 3.3 and later), errors are passed through unchanged, so the policy and the callbacks see them. A sensor
    that is skipped instead of failed is the exception, because Airflow skips it for exceptions of its own only.

    :param task: the operator or sensor.
    :param label: name of the map index in Airflow's UI, unless the DAG sets ``map_index_template``.
    :param foreign: the work is a function of the DAG's author, whose exceptions are left as they are.
    :param read: read the arguments first; ``False`` where the work is to find them.
    """
    quiet_logs()
    if context.get("map_index_template") is None:
        cast("dict[str, Any]", context).update({"map_index_template": _LABEL_TEMPLATE, _LABEL: _Label(label)})
    running = context.get("task")
    task._own_folder = _folder_of(context["ti"])
    skipped = getattr(running, "soft_fail", False) or getattr(running, "never_fail", False)
    with task.uncovered(), fail_fast() if skipped or getattr(running, "retry_policy", None) is None else nullcontext():
        try:
            if read:
                task.read_arguments()
            yield
        except AirflowException:
            raise
        except Exception as error:
            if foreign or isinstance(error, errors.AutoenhanceError):
                raise
            raise errors.unexpected(error, f"task {getattr(running, 'task_id', label)}") from None
        finally:
            if read:
                _name_map_index(task, context)


def _folder_of(ti: Any) -> str:
    """Folder of a task in a run, whichever try it is, among those of all others."""
    run = hashlib.sha256(f"{ti.run_id} {ti.map_index}".encode()).hexdigest()[:12]
    return f"{ti.dag_id}/{ti.task_id}/{run}"


def _name_map_index(task: AutoenhanceMixin, context: Context) -> None:
    """Render the DAG's own name of the map index as Airflow will, and hand it over as text that fits: a folder may be called 20260201."""
    template = context.get("map_index_template")
    if not isinstance(template, str) or template == _LABEL_TEMPLATE:
        return
    try:
        rendered = cast("BaseOperator", task).get_template_env().from_string(template).render(context)
    except Exception:  # noqa: BLE001 - what is wrong with the DAG's own template, Airflow says
        return
    cast("dict[str, Any]", context).update({"map_index_template": _LABEL_TEMPLATE, _LABEL: _Label(rendered)})


class ArgumentError(errors.SettingsError, AirflowFailException):  # type: ignore[misc]
    """A bad argument that stands in the DAG file itself. Where Airflow makes a task in a run only, it fails that at once."""


def _owner(task: type) -> str:
    return str(getattr(task, "custom_operator_name", task.__name__))


def _connection(owner: str, name: str, value: Any) -> str:
    return coerce.text(owner, name, value) or DEFAULT_CONN_ID


def outputs(owner: str, name: str, value: Any) -> Any:
    """Read an ``output_spec``."""
    from airflow_provider_autoenhance.imaging.output import outputs_of

    return None if value is None else outputs_of(coerce.plain(coerce.from_text(value)))


def named_place(output_spec: Any) -> Any:
    """Return the destination that an output names, or one of several, template or not; ``None`` where it names none."""
    output_spec = coerce.from_text(output_spec)
    if coerce.is_path(output_spec):
        return output_spec
    if isinstance(output_spec, str):
        return output_spec.strip() if coerce.is_place(output_spec) else None
    if isinstance(output_spec, Mapping):
        return output_spec.get("destination")
    if isinstance(output_spec, list | tuple):
        return next(filter(None, map(named_place, output_spec)), None)
    return getattr(output_spec, "destination", None)


def _spelled(place: Any) -> str:
    """What tells a destination from another, as text or as a path object, which has lost the slash at its end."""
    return str(place).strip().rstrip("/") or "/"


def _take_place(owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Take the destination out of the outputs that name it: a task writes to one place.

    :raises SettingsError: the outputs, or an output and the argument, name different places.
    """
    specs = outputs(owner, "output_spec", given.get("output_spec")) or ()
    places = [each.destination for each in specs]
    if not any(places):
        return dict(given)
    if not coerce.is_void(given.get("destination")):
        places.append(given["destination"])
    if len(spelled := dict.fromkeys("none" if each is None else _spelled(each) for each in places)) > 1:
        raise errors.SettingsError(
            f"{owner}: the outputs, or an output and the argument, do not name the same destination: {', '.join(map(quoted, spelled))}. "
            "A task writes to one place; name_template gives each output a folder there. For another place, add a task that downloads the "
            "images: they are bought once."
        )
    return {
        **given,
        "destination": max(places, key=lambda each: len(str(each))),  # the one with the slash
        "output_spec": tuple(replace(each, destination=None) for each in specs),
    }


def _refuse_one_file(owner: str, given: Mapping[str, Any]) -> None:
    """Refuse one file for several mapped tasks: it is named, and its template, if it is one, does not tell them apart.

    :raises ArgumentError: naming the file.
    """
    place = given.get("destination")
    place = named_place(given.get("output_spec")) if place is None else place
    text = str(place) if isinstance(place, str) or coerce.is_path(place) else ""
    if coerce.names_image(text) and not re.search(r"{[{%].*\b(map_index|task|ti|task_instance)\b", text):
        raise ArgumentError(
            f"{owner}: all mapped tasks would write to {last_part(text)!r}, each over the other. Give a folder, ending in '/', or map the "
            "destination too."
        )


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

    #: How each argument is read. A class names its own; those of the classes above it count too.
    arguments: ClassVar[Mapping[str, coerce.Reader]] = {"autoenhance_conn_id": _connection}

    autoenhance_conn_id: str
    destination: Any
    template_fields: Collection[str]
    _covered: _Covered | None = None
    _uncovered = 0
    _rendering: str | None = None
    _own_folder = ""
    _stopped = False

    @classmethod
    def readers(cls) -> dict[str, coerce.Reader]:
        """Return how each argument is read, by its name."""
        found: dict[str, coerce.Reader] = {}
        for each in reversed(cls.__mro__):
            found |= vars(each).get("arguments", {})
        return found

    @classmethod
    def unfolded(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments without what objects say of others: an output may name the destination, as Image I/O's does.

        :raises SettingsError: naming the argument.
        """
        return _take_place(_owner(cls), given) if cls.readers().keys() >= _PLACED else dict(given)

    @classmethod
    def check_literals(cls, given: Mapping[str, Any]) -> None:
        """Read what stands in the DAG file itself, so that a bad value is an import error and not a failed night.

        What a class derived by others leaves empty, it may set later.

        :raises ArgumentError: naming the argument.
        """
        owner, own = _owner(cls), cls.__module__.startswith(_PACKAGE)
        if all(coerce.is_literal(given.get(name)) for name in ("source", "destination", "output_spec")):
            try:
                given = cls.unfolded(given)
            except errors.SettingsError as error:
                raise ArgumentError(str(error)) from None
        for name, read in cls.readers().items():
            if (not own and coerce.is_void(given.get(name))) or (name == "destination" and given.get(name) is None):
                continue
            if name in given and (name not in cls.template_fields or coerce.is_literal(given[name])):
                try:
                    read(owner, name, given[name])
                except errors.SettingsError as error:
                    raise ArgumentError(str(error)) from None

    @classmethod
    def kept(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments of which Airflow makes tasks later, checked, and as lists where they can be gone through only once.

        What is left out here is ``None``, or not among them; so an empty tuple, and ``None`` as a place, that a mapped task gets was handed
        over by another task.
        """
        readers = cls.readers()
        kept = {name: coerce.settled(value) if name in readers else value for name, value in given.items()}
        cls.check_literals(kept)
        left_out = {name for name, value in kept.items() if name in readers and coerce.is_left_out(value)}
        return {
            name: None if name in left_out else value
            for name, value in kept.items()
            if name not in HANDED_OVER or name not in left_out
        }

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Airflow's own, which makes no task before it runs; so what is literal is checked here, and that one file is not for all."""
        if cls.readers().keys() >= _PLACED:
            _refuse_one_file(_owner(cls), kwargs)
        return super().partial(**cls.kept(kwargs))  # type: ignore[misc]

    def check_arguments(self) -> None:
        """Called at the end of ``__init__``: keep what can be gone through only once, and check what is literal."""
        mapped = getattr(self, "_BaseOperator__from_mapped", False)
        for name in self.readers():
            if not hasattr(self, name):
                continue  # a class that is derived from this one sets it later
            value = coerce.settled(getattr(self, name))
            setattr(self, name, [] if mapped and value is not None and coerce.is_left_out(value) else value)
        if not mapped:
            self.check_literals(vars(self))
            if self.readers().keys() >= _PLACED and any(
                True for _ in cast("BaseOperator", self).iter_mapped_task_groups()
            ):
                _refuse_one_file(_owner(type(self)), vars(self))

    def read_arguments(self) -> None:
        """Make of all arguments what they are, before anything is done.

        :raises SettingsError: naming the argument.
        """
        self.unfold()
        for name, read in self.readers().items():
            setattr(self, name, read(_owner(type(self)), name, getattr(self, name)))
        for name in ("source", "destination"):
            place = getattr(self, name, None)
            if isinstance(place, list):
                setattr(self, name, [self._placed(name, each) for each in place])
            elif isinstance(place, str):
                setattr(self, name, self._placed(name, place))

    def unfold(self) -> None:
        """Give each argument what an object says of it; and where nothing names a destination, a temporary one."""
        given = {name: getattr(self, name) for name in self.readers()}
        for name, value in self.unfolded(given).items():
            if value is not given[name]:
                setattr(self, name, value)
        if given.keys() >= _PLACED and self.destination is None:
            self.destination = self.temporary_place()

    def temporary_place(self) -> str:
        """Return a folder of this task and run, for results of which nobody says where they go.

        :raises SettingsError: the connection names no folder for such.
        """
        folder = self.hook.temporary_folder()
        if folder is None:
            raise errors.SettingsError(
                f"{_owner(type(self))}: destination is empty. Give one, as an argument or in the output; or name a 'temporary_folder' in "
                "the connection's extra, where files live for a day."
            )
        return f"{folder}{self._own_folder}/"

    def _placed(self, name: str, uri: str) -> Any:
        """Where ``storage://NAME/path`` leads, read as if it had been given. The connection is read for such a place alone."""
        if not uri.lower().startswith(f"{STORAGE}://"):
            return uri
        return self.readers()[name](_owner(type(self)), name, self.hook.config.extra.place_of(uri))

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Any, jinja_env: Any, seen_oids: Any
    ) -> None:
        """Called by each Airflow on the task that runs, mapped or not, and by itself on what lies in a field."""
        render = super()._do_render_template_fields  # type: ignore[misc]
        if parent is not self:
            render(parent, template_fields, context, jinja_env, seen_oids)
            return
        with self.uncovered():
            # A text may be a format as well as a place; what else names a place, was meant to.
            spec = vars(self).get("output_spec")
            placed = not isinstance(spec, str) and bool(named_place(spec))
            for name in template_fields:
                self._rendering, given = name, getattr(self, name)
                render(self, (name,), context, jinja_env, seen_oids)
                rendered = getattr(self, name)
                if rendered is given and not coerce.is_literal(given):
                    # Airflow before 3.3 keeps a template that renders to nothing.
                    rendered = self.render_template(given, context, jinja_env, seen_oids)
                if (
                    name in HANDED_OVER
                    and coerce.is_left_out(rendered)
                    and (rendered is not given or self._is_handed_over(name))
                ):
                    rendered = HANDED_OVER[name]
                elif self.readers().get(name) is coerce.settings:
                    rendered = self._rendered_settings(given, rendered, context, jinja_env)
                setattr(self, name, coerce.settled(rendered))
            self._rendering = None
            if set(template_fields) >= _PLACED and coerce.is_void(self.destination):
                # Airflow stores it, and the gallery asks for it there.
                self.destination = named_place(vars(self)["output_spec"]) or ("" if placed else self.destination)

    def _is_handed_over(self, name: str) -> bool:
        """Whether an argument was handed over to one of several mapped tasks."""
        mapped = getattr(self, "_BaseOperator__from_mapped", False)
        return bool(mapped) and name in getattr(self, "_BaseOperator__init_kwargs", ())

    def render_template(self, content: Any, context: Any, jinja_env: Any = None, seen_oids: Any = None) -> Any:
        """As Airflow, but for what it cannot render or would misread."""
        render = super().render_template  # type: ignore[misc]
        if coerce.is_path(content) and not hasattr(content, "protocol") and id(content) not in (seen_oids or ()):
            # Airflow does not render a `Path`, and before 3.2 it takes a path's `resolve` for its own.
            return type(content)(str(render(str(content), context, jinja_env, seen_oids)))
        rendered = render(content, context, jinja_env, seen_oids)
        read = self.readers().get(self._rendering or "")
        return self._as_text(content, rendered, context, jinja_env) if read in coerce.TEXTS else rendered

    def _rendered_settings(self, given: Any, rendered: Any, context: Any, jinja_env: Any) -> Any:
        """Leave out what rendered to nothing, as a Trigger form does, and keep ids as text."""
        if not isinstance(given, dict) or not isinstance(rendered, dict):
            return rendered
        kept = {
            name: each for name, each in rendered.items() if coerce.is_literal(given[name]) or not coerce.is_void(each)
        }
        texts = coerce.text_settings() & kept.keys()
        return kept | {name: self._as_text(given[name], kept[name], context, jinja_env) for name in texts}

    def _as_text(self, content: Any, rendered: Any, context: Any, jinja_env: Any) -> Any:
        """Render as text what a native template made a number of."""
        if not isinstance(content, str) or not isinstance(rendered, bool | int | float | complex | bytes):
            return rendered
        render = super().render_template  # type: ignore[misc]
        return render(_TEXT_MARK + content, context, jinja_env).removeprefix(_TEXT_MARK)

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

        hook = AutoenhanceHook(_connection(_owner(type(self)), "autoenhance_conn_id", self.autoenhance_conn_id))
        if self._stopped:
            hook.stop()
        return hook

    def on_kill(self) -> None:
        """Begin nothing more: Airflow kills the process five seconds after this call, and until then it goes on working."""
        self._stopped = True
        hook: AutoenhanceHook | None = vars(self).get("hook")
        if hook is not None:
            hook.stop()

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
        cast("dict[str, Any]", context)[_LABEL] = _Label(name)
    for name, value in result.items():
        if value is not None:  # Airflow takes such an XCom for one that is missing
            push(context, name, value)
    return result


def push(context: Context, key: str, value: Any) -> None:
    """Push an XCom, unless the task has ``do_xcom_push=False``."""
    if getattr(context.get("task"), "do_xcom_push", True):
        context["ti"].xcom_push(key=key, value=value)
