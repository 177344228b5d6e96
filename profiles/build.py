"""``make profiles``: compile the print profiles that the package carries from free characterisation data.

Needs Debian's packages ``argyll`` and ``icc-profiles-free`` (2.0.1 or newer); three minutes or so. The profiles are committed, so
nobody needs this to use the package. With the same data and the same Argyll the files come out the same, byte by byte.
"""

from __future__ import annotations

import argparse
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "airflow_provider_autoenhance" / "imaging" / "icc"


@dataclass(frozen=True)
class Condition:
    """A print condition.

    :param data: name of its characterisation data.
    :param ink_limit: percent of all four inks together.
    :param year: of the data.
    """

    data: str
    ink_limit: int
    description: str
    copyright: str
    year: int

    @property
    def file_name(self) -> str:
        return f"{self.data.lower()}_{self.ink_limit}.icc"


CONDITIONS = (
    Condition(
        "FOGRA39L", 330, "FOGRA39L data, coated offset, 330 % ink",
        "Compiled with ArgyllCMS from characterisation data FOGRA39L (Fogra, www.fogra.org), zlib licence, see NOTICE", 2006,
    ),
    Condition(
        "FOGRA29L", 300, "FOGRA29L data, uncoated offset, 300 % ink",
        "Compiled with ArgyllCMS from characterisation data FOGRA29L (Fogra, www.fogra.org), zlib licence, see NOTICE", 2003,
    ),
    Condition(
        "TR003", 300, "CGATS TR 003 data, coated web offset, 300 % ink",
        "Compiled with ArgyllCMS from characterisation data ANSI/CGATS/SWOP TR 003-2007 (NPES), zlib licence, see NOTICE", 2007,
    ),
)  # fmt: skip


def build(condition: Condition, data: Path) -> Path:
    """Compile one profile; the table that separates colours into inks is of high quality, the one that proofs them of medium."""
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        shutil.copy(data / f"{condition.data}.ti3", folder)
        command = ["colprof", "-qm", "-bh", "-nc", f"-l{condition.ink_limit}"]
        command += ["-D", condition.description, "-C", condition.copyright, condition.data]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        built = Path(folder, f"{condition.data}.icc")
        if not built.exists():
            built = built.with_suffix(".icm")
        content = bytearray(built.read_bytes())
    content[24:36] = struct.pack(">6H", condition.year, 1, 1, 0, 0, 0)  # or each build would differ in its time
    target = TARGET / condition.file_name
    target.write_bytes(content)
    return target


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make profiles", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/color/icc"), help="folder of the .ti3 files")
    data = parser.parse_args().data
    missing = [each.data for each in CONDITIONS if not (data / f"{each.data}.ti3").exists()]
    if missing or not shutil.which("colprof"):
        print(
            f"Needs colprof and {', '.join(missing) or 'its data'}: apt-get install argyll icc-profiles-free",
            file=sys.stderr,
        )
        return 1
    TARGET.mkdir(exist_ok=True)
    for condition in CONDITIONS:
        target = build(condition, data)
        print(f"{target.name}  {target.stat().st_size:,} bytes  {condition.description}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
