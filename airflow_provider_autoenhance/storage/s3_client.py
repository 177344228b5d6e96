"""boto3 clients made as by S3Hook and shared by the threads of a task.

boto3 clients are thread-safe and pool their connections, while making one takes tens of milliseconds and is not
thread-safe: so one per Airflow connection, made under a lock. A task's process is short-lived; elsewhere a client is
made again after ten minutes, so that an edited connection is noticed.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from airflow_provider_autoenhance.api.errors import ConnectionConfigError
from airflow_provider_autoenhance.storage.streams import CheckedReader

_MAX_AGE_SECONDS = 600.0
_POOL_SIZE = 64

_lock = threading.Lock()
_clients: dict[tuple[str, int], tuple[float, Any]] = {}


def s3_client(conn_id: str | None) -> Any:
    """Return the shared S3 client of an Airflow connection.

    :param conn_id: AWS connection; None means ``aws_default``, which falls back to boto3's own credentials chain.
    """
    key = (conn_id or "aws_default", os.getpid())
    with _lock:
        made, client = _clients.get(key, (0.0, None))
        if client is None or time.monotonic() - made > _MAX_AGE_SECONDS:
            client = _make(key[0])
            _clients[key] = (time.monotonic(), client)
        return client


def forget_clients() -> None:
    """Make the next call build a fresh client; for tests, and after a connection was changed."""
    with _lock:
        _clients.clear()


def can_stream(client: Any) -> bool:
    """Whether a put can send a body that cannot be rewound.

    It cannot with ``awscrt`` installed (botocore's CRT signer wants bytes), nor where the connection's ``config_kwargs``
    ask for signed payloads or for checksums on every request (buckets with a default retention need these).
    """
    from botocore.compat import HAS_CRT

    config = client.meta.config
    hashed_first = getattr(config, "request_checksum_calculation", None) == "when_supported"
    return not HAS_CRT and not hashed_first and not (config.s3 or {}).get("payload_signing_enabled")


def _make(conn_id: str) -> Any:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.config import Config

    hook = S3Hook(aws_conn_id=conn_id)
    chosen: Any = hook.config  # the connection's config_kwargs; a Config given to the hook would replace them
    options: dict[str, Any] = {
        "max_pool_connections": max(_POOL_SIZE, chosen.max_pool_connections or 0),
        "s3": {"payload_signing_enabled": False, **(chosen.s3 or {})},
    }
    if "request_checksum_calculation" in Config.OPTION_DEFAULTS:  # botocore 1.36
        # The default sends streams in aws-chunked form, which S3 clones refuse.
        for name in ("request_checksum_calculation", "response_checksum_validation"):
            options[name] = getattr(chosen, name) or "when_required"
    # As hook.get_client_type, but for the caller's name in the user agent: looking for it takes a tenth of a second.
    client = hook.get_session().client(
        "s3",
        endpoint_url=hook.conn_config.get_service_endpoint_url("s3"),
        config=chosen.merge(Config(**options)),
        verify=hook.verify,
    )
    if extra := _extra_arguments(hook, conn_id):
        client.meta.events.register("provide-client-params.s3", partial(_add_arguments, extra))
    client.meta.events.register("before-send.s3.PutObject", _send_in_blocks)
    client.meta.events.register("before-parse.s3.ListObjectsV2", _spell_times_plainly)
    return client


def _extra_arguments(hook: Any, conn_id: str) -> dict[str, Any]:
    """What the connection's extra asks of each request, by the names of S3Hook's arguments: ``extra_args`` and ``requester_pays``.

    :raises ConnectionConfigError: when it is not what S3Hook takes.
    """
    from boto3.s3.transfer import S3Transfer

    given = hook.conn_config.extra_config
    arguments, pays = given.get("extra_args") or {}, given.get("requester_pays", False)
    where = f"connection {conn_id!r}: its extra's"
    if not isinstance(arguments, dict):
        raise ConnectionConfigError(f"{where} 'extra_args' is not an object.")
    known = {*S3Transfer.ALLOWED_UPLOAD_ARGS, *S3Transfer.ALLOWED_DOWNLOAD_ARGS}
    if unknown := sorted(arguments.keys() - known):
        raise ConnectionConfigError(
            f"{where} 'extra_args' holds {unknown[0]!r}, which boto3 does not take; write for example 'ServerSideEncryption'."
        )
    if not isinstance(pays, bool):
        raise ConnectionConfigError(f"{where} 'requester_pays' is neither true nor false.")
    return {**arguments, **({"RequestPayer": "requester"} if pays else {})}


def _add_arguments(extra: Mapping[str, Any], params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
    """Give a request those arguments that its operation takes: encryption and ACL with what is written, a customer's key with each."""
    takes = model.input_shape.members if model.input_shape else {}
    return {**{name: value for name, value in extra.items() if name in takes}, **params}


class _Blocks:
    """The body of a put in blocks as they come; of what has ``read`` urllib3 asks 16 KiB at a time."""

    def __init__(self, body: CheckedReader) -> None:
        self._body = body
        self.seek = body.seek

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)


def _send_in_blocks(request: Any, **_: Any) -> None:
    if isinstance(request.body, CheckedReader):
        request.body = _Blocks(request.body)


_LAST_MODIFIED = re.compile(rb"(?<=<LastModified>)[^<]+")


def _spell_times_plainly(response_dict: dict[str, Any], **_: Any) -> None:
    """Write a listing's times as seconds since the epoch, which botocore reads at once; ISO ones take a third of a listing's time."""
    response_dict["body"] = _LAST_MODIFIED.sub(_as_seconds, response_dict["body"])


def _as_seconds(found: re.Match[bytes]) -> bytes:
    try:
        moment = datetime.fromisoformat(found[0].decode())
    except ValueError:  # botocore knows more spellings
        return found[0]
    return str(moment.timestamp()).encode() if moment.tzinfo else found[0]
