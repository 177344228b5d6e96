"""Play hostile answers to the hooks, many at once, and collect what they broke."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from airflow_provider_autoenhance.api.errors import AutoenhanceError
from airflow_provider_autoenhance.api.exchange import Tries
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook
from tests.hostile.answers import BIG, Answer
from tests.hostile.judge import Failure, Outcome, judge
from tests.hostile.methods import METHODS, TIMEOUT_SECONDS
from tests.hostile.server import HostileServer, Site
from tests.hostile.wire import Places, Replies

#: What keys and signatures begin with, so that they are found wherever they come to light.
KEY, SECRET = "hostile-key", "5ECRET"
#: Bytes by which a process may grow that meets thousands of answers.
MOST_GROWTH = 100e6
#: Calls at once, each at a site of its own.
AT_ONCE = 12
Around = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Result:
    """What became of one answer.

    :param outcome: ``value``, or the error's class.
    """

    outcome: str
    failures: list[Failure]


@dataclass
class Report:
    """What became of many answers.

    :param failures: each with the answer that brought it about.
    :param outcomes: how often a call ended with a value, or with which error.
    :param growth: bytes by which the process's memory grew at its highest.
    :param logged: log records that held a key or a presigned address.
    """

    failures: list[tuple[Answer, Failure]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    growth: int = 0
    logged: list[str] = field(default_factory=list)


class Client:
    """Both hooks for one site, with one try for each call and with three.

    :param number: of the site; names its connections and its key.
    :param loop: runs in a thread of its own, as the triggerer's does.
    """

    def __init__(self, number: int, site: Site, loop: asyncio.AbstractEventLoop, patch: pytest.MonkeyPatch) -> None:
        self._site = site
        self._loop = loop
        self._key = f"{KEY}-{number}-5e1f"
        self._hooks: dict[tuple[bool, int], Any] = {}
        for attempts in (1, 3):
            conn_id = f"hostile_{number}_{attempts}"
            extra = {"timeout_seconds": TIMEOUT_SECONDS, "max_attempts": attempts, "max_requests_per_second": 1e4}
            fields = {"conn_type": "autoenhance", "host": f"http://{site.api}", "password": self._key, "extra": extra}
            patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
            self._hooks[False, attempts] = AutoenhanceHook(conn_id)
            self._hooks[True, attempts] = AutoenhanceAsyncHook(conn_id)

    def places(self, answer: Answer) -> Places:
        """Where the answer's origins are, and its secrets."""
        secret = f"{SECRET}{answer.seed}x{answer.index}x"
        return Places(self._site.api, self._site.upload, self._site.assets, self._key, secret)

    def play(self, answer: Answer, replies: Replies | None = None, around: Around = nullcontext) -> Result:
        """Let a call meet its answer. Every third call has three tries.

        :param replies: instead of the answer's own.
        :param around: entered for the call alone.
        """
        places, method = self.places(answer), answer.method
        hook = self._hooks[method.asynchronous, 3 if answer.index % 3 == 0 else 1]
        self._site.play(replies or answer.replies(places))
        with around():
            if method.asynchronous:
                outcome = asyncio.run_coroutine_threadsafe(_met(method.run(hook, places)), self._loop).result()
            else:
                outcome = _meet(lambda: method.run(hook, places))
        failures = judge(outcome, method.returns, self._site.seen(), places, TIMEOUT_SECONDS)
        return Result(type(outcome.error).__name__ if outcome.error else "value", failures)


def _meet(call: Callable[[], Any]) -> Outcome:
    began = time.monotonic()
    try:
        value = call()
    except BaseException as error:
        return Outcome(None, error, time.monotonic() - began)
    return Outcome(value, None, time.monotonic() - began)


async def _met(call: Awaitable[Any]) -> Outcome:
    began = time.monotonic()
    try:
        value = await call
    except BaseException as error:
        return Outcome(None, error, time.monotonic() - began)
    return Outcome(value, None, time.monotonic() - began)


class Clients:
    """Clients for many calls at once."""

    def __init__(self, server: HostileServer, patch: pytest.MonkeyPatch) -> None:
        self._held = ExitStack()
        loop = self._held.enter_context(running_loop())
        self._all = [Client(number, self._held.enter_context(server.site()), loop, patch) for number in range(AT_ONCE)]
        self._report = Report()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the sites."""
        self._held.close()

    def run(self, answers: Iterable[Answer]) -> Report:
        """Play all answers: small ones many at once, big ones one by one, and late ones once more alone."""
        self._warm_up()
        small, big = [], []
        for answer in answers:
            (big if answer.replies(self._all[0].places(answer)).largest > BIG else small).append(answer)
        with watched() as watch:
            self._one_by_one(self._at_once(small))
            self._one_by_one(big)
        self._report.growth, self._report.logged = watch.growth, watch.logged
        return self._report

    def _warm_up(self) -> None:
        """Let each method, and each client, meet polite answers, so that what they load does not count as growth."""
        answers = [Answer(0, number, method, ()) for number, method in enumerate(METHODS)]
        self._one_by_one(answers)
        self._at_once(answers * 6)
        broken = [f"{answer.method.name}: {failure}" for answer, failure in self._report.failures]
        values = self._report.outcomes["value"]
        if broken or values < 0.9 * self._report.outcomes.total():  # a busy machine may keep one waiting for a second
            raise AssertionError(f"polite answers failed: {broken} {self._report.outcomes}")
        self._report.outcomes.clear()

    def _at_once(self, answers: Iterable[Answer]) -> list[Answer]:
        """Play many at a time, and return those whose calls took too long: the machine may have been busy with the others."""
        waiting: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        late: list[Answer] = []
        for answer in answers:
            waiting.put(answer)

        def work(client: Client) -> None:
            with suppress(queue.Empty):
                while True:
                    answer = waiting.get_nowait()
                    result = client.play(answer)
                    if any(failure.kind == "late" for failure in result.failures):
                        late.append(answer)
                    else:
                        self._note(answer, result)

        threads = [threading.Thread(target=work, args=(client,)) for client in self._all]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return late

    def _one_by_one(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            self._note(answer, self._all[0].play(answer))

    def _note(self, answer: Answer, result: Result) -> None:
        with self._lock:
            self._report.outcomes[result.outcome] += 1
            self._report.failures += [(answer, each) for each in result.failures]


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread for the duration of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def play_all(answers: Iterable[Answer]) -> Report:
    """Play answers to hooks with a timeout of a second, whose deliberate pauses are cut short."""
    with HostileServer() as server, hurried() as patch:
        clients = Clients(server, patch)
        try:
            return clients.run(answers)
        finally:
            clients.close()


@contextmanager
def hurried() -> Iterator[pytest.MonkeyPatch]:
    """Decisions about retries stay as they are; the pauses between tries shrink, and a web source's timeout is the hooks'."""
    decide = Tries.pause_after

    def shortly(self: Tries, error: AutoenhanceError, waited: float) -> float | None:
        pause = decide(self, error, waited)
        return None if pause is None else pause / 1000

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tries, "pause_after", shortly)
        patch.setattr("airflow_provider_autoenhance.storage.http._TIMEOUT", (TIMEOUT_SECONDS, TIMEOUT_SECONDS))
        yield patch


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
        if SECRET in text or KEY in text:
            self.logged.append(f"{record.name} {record.levelname}: {text[:300]!r}")

    def sample(self) -> None:
        self.growth = max(self.growth, self._process.memory_info().rss - self._start)


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch what happens within the block; every library's log is read at DEBUG, and none is shown."""
    gc.collect()
    watch, over, root = Watch(), threading.Event(), logging.getLogger()
    level = root.level

    def sample() -> None:
        while not over.wait(0.05):
            watch.sample()

    sampler = threading.Thread(target=sample)
    with pytest.MonkeyPatch.context() as patch:
        for each in logging.Logger.manager.loggerDict.values():
            if isinstance(each, logging.Logger):
                patch.setattr(each, "handlers", [])
                patch.setattr(each, "propagate", True)
                patch.setattr(each, "level", logging.NOTSET)
        patch.setattr(root, "handlers", [watch])
        root.setLevel(logging.DEBUG)  # which also forgets what loggers remember of their levels
        sampler.start()
        try:
            yield watch
        finally:
            over.set()
            sampler.join()
            patch.undo()
            root.setLevel(level)
