"""A whole folder or list of photos in one task."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import conf

from airflow_provider_autoenhance.api import coerce, errors
from airflow_provider_autoenhance.api.coerce import boolean, required, seconds
from airflow_provider_autoenhance.api.shown import counted, last_part, quoted, shown
from airflow_provider_autoenhance.hooks import DEFAULT_POLL_INTERVAL
from airflow_provider_autoenhance.operators.base import (
    ArgumentError,
    AutoenhanceBaseOperator,
    outputs,
    push,
    push_result,
    task_run,
)
from airflow_provider_autoenhance.operators.links import PHOTO_LINKS
from airflow_provider_autoenhance.utils.assets import emit_assets
from airflow_provider_autoenhance.utils.openlineage import LineageMixin, Moved

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_autoenhance.imaging.output import OutputSpec
    from airflow_provider_autoenhance.pipeline.batch.engine import Batch
    from airflow_provider_autoenhance.pipeline.job import Job
    from airflow_provider_autoenhance.triggers.orders import OrdersEvent

log = logging.getLogger(__name__)

_OWNER = "AutoenhanceEnhanceOperator"

_IMAGE_NAME = "{folder}{stem}-{fingerprint}{extension}"

#: XCom key of the summary, pushed whether the task succeeds or fails.
SUMMARY = "summary"

#: Failed listings that an error names; the summary has them all.
_MOST_NAMED_LISTINGS = 5

#: Images that a trigger's arguments name: Airflow keeps these in a column that may hold 64 KiB, and logs them.
_MOST_NAMED = 250

_FORGETFUL = (
    f"{_OWNER}: destination is empty. A batch remembers beside its outputs what it has bought, and a temporary place forgets that after a "
    "day: another run would buy it again. Give a destination, as an argument or in the output; or durable=False."
)

#: What says where results go.
_PLACING = frozenset({"source", "destination", "output_spec", "durable"})

_ON_EXISTING = ("reprocess", "skip", "redownload", "reenhance")


def allowed_failures(max_failures: int | str, photos: int) -> int:
    """Turn ``max_failures`` into a number.

    :raises SettingsError: when it is neither a number nor a percentage.
    """
    spelled = str(max_failures).strip()
    number = spelled.removesuffix("%").strip()
    if not re.fullmatch("[0-9]+", number) or (spelled.endswith("%") and int(number) > 100):
        raise errors.SettingsError(
            f"{_OWNER}: max_failures takes a number or a percentage such as '5%', not {quoted(max_failures)}."
        )
    return photos * int(number) // 100 if spelled.endswith("%") else int(number)


def _max_failures(owner: str, name: str, value: Any) -> int | str:
    if coerce.text(owner, name, value) is None:
        return 0
    found = coerce.without_fraction(value)
    allowed_failures(found, 0)
    return str(found) if isinstance(found, str) else int(found)


def _brackets(owner: str, name: str, value: Any) -> int | str:
    if coerce.text(owner, name, value) in (None, "none"):
        return "none"
    from airflow_provider_autoenhance.pipeline.brackets.rules import check_brackets

    return check_brackets(coerce.without_fraction(value))


def _template(owner: str, name: str, value: Any) -> str | None:
    if value is None or value == _IMAGE_NAME:
        return None if value is None else _IMAGE_NAME
    from airflow_provider_autoenhance.imaging.naming import fill_template, name_parts

    found = coerce.required(owner, name, value)
    if not coerce.is_literal(found):
        raise errors.SettingsError(
            f"{owner}: {name} is filled for each photo, and takes no Jinja template: {quoted(found)}."
        )
    fill_template(name, found, name_parts("folder/photo.jpg", "0" * 8))
    return found


def _edit_template(owner: str, name: str, value: Any) -> str:
    from airflow_provider_autoenhance.imaging.naming import fill_template, name_parts

    found = _template(owner, name, value)
    if found is None or fill_template(name, found, name_parts("photo.jpg")) in ("photo", "photo.jpg"):
        raise errors.SettingsError(f"{owner}: {name} gives a premium edit the name of its original: {quoted(value)}.")
    return found


class AutoenhanceEnhanceOperator(LineageMixin, AutoenhanceBaseOperator):
    """Enhance a folder or a list of photos: source -> Autoenhance -> destination, each paid for once, whatever dies and however often
    the task is retried or cleared.

    One order per folder; one poll per order while Autoenhance works, deferred if you wish. Photo bytes stream, so that memory depends
    on ``concurrency`` alone. What was done is remembered beside the outputs (folder ``.autoenhance``): another run skips what is up to
    date, fetches again what was deleted, adopts what is under way, and enhances what changed.

    Returns a summary of the run, whichever try it is: ``source``, ``manifest`` (URI of a JSONL file with a row per photo), ``gallery`` and
    ``contact_sheet`` (URIs of the same for the gallery, and of a page with all photos before and after), ``order_ids``,
    the numbers ``photos``, ``edits`` (how many of these are premium edits), ``landed`` (by this run), ``skipped`` (up to date before it),
    ``failed``, ``postponed`` (left for the next run, for example over Autoenhance's daily limit) and ``held`` (over ``max_images`` or
    ``max_credits``; doubtful, with ``preflight="hold"``; or an edit whose original has not landed), ``credits`` spent by this run (with
    ``cost`` and ``currency`` where the connection knows a price), ``bytes`` landed, ``twins`` (unpaid images that were deleted because a
    worker which had stood still made them beside this try), the first ``failures``, each with ``photo`` and ``reason``, and ``warnings``
    about exposures and photos that look wrong. A task that fails leaves the same as XCom ``summary``.

    With an ``AssetAlias`` among its ``outlets``, a task that landed photos makes an event of the asset ``destination``; the events of
    an ``Asset`` among them get the same ``extra``: ``folder``, ``sources``, ``manifest``, ``contact_sheet``, ``order_ids``, and the counts.

    With ``listings=True`` one task works on several listings as a task for each of them would: same files, records, orders and manifests,
    so that a listing may share a task with others tonight, and with none tomorrow. ``max_failures``, ``max_images`` and ``max_credits``
    count in each. An alias gets an event of each listing of which photos landed. The summary has ``listings``: of each its ``source``,
    ``destination``, ``manifest``, counts, ``failures`` and ``status``, ``ok`` or ``failed``, and an ``error`` where it could not be begun.
    Where one has failed, the others land, and then the task fails, and names it. Airflow makes no event of a task that fails. So with
    ``outlets`` it succeeds if any other listing is as it should be, once retries are used up where they may help: let a task after it
    look at ``listings``, as ``NightReport`` does.

    ::

        AutoenhanceEnhanceOperator(
            task_id="enhance",
            source="s3://listings/{{ ds }}/",
            destination="s3://enhanced/{{ ds }}/",
            settings={"enhance_type": "warm"},
            preview=False,
            max_failures="5%",
            deferrable=True,
        )

    :param source: URI of a folder or file, or a list of folder URIs (ending in ``/``) and file URIs, of one store or of several and the
        web (templated). Each may be a path object. Several folders keep their names under the destination; a file that lies in several of
        them is one photo, found in the outermost. A connection may stand in each: ``s3://conn_id@bucket/``. Or an object with ``source``
        and ``recursive``, which then counts instead of the argument.
    :param destination: folder URI for the results; of a single photo, also the URI of its file (templated). Left out, the ``output_spec``
        names it; where that does not either, and with ``durable=False``, it is a folder below the connection's ``temporary_folder``.
    :param paths: paths of photos under ``source``, which is not listed then; for a web folder, which cannot be (templated). Left
        out, or ``None`` in the DAG file, the folder is listed; a list that another task or a template hands over must not be empty.
    :param source_conn_id: Airflow connection of the sources that name none; the web and local files need none (templated).
    :param destination_conn_id: Airflow connection of the destination (templated).
    :param settings: an ``EnhancementSettings`` or a plain object (templated).
    :param output_spec: an ``OutputSpec``, an object of its fields, or just a format; a list of them for several files from one purchase.
        JPEG by default (templated).
    :param preview: land the small free renderings. ``False`` spends a credit per photo (templated).
    :param listings: each source folder is a listing: it gets its own subfolder of ``destination``, in which templates count, and what
        becomes of it is counted and reported for itself (templated).
    :param include: glob patterns of photos; by default every type that Autoenhance takes. One with a slash is held against the path.
    :param exclude: glob patterns to leave out (templated, as ``include``).
    :param recursive: look into subfolders, which keep their place under the destination (templated).
    :param group_by: ``folder``: one order per folder; ``all``: one for all (each of at most 250 photos).
    :param brackets: how exposures become photos (templated). ``none``: each file is a photo. ``exif``: by capture time, exposure and
        camera, read from each file's first kilobytes. A number from 2 to 9: so many in a row, in order of their names. ``auto``:
        Autoenhance groups them, so what it costs shows only then. A merged photo costs one credit and bears its first exposure's name.
    :param on_existing: what becomes of photos that were enhanced before (templated). ``reprocess``: what is up to date is skipped, and a
        photo that was bought in other settings has the same image enhanced again with the new ones, which costs nothing. ``skip``: the
        same, but other settings make another image, which costs again. ``redownload``: as ``skip``, and what is up to date is downloaded
        again from the image that is paid. ``reenhance``: each photo is made and paid for again, once in each run.
    :param if_empty: what a source folder is that does not exist or holds nothing that is a photo, each of several on its own: ``warn``
        names it in the log, and the others are enhanced; ``fail`` fails the task before anything is sent. A file that is named and is not
        there always fails it.
    :param preflight: what becomes of photos that look wrong before the first upload: damaged, the same content twice, too small for what
        is asked, far from the rest of their folder, doubtful brackets (templated). ``warn`` names them in the log, the result's
        ``warnings`` and the manifest, as far as listings show them, and what ``brackets="exif"`` reads. ``read`` also reads the first 64
        KiB of each photo that is made, once. ``hold`` does so and holds them back: nothing is sent or spent for them. ``off``: none of it.
    :param max_images: work on at most so many photos in this run; the first by path (templated).
    :param max_credits: spend at most so many credits in this run, retries included; the first photos by path (templated).
    :param max_failures: failed photos with which the task still succeeds: a number, or a percentage such as ``"5%"`` (templated).
    :param plan_only: only log and return what would be done and what it would cost, at full size too, and which exposures would become
        which photo, a line each (templated).
    :param concurrency: photos moved at the same time.
    :param poll_interval: time between polls of an order, in seconds or as a ``timedelta`` (templated).
    :param timeout: time from the submission after which waiting fails, in seconds or as a ``timedelta`` (templated); a retry that only goes
        on waiting does not extend it.
    :param image_name_template: name in Autoenhance; may hold ``{folder}``, ``{stem}``, ``{name}``, ``{extension}``, ``{fingerprint}``.
    :param destination_template: path under the destination, with the same names. By default the photo's own path, with the format's
        extension added where it differs.
    :param dusk: photos that get a dusk of the day picture, too ("Day to Dusk"): their names, paths or URIs, patterns of these, or ids of
        images; what a person has picked, for one (templated). It is made once of the image of each, after that has landed, is a photo of
        its own in summary and manifest, and costs a credit of its own. One that is there already is used. Autoenhance enables such premium
        edits for an account on request.
    :param dusk_template: path of a dusk, from that of its photo; may hold ``{folder}``, ``{stem}``, ``{name}``, ``{extension}``.
    :param delete_on_kill: delete unpaid images under way when the task is killed or marked failed. By default they stay, and the next try
        adopts them; a cleared task goes on with them in any case. While it is deferred, Airflow says so from 3.3 on.
    :param deferrable: wait in the triggerer; by default as ``[operators] default_deferrable`` says.
    :param durable: remember what was done beside the outputs. ``False`` leaves the destination clean, but then another run knows nothing
        of this one and enhances everything again; retries of this run still find what they made.
    :param thumbnails: also write what people look at beside the manifest: a small picture of each photo before and after, the gallery's
        rows (``gallery``) and a contact sheet (``contact_sheet``). Needs the extra ``imaging`` for the pictures, and ``durable``.
    :raises SettingsError: on a bad argument; nothing was sent.
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "source": coerce.places,
        "paths": coerce.paths,
        "destination": coerce.folder,
        "listings": coerce.boolean,
        "source_conn_id": coerce.text,
        "destination_conn_id": coerce.text,
        "settings": coerce.settings,
        "output_spec": outputs,
        "preview": coerce.boolean,
        "include": coerce.texts,
        "exclude": coerce.texts,
        "recursive": coerce.boolean,
        "group_by": coerce.one_of("folder", "all"),
        "brackets": _brackets,
        "on_existing": coerce.one_of(*_ON_EXISTING),
        "if_empty": coerce.one_of("warn", "fail"),
        "preflight": coerce.one_of("off", "warn", "read", "hold"),
        "max_images": coerce.whole_number,
        "max_credits": coerce.whole_number,
        "max_failures": _max_failures,
        "plan_only": coerce.boolean,
        "concurrency": coerce.at_once,
        "poll_interval": coerce.seconds,
        "timeout": coerce.seconds,
        "image_name_template": _template,
        "destination_template": _template,
        "dusk": coerce.texts,
        "dusk_template": _edit_template,
        "delete_on_kill": coerce.boolean,
        "deferrable": coerce.boolean,
        "durable": coerce.boolean,
        "thumbnails": coerce.boolean,
    }
    operator_extra_links = PHOTO_LINKS
    template_fields: Sequence[str] = (
        "source", "paths", "destination", "source_conn_id", "destination_conn_id", "settings", "output_spec", "preview", "include",
        "exclude", "recursive", "brackets", "on_existing", "preflight", "max_images", "max_credits", "max_failures", "plan_only",
        "poll_interval", "timeout", "dusk", "listings", "autoenhance_conn_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        source: coerce.Place | Sequence[coerce.Place] | Mapping[str, Any],
        destination: coerce.Place | None = None,
        paths: Sequence[coerce.Place] | str | None = None,
        listings: bool | str = False,
        source_conn_id: str | None = None,
        destination_conn_id: str | None = None,
        settings: Mapping[str, Any] | str | None = None,
        output_spec: OutputSpec | Mapping[str, Any] | str | Sequence[Any] | None = None,
        preview: bool | str = True,
        include: Sequence[str] | str = (),
        exclude: Sequence[str] | str = (),
        recursive: bool | str = True,
        group_by: Literal["folder", "all"] = "folder",
        brackets: Literal["none", "auto", "exif"] | int | str = "none",
        on_existing: str = "reprocess",
        if_empty: Literal["warn", "fail"] = "warn",
        preflight: str = "warn",
        max_images: int | str | None = None,
        max_credits: int | str | None = None,
        max_failures: int | str = 0,
        plan_only: bool | str = False,
        concurrency: int = 16,
        poll_interval: coerce.Duration = DEFAULT_POLL_INTERVAL,
        timeout: coerce.Duration = 6 * 60.0 * 60,
        image_name_template: str = _IMAGE_NAME,
        destination_template: str | None = None,
        dusk: Sequence[str] | str = (),
        dusk_template: str = "{folder}{stem}_dusk",
        delete_on_kill: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        durable: bool = True,
        thumbnails: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source: Any = source
        self.paths: Any = paths
        self.destination: Any = destination
        self.listings: Any = listings
        self.source_conn_id = source_conn_id
        self.destination_conn_id = destination_conn_id
        self.settings: Any = settings
        self.output_spec = output_spec
        self.preview: Any = preview
        self.include: Any = include
        self.exclude: Any = exclude
        self.recursive: Any = recursive
        self.group_by = group_by
        self.brackets: Any = brackets
        self.on_existing: Any = on_existing
        self.if_empty = if_empty
        self.preflight: Any = preflight
        self.max_images: Any = max_images
        self.max_credits: Any = max_credits
        self.max_failures = max_failures
        self.plan_only = plan_only
        self.concurrency = concurrency
        self.poll_interval: Any = poll_interval
        self.timeout: Any = timeout
        self.image_name_template = image_name_template
        self.destination_template = destination_template
        self.dusk: Any = dusk
        self.dusk_template = dusk_template
        self.delete_on_kill = delete_on_kill
        self.deferrable = deferrable
        self.durable = durable
        self.thumbnails = thumbnails
        self._batch: Batch | None = None
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan, submit, wait, land."""
        from airflow_provider_autoenhance.pipeline.batch.engine import Batch

        with task_run(self, context, label=self.listing):
            batch = self._batch = Batch.planned(self.hook, self._job(context))
            self._refuse_to_forget(_written_to(batch))
            ahead = self._tell(batch)
            if boolean(_OWNER, "plan_only", self.plan_only):
                return self._hand_on(context, ahead)
            return self._work(context, batch)

    def execute_complete(self, context: Context, event: OrdersEvent | None = None) -> dict[str, Any]:
        """Go on where the trigger ended: what was made is read back, so nothing had to be carried through the wait."""
        from airflow_provider_autoenhance.pipeline.batch.engine import Batch
        from airflow_provider_autoenhance.triggers.orders import error_of

        with task_run(self, context, label=self.listing):
            batch = self._batch = Batch.planned(self.hook, self._job(context), resumed=True)
            return self._work(context, batch, resumed=True, error=error_of(event))

    def on_kill(self) -> None:
        """Begin nothing more; delete unpaid images under way, if the DAG wishes so."""
        super().on_kill()
        if self.delete_on_kill and self._batch is not None:
            self._batch.abandon()

    @property
    def listing(self) -> str:
        """The folder's name, or each listing's. The map index gets it when the task ends; with ``map_index_template="{{ task.listing }}"``
        in the DAG it is shown from the start, and while the task is deferred, on Airflow 3.2 and later."""
        from airflow_provider_autoenhance.dag_helpers.listings import group_name, listing_names

        try:
            given = take_source(dict(vars(self)))  # alone: an output may be a template still
            source = coerce.places(_OWNER, "source", given["source"] or given["destination"])
            together = isinstance(source, list) and boolean(_OWNER, "listings", self.listings)
            return ", ".join(listing_names(source)) if together else group_name(source)
        except errors.SettingsError:  # told with the arguments
            return self.task_id

    @classmethod
    def check_literals(cls, given: Mapping[str, Any]) -> None:
        """Also refuse to have no destination at all, where the DAG file says so."""
        checked = dict(given)
        if coerce.is_literal(given.get("source")):
            try:
                checked = take_source(checked)
            except errors.SettingsError as error:
                raise ArgumentError(str(error)) from None
        known = all(coerce.is_literal(given.get(name)) for name in ("source", "output_spec"))
        if "source" in given and not known and coerce.names_image(str(given.get("destination"))):
            checked["destination"] = None  # whether a single photo goes to this file, shows when the task is rendered
        super().check_literals(checked)
        own = cls.__module__.startswith(__name__.partition(".")[0])
        whole = own and given.keys() >= _PLACING  # a partial task gets the rest later
        if not whole or given["destination"] is not None or not coerce.is_literal(given["output_spec"]):
            return
        if super().unfolded(given)["destination"] is None and boolean(_OWNER, "durable", given["durable"]):
            raise ArgumentError(_FORGETFUL)

    @classmethod
    def unfolded(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Also of a source that is an object, and of a destination that is a file."""
        return _take_file(take_source(super().unfolded(given)))

    def temporary_place(self) -> str:
        """As of each operator, where nothing has to be remembered for longer than a temporary place does."""
        if boolean(_OWNER, "durable", self.durable):
            raise errors.SettingsError(_FORGETFUL)
        return super().temporary_place()

    def read_arguments(self) -> None:
        """Also tell folders from files in a list of path objects."""
        self.unfold()
        self.source = self.with_slashes(self.source, self.source_conn_id)
        super().read_arguments()

    def with_slashes(self, source: Any, conn_id: str | None) -> Any:
        """Give folders in a list of path objects the slash that tells them from files, which a path object has lost."""
        if not coerce.is_list(source):
            return source
        return [self._with_slash(each, conn_id) if coerce.is_path(each) else each for each in source]

    def _with_slash(self, path: Any, conn_id: str | None) -> str:
        from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS
        from airflow_provider_autoenhance.storage import list_files

        uri = str(path)
        folder = coerce.is_local_folder(uri)
        if "://" in uri and not folder and not uri.lower().endswith(PHOTO_EXTENSIONS):
            conn_id = coerce.text(_OWNER, "source_conn_id", conn_id)
            folder = any(True for _ in list_files(uri + "/", conn_id=conn_id, access=self.hook.source_access))
        return uri.rstrip("/") + "/" if folder else uri

    def _job(self, context: Context) -> Job:
        from airflow_provider_autoenhance.api import versions
        from airflow_provider_autoenhance.api.settings import wire_settings
        from airflow_provider_autoenhance.imaging.output import outputs_of
        from airflow_provider_autoenhance.pipeline.job import Job, run_of
        from airflow_provider_autoenhance.pipeline.sources import Sources
        from airflow_provider_autoenhance.storage.naming import split_conn_id

        version = self.hook.config.extra.api_version
        if self.dusk and versions.older(version, versions.WINDOW_PULL_TYPE):
            raise errors.SettingsError(
                f"{_OWNER}: dusk needs API version {versions.WINDOW_PULL_TYPE} or newer, but the connection pins api_version {version}."
            )
        self._refuse_to_forget([self.destination])
        ti = context["ti"]
        destination, destination_conn_id = split_conn_id(self.destination, self.destination_conn_id)
        job = Job(
            run=run_of(ti),
            sources=Sources(
                _sources(self.source),
                self.source_conn_id,
                self.paths or (),
                self.hook.source_access,
            ),
            destination=destination,
            destination_conn_id=destination_conn_id,
            settings=wire_settings(self.settings, version=version),
            api_version=version,
            dev_mode=self.hook.config.extra.dev_mode,
            outputs=outputs_of(self.output_spec),
            preview=self.preview,
            include=self.include,
            exclude=self.exclude,
            recursive=self.recursive,
            group_by=self.group_by,
            brackets=self.brackets,
            on_existing=self.on_existing,
            if_empty=self.if_empty,
            preflight=self.preflight,
            max_images=self.max_images,
            max_credits=self.max_credits,
            concurrency=self.concurrency,
            image_name_template=self.image_name_template,
            destination_template=self.destination_template,
            edited=self.dusk,
            edit_template=self.dusk_template,
            durable=self.durable,
            listings=self.listings,
            thumbnails=self.thumbnails,
        )
        if job.on_existing == "reenhance":
            log.info("on_existing='reenhance': every photo gets a new image in this run, paid for again")
        return job

    def _refuse_to_forget(self, places: Iterable[str]) -> None:
        """Refuse to write below the temporary folder, where a rule of the bucket would delete what says that photos are bought."""
        from airflow_provider_autoenhance.storage import same_store
        from airflow_provider_autoenhance.storage.location import locate_folder

        folder = self.hook.config.extra.temporary_folder
        if not self.durable or folder is None:
            return
        temporary = locate_folder(folder)
        conn_id = locate_folder(self.destination, conn_id=self.destination_conn_id).conn_id
        for given in (locate_folder(place, conn_id=conn_id) for place in places):
            if given.place.startswith(temporary.place) and same_store(given, temporary):
                raise errors.SettingsError(
                    f"{_OWNER}: {given.uri} lies in the connection's 'temporary_folder', where what a batch remembers is deleted after a "
                    "day: another run would buy the photos again. Choose another destination, or durable=False."
                )

    def _tell(self, batch: Batch) -> dict[str, Any]:
        from airflow_provider_autoenhance.pipeline.batch.summary import forecast, merges

        for warning in (*batch.plan.notices(batch.job), *batch.plan.warnings):
            log.warning("%s", warning)
        ahead = forecast(batch.plan, batch.job, batch.hook.config.extra)
        log.info("Plan: %s", ahead["plan"])
        if boolean(_OWNER, "plan_only", self.plan_only):
            for line in merges(batch.plan):
                log.info("%s", line)
        return ahead

    def _hand_on(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        """Push the summary: as ``summary`` too, so that a report finds it where the task fails after all. Tell assets and lineage of it."""
        summary = self._said(summary)
        push(context, SUMMARY, summary)
        if self._batch is not None:
            job, landed = self._batch.job, summary.get("landed", 0)
            sources, listings = job.sources.uris, self._events_of(summary)
            emit_assets(context, self.outlets, summary, sources=sources, destination=job.destination, listings=listings)
            written, files = ((job.destination,), landed * len(job.outputs)) if landed else ((), 0)
            self._moved = Moved(sources, written, files, summary["bytes"] if landed else 0)
        return push_result(context, summary)

    def _said(self, summary: dict[str, Any], *, broken_off: bool = False) -> dict[str, Any]:
        """Say what the summary is about, and of each listing whether it is as it should be.

        :param broken_off: what failed, another try may have to do.
        """
        for each in summary.get("listings", ()):
            allowed = 0 if broken_off else allowed_failures(self.max_failures, each["photos"])
            each["status"] = "failed" if each.get("failed", 0) > allowed or "error" in each else "ok"
        return {"source": shown(self.source), **summary}

    def _events_of(self, summary: dict[str, Any]) -> list[dict[str, Any]] | None:
        """What asset events say of each listing; ``None`` where the task is about one thing."""
        if self._batch is None or "listings" not in summary:
            return None
        orders = ([id for folder in part.folders for id in folder.own.orders] for part in self._batch.plan.parts)
        return [{**each, "order_ids": ids} for each, ids in zip(summary["listings"], orders, strict=True)]

    def _work(
        self,
        context: Context,
        batch: Batch,
        *,
        resumed: bool = False,
        error: errors.AutoenhanceError | None = None,
    ) -> dict[str, Any]:
        """Work on the folders that nobody else works on, then on the others, until all is done or deferred.

        :param resumed: the try goes on after a wait.
        :param error: what the wait ended with.
        """
        from airflow_provider_autoenhance.pipeline.batch.engine import Batch

        until = time.time() + seconds(_OWNER, "timeout", self.timeout)
        worked: set[str] = set()
        while True:
            with batch:
                with self._summed_up(context, batch):
                    worked |= batch.submit()
                    ended_by, again = self._wait(batch, error)
                if not again:
                    return self._finish(context, batch, ended_by)
                batch.checkpoint()
            batch.wait_for_others(until)
            batch = self._batch = Batch.planned(self.hook, self._job(context), resumed=resumed, worked=worked)

    @contextmanager
    def _summed_up(self, context: Context, batch: Batch) -> Iterator[None]:
        """Leave the summary also where an error ends the batch that every photo would meet: what was bought before is the account's."""
        try:
            yield
        except (errors.FolderBusyError, errors.StoppedError):
            raise
        except errors.AutoenhanceError as error:
            with suppress(errors.AutoenhanceError):  # the one that led here is the one to report
                push(context, SUMMARY, self._said(batch.break_off(error), broken_off=True))
                batch.checkpoint()
            raise

    def _wait(self, batch: Batch, error: errors.AutoenhanceError | None) -> tuple[errors.AutoenhanceError | None, bool]:
        """Wait for what is under way; in the triggerer, where nothing else is left to do here.

        :param error: what an earlier wait ended with. What is gone ends a wait, and the batch has seen for itself what that is.
        :returns: what the wait ended with, and whether the plan has to be made again.
        """
        from airflow_provider_autoenhance.api.waiting import Wait

        if error is not None and not isinstance(error, errors.NotFoundError):
            if not batch.is_outdone:
                batch.end_wait(error)
            return error, batch.is_outdone
        if not batch.in_flight:
            return None, batch.is_outdone
        deadline = batch.submitted_at + seconds(_OWNER, "timeout", self.timeout)
        if self.deferrable and time.time() < deadline:
            if batch.is_outdone:
                return None, True
            self._defer(batch, deadline)
        try:
            return None, batch.watch(Wait(deadline, float(self.poll_interval))) or batch.is_outdone
        except (errors.FolderBusyError, errors.StoppedError):
            raise
        except errors.AutoenhanceError as ended_by:
            batch.end_wait(ended_by)
            return ended_by, batch.is_outdone

    def _defer(self, batch: Batch, deadline: float) -> None:
        """Look once before waiting: a trigger that fires at once can fail its task."""
        from airflow_provider_autoenhance.triggers.orders import AutoenhanceOrderTrigger

        expected = batch.look()
        if not batch.in_flight:
            return
        batch.checkpoint()
        trigger = AutoenhanceOrderTrigger(
            orders=expected,
            image_ids=batch.in_flight.unpaid() if self.delete_on_kill else [],
            autoenhance_conn_id=self.autoenhance_conn_id,
            poll_interval=float(self.poll_interval),
            deadline=deadline,
            closed=True,
            awaited=batch.in_flight.image_ids(_MOST_NAMED),
        )
        log.info("Deferred; waiting for %s", counted(len(batch.in_flight), "image"))
        self.defer(trigger=trigger, method_name="execute_complete")

    def _finish(
        self, context: Context, batch: Batch, ended_by: errors.AutoenhanceError | None = None
    ) -> dict[str, Any]:
        """Close the batch; fail the task when more photos failed than allowed, at once where a retry cannot help.

        :param ended_by: the error that ended the wait. A retry policy waits as long as it asks for.
        """
        summary = self._hand_on(context, batch.finish())
        others = ", ".join(f"{summary[name]} {name}" for name in ("skipped", "failed", "postponed", "held"))
        log.info(
            "Landed %s of %s (%s) for %s. Manifest: %s",
            summary["landed"],
            counted(summary["photos"], "photo"),
            others,
            batch.hook.config.extra.priced(summary["credits"]),
            summary["manifest"] or f"one for each of {counted(len(summary.get('listings', ())), 'listing')}",
        )
        if summary["contact_sheet"]:
            log.info("Before and after: %s", summary["contact_sheet"])
        for failure in summary["failures"]:
            log.warning("Failed: %s: %s", failure["photo"], failure["reason"])
        if problem := self._problem(summary):
            error = (errors.ServerError if summary["transient"] else errors.ImageFailedError)(problem)
            if ended_by is not None:
                error.status_code, error.retry_after = ended_by.status_code, ended_by.retry_after
            if self._succeeds_for_the_others(context, summary, error):
                log.error("%s", problem)
            else:
                raise error
        return summary

    def _problem(self, summary: dict[str, Any]) -> str | None:
        """Say what failed, where it is more than allowed."""
        if "listings" not in summary:
            allowed = allowed_failures(self.max_failures, summary["photos"])
            return f"{self._too_many(summary)} All: {summary['manifest']}" if summary["failed"] > allowed else None
        failed = [each for each in summary["listings"] if each["status"] == "failed"]
        if not failed:
            return None
        from airflow_provider_autoenhance.dag_helpers.listings import group_name

        reasons = (f"{group_name(each['source'])}: {each.get('error') or self._too_many(each)}" for each in failed)
        return (
            f"{len(failed)} of {counted(len(summary['listings']), 'listing')} failed, and the others are done. "
            f"{' '.join(islice(reasons, _MOST_NAMED_LISTINGS))}{' ...' if len(failed) > _MOST_NAMED_LISTINGS else ''}"
        )

    def _too_many(self, found: dict[str, Any]) -> str:
        first = found["failures"][0]
        return (
            f"{found['failed']} of {counted(found['photos'], 'photo')} failed, more than max_failures={self.max_failures} allows; "
            f"the others landed. First: {first['photo']}: {first['reason']}"
        )

    def _succeeds_for_the_others(
        self, context: Context, summary: dict[str, Any], error: errors.AutoenhanceError
    ) -> bool:
        """Whether the task succeeds though a listing has failed: Airflow would drop the events of the others, which nothing is wrong with.

        Not while another try may help, and Airflow grants one.
        """
        ti = context["ti"]
        again = error.retryable and ti.try_number <= (getattr(ti, "max_tries", 0) or 0)
        return bool(self.outlets) and not again and any(each["status"] == "ok" for each in summary.get("listings", ()))


def _written_to(batch: Batch) -> Iterator[str]:
    """Yield the folders that a batch would write photos and records to."""
    photos = (each.photo for folder in batch.plan.folders for each in folder.decisions)
    yield from {target.rpartition("/")[0] + "/" for photo in photos for target in photo.targets}
    yield from {folder.own.folder for folder in batch.plan.folders}


def take_source(given: dict[str, Any]) -> dict[str, Any]:
    """Take apart a source that is an object, as Image I/O's input of a batch.

    :raises SettingsError: it holds something else than ``source`` and ``recursive``.
    """
    source = coerce.from_text(given.get("source"))
    if not isinstance(source, Mapping):
        return given
    if "source" not in source or not source.keys() <= {"source", "recursive"}:
        raise errors.SettingsError(
            f"{_OWNER}: source takes a URI, a list of them, or an object with 'source' and 'recursive', not {quoted(shown(source))}."
        )
    return {**given, **source}


def _take_file(given: dict[str, Any]) -> dict[str, Any]:
    """Make a folder and a name of a destination that is a file, where the source is a single photo.

    :raises SettingsError: another argument says otherwise, or makes several files.
    """
    from airflow_provider_autoenhance.imaging.naming import file_name
    from airflow_provider_autoenhance.imaging.output import named_output

    place = given.get("destination")
    place = str(place) if coerce.is_path(place) else place
    if not isinstance(place, str) or not coerce.names_image(place) or not _is_photo(given):
        return given
    dusk = given.get("dusk")
    edited = coerce.is_literal(dusk) and coerce.texts(_OWNER, "dusk", dusk)
    folder, slash, name = place.rpartition("/")
    try:
        output = named_output(outputs(_OWNER, "output_spec", given.get("output_spec") or "jpeg"), name)
    except errors.SettingsError as error:
        raise errors.SettingsError(f"{_OWNER}: {error}") from None
    about = f"{_OWNER}: destination names a file, {quoted(last_part(place))}."
    if given.get("destination_template") is not None or output.name_template or edited:
        raise errors.SettingsError(
            f"{about} Beside destination_template, name_template or dusk, give a folder, ending in '/'."
        )
    if (plain := re.sub("[{}]", "_", file_name(name, str(output.format)))) != name:
        raise errors.SettingsError(f"{about} A result has no such characters in its name; call it {quoted(plain)}.")
    return {**given, "destination": folder + slash or "./", "destination_template": name, "output_spec": (output,)}


def _is_photo(given: Mapping[str, Any]) -> bool:
    """Whether the source is a single photo, as far as its URI says."""
    from airflow_provider_autoenhance.imaging.sniff import PHOTO_EXTENSIONS

    source = given.get("source")
    if coerce.is_void(source) or not coerce.is_left_out(given.get("paths")):
        return False
    found = coerce.places(_OWNER, "source", source)
    (uri, *others) = [found] if isinstance(found, str) else found
    return not others and uri.partition("?")[0].lower().endswith(PHOTO_EXTENSIONS) and not coerce.is_local_folder(uri)


def _sources(source: str | Sequence[str]) -> list[str]:
    if isinstance(source, str):
        return [required(_OWNER, "source", source)]
    sources = [required(_OWNER, "source", each) for each in source]
    if not sources:
        raise errors.SettingsError(f"{_OWNER}: source is an empty list; check the task that hands it over.")
    return sources
