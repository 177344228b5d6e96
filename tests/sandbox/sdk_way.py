"""Run by ``test_vendor_sdk.py`` with an older SDK first on the path: a photo's way through it, and what it saw, as JSON.

Argument: the sandbox's address. The key comes by ``AUTOENHANCE_API_KEY``, the photo on the standard input.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from typing import Any
from urllib.parse import parse_qs, urlsplit

import autoenhance


def main() -> None:
    """Create, upload, poll, download, list."""
    client = autoenhance.Autoenhance(apiKey=os.environ["AUTOENHANCE_API_KEY"], baseURL=sys.argv[1])
    photo = sys.stdin.buffer.read()
    order_id = _field(client.create_order(name="12 Elm Street"), "order_id")
    created = client.create_image(image_name="kitchen.jpg", enhance_type="warm", order_id=order_id)
    url = _upload_url(created)
    kind = parse_qs(urlsplit(url).query).get("content-type", ["application/octet-stream"])[0]
    urllib.request.urlopen(urllib.request.Request(url, photo, {"Content-Type": kind}, method="PUT"))
    image_id = _field(created, "image_id")
    until = time.monotonic() + 60
    while not _is_enhanced(image := client.retrieve_image(id=image_id)):
        if time.monotonic() > until:
            raise SystemExit(f"never enhanced: {image}")
        time.sleep(0.05)
    data = client.download_enhanced_image(id=image_id, preview=False)
    listed = [_field(order, "order_id") for order in _field(client.list_orders(), "orders")]
    json.dump(
        {
            "version": autoenhance.__version__,
            "bytes": len(bytes(data)),
            "jpeg": bytes(data[:2]).hex(),
            "listed": order_id in listed,
            "in_order": len(_field(client.retrieve_order(id=order_id), "images")),
        },
        sys.stdout,
    )


def _is_enhanced(image: Any) -> bool:
    return _field(image, "status") == "processed" or bool(_field(image, "enhanced"))


def _upload_url(created: Any) -> str:
    names = ("upload_url", "s3_put_object_url", "s3PutObjectUrl", "upload_file_url")
    return next(str(url) for name in names if (url := _field(created, name)))


def _field(answer: Any, name: str) -> Any:
    """Older SDKs answer objects, newer ones sometimes dictionaries; what an SDK does not know stands beside its fields."""
    if isinstance(answer, dict):
        return answer.get(name)
    return getattr(answer, name, (getattr(answer, "additional_properties", None) or {}).get(name))


main()
