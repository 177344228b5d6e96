"""Make the secrets of this installation, each once, as files in a folder: ``python make_secrets.py FOLDER``."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Write what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    password = keep(folder / "postgres-password", secrets.token_urlsafe(24))
    database = f"airflow:{password}@postgres/airflow"
    keep(folder / "sql-alchemy-conn", f"postgresql+psycopg2://{database}")
    keep(folder / "celery-result-backend", f"db+postgresql://{database}")
    keep(folder / "fernet-key", base64.urlsafe_b64encode(os.urandom(32)).decode())
    keep(folder / "jwt-secret", secrets.token_hex(32))
    keep(folder / "api-secret-key", secrets.token_hex(32))
    keep(folder / "passwords.json", json.dumps({"admin": secrets.token_urlsafe(12)}))


def keep(file: Path, value: str) -> str:
    """Write ``value`` to the file unless it has one; return what it holds then."""
    if not file.exists():
        file.write_text(value)
    # Postgres and Airflow run as different users; only containers that mount the folder see it.
    file.chmod(0o644)
    return file.read_text()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
