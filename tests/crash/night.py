"""A night's work on a worker that may die: a folder of photos, a sandbox, and what must be true in the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from airflow_provider_autoenhance.pipeline.batch.manifest import MANIFEST
from airflow_provider_autoenhance.pipeline.gallery.thumbnails import THUMBNAILS_FOLDER
from tests.support.photos import exposure, grainy_photo, photo
from tests.support.sandbox import ROOT, Sandbox
from tests.support.tasks import connection_of

MOST_TRIES = 5


class Worker:
    """The warm process of :mod:`tests.crash.worker`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:  # Airflow may print while it is imported
            if line == "ready\n":
                return
        raise RuntimeError("the worker did not start")

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Have one process do its share."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return dict(json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


class Files:
    """Source and destination on a local disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.source, self.destination = f"{folder}/listings/maple/", f"{folder}/enhanced/maple/"

    def put(self, name: str, data: bytes) -> None:
        path = Path(self.source) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def outputs(self) -> dict[str, bytes]:
        """What was published, by URI, but for what the operator remembers."""
        found = (path for path in Path(self.destination).glob("*.jpg") if not path.name.startswith("."))
        return {str(path): path.read_bytes() for path in found}

    def read(self, name: str) -> bytes:
        return (Path(self.destination) / name).read_bytes()


class Objects:
    """Source and destination in the sandbox's S3."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self.source, self.destination = "s3://listings/maple/", "s3://enhanced/maple/"

    def put(self, name: str, data: bytes) -> None:
        self._s3.put(f"maple/{name}", data)

    def outputs(self) -> dict[str, bytes]:
        """What was published, by URI, but for what the operator remembers."""
        return {f"s3://enhanced/{key}": self._s3.get(key) for key in self._s3.keys() if key.endswith(".jpg")}

    def read(self, name: str) -> bytes:
        return bytes(self._s3.get(f"maple/{name}"))


class Night:
    """
    One batch, from its first try to its end.

    :param photos: how many.
    :param patience: seconds after which a worker that does not renew its lease is taken for dead.
    :param options: further arguments of the operator.
    """

    #: Bytes. Of a bigger photo Autoenhance renders the thumbnails.
    most_decoded = 2 << 20

    def __init__(
        self,
        worker: Worker,
        sandbox: Sandbox,
        store: Files | Objects,
        photos: int = 4,
        *,
        patience: float = 0.5,
        **options: Any,
    ) -> None:
        self._worker, self._sandbox, self._store, self._patience = worker, sandbox, store, patience
        self.photos = {f"{number:03}.jpg": photo(size=(40, 30), shade=40 + number) for number in range(photos)}
        for name, data in self.photos.items():
            store.put(name, data)
        self._options = {
            "task_id": "enhance", "source": store.source, "destination": store.destination, "preview": False,
            "poll_interval": 0.02, "timeout": 60, "concurrency": 1, "thumbnails": False, **options,
        }  # fmt: skip

    def choose(self, **options: Any) -> None:
        """Change arguments of the operator."""
        self._options |= options

    def run(self, run_id: str, *, last: int = 0, before: bool = False, tries: int = MOST_TRIES) -> dict[str, Any]:
        """Run a task, and retry it as Airflow would, until it ends; the first try dies at an effect.

        :param last: effect at which the first try dies; 0: it does not.
        :param tries: most tries.
        :returns: how the last try ended; ``effects`` counts those of the first try if nothing killed it.
        """
        ended: dict[str, Any] = {}
        for number in range(1, tries + 1):
            ended = self._try(run_id, number, last if number == 1 else 0, before=before)
            if ended["end"] == "success":
                return ended | {"tries": number}
        return ended | {"tries": tries}

    def _try(self, run_id: str, number: int, last: int, *, before: bool) -> dict[str, Any]:
        method, carried, effects = "execute", {}, 0
        while True:
            order = {
                "method": method, "options": self._options, "about": {"run_id": run_id, "try_number": number},
                "last": max(0, last - effects), "before": before, "environment": self._environment(),
                "patience": self._patience, "most_decoded": self.most_decoded, **carried,
            }  # fmt: skip
            told = self._worker.ask(order)
            assert told["end"] != "crash", told
            effects += told.get("effects", 0)
            if told["end"] == "deferred":
                method, carried = "trigger", {"trigger": told["trigger"]}
            elif told["end"] == "event":
                method, carried = "execute_complete", {"event": told["event"]}
            else:
                return told | {"effects": effects}

    def _environment(self) -> dict[str, str]:
        names = ("AUTOENHANCE_DEFAULT", "AWS_DEFAULT") if self._sandbox.s3_url else ("AUTOENHANCE_DEFAULT",)
        return {f"AIRFLOW_CONN_{name}": connection_of(self._sandbox, name) for name in names}

    def check(self) -> None:
        """One live image and one credit per photo, every output whole, the manifest true."""
        ledger = self._sandbox.ledger()
        live = {image["image_id"]: image for image in ledger["images"] if not image["deleted"]}
        sources = Counter(image["metadata"]["source"] for image in live.values())
        wanted = {self._store.source + name: 1 for name in self.photos}
        assert sources == wanted, "one live image per photo"
        assert ledger["credits"]["by_image"] == dict.fromkeys(live, 1), "one credit per live image, none for another"
        published = self._store.outputs()
        # The sandbox hands back the upload, so what landed must be the source, byte for byte.
        assert published == {self._store.destination + name: data for name, data in self.photos.items()}
        self._check_manifest(live, published)

    def _check_manifest(self, live: dict[str, Any], published: dict[str, bytes]) -> None:
        rows = [json.loads(line) for line in self._store.read(MANIFEST).splitlines()]
        assert [row["source"] for row in rows] == [self._store.source + name for name in self.photos]
        for row in rows:
            image = live[row["image_id"]]
            assert row["status"] == "landed"
            assert (row["source"], row["fingerprint"]) == (
                image["metadata"]["source"], image["metadata"]["fingerprint"],
            )  # fmt: skip
            assert (row["order_id"], row["image_name"]) == (image["order_id"], image["name"])
            (output,) = row["outputs"]
            data = published[output["uri"]]
            assert (output["size"], output["sha256"]) == (len(data), sha256(data).hexdigest())
            assert (row["credits"], row["credit_spent"]) == (1, True)


class ShownNight(Night):
    """A batch that shows its photos: what people look at is whole in the end, wherever the worker has died."""

    def __init__(
        self, worker: Worker, sandbox: Sandbox, store: Files | Objects, photos: int = 3, **options: Any
    ) -> None:
        super().__init__(worker, sandbox, store, photos, thumbnails=True, **options)

    def check(self) -> None:
        """As without pictures; and each photo has both."""
        super().check()
        shown = json.loads(self._store.read("autoenhance-gallery.json"))["photos"]
        assert [each["name"] for each in shown] == sorted(self.photos)
        for each in shown:
            for side in ("before", "after"):
                assert self._store.read(f"{THUMBNAILS_FOLDER}{each[side]}")[8:12] == b"WEBP"
        assert self._store.read("autoenhance-contact-sheet.html").count(b"data:image/webp") == 2 * len(shown)


class RenderedNight(ShownNight):
    """A batch whose pictures Autoenhance renders, as of photos of a few megabytes: two calls for each, once it has landed."""

    most_decoded = 50_000

    def __init__(
        self, worker: Worker, sandbox: Sandbox, store: Files | Objects, photos: int = 2, **options: Any
    ) -> None:
        super().__init__(worker, sandbox, store, 0, **options)
        for number in range(photos):
            self.photos[f"{number}.jpg"] = grainy_photo(size=(640, 480), shade=40 + number)
            store.put(f"{number}.jpg", self.photos[f"{number}.jpg"])

    def check(self) -> None:
        """As of photos that are decoded here; and Autoenhance was asked for what each had been."""
        assert min(map(len, self.photos.values())) > self.most_decoded
        super().check()
        asked = self._sandbox.ledger()["requests"]
        assert asked["GET /v3/images/{id}/original"] >= len(self.photos)


class OutputsNight(Night):
    """A batch that lands two files of each photo, encoded in the worker."""

    def __init__(
        self, worker: Worker, sandbox: Sandbox, store: Files | Objects, photos: int = 3, **options: Any
    ) -> None:
        super().__init__(worker, sandbox, store, 0, output_spec=["tiff", {"quality": 95}], **options)
        for number in range(photos):  # PNG, for that is what is fetched, and the sandbox hands back the upload
            self.photos[f"{number}.png"] = photo("PNG", size=(40, 30), shade=40 + number)
            store.put(f"{number}.png", self.photos[f"{number}.png"])

    def check(self) -> None:
        """One image and one credit per photo, and every file of it whole."""
        ledger = self._sandbox.ledger()
        live = [image["image_id"] for image in ledger["images"] if not image["deleted"]]
        assert ledger["credits"]["by_image"] == dict.fromkeys(live, 1), "one credit per live image, none for another"
        rows = [json.loads(line) for line in self._store.read(MANIFEST).splitlines()]
        assert [row["image_id"] for row in rows] == [row["image_id"] for row in rows if row["image_id"] in live]
        assert len(live) == len(rows) == len(self.photos)
        for row in rows:
            assert [each["format"] for each in row["outputs"]] == ["tiff", "jpeg"]
            for each in row["outputs"]:
                data = self._store.read(each["uri"].removeprefix(self._store.destination))
                assert (len(data), sha256(data).hexdigest()) == (each["size"], each["sha256"])


class FileNight(Night):
    """A batch of a single photo whose output names the file that it lands in."""

    def __init__(self, worker: Worker, sandbox: Sandbox, store: Files | Objects, **options: Any) -> None:
        super().__init__(worker, sandbox, store, 1, **options)
        self.choose(source=f"{store.source}000.jpg", destination=None)
        self.name_file("kitchen.jpg")

    def name_file(self, name: str) -> None:
        """Choose the file."""
        self._name = name
        self.choose(output_spec={"destination": self._store.destination + name})

    def check(self) -> None:
        """One live image, one credit, and the file that the manifest names."""
        ledger = self._sandbox.ledger()
        (live,) = (image["image_id"] for image in ledger["images"] if not image["deleted"])
        assert ledger["credits"]["by_image"] == {live: 1}
        (row,) = (json.loads(line) for line in self._store.read(MANIFEST).splitlines())
        assert (row["status"], row["image_id"]) == ("landed", live)
        assert [each["uri"] for each in row["outputs"]] == [self._store.destination + self._name]
        assert self._store.read(self._name) == self.photos["000.jpg"]


class DuskNight(Night):
    """A batch that has a premium edit made of each photo, and lands it beside the photo."""

    def __init__(
        self, worker: Worker, sandbox: Sandbox, store: Files | Objects, photos: int = 2, **options: Any
    ) -> None:
        super().__init__(worker, sandbox, store, photos, dusk="*", **options)

    def check(self) -> None:
        """One live image and one edit per photo, a credit for each, and each edit asked for once."""
        ledger = self._sandbox.ledger()
        live = {image["image_id"]: image for image in ledger["images"] if not image["deleted"]}
        originals = {image_id for image_id, image in live.items() if not image["parent_image_id"]}
        assert len(originals) == len(self.photos), "one live image per photo"
        edits = [image["parent_image_id"] for image in ledger["images"] if image["parent_image_id"]]
        assert sorted(edits) == sorted(originals), "one edit per image, and never another"
        assert ledger["credits"]["by_image"] == dict.fromkeys(live, 1), "one credit each"
        wanted = dict(self.photos)
        wanted |= {f"{name.removesuffix('.jpg')}_dusk.jpg": data for name, data in self.photos.items()}
        assert self._store.outputs() == {self._store.destination + name: data for name, data in wanted.items()}
        rows = [json.loads(line) for line in self._store.read(MANIFEST).splitlines()]
        assert {row["image_id"] for row in rows} == set(live)
        assert all((row["status"], row["credits"], row["credit_spent"]) == ("landed", 1, True) for row in rows)
        for row in rows:
            parent = live[row["image_id"]]["parent_image_id"]
            assert (row["edit"] or {}).get("parent_image_id") == parent
        claims = [order for order in ledger["orders"] if not order["deleted"] and not order["image_ids"]]
        assert claims == [], "nothing is left of a claim"


class BracketNight(Night):
    """A batch of brackets of three, from its first try to its end.

    :param photos: how many brackets.
    """

    def __init__(
        self, worker: Worker, sandbox: Sandbox, store: Files | Objects, photos: int = 2, **options: Any
    ) -> None:
        super().__init__(worker, sandbox, store, 0, **options)
        for bracket in range(photos):
            for number, step in enumerate((-2, 0, 2)):
                data = exposure(10 * bracket + 0.4 * number, step, size=(40, 30))
                self.photos[f"{bracket}{number}.jpg"] = data
                store.put(f"{bracket}{number}.jpg", data)

    def check(self) -> None:
        """One image merged from each bracket, one credit for each image, one process call that merged; every exposure explained."""
        ledger = self._sandbox.ledger()
        firsts = [name for name in self.photos if name.endswith("0.jpg")]
        live = {image["image_id"]: image for image in ledger["images"] if not image["deleted"]}
        assert len(live) == ledger["images_created"] == len(firsts), "one image per bracket, and never another"
        assert ledger["credits"]["by_image"] == dict.fromkeys(live, 1), "one credit per image"
        assert sorted(self._store.outputs()) == [self._store.destination + name for name in firsts]
        rows = [json.loads(line) for line in self._store.read(MANIFEST).splitlines()]
        landed = [row for row in rows if row["status"] == "landed"]
        assert sorted(row["image_id"] for row in landed) == sorted(live)
        told = [[each["source"] for each in row["exposures"]] for row in landed]
        assert told == [[f"{self._store.source}{first[:-5]}{number}.jpg" for number in range(3)] for first in firsts]
        merged = {bracket["bracket_id"] for bracket in ledger["brackets"] if bracket["image_id"]}
        assert len(merged) == len(self.photos), "every exposure is merged once"
        left = {each["bracket_id"] for each in ledger["brackets"] if not each["deleted"]} - merged
        assert {row["bracket_id"] for row in rows if row["status"] == "orphaned"} == left, "no bracket is unexplained"
