"""Sensors that wait for Autoenhance."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, BaseSensorOperator, PokeReturnValue, conf

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID
from airflow_provider_autoenhance.operators.base import AutoenhanceMixin, hand_on, required, task_run, whole_number

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_autoenhance.api.waiting import ImageWait, OrderWait
    from airflow_provider_autoenhance.triggers.orders import OrdersEvent
    from airflow_provider_autoenhance.triggers.status import Event


class AutoenhanceImageStatusSensor(AutoenhanceMixin, BaseSensorOperator):
    """Wait until an image is enhanced; the image (id, status, scene, ...) is the XCom.

    Fails at once, naming the vendor's reason, when the image failed or expired. A few passing errors in a row are tolerated. Works in
    poke and reschedule mode, and deferrable: then no worker slot is held.

    :param image_id: id of the image (templated).
    :param autoenhance_conn_id: Airflow connection (templated).
    :param deferrable: wait in the triggerer; by default as ``[operators] default_deferrable`` says.
    :param poke_interval: seconds between polls, also when deferred.
    :param timeout: seconds after which the wait fails.
    """

    template_fields: Sequence[str] = ("image_id", "autoenhance_conn_id")
    ui_color = "#fdf3d7"

    def __init__(
        self,
        *,
        image_id: str,
        autoenhance_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = 10.0,
        timeout: float = 60.0 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.image_id = image_id
        self.autoenhance_conn_id = autoenhance_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Wait here, or look once and wait in the triggerer."""
        with task_run(context, label=self.image_id):
            required(type(self).__name__, "image_id", self.image_id)
            if self.deferrable:
                return hand_on(context, self._look_or_defer())
            try:
                return hand_on(context, super().execute(context))
            except AirflowSensorTimeout:
                raise errors.DeadlineError(
                    f"image {self.image_id} was not enhanced within {self.timeout:g} s. Nothing is lost: raise the sensor's timeout, "
                    "clear it, and it goes on waiting."
                ) from None

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from airflow_provider_autoenhance.triggers.status import image_xcom

        try:
            image = self.hook.get_image(self.image_id)
        except errors.AutoenhanceError as error:
            self._wait.on_error(error, f"image {self.image_id}")
            self.log.warning("%s Polling again.", error)
            return PokeReturnValue(is_done=False)
        done = self._wait.on_image(image) is None
        self.log.info("%s is %s", image.label, image.status)
        return PokeReturnValue(is_done=done, xcom_value=image_xcom(image) if done else None)

    def execute_complete(self, context: Context, event: Event | None = None) -> dict[str, Any]:
        """Go on where the trigger ended."""
        with task_run(context, label=self.image_id):
            return hand_on(context, self.image_of(event))

    @cached_property
    def _wait(self) -> ImageWait:
        from airflow_provider_autoenhance.api.waiting import ImageWait

        # Airflow itself watches the timeout of a sensor that pokes.
        return ImageWait(None, float(self.poke_interval))

    def _look_or_defer(self) -> Any:
        from airflow_provider_autoenhance.api.waiting import ImageWait
        from airflow_provider_autoenhance.triggers.status import AutoenhanceImageTrigger

        wait = ImageWait(time.time() + float(self.timeout), float(self.poke_interval))
        seen = self.poke({})
        if seen.is_done:
            return seen.xcom_value
        trigger = AutoenhanceImageTrigger(
            image_id=self.image_id,
            autoenhance_conn_id=self.autoenhance_conn_id,
            poll_interval=wait.interval,
            deadline=wait.deadline,
        )
        # No defer(timeout=...): it would end the task without a word. The deadline is the trigger's.
        self.defer(trigger=trigger, method_name="execute_complete")


class AutoenhanceOrderStatusSensor(AutoenhanceMixin, BaseSensorOperator):
    """Wait until all images of an order are final; the order (id, name, counts by status) is the XCom.

    A fresh order looks finished to the API's flags, so an order without images counts as unfinished. Images that failed do not fail the
    sensor: the counts tell of them.

    :param order_id: id of the order (templated).
    :param expected_images: images that will become final; by default all that the order lists, at least one (templated).
    :param autoenhance_conn_id: Airflow connection (templated).
    :param deferrable: wait in the triggerer; by default as ``[operators] default_deferrable`` says.
    :param poke_interval: seconds between polls, also when deferred.
    :param timeout: seconds after which the wait fails.
    """

    template_fields: Sequence[str] = ("order_id", "expected_images", "autoenhance_conn_id")
    ui_color = "#fdf3d7"

    def __init__(
        self,
        *,
        order_id: str,
        expected_images: int | str | None = None,
        autoenhance_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = 20.0,
        timeout: float = 6 * 60.0 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.order_id = order_id
        self.expected_images = expected_images
        self.autoenhance_conn_id = autoenhance_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Wait here, or look once and wait in the triggerer."""
        with task_run(context, label=self.order_id):
            required(type(self).__name__, "order_id", self.order_id)
            if self.deferrable:
                return hand_on(context, self._look_or_defer())
            try:
                return hand_on(context, super().execute(context))
            except AirflowSensorTimeout:
                raise errors.DeadlineError(
                    f"order {self.order_id} was not finished within {self.timeout:g} s. Nothing is lost: raise the sensor's timeout, "
                    "clear it, and it goes on waiting."
                ) from None

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        try:
            order = self.hook.get_order(self.order_id)
        except errors.AutoenhanceError as error:
            self._wait.on_error(error, f"order {self.order_id}")
            self.log.warning("%s Polling again.", error)
            return PokeReturnValue(is_done=False)
        statuses = Counter(str(image.status) for image in order.images)
        self.log.info("order %s: %s", self.order_id, dict(statuses) or "no images yet")
        if self._wait.on_order(order, self._expected) is not None:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(
            is_done=True, xcom_value={"order_id": order.order_id, "name": order.name, "images": dict(statuses)}
        )

    def execute_complete(self, context: Context, event: OrdersEvent | None = None) -> Any:
        """Go on where the trigger ended."""
        from airflow_provider_autoenhance.triggers.orders import error_of

        with task_run(context, label=self.order_id):
            error = error_of(event)
            if error is not None:
                raise error
            return hand_on(context, self.poke(context).xcom_value or {})

    @property
    def _expected(self) -> int | None:
        return whole_number(f"order {self.order_id}", "expected_images", self.expected_images)

    @cached_property
    def _wait(self) -> OrderWait:
        from airflow_provider_autoenhance.api.waiting import OrderWait

        # Airflow itself watches the timeout of a sensor that pokes.
        return OrderWait(None, float(self.poke_interval))

    def _look_or_defer(self) -> Any:
        from airflow_provider_autoenhance.triggers.orders import AutoenhanceOrderTrigger

        deadline = time.time() + float(self.timeout)
        seen = self.poke({})
        if seen.is_done:
            return seen.xcom_value
        trigger = AutoenhanceOrderTrigger(
            orders={self.order_id: self._expected},
            autoenhance_conn_id=self.autoenhance_conn_id,
            poll_interval=float(self.poke_interval),
            deadline=deadline,
        )
        self.defer(trigger=trigger, method_name="execute_complete")
