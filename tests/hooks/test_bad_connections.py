"""Connections that people really save: keys with what copying brings along, extras that are not JSON, paths that lead nowhere."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import requests
from airflow.exceptions import AirflowNotFoundException
from airflow.models.connection import Connection as ConnectionModel
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_autoenhance.api.config import Extra
from airflow_provider_autoenhance.api.errors import ConnectionConfigError
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook
from airflow_provider_autoenhance.hooks.config import read_connection

KEY = "live-9f2c7d41e0"
PASSWORD = "pr0xy-w0rd"


def connection(**fields: Any) -> Any:
    """Make what Airflow hands over; its own classes refuse some of these themselves, each version others."""
    plain = {"conn_id": "ae", "password": KEY, "host": None, "schema": None, "port": None, "extra": None}
    return SimpleNamespace(**plain | fields)


def refusal(extra: str | None = None, **fields: Any) -> ConnectionConfigError:
    with pytest.raises(ConnectionConfigError) as caught:
        read_connection(connection(extra=extra, **fields))
    assert str(caught.value).startswith("Connection 'ae': ")
    return caught.value


def read(extra: str | None) -> Extra:
    return read_connection(connection(extra=extra)).extra


def held(error: BaseException) -> Iterator[str]:
    """Yield all that an exception holds, and what hangs on it."""
    seen: list[BaseException | None] = [error]
    while seen and (each := seen.pop()) is not None:
        yield from (repr(each), str(each), repr(each.args), repr(vars(each)), repr(getattr(each, "object", "")))
        yield repr(getattr(each, "doc", ""))
        seen += [each.__cause__, each.__context__]


# Keys

BAD_KEYS = [
    ("\u201c" + KEY + "\u201d", "character 1 of the API key is a curly quote (U+201C)"),
    (KEY[:4] + "\u2019" + KEY[4:], "character 5 of the API key is a curly quote (U+2019)"),
    (f'"{KEY}"', "character 1 of the API key is a quotation mark (U+0022)"),
    (f"{KEY}'", f"character {len(KEY) + 1} of the API key is a quotation mark (U+0027)"),
    (KEY + "\u200b", f"character {len(KEY) + 1} of the API key is a zero-width space (U+200B)"),
    (KEY[:2] + "\u200d" + KEY[2:], "character 3 of the API key is a zero-width joiner (U+200D)"),
    ("\ufeff" + KEY, "character 1 of the API key is a byte order mark (U+FEFF)"),
    ("\u00a0" + KEY, "character 1 of the API key is a non-breaking space (U+00A0)"),
    (" \n" + KEY[:3] + "\n" + KEY[3:], "character 6 of the API key is a line break (U+000A)"),
    (KEY[:3] + "\r\n" + KEY[3:], "character 4 of the API key is a line break (U+000D)"),
    (KEY[:3] + "\t" + KEY[3:], "character 4 of the API key is a tab (U+0009)"),
    (KEY[:3] + " " + KEY[3:], "character 4 of the API key is a space (U+0020)"),
    ("x-api-key: " + KEY, "character 11 of the API key is a space (U+0020)"),
    (KEY + "\x00", f"character {len(KEY) + 1} of the API key is a control character (U+0000)"),
    (KEY + "\u00ad", f"character {len(KEY) + 1} of the API key is an invisible character (U+00AD)"),
    (KEY[:3] + "\u2026", "character 4 of the API key is not an ASCII character (U+2026)"),
    (KEY[:3] + "\u0430" + KEY[3:], "character 4 of the API key is not an ASCII character (U+0430)"),
    (KEY + "\U0001f511", f"character {len(KEY) + 1} of the API key is not an ASCII character (U+1F511)"),
    (KEY + "\udce9", f"character {len(KEY) + 1} of the API key is half of a surrogate pair (U+DCE9)"),
]


@pytest.mark.parametrize(("key", "told"), BAD_KEYS, ids=[told for _, told in BAD_KEYS])
def test_a_bad_key_is_refused_by_kind_and_place_and_held_nowhere(key: str, told: str) -> None:
    error = refusal(password=key)
    assert told in str(error)
    assert "Copy the key once more into the password field" in str(error)
    for text in held(error):
        assert KEY[:6] not in text
        assert KEY[6:] not in text
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@given(st.text(st.characters(), min_size=1, max_size=12))
def test_a_key_either_fits_a_header_or_is_refused(key: str) -> None:
    try:
        config = read_connection(connection(password=f"\t {key}\r\n"))
    except ConnectionConfigError as error:
        assert error.__context__ is None
        return
    requests.Request("GET", config.base_url, headers=config.headers(to_api=True)).prepare()
    sent = config.headers(to_api=True)["x-api-key"]
    assert sent == key.strip(" \t\r\n")
    assert sent.isascii()
    assert sent.isprintable()


@pytest.mark.parametrize("field", ["password", "host"])
def test_a_field_that_is_not_a_text_is_named(field: str) -> None:
    assert f"its {field} is not a text" in str(refusal(**{field: 12345}))


def test_a_connection_that_cannot_be_decrypted_is_named() -> None:
    class Encrypted:
        conn_id = "ae"

        @property
        def password(self) -> str:
            raise ValueError(KEY)

    with pytest.raises(
        ConnectionConfigError, match=r"its password cannot be read \(ValueError\).*Fernet key"
    ) as caught:
        read_connection(Encrypted())  # type: ignore[arg-type]
    assert not any(KEY in text for text in held(caught.value))


# The extra as a whole

BAD_EXTRAS = [
    ('{"dev_mode": true,}', r"its extra is not valid JSON: .* \(line 1, column \d+\)"),
    ("{'dev_mode': true}", "its extra is not valid JSON: "),
    ('{"dev_mode": True}', "its extra is not valid JSON: "),
    ('{"dev_mode": true', "its extra is not valid JSON: "),
    ("dev_mode=true", "its extra is not valid JSON: "),
    ("\ufeff{}", "its extra is not valid JSON: .*BOM"),
    ('{"dev_mode": true} {}', "its extra is not valid JSON: "),
    ('["dev_mode"]', "its extra is not a JSON object but a list"),
    ('"{\\"dev_mode\\": true}"', "its extra is not a JSON object but a text"),
    ("1", "its extra is not a JSON object but a number"),
    ("true", "its extra is not a JSON object but true or false"),
    ("null", "its extra is not a JSON object but null"),
    ('{"dev_mode": true, "dev_mode": false}', "the name 'dev_mode' stands in it twice"),
    ('{"proxies": {"http": "http://p:1", "http": "http://q:1"}}', "the name 'http' stands in it twice"),
    ('{"dev_mode": true, "extra__autoenhance__dev_mode": false}', "'dev_mode' is given twice"),
    ('{"extra__autoenhance__dev_mod": true}', "unknown extra 'dev_mod'. Did you mean 'dev_mode'"),
    ('{"extra__autoenhance__extra__autoenhance__dev_mode": true}', "unknown extra 'extra__autoenhance__dev_mode'"),
    ('{"extra__autoenhance__": true}', "unknown extra ''"),
    ('{"timeout_seconds": NaN}', "its extra is not valid JSON: a number"),
    ('{"timeout_seconds": -Infinity}', "its extra is not valid JSON: a number"),
    ('{"timeout_seconds": ' + "9" * 5000 + "}", "its extra is not valid JSON: a number"),
    ('{"proxies": ' + "[" * 100_000 + "}", "its extra is not valid JSON: it is nested too deeply"),
    ('{"proxies": "{\\"https\\": }"}', "extra 'proxies' is not valid JSON"),
    ('{"local_folders": "[\\"/data\\""}', "extra 'local_folders' is not valid JSON"),
]


@pytest.mark.parametrize(("extra", "told"), BAD_EXTRAS, ids=[told[:60] + extra[:9] for extra, told in BAD_EXTRAS])
def test_an_extra_that_is_not_understood_is_refused_and_never_ignored(extra: str, told: str) -> None:
    import re

    error = refusal(extra)
    assert re.search(told, str(error))
    assert error.__context__ is None


def test_the_text_of_an_extra_hangs_on_no_error() -> None:
    extra = '{"proxies": "http://u:' + PASSWORD + '@p:1",}'
    assert not any(PASSWORD in text for text in held(refusal(extra)))


@pytest.mark.parametrize("extra", [None, "", " \n", "{}", '{"dev_mode": null, "api_version": null, "verify": ""}'])
def test_an_empty_extra_is_all_defaults(extra: str | None) -> None:
    assert read(extra) == Extra()


@pytest.mark.parametrize("extra", ['{"api_version": ""}', '{"extra__autoenhance__api_version": ""}'])
def test_an_empty_version_leaves_it_to_the_account(extra: str) -> None:
    assert read(extra) == Extra(api_version="")


def test_names_of_older_forms_are_understood() -> None:
    assert read('{"extra__autoenhance__dev_mode": "True", "extra__autoenhance__verify": ""}') == Extra(dev_mode=True)


# The extra's values

BAD_VALUES: list[tuple[str, Any]] = [
    *((name, value) for name in ("dev_mode", "allow_http", "allow_private_sources") for value in ("maybe", 1, 0.0, [], {})),
    *(
        (name, value)
        for name in ("timeout_seconds", "max_attempts", "max_requests_per_second")
        for value in (True, False, "inf", "-inf", "nan", 0, -1, "1_0", "\u0661", "0x10", "slow", [], {}, 1e9, 10**400)
    ),
    *(("max_attempts", value) for value in (2.5, "2.5", 101, 0.5)),
    ("timeout_seconds", 3601),
    ("max_requests_per_second", 10_001),
    *(("api_version", value) for value in (20250831, ["2025-08-31"], "2025-08-31\n", "latest", "\uff12025-08-31", True)),
    *(("local_folders", value) for value in (1, True, {"a": "/b"}, ["data"], [1], [["/data"]], "photos", "/a\x00b", '"/a"')),
    *(("icc_directory", value) for value in (1, True, ["/icc"], {}, "/icc\x00", "/icc\n")),
    *(
        ("storages", value)
        for value in (
            1, True, [], "s3://a/", {"a": 1}, {"a/b": "s3://c/"}, {"": "s3://c/"}, {"a": "b/"}, {"a": "storage://b/"},
            {"a": "s3://key:secret@b/"}, {"a": "https://h/?sig=1"},
        )
    ),
    *(
        ("temporary_folder", value)
        for value in (1, True, [], "day", "/data/day/", "gs://b/day/", "s3://b", "s3://b/", "s3:///day/", "s3://k:s@b/day/", "s3://b/d\n")
    ),
    *(("credit_price", value) for value in (True, "cheap", "nan", -1, 1001, [], {}, "1_0")),
    *(("currency", value) for value in (1, True, "DOLLAR", " ", "U\n", [], "1a")),
    *(("verify", value) for value in (1, 0, [], {}, "yes", "/nowhere/ca.pem", "/dev/null", "/dev", "/etc/hostname", "a\x00b")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_VALUES, ids=[f"{name}={value!r:.20}" for name, value in BAD_VALUES])
def test_a_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    error = refusal(json.dumps({name: value}))
    assert name in str(error)
    assert len(str(error)) < 400
    assert error.__context__ is None


BAD_PROXIES: list[Any] = [
    *(1, True, ["http://p:1"], {"ftp": "http://p:1"}, {"no_proxy": "a,b"}, {"https": 1}, {"https": {}}, "ftp://p:1"),
    *(
        "http://",
        "http://p:0",
        "http://p:65536",
        "http://p:x",
        "http://[::1",
        "http://p:1/path",
        "http://p:1?a",
        "p q:1",
    ),
    *("http://p\\q:1", "http://p\u00e9:1", "http://p\n:1", "http://-p:1", "http://a..b:1", "http://p%41:1"),
    *(f"http://u:{PASSWORD}{odd}@p:1" for odd in ("@", "/", " ", "\u201d", "\n", "%", "%zz", "\\", "#", "?", "[")),
]


@pytest.mark.parametrize("value", BAD_PROXIES, ids=[f"{value!r}"[:40] for value in BAD_PROXIES])
def test_a_bad_proxy_is_refused_and_never_shown(value: Any) -> None:
    error = refusal(json.dumps({"proxies": value}))
    assert "extra 'proxies'" in str(error)
    assert not any(PASSWORD in text for text in held(error))


def test_proxies_come_out_as_both_clients_take_them() -> None:
    assert read('{"proxies": " proxy:3128\\n"}').proxies == dict.fromkeys(("http", "https"), "http://proxy:3128")
    assert read('{"proxies": {"all": "http://u:p%40@[::1]:1/", "https": null}}').proxies == {
        "all": "http://u:p%40@[::1]:1/"
    }
    assert read('{"proxies": "{\\"https\\": \\"https://p\\"}"}').proxies == {"https": "https://p"}


def test_values_of_every_spelling() -> None:
    given_extra = read(
        '{"max_attempts": "3", "timeout_seconds": " 9.5 ", "max_requests_per_second": 2e2, "local_folders": "/a, file:///b"}'
    )
    assert given_extra == Extra(
        max_attempts=3, timeout_seconds=9.5, max_requests_per_second=200.0, local_folders=("/a", "/b")
    )
    assert read('{"max_attempts": 4.0, "local_folders": "[\\"/a\\"]"}') == Extra(max_attempts=4, local_folders=("/a",))


# Certificates


def test_certificates_are_looked_at_before_anything_is_sent(tmp_path: Path) -> None:
    bundle, der, locked = tmp_path / "ca.pem", tmp_path / "ca.der", tmp_path / "locked.pem"
    bundle.write_bytes(Path(requests.certs.where()).read_bytes())
    der.write_bytes(os.urandom(300))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (hashed := tmp_path / "hashed").mkdir()
    (hashed / "5ed36f99.0").write_bytes(bundle.read_bytes())
    (empty := tmp_path / "certs").mkdir()
    (empty / "ca.pem").write_bytes(bundle.read_bytes())
    for path in (bundle, hashed):
        assert read(json.dumps({"verify": str(path)})).verify == str(path)
    for path, told in (
        (der, "that file holds no certificates"),
        (empty, "that folder holds no certificates by their hashes"),
        (pipe, "that is not a file"),
        (locked, "it cannot be read here (No such file or directory)"),
    ):
        assert f"'{path}', but {told}" in str(refusal(json.dumps({"verify": str(path)})))
    bundle.write_bytes(b"no longer one")
    assert "holds no certificates" in str(refusal(json.dumps({"verify": str(bundle)})))


# The host

BAD_HOSTS = [
    *("https://evil.example\\@api.autoenhance.ai", "https://api.example\\x", "https://u:p@api.example", "https://@api.example"),
    *("https://api.example:0", "https://api.example:65536", "https://api.example:", "https://api.example:8o", "https:///v3"),
    *("https://api.example/%2e%2e", "https://api%2eexample", "https://\u0430pi.example", "https://api.example/\u00e9"),
    *("https://api.ex\nample", "https://api.example/\tv3", "https://api.ex ample", "https://api.example?x", "https://api.example#x"),
    *("https://api..example", "https://-api.example", "https://[::1", "https://[fe80::1%25lo]", "https://api.example/../v3", "https:/x"),
    *("api.example\u00a0", "\u200bapi.example", 'https://"api.example"', "https://" + "a" * 64 + ".example", "gopher://api.example"),
]  # fmt: skip


@pytest.mark.parametrize("host", BAD_HOSTS, ids=[f"{host!r}"[:45] for host in BAD_HOSTS])
def test_a_host_that_two_clients_could_read_in_two_ways_is_refused(host: str) -> None:
    error = refusal(host=host)
    assert "is not an http(s) address" in str(error)
    assert "u:p@" not in str(error)
    assert error.__context__ is None


@pytest.mark.parametrize(("schema", "port"), [("https", 0), ("https", -1), ("https", 65536), ("ftp", 80), ("v3", None)])
def test_a_bad_port_or_schema_beside_the_host_is_refused(schema: str, port: int | None) -> None:
    assert "is not an http(s) address" in str(refusal(host="api.example", schema=schema, port=port))


# As Airflow hands connections on

EXTRA = {"dev_mode": True, "max_attempts": 2, "timeout_seconds": 9.5, "proxies": {"https": "http://p:1"}}


@pytest.mark.parametrize(
    "query",
    [
        "dev_mode=true&max_attempts=2&timeout_seconds=9.5&proxies=" + quote('{"https": "http://p:1"}'),
        "__extra__=" + quote(json.dumps(EXTRA)),
    ],
)
def test_the_extra_of_a_uri_goes_on_working(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AE", f"autoenhance://:{KEY}@/?{query}")
    expected = read(json.dumps(EXTRA))
    assert AutoenhanceHook("ae").config.extra == expected
    assert asyncio.run(AutoenhanceAsyncHook("ae").get_config()).extra == expected
    again = ConnectionModel(conn_id="ae", uri=f"autoenhance://:{KEY}@/?{query}")
    assert read_connection(again).extra == expected


@pytest.mark.parametrize(
    "extra",
    ['{"dev_mode": true,}', '["dev_mode"]', '{"dev_mode": true, "dev_mode": false}', '{"timeout_seconds": 1e400}'],
)
def test_a_bad_extra_out_of_the_environment_is_refused(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AE", json.dumps({"conn_type": "autoenhance", "password": KEY, "extra": extra}))

    def look(act: Callable[[], object]) -> None:
        # Airflow 3 outside of a task finds some of these damaged itself, and then knows of no such connection.
        with pytest.raises((ConnectionConfigError, AirflowNotFoundException)) as caught:
            act()
        assert not any(KEY in text for text in held(caught.value))

    look(lambda: AutoenhanceHook("ae").config)
    look(lambda: asyncio.run(AutoenhanceAsyncHook("ae").get_config()))


@pytest.mark.parametrize(
    ("key", "extra"),
    [(key, "{}") for key, _ in BAD_KEYS]
    + [(KEY, extra) for extra, _ in BAD_EXTRAS]
    + [(KEY, json.dumps({name: value})) for name, value in BAD_VALUES],
)
def test_airflow_s_test_button_says_it_in_words(key: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoenhanceHook, "get_connection", lambda *_: connection(password=key, extra=extra))
    worked, told = AutoenhanceHook("ae").test_connection()
    assert (worked, told[:17]) == (False, "Connection 'ae': ")
