"""Bytes on their way from Autoenhance."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_autoenhance.api import errors

if TYPE_CHECKING:
    from airflow_provider_autoenhance.api.answers import Answer


class Download:
    """Bytes on their way from Autoenhance.

    :param about: which image it is, for messages.
    :param head: status and headers; ``content-length``, ``content-type`` and digests are there where the host sends them.
    """

    def __init__(self, about: str, head: Answer, read: Callable[[int], bytes]) -> None:
        self.about = about
        self.headers = head.headers
        self.content_type = head.content_type
        self._announced = head.content_length
        self._read = read
        self._head = b""

    @property
    def size(self) -> int | None:
        """Number of bytes announced, ``None`` where the host does not say."""
        return self._announced

    def peek(self, size: int = 1 << 16) -> bytes:
        """Return the first bytes, which will be read again."""
        if not self._head:
            self._head = self._take(size)
        return self._head

    def read(self, size: int = -1, /) -> bytes:
        """Read the next block; all that is left for -1.

        :raises IntegrityError: when the bytes stop short.
        """
        if not self._head:
            return self._take(size)
        cut = len(self._head) if size < 0 else size
        block, self._head = self._head[:cut], self._head[cut:]
        return block + self._take(-1) if size < 0 else block

    def _take(self, size: int) -> bytes:
        began = time.monotonic()
        try:
            return self._read(size)
        except TimeoutError:
            waited = time.monotonic() - began
            raise errors.UnreachableError(
                f"{self.about}: the download stopped or became too slow.", waited=waited
            ) from None
        except OSError as error:
            raise errors.IntegrityError(f"{self.about}: the download broke off ({type(error).__name__}).") from None
