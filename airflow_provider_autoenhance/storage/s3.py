"""S3 through S3Hook's client: one streamed GET, one streamed PUT."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    DestinationError,
    IntegrityError,
    SourceError,
)
from airflow_provider_autoenhance.storage.base import (
    OWN_PREFIX,
    Destination,
    Reader,
    Source,
    Store,
    StoredFile,
    clean_etag,
)
from airflow_provider_autoenhance.storage.s3_client import can_stream, s3_client
from airflow_provider_autoenhance.storage.s3_errors import error_code, explain
from airflow_provider_autoenhance.storage.streams import CheckedReader, checked
from airflow_provider_autoenhance.storage.temporary import temporary_file

_PLAIN_MD5 = re.compile(r"[0-9a-f]{32}")
_EXPRESS_BUCKET = "--x-s3"

#: A bucket's name stands for the same bucket in all regions of each.
_AWS = (".amazonaws.com", ".amazonaws.com.cn")


class S3Store(Store):
    """An object, or a prefix, in a bucket."""

    def open(self) -> Source:
        """Open an object for reading, in one GET."""
        answer = self._get()
        body = answer["Body"]
        return self.source(_stored(self.location.uri, answer, size=answer["ContentLength"]), body).on_close(body.close)

    def read_range(self, offset: int, length: int) -> bytes:
        """Read some bytes from within an object, in one GET."""
        body = self._get(Range=f"bytes={offset}-{offset + length - 1}")["Body"]
        with self.explained(SourceError):
            return bytes(body.read())

    def list(self, *, recursive: bool, strict: bool) -> Iterator[StoredFile]:
        """Yield the objects under a prefix in key order, 1,000 per request; an object's own URI yields that object."""
        bucket, key = self.location.bucket, self.location.key
        prefix = key and key.rstrip("/") + "/"
        options = {} if recursive else {"Delimiter": "/"}
        empty = True
        with self.explained(SourceError):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **options):
                for item in page.get("Contents", ()):
                    empty = False
                    if not item["Key"].endswith("/"):
                        yield _stored(f"s3://{bucket}/{item['Key']}", item, size=item["Size"])
            if empty and key and not key.endswith("/") and (found := self.head()):
                yield found

    def has_anything(self) -> bool:
        """Whether an object lies under the prefix, or its marker does: consoles make an empty one called as the folder."""
        with self.explained(SourceError):
            return super().has_anything() or (bool(self.location.key) and self.head() is not None)

    def destination(self) -> Destination:
        """Name the object for writing."""
        return S3Destination(self)

    def explain(self, error: Exception, kind: type[AutoenhanceError]) -> AutoenhanceError:
        """Say what botocore's exception means."""
        return explain(error, self.location, kind)

    @property
    def service(self) -> str:
        """The server: AWS, of whichever region, or another one's host and port."""
        with self.explained(SourceError):
            server = urlsplit(self.client.meta.endpoint_url)
        host = (server.hostname or "").lower()
        aws = next((name for name in _AWS if host.endswith(name)), None)
        if host == "localhost" or host.startswith("127.") or host == "::1":
            host = "loopback"
        return aws or f"{host}:{server.port or server.scheme}"

    @property
    def client(self) -> Any:
        """The client that the threads of a task share."""
        return s3_client(self.location.conn_id)

    def head(self) -> StoredFile | None:
        """What is known about the object, ``None`` when it does not exist."""
        try:
            answer = self.client.head_object(Bucket=self.location.bucket, Key=self.location.key)
        except Exception as error:
            if error_code(error) in ("404", "NoSuchKey", "NotFound"):
                return None
            raise
        return _stored(self.location.uri, answer, size=answer["ContentLength"])

    def require_key(self, kind: type[AutoenhanceError]) -> None:
        """Refuse a bucket or folder where an object is needed."""
        if not self.location.key or self.location.key.endswith("/"):
            raise kind(
                f"{self.location.uri} names a bucket or folder, not an object. Write s3://bucket/folder/photo.jpg."
            )

    def _get(self, **options: str) -> dict[str, Any]:
        self.require_key(SourceError)
        with self.explained(SourceError):
            answer: dict[str, Any] = self.client.get_object(
                Bucket=self.location.bucket, Key=self.location.key, **options
            )
            return answer


class S3Destination(Destination):
    """An object, put in one request."""

    _store: S3Store

    def check_writable(self) -> None:
        """Begin a multipart upload and abort it: needs the same permission as a put and leaves nothing."""
        key = self._location.key
        if not key or key.endswith("/"):
            key += f"{OWN_PREFIX}probe"
        target = {"Bucket": self._location.bucket, "Key": key}
        with self._store.explained(DestinationError):
            client = self._store.client
            try:
                upload = client.create_multipart_upload(**target)
            except Exception as error:
                if error_code(error) in ("NotImplemented", "501"):
                    return
                raise
        with suppress(Exception):  # s3:AbortMultipartUpload may be denied; an upload without parts costs nothing
            client.abort_multipart_upload(**target, UploadId=upload["UploadId"])

    @property
    def copies_first(self) -> bool:
        """Where the client cannot stream."""
        with self._store.explained(DestinationError):
            return not can_stream(self._store.client)

    def stat(self) -> StoredFile | None:
        """Ask for the object's head."""
        self._store.require_key(DestinationError)
        with self._store.explained(DestinationError):
            return self._store.head()

    def remove(self) -> bool:
        """Delete the object; ``s3:DeleteObject`` may be denied."""
        try:
            self._store.client.delete_object(Bucket=self._location.bucket, Key=self._location.key)
        except Exception:  # noqa: BLE001 - why it stays does not matter
            return False
        return True

    def write(self, body: Reader, *, size: int | None, content_type: str) -> StoredFile:
        """Put the object while its bytes arrive; by way of a temporary file where the client cannot stream.

        An MD5 that the sender vouches for is given to S3, which publishes nothing else; without https it is computed here.
        """
        self._store.require_key(DestinationError)
        reader = checked(body, name=self.uri, size=size)
        with self._store.explained(DestinationError):
            client = self._store.client
            md5 = self._vouched(client, reader)
            try:
                if reader.size is None or not can_stream(client):
                    with temporary_file(reader, self.uri) as file:
                        answer = self._put(client, file, reader.taken, content_type, md5)
                else:
                    answer = self._put(client, reader, reader.size, content_type, md5)
            except Exception:
                if reader.error is not None:  # botocore has wrapped it
                    raise reader.error from None
                raise
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


def _stored(uri: str, answer: dict[str, Any], *, size: int) -> StoredFile:
    etag, changed = clean_etag(answer.get("ETag")), answer.get("LastModified")
    # botocore gives each time a time zone of its own, which takes more memory than all else of a listed file.
    modified = changed.astimezone(UTC) if changed else None
    return StoredFile(uri, size, etag=etag, md5=_md5(answer, etag), modified=modified)


def _md5(answer: dict[str, Any], etag: str | None) -> str | None:
    """An ETag is the MD5 of the bytes unless the object came in parts or is encrypted with a KMS or customer key.

    A listing does not show the encryption, so only answers to GET, HEAD and PUT can vouch.
    """
    if "ResponseMetadata" not in answer or not etag or not _PLAIN_MD5.fullmatch(etag):
        return None
    encryption = answer.get("ServerSideEncryption") or "AES256"
    return etag if encryption == "AES256" and not answer.get("SSECustomerAlgorithm") else None
