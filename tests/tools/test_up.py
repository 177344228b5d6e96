"""What ``make up`` prepares and says, without an Airflow."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pendulum
import pytest
from airflow.timetables.interval import CronDataIntervalTimetable

from tools.airflow_home import REPOSITORY, AirflowHome, clean_environment
from tools.live_airflow import LiveAirflow
from tools.local_service import PHOTOGRAPHERS, middle_shots, sample_days, sample_photos
from tools.processes import Children
from tools.up import name_broken_files


def test_the_samples_lie_in_the_folder_of_the_night_that_airflow_begins_by_itself() -> None:
    nightly = CronDataIntervalTimetable("0 1 * * *", timezone=pendulum.timezone(PHOTOGRAPHERS.key))
    for minutes in (0, 4):
        begins = pendulum.now("UTC") + timedelta(minutes=minutes)
        night = nightly.infer_manual_data_interval(run_after=begins).start
        assert night.in_timezone(PHOTOGRAPHERS.key).to_date_string() in sample_days()


def test_one_shot_of_each_view_is_shown() -> None:
    names = [photo.name for photo in middle_shots(sample_photos(brackets=True))]
    assert names == ["living-room-3.jpg", "bedroom.jpg", "kitchen.jpg", "living-room.jpg"]


def test_each_broken_file_is_named_once_until_it_breaks_in_another_way(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken: dict[str, str] = {"mine.py": "NameError: one"}
    airflow = live_airflow(tmp_path, broken_files=lambda: dict(broken))
    named = name_broken_files(airflow, {})
    assert capsys.readouterr().err == f"FAILED    {tmp_path / 'mine.py'}: NameError: one\n"
    named = name_broken_files(airflow, named)
    assert capsys.readouterr().err == ""
    broken["mine.py"] = "NameError: two"
    name_broken_files(airflow, named)
    assert "NameError: two" in capsys.readouterr().err


def test_the_checkout_does_not_double_the_plugin_by_way_of_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), "", "/of/mine"]))
    assert clean_environment()["PYTHONPATH"] == "/of/mine"
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert "PYTHONPATH" not in clean_environment()


def test_dag_files_without_a_dag_are_waited_for_but_not_broken_ones(tmp_path: Path) -> None:
    for name, text in {"ours.py": "@dag", "mine.py": "@dag", "late.py": "@dag", "helper.py": "x = 1"}.items():
        (tmp_path / name).write_text(text)
    airflow = live_airflow(tmp_path, dag_files=lambda: {"ours.py"}, broken_files=lambda: {"mine.py": "NameError"})
    assert airflow.unread_files() == {"mine.py", "late.py"}
    assert airflow.unread_files(broken=True) == {"late.py"}


def live_airflow(dags: Path, **answers: Any) -> LiveAirflow:
    airflow = LiveAirflow(Children(), AirflowHome(dags / "home", dags=dags), dags, {})
    airflow.api = cast("Any", SimpleNamespace(**answers))
    return airflow
