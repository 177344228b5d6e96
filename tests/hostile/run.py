"""Play hostile answers to the hooks, many at once, and collect what they broke."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from airflow_provider_autoenhance.api.errors import AutoenhanceError
from airflow_provider_autoenhance.api.exchange import Tries
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook
from tests.hostile.answers import BIG, Answer
from tests.hostile.methods import METHODS
from tests.hostile.judge import Failure, Outcome, judge
from tests.hostile.server import HostileServer, Site
from tests.hostile.wire import Places, Replies

TIMEOUT_SECONDS = 1.0
#: Sites in use at once, of each kind of hook.
AT_ONCE = 8


@dataclass
class Report:
    """What became of many answers.

    :param failures: each with the answer that brought it about.
    :param outcomes: how often a call ended with a value, or with which error.
    :param growth: bytes by which the process's memory grew at its highest.
    """

    failures: list[tuple[Answer, Failure]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    growth: int = 0
    logged: list[str] = field(default_factory=list)


class Client:
    """Both hooks for one site, with one try for each call and with three.

    :param number: of the site; names its connections and its key.
    """

    def __init__(self, number: int, site: Site) -> None:
        self.site = site
        self.key = f"hostile-key-{number}-5e1f"
        self.hooks: dict[tuple[bool, int], Any] = {}
        for attempts in (1, 3):
            conn_id = f"hostile_{number}_{attempts}"
            extra = {"timeout_seconds": TIMEOUT_SECONDS, "max_attempts": attempts, "max_requests_per_second": 1e6}
            fields = {"conn_type": "autoenhance", "host": f"http://{site.api}", "password": self.key, "extra": extra}
            os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)
            self.hooks[False, attempts] = AutoenhanceHook(conn_id)
            self.hooks[True, attempts] = AutoenhanceAsyncHook(conn_id)

    def places(self, answer: Answer) -> Places:
        site = self.site
        return Places(site.api, site.upload, site.assets, self.key, f"5ECRET{answer.seed}x{answer.index}x")

    def hook(self, answer: Answer) -> Any:
        """The hook that the answer's call is made with; every third has three tries."""
        return self.hooks[answer.method.asynchronous, 3 if answer.index % 3 == 0 else 1]

    def play(self, answer: Answer, replies: Replies | None = None) -> list[Failure | str]:
        """Let a call that blocks meet its answer."""
        places = self.places(answer)
        self.site.play(replies or answer.replies(places))
        began = time.monotonic()
        try:
            value, error = answer.method.run(self.hook(answer), places), None
        except BaseException as raised:
            value, error = None, raised
        return self._judged(answer, places, value, error, time.monotonic() - began)

    async def play_async(self, answer: Answer, replies: Replies | None = None) -> list[Failure | str]:
        """Let a coroutine meet its answer."""
        places = self.places(answer)
        await asyncio.to_thread(lambda: self.site.play(replies or answer.replies(places)))
        began = time.monotonic()
        try:
            value, error = await answer.method.run(self.hook(answer), places), None
        except BaseException as raised:
            value, error = None, raised
        seconds = time.monotonic() - began
        return await asyncio.to_thread(self._judged, answer, places, value, error, seconds)

    def _judged(self, answer: Answer, places: Places, value: Any, error: Any, seconds: float) -> list[Failure | str]:
        seen = self.site.seen()
        failures = judge(Outcome(value, error, seconds), answer.method.returns, seen, places, TIMEOUT_SECONDS)
        return [type(error).__name__ if error else "value", *failures]


class Clients:
    """Clients for many calls at once; :meth:`one` for a call that needs a machine of its own."""

    def __init__(self, server: HostileServer) -> None:
        self._held = ExitStack()
        self._all = [Client(number, self._held.enter_context(server.site())) for number in range(2 * AT_ONCE)]
        self.report = Report()
        self._lock = threading.Lock()

    def close(self) -> None:
        self._held.close()

    def run(self, answers: Iterable[Answer]) -> Report:
        """Play all answers: small ones many at once, big ones one by one, and late ones once more alone."""
        self._warm_up()
        small, big = [], []
        for answer in answers:
            replies = answer.replies(self._all[0].places(answer))
            sizes = [reply.size for role in (replies.api, replies.upload, replies.assets) for reply in role]
            (big if max(sizes) > BIG else small).append(answer)
        with watched() as watch:
            self._at_once(small)
            self._one_by_one(big)
        self.report.growth, self.report.logged = watch.growth, watch.logged
        return self.report

    def _warm_up(self) -> None:
        """Let each method meet a polite answer, so that what it loads does not count as growth."""
        for number, method in enumerate(METHODS):
            self._one_by_one([Answer(0, number, method, ())])
        broken = [f"{answer.method.name}: {failure}" for answer, failure in self.report.failures]
        if broken or set(self.report.outcomes) != {"value"}:
            raise AssertionError(f"polite answers failed: {broken} {self.report.outcomes}")
        self.report.outcomes.clear()

    def _at_once(self, answers: Sequence[Answer]) -> None:
        waiting: dict[bool, queue.SimpleQueue[Answer]] = {False: queue.SimpleQueue(), True: queue.SimpleQueue()}
        late: list[Answer] = []
        for answer in answers:
            waiting[answer.method.asynchronous].put(answer)

        def work(client: Client) -> None:
            for answer in _drained(waiting[False]):
                self._note(answer, client.play(answer), late)

        async def work_async(client: Client) -> None:
            for answer in _drained(waiting[True]):
                self._note(answer, await client.play_async(answer), late)

        async def all_async() -> None:
            await asyncio.gather(*(work_async(client) for client in self._all[AT_ONCE:]))

        threads = [threading.Thread(target=work, args=(client,)) for client in self._all[:AT_ONCE]]
        threads.append(threading.Thread(target=asyncio.run, args=(all_async(),)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._one_by_one(late)

    def _one_by_one(self, answers: Sequence[Answer]) -> None:
        async def all_async(client: Client) -> None:
            for answer in answers:
                if answer.method.asynchronous:
                    self._note(answer, await client.play_async(answer))

        for answer in answers:
            if not answer.method.asynchronous:
                self._note(answer, self._all[0].play(answer))
        if any(answer.method.asynchronous for answer in answers):
            asyncio.run(all_async(self._all[-1]))

    def _note(self, answer: Answer, told: list[Failure | str], late: list[Answer] | None = None) -> None:
        outcome, *failures = told
        with self._lock:
            if late is not None and any(isinstance(each, Failure) and each.kind == "late" for each in failures):
                late.append(answer)  # the machine may have been busy with the others
                return
            self.report.outcomes[str(outcome)] += 1
            self.report.failures += [(answer, each) for each in failures if isinstance(each, Failure)]


def _drained(waiting: queue.SimpleQueue[Answer]) -> Iterator[Answer]:
    while True:
        try:
            yield waiting.get_nowait()
        except queue.Empty:
            return


def play_all(answers: Iterable[Answer]) -> Report:
    """Play answers to hooks with a timeout of a second, whose deliberate pauses are cut short."""
    with HostileServer() as server, hurried():
        clients = Clients(server)
        try:
            return clients.run(answers)
        finally:
            clients.close()


@contextmanager
def hurried() -> Iterator[None]:
    """Decisions about retries stay as they are; the pauses between tries shrink, and a web source's timeout is the hooks'."""
    decide = Tries.pause_after

    def shortly(self: Tries, error: AutoenhanceError, waited: float) -> float | None:
        pause = decide(self, error, waited)
        return None if pause is None else pause / 1000

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tries, "pause_after", shortly)
        patch.setattr("airflow_provider_autoenhance.storage.http._TIMEOUT", (TIMEOUT_SECONDS, TIMEOUT_SECONDS))
        yield


class Watch(logging.Handler):
    """This process's memory, and secrets in its logs, while answers are played."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.logged: list[str] = []
        self._process = psutil.Process()
        self._start = self._process.memory_info().rss
        self.growth = 0

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if "5ECRET" in text or "hostile-key-" in text:
            self.logged.append(f"{record.name} {record.levelname}: {text[:300]!r}")

    def sample(self) -> None:
        self.growth = max(self.growth, self._process.memory_info().rss - self._start)


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch what happens within the block; every library's log is read at DEBUG."""
    gc.collect()
    watch, over, root = Watch(), threading.Event(), logging.getLogger()

    def sample() -> None:
        while not over.wait(0.05):
            watch.sample()

    sampler = threading.Thread(target=sample)
    level = root.level
    root.addHandler(watch)
    root.setLevel(logging.DEBUG)
    sampler.start()
    try:
        yield watch
    finally:
        over.set()
        sampler.join()
        root.setLevel(level)
        root.removeHandler(watch)
