"""The wheel that users install, and the archive of its source: the package whole, and nothing beside it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_autoenhance"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both, built from what git knows, so that leftovers of earlier builds do not get in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "--quiet", "--out-dir", out, source], check=True, timeout=300)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """As users install it: made from the archive of the source."""
    (wheel,) = built.glob("*.whl")
    return wheel


def package_files() -> set[str]:
    return {
        file.relative_to(ROOT).as_posix()
        for file in PACKAGE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_it_holds_the_package_whole_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    packed = {name for name in names if ".dist-info/" not in name}
    assert packed == package_files()
    assert "airflow_provider_autoenhance/py.typed" in packed


def test_the_source_archive_holds_what_the_wheel_is_made_of_and_nothing_else(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {member.name.partition("/")[2] for member in opened if member.isfile()}
    packed = {name for name in names if ".egg-info/" not in name}
    about = {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "SECURITY.md", "pyproject.toml", "setup.cfg"}
    assert packed == package_files() | about


def test_airflow_finds_the_provider_in_it(wheel: Path, tmp_path: Path) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import sys; sys.path[:] = [path for path in sys.path if path != '']; sys.path.insert(0, sys.argv[1])\n"
        "from importlib.metadata import Distribution\n"
        "from pathlib import Path\n"
        "points = Distribution.at(next(Path(sys.argv[1]).glob('*.dist-info'))).entry_points\n"
        "assert points.groups == {'apache_airflow_provider', 'airflow.plugins'}, points\n"
        "for point in points:\n"
        "    assert sys.modules[point.load().__module__].__file__.startswith(sys.argv[1])\n"
        "(provider,) = points.select(group='apache_airflow_provider')\n"
        "print(provider.load()()['package-name'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "airflow-provider-autoenhance"), done.stderr
