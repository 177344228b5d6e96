"""Proof that a process is alive: a small file that it rewrites every few seconds, and removes at its end.

No clock is compared with another machine's: whoever asks watches whether the file changes. So a dead process is found out after
:data:`PATIENCE_SECONDS`, and at once where its file is gone.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

from airflow_provider_autoenhance.api.errors import AutoenhanceError, SourceError
from airflow_provider_autoenhance.pipeline.records import to_line, write_lines
from airflow_provider_autoenhance.storage import EVERYWHERE, open_destination, open_source

log = logging.getLogger(__name__)

#: How often a lease is renewed.
RENEW_SECONDS = 10.0
#: A lease that nobody has renewed for so long is a dead process's.
PATIENCE_SECONDS = 60.0


class Lease:
    """This process's own. Its methods may be called from many threads.

    :param uri: the file; each try of a run has the same, so that a new try ends the one before it.
    :param conn_id: connection of its store.
    """

    def __init__(self, uri: str, conn_id: str | None) -> None:
        self.uri = uri
        self.token = uuid.uuid4().hex
        self._conn_id = conn_id
        self._lost = False
        self._renewed = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="autoenhance-lease", daemon=True)

    @property
    def claim(self) -> dict[str, str]:
        """What a record holds while the process works on its folder."""
        return {"lease": self.uri, "token": self.token}

    @property
    def is_fresh(self) -> bool:
        """Whether nobody can be at work in this process's place: neither another run nor another try, which waits for just as long."""
        trusted = min(1.5 * RENEW_SECONDS, PATIENCE_SECONDS / 2)
        return not self._lost and time.monotonic() - self._renewed < trusted

    def begin(self) -> bool:
        """Write the file, and go on doing so.

        :returns: whether another try of this run has left one, and so may be at work still.
        """
        found = _read(self.uri, self._conn_id)
        self._write()
        self._thread.start()
        return bool(found) and not found.get("ended")

    def renew(self) -> bool:
        """Write it again.

        :returns: ``False`` where another try of the same run has begun: then this one must not go on.
        """
        with self._lock:
            if not self._lost and not self._ended.is_set():
                token = _read(self.uri, self._conn_id).get("token", self.token)
                self._lost = token != self.token
                if not self._lost:
                    self._write()
            return not self._lost

    def wait_for_the_other(self) -> None:
        """Give the other try the time in which it looks at its file again: then it knows that it is over."""
        self._ended.wait(1.5 * RENEW_SECONDS)

    def end(self) -> None:
        """Remove the file; where that is not allowed, say in it that it has ended."""
        self._ended.set()
        if not self._thread.is_alive():
            return
        with self._lock, suppress(AutoenhanceError):  # else it is found out as a dead process's is
            if _read(self.uri, self._conn_id).get("token") == self.token:
                _remove(self.uri, self._conn_id, self.token)
        self._thread.join()

    def _keep(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            # Later, another run may have gone on in this process's place; it looks before it renews.
            if self._lost or time.monotonic() - self._renewed > PATIENCE_SECONDS / 2:
                continue
            try:
                self.renew()
            except AutoenhanceError as error:
                log.debug("The lease %s was not renewed: %s", self.uri, error)

    def _write(self) -> None:
        began = time.monotonic()
        _write(self.uri, self._conn_id, self.token)
        self._renewed = began


def claim_of(uri: str, conn_id: str | None) -> dict[str, str] | None:
    """Read the claim that a lease is of, ``None`` where it has ended."""
    found = _read(uri, conn_id)
    return {"lease": uri, "token": found["token"]} if found and not found.get("ended") else None


class Watched:
    """Another process's lease.

    :param claim: what stands in the record of the other process's run.
    :param conn_id: connection of the store.
    """

    def __init__(self, claim: dict[str, str], conn_id: str | None) -> None:
        self._claim = claim
        self._conn_id = conn_id
        self._beat: object = self
        self._since = 0.0
        self._first = time.monotonic()
        self._beats = 0

    @property
    def is_judged(self) -> bool:
        """Whether it was watched for long enough to know: its process has renewed it meanwhile, or was given the time to."""
        return self._beats > 1 or time.monotonic() - self._first > 1.5 * PATIENCE_SECONDS

    def is_alive(self) -> bool:
        """Whether the other process may still be at work. Only after several looks is a file that stays the same a dead one's.

        :raises AutoenhanceError: the store does not answer; nothing follows from that.
        """
        try:
            found = _read(self._claim["lease"], self._conn_id)
        except AutoenhanceError:
            self._beat = self  # an outage stops the other process from renewing, too
            raise
        if found.get("token") != self._claim["token"] or found.get("ended"):
            return False
        if found.get("beat") != self._beat:
            self._beat, self._since = found.get("beat"), time.monotonic()
            self._beats += 1
        return time.monotonic() - self._since < PATIENCE_SECONDS

    def bury(self) -> None:
        """Remove what a dead process left, so that nobody else has to watch it."""
        uri = self._claim["lease"]
        if _read(uri, self._conn_id).get("token") == self._claim["token"]:
            _remove(uri, self._conn_id, self._claim["token"])


def _remove(uri: str, conn_id: str | None, token: str) -> None:
    """Remove a lease; where that is not allowed, say in it that it has ended."""
    if not open_destination(uri, conn_id=conn_id).remove():
        _write(uri, conn_id, token, ended=True)


def _write(uri: str, conn_id: str | None, token: str, *, ended: bool = False) -> None:
    content = to_line({"token": token, "beat": uuid.uuid4().hex, "ended": ended})
    write_lines(uri, conn_id, lambda: [content])


def _read(uri: str, conn_id: str | None) -> dict[str, Any]:
    """Read a lease; empty where the file does not exist, or holds something else."""
    if open_destination(uri, conn_id=conn_id).stat() is None:
        return {}
    try:
        with open_source(uri, conn_id=conn_id, access=EVERYWHERE) as source:
            found = json.loads(source.read())
    except SourceError:
        if open_destination(uri, conn_id=conn_id).stat() is None:  # it has gone meanwhile
            return {}
        raise
    except ValueError:
        return {}
    whole = isinstance(found, dict) and isinstance(found.get("token"), str)
    return found if whole else {}
