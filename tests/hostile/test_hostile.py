"""Hostile answers in a short form, with fixed seeds; ``make hostile`` plays thousands with a fresh one."""

from __future__ import annotations

import asyncio
import logging
import socket
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_autoenhance.api import errors
from tests.hostile import values
from tests.hostile.answers import Answer, answer, answers, catalogue_of
from tests.hostile.big import CASES, SHORT, lines, measured
from tests.hostile.judge import Failure, Outcome, judge
from tests.hostile.methods import METHODS, Method
from tests.hostile.run import MOST_GROWTH, play_all
from tests.hostile.server import HostileServer
from tests.hostile.wire import Piece, Places, Replies, Reply, Seen

PLACES = Places("127.0.0.1:10001", "127.0.0.1:10002", "127.0.0.1:10003", "hostile-key-1", "5ECRET1x1x")


@pytest.mark.one_version
@pytest.mark.parametrize("seed", [1, 2])
def test_no_answer_breaks_a_promise(seed: int) -> None:
    report = play_all(answers(seed, 200))
    assert [f"{answer}: {failure}" for answer, failure in report.failures] == []
    assert report.logged == []
    assert report.growth < MOST_GROWTH


@pytest.mark.one_version
def test_an_answer_of_300_mb_costs_little() -> None:
    costs = measured(SHORT)
    assert [cost.name for cost in costs] == list(SHORT)
    assert list(lines(cost for cost in costs if cost.growth > cost.most or cost.failures)) == []


def test_the_short_form_is_a_part_of_the_whole() -> None:
    assert set(SHORT) <= set(CASES)


def test_a_seed_gives_the_same_answers_again() -> None:
    first, second = list(answers(7, 200)), list(answers(7, 200))
    assert list(map(str, first)) == list(map(str, second))
    assert [each.replies(PLACES) for each in first] == [each.replies(PLACES) for each in second]
    assert str(first[-1]) == str(answer(7, 199))
    assert list(map(str, answers(8, 200))) != list(map(str, first))


@pytest.mark.parametrize("name", ["create_image, upload_photo", "list_orders", "download_image, asset host"])
def test_every_kind_can_be_played(name: str) -> None:
    (method,) = (each for each in METHODS if each.name == name)
    for dimension, kinds in catalogue_of(method).items():
        for kind in kinds:
            assert Answer(1, 1, method, ((dimension, kind),)).replies(PLACES).largest > -1


def test_the_server_sends_bytes_as_they_are_and_remembers_requests() -> None:
    reply = Reply((Piece(b"HTTP/1.1 000 \xff\r\n\x00"), Piece(b"ab", 3), Piece(b"cd", 1, 1, 0.001)))
    with HostileServer() as server, server.site() as site:
        site.play(Replies(api=[reply]))
        host, _, port = site.api.partition(":")
        with socket.create_connection((host, int(port))) as link:
            link.sendall(b"GET /v3/orders/ HTTP/1.1\r\nHost: a\r\nX-Api-Key: \xe9\r\n\r\n")
            assert b"".join(iter(lambda: link.recv(100), b"")) == b"HTTP/1.1 000 \xff\r\n\x00abababcd"
        (seen,) = site.seen()
        assert (seen.role, seen.target, seen.header("x-api-key")) == ("api", "/v3/orders/", "\xe9")


# A judge that finds nothing wrong with anything would pass every answer.


def _raises(make: Callable[[Places], Exception]) -> Any:
    def run(_: Any, places: Places) -> None:
        raise make(places)

    return run


def _sends_the_key_elsewhere(_: Any, places: Places) -> None:
    request = urllib.request.Request(f"http://{places.assets}/", headers={"X-Api-Key": places.key})
    urllib.request.urlopen(request, timeout=5).read()


def _logs_an_address(_: Any, places: Places) -> None:
    logging.getLogger("planted").debug("GET %s", places.signed_asset)


PLANTED = {
    "raw": (_raises(lambda _: ValueError("raw")), ["raw"]),
    "interrupt": (_raises(lambda _: asyncio.CancelledError()), ["raw"]),
    "another type": (lambda _, __: 7, ["type"]),
    "key elsewhere": (_sends_the_key_elsewhere, ["key"]),
    "address": (_raises(lambda places: errors.ServerError(f"see {places.signed_asset}")), ["secret"]),
    "key": (_raises(lambda places: errors.ServerError(f"x-api-key {places.key}")), ["secret"]),
    "endless wait": (_raises(lambda _: errors.ServerError("wait", retry_after=float("inf"))), ["error"]),
    "nothing said": (_raises(lambda _: errors.ServerError("")), ["error"]),
    "long": (_raises(lambda _: errors.ServerError("said " * 5000)), ["error"]),
    "logged": (_logs_an_address, []),
    "fine": (_raises(lambda _: errors.ServerError("try again")), []),
    "value": (lambda _, __: None, []),
}


def test_the_judge_finds_what_is_planted() -> None:
    methods = [Method(name, values.nothing, run, None) for name, (run, _) in PLANTED.items()]
    report = play_all(Answer(1, number, method, ()) for number, method in enumerate(methods))
    found = [(answer.method.name, failure.kind) for answer, failure in report.failures]
    assert sorted(found) == sorted((name, kind) for name, (_, kinds) in PLANTED.items() for kind in kinds)
    (line,) = report.logged
    assert line.startswith("planted DEBUG")


def _judged(outcome: Outcome, *seen: Seen, returns: Any = None) -> list[str]:
    return [failure.kind for failure in judge(outcome, returns, seen, PLACES, timeout=1)]


def test_the_judge_knows_lateness_cookies_and_keys_that_come_back() -> None:
    first = Seen("api", f"GET /v3/images/a/enhanced HTTP/1.1\r\nHost: {PLACES.api}\r\nx-api-key: {PLACES.key}\r\n\r\n")
    asset = Seen("assets", f"GET /photo.jpg HTTP/1.1\r\nHost: {PLACES.assets}\r\n\r\n")
    other = Seen("api", first.head.replace("/a/", "/OTHER/"))
    cookie = Seen("api", f"GET / HTTP/1.1\r\nHost: {PLACES.api}\r\nCookie: a=b\r\n\r\n")
    elsewhere = Seen("api", first.head.replace(PLACES.api, "localhost:10001"))
    fine = Outcome()
    assert _judged(fine, first, asset, first) == []
    assert _judged(fine, first, other) == []
    assert _judged(fine, first, asset, other) == ["key"]
    assert _judged(fine, elsewhere) == ["key"]
    assert _judged(fine, cookie) == ["cookie"]
    assert _judged(Outcome(seconds=5.1)) == ["late"]
    assert _judged(Outcome(seconds=2.9)) == []
    assert str(Failure("late", "9 s")) == "late: 9 s"
