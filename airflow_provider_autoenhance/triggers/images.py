"""Waiting in the triggerer: poll, decide, report. Nothing is downloaded or written here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.api.coerce import Duration, seconds
from airflow_provider_autoenhance.api.events import ErrorEvent, error_event, reported, reported_error
from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID, DEFAULT_POLL_INTERVAL

if TYPE_CHECKING:
    pass

#: A trigger that fires at once can fail its task (apache/airflow#71580): measured 9 of 40 at 0 s, none at 5 s.
EARLIEST_EVENT_SECONDS = 5.0


class Event(ErrorEvent, total=False):
    """Payload of the trigger's event: an image when the wait ended well, else what went wrong."""

    image: dict[str, Any]


class AutoenhanceImageTrigger(BaseTrigger):
    """Wait until an image is enhanced, failed or expired, or until the deadline.

    One event, never earlier than 5 seconds after the start, because Airflow can fail a task whose trigger fires while it is still being
    deferred (apache/airflow#71580). It holds ids only, since Airflow prints triggers into logs. Killing or clearing the task leaves the
    image alone: what is enhanced is kept by Autoenhance and paid only when it is downloaded.

    ::

        trigger = AutoenhanceImageTrigger(image_id=image_id, deadline=time.time() + 3600)
        self.defer(trigger=trigger, method_name="execute_complete")

    :param image_id: id of the image.
    :param autoenhance_conn_id: Airflow connection.
    :param poll_interval: time between polls, in seconds or as a ``timedelta``.
    :param deadline: seconds since the epoch; absolute, so that it outlives a restart of the triggerer. ``None``: no deadline.
    """

    def __init__(
        self,
        *,
        image_id: str,
        autoenhance_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: Duration = DEFAULT_POLL_INTERVAL,
        deadline: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.image_id = image_id
        self.autoenhance_conn_id = autoenhance_conn_id
        self.poll_interval = seconds(type(self).__name__, "poll_interval", poll_interval)
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "image_id": self.image_id,
            "autoenhance_conn_id": self.autoenhance_conn_id,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until there is something to report."""
        started = time.monotonic()
        event = await self._wait()
        await asyncio.sleep(max(0.0, EARLIEST_EVENT_SECONDS - (time.monotonic() - started)))
        yield TriggerEvent(event)

    async def _wait(self) -> Event | ErrorEvent:
        from airflow_provider_autoenhance.api import calls
        from airflow_provider_autoenhance.api.waiting import ImageWait
        from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook

        hook = AutoenhanceAsyncHook(self.autoenhance_conn_id)
        wait = ImageWait(self.deadline, self.poll_interval)
        try:
            while True:
                try:
                    image = await hook.run(calls.retrieve_image(self.image_id))
                except errors.AutoenhanceError as failed:
                    pause: float | None = wait.on_error(failed, f"image {self.image_id}")
                else:
                    pause = wait.on_image(image)
                    if pause is None:
                        return Event(image=image.details)
                await asyncio.sleep(pause or 0.0)
        except Exception as caught:  # noqa: BLE001 - the task that wakes up says what it was
            return error_event(errors.unexpected(caught, f"waiting for image {self.image_id}"))


def result_of(event: Event | None) -> dict[str, Any]:
    """Return the image that an event reports.

    :raises AutoenhanceError: of the class that the trigger met.
    """
    image: dict[str, Any] | None = reported(event, "image", dict)
    if image is None or not isinstance(image.get("image_id"), str):
        raise reported_error(event)
    return image
