"""Makes the fixture ``written_by_75f5810`` beside this file, with the code of that commit. It was run once, so::

    git worktree add ../old 75f5810
    cd ../old
    PYTHONPATH=$PWD python -P ../<this worktree>/tests/taken_over/record.py

Sources and destination are in the sandbox's S3: their URIs and ETags, and so all fingerprints, are the same on each machine.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

os.environ |= {"AIRFLOW_HOME": tempfile.mkdtemp(), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}

import boto3

from airflow_provider_autoenhance.operators.enhance import AutoenhanceEnhanceOperator
from airflow_provider_autoenhance.operators.images import (
    AutoenhanceCreateImageOperator,
    AutoenhanceUploadImageOperator,
)
from tests.crash.effects import Effects
from tests.support.photos import exposure, photo
from tests.support.sandbox import Sandbox
from tests.support.tasks import connection_of, run

FIXTURE = Path(__file__).with_name("written_by_75f5810")
SETTINGS = {"enhance_type": "warm"}
SIZE = (16, 12)
KINDS = ("images", "brackets")


class Killed(BaseException):
    """Stands for SIGKILL."""


def die() -> None:
    raise Killed


class Until(Effects):
    """Kills a worker after the first effect by which something has come true."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(die)
        self.sandbox = sandbox
        self.true: Callable[[dict[str, Any]], bool] = lambda ledger: False

    def _end(self, mine: int) -> None:
        self.dead = self.dead or self.true(self.sandbox.ledger())
        super()._end(mine)


def sources() -> dict[str, bytes]:
    """The photos by key."""
    folders = {"finished": "ab", "half": "abcd", "paid": "a", "single": ("kitchen", "bath")}
    keys = [f"{folder}/{name}.jpg" for folder, names in folders.items() for name in names]
    photos = {key: photo(size=SIZE, shade=40 + 10 * number) for number, key in enumerate(keys)}
    for scene, name in enumerate(("exposures/a", "exposures/b", "merged/a")):
        for shot in range(2):
            photos[f"{name}{shot}.jpg"] = exposure(10 * scene + 0.4 * shot, 2 * shot - 1, size=SIZE)
    return photos


def enhance(folder: str, **options: Any) -> None:
    """Run the batch operator as a first night does."""
    task = AutoenhanceEnhanceOperator(
        task_id="enhance", source=f"s3://listings/{folder}/", destination=f"s3://enhanced/{folder}/", settings=SETTINGS,
        preview=False, concurrency=1, poll_interval=0.05, deadline=60, **options,
    )  # fmt: skip
    run(task, run_id="night-1")


def killed(effects: Until, true: Callable[[list[Any], list[Any]], bool], folder: str, **options: Any) -> None:
    """Run it until something is true of the folder's images and brackets."""

    def of_folder(ledger: dict[str, Any]) -> bool:
        place = f"s3://listings/{folder}/"
        return true(*([each for each in ledger[kind] if place in str(each["metadata"])] for kind in KINDS))

    effects.arm(0, before=False)
    effects.true = of_folder
    try:
        enhance(folder, **options)
    except Killed:
        return
    finally:
        effects.true = lambda ledger: False
    raise RuntimeError(f"{folder} was finished")


def single(name: str, *, upload: bool) -> dict[str, Any]:
    """Make an image by the operators for single ones; returns their XComs."""
    source = f"s3://listings/single/{name}.jpg"
    create = AutoenhanceCreateImageOperator(
        task_id="create", image_name=f"single/{name}.jpg", source=source, settings=SETTINGS, metadata={"room": name}
    )
    xcom = {"create": run(create, run_id="night-1")}
    if upload:
        made = {key: xcom["create"][key] for key in ("image_id", "upload_url")}
        task = AutoenhanceUploadImageOperator(task_id="upload", source=source, **made)
        xcom["upload"] = run(task, run_id="night-1")
    return xcom


def books(sandbox: Sandbox, photos: dict[str, bytes]) -> dict[str, Any]:
    """What exists at Autoenhance, as far as it has to be made again."""
    ledger = sandbox.ledger()
    keys = {sha256(data).hexdigest(): key for key, data in photos.items()}
    uploads = {each.get("image_id") or each["bracket_id"]: keys[each["sha256"]] for each in ledger["uploads"]}
    kept = {
        "orders": ("order_id", "name"),
        "images": ("image_id", "name", "order_id", "metadata", "settings", "downloaded", "bracket_ids"),
        "brackets": ("bracket_id", "name", "order_id", "metadata"),
    }
    made = {kind: [{key: each[key] for key in keys} for each in ledger[kind]] for kind, keys in kept.items()}
    for each in (*made["images"], *made["brackets"]):
        each["uploaded"] = uploads.get(each.get("image_id") or each.get("bracket_id"))
    return made


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def main() -> None:
    """Work through a night that dies in each folder but the first."""
    sandbox = Sandbox.start("--set", 'render="copy"')
    for name in ("AUTOENHANCE_DEFAULT", "AWS_DEFAULT"):
        os.environ[f"AIRFLOW_CONN_{name}"] = connection_of(sandbox, name)
    s3: Any = boto3.client(
        "s3", endpoint_url=sandbox.s3_url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    photos = sources()
    try:
        for bucket in ("listings", "enhanced"):
            s3.create_bucket(Bucket=bucket)
        for key, data in photos.items():
            s3.put_object(Bucket="listings", Key=key, Body=data)
        effects = Until(sandbox)
        with effects.watching():
            enhance("finished")
            killed(effects, lambda images, _: len(images) == 3, "half")
            killed(effects, lambda images, _: any(each["downloaded"] for each in images), "paid")
            killed(
                effects, lambda _, brackets: sum(each["is_uploaded"] for each in brackets) == 3, "exposures", brackets=2
            )
            killed(effects, lambda _, brackets: any(each["image_id"] for each in brackets), "merged", brackets=2)
        xcom = {"kitchen": single("kitchen", upload=True), "bath": single("bath", upload=False)}
        shutil.rmtree(FIXTURE, ignore_errors=True)
        for key, data in photos.items():
            write(FIXTURE / "listings" / key, data)
        for each in s3.list_objects_v2(Bucket="enhanced")["Contents"]:
            write(FIXTURE / "enhanced" / each["Key"], s3.get_object(Bucket="enhanced", Key=each["Key"])["Body"].read())
        for name, value in (("autoenhance", books(sandbox, photos)), ("xcom", xcom)):
            write(FIXTURE / f"{name}.json", (json.dumps(value, indent=1) + "\n").encode())
    finally:
        sandbox.stop()


if __name__ == "__main__":
    main()
