"""Assets: the host that downloads redirect to, which answers as S3 does."""

from __future__ import annotations

import re
import uuid

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airflow_provider_autoenhance.sandbox.errors import StorageError, redirect_response
from airflow_provider_autoenhance.sandbox.http.call import Call
from airflow_provider_autoenhance.sandbox.photo.files import Asset
from airflow_provider_autoenhance.sandbox.store.uploads import BUCKET, REQUEST_ID

CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")


def asset_url(call: Call, asset: Asset, file_name: str, image_name: str) -> str:
    """Publish a file and return a presigned URL for it.

    :param call: the request that asked for it.
    :param asset: the file.
    :param file_name: last part of the URL's path.
    :param image_name: name of its image, for faults that match on it.
    """
    world = call.world
    key = f"{uuid.uuid4().hex}-{file_name}"
    world.assets[key] = asset
    world.asset_names[key] = image_name
    return _presigned(call, "hop" if world.settings.asset_hops == 2 else "renders", key)


def _presigned(call: Call, place: str, key: str) -> str:
    return call.world.signer.presign(
        "GET",
        call.service.asset_base(call.host_name()),
        f"/{BUCKET}/{place}/{key}",
        now=call.world.now(),
        seconds=call.world.settings.asset_url_seconds,
    )


def _asset(call: Call, place: str) -> tuple[str, Asset]:
    world, key = call.world, call.params["key"]
    path = f"/{BUCKET}/{place}/{key}"
    world.signer.verify("GET", path, call.scope["query_string"].decode(), now=world.now())
    asset = world.assets.get(key)
    if asset is None:
        raise StorageError(404, "NoSuchKey", "The specified key does not exist.", Key=key)
    return key, asset


async def follow_hop(call: Call) -> Response:
    key, _ = _asset(call, "hop")
    return redirect_response(302, _presigned(call, "renders", key))


async def get_object(call: Call) -> Response:
    _, asset = _asset(call, "renders")
    first, last = 0, asset.size - 1
    wanted = _RANGE.fullmatch(call.headers.get("range", ""))
    if wanted and (wanted[1] or wanted[2]):
        first = int(wanted[1]) if wanted[1] else max(0, asset.size - int(wanted[2]))
        last = min(last, int(wanted[2])) if wanted[1] and wanted[2] else last
        if first > last:
            message = "The requested range is not satisfiable"
            raise StorageError(416, "InvalidRange", message, ActualObjectSize=str(asset.size))
    return FileSlice(asset, first, last, partial=bool(wanted))


class FileSlice(Response):
    """Streams part of a file with the headers of S3.

    :param asset: the file.
    :param first: offset of the first byte.
    :param last: offset of the last byte.
    :param partial: whether the client asked for a range.
    """

    def __init__(self, asset: Asset, first: int, last: int, *, partial: bool) -> None:
        super().__init__(status_code=206 if partial else 200, media_type=asset.content_type)
        self._path, self._first, self._length = asset.path, first, last - first + 1
        self.headers.update(REQUEST_ID)
        self.headers["Accept-Ranges"] = "bytes"
        self.headers["ETag"] = f'"{asset.etag}"'
        self.headers["Content-Length"] = str(self._length)
        if partial:
            self.headers["Content-Range"] = f"bytes {first}-{last}/{asset.size}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._path.open("rb", buffering=0) as file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            file.seek(self._first)
            left = self._length
            while left > 0 and scope["method"] != "HEAD":
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    break
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
            if self._length == 0 or scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
