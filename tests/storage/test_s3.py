from __future__ import annotations

import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from airflow_provider_autoenhance.api.errors import (
    AutoenhanceError,
    ConnectionConfigError,
    DestinationError,
    IntegrityError,
    ServerError,
    SourceError,
    UnreachableError,
)
from airflow_provider_autoenhance.storage import (
    CheckedReader,
    list_files,
    open_destination,
    open_source,
    s3_client,
)
from airflow_provider_autoenhance.storage.s3 import S3Destination
from airflow_provider_autoenhance.storage.s3_client import forget_clients

from .conftest import BUCKET, aws_connection

PHOTO = os.urandom(3_000_001)


def keys(client: Any) -> list[str]:
    return [item["Key"] for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


class OneWay:
    """A stream, as a download is one: no length, no seek."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.largest = 0

    def read(self, n: int = -1, /) -> bytes:
        self.largest = max(self.largest, n)
        return self._file.read(n)


class TestReading:
    def test_gives_the_bytes_and_what_is_known_about_them(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="42/kitchen.jpg", Body=PHOTO)
        with open_source(f"s3://{BUCKET}/42/kitchen.jpg") as source:
            assert (source.uri, source.name) == (f"s3://{BUCKET}/42/kitchen.jpg", "kitchen.jpg")
            assert len(source) == source.size == len(PHOTO)
            assert source.etag == source.file.md5 == hashlib.md5(PHOTO).hexdigest()
            assert source.modified is not None
            assert source.peek(16) == PHOTO[:16]
            assert source.read(5) == PHOTO[:5]
            assert source.read() == PHOTO[5:]
            assert source.read(10) == b""

    @pytest.mark.parametrize(
        "key", ["a b/ü#1?.jpg", "a%20b.jpg", "/leading.jpg", "a//b.jpg", "+&=;.jpg", "Screenshot at 9.41\u202fAM.png"]
    )
    def test_keys_are_taken_literally(self, s3: Any, key: str) -> None:
        destination = open_destination(f"s3://{BUCKET}/{key}")
        destination.write(io.BytesIO(b"x"), size=1, content_type="image/jpeg")
        assert keys(s3) == [key]
        with open_source(f"s3://{BUCKET}/{key}") as source:
            assert source.read() == b"x"
        assert destination.stat() is not None

    def test_a_connection_inside_the_uri_is_used_and_not_shown(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        s3.put_object(Bucket=BUCKET, Key="a.jpg", Body=b"x")
        monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
        with open_source(f"s3://other@{BUCKET}/a.jpg") as source:
            assert source.read() == b"x"
            assert "other" not in source.uri

    @pytest.mark.parametrize(
        ("uri", "says"),
        [
            (f"s3://{BUCKET}/missing.jpg", "does not exist"),
            ("s3://no-such-bucket/a.jpg", "no bucket 'no-such-bucket'"),
            ("s3://UPPER_not_a_bucket!/a.jpg", "Check the bucket's name"),
            (f"s3://{BUCKET}", "not an object"),
            (f"s3://{BUCKET}/folder/", "not an object"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, s3: Any, uri: str, says: str) -> None:
        with pytest.raises(SourceError) as caught:
            open_source(uri)
        assert says in str(caught.value)
        assert uri in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_without_credentials_the_connection_is_named(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in os.environ if name.startswith(("AWS_ACCESS", "AWS_SECRET", "AWS_PROFILE"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        monkeypatch.setenv("AIRFLOW_CONN_EMPTY", '{"conn_type": "aws"}')
        with pytest.raises(SourceError, match=r"no AWS credentials.*'empty'"):
            open_source(f"s3://{BUCKET}/a.jpg", conn_id="empty")

    def test_no_server_is_worth_a_retry(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        nobody = aws_connection("http://127.0.0.1:9", config_kwargs={"retries": {"max_attempts": 0}})
        monkeypatch.setenv("AIRFLOW_CONN_NOBODY", nobody)
        with pytest.raises(UnreachableError) as caught:
            open_source(f"s3://{BUCKET}/a.jpg", conn_id="nobody")
        assert caught.value.retryable

    def test_a_body_that_breaks_off_is_worth_a_retry(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        s3.put_object(Bucket=BUCKET, Key="a.jpg", Body=PHOTO)
        with open_source(f"s3://{BUCKET}/a.jpg") as source:
            source.read(1000)

            def broken(n: int) -> bytes:
                raise ReadTimeoutError(endpoint_url="http://s3/a.jpg?X-Amz-Signature=abc")

            monkeypatch.setattr(source._body, "read", broken)
            with pytest.raises(UnreachableError) as caught:
                source.read(1000)
        assert "Signature" not in str(caught.value)


class TestWriting:
    @pytest.mark.parametrize("size_known", [True, False])
    def test_stores_a_stream_and_vouches_for_it(self, s3: Any, size_known: bool) -> None:
        stream = OneWay(PHOTO)
        destination = open_destination(f"s3://{BUCKET}/out/a.jpg")
        stored = destination.write(stream, size=len(PHOTO) if size_known else None, content_type="image/jpeg")
        assert stored.sha256 == hashlib.sha256(PHOTO).hexdigest()
        assert stored.etag == hashlib.md5(PHOTO).hexdigest()
        assert (stored.uri, stored.size) == (f"s3://{BUCKET}/out/a.jpg", len(PHOTO))
        answer = s3.get_object(Bucket=BUCKET, Key="out/a.jpg")
        assert answer["Body"].read() == PHOTO
        assert answer["ContentType"] == "image/jpeg"
        assert stream.largest <= 1 << 20

    def test_an_empty_body_is_stored(self, s3: Any) -> None:
        assert open_destination(f"s3://{BUCKET}/e").write(io.BytesIO(), size=0, content_type="text/plain").size == 0
        assert keys(s3) == ["e"]

    def test_moves_a_source_without_a_copy(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="in.jpg", Body=PHOTO)
        with open_source(f"s3://{BUCKET}/in.jpg") as source:
            open_destination(f"s3://{BUCKET}/out.jpg").write(source, size=source.size, content_type="image/jpeg")
        assert s3.get_object(Bucket=BUCKET, Key="out.jpg")["Body"].read() == PHOTO

    @pytest.mark.parametrize(
        ("data", "size", "digests"),
        [
            (PHOTO[:-1], len(PHOTO), {}),
            (PHOTO + b"x", len(PHOTO), {}),
            (PHOTO, len(PHOTO), {"md5": "0" * 32}),
            (PHOTO[:1000], 1001, {}),
            (PHOTO, None, {"sha256": "0" * 64}),
        ],
        ids=["cut", "too long", "altered", "cut and small", "altered, size unknown"],
    )
    def test_nothing_is_published_of_a_damaged_body(
        self, s3: Any, data: bytes, size: int | None, digests: dict[str, str]
    ) -> None:
        s3.put_object(Bucket=BUCKET, Key="a.jpg", Body=b"the earlier one")
        body = CheckedReader(OneWay(data), name="kitchen.jpg", size=size, digests=digests)
        with pytest.raises(IntegrityError, match=r"kitchen\.jpg"):
            open_destination(f"s3://{BUCKET}/a.jpg").write(body, size=size, content_type="image/jpeg")
        assert s3.get_object(Bucket=BUCKET, Key="a.jpg")["Body"].read() == b"the earlier one"

    def test_a_sender_that_breaks_off_is_worth_a_retry(self, s3: Any) -> None:
        class Broken(OneWay):
            def read(self, n: int = -1, /) -> bytes:
                if block := super().read(n):
                    return block
                raise ConnectionResetError("https://host/a?sig=secret")

        with pytest.raises(UnreachableError) as caught:
            open_destination(f"s3://{BUCKET}/a.jpg").write(
                Broken(PHOTO), size=len(PHOTO) + 1, content_type="image/jpeg"
            )
        assert "secret" not in str(caught.value)
        assert keys(s3) == []

    def test_the_store_keeping_other_bytes_is_noticed(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def altering(self: S3Destination, client: Any, body: Any, *_: Any) -> Any:
            body.read()
            return client.put_object(Bucket=BUCKET, Key="a.jpg", Body=b"something else")

        monkeypatch.setattr(S3Destination, "_put", altering)
        with pytest.raises(IntegrityError, match="other bytes"):
            open_destination(f"s3://{BUCKET}/a.jpg").write(OneWay(PHOTO), size=len(PHOTO), content_type="image/jpeg")
        assert keys(s3) == []

    def test_a_kms_etag_is_no_digest(self, s3: Any) -> None:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
        destination = open_destination(f"s3://{BUCKET}/a.jpg")
        assert destination.write(OneWay(PHOTO), size=len(PHOTO), content_type="image/jpeg").size == len(PHOTO)
        found = destination.stat()
        assert found is not None
        assert found.md5 is None

    @pytest.mark.parametrize("name", ["botocore.compat.HAS_CRT", "signed payload", "checksums"])
    def test_a_client_that_cannot_stream_gets_a_file(
        self, s3: Any, s3_address: str, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        seen: list[Any] = []
        original = S3Destination._put

        def spy(self: S3Destination, client: Any, body: Any, *rest: Any) -> Any:
            seen.append(body.seekable())
            return original(self, client, body, *rest)

        monkeypatch.setattr(S3Destination, "_put", spy)
        chosen: dict[str, dict[str, Any]] = {
            "signed payload": {"s3": {"payload_signing_enabled": True}},
            "checksums": {"request_checksum_calculation": "when_supported"},
        }
        if name in chosen:
            monkeypatch.setenv("AIRFLOW_CONN_OTHER", aws_connection(s3_address, config_kwargs=chosen[name]))
        else:
            monkeypatch.setattr(name, True)
        destination = open_destination(f"s3://{BUCKET}/a.jpg", conn_id="other")
        destination.write(OneWay(PHOTO), size=len(PHOTO), content_type="image/jpeg")
        assert seen == [True]
        assert s3.get_object(Bucket=BUCKET, Key="a.jpg")["Body"].read() == PHOTO

    def test_a_missing_bucket_is_named(self, s3: Any) -> None:
        destination = open_destination("s3://no-such-bucket/a.jpg")
        for act in (
            destination.check_writable,
            lambda: destination.write(io.BytesIO(b"x"), size=1, content_type="image/jpeg"),
        ):
            with pytest.raises(DestinationError, match="no bucket 'no-such-bucket'"):
                act()

    def test_a_folder_is_no_file(self, s3: Any) -> None:
        with pytest.raises(DestinationError, match="not an object"):
            open_destination(f"s3://{BUCKET}/a/").write(io.BytesIO(b"x"), size=1, content_type="image/jpeg")

    def test_announced_and_expected_size_must_agree(self, s3: Any) -> None:
        body = CheckedReader(io.BytesIO(b"abc"), name="a", size=3)
        with pytest.raises(IntegrityError, match="3 bytes announced, but 4 expected"):
            open_destination(f"s3://{BUCKET}/a").write(body, size=4, content_type="image/jpeg")


class TestLookingFirst:
    @pytest.mark.parametrize("key", ["a.jpg", "folder/", ""])
    def test_checking_leaves_nothing_behind(self, s3: Any, key: str) -> None:
        open_destination(f"s3://{BUCKET}/{key}").check_writable()
        assert keys(s3) == []
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)

    def test_a_denied_write_says_what_to_grant(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3, "create_multipart_upload", _refusing("AccessDenied", 403))
        with pytest.raises(DestinationError, match=r"Grant s3:PutObject.*'aws_default'"):
            open_destination(f"s3://{BUCKET}/a.jpg").check_writable()

    def test_a_store_without_multipart_is_given_the_benefit(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(s3, "create_multipart_upload", _refusing("NotImplemented", 501))
        open_destination(f"s3://{BUCKET}/a.jpg").check_writable()

    def test_stat(self, s3: Any) -> None:
        destination = open_destination(f"s3://{BUCKET}/a.jpg")
        assert destination.stat() is None
        s3.put_object(Bucket=BUCKET, Key="a.jpg", Body=b"abc")
        found = destination.stat()
        assert found is not None
        assert (found.size, found.etag) == (3, hashlib.md5(b"abc").hexdigest())


class TestListing:
    def test_pages_through_everything_and_skips_folder_marks(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        names = [f"42/{number:04}.jpg" for number in range(1005)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: s3.put_object(Bucket=BUCKET, Key=key, Body=b"x"), names))
        s3.put_object(Bucket=BUCKET, Key="42/")
        s3.put_object(Bucket=BUCKET, Key="42/sub/")
        s3.put_object(Bucket=BUCKET, Key="421/other.jpg")
        calls: list[str] = []
        s3.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
        found = list(list_files(f"s3://{BUCKET}/42"))
        assert [file.uri for file in found] == [f"s3://{BUCKET}/{name}" for name in names]
        assert calls == ["ListObjectsV2"] * 2
        assert {(file.size, file.etag) for file in found} == {(1, hashlib.md5(b"x").hexdigest())}

    def test_a_listed_file_has_the_etag_of_the_opened_one(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="42/a b#.jpg", Body=b"x")
        (found,) = list_files(f"s3://{BUCKET}")
        with open_source(found.uri) as source:
            assert (source.etag, source.size, source.name) == (found.etag, found.size, found.name)
            assert source.modified is not None
            assert found.modified is not None
            assert abs((source.modified - found.modified).total_seconds()) <= 1, "a listing's times are read by hand"

    def test_without_subfolders(self, s3: Any) -> None:
        for key in ("42/a.jpg", "42/sub/b.jpg"):
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        assert [file.name for file in list_files(f"s3://{BUCKET}/42/", recursive=False)] == ["a.jpg"]

    def test_patterns(self, s3: Any) -> None:
        for key in ("42/A.JPG", "42/a.txt", "42/drafts/b.jpg", "42/sub/c.jpeg", "43/d.jpg"):
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
        found = list_files(f"s3://{BUCKET}/42/", include=("*.jpg", "*.jpeg"), exclude=("drafts/*",))
        assert [file.name for file in found] == ["A.JPG", "c.jpeg"]

    def test_an_empty_folder_is_no_error(self, s3: Any) -> None:
        assert list(list_files(f"s3://{BUCKET}/nothing/here")) == []

    def test_a_single_object_lists_itself(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="42/a.jpg", Body=b"x")
        assert [file.name for file in list_files(f"s3://{BUCKET}/42/a.jpg")] == ["a.jpg"]

    def test_a_missing_bucket_is_an_error(self, s3: Any) -> None:
        with pytest.raises(SourceError, match="no bucket"):
            list(list_files("s3://no-such-bucket/42"))


def _refusing(code: str, status: int) -> Any:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Operation")

    return refuse


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        ("AccessDenied", 403, SourceError, "Grant s3:GetObject"),
        ("ExpiredToken", 400, SourceError, "credentials of connection 'aws_default'"),
        ("PermanentRedirect", 301, SourceError, "region_name"),
        ("InvalidObjectState", 403, SourceError, "Restore it"),
        ("SlowDown", 503, ServerError, "503 SlowDown"),
        ("InternalError", 500, ServerError, "try again"),
        ("TooManyRequests", 429, ServerError, "429"),
        ("Teapot", 418, SourceError, "418 Teapot"),
    ],
)
def test_answers_of_the_store(
    s3: Any, monkeypatch: pytest.MonkeyPatch, code: str, status: int, kind: type[AutoenhanceError], says: str
) -> None:
    monkeypatch.setattr(s3, "get_object", _refusing(code, status))
    with pytest.raises(kind, match=says) as caught:
        open_source(f"s3://{BUCKET}/a.jpg")
    assert caught.value.status_code == status
    assert caught.value.retryable is (kind is ServerError)


def test_a_lost_connection_while_listing_is_worth_a_retry(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: str) -> None:
        raise EndpointConnectionError(endpoint_url="http://s3")

    monkeypatch.setattr(s3, "get_paginator", lost)
    with pytest.raises(UnreachableError):
        list(list_files(f"s3://{BUCKET}/42"))


class TestClient:
    def test_threads_share_one_per_connection(self, s3: Any) -> None:
        with ThreadPoolExecutor(8) as pool:
            clients = set(map(id, pool.map(lambda _: s3_client.s3_client("other"), range(32))))
        assert len(clients) == 1
        assert id(s3_client.s3_client(None)) not in clients

    def test_a_changed_connection_is_noticed_in_time(self, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [1000.0]
        monkeypatch.setattr(s3_client.time, "monotonic", lambda: clock[0])
        forget_clients()
        first = s3_client.s3_client(None)
        clock[0] += 599
        assert s3_client.s3_client(None) is first
        clock[0] += 2
        assert s3_client.s3_client(None) is not first

    def test_the_connections_own_settings_stay(self, s3: Any, s3_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        chosen = {"s3": {"addressing_style": "path"}, "max_pool_connections": 100, "read_timeout": 7}
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", aws_connection(s3_address, config_kwargs=chosen))
        config = s3_client.s3_client("other").meta.config
        assert config.s3["addressing_style"] == "path"
        assert (config.max_pool_connections, config.read_timeout) == (100, 7)
        assert config.s3["payload_signing_enabled"] is False

    def test_what_a_bucket_demands_goes_with_each_request_that_takes_it(
        self, s3: Any, s3_address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who pays, encryption and owner, by the names of S3Hook's arguments; looked at on the wire."""
        asked = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/photos", "ACL": "bucket-owner-full-control"}
        connection = aws_connection(s3_address, extra_args=asked, requester_pays=True)
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", connection)
        sent: dict[str, dict[str, str]] = {}

        def note(request: Any, event_name: str, **_: Any) -> None:
            headers = {name.lower(): value for name, value in request.headers.items()}
            sent[event_name.rpartition(".")[2]] = {
                name: value if isinstance(value, str) else value.decode() for name, value in headers.items()
            }

        s3_client.s3_client("other").meta.events.register("before-send.s3", note)
        place = open_destination(f"s3://{BUCKET}/maple/a.jpg", conn_id="other")
        place.check_writable()
        place.write(io.BytesIO(b"x"), size=1, content_type="image/jpeg")
        place.stat()
        assert [file.size for file in list_files(f"s3://{BUCKET}/maple/", conn_id="other")] == [1]
        with open_source(f"s3://{BUCKET}/maple/a.jpg", conn_id="other") as source:
            assert source.read() == b"x"
        assert place.remove()
        assert len(sent) == 7
        assert {headers.get("x-amz-request-payer") for headers in sent.values()} == {"requester"}
        written = {"CreateMultipartUpload", "PutObject"}
        for name, value in (
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "alias/photos"),
            ("x-amz-acl", "bucket-owner-full-control"),
        ):
            assert {operation for operation, headers in sent.items() if headers.get(name) == value} == written

    @pytest.mark.parametrize(
        "extra",
        [{"extra_args": ["a"]}, {"extra_args": {"ServerSideEncription": "AES256"}}, {"requester_pays": "yes"}],
    )
    def test_what_boto3_does_not_take_is_said_by_name(
        self, s3: Any, s3_address: str, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any]
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", aws_connection(s3_address, **extra))
        with pytest.raises(ConnectionConfigError, match=f"'other'.*{next(iter(extra))}"):
            open_destination(f"s3://{BUCKET}/a.jpg", conn_id="other").check_writable()
