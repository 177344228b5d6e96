"""Autoenhance's webhook, received by Airflow's own API server (Airflow 3), once a token is configured.

Every Airflow process loads plugins, so nothing is imported or read here before the API server asks for its apps.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

log = logging.getLogger(__name__)

URL_PREFIX = "/autoenhance"
SHORTEST_TOKEN = 16


class _WhenAsked:
    """Makes the apps when they are read."""

    def __get__(self, instance: object, owner: type) -> list[dict[str, Any]]:
        return _apps()


class AutoenhanceWebhookPlugin(AirflowPlugin):
    """``POST /autoenhance/webhook`` on the API server; without ``[autoenhance] webhook_token`` there is no such route."""

    name = "autoenhance_webhook"
    fastapi_apps = _WhenAsked()


@cache
def _apps() -> list[dict[str, Any]]:
    from airflow.providers.common.compat.sdk import conf

    from airflow_provider_autoenhance.hooks import DEFAULT_CONN_ID

    token = (conf.get("autoenhance", "webhook_token", fallback="") or "").strip()
    if not token:
        return []
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        log.error(
            "The Autoenhance webhook stays off: [autoenhance] webhook_token needs %s printable ASCII characters or more.",
            SHORTEST_TOKEN,
        )
        return []
    from airflow_provider_autoenhance.plugins.app import build_app
    from airflow_provider_autoenhance.plugins.order_check import OrderCheck

    conn_id = conf.get("autoenhance", "webhook_conn_id", fallback=DEFAULT_CONN_ID)
    app = build_app(token, OrderCheck(conn_id))
    return [{"app": app, "url_prefix": URL_PREFIX, "name": "Autoenhance webhook"}]
