"""The upload endpoint refuses what S3 refuses."""

from __future__ import annotations

import base64
import hashlib
import http.client
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.api import Api, signed_type, upload_url
from tests.support.pictures import photo
from tests.support.sandbox import Sandbox

DATA = photo()


@pytest.fixture
def url(api: Api) -> str:
    return str(api.create("kitchen.jpg")["upload_url"])


def test_the_url_looks_like_a_presigned_one(url: str, sandbox: Sandbox) -> None:
    query = parse_qs(urlsplit(url).query)
    assert url.startswith(sandbox.asset_url)
    assert query["content-type"] == ["image/jpeg"]
    assert 3500 < int(query["Expires"][0]) - time.time() <= 3600
    assert {"AWSAccessKeyId", "x-amz-meta-image_id", "x-amz-security-token"} <= query.keys()
    assert len(base64.b64decode(query["Signature"][0])) == 20


def test_a_good_upload_gets_the_etag_of_its_bytes(api: Api, url: str) -> None:
    answer = api.put(url, DATA)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"] == f'"{hashlib.md5(DATA).hexdigest()}"'
    assert answer.headers["x-amz-request-id"]


@pytest.mark.parametrize("content_type", ["image/jpeg", "application/octet-stream"])
@pytest.mark.parametrize("version", ["2024-06-30", "2025-05-05", "2026-11-09"])
def test_without_a_type_at_creation_the_guess_goes_through_and_octet_stream(
    sandbox: Sandbox, version: str, content_type: str
) -> None:
    with Api(sandbox, version) as api:
        url = upload_url(api.create("kitchen.jpg"))
        assert api.plain.put(url, content=DATA, headers={"Content-Type": content_type}).status_code == 200


@pytest.mark.parametrize(
    ("content_type", "status"), [("image/jpeg", 403), ("application/octet-stream", 403), ("image/png", 200)]
)
def test_a_type_given_at_creation_is_the_only_one(sandbox: Sandbox, content_type: str, status: int) -> None:
    with Api(sandbox, "2025-01-01") as api:
        url = upload_url(api.create("kitchen.jpg", contentType="image/png"))
        assert signed_type(url) == "image/png"
        assert api.plain.put(url, content=DATA, headers={"Content-Type": content_type}).status_code == status


def test_the_url_may_leave_the_type_out(api: Api, sandbox: Sandbox) -> None:
    sandbox.settings(upload_url_names_type=False)
    url = upload_url(api.create("kitchen.jpg"))
    assert "content-type" not in url
    assert api.put(url, DATA).status_code == 200


@pytest.mark.parametrize("content_type", ["image/png", "", "image/jpeg; charset=binary"])
def test_another_content_type_breaks_the_signature(api: Api, url: str, content_type: str) -> None:
    answer = api.plain.put(url, content=DATA, headers={"Content-Type": content_type})
    assert answer.status_code == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in answer.text


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("&Signature=", "&Signature=0", "SignatureDoesNotMatch"),
        ("Expires=", "Expires=1", "SignatureDoesNotMatch"),
        ("content-type=image%2Fjpeg", "content-type=image%2Fpng", "SignatureDoesNotMatch"),
        ("&Signature=", "&X-Amz-Signature=", "AccessDenied"),
        ("AWSAccessKeyId=", "Key=", "AccessDenied"),
        ("/uploads/", "/uploads/0", "SignatureDoesNotMatch"),
    ],
)
def test_a_changed_url_is_refused(api: Api, url: str, old: str, new: str, code: str) -> None:
    answer = api.plain.put(url.replace(old, new, 1), content=DATA, headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 403
    assert f"<Code>{code}</Code>" in answer.text


def test_a_chunked_body_is_not_implemented(api: Api, url: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield DATA

    answer = api.plain.put(url, content=chunks(), headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 501
    assert "NotImplemented" in answer.text


def test_a_missing_content_length_is_refused(url: str) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.putrequest("PUT", f"{parts.path}?{parts.query}")
    connection.putheader("Content-Type", "image/jpeg")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 411
    assert b"MissingContentLength" in answer.read()
    connection.close()


def test_a_wrong_content_md5_is_a_bad_digest(api: Api, url: str, sandbox: Sandbox) -> None:
    wrong = base64.b64encode(hashlib.md5(b"else").digest()).decode()
    assert "BadDigest" in api.put(url, DATA, **{"Content-MD5": wrong}).text
    assert sandbox.ledger()["uploads"] == []
    right = base64.b64encode(hashlib.md5(DATA).digest()).decode()
    assert api.put(url, DATA, **{"Content-MD5": right}).status_code == 200


def test_a_file_above_the_limit_is_too_large(api: Api, url: str, sandbox: Sandbox) -> None:
    sandbox.settings(max_upload_bytes=100)
    answer = api.put(url, DATA)
    assert (answer.status_code, "EntityTooLarge" in answer.text) == (400, True)


def test_an_upload_cut_short_leaves_nothing(url: str, api: Api, sandbox: Sandbox) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.putrequest("PUT", f"{parts.path}?{parts.query}")
    connection.putheader("Content-Type", "image/jpeg")
    connection.putheader("Content-Length", str(len(DATA)))
    connection.endheaders(DATA[:100])
    connection.close()
    books = sandbox.ledger()
    assert (books["uploads"], books["images"][0]["status"]) == ([], "waiting")
    assert api.put(url, DATA).status_code == 200


def test_only_put_is_allowed(api: Api, url: str) -> None:
    assert api.plain.get(url).status_code == 405
    assert "NoSuchKey" in api.plain.get(urlsplit(url)._replace(path="/nothing").geturl()).text


def test_the_type_follows_the_extension(api: Api) -> None:
    for name, expected in {
        "a.dng": "image/x-adobe-dng",
        "a.HEIC": "image/heic",
        "a.CR3": "image/x-canon-cr3",
        "a": "application/octet-stream",
    }.items():
        assert signed_type(api.create(name)["upload_url"]) == expected


def test_a_key_sent_to_the_upload_host_is_noticed(api: Api, url: str, sandbox: Sandbox) -> None:
    api.put(url, DATA, **{"x-api-key": sandbox.api_key})
    assert urlsplit(sandbox.asset_url).netloc in sandbox.ledger()["api_key_hosts"]
