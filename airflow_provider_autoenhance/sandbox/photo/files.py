"""Files of photos: those that arrived, and those that are handed out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Upload:
    """A file that arrived at an upload URL.

    :param sha256: None where uploads are not hashed.
    :param at: when it arrived, in seconds since the epoch.
    """

    path: Path
    size: int
    etag: str
    sha256: str | None
    content_type: str
    at: float


@dataclass(slots=True)
class Asset:
    """A finished file on the asset host."""

    path: Path
    content_type: str
    size: int
    etag: str
