"""S3 through S3Hook's client: one streamed GET, one streamed PUT."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    DestinationError,
    IntegrityError,
    SourceError,
)
from airflow_provider_autoenhance.storage.base import OWN_PREFIX, Destination, Reader, Source, StoredFile, clean_etag
from airflow_provider_autoenhance.storage.location import Location
from airflow_provider_autoenhance.storage.s3_client import can_stream, s3_client
from airflow_provider_autoenhance.storage.s3_errors import error_code, explain
from airflow_provider_autoenhance.storage.streams import CheckedReader, checked
from airflow_provider_autoenhance.storage.temporary import temporary_file

_PLAIN_MD5 = re.compile(r"[0-9a-f]{32}")
_EXPRESS_BUCKET = "--x-s3"


def open_s3(location: Location) -> Source:
    """Open an object for reading, in one GET."""
    _require_key(location, SourceError)
    try:
        answer = s3_client(location.conn_id).get_object(Bucket=location.bucket, Key=location.key)
    except Exception as error:  # noqa: BLE001 - botocore, urllib3 and Airflow each have their own
        raise explain(error, location, SourceError) from None
    found = _stored(location.uri, answer, size=answer["ContentLength"])
    body = answer["Body"]
    return Source(found, body, lambda error: explain(error, location, SourceError)).on_close(body.close)


def read_s3_range(location: Location, offset: int, length: int) -> bytes:
    """Read some bytes from within an object, in one GET."""
    _require_key(location, SourceError)
    wanted = f"bytes={offset}-{offset + length - 1}"
    try:
        answer = s3_client(location.conn_id).get_object(Bucket=location.bucket, Key=location.key, Range=wanted)
        return bytes(answer["Body"].read())
    except Exception as error:  # noqa: BLE001
        raise explain(error, location, SourceError) from None


def list_s3(location: Location, *, recursive: bool) -> Iterator[StoredFile]:
    """Yield the objects under a prefix in key order, 1,000 per request; an object's own URI yields that object."""
    prefix = location.key and location.key.rstrip("/") + "/"
    options = {} if recursive else {"Delimiter": "/"}
    empty = True
    try:
        client = s3_client(location.conn_id)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=prefix, **options)
        for page in pages:
            for item in page.get("Contents", ()):
                empty = False
                if not item["Key"].endswith("/"):
                    yield _stored(f"s3://{location.bucket}/{item['Key']}", item, size=item["Size"])
        if empty and location.key and not location.key.endswith("/") and (found := _head(client, location)):
            yield found
    except Exception as error:  # noqa: BLE001
        raise explain(error, location, SourceError) from None


class S3Destination(Destination):
    """An object, put in one request."""

    def __init__(self, location: Location) -> None:
        super().__init__(location.uri)
        self._location = location

    def check_writable(self) -> None:
        """Begin a multipart upload and abort it: needs the same permission as a put and leaves nothing."""
        key = self._location.key
        if not key or key.endswith("/"):
            key += f"{OWN_PREFIX}probe"
        target = {"Bucket": self._location.bucket, "Key": key}
        try:
            client = s3_client(self._location.conn_id)
            upload = client.create_multipart_upload(**target)
        except Exception as error:  # noqa: BLE001
            if error_code(error) in ("NotImplemented", "501"):
                return
            raise explain(error, self._location, DestinationError) from None
        with suppress(Exception):  # s3:AbortMultipartUpload may be denied; an upload without parts costs nothing
            client.abort_multipart_upload(**target, UploadId=upload["UploadId"])

    def stat(self) -> StoredFile | None:
        """Ask for the object's head."""
        _require_key(self._location, DestinationError)
        try:
            return _head(s3_client(self._location.conn_id), self._location)
        except Exception as error:  # noqa: BLE001
            raise explain(error, self._location, DestinationError) from None

    def write(self, body: Reader, *, size: int | None, content_type: str) -> StoredFile:
        """Put the object while its bytes arrive; by way of a temporary file where the client cannot stream.

        An MD5 that the sender vouches for is given to S3, which publishes nothing else; without https it is computed here.
        """
        _require_key(self._location, DestinationError)
        reader = checked(body, name=self.uri, size=size)
        try:
            client = s3_client(self._location.conn_id)
            md5 = self._vouched(client, reader)
            if reader.size is None or not can_stream(client):
                with temporary_file(reader, self.uri) as file:
                    answer = self._put(client, file, reader.taken, content_type, md5)
            else:
                answer = self._put(client, reader, reader.size, content_type, md5)
        except AutoenhanceError:
            raise
        except Exception as error:  # noqa: BLE001
            if reader.error is not None:
                raise reader.error from None
            raise explain(error, self._location, DestinationError) from None
        return self._compare(client, answer, reader, md5)

    def _vouched(self, client: Any, reader: CheckedReader) -> str | None:
        """Prepare a reader for the way to this store; return the MD5 that the store is to check."""
        if not client.meta.endpoint_url.startswith("https:"):
            reader.track("md5")
        elif _EXPRESS_BUCKET not in self._location.bucket:
            return reader.hand_over("md5")
        return None

    def _put(self, client: Any, body: Any, size: int, content_type: str, md5: str | None) -> dict[str, Any]:
        options = {"ContentMD5": base64.b64encode(bytes.fromhex(md5)).decode()} if md5 else {}
        answer: dict[str, Any] = client.put_object(
            Bucket=self._location.bucket,
            Key=self._location.key,
            Body=body,
            ContentLength=size,
            ContentType=content_type,
            **options,
        )
        return answer

    def _compare(self, client: Any, answer: dict[str, Any], reader: CheckedReader, md5: str | None) -> StoredFile:
        found = _stored(self.uri, answer, size=reader.taken)
        md5 = md5 or reader.hexdigest("md5")
        stored = StoredFile(self.uri, reader.taken, etag=found.etag, md5=md5, sha256=reader.hexdigest())
        if _EXPRESS_BUCKET in self._location.bucket or None in (md5, found.md5) or found.md5 == md5:
            return stored
        with suppress(Exception):
            client.delete_object(Bucket=self._location.bucket, Key=self._location.key)
        raise IntegrityError(
            f"{self.uri}: the store kept other bytes than were sent (ETag {found.md5}, MD5 {md5}). "
            "The object was removed; try again."
        )


def _head(client: Any, location: Location) -> StoredFile | None:
    try:
        answer = client.head_object(Bucket=location.bucket, Key=location.key)
    except Exception as error:
        if error_code(error) in ("404", "NoSuchKey", "NotFound"):
            return None
        raise
    return _stored(location.uri, answer, size=answer["ContentLength"])


def _stored(uri: str, answer: dict[str, Any], *, size: int) -> StoredFile:
    etag = clean_etag(answer.get("ETag"))
    return StoredFile(uri, size, etag=etag, md5=_md5(answer, etag), modified=answer.get("LastModified"))


def _md5(answer: dict[str, Any], etag: str | None) -> str | None:
    """An ETag is the MD5 of the bytes unless the object came in parts or is encrypted with a KMS or customer key.

    A listing does not tell about encryption, so only answers to GET, HEAD and PUT can vouch.
    """
    if "ResponseMetadata" not in answer or not etag or not _PLAIN_MD5.fullmatch(etag):
        return None
    encryption = answer.get("ServerSideEncryption") or "AES256"
    return etag if encryption == "AES256" and not answer.get("SSECustomerAlgorithm") else None


def _require_key(location: Location, kind: type[AutoenhanceError]) -> None:
    if not location.key or location.key.endswith("/"):
        raise kind(f"{location.uri} names a bucket or folder, not an object. Write s3://bucket/folder/photo.jpg.")
