"""An isolated Airflow for the test run, and the fixtures that all tests share.

Airflow reads its environment at import, so it is set before anything else is loaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_HOME = Path(tempfile.mkdtemp(prefix="autoenhance-tests-"))
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[1] / "dags"),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME / 'airflow.db'}",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
for _name in list(os.environ):
    if _name.startswith("AIRFLOW_CONN_"):
        del os.environ[_name]

from hypothesis import HealthCheck, settings  # noqa: E402

from tests.support.sandbox import sandbox, sandbox_server  # noqa: E402
from tests.support.tasks import airflow_db, autoenhance, aws_models, known_dags, no_news, s3, short_waits  # noqa: E402

#: A busy machine is not a failure.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_HOME, ignore_errors=True)


__all__ = [
    "airflow_db",
    "autoenhance",
    "aws_models",
    "known_dags",
    "no_news",
    "s3",
    "sandbox",
    "sandbox_server",
    "short_waits",
]
