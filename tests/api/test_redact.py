"""What somebody else wrote is shown without credentials, on one line."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.api.errors import ServerError
from airflow_provider_autoenhance.api.redact import clean_text, redact_text, redact_url

SECRET = "s3cr3tValue%2B1"


@pytest.mark.parametrize(
    "query",
    [
        f"AWSAccessKeyId=ASIAEXAMPLE&Signature={SECRET}&Expires=1790000000",
        f"content-type=image/jpeg&Signature={SECRET}&x-amz-security-token={SECRET}",
        f"x-amz-meta-image_id=1&Signature={SECRET}&AWSAccessKeyId={SECRET}&Expires=1790000000",
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={SECRET}",
        f"GoogleAccessId=a@b&Signature={SECRET}",
        f"sv=2024-01-01&sig={SECRET}",
        f"Policy={SECRET}&Key-Pair-Id=K2",
        f"api_key={SECRET}",
        f"access_token={SECRET}",
    ],
)
@pytest.mark.parametrize(
    "address", ["https://host.example/a.jpg?", "HTTP://host.example?", "//host.example/a.jpg?", "host.example/a.jpg?"]
)
def test_a_signed_address_loses_what_signs_it_wherever_it_stands(address: str, query: str) -> None:
    assert SECRET not in redact_url(address + query)
    assert SECRET not in redact_text(f"could not read ({address}{query})")
    assert SECRET not in redact_text(f"rest of a broken address {query}")


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{SECRET}@host.example/a",
        f"s3://AKIA:{SECRET}@bucket/key",
        f"x-api-key: {SECRET}",
        f"'x-api-key': '{SECRET}'",
    ],
)
def test_credentials_of_other_kinds_go_too(text: str) -> None:
    assert SECRET not in redact_text(f"before {text} after")


@pytest.mark.parametrize(
    "text",
    [
        "s3://photos/house #4?.jpg",
        "s3://photos/what is monkey=1?.jpg",
        "/data/a?b=c.jpg",
        "key: value",
        "Flat key=3-ab12cd34.jpg",
        "token=yes, password=no",
        "The sky is too dark: use another photo.",
    ],
)
def test_ordinary_names_and_words_stay(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "address",
    [
        "https://www.dropbox.example/scl/House%20(1).jpg?rlkey=s3cr3t&dl=1",
        "https://h.example/a's.jpg?hdnts=exp=1~hmac=s3cr3t",
        "https://h.example/[1].jpg?h=s3cr3t",
        "https://user:it's3cr3t@h.example/a.jpg",
        "https://user:s3cr3t)x@h.example/a.jpg",
        "photo_https://h.example/a.jpg?h=s3cr3t",
    ],
)
def test_characters_that_file_names_have_do_not_end_an_address(address: str) -> None:
    for text in (address, f"({address})", f"see {address}, then try again", repr({"source": address})):
        assert "s3cr3t" not in redact_text(text)
    assert redact_text("(see https://h.example/a.jpg?x=1), then").endswith("a.jpg), then")


@pytest.mark.parametrize(
    "text", ["a." * 200_000 + " ://", "://" * 100_000, "?a=" * 100_000, "x-amz-" * 100_000 + "=", "http" * 100_000]
)
def test_cleaning_takes_time_in_proportion_to_the_text(text: str) -> None:
    """Quadratic, each of these would take hours; the test run's own limit would end it."""
    clean_text(text)


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


@given(st.text())
def test_text_from_outside_is_one_line_that_can_be_written(text: str) -> None:
    cleaned = clean_text(text)
    assert len(cleaned.splitlines()) <= 1
    assert "\x1b" not in cleaned
    cleaned.encode()


def test_an_error_is_one_line_and_stays_it_when_it_is_pickled() -> None:
    error = ServerError("first\n[2026-11-26] {taskinstance.py} ERROR - forged\x1b[31m", status_code=500)
    again = pickle.loads(pickle.dumps(error))
    assert str(error) == "first [2026-11-26] {taskinstance.py} ERROR - forged [31m"
    assert (str(again), again.status_code) == (str(error), 500)
