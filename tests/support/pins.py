"""API versions that a connection may pin."""

from __future__ import annotations

import json
import os

#: Those whose behaviour differs, oldest first; the empty one leaves it to the account.
PINS = ("2024-06-30", "2024-10-01", "2025-01-01", "2025-05-05", "2025-08-31", "2026-07-01", "2026-11-09", "")

_CONNECTION = "AIRFLOW_CONN_AUTOENHANCE_DEFAULT"


def pin_version(version: str) -> None:
    """Have the connection of this process pin a version from now on."""
    fields = json.loads(os.environ[_CONNECTION])
    extra = (fields.get("extra") or {}) | {"api_version": version}
    os.environ[_CONNECTION] = json.dumps(fields | {"extra": extra})
