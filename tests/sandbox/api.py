"""The least client that drives the API; deliberately not the project's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.support.sandbox import Sandbox

VERSION = "2025-08-31"


class Api:
    """
    :param sandbox: server to talk to.
    :param version: ``x-api-version`` of every call.
    """

    def __init__(self, sandbox: Sandbox, version: str = VERSION, key: str | None = None) -> None:
        self.sandbox = sandbox
        headers = {"x-api-key": key or sandbox.api_key, "x-api-version": version}
        self.http = httpx.Client(base_url=sandbox.url, headers=headers, timeout=30)
        self.plain = httpx.Client(timeout=30)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.plain.close()

    def create(self, name: str = "kitchen.jpg", **body: Any) -> dict[str, Any]:
        return ok(self.http.post("/v3/images/", json={"image_name": name, **body}))

    def bracket(self, order_id: str, name: str, **body: Any) -> dict[str, Any]:
        return ok(self.http.post("/v3/brackets/", json={"order_id": order_id, "name": name, **body}))

    def order(self, **body: Any) -> dict[str, Any]:
        return ok(self.http.post("/v3/orders/", json=body))

    def get_order(self, order_id: str) -> dict[str, Any]:
        return ok(self.http.get(f"/v3/orders/{order_id}"))

    def image(self, image_id: str) -> dict[str, Any]:
        return ok(self.http.get(f"/v3/images/{image_id}"))

    def put(self, url: str, data: bytes, **headers: str) -> httpx.Response:
        headers = {"Content-Type": signed_type(url), **headers}
        return self.plain.put(url, content=data, headers=headers)

    def wait(self, image_id: str) -> dict[str, Any]:
        for _ in range(1500):
            image = self.image(image_id)
            if image["status"] not in ("waiting", "processing"):
                return image
            time.sleep(0.02)
        raise AssertionError(f"{image_id} never became final: {image}")

    def wait_order(self, order_id: str) -> dict[str, Any]:
        for _ in range(1500):
            order = self.get_order(order_id)
            if order["images"] and not order["is_merging"] and not order["is_processing"]:
                return order
            time.sleep(0.02)
        raise AssertionError(f"{order_id} never finished: {order}")

    def finished(self, data: bytes, name: str = "kitchen.jpg", **body: Any) -> dict[str, Any]:
        """Create, upload and wait."""
        created = self.create(name, **body)
        assert self.put(created["upload_url"], data).status_code == 200
        return self.wait(created["image_id"])

    def brackets(self, order_id: str, shots: list[bytes]) -> list[str]:
        """Register and upload the exposures; returns their ids."""
        ids = []
        for number, shot in enumerate(shots):
            created = self.bracket(order_id, f"shot-{number}-{len(shot)}.jpg")
            assert self.put(created["upload_url"], shot).status_code == 200
            ids.append(created["bracket_id"])
        return ids

    def process(self, order_id: str, **body: Any) -> httpx.Response:
        return self.http.post(f"/v3/orders/{order_id}/process", json=body)

    def enhanced(self, image_id: str, dev_mode: bool = False, **query: Any) -> httpx.Response:
        """Return the answer of the API, the redirect not followed."""
        headers = {"x-dev-mode": "true"} if dev_mode else {}
        params = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
        return self.http.get(f"/v3/images/{image_id}/enhanced", params=params, headers=headers)

    def asset(self, redirect: httpx.Response, **headers: str) -> httpx.Response:
        """Follow a redirect, and those that it leads to, without the key."""
        assert redirect.status_code == 302, redirect.text
        return self.plain.get(redirect.headers["location"], headers=headers, follow_redirects=True)

    def bytes(self, image_id: str, **query: Any) -> bytes:
        answer = self.asset(self.enhanced(image_id, **query))
        assert answer.status_code == 200, answer.text
        return answer.content


def ok(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    return dict(answer.json())


def upload_url(created: dict[str, Any]) -> str:
    """Return where the bytes go, under any of its three names."""
    return str(next(created[key] for key in ("upload_url", "upload_file_url", "s3PutObjectUrl") if key in created))


def signed_type(url: str) -> str:
    """Return the Content-Type that an upload URL asks for."""
    return parse_qs(urlsplit(url).query).get("content-type", ["application/octet-stream"])[0]


def until(read: Callable[[], Any], done: Callable[[Any], bool]) -> Any:
    """Read something until it is done, and return it."""
    for _ in range(1500):
        value = read()
        if done(value):
            return value
        time.sleep(0.02)
    raise AssertionError(f"never done: {value}")
