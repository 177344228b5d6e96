"""What may be shown of a task's arguments: the same, without a credential in it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest

from airflow_provider_autoenhance.api.shown import last_part, quoted, shown
from airflow_provider_autoenhance.imaging.output import OutputSpec

SECRET = "c2VjcmV0/c2VjcmV0"
QUERIES = [
    f"AWSAccessKeyId=ASIAEXAMPLE&Signature={SECRET}&Expires=1790000000",
    f"X-Amz-Credential=ASIAEXAMPLE/20260301/eu-west-1/s3/aws4_request&X-Amz-Signature={SECRET}",
    f"t={SECRET}",
    SECRET,
]


@pytest.mark.parametrize("query", QUERIES)
def test_an_address_is_shown_without_its_query_however_deep_it_lies(query: str) -> None:
    url = f"https://photos.example/day/1.jpg?{query}"
    bare = "https://photos.example/day/1.jpg"
    assert shown(url) == bare
    assert shown([url, "s3://listings/2.jpg"]) == [bare, "s3://listings/2.jpg"]
    assert shown({"source": (url,), url: {"deep": [url]}}) == {"source": [bare], bare: {"deep": [bare]}}
    assert shown(f'["{url}"]') == f'["{bare}"]'
    assert SECRET not in str(shown(OutputSpec(color_space="CMYK", color_profile=url)))
    assert SECRET not in shown(_Holder(url)) + quoted([url]) + quoted(_Holder(url))
    assert last_part(url) == "1.jpg"


@pytest.mark.parametrize(
    ("given", "bare"),
    [
        ("https://user:c2VjcmV0@photos.example/1.jpg", "https://photos.example/1.jpg"),
        ("https://token@photos.example/1.jpg", "https://photos.example/1.jpg"),
        ("s3://ASIAEXAMPLE:c2VjcmV0@listings/maple/", "s3://listings/maple/"),
        ("s3://listings/1.jpg?X-Amz-Signature=c2VjcmV0", "s3://listings/1.jpg"),
    ],
)
def test_user_info_is_a_credential(given: str, bare: str) -> None:
    assert shown(given) == bare


@pytest.mark.parametrize(
    "value",
    [
        None, 7, 0.5, True, "", "*.jpg", "s3://photos@listings/maple/", "s3://listings/house #4?.jpg", "{{ ds }}",
        PurePosixPath("/a@b/1.jpg"),
        ["s3://google.cloud-1@bucket/a@b/", "/data/house #4/"], {"enhance_type": "warm", "sky_replacement": False}, ("maple", "elm"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_holds_none_is_the_same_value(value: Any) -> None:
    assert shown(value) is value


def test_a_name_for_people_is_one_line() -> None:
    assert last_part("s3://listings/maple\n[ERROR] forged/1\x1b[31m.jpg") == "1 [31m.jpg"
    assert quoted("maple\n[ERROR]") == r"'maple\n[ERROR]'"
    assert last_part("s3://listings/maple/") == ""


class _Holder:
    """Airflow stores what such a value prints."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __repr__(self) -> str:
        return f"Holder({self._url!r})"
