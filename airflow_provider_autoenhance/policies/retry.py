"""Retries by the meaning of an error (Airflow 3.3 and later)."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_autoenhance.api import errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk import RetryDecision, RetryPolicy
elif AIRFLOW_V_3_3_PLUS:
    from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy
else:

    class RetryPolicy:
        """Stands in where Airflow has none, so that a DAG file gets an error that it can read."""

        def __init_subclass__(cls, **kwargs: Any) -> None:
            def refuse(self: Any, *_: Any, **__: Any) -> None:
                raise AirflowOptionalProviderFeatureException(
                    f"{type(self).__name__} needs Airflow 3.3 or later. Leave retry_policy out: the operators fail at once by "
                    "themselves where a retry cannot help, and for @task functions there is fail_fast()."
                )

            cls.__init__ = refuse


class AutoenhanceRetryPolicy(RetryPolicy):
    """Retry a task by what went wrong: ``retry_policy=AutoenhanceRetryPolicy()`` on an operator, a ``@task`` or in ``default_args``.

    An error that a retry cannot help fails the task at once, with its own class for callbacks. Where Autoenhance said how long to wait
    (``Retry-After``), the task is tried again after that time. A creation that is refused with 429 and without that header waits an
    hour, because then it is mostly the limit on equal file names. Everything else that may pass (5xx, lost connections, cut-off
    downloads) follows the task's ``retry_delay`` and backoff, as do errors that are not this provider's. ``retries`` still says how often.

    ::

        @dag(default_args={"retries": 3, "retry_policy": AutoenhanceRetryPolicy(longest_delay=timedelta(hours=1))})
        def nightly():
            ...

    :param longest_delay: longer waits than this are cut down to it.
    :raises AirflowOptionalProviderFeatureException: when it is made on Airflow before 3.3.
    """

    def __init__(self, *, longest_delay: timedelta = timedelta(hours=6)) -> None:
        self.longest_delay = longest_delay

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide about an error of the task."""
        if not isinstance(exception, errors.AutoenhanceError):
            return RetryDecision.default()
        name = type(exception).__name__
        if not exception.retryable:
            return RetryDecision.fail(f"{name}: a retry cannot help")
        if exception.retry_after is None:
            return RetryDecision.retry(reason=f"{name}: may pass")
        asked = exception.retry_after if math.isfinite(exception.retry_after) else 0.0
        delay = timedelta(seconds=min(max(1.0, asked), self.longest_delay.total_seconds()))
        return RetryDecision.retry(delay, f"{name}: asks to wait {delay.total_seconds():.0f} s")

    def serialize(self) -> dict[str, Any]:
        """Describe it in plain values."""
        kind = type(self)
        return {
            "__type": f"{kind.__module__}.{kind.__qualname__}",
            "longest_delay": self.longest_delay.total_seconds(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> AutoenhanceRetryPolicy:
        """Make it again from :meth:`serialize`."""
        return cls(longest_delay=timedelta(seconds=data["longest_delay"]))
