"""Children end with the command that started them, whatever way it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tools.processes import Child, Children, ProcessError, run_command

# Starts a child of its own in another session, as Airflow's components do, prints its pid, and sleeps.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("export SECRET=1", flush=True)
print(child.pid, flush=True)
print("ready", flush=True)
time.sleep(600)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)


def start(children: Children, program: str, log: Path) -> Child:
    return children.start(
        "child",
        [sys.executable, "-c", program],
        environment=dict(os.environ),
        log=log,
        private=lambda line: line.startswith("export "),
    )


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_leaving_the_block_ends_a_child_and_its_children(tmp_path: Path) -> None:
    with Children() as children:
        child = start(children, PARENT, tmp_path / "log")
        child.wait_for_line("ready", seconds=30)
        grandchild = int(child.lines[0])
        assert alive(grandchild)
    assert not alive(child.pid)
    assert not alive(grandchild)


def test_a_failure_in_the_block_ends_them_too(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Children() as children:
        child = start(children, PARENT, tmp_path / "log")
        raise RuntimeError
    assert not alive(child.pid)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with Children() as children:
        child = start(children, STUBBORN, tmp_path / "log")
        child.wait_for_line("ready", seconds=30)
        child.stop(seconds=0.5)
        assert not alive(child.pid)


def test_private_lines_stay_out_of_the_log(tmp_path: Path) -> None:
    with Children() as children:
        child = start(children, PARENT, tmp_path / "log")
        child.wait_for_line("ready", seconds=30)
    assert child.private_lines == ["export SECRET=1"]
    assert "SECRET" not in (tmp_path / "log").read_text()


def test_a_child_that_ends_before_it_is_ready_is_named_with_its_log(tmp_path: Path) -> None:
    with Children() as children:
        child = start(children, "raise SystemExit(3)", tmp_path / "log")
        with pytest.raises(ProcessError, match=r"child ended \(status 3\) before it was ready: .*log"):
            child.wait_for_line("ready", seconds=30)
        assert children.ended() is child


def test_a_command_that_fails_is_named_with_its_status_and_log(tmp_path: Path) -> None:
    with Children() as children, pytest.raises(ProcessError, match=r"try failed \(status 4\): .*log"):
        command = [sys.executable, "-c", "raise SystemExit(4)"]
        children.run("try", command, environment=dict(os.environ), log=tmp_path / "log", seconds=30)


def test_a_command_whose_child_fails_says_so_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.processes.leave_on_signals", lambda: None)

    def work(children: Children) -> int:
        command = [sys.executable, "-c", "raise SystemExit(4)"]
        children.run("try", command, environment=dict(os.environ), log=tmp_path / "log", seconds=30)
        return 0

    assert run_command(tmp_path / "command", work) == 1
    assert "FAILED    try failed (status 4)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("by_airflow", "fails", "tries", "status"), [(True, 1, 2, 0), (True, 2, 2, 1), (False, 1, 1, 1)]
)
def test_only_what_airflow_fails_in_by_itself_is_done_once_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    by_airflow: bool, fails: int, tries: int, status: int,
) -> None:  # fmt: skip
    monkeypatch.setattr("tools.processes.leave_on_signals", lambda: None)
    folder, tried = tmp_path / "command", []

    def work(children: Children) -> int:
        assert list(folder.iterdir()) == []
        (folder / "scheduler.log").write_text("database is locked\n")
        tried.append(1)
        if len(tried) <= fails:
            raise ProcessError("Airflow did not answer", by_airflow=by_airflow)
        return 0

    assert (run_command(folder, work), len(tried)) == (status, tries)
    said = capsys.readouterr()
    assert said.err.count("FAILED    Airflow did not answer") == fails
    assert ("database is locked" in said.out) == by_airflow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_command_ends_its_children(tmp_path: Path, number: signal.Signals) -> None:
    command = f"""
import os, pathlib, sys, time
from tools.processes import run_command
folder = pathlib.Path({str(tmp_path / "command")!r})
def work(children):
    program = [sys.executable, "-c", {PARENT!r}]
    child = children.start("child", program, environment=dict(os.environ), log=folder / "log")
    child.wait_for_line("ready", seconds=30)
    print(child.pid, child.lines[1], flush=True)
    time.sleep(600)
sys.exit(run_command(folder, work))
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", command], cwd=root, stdout=subprocess.PIPE, text=True) as tool:
        assert tool.stdout is not None
        assert tool.stdout.readline().rpartition("] ")[2].startswith("apache-airflow ")
        pids = [int(word) for word in tool.stdout.readline().split()]
        assert all(alive(pid) for pid in pids)
        tool.send_signal(number)
        tool.wait(timeout=60)
    assert tool.returncode == 128 + number
    assert [pid for pid in pids if alive(pid)] == []
