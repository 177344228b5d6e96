"""Log records: this package's cannot be forged, and no library's shows a credential."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_autoenhance.api.errors import SourceError
from airflow_provider_autoenhance.api.models import parse_created_image
from airflow_provider_autoenhance.api.quiet import quiet_logs
from airflow_provider_autoenhance.storage.location import locate

SECRET = "c2VjcmV0"
URL = f"https://bucket.example/a.jpg?AWSAccessKeyId=ASIA{SECRET}&Signature={SECRET}%3D&Expires=1790000000"
REQUEST = f"<Request url={URL}, headers={{'x-api-key': '{SECRET}', 'Authorization': b'AWS4 Credential={SECRET}/s3, Signature={SECRET}'}}>"


@pytest.fixture(autouse=True)
def plain_records() -> Iterator[None]:
    """As in a process that has not met an address yet."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize(
    ("logger", "words"),
    [
        ("urllib3.connectionpool", ('%s://%s:%s "%s %s %s" %s %s', "https", "h", 443, "PUT", f"/a?t={SECRET}", "HTTP/1.1", 200, 0)),
        ("urllib3.connectionpool", ("Failed to parse headers (url=%s): %s", URL, ["x"])),
        ("urllib3.util.retry", ("Incremented Retry for (url='%s'): %r", f"/a?{SECRET}", 3)),
        ("httpx", ('HTTP Request: %s %s "%s"', "GET", URL, "HTTP/1.1 200 OK")),
        ("httpcore.http11", ("receive_response_headers.complete return_value=%r", [(b"Location", URL.encode())])),
        ("httpcore.http11", ("receive_response_headers.complete return_value=%r", [(b"Set-Cookie", SECRET.encode())])),
        ("botocore.endpoint", ("Sending http request: %s", REQUEST)),
        ("botocore.auth", ("Signature:\n%s", SECRET)),
        ("botocore.auth", ("CanonicalRequest:\n%s", f"PUT\nx-amz-security-token:{SECRET}\nauthorization:Basic {SECRET}")),
        ("botocore.parsers", ("Response body:\n%s", f"<SecretAccessKey>{SECRET}</SecretAccessKey>")),
        ("fsspec.http", ("Fetch range for %s", URL)),
        ("another.package", ("nothing here",)),
        ("airflow_provider_autoenhance.storage.http", ("Read %s", URL)),
        ("airflow.task.hooks.airflow_provider_autoenhance.hooks.autoenhance.AutoenhanceHook", ("Sent %s", REQUEST)),
    ],
)  # fmt: skip
def test_no_record_shows_a_credential(logger: str, words: tuple[Any, ...], caplog: pytest.LogCaptureFixture) -> None:
    quiet_logs()
    with caplog.at_level(logging.DEBUG, logger):
        logging.getLogger(logger).debug(*words)
    assert SECRET not in caplog.text
    assert len(caplog.messages[0].splitlines()) == 1


def test_a_traceback_keeps_its_places_and_loses_its_credentials(caplog: pytest.LogCaptureFixture) -> None:
    quiet_logs()
    for text in (f"Max retries exceeded with url: /a?{SECRET}\nINFO forged", "plain"):
        try:
            _broken(text)
        except OSError:
            logging.getLogger("urllib3.connectionpool").exception("It broke")
    told, plain = caplog.records
    assert SECRET not in caplog.text
    assert "\nINFO" not in caplog.text
    assert "in _broken" in told.getMessage()
    assert told.exc_info is None
    assert plain.exc_info is not None


def _broken(text: str) -> None:
    raise OSError(text)


def test_others_records_stay_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    quiet_logs()
    logging.getLogger("somebody.else").warning("see %s\n", URL)
    assert caplog.records[0].args == (URL,)


def test_own_records_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    quiet_logs()
    logging.getLogger("airflow_provider_autoenhance.pipeline.batch.engine").warning(
        "Failed: %s", "a\n[ERROR] forged\x1b[2J\u2028b.jpg"
    )
    assert caplog.messages == ["Failed: a [ERROR] forged [2J b.jpg"]


def test_a_wrong_format_is_the_handlers_to_complain_of() -> None:
    quiet_logs()
    record = logging.getLogger("urllib3").makeRecord("urllib3", logging.INFO, "f", 1, "%s %s", ("one",), None)
    assert record.args == ("one",)


def test_it_is_installed_once_and_again_where_another_took_its_place() -> None:
    quiet_logs()
    mine = logging.getLogRecordFactory()
    quiet_logs()
    assert logging.getLogRecordFactory() is mine

    def wrapped(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return mine(*args, **kwargs)

    logging.setLogRecordFactory(wrapped)
    quiet_logs()
    assert logging.getLogRecordFactory() is wrapped
    logging.setLogRecordFactory(logging.LogRecord)
    quiet_logs()
    assert logging.getLogRecordFactory() is not logging.LogRecord


@pytest.mark.parametrize(
    "meet",
    [
        lambda: locate(URL, conn_id=None, error=SourceError),
        lambda: locate("s3://listings/maple/", conn_id=None, error=SourceError),
        lambda: parse_created_image({"image_id": "1", "upload_url": URL}),
    ],
    ids=["a source", "a bucket", "an upload URL"],
)
def test_records_are_clean_from_the_first_address_on(meet: Any, caplog: pytest.LogCaptureFixture) -> None:
    meet()
    with caplog.at_level(logging.DEBUG, "urllib3"):
        logging.getLogger("urllib3.connectionpool").debug("GET %s", URL)
    assert SECRET not in caplog.text
