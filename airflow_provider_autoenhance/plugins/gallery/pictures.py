"""Bytes from a task's storage to the browser: streamed, in part where it asks for a part, and never converted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

from fastapi import HTTPException, Request
from starlette.responses import Response, StreamingResponse

from airflow_provider_autoenhance.storage import BLOCK, Source

#: What browsers show, by a file's extension. Anything else is a download.
_SHOWN = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
}
_DOWNLOAD = "application/octet-stream"

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")

#: Bytes that are asked of a store at a time, of a file that is not read from its beginning.
_PART = 1 << 20

#: Of a thumbnail; the task makes them of some 20 KB.
MAX_THUMBNAIL_BYTES = 1 << 20


def send_picture(
    request: Request, source: Source, read: Callable[[int, int], bytes], *, name: str, seconds: int
) -> Response:
    """Answer with a file, or with the part of it that is asked for.

    :param source: is closed when all is sent.
    :param read: gives so many bytes from a place within: a store without seeking would send all that lies before.
    :param name: what the browser calls a download.
    :param seconds: for which the browser may show it again without asking.
    """
    etag = f'"{source.etag}"' if source.etag else None
    shown = _SHOWN.get(name.rpartition(".")[2].lower())
    quoted = quote(name.rpartition("/")[2], safe="", errors="replace")
    headers = {
        "Cache-Control": f"private, max-age={seconds}",
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{quoted}",
        **({"ETag": etag} if etag else {}),
    }
    if etag and etag in request.headers.get("if-none-match", ""):
        source.close()
        return Response(status_code=304, headers=headers)
    start, end, partly = 0, source.size, False
    wanted = request.headers.get("range")
    if wanted and request.headers.get("if-range", etag) == etag:
        part = _part(wanted, source.size)
        if part == ():
            source.close()
            raise HTTPException(416, headers={"Content-Range": f"bytes */{source.size}"})
        if part:
            (start, end), partly = part, True
    headers["Content-Length"] = str(end - start)
    if partly:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{source.size}"
    if start:
        source.close()
    blocks = _read_from(read, start, end) if start else _read_head(source, end)
    return StreamingResponse(blocks, 206 if partly else 200, headers, media_type=shown or _DOWNLOAD)


def _part(wanted: str, size: int) -> tuple[int, int] | tuple[()] | None:
    """Read a ``Range``; empty where it cannot be met, ``None`` where it is to be passed over, as several parts are."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    return (start, end) if start < end else ()


def _read_head(source: Source, end: int) -> Iterator[bytes]:
    with source:
        while end and (block := source.read(min(BLOCK, end))):
            end -= len(block)
            yield block


def _read_from(read: Callable[[int, int], bytes], start: int, end: int) -> Iterator[bytes]:
    while start < end and (block := read(start, min(_PART, end - start))):
        start += len(block)
        yield block
