"""A small disk for the temporary files of a process: mounted where nobody else sees it, without root's rights, and filled from without."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from tools.processes import ProcessError

#: More than a worker wants to find free before it buys.
_MEGABYTES, _LEFT_MEGABYTES = 160, 4
_UNSHARE = ["unshare", "--map-root-user", "--mount"]
_MOUNT_SECONDS = 30


def can_mount() -> bool:
    """Whether this machine lets its users mount a disk for themselves."""
    mount = [*_UNSHARE, "mount", "-t", "tmpfs", "small", "/mnt"]
    return (
        shutil.which("unshare") is not None and not subprocess.run(mount, check=False, capture_output=True).returncode
    )


class SmallDisk:
    """A disk that only the process that mounts it, and what that starts, can see.

    :param folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def prefix(self) -> list[str]:
        """What a command has to begin with so that it is run with the disk."""
        mount = f'mount -t tmpfs -o size={_MEGABYTES}m small "$0" && exec "$@"'
        return [*_UNSHARE, "sh", "-c", mount, str(self._folder)]

    def environment(self) -> dict[str, str]:
        """The variables of a process that keeps its temporary files there."""
        return {"TMPDIR": str(self._folder)}

    def fill(self, pid: int) -> None:
        """Fill the disk of a process but for some megabytes: where Python finds not a byte, it takes ``/tmp`` in place of ``TMPDIR``.

        :raises ProcessError: it has not mounted it.
        """
        seen, block = self._seen_by(pid), bytes(1 << 20)
        deadline = time.monotonic() + _MOUNT_SECONDS
        while not (seen.is_dir() and seen.stat().st_dev != self._folder.stat().st_dev):
            if time.monotonic() > deadline:
                raise ProcessError(f"process {pid} has not mounted {self._folder}")
            time.sleep(0.1)
        with (seen / "filling").open("wb", buffering=0) as file:
            for _ in range(_MEGABYTES - _LEFT_MEGABYTES):
                file.write(block)

    def empty(self, pid: int) -> None:
        """Take away what filled the disk of a process."""
        (self._seen_by(pid) / "filling").unlink(missing_ok=True)

    def _seen_by(self, pid: int) -> Path:
        return Path(f"/proc/{pid}/root{self._folder}")
