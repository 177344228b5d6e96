"""Bought files that could not be made into their outputs: kept in the worker's temporary folder for the next try, where there is room.

A file is known by image, rendering, ETag and size of its download; so an image that was enhanced again since is downloaded again.
The next temporary folder that is made removes what was not asked for within a day, and what is more than may be kept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from airflow_provider_autoenhance.hooks.download import Download
from airflow_provider_autoenhance.storage.temporary import KEPT_BYTES, KEPT_FILES, KEPT_PREFIX, sweep_kept

_ROOM = 10  # times the file's size must be free beside it


class KeptFile:
    """Where the file of a download is kept, and nothing where the host tells neither its ETag nor its size.

    :param rendering: what was downloaded: variant, preview and query.
    """

    def __init__(self, image_id: str, rendering: object, download: Download) -> None:
        etag, self._size = download.headers.get("etag"), download.size
        known = repr((image_id, rendering, etag, self._size))
        name = f"{KEPT_PREFIX}{hashlib.sha256(known.encode()).hexdigest()[:32]}"
        self._taken = False
        self._path = Path(tempfile.gettempdir(), name) if etag and self._size else None

    def take(self, target: Path) -> bool:
        """Move the file to where it is needed; ``False`` where it was not kept."""
        if self._path is None:
            return False
        try:
            self._path.rename(target)
            found = target.lstat()
        except OSError:
            return False
        self._taken = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_size == self._size
        if not self._taken:
            target.unlink()
        return self._taken

    def keep(self, file: Path) -> bool:
        """Move a file here, where there is room; older ones go. What was of no use twice is not kept a third time."""
        if self._path is None or self._taken:
            return False
        with suppress(OSError):
            size, root = file.stat().st_size, self._path.parent
            if size <= KEPT_BYTES and shutil.disk_usage(root).free >= _ROOM * size:
                sweep_kept(root, files=KEPT_FILES - 1, size=KEPT_BYTES - size)
                file.chmod(0o600)  # here, others may look
                file.rename(self._path)
                return True
        return False
