"""Connections: what is accepted, what is refused and how it is said."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import pytest
import requests
from airflow.models.connection import Connection as ConnectionModel
from airflow.providers.common.compat.sdk import Connection
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.api.config import ApiConfig, Extra
from airflow_provider_autoenhance.api.errors import ConnectionConfigError, UnreachableError, UploadUrlExpiredError
from airflow_provider_autoenhance.get_provider_info import connection_fields
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.config import read_connection
from airflow_provider_autoenhance.hooks.rate import TokenBucket
from airflow_provider_autoenhance.pipeline.remote.ticket import UploadTicket, _fernet
from tests.support.photos import Sized, photo

KEY = "key-5f0c"


def config(extra: dict[str, Any] | None = None, **fields: Any) -> ApiConfig:
    fields = {"conn_id": "ae", "conn_type": "autoenhance", "password": KEY, **fields}
    return read_connection(Connection(extra=json.dumps(extra or {}), **fields))


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "https://api.autoenhance.ai"),
        ({"host": "https://api.autoenhance.ai/"}, "https://api.autoenhance.ai"),
        ({"host": "https://api.autoenhance.ai/v3"}, "https://api.autoenhance.ai"),
        ({"host": "api.example"}, "https://api.example"),
        ({"host": "api.example", "port": 8443}, "https://api.example:8443"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8787}, "http://127.0.0.1:8787"),
        ({"host": "http://localhost:8787"}, "http://localhost:8787"),
        ({"host": "http://[::1]:8787"}, "http://[::1]:8787"),
        ({"host": " https://API.example/proxy/v3/\n"}, "https://api.example/proxy"),
        ({"host": "https://api.example:8443", "port": 1}, "https://api.example:8443"),
    ],
)
def test_base_urls(fields: dict[str, Any], url: str) -> None:
    assert config(**fields).base_url == url


@pytest.mark.parametrize(
    ("fields", "extra", "told"),
    [
        ({"password": None}, {}, "'ae' has no API key"),
        ({"password": "  "}, {}, "'ae' has no API key"),
        ({"host": "http://api.example"}, {}, "would travel unencrypted to api.example"),
        ({"host": "ftp://api.example"}, {}, "is not an http.* address"),
        ({"host": "https://"}, {}, "is not an http.* address"),
        ({}, {"dev_mod": True}, "unknown extra 'dev_mod'. Did you mean 'dev_mode'"),
        ({}, {"qqq": True}, "unknown extra 'qqq'. Known: "),
        ({}, {"api_version": "latest"}, "'latest' is not a date"),
    ],
)
def test_refusals_name_the_connection_and_the_way_out(fields: dict[str, Any], extra: dict[str, Any], told: str) -> None:
    with pytest.raises(ConnectionConfigError, match=told) as caught:
        config(extra, **fields)
    assert KEY not in str(caught.value)


def test_extras_of_forms_are_text() -> None:
    extra = config(
        {"dev_mode": "true", "max_attempts": "3", "timeout_seconds": "9.5", "verify": "false", "proxies": "http://p:1"}
    ).extra
    assert (extra.dev_mode, extra.max_attempts, extra.timeout_seconds, extra.verify) == (True, 3, 9.5, False)
    assert extra.proxies == {"http": "http://p:1", "https": "http://p:1"}
    assert config({"proxies": '{"https": "http://p:2"}'}).extra.proxies == {"https": "http://p:2"}
    assert config({"api_version": None, "dev_mode": None}).extra == Extra()
    assert config({"allow_http": True}, host="http://api.example").base_url == "http://api.example"


def test_a_connection_survives_the_round_trip_through_its_uri() -> None:
    extra = {"api_version": "2025-05-08", "dev_mode": True, "max_attempts": 2, "proxies": {"https": "http://p:1"}}
    first = Connection(
        conn_id="ae", conn_type="autoenhance", password="k/:@ey", host="http://127.0.0.1:8787", extra=json.dumps(extra)
    )
    # As Airflow's own connection test hands it on; the model takes a URI on every version, the SDK's class does not.
    again = ConnectionModel(conn_id="ae", uri=first.get_uri())
    assert read_connection(again) == read_connection(first)


def test_the_key_goes_to_the_api_alone_and_stays_out_of_reprs() -> None:
    it = config({"dev_mode": True})
    assert it.headers(to_api=True)["x-api-key"] == KEY
    assert it.headers(to_api=True)["x-dev-mode"] == "true"
    assert KEY not in str(it.headers(to_api=False))
    assert "x-dev-mode" not in config().headers(to_api=True)
    assert KEY not in repr(it)
    agent = it.headers(to_api=False)["User-Agent"]
    assert agent.startswith("airflow-provider-autoenhance/")
    assert "apache-airflow/" in agent


def test_the_form_offers_every_extra_with_its_default() -> None:
    fields = connection_fields()
    assert set(fields) == set(Extra.__dataclass_fields__)
    for name, field in fields.items():
        default = getattr(Extra(), name)
        if default is not None:
            told = field["schema"]["default"]
            assert told == (str(default).lower() if name == "verify" else default)


# Upload tickets

TICKET = UploadTicket(
    "a.jpg", "o", {"enhance_type": "warm"}, {"k": "v"}, "https://s3/x?X-Amz-Signature=abc", "image/jpeg"
)


def test_a_ticket_is_sealed_with_the_api_key() -> None:
    token = TICKET.seal(KEY)
    assert "Signature" not in token
    assert "abc" not in repr(TICKET)
    assert UploadTicket.open(token, KEY, about="image 1") == TICKET
    for key, given_token in (("another", token), (KEY, token[:-4] + "AAAA"), (KEY, "https://s3/x?X-Amz-Signature=abc")):
        with pytest.raises(UploadUrlExpiredError, match="image 1: the upload ticket cannot be opened"):
            UploadTicket.open(given_token, key, about="image 1")


@pytest.mark.parametrize(
    "content",
    [
        *("[]", "null", "7", '"text"', "{}", "{", "[" * 100_000, "NaN"),
        *(
            json.dumps(asdict(TICKET) | change)
            for change in (
                {"image_name": None},
                {"order_id": 7},
                {"settings": []},
                {"metadata": "x"},
                {"upload_url": None},
            )
        ),
        *(json.dumps(asdict(TICKET) | change) for change in ({"content_type": {}}, {"kind": "photo"}, {"kind": None})),
    ],
)
def test_a_ticket_of_another_shape_is_not_a_ticket(content: str) -> None:
    with pytest.raises(
        UploadUrlExpiredError, match=r"image 1: the upload ticket cannot be opened.*Clear the create task"
    ):
        UploadTicket.open(_fernet(KEY).encrypt(content.encode()).decode(), KEY, about="image 1")


@pytest.mark.parametrize("token", ["", "None", None, 7, {}, [], "\udce9", "gAAAA\n"])
def test_what_was_never_sealed_is_not_a_ticket(token: Any) -> None:
    with pytest.raises(UploadUrlExpiredError, match="image 1: the upload ticket cannot be opened"):
        UploadTicket.open(token, KEY, about="image 1")


def test_a_ticket_of_a_later_version_is_opened() -> None:
    content = json.dumps(asdict(TICKET) | {"new_field": 1})
    assert UploadTicket.open(_fernet(KEY).encrypt(content.encode()).decode(), KEY, about="image 1") == TICKET


# Rate


@given(st.floats(0.5, 200), st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_the_bucket_never_lets_more_through_than_its_rate(rate: float, pauses: list[float]) -> None:
    now = 0.0
    bucket = TokenBucket(rate, clock=lambda: now)
    granted = []
    for pause in pauses:
        now += pause
        granted.append(now + bucket.reserve())
    burst = max(1.0, rate)
    for start in range(len(granted)):
        for end in range(start, len(granted)):
            assert end - start + 1 <= burst + (granted[end] - granted[start]) * rate + 1 + 1e-6


@pytest.mark.parametrize("verify", [False, requests.certs.where()])
def test_certificates_are_the_connection_s_and_not_the_environment_s(
    monkeypatch: pytest.MonkeyPatch, verify: bool | str
) -> None:
    asked = []

    def send(self: Any, request: Any, **options: Any) -> Any:
        asked.append(options["verify"])
        raise requests.ConnectionError("enough seen")

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/somebody/else.pem")
    # A key as short as a local sandbox may have: the letter stands in every address, which is then not a leak.
    connection = {"conn_type": "autoenhance", "password": "k", "extra": {"verify": verify, "max_attempts": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
    hook = AutoenhanceHook()
    with pytest.raises(UnreachableError):
        hook.get_image("i")
    with pytest.raises(UnreachableError):
        hook.upload("https://bucket.example/x", lambda: nullcontext(Sized(photo())), about="photo")
    assert asked == [verify] * 2
