"""Retries, redirects and classification, driven without a network."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.api import calls, errors
from airflow_provider_autoenhance.api.answers import Answer, error_of, read, retry_after
from airflow_provider_autoenhance.api.exchange import NoAnswer, Patience, Pause, Send, Steps, exchange, open_download
from airflow_provider_autoenhance.api.models import parse_order_page

BASE = "https://api.example"
PATIENCE = Patience(max_attempts=4, jitter=lambda: 1.0)


def drive(steps: Steps[Any], answers: Iterator[Answer | NoAnswer]) -> tuple[Any, list[Send], list[float]]:
    """Play answers into an exchange; return its result or error, what was sent, and the waits."""
    sent: list[Send] = []
    waits: list[float] = []
    answer: Answer | NoAnswer | None = None
    try:
        while True:
            step = steps.send(answer)
            if isinstance(step, Pause):
                waits.append(step.seconds)
                answer = None
            else:
                sent.append(step)
                answer = next(answers)
    except StopIteration as finished:
        return finished.value, sent, waits
    except errors.AutoenhanceError as error:
        return error, sent, waits


def json_answer(body: bytes = b'{"image_id": "i", "upload_url": "u"}', status: int = 200, **headers: str) -> Answer:
    return Answer(status, {"content-type": "application/json", **headers}, body)


GET = calls.retrieve_image("i")
POST = calls.create_image("a.jpg")
OK = json_answer()


@pytest.mark.parametrize(
    "bad", [json_answer(status=500), json_answer(status=429), Answer(503, {}, b"<html>"), NoAnswer("reset")]
)
def test_a_repeatable_call_outlives_passing_faults(bad: Answer | NoAnswer) -> None:
    result, sent, waits = drive(exchange(GET, BASE, PATIENCE), iter([bad, bad, OK]))
    assert result.image_id == "i"
    assert len(sent) == 3
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize(
    "lost", [NoAnswer("timeout"), json_answer(status=500), Answer(502, {}, b"<html>"), json_answer(status=503)]
)
def test_a_creation_whose_answer_got_lost_is_never_sent_again(lost: Answer | NoAnswer) -> None:
    result, sent, _ = drive(exchange(POST, BASE, PATIENCE), iter([lost, OK]))
    assert isinstance(result, errors.AutoenhanceError)
    assert result.retryable
    assert len(sent) == 1


@pytest.mark.parametrize("refused", [NoAnswer("no connection", maybe_received=False), json_answer(status=429)])
def test_a_creation_that_did_nothing_is_sent_again(refused: Answer | NoAnswer) -> None:
    result, sent, _ = drive(exchange(POST, BASE, PATIENCE), iter([refused, OK]))
    assert result.image.image_id == "i"
    assert len(sent) == 2


@given(st.integers(1, 8), st.lists(st.sampled_from([500, 502, 503, 504, 429, 408]), min_size=10, max_size=10))
def test_tries_are_bounded(attempts: int, statuses: list[int]) -> None:
    answers = iter([json_answer(status=status) for status in statuses])
    result, sent, waits = drive(exchange(GET, BASE, Patience(max_attempts=attempts)), answers)
    assert isinstance(result, errors.AutoenhanceError)
    assert len(sent) == attempts
    assert len(waits) == attempts - 1
    assert all(0 < wait <= 60 for wait in waits)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 413, 422])
def test_what_a_retry_cannot_help_fails_at_once(status: int) -> None:
    result, sent, _ = drive(exchange(GET, BASE, PATIENCE), iter([json_answer(status=status), OK]))
    assert isinstance(result, errors.AutoenhanceError)
    assert not result.retryable
    assert len(sent) == 1


def test_retry_after_is_honoured_and_a_long_one_is_left_to_airflow() -> None:
    short = json_answer(status=429, **{"retry-after": "7"})
    _, _, waits = drive(exchange(GET, BASE, PATIENCE), iter([short, OK]))
    assert waits == [7.0]
    long = json_answer(status=429, **{"retry-after": "3600"})
    result, sent, _ = drive(exchange(GET, BASE, PATIENCE), iter([long, OK]))
    assert isinstance(result, errors.RateLimitError)
    assert result.retry_after == 3600
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        ("soon", None),
        ("-3", None),
        ("2.5", 2.5),
        ("inf", None),
        ("nan", None),
        ("1e9", None),
        ("²", None),
        ("9" * 18, 86400.0),
    ],
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


def test_retry_after_as_a_date() -> None:
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}) == 86400.0
    assert retry_after({"retry-after": "Wed, 99 Oct 99999 07:28:00 GMT"}) is None


def test_validation_errors_name_the_fields() -> None:
    body = b'{"detail": {"json": {"image_name": ["Missing data for required field."]}}, "message": "Validation error"}'
    error = error_of(Answer(422, {}, body), "image 'a'")
    assert "image 'a'" in str(error)
    assert "json.image_name: Missing data" in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"<html><b>oops", b"<?xml version='1.0'?><Error/>", b"[1]", b'"x"', b'{"message": 5}', b"\xff\xfe"]
)
@pytest.mark.parametrize("status", [401, 404, 429, 500, 302])
def test_any_body_can_be_classified(status: int, body: bytes) -> None:
    error = error_of(Answer(status, {}, body), "image 1")
    assert str(error).startswith("image 1: Autoenhance answered")
    assert type(pickle.loads(pickle.dumps(error))) is type(error)


def test_a_vendor_message_with_a_presigned_url_is_redacted() -> None:
    error = error_of(Answer(500, {}, b'{"message": "PUT https://s3/x?X-Amz-Signature=abc failed"}'), "image 1")
    assert "Signature" not in str(error)
    assert "https://s3/x failed" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"image_id": "i", "x": ' + b"[" * 500 + b"]" * 500 + b"}",
        b"[" + b"1," * 600_000 + b"1]",
        b"9" * 5000,
        b"true",
        b'{"image_id": [1]}',
        b'{"image_id": true}',
        b'{"image_id": ".."}',
        b"\xff\xfe{}",
        b'{"image_id": ' + b"9" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize(
    "call", [calls.retrieve_image("i"), calls.retrieve_order("o"), calls.list_orders(), calls.list_brackets("o")]
)
def test_an_answer_that_is_not_the_contracts_names_the_endpoint(call: calls.Call[Any], body: bytes) -> None:
    result, _, _ = drive(exchange(call, BASE, Patience(max_attempts=1)), iter([json_answer(body)]))
    if isinstance(result, errors.AutoenhanceError):
        assert type(result) is errors.ServerError
        assert f"{call.method} {call.path}" in str(result)
        assert len(str(result)) < 1000
    else:
        assert result.image_id == "i"
    error = error_of(Answer(500, {}, b'{"message": "m", "detail": ' + body + b"}"), "image 1")
    assert len(str(error)) < 1000


@pytest.mark.parametrize("images", [5, True, "text", {"a": 1}])
def test_a_list_that_is_not_one_is_not_the_contracts(images: object) -> None:
    body = json.dumps({"order_id": "o", "orders": images, "images": images, "brackets": images}).encode()
    for call in (calls.retrieve_order("o"), calls.list_orders(), calls.list_brackets("o")):
        result, _, _ = drive(exchange(call, BASE, Patience(max_attempts=1)), iter([json_answer(body)]))
        assert type(result) is errors.ServerError


def test_the_vendors_words_are_cleaned_where_they_enter_and_the_upload_url_is_not() -> None:
    url = "https://s3.example/a.jpg?AWSAccessKeyId=A&Signature=s3cret&Expires=1"
    body = {
        "image_id": "i",
        "upload_url": url,
        "within": {"upload_url": url, "next_offset": url},
        "status_reason": f"failed\n[ERROR] {url}",
        "metadata": {"seen": url},
        "new": [url],
    }
    created, _, _ = drive(
        exchange(calls.create_image("a"), BASE, PATIENCE), iter([json_answer(json.dumps(body).encode())])
    )
    assert created.upload_url == url
    assert created.image.status_reason == "failed [ERROR] https://s3.example/a.jpg"
    assert "s3cret" not in repr(created.image) + str(created.image.raw) + str(created.image.metadata)


@given(st.lists(st.sampled_from([0.0, 0.3, 0.6, 1.0]), max_size=8), st.integers(1, 9))
def test_waiting_for_what_does_not_come_ends_after_three_timeouts(delays: list[float], attempts: int) -> None:
    """However many tries are allowed. An answer may take one timeout; quick failures are not held against a call."""
    now, slow = 0.0, 0.0
    patience = Patience(max_attempts=attempts, timeout_seconds=1.0, jitter=lambda: 0.0, clock=lambda: now)
    steps = exchange(GET, BASE, patience)
    left = iter(delays)
    answer: Answer | NoAnswer | None = None
    try:
        while True:
            step = steps.send(answer)
            passed = step.seconds if isinstance(step, Pause) else next(left, 0.0)
            now += passed
            slow += passed if isinstance(step, Send) and passed > 0.5 else 0.0
            answer = NoAnswer("slow") if isinstance(step, Send) else None
    except errors.UnreachableError:
        pass
    assert slow <= 3.1


@pytest.mark.parametrize("quoted", [b"ab\\/cd-SECRET", b"\\u0061b/cd-SECRET", b"ab/cd-SECRET"])
def test_the_key_that_an_answer_quotes_is_nowhere_in_what_comes_of_it(quoted: bytes) -> None:
    refused = Answer(
        401,
        {},
        b'{"message": "Unknown key ' + quoted + b'", "detail": {"' + quoted + b'": ["x"]}}',
        secret="ab/cd-SECRET",
    )
    assert "SECRET" not in str(error_of(refused, "image 1"))
    body = b'{"image_id": "i", "image_name": "%b", "%b": 1, "metadata": {"a": "%b"}}' % (quoted, quoted, quoted)
    image = read(GET, Answer(200, {}, body, secret="ab/cd-SECRET"))
    assert "SECRET" not in repr(image) + str(image.raw)


def test_metadata_comes_back_as_stored_unless_it_holds_a_credential() -> None:
    stored = {"listing": "https://crm.example/listing?id=44#top", "key=1": "a", "note": "line 1\nline 2"}
    image = read(GET, json_answer(json.dumps({"image_id": "i", "metadata": stored}).encode()))
    assert image.metadata == stored
    signed = {"seen": "https://s3.example/a.jpg?Signature=s3cret", "nested": {"listing": 1}}
    image = read(GET, json_answer(json.dumps({"image_id": "i", "metadata": signed}).encode()))
    assert image.metadata == {"seen": "https://s3.example/a.jpg", "nested": {"listing": 1}}


def test_pages_that_go_round_in_circles_end() -> None:
    pages = calls.OrderPages()
    for number in range(100):
        if pages.ended:
            break
        pages.turn(
            parse_order_page(
                {"orders": [{"order_id": str(number % 3)}], "pagination": {"next_offset": "ab"[number % 2]}}
            )
        )
    assert pages.ended


def test_success_that_is_no_json_points_at_the_host() -> None:
    result, _, _ = drive(exchange(GET, BASE, PATIENCE), iter([Answer(200, {"content-type": "text/html"}, b"<html>")]))
    assert isinstance(result, errors.ServerError)
    assert "image i: GET /v3/images/i answered 200" in str(result)
    assert "Check the connection's host" in str(result)


def test_deleting_what_is_gone_is_success() -> None:
    result, _, _ = drive(exchange(calls.delete_image("i"), BASE, PATIENCE), iter([json_answer(status=404)]))
    assert result is None


# Downloads

DOWNLOAD = calls.download_image("i", preview=False)
BYTES = Answer(200, {"content-type": "image/jpeg", "content-length": "3"})


def redirect(location: str, status: int = 302) -> Answer:
    return Answer(status, {"location": location, "content-type": "text/html"}, b"<html>")


def test_the_key_stays_with_the_api() -> None:
    answers = [
        redirect("/elsewhere"),
        redirect("https://assets.example/a"),
        redirect("https://api.example:444/b"),
        BYTES,
    ]
    result, sent, _ = drive(open_download(DOWNLOAD, BASE, PATIENCE), iter(answers))
    assert result is BYTES
    assert [(send.url, send.to_api) for send in sent] == [
        ("https://api.example/v3/images/i/enhanced?preview=false", True),
        ("https://api.example/elsewhere", True),
        ("https://assets.example/a", False),
        ("https://api.example:444/b", False),
    ]


def test_json_with_a_url_is_followed_too() -> None:
    result, sent, _ = drive(
        open_download(DOWNLOAD, BASE, PATIENCE), iter([json_answer(b'{"url": "https://cdn/x"}'), BYTES])
    )
    assert result is BYTES
    assert not sent[1].to_api


def test_an_expired_asset_link_may_be_asked_for_again() -> None:
    result, _, _ = drive(
        open_download(DOWNLOAD, BASE, PATIENCE), iter([redirect("https://cdn/x?sig=1"), Answer(403, {}, b"<Error/>")])
    )
    assert isinstance(result, errors.ServerError)
    assert result.retryable
    assert "sig=1" not in str(result)


@pytest.mark.parametrize(
    "back",
    [redirect(BASE + "/v3/images/OTHER/enhanced?preview=false"), json_answer(b'{"url": "https://api.example/x"}')],
)
def test_the_key_does_not_come_back_once_a_redirect_has_left_the_api(back: Answer) -> None:
    result, sent, _ = drive(
        open_download(DOWNLOAD, BASE, PATIENCE), iter([redirect("https://assets.example/a"), back, BYTES])
    )
    assert result is BYTES
    assert [send.to_api for send in sent] == [True, False, False]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example\\@api.example/",
        "https://user@api.example/",
        "http://cdn/x",
        "https://[::1/",
        "https://c\tdn/x",
    ],
)
def test_a_redirect_that_parsers_read_differently_is_not_followed(target: str) -> None:
    for answer in (redirect(target), json_answer(json.dumps({"url": target}).encode())):
        result, sent, _ = drive(open_download(DOWNLOAD, BASE, PATIENCE), iter([answer]))
        assert type(result) is errors.ForbiddenAddressError
        assert "user@" not in str(result)
        assert len(sent) == 1


@pytest.mark.parametrize(
    "target", ["https://evil.example/ab-SECRET", "the key ab-SECRET is not known", "/x?k=ab%2DSECRET"]
)
def test_a_redirect_that_holds_the_key_is_not_followed(target: str) -> None:
    for answer in (redirect(target), json_answer(json.dumps({"url": target}).encode())):
        result, sent, _ = drive(open_download(DOWNLOAD, BASE, PATIENCE), iter([replace(answer, secret="ab-SECRET")]))
        assert type(result) is errors.ForbiddenAddressError
        assert "SECRET" not in str(result)
        assert len(sent) == 1


def test_a_compressed_image_is_refused() -> None:
    result, _, _ = drive(
        open_download(DOWNLOAD, BASE, PATIENCE),
        iter([Answer(200, {"content-type": "image/png", "content-encoding": "gzip"})]),
    )
    assert isinstance(result, errors.ServerError)


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([redirect("https://cdn/x")] * 7, errors.ServerError),
        ([redirect("ftp://cdn/x")], errors.ForbiddenAddressError),
        ([Answer(200, {"content-type": "text/html"}, b"<html>")], errors.ServerError),
        ([Answer(302, {}, b"")], errors.ServerError),
        ([json_answer(b'{"message": "no url"}')], errors.ServerError),
        ([json_answer(status=402)], errors.NoCreditsError),
        ([json_answer(status=404)], errors.NotFoundError),
    ],
)
def test_a_download_that_leads_nowhere_is_an_error(answers: list[Answer], kind: type[Exception]) -> None:
    result, _, _ = drive(open_download(DOWNLOAD, BASE, PATIENCE), iter(answers))
    assert type(result) is kind


# Calls


def test_ids_are_quoted_and_never_empty() -> None:
    assert calls.retrieve_image("a/../b").path == "/v3/images/a%2F..%2Fb"
    for eaten in (".", "..", " .. ", "a\nb", "a\x00", "\ud800"):
        with pytest.raises(errors.SettingsError, match="would lead to another address"):
            calls.retrieve_image(eaten)
    with pytest.raises(errors.SettingsError):
        calls.create_order(order_id="..")
    for empty in ("", " ", None, "None"):
        with pytest.raises(errors.SettingsError, match="No id given"):
            calls.retrieve_image(empty)  # type: ignore[arg-type]


def test_previews_never_cost_on_versions_that_do_not_know_the_flag() -> None:
    assert calls.download_image("i", version="2024-10-01").path == "/v3/images/i/preview"
    assert calls.download_image("i", version="2024-11-01").query == {"preview": "true"}
    assert calls.download_image("i", preview=False, version="2024-10-01").path == "/v3/images/i/enhanced"


def test_what_old_versions_alone_know() -> None:
    assert "content_type" not in (calls.create_image("a", content_type="image/jpeg").body or {})
    assert (calls.create_image("a", content_type="image/jpeg", version="2025-01-01").body or {})[
        "content_type"
    ] == "image/jpeg"
    assert calls.process_order("o", version="2025-01-01").path.endswith("/merge")
    assert calls.process_order("o", groups=[["a"], ["b"]]).body == {
        "images": [{"bracket_ids": ["a"]}, {"bracket_ids": ["b"]}]
    }
    with pytest.raises(errors.SettingsError, match="not both"):
        calls.process_order("o", groups=[["a"]], brackets_per_image=3)


@pytest.mark.parametrize(("categories", "score"), [([], None), (["UGLY"], None), (["NOISE"], 6), (["NOISE"], -1)])
def test_reports_are_checked(categories: list[str], score: int | None) -> None:
    with pytest.raises(errors.SettingsError, match="image i"):
        calls.report_image("i", categories=categories, score=score)


def test_every_error_survives_pickling() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.AutoenhanceError):
            again = pickle.loads(pickle.dumps(kind("what happened")))
            assert (type(again), str(again), again.retryable) == (kind, "what happened", kind.retryable)
