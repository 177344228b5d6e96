"""Premium edits of images that are enhanced already, such as Day to Dusk. Safe to retry and to map."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_autoenhance.api import coerce, errors
from airflow_provider_autoenhance.api.shown import counted, quoted
from airflow_provider_autoenhance.hooks import DEFAULT_POLL_INTERVAL
from airflow_provider_autoenhance.operators.base import (
    WAITING,
    ArgumentError,
    AutoenhanceBaseOperator,
    push_result,
    task_run,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_autoenhance.api.models import Image
    from airflow_provider_autoenhance.triggers.images import Event

log = logging.getLogger(__name__)

#: Errors of one image, which do not hold up the others.
_OF_ONE_IMAGE = (
    errors.ImageExpiredError, errors.ImageFailedError, errors.InvalidRequestError, errors.NotFoundError,
)  # fmt: skip


def _image_ids(owner: str, name: str, value: Any) -> tuple[str, ...] | None:
    """Read ids of images, each once: one, a list, or what other tasks return. An empty list is one, and text that is empty is nothing."""
    if coerce.is_left_out(value) or coerce.is_void(value):
        return None
    return tuple(dict.fromkeys(_ids(owner, name, coerce.from_text(value))))


def _ids(owner: str, name: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        found = value.get("image_ids", value.get("image_id"))
        if found is None:
            raise errors.SettingsError(f"{owner}: {name} takes ids, or results with an image_id, not {quoted(value)}.")
        yield from _ids(owner, name, found)
    elif coerce.is_list(value):
        for each in value:
            yield from _ids(owner, name, each)
    elif (found := coerce.identifier(owner, name, value)) is not None:
        yield found


def _edit(owner: str, name: str, value: Any) -> str:
    from airflow_provider_autoenhance.api.settings import PREMIUM_EDITS

    edits = [edit for edit in PREMIUM_EDITS["environment"] if edit != "AS_SHOT"]
    found = coerce.required(owner, name, value).upper()
    if found not in edits:
        raise errors.SettingsError(f"{owner}: {name} takes one of {', '.join(edits)}, not {quoted(value)}.")
    return found


class _Failures(dict[str, str]):
    """Images without the edit, by name and id, each with the reason."""

    @contextmanager
    def noting(self, image: Image | str) -> Iterator[None]:
        """Note an error that concerns one image alone, and go on."""
        try:
            yield
        except _OF_ONE_IMAGE as error:
            self[image if isinstance(image, str) else image.label] = str(error)


class AutoenhancePremiumEditOperator(AutoenhanceBaseOperator):
    """Have a premium edit made of enhanced images, once each: ``DUSK`` makes a dusk of a day picture. The originals stay as they are.

    An edit is an image of its own, with an id of its own; it costs a credit when it is downloaded. An edit that is there already is
    used: of an earlier try, of another task or run, or of a person in the web app. An edit that has failed is enhanced again. Autoenhance
    enables premium edits for an account on request.

    Waits for the originals, then for the edits, unless ``wait_for_completion`` is false. Returns the numbers ``images``, ``processed``
    and ``failed``, the ``image_ids`` of the edits, the ``parent_image_ids`` in the same sequence, and the first ``failures``, each with
    ``photo`` and ``reason``; for a single image also ``image_id`` and each other field of the edit. Images that failed do not fail the
    task unless all of them did.

    ::

        dusk = AutoenhancePremiumEditOperator(task_id="dusk", image_ids=enhanced.output["image_id"], deferrable=True)
        AutoenhanceDownloadImageOperator(
            task_id="download", image_id=dusk.output["image_id"], destination="s3://enhanced/elm/front_dusk.jpg", preview=False
        )

    :param image_ids: id of an enhanced image, a list of ids, or results of tasks that hold them (templated). Nothing is done for an
        empty list. Or give
    :param order_id: id of an order: all its images, but for edits (templated).
    :param edit: ``DUSK`` (templated).
    :param wait_for_completion: wait until the edits are enhanced.
    :param deferrable: wait in the triggerer; by default as ``[operators] default_deferrable`` says.
    :param poll_interval: time between polls, in seconds or as a ``timedelta`` (templated).
    :param timeout: time after which the wait fails, in seconds or as a ``timedelta`` (templated).
    :raises AuthenticationError: premium edits are not enabled for the account.
    :raises SettingsError: the pinned API version knows no premium edits, or an image is such an edit itself; nothing was made.
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "image_ids": _image_ids,
        "order_id": coerce.identifier,
        "edit": _edit,
        **WAITING,
    }
    template_fields: Sequence[str] = (
        "image_ids", "order_id", "edit", "poll_interval", "timeout", "autoenhance_conn_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        image_ids: Any = None,
        order_id: str | None = None,
        edit: str = "DUSK",
        wait_for_completion: bool | str = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: coerce.Duration = DEFAULT_POLL_INTERVAL,
        timeout: coerce.Duration = 60.0 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_ids = image_ids
        self.order_id = order_id
        self.edit = edit
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval: Any = poll_interval
        self.timeout: Any = timeout
        self.check_arguments()
        if image_ids is not None and order_id is not None:
            raise ArgumentError(f"{type(self).__name__}: give image_ids or order_id, not both.")

    def execute(self, context: Context) -> dict[str, Any]:
        """Have the edits made, unless they are there, and wait."""
        with task_run(self, context, label=self.order_id or self.edit):
            deadline, failures = time.time() + self.timeout, _Failures()
            return self._begin(context, deadline, self._originals(failures), failures)

    def execute_complete(
        self,
        context: Context,
        event: Event | None = None,
        *,
        deadline: float,
        edits: dict[str, str] | None = None,
        failures: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Go on where the trigger ended: with the originals, or with the edits that the task was waiting for."""
        with task_run(self, context, label=self.order_id or self.edit):
            try:
                self.image_of(event)
            except _OF_ONE_IMAGE as error:
                log.debug("%s All images are looked at again.", error)
            known = _Failures(failures or {})
            if edits is None:
                return self._begin(context, deadline, self._originals(known), known)
            return self._end(context, deadline, self._read(edits, known), known)

    def _begin(
        self, context: Context, deadline: float, originals: Mapping[str, Image], failures: _Failures
    ) -> dict[str, Any]:
        """Wait for the originals, then have the edits made. What one image's edit is refused for does not hold up the others."""
        from airflow_provider_autoenhance.api.waiting import Wait
        from airflow_provider_autoenhance.pipeline.remote.edits import ensure_edit
        from airflow_provider_autoenhance.pipeline.remote.images import read_order

        ti = context["ti"]
        owner = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}[{ti.map_index}]"
        edits: dict[str, Image] = {}
        order_of = cache(
            partial(read_order, self.hook)
        )  # of many images of one order, it is read once for those that are done
        for image_id, image in self._wait(originals, deadline, failures).items():
            Wait(deadline, self.poll_interval).under_way(f"{self.edit} has still to be made of {image.label}")
            with failures.noting(image):
                order = order_of(image.order_id) if image.order_id else None
                edits[image_id] = ensure_edit(self.hook, image, self.edit, owner=owner, order=order)
        return self._end(context, deadline, edits, failures)

    def _end(
        self, context: Context, deadline: float, edits: Mapping[str, Image], failures: _Failures
    ) -> dict[str, Any]:
        """Wait for the edits, and return them."""
        if self.wait_for_completion:
            made = {image_id: edit.image_id for image_id, edit in edits.items()}
            edits = self._wait(edits, deadline, failures, made)
        result = self._result(edits, failures)
        for name, reason in failures.items():
            log.warning("Failed: %s: %s", name, reason)
        if failures and not edits:
            raise errors.ImageFailedError(
                f"None of {counted(len(failures), 'image')} has a {self.edit} edit. The first: {next(iter(failures.values()))}"
            )
        log.info("There is a %s edit of %s", self.edit, counted(len(edits), "image"))
        return push_result(context, result)

    def _originals(self, failures: _Failures) -> dict[str, Image]:
        """Read the images that are to be edited, by id."""
        from airflow_provider_autoenhance.pipeline.remote.images import check_whole

        if self.image_ids is None and self.order_id is None:
            raise errors.SettingsError(
                f"{type(self).__name__}: image_ids and order_id are both empty; give one of them."
            )
        if self.order_id:
            order = self.hook.get_order(self.order_id)
            check_whole(order)
            return {image.image_id: image for image in order.originals}
        found = self._read({image_id: image_id for image_id in self.image_ids or ()}, failures)
        if edited := [image for image in found.values() if image.parent_image_id]:
            raise errors.SettingsError(
                f"{edited[0].label} is a premium edit itself; give the image that it was made of."
            )
        return found

    def _read(self, ids: Mapping[str, str], failures: _Failures) -> dict[str, Image]:
        found: dict[str, Image] = {}
        for key, image_id in ids.items():
            with failures.noting(image_id):
                found[key] = self.hook.get_image(image_id)
        return found

    def _wait(
        self,
        images: Mapping[str, Image],
        deadline: float,
        failures: _Failures,
        edits: Mapping[str, str] | None = None,
    ) -> dict[str, Image]:
        """Wait until all images are final, here or in the triggerer, and return those that are enhanced.

        :param edits: what to remember while the task is deferred.
        """
        from airflow_provider_autoenhance.api.waiting import ImageWait
        from airflow_provider_autoenhance.pipeline.remote.wait import wait_for_image

        under_way = [image for image in images.values() if not image.status.final]
        if under_way and self.deferrable:
            last = under_way[-1]  # what was asked for last is mostly ready last
            ImageWait(deadline, self.poll_interval).on_image(last)
            self._defer(last, deadline, {"edits": edits, "failures": {} if edits is None else dict(failures)})
        enhanced: dict[str, Image] = {}
        for key, image in images.items():
            with failures.noting(image):
                enhanced[key] = wait_for_image(self.hook, image, ImageWait(deadline, self.poll_interval))
        return enhanced

    def _defer(self, image: Image, deadline: float, known: dict[str, Any]) -> None:
        from airflow_provider_autoenhance.triggers.images import AutoenhanceImageTrigger

        trigger = AutoenhanceImageTrigger(
            image_id=image.image_id,
            autoenhance_conn_id=self.autoenhance_conn_id,
            poll_interval=self.poll_interval,
            deadline=deadline,
        )
        self.defer(trigger=trigger, method_name="execute_complete", kwargs={"deadline": deadline, **known})

    def _result(self, edits: Mapping[str, Image], failures: _Failures) -> dict[str, Any]:
        from airflow_provider_autoenhance.api.models import ImageStatus
        from airflow_provider_autoenhance.triggers.orders import MAX_FAILURES_NAMED

        images = len(edits) + len(failures)
        return {
            **(next(iter(edits.values())).details if images == len(edits) == 1 else {}),
            "images": images,
            "processed": sum(edit.status is ImageStatus.PROCESSED for edit in edits.values()),
            "failed": len(failures),
            "image_ids": [edit.image_id for edit in edits.values()],
            "parent_image_ids": list(edits),
            "failures": [
                {"photo": name, "reason": reason} for name, reason in list(failures.items())[:MAX_FAILURES_NAMED]
            ],
        }
