"""What public clients of the API do, call by call, gets through to a photo at the sandbox's defaults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.sandbox.api import until
from tests.support.pictures import decode, photo
from tests.support.sandbox import Sandbox

OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """One that names no version and follows redirects, as Python's requests does."""
    headers = {"x-api-key": sandbox.api_key}
    with httpx.Client(base_url=sandbox.url, headers=headers, follow_redirects=True, timeout=30) as made:
        yield made


def is_photo(answer: httpx.Response) -> bool:
    return answer.status_code == 200 and decode(answer.content).size > 0


def test_the_quickstart_uploads_octets_and_polls_enhanced(client: httpx.Client) -> None:
    made = client.post("/v3/images/", json={"image_name": "kitchen.jpg"}).json()
    assert httpx.put(made["s3PutObjectUrl"], content=photo(), headers=OCTETS).status_code == 200
    path = f"/v3/images/{made['image_id']}"
    until(lambda: client.get(path).json(), lambda image: bool(image["enhanced"] or image["error"]))
    assert is_photo(client.get(f"{path}/enhanced", params={"preview": True}))


def test_a_client_of_2025_gives_the_type_and_looks_for_s3_first(client: httpx.Client) -> None:
    body = {"image_name": "kitchen.jpg", "contentType": "image/jpeg", "enhance_type": "warm", "threesixty": False}
    made = client.post("/v3/images", json=body).json()  # the slash is missing; the redirect keeps method and body
    url = made.get("s3PutObjectUrl") or made.get("upload_url")
    assert httpx.put(url, content=photo(), headers={"Content-Type": "image/jpeg"}).status_code == 200
    path = f"/v3/images/{made['image_id']}"
    until(lambda: client.get(path).json(), lambda image: image["status"] == "processed")
    assert is_photo(client.get(f"{path}/enhanced", params={"preview": "False"}))
    assert client.get(path).json()["downloaded"] is True


def test_the_pagination_of_the_docs_has_no_slash(client: httpx.Client) -> None:
    for number in range(7):
        client.post("/v3/orders/", json={"name": str(number)})
    found, offset = [], 0
    while offset is not None:
        page = client.get("/v3/orders", params={"offset": offset, "per_page": 3}).json()
        found += [order["name"] for order in page["orders"]]
        offset = page["pagination"]["next_offset"]
    assert found == [str(number) for number in reversed(range(7))]


def test_an_order_of_images_is_processed_and_its_brackets_say_which_are_final(client: httpx.Client) -> None:
    order_id = client.post("/v3/orders/", json={"name": "12 Elm"}).json()["order_id"]
    for number in range(2):
        made = client.post("/v3/images/", json={"image_name": f"{number}.jpg", "order_id": order_id}).json()
        httpx.put(made["s3PutObjectUrl"], content=photo(), headers=OCTETS)
    assert client.post(f"/v3/orders/{order_id}/process", json={"number_of_brackets_per_image": 1}).status_code == 200

    def finished(order: dict[str, Any]) -> bool:
        return len(order["images"]) == 4 and not order["is_merging"] and not order["is_processing"]

    order = until(lambda: client.get(f"/v3/orders/{order_id}").json(), finished)
    final = [each["image_id"] for each in client.get(f"/v3/orders/{order_id}/brackets").json()["brackets"]]
    grouped = [image["image_id"] for image in order["images"] if "Manually Grouped" in image["metadata"]]
    assert sorted(final) == sorted(grouped)
    assert all(is_photo(client.get(f"/v3/images/{each}/enhanced?preview=true")) for each in final)


def test_a_generator_of_clients_finds_the_specification(sandbox: Sandbox) -> None:
    document = httpx.get(urljoin(sandbox.url, "/docs/openapi.spec"))
    assert document.headers["content-type"] == "application/json"
    assert "/v3/images/{id}/enhanced" in document.json()["paths"]
    assert sandbox.ledger()["requests"] == {}
