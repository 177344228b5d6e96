"""Nights at random: faults of every kind, kills, clears, new runs, photos that come, change and go; the promises hold after each step.

``TORTURE_EXAMPLES`` sets how many examples are tried, with a fresh seed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from tests.crash.effects import Effects
from tests.support.photos import photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import connection_of, context

NAMES = ("a.jpg", "b.jpg", "up/c.jpg")
VERSIONS = (1, 2)

#: Runs, and the most credits that each may spend.
RUNS: dict[str, int | None] = {"night-1": None, "night-2": 2, "night-3": None, "night-4": 1}

STATUSES = ("400", "401", "402", "403", "404", "409", "422", "429", "500", "503")
ENDPOINTS = (
    "create_order", "retrieve_order", "create_image", "delete_image", "POST /v3/images/{id}/process", "download_enhanced_image",
    "put_object", "get_object",
)  # fmt: skip
STREAMS = ("put_object", "get_object")

PARTS = 2
EXAMPLES = int(os.environ.get("TORTURE_EXAMPLES", "1000"))


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and nothing has an effect after it."""


def die() -> None:
    raise Killed


@st.composite
def fault_rules(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a fault, but no lie: an order that exists is never said not to, and TCP's checksums hold for JSON."""
    endpoint = draw(st.sampled_from(ENDPOINTS))
    kinds = [*STATUSES, "timeout", "reset", "slow", "truncate", *(["corrupt"] if endpoint in STREAMS else [])]
    if endpoint == "retrieve_order":
        kinds.remove("404")
    kind = draw(st.sampled_from(kinds))
    phases = ["before", "after"] if kind.isdigit() else ["before", "after", "mid-body"]
    phase = "mid-body" if kind in ("truncate", "corrupt") else draw(st.sampled_from(phases))
    made: dict[str, Any] = {"endpoint": endpoint, "kind": kind, "phase": phase}
    made |= {"count": draw(st.integers(1, 6)), "skip": draw(st.integers(0, 3))}
    if kind in ("timeout", "slow"):
        made |= {"seconds": 0.01, "bytes_per_second": 1 << 20}
    if kind == "429" and draw(st.booleans()):
        made["retry_after"] = 0
    return made


@cache
def picture(name: str, version: int) -> bytes:
    return photo(size=(16, 12), shade=40 + 7 * NAMES.index(name) + 50 * version)


class Nights(RuleBasedStateMachine):
    """A folder of photos, a sandbox, and whatever may happen to a task that works on them."""

    sandbox: ClassVar[Sandbox]
    effects: ClassVar[Effects]

    def __init__(self) -> None:
        super().__init__()
        self.sandbox.reset()
        self.folder = Path(tempfile.mkdtemp(prefix="autoenhance-nights-"))
        self.source, self.destination = self.folder / "in", self.folder / "out"
        self.source.mkdir()
        self.photos: dict[str, int] = {}
        self.settings: dict[str, Any] = {}
        self.tries: Counter[str] = Counter()
        self.spent: Counter[str] = Counter()
        self.put("a.jpg", 1)

    @rule(name=st.sampled_from(NAMES), version=st.sampled_from(VERSIONS))
    def put(self, name: str, version: int) -> None:
        """A photo comes, changes, or is changed back."""
        path = self.source / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture(name, version))
        os.utime(path, (version, version))
        self.photos[name] = version

    @precondition(lambda self: self.photos)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.photos)))
        (self.source / name).unlink()
        del self.photos[name]

    @rule(name=st.sampled_from(NAMES))
    def delete_output(self, name: str) -> None:
        (self.destination / name).unlink(missing_ok=True)

    @rule(kind=st.sampled_from(["warm", "modern"]))
    def change_settings(self, kind: str) -> None:
        self.settings = {"enhance_type": kind}

    @rule(rules=st.lists(fault_rules(), max_size=3))
    def set_faults(self, rules: list[dict[str, Any]]) -> None:
        self.sandbox.faults(rules)

    @rule(reason=st.sampled_from(["", "cannot decode", "Daily enhancement limit reached. Try again tomorrow."]))
    def vendor_fails(self, reason: str) -> None:
        self.sandbox.settings(fail_images={"a*": reason} if reason else {})

    @rule(
        run_id=st.sampled_from(sorted(RUNS)),
        last=st.one_of(st.just(0), st.integers(1, 30)),
        before=st.booleans(),
        deferrable=st.booleans(),
        event=st.sampled_from(["finished", "error", "cleared"]),
        concurrency=st.sampled_from([1, 1, 2]),
        processing=st.sampled_from([0.0, 0.0, 0.03]),
    )
    def night(
        self, run_id: str, last: int, before: bool, deferrable: bool, event: str, concurrency: int, processing: float
    ) -> None:
        """A task is run, retried or cleared, and may die at any effect."""
        self.sandbox.settings(processing_seconds=[processing, processing])
        spent = self.sandbox.ledger(summary=True)["credits"]["spent"]
        options = {"deferrable": deferrable, "concurrency": concurrency, "max_credits": RUNS[run_id]}
        self.effects.arm(last, before=before)
        try:
            self.work(run_id, event, **options)
        except (Killed, AirflowFailException, errors.AutoenhanceError):
            pass
        finally:
            self.effects.arm(0, before=False)
        self.check()
        self.spent[run_id] += self.sandbox.ledger(summary=True)["credits"]["spent"] - spent
        limit = RUNS[run_id]
        assert limit is None or self.spent[run_id] <= limit, "max_credits is a ceiling across tries"

    def work(self, run_id: str, event: str = "finished", **options: Any) -> dict[str, Any] | None:
        """Run a try; where it defers, the trigger's event decides how it goes on."""
        self.tries[run_id] += 1
        about = {"run_id": run_id, "try_number": self.tries[run_id]}
        task = self.operator(**options)
        try:
            return task.execute(context(task, **about))
        except TaskDeferred as deferral:
            if event == "cleared":
                return None
            payload: Any = {"orders": list(deferral.trigger.orders)}
            if event == "error":
                payload = {"error": "DeadlineError", "message": "past the deadline"}
        again = self.operator(**options | {"deferrable": False})
        return again.execute_complete(context(again, **about), payload)

    def operator(self, **options: Any) -> AutoenhanceEnhanceOperator:
        return AutoenhanceEnhanceOperator(
            **{
                "task_id": "enhance", "source": f"{self.source}/", "destination": f"{self.destination}/",
                "preview": False, "settings": self.settings, "group_by": "all", "poll_interval": 0.01, "deadline": 30,
            } | options
        )  # fmt: skip

    def check(self) -> dict[str, Any]:
        """What must hold at any time."""
        ledger = self.sandbox.ledger()
        prints = {image["image_id"]: image["metadata"]["fingerprint"] for image in ledger["images"]}
        adoptable = Counter(
            prints[image["image_id"]]
            for image in ledger["images"]
            if not image["deleted"] and image["status"] in ("processing", "processed")
        )
        assert not adoptable or max(adoptable.values()) == 1, "a second image beside an adoptable one"
        credits: defaultdict[str, int] = defaultdict(int)
        for image_id, number in ledger["credits"]["by_image"].items():
            credits[prints[image_id]] += number
        assert not credits or max(credits.values()) == 1, "a photo paid for twice"
        for name in NAMES:
            output = self.destination / name
            if output.exists():
                assert output.read_bytes() in [picture(name, version) for version in VERSIONS], f"{name} is not whole"
        for name, version in self.photos.items():
            assert (self.source / name).read_bytes() == picture(name, version), "a source was written to"
        return ledger

    def until_nothing_is_processed(self) -> None:
        while any(each["status"] == "processing" and not each["deleted"] for each in self.sandbox.ledger()["images"]):
            time.sleep(0.01)

    def teardown(self) -> None:
        """Without faults everything lands, and then there is nothing left to do."""
        try:
            self.sandbox.faults([])
            self.sandbox.settings(fail_images={}, processing_seconds=[0, 0])
            self.until_nothing_is_processed()  # what is under way still fails as it was told to
            summary = self.work("last-night")
            assert summary is not None
            assert summary["landed"] + summary["skipped"] == summary["photos"] == len(self.photos)
            before = self.check()
            for name, version in self.photos.items():
                assert (self.destination / name).read_bytes() == picture(name, version), f"{name} is not up to date"
            again = self.work("night-after")
            assert again is not None
            assert (again["landed"], again["skipped"]) == (0, len(self.photos))
            after = self.check()
            assert after["images_created"] == before["images_created"], "an unchanged night makes nothing"
        finally:
            shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def watched(copying_sandbox: Sandbox) -> Any:
    """Watch this process's own effects, and keep waits short."""
    patch = pytest.MonkeyPatch()
    patch.setattr("airflow_provider_autoenhance.api.exchange.LONGEST_WAIT_SECONDS", 0.001)
    connection = json.loads(connection_of(copying_sandbox, "AUTOENHANCE_DEFAULT"))
    connection["extra"] = {"max_attempts": 2, "max_requests_per_second": 1e6}
    patch.setenv("AIRFLOW_CONN_AUTOENHANCE_DEFAULT", json.dumps(connection))
    Nights.sandbox, Nights.effects = copying_sandbox, Effects(die)
    with Nights.effects.watching():
        yield
    patch.undo()


@pytest.mark.parametrize("part", range(PARTS))
def test_no_night_breaks_a_promise(watched: None, part: int) -> None:
    machine = type(f"Nights{part}", (Nights,), {})
    seed(part if "TORTURE_EXAMPLES" not in os.environ else random.getrandbits(64))(machine)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=EXAMPLES // PARTS,
            stateful_step_count=8,
            deadline=None,
            database=None,
            print_blob=True,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
