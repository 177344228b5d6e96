from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.api import Api
from tests.support.sandbox import Sandbox


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[Api]:
    """A client with the sandbox's key."""
    with Api(sandbox) as client:
        yield client
