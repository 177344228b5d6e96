"""Nights at random: faults of every kind, kills, clears, new runs, photos that come, change and go; the promises hold after each step."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import Request, urlopen

from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.pipeline.records import now
from tests.crash.effects import Effects
from tests.support.photos import photo
from tests.support.pins import PINS, pin_version
from tests.support.sandbox import Sandbox
from tests.support.tasks import context

VERSIONS = (1, 2)

#: Runs, and the most credits that each may spend.
RUNS: dict[str, int | None] = {"night-1": None, "night-2": 2, "night-3": None, "night-4": 1}

STATUSES = ("400", "401", "402", "403", "404", "409", "422", "429", "500", "503")
ENDPOINTS = (
    "create_order", "retrieve_order", "create_image", "delete_image", "POST /v3/images/{id}/process", "download_enhanced_image",
    "put_object", "get_object",
)  # fmt: skip
STREAMS = ("put_object", "get_object")


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and nothing has an effect after it."""


class Surprise(Exception):  # noqa: N818 - it is no error of ours
    """Stands for what nobody foresaw: a library raises it in the middle of a photo."""


def play(kind: type[RuleBasedStateMachine], part: int, *, examples: int, steps: int) -> None:
    """Run random nights of a kind; with ``TORTURE_EXAMPLES`` from a fresh seed, else from the part's."""
    machine = type(f"{kind.__name__}{part}", (kind,), {})
    seed(part if "TORTURE_EXAMPLES" not in os.environ else random.getrandbits(64))(machine)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


def die() -> None:
    raise Killed


def surprise() -> None:
    raise Surprise("see https://bucket.example/a.jpg?X-Amz-Signature=c2VjcmV0")


NAME = st.runner().flatmap(lambda nights: st.sampled_from(nights.names))


@st.composite
def fault_rules(draw: st.DrawFn, endpoints: Sequence[str]) -> dict[str, Any]:
    """Draw a fault, but no lie: an order that exists is never said not to, nor the other way round, and TCP's checksums hold for JSON."""
    endpoint = draw(st.sampled_from(endpoints))
    kinds = [*STATUSES, "timeout", "reset", "slow", "truncate", *(["corrupt"] if endpoint in STREAMS else [])]
    if endpoint in ("retrieve_order", "v3_orders_order_id_brackets_get"):
        kinds.remove("404")
    kind = draw(st.sampled_from(kinds))
    phases = ["before", "after"] if kind.isdigit() else ["before", "after", "mid-body"]
    if (endpoint, kind) == ("create_order", "409"):
        phases.remove("before")  # an id is taken once the order is made
    phase = "mid-body" if kind in ("truncate", "corrupt") else draw(st.sampled_from(phases))
    made: dict[str, Any] = {"endpoint": endpoint, "kind": kind, "phase": phase}
    made |= {"count": draw(st.integers(1, 6)), "skip": draw(st.integers(0, 3))}
    if kind in ("timeout", "slow"):
        made |= {"seconds": 0.01, "bytes_per_second": 1 << 20}
    if kind == "429" and draw(st.booleans()):
        made["retry_after"] = 0
    return made


@cache
def _photo(shade: int) -> bytes:
    return photo(size=(16, 12), shade=shade)


class Nights(RuleBasedStateMachine):
    """A folder of photos, a sandbox, and whatever may happen to a task that works on them."""

    sandbox: ClassVar[Sandbox]
    effects: ClassVar[Effects]

    names: ClassVar[tuple[str, ...]] = ("a.jpg", "b.jpg", "up/c.jpg")
    endpoints: ClassVar[tuple[str, ...]] = ENDPOINTS
    brackets: ClassVar[str] = "none"
    #: What a task may work on: all photos as one group; folder by folder, with books in each; a mapped task's share of them, which has
    #: books of its own; the folder named more than once.
    selections: ClassVar[tuple[str, ...]] = ("all", "all", "by folder", "share", "rest", "overlapping")

    def __init__(self) -> None:
        super().__init__()
        self.sandbox.reset()
        self.folder = Path(tempfile.mkdtemp(prefix="autoenhance-nights-"))
        self.source, self.destination = self.folder / "in", self.folder / "out"
        self.source.mkdir()
        self.photos: dict[str, int] = {}
        #: Photos that went away while a task waited for them: what is bought of them lands all the same.
        self.gone: set[str] = set()
        self.settings = {"enhance_type": "warm"}
        self.tries: Counter[str] = Counter()
        self.manifest_uri: str | None = None
        #: By run, settings and selection: each is a batch of its own, with limits of its own.
        self.spent: Counter[tuple[str, str, str]] = Counter()
        #: Images that a person has deleted.
        self.taken: set[str] = set()
        self.put(self.names[0], 1)

    @staticmethod
    def picture(name: str, version: int) -> bytes:
        """A photo's bytes."""
        return _photo(40 + 7 * Nights.names.index(name) + 50 * version)

    def wanted(self) -> dict[str, bytes]:
        """What there is to be in the end, by file name."""
        return {name: self.picture(name, version) for name, version in self.photos.items()}

    @staticmethod
    def print_of(image: dict[str, Any], ledger: dict[str, Any]) -> str:
        """What an image in the books was made of."""
        return str(image["metadata"]["fingerprint"])

    @staticmethod
    def bytes_of(image: dict[str, Any], ledger: dict[str, Any]) -> str:
        """Which files an image in the books was made of, whatever the settings."""
        return " ".join(str(image["metadata"][each]) for each in ("source", "etag"))

    @initialize(version=st.sampled_from(PINS))
    def begin(self, version: str) -> None:
        """The connection pins an API version."""
        pin_version(version)

    @rule(version=st.sampled_from(PINS))
    def pin_another_version(self, version: str) -> None:
        """Somebody pins a newer version, or goes back to an older one."""
        pin_version(version)

    @rule(name=NAME, version=st.sampled_from(VERSIONS))
    def put(self, name: str, version: int) -> None:
        """A photo comes, changes, or is changed back."""
        path = self.source / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.picture(name, version))
        os.utime(path, (version, version))
        self.photos[name] = version

    @rule(name=NAME)
    def take_away(self, name: str) -> None:
        """A photo goes, where it is there: which are, hangs on whether a night was deferred in time, and no drawing may hang on that."""
        (self.source / name).unlink(missing_ok=True)
        self.photos.pop(name, None)

    @rule(name=NAME)
    def output_goes(self, name: str) -> None:
        self.delete_output(name)

    def delete_output(self, name: str) -> None:
        (self.destination / name).unlink(missing_ok=True)

    @rule(kind=st.sampled_from(["warm", "modern"]))
    def change_settings(self, kind: str) -> None:
        self.settings = {"enhance_type": kind}

    @rule(rules=st.runner().flatmap(lambda nights: st.lists(fault_rules(nights.endpoints), max_size=3)))
    def set_faults(self, rules: list[dict[str, Any]]) -> None:
        self.sandbox.faults(rules)

    @rule(reason=st.sampled_from(["", "cannot decode", "Daily enhancement limit reached. Try again tomorrow."]))
    def vendor_fails(self, reason: str) -> None:
        self.sandbox.settings(fail_images={"a*": reason} if reason else {})

    @rule(kind=st.sampled_from(["warm", "modern"]), name=NAME)
    def person_restyles(self, kind: str, name: str) -> None:
        """Somebody has all that is enhanced enhanced again with other settings, in the web app or with another DAG, and misses a file."""
        self.delete_output(name)
        for image in self.sandbox.ledger()["images"]:
            if image["status"] == "processed" and not image["deleted"]:
                self._call("POST", f"images/{image['image_id']}/process", {"enhance_type": kind})

    def person_deletes(self, kind: str) -> None:
        """Somebody deletes in the web app what nobody has paid for yet: an image, or an order with all that is in it. Or Autoenhance
        deletes what it has kept for long enough."""
        ledger = self.sandbox.ledger()
        live = [image for image in ledger["images"] if not (image["deleted"] or image["image_id"] in self.paid(ledger))]
        paid = {image["order_id"] for image in ledger["images"] if image["image_id"] in self.paid(ledger)}
        orders = [each for each in ledger["orders"] if not each["deleted"] and each["order_id"] not in paid]
        if kind == "image" and live:
            self._delete(f"images/{live[0]['image_id']}", [live[0]["image_id"]])
        elif kind == "order" and orders:
            self._delete(f"orders/{orders[-1]['order_id']}", orders[-1]["image_ids"])
        elif kind == "kept too long":
            for order in ledger["orders"]:
                self._delete(f"orders/{order['order_id']}", order["image_ids"])

    def _delete(self, path: str, images: list[str]) -> None:
        self._call("DELETE", path)
        deleted = {each["image_id"] for each in self.sandbox.ledger()["images"] if each["deleted"]}
        self.taken |= deleted.intersection(images)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        headers = {"x-api-key": self.sandbox.api_key, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.sandbox.url}/v3/{path}", data, headers, method=method)
        with suppress(OSError, HTTPException), urlopen(request, timeout=60):  # a fault may strike a person too
            pass

    def paid(self, ledger: dict[str, Any]) -> dict[str, int]:
        """Credits by image, but for images that somebody deleted in the very moment in which they were paid."""
        return {key: number for key, number in ledger["credits"]["by_image"].items() if key not in self.taken}

    @rule(kind=st.sampled_from(["image", "order", "kept too long"]))
    def delete_remote(self, kind: str) -> None:
        self.person_deletes(kind)

    @rule(
        run_id=st.sampled_from(sorted(RUNS)),
        last=st.one_of(st.just(0), st.integers(1, 30)),
        before=st.booleans(),
        deferrable=st.booleans(),
        event=st.sampled_from(["finished", "error", "cleared", "image", "order", "source"]),
        concurrency=st.sampled_from([1, 1, 2]),
        processing=st.sampled_from([0.0, 0.0, 0.03]),
        happens=st.sampled_from(["death", "death", "surprise", "image", "order", "twin"]),
        selection=st.runner().flatmap(lambda nights: st.sampled_from(nights.selections)),
    )
    def night(
        self,
        run_id: str,
        last: int,
        before: bool,
        deferrable: bool,
        event: str,
        concurrency: int,
        processing: float,
        happens: str,
        selection: str,
    ) -> None:
        """A task is run, retried or cleared. At any effect it may die, meet a surprise, lose what somebody deletes, or meet its twin."""
        self.sandbox.settings(processing_seconds=[processing, processing])
        spent = sum(self.paid(self.sandbox.ledger()).values())
        options = {"deferrable": deferrable, "concurrency": concurrency, "max_credits": RUNS[run_id]}
        options |= self.selected(selection)
        batch = run_id, str(self.settings), selection
        acts = {"death": None, "surprise": surprise, "twin": partial(self.twin_works, batch)}
        self.effects.arm(last, before=before, happens=acts.get(happens, partial(self.person_deletes, happens)))
        try:
            self.work(run_id, event, **options)
        except (Killed, AirflowFailException, errors.AutoenhanceError):
            pass
        finally:
            self.effects.arm(0, before=False)
            self.until_the_dead_are_forgotten()
        self.spent[batch] += sum(self.paid(self.check()).values()) - spent
        limit = RUNS[run_id]
        assert limit is None or self.spent[batch] <= limit, "max_credits is a ceiling across tries"

    def selected(self, selection: str) -> dict[str, Any]:
        """Arguments that select photos."""
        folder = f"{self.source}/"
        return {
            "all": {},
            "by folder": {"group_by": "folder"},
            "share": {"include": ["a*"]},
            "rest": {"exclude": ["a*"]},
            "overlapping": {"source": [folder, f"{folder}up/", f"{self.source}/./{self.names[0]}"]},
        }[selection]

    def twin_works(self, batch: tuple[str, str, str]) -> None:
        """Another run begins on the same folder, in the midst of this one; where this one is at work, it does not wait."""
        before = sum(self.paid(self.sandbox.ledger()).values())
        with suppress(AirflowFailException, errors.AutoenhanceError):
            self.work("night-1" if batch[0] != "night-1" else "night-3", deferrable=False, timeout=0.2)
        self.spent[batch] -= sum(self.paid(self.sandbox.ledger()).values()) - before

    def until_the_dead_are_forgotten(self) -> None:
        """A minute passes, in which a dead worker's lease is not renewed."""
        for lease in self.destination.rglob("*.lease"):
            lease.unlink()

    def work(self, run_id: str, event: str = "finished", **options: Any) -> dict[str, Any] | None:
        """Run a try; where it defers, the trigger's event decides how it goes on."""
        self.tries[run_id] += 1
        about = {"run_id": run_id, "try_number": self.tries[run_id]}
        task, began = self.operator(**options), now()
        try:
            return self.styled(task.execute(context(task, **about)), began)
        except TaskDeferred as deferral:
            if event == "cleared":
                return None
            payload: Any = {"orders": list(deferral.trigger.orders)}
            if event == "error":
                payload = {"error": "DeadlineError", "message": "past the deadline"}
            if event in ("image", "order"):
                self.person_deletes(event)
                payload = {"error": "NotFoundError", "message": "no longer listed"}
            if event == "source" and self.photos:
                self.gone.add(min(self.photos))
                self.take_away(min(self.photos))
        again = self.operator(**options | {"deferrable": False})
        return self.styled(again.execute_complete(context(again, **about), payload), began)

    def styled(self, summary: dict[str, Any], began: str) -> dict[str, Any]:
        """What landed in a try has the settings that were asked for. The sandbox hands back the upload, so the books tell."""
        images = {image["image_id"]: image for image in self.sandbox.ledger()["images"]}
        self.manifest_uri = summary["manifest"]
        for row in self.manifest("landed"):
            if row["at"] >= began:
                assert images[row["image_id"]]["settings"].items() >= self.settings.items(), "landed in another style"
        return summary

    def operator(self, **options: Any) -> AutoenhanceEnhanceOperator:
        return AutoenhanceEnhanceOperator(
            **{
                "thumbnails": False,
                "task_id": "enhance", "source": f"{self.source}/", "destination": f"{self.destination}/",
                "preview": False, "settings": self.settings, "group_by": "all", "brackets": self.brackets,
                "poll_interval": 0.01, "timeout": 30,
            } | options
        )  # fmt: skip

    def check(self) -> dict[str, Any]:
        """What must hold at any time."""
        ledger = self.sandbox.ledger()
        prints = {image["image_id"]: self.print_of(image, ledger) for image in ledger["images"]}
        adoptable = Counter(
            prints[image["image_id"]]
            for image in ledger["images"]
            if not image["deleted"] and image["status"] in ("processing", "processed")
        )
        assert not adoptable or max(adoptable.values()) == 1, "a second image beside an adoptable one"
        credits: defaultdict[str, int] = defaultdict(int)
        for image_id, number in self.paid(ledger).items():
            credits[prints[image_id]] += number
        assert not credits or max(credits.values()) == 1, "a photo paid for twice"
        styles = Counter(
            self.bytes_of(image, ledger) for image in ledger["images"] if image["image_id"] in self.paid(ledger)
        )
        assert not styles or max(styles.values()) == 1, "a photo paid for in each style"
        for name in self.names:
            output = self.destination / name
            if output.exists():
                whole = [self.picture(name, version) for version in VERSIONS]
                assert output.read_bytes() in whole, f"{name} is not whole"
        for name, version in self.photos.items():
            assert (self.source / name).read_bytes() == self.picture(name, version), "a source was written to"
        return ledger

    def until_nothing_is_under_way(self) -> None:
        def under_way() -> bool:
            ledger = self.sandbox.ledger()
            images = (each["status"] == "processing" and not each["deleted"] for each in ledger["images"])
            return any(images) or any(order["is_merging"] for order in ledger["orders"])

        while under_way():
            time.sleep(0.01)

    def manifest(self, status: str) -> list[dict[str, Any]]:
        """Rows of a status in the manifest of the latest run; without photos there is none."""
        lines = Path(self.manifest_uri).read_text().splitlines() if self.manifest_uri else []
        rows = map(json.loads, lines)
        return [row for row in rows if row["status"] == status]

    def unexplained(self, ledger: dict[str, Any]) -> set[str]:
        """Exposures left at Autoenhance that the manifest does not tell of."""
        left = {each["bracket_id"] for each in ledger["brackets"] if not (each["deleted"] or each["image_id"])}
        # An empty folder has no manifest; what is left there shows when it has photos again.
        told = {row["bracket_id"] for row in self.manifest("orphaned")} if left and self.photos else left
        return left - told

    def settle(self) -> None:
        """What has to be done before the last night tells all."""

    def teardown(self) -> None:
        """Without faults everything lands, and then there is nothing left to do."""
        try:
            self.sandbox.faults([])
            self.sandbox.settings(fail_images={}, processing_seconds=[0, 0])
            self.until_nothing_is_under_way()  # what is under way still fails as it was told to
            self.settle()
            summary = self.work("last-night")
            assert summary is not None
            wanted = self.wanted()
            assert summary["landed"] + summary["skipped"] == summary["photos"]
            assert len(wanted) <= summary["photos"] <= len(wanted | dict.fromkeys(self.gone))
            before = self.check()
            for name, data in wanted.items():
                assert (self.destination / name).read_bytes() == data, f"{name} is not up to date"
            again = self.work("night-after")
            assert again is not None
            assert again["landed"] == 0
            assert len(wanted) <= again["skipped"] <= summary["photos"]
            after = self.check()
            made = ("images_created", "brackets_created")
            assert [after[each] for each in made] == [before[each] for each in made], "an unchanged night makes nothing"
            assert self.unexplained(after) == set(), "an exposure that no image came of, and no row tells of"
        finally:
            shutil.rmtree(self.folder)
