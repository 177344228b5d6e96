"""``make browser``: the gallery in a real Chromium on a live Airflow; pictures of what it shows in ``.run/browser``.

Chromium is Debian's; what drives it goes into ``.envs/browser``. Briefly, it looks at samples that need no sandbox.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tools.airflow_home import ADMIN, DAGS, REPOSITORY, RUN, AirflowHome, free_port
from tools.console import detail, step
from tools.live_airflow import LiveAirflow, start_live_airflow
from tools.local_service import PHOTOS, fill_buckets, sample_photos, start_local_service
from tools.matrix import ENVIRONMENTS, UV
from tools.processes import Children, ProcessError, run_command

FOLDER = RUN / "browser"
PYTHON = ENVIRONMENTS / "browser" / "bin" / "python"
_DRIVERS = ("playwright>=1.40", "axe-playwright-python>=0.1.4")
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_TRIAL = """
import sys
import axe_playwright_python.sync_playwright
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    playwright.chromium.launch(executable_path=sys.argv[1], args=["--no-sandbox", "--disable-dev-shm-usage"]).new_page().close()
"""
_TRIAL_SECONDS = 180
_INSTALL_SECONDS = 900
_SECONDS = 900


def find_chromium(children: Children) -> str:
    """Return the path of Chromium; root gets it from Debian.

    :raises ProcessError: there is none, and it cannot be installed.
    """
    by_hand = "install Debian's package chromium (apt-get install chromium, as root), or Google Chrome"
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None and not (os.geteuid() == 0 and shutil.which("apt-get")):
        raise ProcessError(
            f"there is no {', '.join(_NAMES)}, and only root with apt-get can install it here: {by_hand}"
        )
    if found is None:
        step("Installing Debian's package chromium, with what it depends on, into this system")
        try:
            for words in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
                command = ["apt-get", "-q", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120", *words]
                environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
                log = FOLDER / "apt.log"
                children.run("apt-get", command, environment=environment, log=log, seconds=_INSTALL_SECONDS)
        except ProcessError as failure:
            raise ProcessError(f"{failure}. Chromium could not be installed: {by_hand}") from failure
        found = shutil.which("chromium")
    if found is None:
        raise ProcessError(f"this system's package chromium brings no program of that name: {by_hand}")
    return found


def install_drivers(children: Children) -> None:
    """Make the environment, or bring it up to date."""
    environment, log = dict(os.environ), FOLDER / "install.log"
    if not PYTHON.exists():
        command = [str(UV), "venv", "--quiet", "--python", sys.executable, str(PYTHON.parent.parent)]
        children.run("uv venv", command, environment=environment, log=log, seconds=_INSTALL_SECONDS)
    command = [str(UV), "pip", "install", "--quiet", "--python", str(PYTHON), *_DRIVERS]
    children.run("installing playwright", command, environment=environment, log=log, seconds=_INSTALL_SECONDS)


def make_dags(*, briefly: bool) -> Path:
    """Make a folder of DAG files: the one that makes many photos, and the example DAGs beside it."""
    folder = FOLDER / "dags"
    if briefly:
        folder.mkdir()
    else:
        shutil.copytree(DAGS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (REPOSITORY / "tools" / "browser_dags" / "gallery_samples.py").read_text()
    text = text.replace("@SAMPLES@", str(PHOTOS)).replace("@OUT@", str(FOLDER / "enhanced"))
    (folder / "gallery_samples.py").write_text(text)
    return folder


def install(children: Children) -> str:
    """Install what is missing, and return the path of Chromium, which then starts.

    :raises ProcessError: it cannot be had, or does not start.
    """
    chromium = find_chromium(children)
    step(f"Installing what drives {chromium} into {PYTHON.parent.parent}")
    install_drivers(children)
    command, log = [str(PYTHON), "-c", _TRIAL, chromium], FOLDER / "trial.log"
    children.run("starting Chromium", command, environment=dict(os.environ), log=log, seconds=_TRIAL_SECONDS)
    return chromium


def run(children: Children, *, photos: int, only: str, briefly: bool) -> int:
    """Start everything, drive the browser, and return the exit status."""
    chromium = install(children)
    step("Starting an Airflow of its own" + ("" if briefly else ", and the sandbox"))
    connections = {} if briefly else start_service(children)
    home = AirflowHome(FOLDER / "airflow", dags=make_dags(briefly=briefly), port=free_port())
    airflow = start_live_airflow(children, home, FOLDER, connections)
    airflow.api.post(
        "dags/gallery_samples/dagRuns", {"dag_run_id": "samples+1", "logical_date": None, "conf": {"photos": photos}}
    )
    step("Looking at it in the browser")
    return drive(children, airflow, {"chromium": chromium, "only": only, "briefly": briefly})


def start_service(children: Children) -> dict[str, str]:
    """Start the sandbox with the sample photos, and return the connections to it."""
    service = start_local_service(children, FOLDER)
    fill_buckets(service, sample_photos(brackets=True), all_dags=True)
    return service.connections


def drive(children: Children, airflow: LiveAirflow, orders: dict[str, Any]) -> int:
    """Have the steps taken, and say what came of each.

    :raises ProcessError: a step failed; by Airflow itself, where that answered the browser that it had failed.
    """
    airflow_failed = FOLDER / "airflow-failed.txt"
    about = {"address": airflow.home.address, "user": ADMIN, "password": airflow.home.password}
    places = {"folder": str(FOLDER), "airflow_failed": str(airflow_failed)}
    environment = {**airflow.environment, "BROWSER_ORDERS": json.dumps({**about, **places, **orders})}
    command, log = [str(PYTHON), "-m", "tools.browser_steps"], FOLDER / "steps.log"
    try:
        children.run("the browser", command, environment=environment, log=log, seconds=_SECONDS)
    except ProcessError as failure:
        if airflow_failed.exists():
            raise ProcessError(f"{failure}; {airflow_failed.read_text()}", by_airflow=True) from failure
        raise
    finally:
        for line in log.read_text().splitlines():
            detail(line)
    return 0


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make browser", description=__doc__)
    parser.add_argument("--photos", type=int, default=200, help="photos in the long list (default 200)")
    parser.add_argument("--only", default="", help="take only the steps whose names hold this")
    parser.add_argument("--briefly", action="store_true", help="without the sandbox and the nightly DAG, as in .ci/run")
    parser.add_argument(
        "--install", action="store_true", help="install Chromium and what drives it, and do nothing else"
    )
    arguments = parser.parse_args()
    if arguments.install:
        return run_command(FOLDER, lambda children: 0 if install(children) else 1)
    return run_command(
        FOLDER,
        lambda children: run(children, photos=arguments.photos, only=arguments.only, briefly=arguments.briefly),
    )


if __name__ == "__main__":
    sys.exit(main())
