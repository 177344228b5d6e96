"""The gallery: what a task made of each photo, before and after, in Airflow's own web server (Airflow 3.1 and later)."""

from __future__ import annotations

from urllib.parse import urlsplit


def base_path() -> str:
    """Return the path that Airflow lives below, with the plugin's own: ``/autoenhance``, or ``/air/autoenhance``."""
    from airflow.providers.common.compat.sdk import conf

    base = urlsplit(conf.get("api", "base_url", fallback="") or "").path
    return f"{base.rstrip('/')}/autoenhance"
