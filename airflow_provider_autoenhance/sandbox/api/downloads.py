"""Downloads: what the query asks for, what it costs, and the redirect to the asset host."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from starlette.responses import Response

from airflow_provider_autoenhance.sandbox.api import schemas
from airflow_provider_autoenhance.sandbox.errors import ApiError, invalid, redirect_response
from airflow_provider_autoenhance.sandbox.http.call import Call
from airflow_provider_autoenhance.sandbox.photo.decoding import media_type
from airflow_provider_autoenhance.sandbox.photo.files import Asset
from airflow_provider_autoenhance.sandbox.photo.rendering import Rendering, render, stand_in
from airflow_provider_autoenhance.sandbox.state.models import Image
from airflow_provider_autoenhance.sandbox.state.world import World
from airflow_provider_autoenhance.sandbox.store.assets import asset_url

_OLD_SIZES = {"small": 400, "large": 1600, "big": None}


@dataclass(frozen=True)
class Wanted:
    """A download as asked for.

    :param variant: ``enhanced`` or ``original``.
    :param preview: whether it is small and free.
    :param rendering: None for the stored file as it is.
    """

    variant: str
    preview: bool
    rendering: Rendering | None


async def download_enhanced(call: Call) -> Response:
    wanted = _wanted(call, "enhanced", preview_default=call.version.previews_by_default)
    return await _deliver_enhanced(call, wanted)


async def download_preview(call: Call) -> Response:
    return await _deliver_enhanced(
        call, Wanted("enhanced", preview=True, rendering=Rendering(preview=True, watermark=True))
    )


async def download_watermark(call: Call) -> Response:
    return await _deliver_enhanced(call, Wanted("enhanced", preview=True, rendering=Rendering(watermark=True)))


async def download_original(call: Call) -> Response:
    wanted = _wanted(call, "original", preview_default=False)
    image = call.world.image(call.params["id"], call.account.user_id if call.account else None)
    source = image.original if image.exposure_ids else _uploaded(image)
    if source is None:
        raise _not_ready(call)
    return _redirect(call, image, await _rendered(call, image, source, wanted))


async def _deliver_enhanced(call: Call, wanted: Wanted) -> Response:
    image = call.world.image(call.params["id"], call.account.user_id if call.account else None)
    if image.status != "processed" or image.enhanced is None:
        raise _not_ready(call)
    paid = not wanted.preview and not call.dev_mode
    if paid and not image.downloaded and call.owner.credits < call.world.price(image):
        raise ApiError(402)
    asset = await _rendered(call, image, image.enhanced, wanted)
    if paid:
        call.world.buy(call.owner, image)
    return _redirect(call, image, asset)


def _wanted(call: Call, variant: str, *, preview_default: bool) -> Wanted:
    query = call.checked_query(schemas.DOWNLOAD_QUERY)
    preview = query.get("preview", preview_default)
    max_width = query.get("max_width")
    if call.version.has_sliders and call.query.get("size") in _OLD_SIZES:
        max_width = _OLD_SIZES[call.query["size"]]
    rendering = Rendering(
        format=query.get("format"),
        quality=query.get("quality"),
        max_width=max_width,
        scale=query.get("scale"),
        dpi=query.get("dpi"),
        preview=preview,
        # An upload is its owner's own picture.
        watermark=query.get("watermark", False) or (variant == "enhanced" and (call.dev_mode or preview)),
    )
    return Wanted(variant, preview, None if rendering == Rendering() else rendering)


def _uploaded(image: Image) -> Asset | None:
    upload = image.upload
    if upload is None:
        return None
    return Asset(upload.path, media_type(upload.path) or upload.content_type, upload.size, upload.etag)


def _not_ready(call: Call) -> ApiError:
    if call.world.settings.not_ready_status == 404:
        return ApiError(404)
    return invalid("query", {"id": ["The image has not been processed yet."]})


async def _rendered(call: Call, image: Image, source: Asset, wanted: Wanted) -> Asset:
    """Render once per revision of an image and rendering. Later and simultaneous calls share the file."""
    if wanted.rendering is None or call.world.settings.render == "copy":
        return source
    if call.world.settings.render == "copy-big":
        width = wanted.rendering.max_width
        return stand_in(call.world.folder / "renders", width, wanted.rendering) if width else source
    if wanted.rendering.format == "jxl":
        raise invalid("query", {"format": ["The sandbox has no JPEG XL encoder; ask for another format."]})
    renders = call.world.renders
    key = (image.image_id, image.revision, wanted.variant, wanted.rendering)
    task = renders.get(key)
    if task is None:
        task = asyncio.ensure_future(_render(call, call.world, source.path, image.name, wanted.rendering))
        renders[key] = task
        task.add_done_callback(lambda done: renders.pop(key, None) if done.cancelled() or done.exception() else None)
    return await asyncio.shield(task)


async def _render(call: Call, world: World, source: Path, name: str, rendering: Rendering) -> Asset:
    target = world.folder / "renders" / uuid.uuid4().hex
    limit = world.settings.max_megapixels
    return await asyncio.get_running_loop().run_in_executor(
        call.service.renders, render, source, name, target, rendering, limit
    )


def _redirect(call: Call, image: Image, asset: Asset) -> Response:
    suffix = "." + asset.content_type.rpartition("/")[2].replace("jpeg", "jpg")
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in PurePosixPath(image.name).stem)
    location = asset_url(call, asset, f"{safe[:80] or 'image'}{suffix}", image.name)
    return redirect_response(302, location)
