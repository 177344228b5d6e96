"""Make the secrets of this installation, each once, as files: ``python make_secrets.py FOLDER``.

Each service mounts the one folder of its own under it, and so sees no secret that it does not need.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from pathlib import Path

#: The user that Airflow's image runs as. It opens the file of passwords for writing.
AIRFLOW_USER = 50000


def main(root: Path) -> None:
    """Write what is not there yet."""
    server, worker = root / "server", root / "worker"
    postgres = keep(root / "postgres" / "password", secrets.token_urlsafe(24))
    redis = keep(root / "redis" / "password", secrets.token_urlsafe(24))
    keep(root / "redis" / "redis.conf", f"requirepass {redis}\nappendonly yes\ndir /data\n")
    keep(server / "sql-alchemy-conn", f"postgresql+psycopg2://airflow:{postgres}@postgres/airflow")
    keep(server / "fernet-key", base64.urlsafe_b64encode(os.urandom(32)).decode())
    keep(server / "jwt-secret", secrets.token_hex(32))
    api_secret = secrets.token_hex(32)
    for folder in (server, worker):
        keep(folder / "api-secret-key", api_secret)
        keep(folder / "celery-broker-url", f"redis://:{redis}@redis:6379/0")
        keep(folder / "celery-result-backend", f"db+postgresql+psycopg2://airflow:{postgres}@postgres/airflow")
    keep(root / "login" / "passwords.json", json.dumps({"admin": secrets.token_urlsafe(12)}))
    if os.geteuid() == 0:
        for path in (root / "login", root / "login" / "passwords.json"):
            os.chown(path, AIRFLOW_USER, 0)


def keep(file: Path, value: str) -> str:
    """Write ``value`` to the file unless it has one; return what it holds then."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.write_text(value)
    # Postgres, Redis and Airflow run as different users; only containers that mount the folder see it.
    file.chmod(0o644)
    return file.read_text()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
