"""How an error of this provider ends an Airflow task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_autoenhance.api import errors


@contextmanager
def fail_fast() -> Iterator[None]:
    """Fail a task at once, without an Airflow retry, on an error that a retry cannot help; for ``@task`` functions too.

    ::

        @task(retries=2)
        def list_listings(ds: str):
            with fail_fast():
                return list_groups(f"s3://listings/{ds}/", f"s3://enhanced/{ds}/")
    """
    try:
        yield
    except errors.DeadlineError as error:
        raise AirflowSensorTimeout(str(error)) from None
    except errors.AutoenhanceError as error:
        if error.retryable:
            raise
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None
