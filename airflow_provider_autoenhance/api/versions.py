"""Dated behaviour versions of the API (header ``x-api-version``), and where its behaviour changed.

Dates are from ``tests/contract/openapi.yaml`` and the vendor's change notes. A version is a plain ``YYYY-MM-DD`` string, so that it
compares as text. An empty one leaves it to the account, which then counts as current.
"""

from __future__ import annotations

import re

from airflow_provider_autoenhance.api.errors import ConnectionConfigError

DEFAULT_VERSION = "2026-11-09"

#: Downloads are rendered by query flags (``preview=true``) from here on; before, ``/preview`` was a path of its own.
QUERY_RENDERING = "2024-11-01"
#: Sliders and the ``authentic`` style are gone; ``upscale`` is there.
NO_SLIDERS = "2025-01-01"
#: Brackets and ``/process`` replace ``hdr`` images and ``/merge``; creation no longer takes a MIME type.
BRACKETS = "2025-05-05"
#: ``window_pull`` is gone; ``window_pull_type``, which replaces it, may be there since ``BRACKETS``.
WINDOW_PULL_TYPE = "2025-08-31"
#: ``restage.sky`` replaces ``sky_replacement`` and ``cloud_type``.
RESTAGE_SKY = "2026-07-01"
#: Orders are listed newest first, or as ``sort`` says, and searched with ``q``.
SORTED_ORDERS = "2026-11-09"
#: ``perspective_correction`` and its mode.
PERSPECTIVE = "2026-09-02"


def older(version: str, date: str) -> bool:
    """Whether a version is older than a date.

    >>> older("2024-10-01", BRACKETS), older("", BRACKETS)
    (True, False)
    """
    return bool(version) and version < date


def check_version(version: str) -> str:
    """Return the version if it looks like one.

    :raises ConnectionConfigError: when it is not a date.
    """
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])", version):
        raise ConnectionConfigError(
            f"api_version {version!r} is not a date; use YYYY-MM-DD, for example {DEFAULT_VERSION!r}, in the connection's extra."
        )
    return version
