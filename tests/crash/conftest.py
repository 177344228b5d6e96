"""A warm worker and a sandbox that hands uploads back, so that hundreds of nights fit into minutes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.night import Worker
from tests.support.sandbox import Sandbox


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A warm worker process."""
    with Worker() as warm:
        yield warm


@pytest.fixture(scope="module")
def copying_sandbox() -> Iterator[Sandbox]:
    """A sandbox that hands uploads back, and has no S3."""
    server = Sandbox.start("--no-s3", "--set", 'render="copy"', "--set", "processing_seconds=[0,0]")
    try:
        yield server
    finally:
        server.stop()
