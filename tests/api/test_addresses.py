"""What our check calls one origin is where requests and httpx connect to."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from airflow_provider_autoenhance.api.addresses import AddressError, Origin, join, origin_of

API = "https://api.autoenhance.ai"
_PORTS = {"http": 80, "https": 443}

#: Pieces on which parsers disagree, glued together at random.
_PIECES = st.one_of(
    st.sampled_from(list("/\\@:?#.[]&;= \t\n\r\x00\uff12\u2024\uff0f\u200b\xad\xdf\u3002")),
    st.sampled_from(
        ["https:", "http:", "HTTPS:", "//", "\\\\", "443", "0443", "80", "..", "%2f", "%5c", "%40", "%00", "user:pw"]
    ),
    st.sampled_from(
        [
            "api.autoenhance.ai",
            "API.Autoenhance.AI",
            "evil.example",
            "xn--",
            "0x7f.1",
            "1.2.3.4",
            "[::1]",
            "[::ffff:1.2.3.4]",
        ]
    ),
)
_URLS = st.one_of(
    st.lists(_PIECES, min_size=1, max_size=9).map("".join),
    st.lists(_PIECES, max_size=6).map(lambda pieces: "https://" + "".join(pieces)),
    st.lists(_PIECES, max_size=5).map(lambda pieces: API + "".join(pieces)),
    st.text(max_size=20).map(lambda text: "https://" + text),
)


def _requests_connects_to(url: str) -> Origin:
    """As ``HTTPAdapter`` reads the address of a prepared request."""
    prepared = requests.Request("GET", url).prepare().url or ""
    parts = urlsplit(prepared)
    return Origin(parts.scheme, _host(parts.hostname or ""), parts.port or _PORTS[parts.scheme])


def _urllib3_connects_to(url: str) -> Origin:
    parts = parse_url(url)
    return Origin(parts.scheme or "", _host(parts.host or ""), parts.port or _PORTS[parts.scheme or ""])


def _httpx_connects_to(url: str) -> Origin:
    parts = httpx.URL(url)
    return Origin(parts.scheme, _host(parts.raw_host.decode()), parts.port or _PORTS[parts.scheme])


def _host(host: str) -> str:
    bare = host.strip("[]").lower()
    return f"[{bare}]" if ":" in bare else bare


@settings(max_examples=600)
@given(_URLS)
def test_one_origin_by_our_check_is_one_by_what_connects(url: str) -> None:
    try:
        origin = origin_of(url)
    except AddressError:
        return
    for connects_to in (_requests_connects_to, _urllib3_connects_to, _httpx_connects_to):
        try:
            theirs = connects_to(url)
        except (requests.RequestException, httpx.InvalidURL):
            continue  # a library that refuses the address connects nowhere
        assert _same(origin, theirs)


def _same(ours: Origin, theirs: Origin) -> bool:
    """Spellings of one IPv6 address may differ; the address may not."""
    if not ours.host.startswith("["):
        return ours == theirs
    import ipaddress

    spelled = ipaddress.IPv6Address(theirs.host.strip("[]"))
    return ours == theirs._replace(host=f"[{spelled}]")


@settings(max_examples=600)
@given(_URLS)
def test_a_redirect_is_refused_or_leads_where_the_check_says(target: str) -> None:
    try:
        url = join(API + "/v3/images/1/enhanced", target)
    except AddressError:
        return
    assert _same(origin_of(url), _requests_connects_to(url))
    assert origin_of(url).scheme == "https"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example\\@api.autoenhance.ai/",
        "https://api.autoenhance.ai\\.evil.example/",
        "https://api.autoenhance.ai@evil.example/",
        "https://user:pw@api.autoenhance.ai/",
        "https://api.autoenhance.ai%2f@evil.example/",
        "https://api.autoenhance.ai\u3002evil.example/",
        "https://\u0430pi.autoenhance.ai/",
        "https://api.autoenhance.ai:99999/",
        "https://api.autoenhance.ai:0/",
        "https://api.autoenhance.ai:\uff1443/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://api.auto\nenhance.ai/",
        "https:///v3/images/",
        "https://",
        "//api.autoenhance.ai/",
        "ftp://api.autoenhance.ai/",
        "javascript:alert(1)",
        "",
    ],
)
def test_an_address_that_parsers_read_differently_is_refused(url: str) -> None:
    with pytest.raises(AddressError) as refused:
        origin_of(url)
    assert "evil" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.autoenhance.ai/v3?x=@evil", Origin("https", "api.autoenhance.ai", 443)),
        ("http://127.0.0.1:8787", Origin("http", "127.0.0.1", 8787)),
        ("https://[0:0::1]:8443/a b\\c", Origin("https", "[::1]", 8443)),
        ("https://bucket.s3.eu-west-1.amazonaws.com/a.jpg?Signature=x#y", Origin("https", "bucket.s3.eu-west-1.amazonaws.com", 443)),
        ("https://my_bucket.example", Origin("https", "my_bucket.example", 443)),
    ],
)  # fmt: skip
def test_plain_addresses_are_taken(url: str, origin: Origin) -> None:
    assert origin_of(url) == origin


def test_a_redirect_from_https_to_plain_http_is_refused() -> None:
    with pytest.raises(AddressError, match="https to plain http"):
        join(API, "http://assets.example/a.jpg")
    assert join("http://127.0.0.1:8787/v3", "/a.jpg") == "http://127.0.0.1:8787/a.jpg"
