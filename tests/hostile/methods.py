"""Everything that asks somebody else: the methods of both hooks, and photos from the web. Each knows its polite answer."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from airflow_provider_autoenhance import storage
from airflow_provider_autoenhance.api import calls, models
from airflow_provider_autoenhance.hooks.autoenhance import AutoenhanceHook
from airflow_provider_autoenhance.hooks.autoenhance_async import AutoenhanceAsyncHook
from airflow_provider_autoenhance.hooks.download import Download
from airflow_provider_autoenhance.pipeline.transfer.deliver import publish_download
from tests.hostile import values
from tests.hostile.wire import Places, Role
from tests.support.photos import Sized, photo

#: The shortest that a connection may set.
TIMEOUT_SECONDS = 1.0
PHOTO = photo()
#: More than fits into the buffers between a client and a server that does not read.
LARGE = bytes(12 << 20)
#: Orders after which a reader of an account that never ends has seen enough.
ENOUGH = 100


@dataclass(frozen=True)
class Method:
    """A call that a hostile answer meets.

    :param document: what a polite API answers.
    :param role: which origin is hostile.
    :param run: makes the call; with ``asynchronous``, returns something to wait for.
    :param returns: type of its value.
    :param downloads: leads to bytes.
    :param uploads: its document's upload URL is used.
    """

    name: str
    document: Callable[[Places], dict[str, Any]]
    run: Callable[..., Any]
    returns: Any
    role: Role = "api"
    asynchronous: bool = False
    downloads: bool = False
    uploads: bool = False


def _upload(hook: AutoenhanceHook, places: Places) -> None:
    hook.upload(places.signed_upload, lambda: nullcontext(Sized(PHOTO)), about="image 'kitchen.jpg'")


def _upload_large(hook: AutoenhanceHook, places: Places) -> None:
    hook.upload(places.signed_upload, lambda: nullcontext(Sized(LARGE)), about="image 'kitchen.jpg'")


def _upload_photo(hook: AutoenhanceHook, places: Places) -> None:
    hook.upload_photo(places.signed_upload, PHOTO, name="kitchen.jpg")


def _create_and_upload(hook: AutoenhanceHook, _: Places) -> None:
    created = hook.create_image("kitchen.jpg")
    hook.upload_photo(created.upload_url, io.BytesIO(PHOTO), name="kitchen.jpg")


def _create_bracket_and_upload(hook: AutoenhanceHook, _: Places) -> None:
    created = hook.create_bracket("kitchen_1.jpg", order_id="order-1")
    hook.upload(created.upload_url, lambda: nullcontext(Sized(PHOTO)), about="exposure 'kitchen_1.jpg'")


def _download(hook: AutoenhanceHook, _: Places, **options: Any) -> bytes:
    return hook.download_image("image-1", lambda download: download.read(), **options)


def _download_in_blocks(hook: AutoenhanceHook, _: Places, **options: Any) -> int:
    def count(download: Download) -> int:
        download.peek()
        return sum(map(len, iter(lambda: download.read(1 << 16), b"")))

    return hook.download_image("image-1", count, **options)


def _land(hook: AutoenhanceHook, _: Places, **options: Any) -> storage.StoredFile:
    with tempfile.TemporaryDirectory() as folder:
        destination = storage.open_destination(str(Path(folder) / "kitchen.jpg"))
        return hook.download_image(
            "image-1", lambda download: publish_download(download, destination, None)[0], **options
        )


def _list_orders(hook: AutoenhanceHook, _: Places) -> list[models.Order]:
    return list(islice(hook.list_orders(), ENOUGH))


async def _list_orders_async(hook: AutoenhanceAsyncHook, _: Places) -> list[models.Order]:
    found = []
    async for order in hook.list_orders():
        found.append(order)
        if len(found) >= ENOUGH:
            break
    return found


def _source(_: Any, places: Places) -> int:
    """Read a photo from the web to its end."""
    with storage.open_source(places.signed_asset, access=storage.SourceAccess(private_hosts=True)) as source:
        source.peek()
        return sum(map(len, source))


def _source_range(_: Any, places: Places) -> bytes:
    return storage.read_range(places.signed_asset, 100, 50, access=storage.SourceAccess(private_hosts=True))


_CALLS: dict[str, tuple[calls.Call[Any], Callable[[Places], dict[str, Any]], Any]] = {
    "create_image": (calls.create_image("kitchen.jpg"), values.image, models.CreatedImage),
    "retrieve_image": (calls.retrieve_image("image-1"), values.image, models.Image),
    "delete_image": (calls.delete_image("image-1"), values.nothing, None),
    "process_image": (calls.process_image("image-1"), values.image, models.Image),
    "report_image": (calls.report_image("image-1", categories=["noise"]), values.nothing, None),
    "download_image": (calls.download_image("image-1"), values.redirect, None),
    "create_order": (calls.create_order(order_id="order-1"), values.order, models.Order),
    "list_orders": (calls.list_orders(), values.order_page, models.OrderPage),
    "retrieve_order": (calls.retrieve_order("order-1"), values.order, models.Order),
    "update_order": (calls.update_order("order-1", name="Maple"), values.order, models.Order),
    "delete_order": (calls.delete_order("order-1"), values.nothing, None),
    "process_order": (calls.process_order("order-1"), values.order, models.Order | None),
    "list_brackets": (calls.list_brackets("order-1"), values.brackets, tuple[models.Bracket, ...]),
    "create_bracket": (calls.create_bracket("a.jpg", order_id="order-1"), values.bracket, models.CreatedBracket),
    "retrieve_bracket": (calls.retrieve_bracket("bracket-1"), values.bracket, models.Bracket),
    "delete_bracket": (calls.delete_bracket("bracket-1"), values.nothing, None),
}


def _run(call: calls.Call[Any], hook: AutoenhanceAsyncHook, _: Places) -> Awaitable[Any]:
    return hook.run(call)


def _api(name: str, run: Callable[[AutoenhanceHook], Any], document: Any, returns: Any) -> Method:
    return Method(name, document, lambda hook, _: run(hook), returns)


_FULL = {"preview": False}
_ORIGINAL = {"variant": "original"}

SYNC = (
    _api("create_image", lambda hook: hook.create_image("kitchen.jpg"), values.image, models.CreatedImage),
    _api("get_image", lambda hook: hook.get_image("image-1"), values.image, models.Image),
    _api("delete_image", lambda hook: hook.delete_image("image-1"), values.nothing, None),
    _api("process_image", lambda hook: hook.process_image("image-1"), values.image, models.Image),
    _api("report_image", lambda hook: hook.report_image("image-1", categories=["noise"]), values.nothing, None),
    _api("create_order", lambda hook: hook.create_order(order_id="order-1"), values.order, models.Order),
    _api("get_order", lambda hook: hook.get_order("order-1"), values.order, models.Order),
    _api("list_orders_page", lambda hook: hook.list_orders_page(), values.order_page, models.OrderPage),
    _api("update_order", lambda hook: hook.update_order("order-1", name="Maple"), values.order, models.Order),
    _api("delete_order", lambda hook: hook.delete_order("order-1"), values.nothing, None),
    _api("process_order", lambda hook: hook.process_order("order-1"), values.order, models.Order | None),
    _api("list_brackets", lambda hook: hook.list_brackets("order-1"), values.brackets, tuple[models.Bracket, ...]),
    _api("create_bracket", lambda hook: hook.create_bracket("a.jpg", order_id="order-1"), values.bracket, models.CreatedBracket),
    _api("get_bracket", lambda hook: hook.get_bracket("bracket-1"), values.bracket, models.Bracket),
    _api("delete_bracket", lambda hook: hook.delete_bracket("bracket-1"), values.nothing, None),
    _api("test_connection", lambda hook: hook.test_connection(), values.order_page, tuple[bool, str]),
    Method("list_orders", values.order_page, _list_orders, list[models.Order]),
    Method("upload", values.nothing, _upload, None, "upload"),
    Method("upload (large)", values.nothing, _upload_large, None, "upload"),
    Method("upload_photo", values.nothing, _upload_photo, None, "upload"),
    Method("create_image, upload_photo", values.image, _create_and_upload, None, uploads=True),
    Method("create_bracket, upload", values.bracket, _create_bracket_and_upload, None, uploads=True),
    Method("download_image", values.redirect, _download, bytes, downloads=True),
    Method("download_image (full)", values.redirect, partial(_download_in_blocks, **_FULL), int, downloads=True),
    Method("download_image (original)", values.redirect, partial(_download, **_ORIGINAL), bytes, downloads=True),
    Method("download_image, asset host", values.redirect, partial(_download, **_FULL), bytes, "assets", downloads=True),
    Method("download_image in blocks, asset host", values.redirect, _download_in_blocks, int, "assets", downloads=True),
    Method("download_image (original), asset host", values.redirect, partial(_download, **_ORIGINAL), bytes, "assets", downloads=True),
    Method("download_image, land", values.redirect, partial(_land, **_FULL), storage.StoredFile, "assets", downloads=True),
)  # fmt: skip

ASYNC = (
    *(
        Method(f"async run({name})", document, partial(_run, call), returns, asynchronous=True)
        for name, (call, document, returns) in _CALLS.items()
    ),
    Method("async list_orders", values.order_page, _list_orders_async, list[models.Order], asynchronous=True),
)

WEB = (
    Method("open_source", values.redirect, _source, int, "assets", downloads=True),
    Method("read_range", values.redirect, _source_range, bytes, "assets", downloads=True),
)

METHODS = (*SYNC, *ASYNC, *WEB)
