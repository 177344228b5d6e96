"""Links beside a task in Airflow's UI: its photos, and its files in the bucket's console.

Airflow 3 asks for them on the worker, at each end of a try, and keeps the answer; Airflow 2 asks in the web server. So they load nothing
and ask nobody but Airflow. Autoenhance documents the address neither of an order nor of an image in its web app: there is no link to these.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator


class PhotosLink(BaseOperatorLink):
    """The page with a task's photos. Without a slash before it, it is right below every base path of Airflow's."""

    name = "Photos"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the page's address; empty before Airflow 3.1, which has no place for the page."""
        if not AIRFLOW_V_3_1_PLUS:
            return ""
        map_index = -1 if ti_key.map_index is None else ti_key.map_index
        parts = (ti_key.dag_id, ti_key.task_id, str(map_index), ti_key.run_id)
        return "autoenhance/gallery/task/" + "/".join(quote(part, safe="") for part in parts)


class _FileLink(BaseOperatorLink):
    """A file that a task has written, in the console of its bucket."""

    #: What the task's result calls it.
    key: ClassVar[str]

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the console's address; empty where the file is not there yet, or its place has no console that is known."""
        from airflow.providers.common.compat.sdk import XCom

        uri = XCom.get_value(ti_key=ti_key, key=self.key)
        if not isinstance(uri, str):
            return ""
        in_uri = urlsplit(str(getattr(operator, "destination", ""))).username
        conn_id = in_uri or getattr(operator, "destination_conn_id", None)
        return console_address(uri, conn_id if isinstance(conn_id, str) else None)


class ManifestLink(_FileLink):
    """The rows of a task's photos."""

    name = "Manifest"
    key = "manifest"


class ContactSheetLink(_FileLink):
    """All photos of a task in one file."""

    name = "Contact sheet"
    key = "contact_sheet"


#: Of each operator that lands photos.
PHOTO_LINKS = (PhotosLink(), ContactSheetLink(), ManifestLink())


def console_address(uri: str, conn_id: str | None) -> str:
    """Return the address of a file in AWS's or Google's console; empty where it is elsewhere.

    >>> console_address("gs://photos/elm/autoenhance-manifest.jsonl", None)
    'https://console.cloud.google.com/storage/browser/_details/photos/elm/autoenhance-manifest.jsonl'

    :param uri: without a connection.
    :param conn_id: the store's: one with a server of its own is not AWS's.
    """
    parts = urlsplit(uri.replace("?", "%3F").replace("#", "%23"))
    key = parts.path.lstrip("/").replace("%3F", "?").replace("%23", "#")
    if parts.scheme in ("gs", "gcs"):
        return f"https://console.cloud.google.com/storage/browser/_details/{parts.netloc}/{quote(key)}"
    if parts.scheme in ("s3", "s3a", "s3n") and not _has_own_server(conn_id or "aws_default"):
        return f"https://console.aws.amazon.com/s3/object/{parts.netloc}?prefix={quote(key, safe='')}"
    return ""


def _has_own_server(conn_id: str) -> bool:
    if os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        return True
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        extra = BaseHook.get_connection(conn_id).extra_dejson
    except Exception:  # noqa: BLE001 - without a connection, AWS's own ways to credentials count
        return False
    services = extra.get("service_config")
    s3 = services.get("s3") if isinstance(services, dict) else None
    return bool(extra.get("endpoint_url") or (isinstance(s3, dict) and s3.get("endpoint_url")))
