"""Operators for orders: create, process (HDR brackets), rename, download, delete. Each is safe to retry and to map."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_autoenhance.api import coerce, errors
from airflow_provider_autoenhance.hooks import DEFAULT_POLL_INTERVAL
from airflow_provider_autoenhance.operators.base import WAITING, AutoenhanceBaseOperator, outputs, push_result, task_run
from airflow_provider_autoenhance.operators.links import PHOTO_LINKS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_autoenhance.api.models import Order
    from airflow_provider_autoenhance.imaging.output import OutputSpec
    from airflow_provider_autoenhance.triggers.orders import OrdersEvent

log = logging.getLogger(__name__)


class AutoenhanceCreateOrderOperator(AutoenhanceBaseOperator):
    """Create an order, or adopt the one that an earlier try of this task made. Returns ``order_id``, ``name`` and ``status``.

    Images do not need it: ``AutoenhanceCreateImageOperator`` makes an order that does not exist yet. Exposures go into one that exists.

    ::

        order = AutoenhanceCreateOrderOperator(task_id="order", name="12 Maple Street {{ ds }}")

    :param name: what people read in Autoenhance's web app; by default DAG and run (templated). Mapped tasks need a name each: the
        same name in one run is the same order.
    :param order_id: id of your own choice, unused by anyone; by default one that a retry derives again (templated).
    :raises ConflictError: the id belongs to another account, or to an order that was deleted.
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "name": coerce.text,
        "order_id": coerce.identifier,
    }
    template_fields: Sequence[str] = ("name", "order_id", "autoenhance_conn_id")

    def __init__(self, *, name: str | None = None, order_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.order_id = order_id
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Create, or adopt."""
        from airflow_provider_autoenhance.pipeline.remote.identity import order_id_of
        from airflow_provider_autoenhance.pipeline.remote.images import ensure_order

        ti = context["ti"]
        by_default = f"{ti.dag_id} {ti.run_id}"
        with task_run(self, context, label=self.name or by_default):
            name = self.name or by_default
            order_id = self.order_id or order_id_of(ti.dag_id, ti.run_id, ti.task_id, name)
            order = ensure_order(self.hook, order_id, name)
            log.info("Order %s (%s) is there", order_id, order.name)
            return push_result(context, {"order_id": order.order_id, "name": order.name, "status": order.status})


class AutoenhanceProcessOrderOperator(AutoenhanceBaseOperator):
    """Group an order's uploaded brackets into images and enhance them, once: an order that is merging or has images is only waited for.

    Waits for the result, unless ``wait_for_completion`` is false. Returns ``order_id``, ``name``, the numbers ``images``, ``processed``
    and ``failed``, the ``image_ids`` of what is enhanced, and the first ``failures``, each with ``photo`` and ``reason``. Images that
    failed do not fail the task unless all of them did.

    ::

        AutoenhanceProcessOrderOperator(
            task_id="process",
            order_id=order.output["order_id"],
            groups=[uploaded.output["bracket_id"]],
            timeout=timedelta(hours=2),
            deferrable=True,
        )

    :param order_id: id of the order (templated).
    :param groups: a list of bracket ids for each image (templated); or give
    :param number_of_brackets_per_image: 2 to 9, in the sequence in which the brackets were made (templated); or neither, and
        Autoenhance groups by what the shots show.
    :param settings: an ``EnhancementSettings`` or a plain object, for all images of the order (templated).
    :param wait_for_completion: wait until all images are enhanced.
    :param deferrable: wait in the triggerer; by default as ``[operators] default_deferrable`` says.
    :param poll_interval: time between polls, in seconds or as a ``timedelta`` (templated).
    :param timeout: time after which the wait fails, in seconds or as a ``timedelta`` (templated); the order goes on.
    :raises SettingsError: on a bad group or setting, and on brackets that were never uploaded; nothing was started.
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "order_id": coerce.required_id,
        "groups": coerce.groups,
        "number_of_brackets_per_image": coerce.number_between(2, 9),
        "settings": coerce.settings,
        **WAITING,
    }
    template_fields: Sequence[str] = (
        "order_id", "groups", "number_of_brackets_per_image", "settings", "poll_interval", "timeout", "autoenhance_conn_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        order_id: str,
        groups: Sequence[Sequence[str]] | str | None = None,
        number_of_brackets_per_image: int | str | None = None,
        settings: Mapping[str, Any] | str | None = None,
        wait_for_completion: bool | str = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: coerce.Duration = DEFAULT_POLL_INTERVAL,
        timeout: coerce.Duration = 60.0 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.order_id = order_id
        self.groups: Any = groups
        self.number_of_brackets_per_image: Any = number_of_brackets_per_image
        self.settings: Any = settings
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval: Any = poll_interval
        self.timeout: Any = timeout
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Start, unless an earlier try did, and wait."""
        from airflow_provider_autoenhance.api.settings import wire_settings
        from airflow_provider_autoenhance.api.waiting import OrderWait
        from airflow_provider_autoenhance.pipeline.remote.process import Grouping, ensure_processed
        from airflow_provider_autoenhance.pipeline.remote.wait import wait_for_order
        from airflow_provider_autoenhance.triggers.orders import order_xcom

        with task_run(self, context, label=self.order_id):
            order_id, grouping = self.order_id, Grouping(self.groups, self.number_of_brackets_per_image)
            grouping.check(f"order {order_id}")
            wire = wire_settings(self.settings, version=self.hook.config.extra.api_version, order=True)
            order = ensure_processed(self.hook, order_id, grouping, wire)
            if not self.wait_for_completion:
                return push_result(context, order_xcom(order))
            wait = OrderWait(time.time() + self.timeout, self.poll_interval, closed=True)
            expected = None if grouping.groups is None else len(grouping.groups)
            if self.deferrable and wait.on_order(order, expected) is not None:
                self._defer(order_id, expected, wait.deadline)
            return self._end(context, wait_for_order(self.hook, order, wait, expected))

    def execute_complete(self, context: Context, event: OrdersEvent | None = None) -> dict[str, Any]:
        """Go on where the trigger ended."""
        from airflow_provider_autoenhance.triggers.orders import error_of

        with task_run(self, context, label=self.order_id):
            error = error_of(event)
            if error is not None:
                raise error
            return self._end(context, self.hook.get_order(self.order_id))

    def _defer(self, order_id: str, expected: int | None, deadline: float | None) -> None:
        from airflow_provider_autoenhance.triggers.orders import AutoenhanceOrderTrigger

        trigger = AutoenhanceOrderTrigger(
            orders={order_id: expected},
            autoenhance_conn_id=self.autoenhance_conn_id,
            poll_interval=self.poll_interval,
            deadline=deadline,
            closed=True,
        )
        self.defer(trigger=trigger, method_name="execute_complete")

    def _end(self, context: Context, order: Order) -> dict[str, Any]:
        from airflow_provider_autoenhance.triggers.orders import order_xcom

        result = push_result(context, order_xcom(order))
        log.info("Enhanced %s of %s images of order %s", result["processed"], result["images"], order.order_id)
        for failure in result["failures"]:
            log.warning("Failed: %s: %s", failure["photo"], failure["reason"])
        if order.images and not result["image_ids"]:
            reason = result["failures"][0]["reason"] if result["failures"] else "no image is enhanced"
            raise errors.ImageFailedError(
                f"order {order.order_id}: none of its images could be enhanced ({reason}). Check the source photos."
            )
        return result


class AutoenhanceUpdateOrderOperator(AutoenhanceBaseOperator):
    """Rename an order; nothing else about it can be changed. Returns ``order_id``, ``name`` and ``status``.

    ::

        AutoenhanceUpdateOrderOperator(task_id="rename", order_id=order.output["order_id"], name="12 Maple Street, sold")

    :param order_id: id of the order (templated).
    :param name: its new name (templated).
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "order_id": coerce.required_id,
        "name": coerce.required,
    }
    template_fields: Sequence[str] = ("order_id", "name", "autoenhance_conn_id")

    def __init__(self, *, order_id: str, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order_id = order_id
        self.name = name
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Rename."""
        with task_run(self, context, label=self.order_id):
            order = self.hook.update_order(self.order_id, name=self.name)
            log.info("Renamed order %s to %s", order.order_id, self.name)
            return push_result(context, {"order_id": order.order_id, "name": order.name, "status": order.status})


class AutoenhanceDownloadOrderOperator(AutoenhanceBaseOperator):
    """Stream every enhanced image of an order into a folder, each whole or not at all, several at a time.

    A retry downloads again, but never pays again. Images that Autoenhance could not enhance are logged and left out; one that cannot
    be downloaded does not hold up the others, and fails the task by name in the end. Returns ``order_id``, ``name``, ``destination``,
    the numbers ``images``, ``landed`` and ``failed``, the first ``failures``, each with ``photo`` and ``reason``, ``bytes``, and
    ``credits`` (spent by this try), ``gallery`` and ``contact_sheet`` (URIs).

    ::

        AutoenhanceDownloadOrderOperator(
            task_id="download", order_id=order.output["order_id"], destination="s3://enhanced/maple/", preview=False
        )

    :param order_id: id of the order (templated).
    :param destination: folder URI; files are named after their images, and images of one name get a piece of their id (templated).
        Neither an original nor what a batch has made of another photo is written over. Left out, the ``output_spec`` names it; where that
        does not either, it is a folder below the connection's ``temporary_folder``.
    :param destination_conn_id: Airflow connection of the destination (templated).
    :param preview: small free renderings, as the API's default is. ``False`` spends one credit an image the first time (templated).
    :param output_spec: an ``OutputSpec``, an object of its fields, or just a format; a list of them for several files
        of each image (templated).
    :param concurrency: downloads at a time.
    :param thumbnails: also write what people look at: a small picture of each image before and after, the gallery's rows (``gallery``) and
        a contact sheet (``contact_sheet``). Needs the extra ``imaging`` for the pictures, and up to two free API calls for each image.
    :raises NoCreditsError: no credit is left; the enhanced images wait.
    :raises DestinationError: not writable; nothing was spent.
    :raises SettingsError: an original, or another photo's file, would be written over; nothing was spent.
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "order_id": coerce.required_id,
        "destination": coerce.folder,
        "destination_conn_id": coerce.text,
        "preview": coerce.boolean,
        "output_spec": outputs,
        "concurrency": coerce.at_once,
        "thumbnails": coerce.boolean,
    }
    operator_extra_links = PHOTO_LINKS
    template_fields: Sequence[str] = (
        "order_id", "destination", "destination_conn_id", "preview", "output_spec", "autoenhance_conn_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        order_id: str,
        destination: coerce.Place | None = None,
        destination_conn_id: str | None = None,
        preview: bool | str = True,
        output_spec: OutputSpec | Mapping[str, Any] | str | Sequence[Any] | None = None,
        concurrency: int = 8,
        thumbnails: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.order_id = order_id
        self.destination: Any = destination
        self.destination_conn_id = destination_conn_id
        self.preview: Any = preview
        self.output_spec = output_spec
        self.concurrency = concurrency
        self.thumbnails = thumbnails
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Download."""
        from airflow_provider_autoenhance.imaging.output import outputs_of
        from airflow_provider_autoenhance.pipeline.gallery.downloads import Downloads
        from airflow_provider_autoenhance.pipeline.job import run_of
        from airflow_provider_autoenhance.pipeline.transfer.download import PhotoTarget
        from airflow_provider_autoenhance.pipeline.transfer.download_order import download_order

        with task_run(self, context, label=self.order_id):
            folder = PhotoTarget(
                uri=self.destination,
                conn_id=self.destination_conn_id,
                outputs=outputs_of(self.output_spec),
                preview=self.preview,
            )
            order = self.hook.get_order(self.order_id)
            shown: Downloads | None = None
            if self.thumbnails:
                run = run_of(context["ti"])
                shown = Downloads(self.hook, run, self.destination, self.destination_conn_id, of=self.order_id)
            result = download_order(self.hook, order, folder, concurrency=self.concurrency, shown=shown)
            return push_result(context, result)


class AutoenhanceDeleteOrderOperator(AutoenhanceBaseOperator):
    """Delete an order with its images from Autoenhance. One that is gone already is fine, so a retry is too. Returns ``order_id``.

    ::

        AutoenhanceDeleteOrderOperator(task_id="delete", order_id=order.output["order_id"])

    :param order_id: id of the order (templated).
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "order_id": coerce.required_id,
    }
    template_fields: Sequence[str] = ("order_id", "autoenhance_conn_id")

    def __init__(self, *, order_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order_id = order_id
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete."""
        with task_run(self, context, label=self.order_id):
            self.hook.delete_order(self.order_id)
            log.info("Deleted order %s", self.order_id)
            return push_result(context, {"order_id": self.order_id})
