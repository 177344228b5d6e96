"""Uploads: the presigned endpoint, as strict as S3."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import uuid
from pathlib import Path, PurePosixPath

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from airflow_provider_autoenhance.sandbox.errors import StorageError
from airflow_provider_autoenhance.sandbox.http.call import Call
from airflow_provider_autoenhance.sandbox.photo.files import Upload
from airflow_provider_autoenhance.sandbox.state.models import Exposure
from airflow_provider_autoenhance.sandbox.state.signing import does_not_match
from airflow_provider_autoenhance.sandbox.state.world import World

BUCKET = "autoenhanceapi-sandbox"
REQUEST_ID = {"x-amz-request-id": "SANDBOX000000000", "x-amz-id-2": "sandbox"}
_HASH_INLINE_BELOW = 256 * 1024

MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".dng": "image/x-adobe-dng",
    ".cr2": "image/x-canon-cr2",
    ".cr3": "image/x-canon-cr3",
    ".nef": "image/x-nikon-nef",
    ".nrw": "image/x-nikon-nrw",
    ".arw": "image/x-sony-arw",
    ".srf": "image/x-sony-srf",
    ".sr2": "image/x-sony-sr2",
    ".raf": "image/x-fuji-raf",
}


ANY_TYPE = "application/octet-stream"


def upload_url(call: Call, kind: str, identifier: str, name: str, content_type: str | None) -> str:
    """Presign the one upload of an image or exposure.

    A type that was given at creation is the only one that the upload may have. Without one, the type that the name suggests goes
    through, and ``application/octet-stream``.

    :param call: the request that creates it.
    :param kind: ``image_id`` or ``bracket_id``.
    :param identifier: that id.
    :param name: file name, whose extension gives the Content-Type.
    :param content_type: as the caller gave it, if it did.
    """
    world = call.world
    key = uuid.uuid4().hex
    world.upload_keys[key] = (kind, identifier)
    guess = content_type or MEDIA_TYPES.get(PurePosixPath(name).suffix.lower(), ANY_TYPE)
    world.upload_types[key] = frozenset([guess] if content_type else [guess, ANY_TYPE])
    extra = {f"x-amz-meta-{kind}": identifier, "x-amz-security-token": uuid.uuid4().hex}
    if world.settings.upload_url_names_type:
        extra["content-type"] = guess
    return world.signer.presign(
        "PUT",
        call.service.asset_base(call.host_name()),
        f"/{BUCKET}/uploads/{key}",
        now=world.now(),
        seconds=world.settings.upload_url_seconds,
        extra=extra,
    )


async def put_object(call: Call) -> Response:
    world, key = call.world, call.params["key"]
    path = f"/{BUCKET}/uploads/{key}"
    world.signer.verify("PUT", path, call.scope["query_string"].decode(), now=world.now())
    if key not in world.upload_keys:
        raise StorageError(404, "NoSuchKey", "The specified key does not exist.", Key=key)
    if call.headers.get("content-type", "") not in world.upload_types[key]:
        raise does_not_match()
    length = _content_length(call)
    partial = world.folder / "uploads" / f"{key}-{uuid.uuid4().hex}"
    try:
        await _receive(call, partial, length)
        etag, sha256 = await _digests(call, partial, length)
        _check_md5(call, etag)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    content_type = call.headers.get("content-type", "binary/octet-stream")
    _attach(call, world, key, Upload(partial, length, etag, sha256, content_type, world.now()))
    return Response(headers={**REQUEST_ID, "ETag": f'"{etag}"', "Content-Length": "0"})


def _content_length(call: Call) -> int:
    if "transfer-encoding" in call.headers:
        message = "A header you provided implies functionality that is not implemented"
        raise StorageError(501, "NotImplemented", message, Header="Transfer-Encoding")
    text = call.headers.get("content-length")
    if text is None:
        raise StorageError(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    limit = call.world.settings.max_upload_bytes
    if int(text) > limit:
        message = "Your proposed upload exceeds the maximum allowed size"
        raise StorageError(400, "EntityTooLarge", message, ProposedSize=text, MaxSizeAllowed=str(limit))
    return int(text)


async def _receive(call: Call, path: Path, length: int) -> None:
    """Write the body to a file, chunk by chunk."""
    received = 0
    with path.open("wb", buffering=0) as file:
        while True:
            message = await call.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            if chunk:
                file.write(chunk)
                received += len(chunk)
            if not message.get("more_body", False):
                break
    if received != length:
        raise StorageError(
            400, "IncompleteBody", "You did not provide the number of bytes specified by Content-Length."
        )


async def _digests(call: Call, path: Path, length: int) -> tuple[str, str | None]:
    """Return ETag and SHA-256 of a file. Big files are read in a thread."""
    if not call.world.settings.upload_digests and "content-md5" not in call.headers:
        return f"{uuid.uuid4().hex}-1", None
    if length < _HASH_INLINE_BELOW:
        return _hash(path)
    return await asyncio.get_running_loop().run_in_executor(call.service.files, _hash, path)


def _hash(path: Path) -> tuple[str, str]:
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            md5.update(chunk)
            sha256.update(chunk)
    return md5.hexdigest(), sha256.hexdigest()


def _check_md5(call: Call, md5: str) -> None:
    claimed = call.headers.get("content-md5")
    if claimed is not None and claimed != base64.b64encode(bytes.fromhex(md5)).decode():
        raise StorageError(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")


def _attach(call: Call, world: World, key: str, upload: Upload) -> None:
    """Give the file to its image or exposure. The first upload of an image starts its enhancement."""
    kind, identifier = world.upload_keys[key]
    world.uploads.append(
        {kind: identifier, "size": upload.size, "sha256": upload.sha256, "content_type": upload.content_type}
        | {"at": upload.at},
    )
    made = world.exposures[identifier] if kind == "bracket_id" else world.images[identifier]
    made.upload = upload
    world.write_metadata(made, {"MIMEType": MEDIA_TYPES.get(PurePosixPath(made.name).suffix.lower(), ANY_TYPE)})
    if isinstance(made, Exposure):
        return
    image = made
    world.register_upload(image, upload)
    if image.status == "waiting" and not image.deleted:
        call.service.processing.start(world, image)
