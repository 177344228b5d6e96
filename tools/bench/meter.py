"""What a program has taken: time, processor time, memory."""

from __future__ import annotations

import resource
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

_SAMPLE_SECONDS = 0.25


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def peak_megabytes() -> float:
    """Return the most memory that this process ever held; ``getrusage`` would count what its parent had at the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


class ProcessesMeter:
    """What a number of processes and all their descendants take while the ``with`` block runs.

    :param pids: processes that live throughout. Descendants count with what they took when their parents have reaped them.
    """

    def __init__(self, pids: list[int]) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="memory-sampler", daemon=True)
        self.peak_megabytes = 0.0
        self.wall = 0.0
        self.cpu = 0.0

    def __enter__(self) -> Self:
        self._began, self._cpu_before = time.monotonic(), self._cpu()
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.monotonic() - self._began
        self.cpu = self._cpu() - self._cpu_before
        self._ended.set()
        self._sampler.join()

    def _family(self) -> list[psutil.Process]:
        return [each for root in self._roots for each in (root, *root.children(recursive=True))]

    def _cpu(self) -> float:
        total = 0.0
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def _sample(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            held = 0
            for process in self._family():
                with suppress(psutil.NoSuchProcess):
                    held += process.memory_info().rss
            self.peak_megabytes = max(self.peak_megabytes, held / 1e6)
