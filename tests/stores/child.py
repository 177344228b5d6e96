"""What needs a process of its own: a write that is killed half way, and a task whose memory is measured.

``python -m tests.stores.child write URI CONNECTION SIZE`` or ``... batch SOURCE DESTINATION CONNECTION``.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any


def count_sent(seen: Callable[[int], None]) -> None:
    """Tell how many bytes each piece has that any library gives to a socket."""

    def counted(name: str) -> Any:
        original = getattr(socket.socket, name)

        def send(self: socket.socket, data: Any, *rest: Any) -> Any:
            seen(sum(map(len, data)) if name == "sendmsg" else len(data))
            return original(self, data, *rest)

        return send

    for name in ("send", "sendall", "sendmsg"):
        setattr(socket.socket, name, counted(name))


def write(uri: str, conn_id: str, size: int) -> None:
    """Write a file, and die when half of it has been sent."""
    from airflow_provider_autoenhance.storage import open_destination

    sent = 0

    def seen(count: int) -> None:
        nonlocal sent
        sent += count
        if sent > size // 2:
            os.kill(os.getpid(), signal.SIGKILL)

    count_sent(seen)
    body = io.BytesIO(os.urandom(size))
    open_destination(uri, conn_id=conn_id).write(body, size=size, content_type="image/jpeg")


def batch(source: str, destination: str, conn_id: str) -> None:
    """Enhance a folder, eight photos at once; print what landed, and the memory."""
    from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
    from airflow_provider_autoenhance.pipeline import batch as _batch  # noqa: F401 - counts as start
    from airflow_provider_autoenhance.storage import list_files
    from tests.support.tasks import run
    from tools.bench.meter import peak_megabytes

    operator = AutoenhanceEnhanceOperator(
        task_id="enhance",
        source=source,
        source_conn_id=conn_id,
        destination=destination,
        destination_conn_id=conn_id,
        concurrency=8,
        poll_interval=0.5,
    )
    list(list_files(source, conn_id=conn_id))  # so that the store's libraries count as start
    start = peak_megabytes()
    summary = run(operator)
    sys.stdout.write(json.dumps({"landed": summary["landed"], "start": start, "peak": peak_megabytes()}) + "\n")


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    if command == "write":
        write(words[0], words[1], int(words[2]))
    else:
        batch(*words)
