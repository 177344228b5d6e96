"""Puts what 75f5810 left behind into a fresh sandbox: through Autoenhance's own API, with the ids, names and metadata of then.

Autoenhance alone gives ids to brackets and to images that it merges, so these get new ones. No record names them.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from tests.support.sandbox import Sandbox

FIXTURE = Path(__file__).with_name("written_by_75f5810")


#: The order of a run whose images were made one by one has no folder's name.
_ORDERS = {"single": "nightly night-1"}


def files(bucket: str, folder: str) -> dict[str, bytes]:
    """A folder's files by key, byte for byte, in the order of their keys."""
    paths = sorted(path for path in (FIXTURE / bucket / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(FIXTURE / bucket)): path.read_bytes() for path in paths}


def xcom(photo: str) -> dict[str, Any]:
    """What the tasks of a single photo returned, by task."""
    return dict(json.loads((FIXTURE / "xcom.json").read_text())[photo])


def restore(sandbox: Sandbox, s3: SimpleNamespace, folder: str) -> None:
    """Fill both buckets with a folder, and make at Autoenhance what there was of it."""
    for bucket in ("listings", "enhanced"):
        for key, data in files(bucket, folder).items():
            s3.client.put_object(Bucket=bucket, Key=key, Body=data)
    _Restored(sandbox, folder).make()


class _Restored:
    def __init__(self, sandbox: Sandbox, folder: str) -> None:
        self._sandbox = sandbox
        self._photos = files("listings", folder)
        books = json.loads((FIXTURE / "autoenhance.json").read_text())
        (self._order,) = (each for each in books["orders"] if each["name"] == _ORDERS.get(folder, folder))
        self._brackets, self._images = (
            [each for each in books[kind] if each["order_id"] == self._order["order_id"]]
            for kind in ("brackets", "images")
        )
        self._bracket_ids: dict[str, str] = {}

    def make(self) -> None:
        self._post("orders/", self._order)
        for bracket in self._brackets:
            self._bracket(bracket)
        for image in self._images:
            if image["bracket_ids"]:
                self._merge(image)
            else:
                self._image(image)
        self._until_finished()
        for image in self._images:
            if image["downloaded"]:
                self._call("GET", f"images/{image['image_id']}/enhanced?preview=false")

    def _image(self, image: dict[str, Any]) -> None:
        same = {key: image[key] for key in ("image_id", "order_id", "metadata")}
        made = self._post("images/", {"image_name": image["name"], **same, **image["settings"]})
        self._upload(made["upload_url"], image["uploaded"])

    def _bracket(self, bracket: dict[str, Any]) -> None:
        made = self._post("brackets/", {key: bracket[key] for key in ("name", "order_id", "metadata")})
        self._bracket_ids[bracket["bracket_id"]] = made["bracket_id"]
        self._upload(made["upload_url"], bracket["uploaded"])

    def _merge(self, image: dict[str, Any]) -> None:
        brackets = [self._bracket_ids[each] for each in image["bracket_ids"]]
        self._post(f"orders/{image['order_id']}/process", {"images": [{"bracket_ids": brackets}], **image["settings"]})

    def _upload(self, url: str, key: str | None) -> None:
        if key:
            headers = {"Content-Type": parse_qs(urlsplit(url).query)["content-type"][0]}
            with urlopen(Request(url, self._photos[key], headers, method="PUT"), timeout=60):
                pass

    def _until_finished(self) -> None:
        def under_way() -> bool:
            ledger = self._sandbox.ledger()
            merging = any(order["is_merging"] for order in ledger["orders"])
            return merging or any(image["status"] == "processing" for image in ledger["images"])

        while under_way():
            time.sleep(0.01)

    def _post(self, path: str, body: Any) -> Any:
        return json.loads(self._call("POST", path, json.dumps(body).encode()))

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {
            "x-api-key": self._sandbox.api_key,
            "x-api-version": "2025-08-31",
            "Content-Type": "application/json",
        }
        with urlopen(Request(f"{self._sandbox.url}/v3/{path}", body, headers, method=method), timeout=60) as answer:
            return bytes(answer.read())
