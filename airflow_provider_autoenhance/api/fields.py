"""Words of the contract and of connections that several rooms share."""

from __future__ import annotations

import re

from airflow_provider_autoenhance.api.errors import SettingsError

#: Where the answer to a creation says where the bytes go: by version, and by account where none is pinned.
UPLOAD_URL_KEYS = ("upload_url", "upload_file_url", "s3PutObjectUrl")

#: Scheme of a place that the connection names.
STORAGE = "storage"

_LONGEST_ID = 512


def checked_id(identifier: str) -> str:
    """Return an id that stands for one path part, whatever normalises the path on its way.

    :raises SettingsError: on ``.`` and ``..``, which a normaliser eats, control characters, what UTF-8 cannot spell, and more than 512
        characters.
    """
    if (
        len(identifier) > _LONGEST_ID
        or identifier in (".", "..")
        or re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", identifier)
    ):
        raise SettingsError(
            f"The id {identifier[:80]!r} would lead to another address; check the task that hands it over."
        )
    return identifier
