"""What nobody foresaw, told as this provider's own error."""

from __future__ import annotations

import logging
import pickle

import pytest

from airflow_provider_autoenhance.api import errors

SIGNED = "https://bucket.example/maple/a.jpg?X-Amz-Signature=c2VjcmV0&Signature=aGlkZGVu"


def look_up(text: str) -> None:
    raise KeyError(text)


def met(text: str) -> Exception:
    with pytest.raises(KeyError) as caught:
        look_up(text)
    return caught.value


def test_it_says_class_text_photo_and_way_out_and_no_credential(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        told = errors.unexpected(met(f"no {SIGNED}\n[ERROR] forged"), "photo 'a.jpg'")
    assert isinstance(told, errors.UnexpectedError) and told.retryable
    assert "photo 'a.jpg' met an unexpected KeyError" in str(told) and "leave the photo out" in str(told)
    assert "raise KeyError(text)" in caplog.text, "whoever mends it sees where it came from"
    for text in (str(told), caplog.text):
        assert "c2VjcmV0" not in text and "aGlkZGVu" not in text
    assert "\n" not in str(told)
    assert str(pickle.loads(pickle.dumps(told))) == str(told)


def test_a_long_text_is_cut() -> None:
    assert len(str(errors.unexpected(met("x" * 10**6), "photo 'a.jpg'"))) < 600


def test_an_error_of_its_own_stays_what_it_is() -> None:
    own = errors.SourceError("gone")
    assert errors.unexpected(own, "photo 'a.jpg'") is own
