"""``make browser``: the gallery in a real Chromium on a live Airflow; pictures of what it shows in ``.run/browser``.

Chromium is Debian's; what drives it goes into ``.envs/browser``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

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
_INSTALL_SECONDS = 900
_SECONDS = 900


def find_chromium(children: Children) -> str:
    """Return the path of Chromium; root gets it from Debian.

    :raises ProcessError: there is none.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        command = ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"]
        children.run(
            "installing chromium",
            command,
            environment=dict(os.environ),
            log=FOLDER / "apt.log",
            seconds=_INSTALL_SECONDS,
        )
        found = shutil.which("chromium")
    if found is None:
        raise ProcessError(f"none of {', '.join(_NAMES)} is installed: run `apt-get install chromium` as root")
    return found


def install_drivers(children: Children) -> None:
    """Make the environment, or bring it up to date."""
    environment, log = dict(os.environ), FOLDER / "install.log"
    if not PYTHON.exists():
        command = [str(UV), "venv", "--quiet", "--python", sys.executable, str(PYTHON.parent.parent)]
        children.run("uv venv", command, environment=environment, log=log, seconds=_INSTALL_SECONDS)
    command = [str(UV), "pip", "install", "--quiet", "--python", str(PYTHON), *_DRIVERS]
    children.run("installing playwright", command, environment=environment, log=log, seconds=_INSTALL_SECONDS)


def make_dags() -> Path:
    """Copy the example DAGs, and the one that makes many photos, into a folder of their own."""
    folder = FOLDER / "dags"
    shutil.copytree(DAGS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (REPOSITORY / "tools" / "browser_dags" / "gallery_samples.py").read_text()
    text = text.replace("@SAMPLES@", str(PHOTOS)).replace("@OUT@", str(FOLDER / "enhanced"))
    (folder / "gallery_samples.py").write_text(text)
    return folder


def run(children: Children, *, photos: int, only: str) -> int:
    """Start everything, drive the browser, and return the exit status."""
    chromium = find_chromium(children)
    step(f"Installing what drives {chromium} into {PYTHON.parent.parent}")
    install_drivers(children)
    step("Starting the sandbox and an Airflow of its own")
    service = start_local_service(children, FOLDER)
    fill_buckets(service, sample_photos(brackets=True), all_dags=True)
    home = AirflowHome(FOLDER / "airflow", dags=make_dags(), port=free_port())
    airflow = start_live_airflow(children, home, FOLDER, service.connections)
    airflow.api.post(
        "dags/gallery_samples/dagRuns", {"dag_run_id": "samples+1", "logical_date": None, "conf": {"photos": photos}}
    )
    step("Looking at it in the browser")
    return drive(children, airflow, chromium, only=only)


def drive(children: Children, airflow: LiveAirflow, chromium: str, *, only: str) -> int:
    """Have the steps taken, and say what came of each."""
    about = {"address": airflow.home.address, "user": ADMIN, "password": airflow.home.password, "chromium": chromium}
    orders = json.dumps({**about, "folder": str(FOLDER), "only": only})
    log = FOLDER / "steps.log"
    environment = {**airflow.environment, "BROWSER_ORDERS": orders}
    try:
        children.run(
            "the browser",
            [str(PYTHON), "-m", "tools.browser_steps"],
            environment=environment,
            log=log,
            seconds=_SECONDS,
        )
    finally:
        for line in log.read_text().splitlines():
            detail(line)
    return 0


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make browser", description=__doc__)
    parser.add_argument("--photos", type=int, default=200, help="photos in the long list (default 200)")
    parser.add_argument("--only", default="", help="take only the steps whose names hold this")
    arguments = parser.parse_args()
    return run_command(FOLDER, lambda children: run(children, photos=arguments.photos, only=arguments.only))


if __name__ == "__main__":
    sys.exit(main())
