"""Faults strike where, when and how they are told to."""

from __future__ import annotations

import hashlib
import socket
import struct
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from tests.sandbox.api import Api
from tests.support.pictures import photo
from tests.support.sandbox import Sandbox

DATA = photo()


def names(sandbox: Sandbox) -> list[str]:
    return [image["name"] for image in sandbox.ledger()["images"]]


def post(api: Api, name: str = "a.jpg") -> httpx.Response:
    return api.http.post("/v3/images/", json={"image_name": name})


@pytest.mark.parametrize("status", [401, 402, 404, 409, 422, 429, 500, 503])
@pytest.mark.parametrize("phase", ["before", "after"])
def test_statuses_before_and_after_the_effect(api: Api, sandbox: Sandbox, status: int, phase: str) -> None:
    sandbox.faults([{"endpoint": "create_image", "kind": status, "phase": phase, "count": 1}])
    answer = post(api)
    assert answer.status_code == status
    if status == 503:
        assert answer.headers["content-type"].startswith("text/html")
        assert "<html" in answer.text
    else:
        assert set(answer.json()) == {"detail", "message"}
    assert names(sandbox) == (["a.jpg"] if phase == "after" else [])
    assert post(api, "b.jpg").status_code == 200
    assert sandbox.ledger()["faults_struck"] == 1


def test_retry_after_and_html_can_be_chosen(api: Api, sandbox: Sandbox) -> None:
    sandbox.faults([{"kind": 429, "retry_after": 7, "count": 1}, {"kind": 500, "html": True, "count": 1}])
    assert post(api).headers["retry-after"] == "7"
    assert post(api).text.startswith("<!doctype html>")


def test_rules_match_endpoint_name_and_turn(api: Api, sandbox: Sandbox) -> None:
    sandbox.faults(
        [
            {"endpoint": "POST /v3/images/", "kind": 500, "match": "*poison*"},
            {"endpoint": "retrieve_image", "kind": 404, "skip": 2, "count": 1},
        ]
    )
    good = api.create("good.jpg")["image_id"]
    assert post(api, "poison.jpg").status_code == 500
    path = f"/v3/images/{good}"
    assert [api.http.get(path).status_code for _ in range(4)] == [200, 200, 404, 200]
    sandbox.faults([{"endpoint": "retrieve_image", "kind": 500, "match": "good*"}])
    other = api.create("other.jpg")["image_id"]
    assert api.http.get(path).status_code == 500
    assert api.http.get(f"/v3/images/{other}").status_code == 200


def test_rates_are_kept_and_repeatable(api: Api, sandbox: Sandbox) -> None:
    rounds = []
    for _ in range(2):
        sandbox.reset()
        sandbox.faults([{"endpoint": "list_orders", "kind": 500, "rate": 0.5}])
        rounds.append([api.http.get("/v3/orders/").status_code for _ in range(60)])
    assert rounds[0] == rounds[1]
    assert 15 < rounds[0].count(500) < 45


@pytest.mark.parametrize("phase", ["before", "after", "mid-body"])
def test_a_reset_is_a_real_one(api: Api, sandbox: Sandbox, phase: str) -> None:
    sandbox.faults([{"endpoint": "create_image", "kind": "reset", "phase": phase, "count": 1}])
    host, _, port = urlsplit(sandbox.url).netloc.partition(":")
    body = b'{"image_name": "a.jpg"}'
    head = f"POST /v3/images/ HTTP/1.1\r\nHost: {sandbox.address}\r\nx-api-key: {sandbox.api_key}\r\n"
    head += "Content-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        with pytest.raises(ConnectionResetError):
            while raw.recv(4096):
                pass
    assert names(sandbox) == ([] if phase == "before" else ["a.jpg"])
    assert post(api, "b.jpg").status_code == 200


@pytest.mark.parametrize("phase", ["before", "after", "mid-body"])
def test_a_timeout_keeps_the_client_waiting(api: Api, sandbox: Sandbox, phase: str) -> None:
    sandbox.faults([{"endpoint": "create_image", "kind": "timeout", "phase": phase, "count": 1}])
    with pytest.raises(httpx.ReadTimeout):
        api.http.post("/v3/images/", json={"image_name": "a.jpg"}, timeout=0.3)
    assert names(sandbox) == ([] if phase == "before" else ["a.jpg"])
    sandbox.faults([{"endpoint": "create_image", "kind": "timeout", "seconds": 0.1, "count": 1}])
    with pytest.raises(httpx.ReadError):
        post(api, "b.jpg")


def test_a_truncated_answer_ends_early(api: Api, sandbox: Sandbox) -> None:
    image_id = api.finished(DATA)["image_id"]
    sandbox.faults(
        [{"endpoint": "get_object", "kind": "truncate", "count": 1}, {"endpoint": "create_image", "kind": "truncate"}]
    )
    with pytest.raises(httpx.RemoteProtocolError):
        api.bytes(image_id, preview=False)
    with pytest.raises(httpx.RemoteProtocolError):
        post(api)
    assert len(api.bytes(image_id, preview=False)) > 1000


def test_a_corrupt_answer_has_the_right_length_and_the_wrong_digest(api: Api, sandbox: Sandbox) -> None:
    image_id = api.finished(photo(width=1500, height=1000))["image_id"]
    whole = api.bytes(image_id, preview=False)
    sandbox.faults([{"endpoint": "get_object", "kind": "corrupt", "count": 1}])
    answer = api.asset(api.enhanced(image_id, preview=False))
    assert answer.headers["etag"].strip('"') == hashlib.md5(whole).hexdigest()
    assert [place for place in range(len(whole)) if answer.content[place] != whole[place]] == [len(whole) // 2]
    assert api.bytes(image_id, preview=False) == whole


def test_slow_answers_arrive_whole(api: Api, sandbox: Sandbox) -> None:
    image_id = api.finished(DATA)["image_id"]
    whole = api.bytes(image_id)
    sandbox.faults(
        [
            {"endpoint": "get_object", "kind": "slow", "phase": "mid-body", "bytes_per_second": 100_000},
            {"endpoint": "retrieve_image", "kind": "slow", "seconds": 0.05},
        ]
    )
    assert api.bytes(image_id) == whole
    assert api.image(image_id)["status"] == "processed"
    with pytest.raises(httpx.ReadTimeout):
        sandbox.faults([{"endpoint": "retrieve_image", "kind": "slow", "seconds": 5}])
        api.http.get(f"/v3/images/{image_id}", timeout=0.2)


@pytest.mark.parametrize(
    ("rule", "stored"),
    [
        ({"kind": 503}, False),
        ({"kind": 500, "phase": "after"}, True),
        ({"kind": "reset"}, False),
        ({"kind": "reset", "phase": "mid-body"}, False),
        ({"kind": "truncate"}, False),
        ({"kind": "reset", "phase": "after"}, True),
        ({"kind": "timeout", "phase": "after", "seconds": 0.1}, True),
        ({"kind": "timeout", "phase": "mid-body", "seconds": 0.1}, False),
    ],
)
def test_uploads_fail_before_during_and_after(api: Api, sandbox: Sandbox, rule: dict[str, Any], stored: bool) -> None:
    created = api.create("big.jpg")
    data = DATA + bytes(3_000_000)
    sandbox.faults([{"endpoint": "put_object", "count": 1, **rule}])
    try:
        assert api.put(created["upload_url"], data).status_code in (500, 503)
    except httpx.TransportError:
        assert not str(rule["kind"]).isdigit()
    assert len(sandbox.ledger()["uploads"]) == stored
    assert api.put(created["upload_url"], data).status_code == 200
    assert api.wait(created["image_id"])["status"] == "processed"


def test_a_corrupt_upload_is_told_by_its_etag(api: Api, sandbox: Sandbox) -> None:
    created = api.create()
    sandbox.faults([{"endpoint": "put_object", "kind": "corrupt", "count": 1}])
    answer = api.put(created["upload_url"], DATA)
    assert answer.status_code == 200
    assert answer.headers["etag"].strip('"') != hashlib.md5(DATA).hexdigest()


def test_storage_errors_speak_xml_unless_a_gateway_does(api: Api, sandbox: Sandbox) -> None:
    url = api.create()["upload_url"]
    sandbox.faults([{"endpoint": "put_object", "kind": 500, "count": 1}, {"endpoint": "put_object", "kind": 503}])
    assert "<Code>InternalError</Code>" in api.put(url, DATA).text
    assert "<html" in api.put(url, DATA).text


def test_a_bought_download_whose_answer_was_lost_costs_no_second_credit(api: Api, sandbox: Sandbox) -> None:
    image_id = api.finished(DATA)["image_id"]
    sandbox.faults([{"endpoint": "download_enhanced_image", "kind": "reset", "phase": "after", "count": 1}])
    with pytest.raises(httpx.TransportError):
        api.enhanced(image_id, preview=False)
    assert sandbox.ledger()["credits"]["spent"] == 1
    api.bytes(image_id, preview=False)
    assert sandbox.ledger()["credits"]["spent"] == 1


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "explode"},
        {"kind": 418},
        {"kind": 500, "phase": "mid-body"},
        {"kind": "corrupt", "phase": "before"},
        {"kind": 500, "rate": 2},
        {"kind": 500, "endpiont": "create_image"},
        {"kind": 500, "endpoint": "creat_image"},
        {},
    ],
)
def test_rules_that_make_no_sense_are_refused(api: Api, rule: dict[str, Any]) -> None:
    answer = api.plain.post(f"{api.sandbox.url}/sandbox/faults", json=[rule])
    assert answer.status_code == 422
    assert api.plain.get(f"{api.sandbox.url}/sandbox/faults").json() == []


def test_a_client_that_hangs_up_does_no_harm(api: Api, sandbox: Sandbox) -> None:
    host, _, port = urlsplit(sandbox.url).netloc.partition(":")
    for _ in range(5):
        raw = socket.create_connection((host, int(port)), timeout=30)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        head = f"POST /v3/images/ HTTP/1.1\r\nHost: {sandbox.address}\r\nContent-Length: 100\r\n\r\n"
        raw.sendall(head.encode() + b"{")
        raw.close()
    assert post(api).status_code == 200


def test_an_error_says_what_it_is_told_to_say(api: Api, sandbox: Sandbox) -> None:
    words = "PUT https://bucket/a.jpg?Signature=x failed\n<b>"
    sandbox.faults([{"endpoint": name, "kind": 422, "message": words} for name in ("create_image", "put_object")])
    assert post(api).json()["message"] == words
    sandbox.faults([])
    url = api.create("a.jpg")["upload_url"]
    sandbox.faults([{"endpoint": "put_object", "kind": 403, "message": words}])
    answer = api.plain.put(url, content=DATA, headers={"Content-Type": "image/jpeg"})
    assert "<Message>PUT https://bucket/a.jpg?Signature=x failed\n&lt;b&gt;</Message>" in answer.text


def test_every_signature_handed_out_can_be_looked_for(api: Api, sandbox: Sandbox) -> None:
    urls = [api.create(f"{number}.jpg")["upload_url"] for number in range(2)]
    made = sandbox.control("GET", "signatures")
    spelled = [url.partition("&Signature=")[2] for url in urls]
    assert {*spelled, *map(unquote, spelled)} == set(made)
