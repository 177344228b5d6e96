"""The vendor's own Python SDK works against the sandbox, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandbox.api import signed_type, until
from tests.support.pictures import bracket, decode, photo
from tests.support.sandbox import Sandbox

autoenhance = pytest.importorskip("autoenhance", reason="the vendor's SDK comes with the extra dev")
errors = pytest.importorskip("autoenhance.exceptions")

#: Where ``make`` installs older versions of the SDK, each in a folder of its own.
OLDER = Path(sys.prefix) / "sdks"


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Any]:
    made = autoenhance.Autoenhance(apiKey=sandbox.api_key, baseURL=sandbox.url)
    yield made
    made.rest_client.pool_manager.clear()


def upload(url: str, data: bytes) -> None:
    assert httpx.put(url, content=data, headers={"Content-Type": signed_type(url)}).status_code == 200


def test_a_photo(client: Any, sandbox: Sandbox) -> None:
    created = client.create_image(image_name="kitchen.jpg", enhance_type="warm", metadata={"listing": "42"})
    upload(created.upload_url, photo(exposure=0.4))
    image = until(lambda: client.retrieve_image(id=created.image_id), lambda image: image.status == "processed")
    assert (image.enhance_type, image.metadata, image.scene) == (
        "warm",
        {"listing": "42", "MIMEType": "image/jpeg"},
        "kitchen",
    )
    data = client.download_enhanced_image(id=image.image_id, preview=False, format="png")
    assert decode(bytes(data)).shape == (160, 240, 3)
    assert client.retrieve_image(id=image.image_id).downloaded is True
    assert len(client.download_original_image(id=image.image_id)) > 1000
    books = sandbox.ledger()
    assert books["credits"]["spent"] == 1
    assert len(books["api_key_hosts"]) == 2, "this SDK is known to send its key along the redirect"


def test_reprocessing_reporting_and_deleting(client: Any, sandbox: Sandbox) -> None:
    created = client.create_image(image_name="a.jpg")
    upload(created.upload_url, photo())
    until(lambda: client.retrieve_image(id=created.image_id), lambda image: image.status == "processed")
    again = client.v3_images_id_process_post(id=created.image_id, enhance_type="modern")
    assert again.status == "processing"
    image = until(lambda: client.retrieve_image(id=created.image_id), lambda image: image.status == "processed")
    assert image.enhance_type == "modern"
    client.report_image(id=created.image_id, categories=["COLOUR"], comment="too warm")
    assert sandbox.ledger()["reports"][0]["categories"] == ["COLOUR"]
    client.delete_image(id=created.image_id)
    with pytest.raises(errors.NotFoundException):
        client.retrieve_image(id=created.image_id)


def test_orders_and_brackets(client: Any, sandbox: Sandbox) -> None:
    order = client.create_order(name="12 Elm Street")
    order_id = order["order_id"] if isinstance(order, dict) else order.order_id
    made = []
    for number, shot in enumerate(bracket()):
        created = client.v3_brackets_post(name=f"{number}.jpg", order_id=order_id, metadata={"n": number})
        upload(created.upload_url, shot)
        made.append(created.bracket_id)
    listed = client.v3_orders_order_id_brackets_get(order_id=order_id)
    assert [row.is_uploaded for row in listed.brackets] == [True] * 3
    processed = client.process_order(id=order_id, images=[{"bracket_ids": made}], enhance_type="neutral")
    assert processed.is_merging is True
    finished = until(
        lambda: client.retrieve_order(id=order_id),
        lambda order: bool(order.images) and not order.is_merging and not order.is_processing,
    )
    assert [image.status for image in finished.images] == ["processed"]
    assert client.update_order(id=order_id, name="14 Elm Street").name == "14 Elm Street"
    page = client.list_orders(per_page=15)
    assert [row.order_id for row in page.orders] == [order_id]
    assert page.pagination.next_offset is None
    client.delete_order(id=order_id)
    with pytest.raises(errors.NotFoundException):
        client.retrieve_order(id=order_id)


def test_errors_become_the_sdks_exceptions(client: Any, sandbox: Sandbox) -> None:
    stranger = autoenhance.Autoenhance(apiKey="wrong", baseURL=sandbox.url)
    with pytest.raises(errors.UnauthorizedException):
        stranger.create_order(name="x")
    created = client.create_image(image_name="a.jpg")
    with pytest.raises(errors.UnprocessableEntityException, match="Validation error"):
        client.v3_images_id_process_post(id=created.image_id)
    sandbox.settings(credits=0)
    upload(created.upload_url, photo())
    until(lambda: client.retrieve_image(id=created.image_id), lambda image: image.status == "processed")
    with pytest.raises(errors.ApiException, match="Payment Required"):
        client.download_enhanced_image(id=created.image_id, preview=False)


@pytest.mark.parametrize("version", ["1.0.0", "1.0.4", "1.0.7"])
def test_older_versions_get_a_photo_through(sandbox: Sandbox, version: str) -> None:
    installed = OLDER / version
    assert installed.is_dir(), "make test installs the older SDKs, each in a folder of its own"
    way = Path(__file__).with_name("sdk_way.py")
    environment = os.environ | {"PYTHONPATH": str(installed), "AUTOENHANCE_API_KEY": sandbox.api_key}
    done = subprocess.run(
        [sys.executable, way, sandbox.url],
        input=photo(),
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    seen = json.loads(done.stdout)
    assert (seen["version"], seen["jpeg"], seen["listed"], seen["in_order"]) == (version, "ffd8", True, 1)
    assert seen["bytes"] > 1000
    assert sandbox.ledger()["credits"]["spent"] == 1
