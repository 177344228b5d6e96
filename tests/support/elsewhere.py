"""A run on another worker, for tests of what runs do beside each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.pipeline.batch.claims import Claims
from tests.support.batch import operator
from tests.support.tasks import run


class Elsewhere:
    """A run on another worker, which stands still where it is about to upload."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, map_index: int = -1, **options: Any) -> None:
        self.arrived, self.go_on = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.claims: list[Claims] = []
        self.check = Claims.check

        def check(held: Claims) -> None:
            self.claims = self.claims or [held]
            if held is self.claims[0]:
                self.arrived.set()
                self.go_on.wait(60)
            self.check(held)

        monkeypatch.setattr(Claims, "check", check)
        self._thread = threading.Thread(target=self._run, args=(options, map_index))
        self._thread.start()
        assert self.arrived.wait(60)

    def _run(self, options: dict[str, Any], map_index: int) -> None:
        it = operator(**options)
        try:
            self.summary = run(it, run_id="elsewhere", map_index=map_index)
        except errors.AutoenhanceError as error:
            self.error = error

    def end(self) -> None:
        self.go_on.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


Begin = Callable[..., Elsewhere]
