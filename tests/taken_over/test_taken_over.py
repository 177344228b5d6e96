"""A destination, orders and XComs that 75f5810 left behind, and today's operators that go on from there.

Whoever updates in the middle of a night pays for no photo twice, and sends none again.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceDownloadImageOperator,
    AutoenhanceUploadImageOperator,
)
from airflow_provider_autoenhance.sensors.status import AutoenhanceImageStatusSensor
from tests.support.sandbox import Sandbox
from tests.support.tasks import run
from tests.taken_over.state import files, restore, xcom

SETTINGS = {"enhance_type": "warm"}

#: The run of then, tried again; and the next one.
RUNS = pytest.mark.parametrize("run_id", ["night-1", "night-2"])


class Night:
    """What 75f5810 left of a folder, in place, and what happens to it after the update."""

    def __init__(self, sandbox: Sandbox, s3: SimpleNamespace, folder: str) -> None:
        restore(sandbox, s3, folder)
        self.folder = folder
        self._sandbox, self._s3 = sandbox, s3
        self._left = self.ledger

    def enhance(self, run_id: str, **options: Any) -> dict[str, Any]:
        """Run the batch operator; returns its summary. It names images otherwise since, so that no name finds what was made."""
        task = AutoenhanceEnhanceOperator(
            task_id="enhance", source=f"s3://listings/{self.folder}/", destination=f"s3://enhanced/{self.folder}/",
            settings=SETTINGS, preview=False, concurrency=1, poll_interval=0.05, timeout=60,
            image_name_template="{fingerprint}{extension}", **options,
        )  # fmt: skip
        return dict(run(task, run_id=run_id))

    @property
    def ledger(self) -> dict[str, Any]:
        return self._sandbox.ledger()

    def uploads(self) -> list[Any]:
        """Names of the files that were uploaded since."""
        ledger = self.ledger
        made = {each.get("bracket_id") or each["image_id"]: each for each in (*ledger["images"], *ledger["brackets"])}
        ids = [each.get("image_id") or each["bracket_id"] for each in ledger["uploads"]]
        sources = [made[each]["metadata"]["source"] for each in ids[self._left["uploads_received"] :]]
        return [source.removeprefix(f"s3://listings/{self.folder}/") for source in sources]

    def new_images(self) -> list[dict[str, Any]]:
        """Images that were made since."""
        return list(self.ledger["images"][self._left["images_created"] :])

    def new_credits(self) -> dict[str, int]:
        """Credits by image that were spent since."""
        before, after = (each["credits"]["by_image"] for each in (self._left, self.ledger))
        return {image: number for image, number in after.items() if image not in before}

    def images_left(self, *, uploaded: bool) -> list[str]:
        """Ids of the images of then: of those with bytes, or of those without."""
        return [each["image_id"] for each in self._left["images"] if uploaded == (each["status"] != "waiting")]

    def photos(self, *names: str) -> dict[str, bytes]:
        """Photos by key, or those of some names. The sandbox hands them back, of a bracket the first."""
        found = files("listings", self.folder)
        return {key: data for key, data in found.items() if not names or key.rpartition("/")[2] in names}

    def outputs(self) -> dict[str, bytes]:
        """The enhanced photos by key."""
        return {key: self._s3.get(key) for key in self._s3.keys() if key.endswith(".jpg")}

    def check(self, landed: dict[str, bytes], **options: Any) -> None:
        """Everything landed and cost one credit, the manifest is true, and the next night finds nothing to do."""
        assert self.outputs() == landed
        rows = [json.loads(line) for line in self._s3.get(f"{self.folder}/autoenhance-manifest.jsonl").splitlines()]
        assert [row["source"] for row in rows] == [f"s3://listings/{key}" for key in landed]
        ledger = self.ledger
        live = {each["image_id"]: each["order_id"] for each in ledger["images"] if not each["deleted"]}
        assert {row["image_id"]: row["order_id"] for row in rows} == live
        assert ledger["credits"]["by_image"] == dict.fromkeys(live, 1)
        assert [(row["status"], row["credits"]) for row in rows] == [("landed", 1)] * len(rows)
        again = self.enhance("night-3", **options)
        assert (again["landed"], again["skipped"], again["credits"]) == (0, len(landed), 0)
        assert self.ledger["images_created"] == ledger["images_created"]


@pytest.fixture
def night(request: pytest.FixtureRequest, autoenhance: Sandbox, s3: SimpleNamespace, short_waits: None) -> Night:
    autoenhance.settings(render="copy")
    return Night(autoenhance, s3, request.param)


def left_of(folder: str) -> Any:
    """Take over a folder."""
    return pytest.mark.parametrize("night", [folder], indirect=True)


# Batches


@left_of("finished")
@RUNS
def test_a_finished_folder_stays_as_it_is(night: Night, s3: SimpleNamespace, run_id: str) -> None:
    summary = night.enhance(run_id)
    assert (summary["photos"], summary["skipped"] + summary["landed"], summary["failed"]) == (2, 2, 0)
    assert (night.new_images(), night.new_credits(), night.uploads()) == ([], {}, [])
    assert {key: s3.get(key) for key in s3.keys()} == files("enhanced", "finished"), "no file is written again"


@left_of("finished")
def test_a_deleted_file_is_fetched_again_from_the_image_that_was_paid(night: Night, s3: SimpleNamespace) -> None:
    s3.client.delete_object(Bucket="enhanced", Key="finished/a.jpg")
    night.enhance("night-2")
    assert (night.new_images(), night.new_credits(), night.uploads()) == ([], {}, [])
    night.check(night.photos())


@left_of("finished")
def test_all_is_fetched_again_where_that_is_wished(night: Night) -> None:
    summary = night.enhance("night-2", on_existing="redownload")
    assert (summary["landed"], night.new_images(), night.new_credits(), night.uploads()) == (2, [], {}, [])


@left_of("half")
@RUNS
def test_an_open_order_is_gone_on_with(night: Night, run_id: str) -> None:
    go_on(night, run_id)
    night.check(night.photos())


@left_of("half")
def test_an_open_order_is_found_by_its_id_where_nothing_is_remembered(night: Night, s3: SimpleNamespace) -> None:
    (record,) = files("enhanced", "half")
    s3.client.delete_object(Bucket="enhanced", Key=record)
    go_on(night, "night-1", durable=False)
    assert night.outputs() == night.photos()


def go_on(night: Night, run_id: str, **options: Any) -> None:
    """Finish a folder of which two photos were uploaded, a third was begun, and a fourth was not."""
    summary = night.enhance(run_id, **options)
    assert (summary["landed"], summary["failed"], summary["credits"]) == (4, 0, 4)
    assert night.uploads() == ["c.jpg", "d.jpg"], "what has its bytes is not sent again"
    made = [image["image_id"] for image in night.new_images()]
    assert sorted(night.ledger["live_images"]) == sorted([*night.images_left(uploaded=True), *made])
    assert len(made) == 2


@left_of("paid")
@RUNS
def test_what_was_paid_lands_without_another_credit(night: Night, run_id: str) -> None:
    summary = night.enhance(run_id)
    assert (summary["landed"], summary["failed"]) == (1, 0)
    assert (night.new_images(), night.new_credits(), night.uploads()) == ([], {}, [])
    night.check(night.photos())


@left_of("exposures")
def test_exposures_that_were_uploaded_are_merged_with_the_rest(night: Night) -> None:
    summary = night.enhance("night-1", brackets=2)
    assert (summary["photos"], summary["landed"], summary["failed"], summary["credits"]) == (2, 2, 0, 2)
    assert night.uploads() == ["b1.jpg"], "an exposure that has its bytes is not sent again"
    assert all(bracket["image_id"] for bracket in night.ledger["brackets"])
    night.check(night.photos("a0.jpg", "b0.jpg"), brackets=2)


@left_of("merged")
@RUNS
def test_a_merged_image_is_found_and_lands(night: Night, run_id: str) -> None:
    summary = night.enhance(run_id, brackets=2)
    assert (summary["landed"], summary["failed"], summary["credits"]) == (1, 0, 1)
    assert (night.new_images(), night.uploads()) == ([], [])
    night.check(night.photos("a0.jpg"), brackets=2)


# Single images


def create(name: str) -> dict[str, Any]:
    task = AutoenhanceCreateImageOperator(
        task_id="create", image_name=f"single/{name}.jpg", source=f"s3://listings/single/{name}.jpg", settings=SETTINGS,
        metadata={"room": name},
    )  # fmt: skip
    return dict(run(task, run_id="night-1", try_number=2))


def upload(name: str, created: dict[str, Any]) -> str:
    task = AutoenhanceUploadImageOperator(
        task_id="upload", image_id=created["image_id"], upload_url=created["upload_url"],
        source=f"s3://listings/single/{name}.jpg",
    )  # fmt: skip
    return str(run(task, run_id="night-1")["image_id"])


def wait_and_download(image_id: str) -> dict[str, Any]:
    run(AutoenhanceImageStatusSensor(task_id="wait", image_id=image_id, poke_interval=0.05, timeout=60))
    task = AutoenhanceDownloadImageOperator(
        task_id="download", image_id=image_id, destination="s3://enhanced/", preview=False
    )
    return dict(run(task))


@left_of("single")
@pytest.mark.parametrize("first", ["create", "upload", "wait"])
def test_a_chain_of_single_tasks_goes_on_with_its_xcoms(night: Night, first: str) -> None:
    """The chain is cleared from one of its tasks on, in the middle of which the provider was updated."""
    then = xcom("kitchen")
    image_id = then["upload"]
    if first != "wait":
        created = create("kitchen") if first == "create" else then["create"]
        assert (created["image_id"], created["order_id"]) == (image_id, then["create"]["order_id"])
        assert upload("kitchen", created) == image_id
    landed = wait_and_download(image_id)
    assert landed["credit_spent"] is True
    assert (night.new_images(), night.new_credits()) == ([], {image_id: 1})
    assert night.ledger["uploads_received"] == 1
    assert night.outputs() == night.photos("kitchen.jpg")


@left_of("single")
def test_an_image_without_bytes_is_made_again_when_its_creation_is_cleared(night: Night) -> None:
    created = create("bath")
    then = xcom("bath")["create"]
    assert (created["image_id"] != then["image_id"], created["order_id"]) == (True, then["order_id"])
    assert then["image_id"] not in night.ledger["live_images"]
    wait_and_download(upload("bath", created))
    assert night.new_credits() == {created["image_id"]: 1}


@left_of("single")
def test_an_upload_ticket_is_opened_and_makes_its_image_again(night: Night, autoenhance: Sandbox) -> None:
    """The upload URL in the ticket has expired since; what else is in it makes the same image."""
    autoenhance.settings(clock_offset_seconds=7200)
    image_id = upload("bath", xcom("bath")["create"])
    (image,) = night.new_images()
    (old,) = (each for each in night.ledger["images"] if each["image_id"] == xcom("bath")["create"]["image_id"])
    same = ("name", "order_id", "settings")
    assert (image["image_id"], [image[key] for key in same]) == (image_id, [old[key] for key in same])
    assert image["metadata"].items() >= old["metadata"].items()
    assert old["deleted"]
    assert upload("bath", xcom("bath")["create"]) == image_id, "a retry finds it"
    wait_and_download(image_id)
    assert (len(night.new_images()), night.new_credits()) == (1, {image_id: 1})
