"""Start child processes, wait until they are ready, and leave none behind."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

import psutil

from tools.console import problem, step

_POLL_SECONDS = 0.1
#: Of each log, where Airflow failed by itself.
_LINES = 20


class ProcessError(Exception):
    """A child ended, or was not ready, before its time. The message names its log.

    :param by_airflow: Airflow failed by itself, as when its SQLite was locked for too long.
    """

    def __init__(self, message: str, *, by_airflow: bool = False) -> None:
        super().__init__(message)
        self.by_airflow = by_airflow


class Child:
    """One child process, in a process group of its own, its output copied line by line to a log file.

    :param name: what messages call it.
    :param command: program and arguments.
    :param environment: the child's whole environment.
    :param log: the file that takes its standard output and standard error.
    :param private: lines for which this is true stay out of the log (they hold a secret) and are kept in ``private_lines``.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        private: Callable[[str], bool] = lambda _line: False,
    ) -> None:
        self.name = name
        self.log = log
        self.private_lines: list[str] = []
        self._private = private
        self._seen: list[str] = []
        self._asked: list[psutil.Process] = []
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            list(command),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._copy_output, name=f"{name}-output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self._process.pid

    @property
    def lines(self) -> tuple[str, ...]:
        """What it has printed so far, private lines left out."""
        return tuple(self._seen)

    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and for the last line of its output; return its exit status.

        :param timeout: seconds; ``subprocess.TimeoutExpired`` when they have passed.
        """
        status = self._process.wait(timeout)
        self._reader.join(timeout=5)
        return status

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, what: str = "ready") -> None:
        """Wait until ``ready()``.

        :raises ProcessError: the child ended first, or the time ran out.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running():
                self._reader.join(timeout=5)
                raise ProcessError(
                    f"{self.name} ended (status {self._process.returncode}) before it was {what}: {self.log}"
                )
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} was not {what} within {seconds:.0f} s: {self.log}")
            time.sleep(_POLL_SECONDS)

    def wait_for_line(self, text: str, *, seconds: float) -> None:
        """Wait until it has printed the line ``text``, compared without surrounding space."""
        self.wait_until(lambda: any(line.strip() == text for line in self.lines), seconds=seconds)

    def ask_to_stop(self) -> None:
        """Ask it and everything that it started to end."""
        if not self._asked:
            self._asked = _family(self.pid)
            _signal_all(self._asked, signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        self._process.send_signal(number)

    def send_all(self, number: signal.Signals) -> None:
        """Send a signal to it and everything that it started."""
        _signal_all(_family(self.pid), number)

    def stop(self, *, seconds: float = 10) -> None:
        """End it and everything that it started: politely, then, after ``seconds``, by force."""
        self.ask_to_stop()
        _, alive = psutil.wait_procs(self._asked, timeout=seconds)
        late = [process for process in _family(self.pid) if process not in alive]
        _signal_all([*alive, *late], signal.SIGKILL)
        psutil.wait_procs([*alive, *late], timeout=5)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=5)

    def _copy_output(self) -> None:
        assert self._process.stdout is not None
        with self.log.open("a", encoding="utf-8") as file:
            for line in self._process.stdout:
                if self._private(line):
                    self.private_lines.append(line.rstrip("\n"))
                    continue
                self._seen.append(line.rstrip("\n"))
                file.write(line)
                file.flush()


class Children:
    """The children of one command. Leaving the ``with`` block, for whatever reason, stops them all."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with _signals_ignored():
            for child in self._children:
                child.ask_to_stop()
            while self._children:
                self._children.pop().stop()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        private: Callable[[str], bool] = lambda _line: False,
    ) -> Child:
        """Start a child; the parameters are those of :class:`Child`."""
        child = Child(name, command, environment=environment, log=log, private=private)
        self._children.append(child)
        return child

    def run(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path, seconds: float
    ) -> None:
        """Run a command to its end.

        :raises ProcessError: it failed, or took longer than ``seconds``.
        """
        child = self.start(name, command, environment=environment, log=log)
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{name} took more than {seconds:.0f} s: {log}") from None
        if status:
            raise ProcessError(f"{name} failed (status {status}): {log}")
        self._children.remove(child)

    def forget(self, child: Child) -> None:
        """Leave a child that has ended out of what is watched and stopped."""
        self._children.remove(child)

    def ended(self) -> Child | None:
        """Return a child that has ended by itself, if any."""
        return next((child for child in self._children if not child.running()), None)


def run_command(folder: Path, work: Callable[[Children], int]) -> int:
    """Empty ``folder``, let ``work`` start what it needs, and return its exit status once all of that has ended.

    Where Airflow fails by itself, the end of its logs is printed, and all is done once more.
    """
    leave_on_signals()
    names = ("apache-airflow", "airflow-provider-autoenhance")
    step(", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))
    try:
        try:
            return _in_folder(folder, work)
        except ProcessError as failure:
            if not failure.by_airflow:
                raise
            problem(str(failure))
        for log in sorted(folder.glob("*.log")):
            print(f"-- the end of {log}", *log.read_text(errors="replace").splitlines()[-_LINES:], sep="\n")
        step("Airflow failed by itself; all is done once more, from the beginning")
        return _in_folder(folder, work)
    except ProcessError as failure:
        problem(str(failure))
        return 1
    except KeyboardInterrupt:
        problem("stopped; everything that was started has ended")
        return 130


def _in_folder(folder: Path, work: Callable[[Children], int]) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Children() as children:
        return work(children)


def leave_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into ``SystemExit``, SIGINT into ``KeyboardInterrupt``, so that ``with`` blocks close."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    # A shell starts background jobs with SIGINT ignored, and Python leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """A second Ctrl-C must not interrupt the clearing up after the first."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _family(pid: int) -> list[psutil.Process]:
    """Return the process, its descendants, and whoever else still is in its process group or session."""
    found: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        found[pid] = parent
        found.update({child.pid: child for child in parent.children(recursive=True)})
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if process.pid not in found and pid in (os.getpgid(process.pid), os.getsid(process.pid)):
                found[process.pid] = process
    return list(found.values())


def _signal_all(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
