"""Sensors that wait for Autoenhance."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, BaseSensorOperator, PokeReturnValue, conf

from airflow_provider_autoenhance.api import coerce, errors
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID, DEFAULT_POLL_INTERVAL
from airflow_provider_autoenhance.operators.base import AutoenhanceMixin, push_result, task_run

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_autoenhance.api.waiting import ImageWait, OrderWait
    from airflow_provider_autoenhance.triggers.images import Event
    from airflow_provider_autoenhance.triggers.orders import OrdersEvent

log = logging.getLogger(__name__)


def _in_seconds(value: Any) -> Any:
    """A ``timedelta`` in seconds, as Airflow's sensors keep it."""
    return value.total_seconds() if isinstance(value, timedelta) else value


class AutoenhanceStatusSensor(AutoenhanceMixin, BaseSensorOperator):
    """What both sensors share: poke, reschedule or deferrable waiting that tolerates a few passing errors in a row.

    :param autoenhance_conn_id: Airflow connection (templated).
    :param deferrable: wait in the triggerer; by default as ``[operators] default_deferrable`` says.
    :param poke_interval: time between polls, also when deferred, in seconds or as a ``timedelta`` (templated).
    :param timeout: time after which the wait fails, in seconds or as a ``timedelta`` (templated).
    """

    ui_color = "#fdf3d7"
    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "deferrable": coerce.boolean,
        "poke_interval": coerce.seconds,
        "timeout": coerce.seconds,
    }

    def __init__(
        self,
        *,
        autoenhance_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: coerce.Duration = DEFAULT_POLL_INTERVAL,
        timeout: coerce.Duration = 60.0 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=DEFAULT_POLL_INTERVAL, timeout=0, **kwargs)
        # Airflow's own class takes no template here.
        self.poke_interval: Any = _in_seconds(poke_interval)
        self.timeout: Any = _in_seconds(timeout)
        self.autoenhance_conn_id = autoenhance_conn_id
        self.deferrable = deferrable

    @property
    @abstractmethod
    def subject(self) -> str:
        """What is waited for, in words."""

    @abstractmethod
    def look(self) -> dict[str, Any] | None:
        """Look once: the result, or ``None`` while it is under way."""

    @abstractmethod
    def trigger(self, deadline: float) -> BaseTrigger:
        """Make the trigger that waits in the triggerer."""

    @property
    @abstractmethod
    def wait(self) -> ImageWait | OrderWait:
        """The decision about waiting. It has no deadline: Airflow itself watches the timeout of a sensor that pokes."""

    def execute(self, context: Context) -> Any:
        """Wait here, or look once and wait in the triggerer."""
        with task_run(self, context, label=self.subject.partition(" ")[2]):
            if self.deferrable:
                return push_result(context, self._look_or_defer())
            try:
                return push_result(context, super().execute(context))
            except AirflowSensorTimeout:
                raise errors.DeadlineError(
                    f"{self.subject} was not finished within {self.timeout:g} s. Nothing is lost: raise the sensor's timeout, clear it, "
                    "and it goes on waiting."
                ) from None

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        try:
            result = self.look()
        except errors.AutoenhanceError as error:
            self.wait.on_error(error, self.subject)
            log.warning("%s Polling again.", error)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=result is not None, xcom_value=result)

    def _look_or_defer(self) -> Any:
        deadline = time.time() + self.timeout
        seen = self.poke({})
        if seen.is_done:
            return seen.xcom_value
        # No defer(timeout=...): it would end the task without a word. The deadline is the trigger's.
        self.defer(trigger=self.trigger(deadline), method_name="execute_complete")


class AutoenhanceImageStatusSensor(AutoenhanceStatusSensor):
    """Wait until an image is enhanced; the image is the XCom: each field that Autoenhance answers.

    Fails at once, naming the vendor's reason, when the image failed or expired. A few passing errors in a row are tolerated. Works in
    poke and reschedule mode, and deferrable: then no worker slot is held. Further arguments: :class:`AutoenhanceStatusSensor`.

    ::

        enhanced = AutoenhanceImageStatusSensor(
            task_id="wait", image_id=uploaded.output["image_id"], timeout=timedelta(hours=1), deferrable=True
        )

    :param image_id: id of the image (templated).
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {"image_id": coerce.required_id}
    template_fields: Sequence[str] = ("image_id", "poke_interval", "timeout", "autoenhance_conn_id")

    def __init__(self, *, image_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image_id = image_id
        self.check_arguments()

    @property
    def subject(self) -> str:
        return f"image {self.image_id}"

    def look(self) -> dict[str, Any] | None:
        image = self.hook.get_image(self.image_id)
        log.info("%s is %s", image.label, image.status)
        return image.details if self.wait.on_image(image) is None else None

    def trigger(self, deadline: float) -> BaseTrigger:
        from airflow_provider_autoenhance.triggers.images import AutoenhanceImageTrigger

        return AutoenhanceImageTrigger(
            image_id=self.image_id,
            autoenhance_conn_id=self.autoenhance_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
        )

    @cached_property
    def wait(self) -> ImageWait:
        from airflow_provider_autoenhance.api.waiting import ImageWait

        return ImageWait(None, self.poke_interval)

    def execute_complete(self, context: Context, event: Event | None = None) -> dict[str, Any]:
        """Go on where the trigger ended."""
        with task_run(self, context, label=self.image_id):
            return push_result(context, self.image_of(event))


class AutoenhanceOrderStatusSensor(AutoenhanceStatusSensor):
    """Wait until all images of an order are final; the order is the XCom: ``order_id``, ``name``, the numbers ``images``,
    ``processed`` and ``failed``, the ``image_ids`` of what is enhanced, and the first ``failures``.

    A fresh order looks finished to the API's flags, so an order without images counts as unfinished. Images that failed do not fail the
    sensor: the numbers show them. Images that are deleted while it waits fail it by name, where too few are left. Further arguments:
    :class:`AutoenhanceStatusSensor`.

    ::

        AutoenhanceOrderStatusSensor(task_id="wait", order_id="{{ params.order_id }}", expected_images=24, deferrable=True)

    :param order_id: id of the order (templated).
    :param expected_images: images that will become final; by default all that the order lists, at least one (templated).
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "order_id": coerce.required_id,
        "expected_images": coerce.whole_number,
    }
    template_fields: Sequence[str] = ("order_id", "expected_images", "poke_interval", "timeout", "autoenhance_conn_id")

    def __init__(self, *, order_id: str, expected_images: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.order_id = order_id
        self.expected_images: Any = expected_images
        self._all_listed = False
        self.check_arguments()

    @property
    def subject(self) -> str:
        return f"order {self.order_id}"

    def look(self) -> dict[str, Any] | None:
        from airflow_provider_autoenhance.triggers.orders import order_xcom

        order = self.hook.get_order(self.order_id)
        self._all_listed = len(order.images) >= (self.expected_images or 1)
        found = order_xcom(order)
        log.info("Enhanced %s of %s images of %s", found["processed"], found["images"], self.subject)
        return found if self.wait.on_order(order, self.expected_images) is None else None

    def trigger(self, deadline: float) -> BaseTrigger:
        from airflow_provider_autoenhance.triggers.orders import AutoenhanceOrderTrigger

        return AutoenhanceOrderTrigger(
            orders={self.order_id: self.expected_images},
            autoenhance_conn_id=self.autoenhance_conn_id,
            poll_interval=self.poke_interval,
            deadline=deadline,
            closed=self._all_listed,
        )

    @cached_property
    def wait(self) -> OrderWait:
        from airflow_provider_autoenhance.api.waiting import OrderWait

        return OrderWait(None, self.poke_interval)

    def execute_complete(self, context: Context, event: OrdersEvent | None = None) -> dict[str, Any]:
        """Go on where the trigger ended."""
        from airflow_provider_autoenhance.triggers.orders import error_of, order_xcom

        with task_run(self, context, label=self.order_id):
            error = error_of(event)
            if error is not None:
                raise error
            return push_result(context, order_xcom(self.hook.get_order(self.order_id)))
