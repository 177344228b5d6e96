"""The first kilobytes of photos, read many at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.imaging.exif import CaptureFacts
from airflow_provider_autoenhance.imaging.head import Head, read_head
from airflow_provider_autoenhance.imaging.ranges import ReadRange
from airflow_provider_autoenhance.pipeline.job import Job
from airflow_provider_autoenhance.pipeline.photo import Photo
from airflow_provider_autoenhance.storage import read_range

log = logging.getLogger(__name__)


def read_heads(
    job: Job, files: Iterable[Photo], *, unread: str, needed: bool = False
) -> dict[str, tuple[Head, CaptureFacts]]:
    """Read files' first kilobytes, by source. A file that cannot be read is left out, and named in the log.

    :param unread: what that comes to.
    :param needed: what is decided without them would hold for good.
    :raises AutoenhanceError: the store is in trouble, and they are needed.
    """

    def read(file: Photo) -> tuple[str, tuple[Head, CaptureFacts] | None]:
        try:
            return file.source, read_head(ranges_of(job, file), file.size, file.path)
        except Exception as caught:
            error = errors.unexpected(caught, f"photo {file.path!r}")
            if needed and isinstance(caught, errors.AutoenhanceError) and error.retryable:
                raise
            log.warning("%r %s: %s", file.path, unread, error)
            return file.source, None

    with ThreadPoolExecutor(job.concurrency, thread_name_prefix="autoenhance-heads") as pool:
        return {source: head for source, head in pool.map(read, files) if head}


def ranges_of(job: Job, file: Photo) -> ReadRange:
    """Return what reads bytes of a file."""
    origin = file.origin

    def ranges(offset: int, length: int) -> bytes:
        return read_range(origin.given, offset, length, conn_id=origin.conn_id, access=job.sources.access)

    return ranges
