"""Nights at random over the tasks for single images: create, upload, wait, download. Each may die, be cleared or run twice.

Everything is seen from outside: what the sandbox's books say, which files there are, what XCom and logs hold.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from http.client import HTTPException
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from urllib.request import Request, urlopen

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from airflow_provider_autoenhance.api import errors
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceDownloadImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.pipeline.job import RECORDS_FOLDER
from airflow_provider_autoenhance.pipeline.records import Record, Row, record_uri
from airflow_provider_autoenhance.sensors.status import AutoenhanceImageStatusSensor
from tests.crash.effects import Effects
from tests.crash.nights import Killed, fault_rules, surprise
from tests.support.photos import photo
from tests.support.pins import PINS, pin_version
from tests.support.sandbox import Sandbox
from tests.support.tasks import context

#: The tasks of each photo, in the order of its life.
TASKS = ("create", "upload", "wait", "download")

#: Tasks that may run twice at the same time.
TWICE = ("upload", "wait", "download")

#: Photos, each in a run: two of one run share an order, and the same photo in another run is another image.
PHOTOS = ("night-1/a.jpg", "night-1/b.jpg", "night-2/a.jpg", "night-1/cafe\u0301 [1]*? #2 %20.jpg")

#: What the photos are to look like, and what somebody else would like.
STYLE, OTHER_STYLE = {"enhance_type": "warm"}, {"enhance_type": "modern"}

#: How the path of a photo may be spelled; ``{folder}`` has a link to itself in it.
SPELLINGS = (
    "{folder}/{name}",
    "{folder}/./{name}",
    "{folder}//{name}",
    "{folder}/../{last}/{name}",
    "file://{folder}/{name}",
    "{folder}/link/{name}",
)

#: What another task has made.
OTHERS = b"another task's file"

ENDPOINTS = (
    "create_order", "retrieve_order", "create_image", "delete_image", "retrieve_image", "download_enhanced_image",
    "put_object", "get_object",
)  # fmt: skip

#: Tries of each task, as a DAG's ``retries`` sets them.
TRIES = 2

#: In the address that a surprise's text holds.
SURPRISING_SIGNATURE = "c2VjcmV0"

#: Seconds after which an upload URL has expired.
HOURS = 2 * 3600


def _lies(fault: dict[str, Any]) -> bool:
    """Whether a fault says of an image that it is gone, and it is not."""
    return fault["kind"] == "404" and fault["endpoint"] in ("retrieve_image", "delete_image")


FAULTS = fault_rules(ENDPOINTS).filter(lambda fault: not _lies(fault))


@dataclass(frozen=True)
class Night:
    """What happens in one night.

    :param faults: of Autoenhance.
    :param event: what happened since the last one.
    :param photo: whose tasks run, from the ``first`` on, as a person may have cleared them, ``number`` of them.
    :param last: effect at which something happens; 0: at none.
    :param before: whether just before it, or just after.
    :param happens: the worker dies, it meets what nobody foresaw, somebody deletes or restyles an image, Autoenhance deletes one, hours
        pass, or the task runs twice.
    :param processing: seconds that Autoenhance takes.
    :param spelling: of the source in this night.
    :param onto: the download's destination is the photo's own original, or another one's.
    """

    faults: list[dict[str, Any]]
    event: str
    photo: str
    first: int
    number: int
    last: int
    before: bool
    happens: str
    deferrable: bool
    processing: float
    spelling: str
    onto: str


NIGHT = st.builds(
    Night,
    faults=st.lists(FAULTS, max_size=2),
    event=st.sampled_from(
        ["none", "none", "none", "deleted", "hours", "fails", "restyled", "spoilt", "lost", "order", "taken"]
    ),
    photo=st.sampled_from([*PHOTOS, PHOTOS[0], PHOTOS[0], PHOTOS[0]]),  # most happens to one photo
    first=st.sampled_from([0, 0, 1, 2, 3]),
    number=st.sampled_from([4, 4, 1, 2]),
    last=st.one_of(st.just(0), st.integers(1, 12)),
    before=st.booleans(),
    happens=st.sampled_from(["death", "death", "surprise", "deleted", "hours", "twin", "zombie", "restyled", "lost"]),
    deferrable=st.booleans(),
    processing=st.sampled_from([0.0, 0.0, 0.03]),
    spelling=st.sampled_from(SPELLINGS),
    onto=st.sampled_from(["", "", "", "", "original", "neighbour"]),
)


@cache
def _picture(name: str) -> bytes:
    return photo(size=(16, 12), shade=60 + ord(name[0]))


class Shown(logging.Handler):
    """Keeps what somebody may read in logs and in Airflow's database."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter())
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text.append(self.format(record))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen at the level that shows the most."""
        root = logging.getLogger()
        level = root.level
        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.setLevel(level)
            root.removeHandler(self)


class ImageNights(RuleBasedStateMachine):
    """A DAG of mapped tasks for single photos, a sandbox, and whatever may happen to them."""

    sandbox: ClassVar[Sandbox]
    effects: ClassVar[Effects]
    shown: ClassVar[Shown]

    def __init__(self) -> None:
        super().__init__()
        self.sandbox.reset()
        self.sandbox.settings(reuse_deleted_ids=False)
        self.shown.text.clear()
        self.folder = Path(tempfile.mkdtemp(prefix="autoenhance-images-"))
        self.names = sorted({each.partition("/")[2] for each in PHOTOS})
        for name in self.names:
            (self.folder / name).write_bytes(_picture(name))
        (self.folder / "link").symlink_to(self.folder)
        self.spelling, self.onto = SPELLINGS[0], ""
        #: Photos whose output another task has made.
        self.occupied: set[str] = set()
        #: What each task of a photo has left in XCom.
        self.xcom: dict[str, dict[str, Any]] = {each: {} for each in PHOTOS}
        self.tries: Counter[tuple[str, str]] = Counter()
        self.begun: set[str] = set()
        self.running = ""
        self.hours = 0
        #: Images that a person or Autoenhance has deleted.
        self.taken: set[str] = set()

    @initialize(version=st.sampled_from(PINS))
    def begin(self, version: str) -> None:
        """The connection pins an API version."""
        pin_version(version)

    @rule(version=st.sampled_from(PINS))
    def pin_another_version(self, version: str) -> None:
        """Somebody pins a newer version, or goes back to an older one."""
        pin_version(version)

    # What may happen

    def hours_pass(self) -> None:
        """Upload URLs expire, and images that wait for their bytes with them."""
        self.hours += HOURS
        self.sandbox.settings(clock_offset_seconds=self.hours)

    def person_deletes(self) -> None:
        """Somebody deletes in the web app an image that nobody has paid for yet."""
        ledger = self.sandbox.ledger()
        images = [each["image_id"] for each in ledger["images"] if not (each["deleted"] or each["downloaded"])]
        if images:
            url, headers = f"{self.sandbox.url}/v3/images/{images[0]}", {"x-api-key": self.sandbox.api_key}
            # A fault may strike a person too.
            with suppress(OSError, HTTPException), urlopen(Request(url, headers=headers, method="DELETE"), timeout=60):
                pass
            self.taken |= {each["image_id"] for each in self.sandbox.ledger()["images"] if each["deleted"]} & {
                images[0]
            }

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Somebody asks Autoenhance for something. A fault may strike a person too."""
        headers = {"x-api-key": self.sandbox.api_key, "content-type": "application/json"}
        request = Request(
            f"{self.sandbox.url}{path}", json.dumps(body).encode() if body else None, headers, method=method
        )
        with suppress(OSError, HTTPException), urlopen(request, timeout=60):
            pass

    def person_restyles(self) -> None:
        """Somebody has an image enhanced with other settings."""
        live = [
            each for each in self.sandbox.ledger()["images"] if each["status"] == "processed" and not each["deleted"]
        ]
        for image in live[:1]:
            self.ask("POST", f"/v3/images/{image['image_id']}/process", OTHER_STYLE)

    def person_spoils(self) -> None:
        """Somebody has an image enhanced with other settings, and Autoenhance fails to."""
        self.sandbox.settings(fail_images={"*": "cannot decode"})
        self.person_restyles()

    def vendor_deletes(self) -> None:
        """Autoenhance deletes an image, be it paid or not."""
        for image in [each for each in self.sandbox.ledger()["images"] if not each["deleted"]][:1]:
            self.ask("DELETE", f"/v3/images/{image['image_id']}")
        self.note_deleted()

    def vendor_deletes_order(self) -> None:
        """Autoenhance deletes an order with all that is in it."""
        for order in [each for each in self.sandbox.ledger()["orders"] if not each["deleted"]][:1]:
            self.ask("DELETE", f"/v3/orders/{order['order_id']}")
        self.note_deleted()

    def note_deleted(self) -> None:
        self.taken |= {each["image_id"] for each in self.sandbox.ledger()["images"] if each["deleted"]}

    def another_task_lands(self, photo: str) -> None:
        """A batch has made a file of another photo, where this one would go."""
        output = self.output(photo)
        if output.exists() or photo in self.occupied:
            return
        self.occupied.add(photo)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(OTHERS)
        run = str(uuid.uuid4())
        row = Row(
            "s3://elsewhere/x.jpg", "etag", 1, "f" * 64, "landed", run, outputs=[{"uri": str(output), "size": len(OTHERS), "etag": None}]
        )  # fmt: skip
        record = Record(run, "other/batch night", complete=True)
        record.rows[row.fingerprint] = row
        uri = Path(record_uri(f"{output.parent}/", run))
        uri.parent.mkdir(exist_ok=True)
        uri.write_bytes(b"".join(record.to_lines()))

    def another_task_leaves(self) -> None:
        """What the batch has made is taken elsewhere, and its records with it."""
        for each in self.occupied:
            self.output(each).unlink()
            shutil.rmtree(self.output(each).parent / RECORDS_FOLDER, ignore_errors=True)
        self.occupied.clear()

    @rule(night=NIGHT)
    def night(self, night: Night) -> None:
        """Tasks of a photo run, for the first time or cleared. At an effect of theirs one dies, or something else happens there."""
        acts = {
            "deleted": self.person_deletes, "hours": self.hours_pass, "restyled": self.person_restyles, "spoilt": self.person_spoils,
            "lost": self.vendor_deletes, "order": self.vendor_deletes_order, "taken": partial(self.another_task_lands, night.photo),
        }  # fmt: skip
        acts.get(night.event, lambda: None)()
        self.spelling, self.onto = night.spelling, night.onto
        failing = {"night-1/a*": "cannot decode"} if night.event == "fails" else {}
        self.sandbox.settings(fail_images=failing, processing_seconds=[night.processing, night.processing])
        self.sandbox.faults(night.faults)
        twin = partial(self.twin, night.photo, zombie=night.happens == "zombie")
        happens = None if night.happens == "death" else {**acts, "surprise": surprise}.get(night.happens, twin)
        self.effects.arm(night.last, before=night.before, happens=happens)
        first = min(night.first, len(self.xcom[night.photo]))
        all(self.work(night.photo, task, deferrable=night.deferrable) for task in TASKS[first : first + night.number])
        self.effects.arm(0, before=False)
        self.onto = ""
        self.check()

    def twin(self, photo: str, *, zombie: bool) -> None:
        """The same task runs a second time meanwhile, whole. Of a zombie, Airflow does not take what it leaves in XCom afterwards."""
        self.effects.arm(0, before=False)
        images = (each for each in self.sandbox.ledger()["images"] if each["metadata"]["photo"] == photo)
        if self.running not in TWICE or all(each["deleted"] for each in images):
            return  # where its image is gone, an upload makes it again, as the creation does
        with suppress(AirflowFailException, AirflowSensorTimeout, errors.AutoenhanceError):
            result = self.attempt(photo, self.running, deferrable=False)
            if zombie:
                self.xcom[photo][self.running] = result

    # Airflow

    def work(self, photo: str, task: str, *, deferrable: bool = False) -> bool:
        """Run a task until it succeeds, fails, or has no tries left."""
        upstream = TASKS[: TASKS.index(task)]
        if not all(each in self.xcom[photo] for each in upstream):
            return False
        self.begun.add(photo)
        self.running = task
        for _ in range(TRIES):
            self.xcom[photo].pop(task, None)  # Airflow clears it when a task begins
            try:
                result = self.attempt(photo, task, deferrable=deferrable)
                self.xcom[photo].setdefault(task, result)  # what a zombie's successor left stays
            except (AirflowFailException, AirflowSensorTimeout) as failed:
                self.shown.text.append(str(failed))
                break
            except errors.AutoenhanceError as error:
                self.shown.text.append(str(error))
            except Killed:
                self.effects.arm(0, before=False)
            if task in self.xcom[photo]:
                break
        return task in self.xcom[photo]

    def attempt(self, photo: str, task: str, *, deferrable: bool) -> Any:
        """One try of a task in a process of its own; returns what it leaves in XCom."""
        self.tries[photo, task] += 1
        run_id = photo.partition("/")[0]
        operator = self.operator(photo, task, deferrable=deferrable)
        about = {"run_id": run_id, "try_number": self.tries[photo, task], "map_index": PHOTOS.index(photo) % 2}
        it = context(operator, **about)
        try:
            result = operator.execute(it)
        except TaskDeferred as deferral:
            self.shown.text.append(json.dumps(deferral.trigger.serialize()))
            result = operator.execute_complete(it, self.event_of(deferral.trigger))
        self.shown.text.append(json.dumps([result, it["ti"].xcom]))
        return result

    @staticmethod
    def event_of(trigger: Any) -> Any:
        """The trigger's one event, without the pause that Airflow needs before it."""
        import_module(type(trigger).__module__).EARLIEST_EVENT_SECONDS = 0.0  # type: ignore[attr-defined]

        async def first() -> Any:
            (event,) = [each.payload async for each in trigger.run()]
            return event

        return asyncio.run(first())

    def operator(self, photo: str, task: str, *, deferrable: bool) -> Any:
        xcom, name = self.xcom[photo], photo.partition("/")[2]
        source = self.spelling.format(folder=self.folder, last=self.folder.name, name=name)
        if task == "create":
            return AutoenhanceCreateImageOperator(
                task_id=task, image_name=photo, source=source, metadata={"photo": photo}, settings=STYLE
            )
        if task == "upload":
            created = {key: xcom["create"][key] for key in ("image_id", "upload_url")}
            return AutoenhanceUploadImageOperator(task_id=task, source=source, **created)
        if task == "wait":
            return AutoenhanceImageStatusSensor(
                task_id=task, image_id=xcom["upload"]["image_id"], poke_interval=0.01, timeout=5, deferrable=deferrable
            )
        onto = {"": str(self.output(photo)), "original": source, "neighbour": str(self.folder / "b.jpg")}[self.onto]
        return AutoenhanceDownloadImageOperator(
            task_id=task, image_id=xcom["upload"]["image_id"], destination=onto, preview=False, thumbnails=False
        )

    def output(self, photo: str) -> Path:
        return self.folder / "out" / photo

    # What must hold

    def check(self) -> dict[str, Any]:
        """What must hold at any time."""
        ledger = self.sandbox.ledger()
        photos = {image["image_id"]: image["metadata"]["photo"] for image in ledger["images"]}
        adoptable = Counter(
            photos[image["image_id"]]
            for image in ledger["images"]
            if not image["deleted"] and image["status"] in ("processing", "processed")
        )
        assert not adoptable or max(adoptable.values()) == 1, "a second image beside an adoptable one"
        paid = Counter(photos[each] for each in ledger["credits"]["by_image"] if each not in self.taken)
        assert not paid or max(paid.values()) == 1, "a photo paid for twice"
        for name in self.names:
            assert (self.folder / name).read_bytes() == _picture(name), f"{name} is an original, and was written over"
        for each in PHOTOS:
            output = self.output(each)
            if each in self.occupied:
                assert output.read_bytes() == OTHERS, f"{each} was written over another task's file"
            elif output.exists():
                assert output.read_bytes() == _picture(output.name), f"{each} is not whole"
        self.check_shown()
        return ledger

    def check_shown(self) -> None:
        text = "\n".join(self.shown.text)
        self.shown.text.clear()
        assert self.sandbox.api_key not in text, "the API key is shown"
        for signature in (*self.sandbox.control("GET", "signatures"), SURPRISING_SIGNATURE):
            assert signature not in text, "a presigned URL is shown"

    def until_nothing_is_under_way(self) -> None:
        while any(each["status"] == "processing" and not each["deleted"] for each in self.sandbox.ledger()["images"]):
            time.sleep(0.01)

    def land(self, photo: str) -> None:
        """All tasks of a photo are cleared."""
        assert all(self.work(photo, task) for task in TASKS), f"{photo} does not land"
        assert self.output(photo).read_bytes() == _picture(self.output(photo).name), f"{photo} is not up to date"

    def teardown(self) -> None:
        """Without faults each photo lands, from one image that is left, and cleared again makes nothing."""
        try:
            self.effects.arm(0, before=False)
            self.sandbox.faults([])
            self.sandbox.settings(fail_images={}, processing_seconds=[0, 0])
            self.until_nothing_is_under_way()
            self.another_task_leaves()
            photos = sorted(self.begun)
            for photo in photos:
                self.land(photo)
            before = self.check()
            for photo in photos[:1]:
                self.land(photo)
            after = self.check()
            made = ("images_created", "uploads_received")
            assert [after[each] for each in made] == [before[each] for each in made], "what has landed is made again"
            styles = {image["settings"]["enhance_type"] for image in after["images"] if not image["deleted"]}
            assert styles <= {STYLE["enhance_type"]}, "what is left is not as asked"
            live = Counter(image["metadata"]["photo"] for image in after["images"] if not image["deleted"])
            assert live == dict.fromkeys(photos, 1), "more than one image of a photo is left"
            assert after["credits"]["by_image"].keys() >= set(after["live_images"]), "what is left is what was paid"
        finally:
            shutil.rmtree(self.folder)
