"""Who is who on the remote side: ids that a retry derives again, so that it finds what an earlier try made.

Never of ``try_number``, or a retry would find nothing. Never of ``map_index``, or a re-expanded list would inherit another item's work
(apache/airflow#72725).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from airflow_provider_autoenhance.api.errors import SettingsError

_NAMESPACE = uuid.UUID("f2a4c1c8-6a57-5b0e-9b0a-3d1f0f6f8f11")

#: Keys under which a creation remembers itself in the image's ``metadata``.
IDENTITY_KEY = "airflow_identity"
ORIGIN_KEY = "airflow_origin"


def run_order_id(dag_id: str, run_id: str) -> str:
    """Order that all images created one by one in a DAG run share."""
    return str(uuid.uuid5(_NAMESPACE, f"order\0{dag_id}\0{run_id}"))


def order_id_of(dag_id: str, run_id: str, task_id: str, name: str) -> str:
    """Order of one name that a task makes in a DAG run."""
    return str(uuid.uuid5(_NAMESPACE, f"named order\0{dag_id}\0{run_id}\0{task_id}\0{name}"))


def check_origin(label: str, metadata: Mapping[str, Any], map_index: int | None) -> None:
    """Refuse what another mapped task of the same inputs has made: two tasks would share it, and one photo would get lost.

    :param label: what was found, for the message.
    :raises SettingsError: naming both.
    """
    made_by = str(metadata.get(ORIGIN_KEY, ""))
    if made_by and not made_by.endswith(f"[{map_index}]"):
        raise SettingsError(
            f"{label} of this run was already made by another mapped task ({made_by}); pass 'source', or give each photo a name of its own."
        )


def image_identity(
    *,
    dag_id: str,
    run_id: str,
    task_id: str,
    image_name: str,
    source: str | None,
    settings: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> str:
    """Digest of everything that makes one creation another than the next: the same inputs in the same run give the same image."""
    inputs = [dag_id, run_id, task_id, image_name, source, settings, metadata]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()
