"""The plugin: Autoenhance's webhook, once a token is configured (Airflow 3), and the gallery of photos (Airflow 3.1), both below one path.

Every Airflow process loads plugins, so nothing is imported or read here before the API server asks for its apps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

log = logging.getLogger(__name__)

URL_PREFIX = "/autoenhance"
SHORTEST_TOKEN = 16


class _WhenAsked:
    """Makes a list when it is read."""

    def __init__(self, make: Callable[[], list[dict[str, Any]]]) -> None:
        self._make = make

    def __get__(self, instance: object, owner: type) -> list[dict[str, Any]]:
        return self._make()


@cache
def _apps() -> list[dict[str, Any]]:
    token, gallery = _token(), _has_gallery()
    if token is None and not gallery:
        return []
    from airflow.providers.common.compat.sdk import conf

    from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID
    from airflow_provider_autoenhance.plugins.app import build_app
    from airflow_provider_autoenhance.plugins.order_check import OrderCheck

    order_check = None
    if token is not None:
        order_check = OrderCheck(conf.get("autoenhance", "webhook_conn_id", fallback=DEFAULT_CONN_ID))
    app = build_app(token, order_check, _gallery() if gallery else None)
    return [{"app": app, "url_prefix": URL_PREFIX, "name": "Autoenhance"}]


@cache
def _tabs() -> list[dict[str, Any]]:
    """The tab of a run and of a task. Airflow 3.1 and 3.2 take an absolute path only."""
    if not _has_gallery():
        return []
    from airflow_provider_autoenhance.plugins.gallery import base_path

    tab = {"name": "Photos", "bundle_url": f"{base_path()}/gallery/tab.js"}
    return [
        {**tab, "destination": "dag_run", "url_route": "autoenhance_run_photos"},
        {**tab, "destination": "task_instance", "url_route": "autoenhance_task_photos"},
    ]


@cache
def _views() -> list[dict[str, Any]]:
    """The page over recent runs, in Airflow's menu. A path without a slash before it is right below every base path."""
    view = {"name": "Photos", "href": "autoenhance/gallery/", "destination": "nav", "category": "browse"}
    return [{**view, "url_route": "autoenhance_photos"}] if _has_gallery() else []


class AutoenhanceWebhookPlugin(AirflowPlugin):
    """``/autoenhance/webhook`` on the API server, where ``[autoenhance] webhook_token`` is set, and ``/autoenhance/gallery/`` with its
    places in Airflow's UI."""

    name = "autoenhance_webhook"
    fastapi_apps = _WhenAsked(_apps)
    react_apps = _WhenAsked(_tabs)
    external_views = _WhenAsked(_views)


def _has_gallery() -> bool:
    """Before 3.1, Airflow knows no tabs, and lets no plain page know who is logged in."""
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

    return bool(AIRFLOW_V_3_1_PLUS)


def _gallery() -> Any:
    """The gallery; ``None`` where a later Airflow has moved what it builds on: the webhook is not to suffer."""
    try:
        from airflow_provider_autoenhance.plugins.gallery.routes import build_gallery
    except ImportError:
        log.exception(
            "The gallery of Autoenhance photos stays off: this provider does not know this Airflow's API server"
        )
        return None
    return build_gallery()


def _token() -> str | None:
    from airflow.providers.common.compat.sdk import conf

    token = (conf.get("autoenhance", "webhook_token", fallback="") or "").strip()
    if not token:
        return None
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        log.error(
            "The Autoenhance webhook stays off: [autoenhance] webhook_token needs %s printable ASCII characters or more.",
            SHORTEST_TOKEN,
        )
        return None
    return token
