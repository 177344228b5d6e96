"""Operators for the exposures of HDR brackets: create, upload. Each is safe to retry and to map.

``AutoenhanceProcessOrderOperator`` makes images of them. For whole folders, a batch operator does the same with fewer tasks and calls.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_autoenhance.api import coerce
from airflow_provider_autoenhance.api.shown import last_part
from airflow_provider_autoenhance.operators.base import AutoenhanceBaseOperator, push_result, task_run

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket

log = logging.getLogger(__name__)


class AutoenhanceCreateBracketOperator(AutoenhanceBaseOperator):
    """Register one exposure in an order that exists, or adopt the one that an earlier try of this task made.

    Returns ``bracket_id``, ``order_id`` and ``upload_url``. The last is not the URL itself but a ticket for
    :class:`AutoenhanceUploadBracketOperator`, encrypted, because a presigned URL is a credential; empty when the adopted bracket has
    its bytes already.

    ::

        order = AutoenhanceCreateOrderOperator(task_id="order", name="12 Maple Street")
        shot = "s3://listings/maple/1.jpg"
        created = AutoenhanceCreateBracketOperator(
            task_id="create", bracket_name="maple/1.jpg", order_id=order.output["order_id"], source=shot
        )

    :param bracket_name: name in Autoenhance, unique among the photos of an hour: use the path, not ``DSC0001.jpg`` (templated).
    :param order_id: order to put it into (templated).
    :param source: URI of the photo, as the upload task gets it (templated). Optional, but it keeps photos of the same name apart, and
        makes a mapped list safe to re-order and to re-expand.
    :param metadata: JSON object that comes back with the bracket (templated).
    :raises SourceError: the source is a folder; nothing was sent.
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "bracket_name": coerce.required,
        "order_id": coerce.required_id,
        "source": coerce.text,
        "metadata": coerce.mapping,
    }
    template_fields: Sequence[str] = ("bracket_name", "order_id", "source", "metadata", "autoenhance_conn_id")

    def __init__(
        self,
        *,
        bracket_name: str,
        order_id: str,
        source: coerce.Place | None = None,
        metadata: Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bracket_name = bracket_name
        self.order_id = order_id
        self.source: Any = source
        self.metadata: Any = metadata
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the order's brackets, then adopt or create."""
        from airflow_provider_autoenhance.pipeline.remote.create import ensure
        from airflow_provider_autoenhance.pipeline.remote.identity import origin_check

        with task_run(self, context, label=self.bracket_name):
            made = ensure(self.hook, self._wanted(context), check=origin_check(context["ti"], self.source))
            log.info("%s %s", "Adopted" if made.adopted else "Created", made.label)
            result = {
                "bracket_id": made.id,
                "order_id": made.ticket.order_id,
                "upload_url": "" if made.adopted else made.ticket.seal(self.hook.config.api_key),
            }
            return push_result(context, result)

    def _wanted(self, context: Context) -> UploadTicket:
        from airflow_provider_autoenhance.pipeline.remote.identity import task_metadata
        from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket
        from airflow_provider_autoenhance.pipeline.transfer.upload import PhotoSource

        source = None
        if self.source:
            photo = PhotoSource(self.source, access=self.hook.source_access)
            photo.check_one_file()
            source = photo.place
        metadata = task_metadata(context["ti"], self.bracket_name, source=source, user=self.metadata)
        return UploadTicket(self.bracket_name, self.order_id, {}, metadata, kind="bracket")


class AutoenhanceUploadBracketOperator(AutoenhanceBaseOperator):
    """Stream one exposure to Autoenhance. Nothing is enhanced before its order is processed.

    A bracket that has its bytes already is left alone. Where the upload URL has expired, the bracket is made again. Returns
    ``bracket_id``, which holds from then on: use it, not the creation's, in the groups of ``AutoenhanceProcessOrderOperator``.

    ::

        uploaded = AutoenhanceUploadBracketOperator(
            task_id="upload",
            bracket_id=created.output["bracket_id"],
            order_id=created.output["order_id"],
            upload_url=created.output["upload_url"],
            source=shot,
        )

    :param bracket_id: from the create task (templated).
    :param order_id: from the create task (templated).
    :param upload_url: the create task's ``upload_url`` (templated); empty when the bracket was adopted.
    :param source: the photo: ``s3://``, another object storage URI, ``http(s)://``, or a local path (templated).
    :param source_conn_id: Airflow connection of the source (templated).
    :raises SourceError: missing, empty, cut short, or of a type that Autoenhance does not take.
    """

    arguments: ClassVar[Mapping[str, coerce.Reader]] = {
        "bracket_id": coerce.required_id,
        "order_id": coerce.required_id,
        "upload_url": coerce.text,
        "source": coerce.required,
        "source_conn_id": coerce.text,
    }
    template_fields: Sequence[str] = (
        "bracket_id", "order_id", "upload_url", "source", "source_conn_id", "autoenhance_conn_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        bracket_id: str,
        order_id: str,
        upload_url: str,
        source: coerce.Place,
        source_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bracket_id = bracket_id
        self.order_id = order_id
        self.upload_url = upload_url
        self.source: Any = source
        self.source_conn_id = source_conn_id
        self.check_arguments()

    def execute(self, context: Context) -> dict[str, Any]:
        """Upload unless that has been done."""
        from airflow_provider_autoenhance.pipeline.transfer.upload import PhotoSource, upload_exposure

        with task_run(self, context, label=last_part(self.source)):
            photo = PhotoSource(uri=self.source, conn_id=self.source_conn_id, access=self.hook.source_access)
            uploaded = upload_exposure(
                self.hook,
                photo,
                bracket_id=self.bracket_id,
                order_id=self.order_id,
                token=self.upload_url or "",
            )
            return push_result(context, {"bracket_id": uploaded})
