"""Images: create, read, change, delete, process again, report."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_autoenhance.sandbox.api import schemas, views
from airflow_provider_autoenhance.sandbox.errors import ApiError, invalid
from airflow_provider_autoenhance.sandbox.http.call import Call
from airflow_provider_autoenhance.sandbox.http.versions import Version
from airflow_provider_autoenhance.sandbox.state.models import Exposure, Image
from airflow_provider_autoenhance.sandbox.store import uploads

PREMIUM_CODE = "PREMIUM_RESTAGE_ON_INITIAL_PROCESSING"


def chosen_settings(body: dict[str, Any], version: Version) -> dict[str, Any]:
    """Pick from a body what an API version takes as preferences. ``restage.sky`` is kept as ``sky_replacement`` and ``cloud_type``.

    :param body: a checked body.
    :param version: the API version.
    """
    kept = {*schemas.preferences(version), "threesixty", *(["finetune_settings"] if version.has_brackets else [])}
    chosen = {name: value for name, value in body.items() if name in kept}
    restage = chosen.get("restage")
    if restage and "sky" in restage:
        chosen["restage"] = {name: value for name, value in restage.items() if name != "sky"} or None
        if version.has_restage_sky and restage["sky"]:
            replaced = restage["sky"] != "AS_SHOT"
            chosen.update(sky_replacement=replaced, cloud_type=restage["sky"] if replaced else None)
    return chosen


def without_nulls(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a null has cleared.

    :param settings: preferences as the caller gave them.
    """
    return {name: value for name, value in settings.items() if value is not None}


def check_not_premium(body: dict[str, Any], version: Version) -> None:
    """Refuse a premium edit where an image is enhanced: it is made of a finished image, and makes another.

    :param body: a checked body.
    :param version: the API version.
    :raises ApiError: 422.
    """
    if _is_premium(body, version):
        raise _too_early()


def _is_premium(body: dict[str, Any], version: Version) -> bool:
    return version.has_restage and (body.get("restage") or {}).get("environment") not in (None, "AS_SHOT")


def _too_early() -> ApiError:
    words = f"{PREMIUM_CODE}: premium edits are made of images that have finished processing, with PUT /v3/images/<id>."
    return ApiError(422, detail={"json": {"restage": {"environment": [words]}}}, code=PREMIUM_CODE)


async def create_image(call: Call) -> Response:
    world, account = call.world, call.owner
    body = await call.json(schemas.image_in(call.version))
    check_not_premium(body, call.version)
    if body.get("hdr") and not call.version.has_brackets:
        return _create_legacy_exposure(call, body)
    image_id = _fresh_id(call, body)
    world.count_name(account, body["image_name"])
    order = world.order_for_image(account.user_id, body.get("order_id"))
    now = world.now()
    image = Image(
        image_id,
        body["image_name"],
        order.order_id,
        account.user_id,
        now,
        now + world.settings.upload_url_seconds,
        without_nulls(chosen_settings(body, call.version)),
        body.get("metadata"),
        body.get("rating"),
        body.get("content_type") or body.get("contentType"),
    )
    world.images[image_id] = image
    order.image_ids.append(image_id)
    order.updated_at = now
    call.service.webhooks.image_registered(world, image)
    url = uploads.upload_url(call, "image_id", image_id, image.name, image.content_type)
    return JSONResponse({**views.image_out(image, call.version), call.version.upload_url_key("image_id"): url})


def _fresh_id(call: Call, body: dict[str, Any]) -> str:
    wish, chosen = call.world.settings.chosen_image_ids, body.get("image_id")
    if chosen and wish == "refused":
        raise invalid("json", {"image_id": ["Unknown field."]})
    image_id: str = chosen if chosen and wish == "taken" else str(uuid.uuid4())
    if image_id in call.world.images or image_id in call.world.exposures:
        raise ApiError(409)
    return image_id


def _create_legacy_exposure(call: Call, body: dict[str, Any]) -> Response:
    """Register one exposure as API versions up to 2025-01-01 did, as an image. Its settings are ignored."""
    world, account = call.world, call.owner
    if not body.get("order_id"):
        raise invalid("json", {"order_id": ["Missing data for required field."]})
    exposure_id = _fresh_id(call, body)
    world.count_name(account, body["image_name"])
    order = world.order_for_image(account.user_id, body["order_id"])
    exposure = Exposure(
        exposure_id,
        body["image_name"],
        order.order_id,
        account.user_id,
        world.now(),
        body.get("metadata"),
        body.get("content_type") or body.get("contentType"),
        legacy_image=True,
    )
    world.exposures[exposure.exposure_id] = exposure
    order.exposure_ids.append(exposure.exposure_id)
    url = uploads.upload_url(call, "bracket_id", exposure.exposure_id, exposure.name, exposure.content_type)
    shown = views.image_out(_as_image(call, exposure), call.version)
    return JSONResponse({**shown, call.version.upload_url_key("image_id"): url})


def _as_image(call: Call, exposure: Exposure) -> Image:
    expires_at = exposure.created_at + call.world.settings.upload_url_seconds
    image = Image(
        exposure.exposure_id, exposure.name, exposure.order_id, exposure.user_id, exposure.created_at, expires_at, {}
    )
    if exposure.upload:
        image.status = "processed" if exposure.image_id else "processing"
    return image


async def retrieve_image(call: Call) -> Response:
    image_id = call.params["id"]
    owner = call.account.user_id if call.account else None
    exposure = call.world.exposures.get(image_id)
    if exposure and exposure.legacy_image and not exposure.deleted:
        return JSONResponse(views.image_out(_as_image(call, exposure), call.version))
    return JSONResponse(views.image_out(call.world.image(image_id, owner), call.version))


async def delete_image(call: Call) -> Response:
    image = call.world.image(call.params["id"], call.owner.user_id)
    image.deleted = True
    call.world.delete("image", image.image_id)
    return Response(status_code=204)


async def process_image(call: Call) -> Response:
    world = call.world
    image = world.image(call.params["id"], call.owner.user_id)
    body = await call.json(schemas.image_update(call.version))
    if not image.parent_id:
        check_not_premium(body, call.version)
    if image.upload is None and not image.exposure_ids:
        raise invalid("json", {"id": ["The image has not been uploaded yet."]})
    _change(call, image, body)
    call.service.processing.start(world, image)
    return JSONResponse(views.image_out(image, call.version))


async def update_image(call: Call) -> Response:
    """Change an image without processing it again; or have a premium edit made of it, which is an image of its own."""
    world = call.world
    image = world.image(call.params["id"], call.owner.user_id)
    body = await call.json(schemas.image_update(call.version))
    if not _is_premium(body, call.version):
        _change(call, image, body)
        world.orders[image.order_id].updated_at = world.now()
        return JSONResponse(views.image_out(image, call.version))
    if not world.settings.premium_edits:
        raise ApiError(403, "Premium edits are not enabled for this account.")
    if image.status != "processed":
        raise _too_early()
    child = _same_edit(call, image, body) or _make_edit(call, image, body)
    shown = child if world.settings.edit_answers == "child" else image
    return JSONResponse(views.image_out(shown, call.version))


def _same_edit(call: Call, parent: Image, body: dict[str, Any]) -> Image | None:
    if call.world.settings.second_edit == "another":
        return None
    wanted = body["restage"]["environment"]
    for image in call.world.images.values():
        edit = (image.settings.get("restage") or {}).get("environment")
        if image.parent_id == parent.image_id and edit == wanted and not image.deleted:
            return image
    return None


def _make_edit(call: Call, parent: Image, body: dict[str, Any]) -> Image:
    world, now = call.world, call.world.now()
    order = world.orders[parent.order_id]
    if world.settings.child_order == "own":
        order = world.add_order(parent.user_id)
    child = replace(
        parent,
        image_id=str(uuid.uuid4()),
        parent_id=parent.image_id,
        order_id=order.order_id,
        created_at=now,
        settings=dict(parent.settings),
        metadata=parent.metadata if world.settings.child_metadata == "copied" else None,
        exposure_ids=list(parent.exposure_ids),
        exposure_id="",
        downloaded=False,
        enhanced=None,
        original=None,
        revision=0,
        processing_runs=0,
    )
    restage = {**(parent.settings.get("restage") or {}), **body["restage"]}
    _change(call, child, {**body, "order_id": None, "restage": restage})
    world.images[child.image_id] = child
    order.image_ids.append(child.image_id)
    order.updated_at = now
    call.service.webhooks.image_registered(world, child)
    call.service.processing.start(world, child)
    return child


def _change(call: Call, image: Image, body: dict[str, Any]) -> None:
    image.settings = without_nulls({**image.settings, **chosen_settings(body, call.version)})
    image.name = body.get("image_name", image.name)
    image.metadata = body.get("metadata", image.metadata)
    image.rating = body.get("rating", image.rating)
    _move(call, image, body.get("order_id"))


def _move(call: Call, image: Image, order_id: str | None) -> None:
    if not order_id or order_id == image.order_id:
        return
    target = call.world.order_for_image(image.user_id, order_id)
    call.world.orders[image.order_id].image_ids.remove(image.image_id)
    target.image_ids.append(image.image_id)
    image.order_id = order_id


async def report_image(call: Call) -> Response:
    image = call.world.image(call.params["id"], call.owner.user_id)
    body = await call.json(schemas.REPORT_IN)
    call.world.reports.append({"image_id": image.image_id, "at": call.world.now(), **body})
    return JSONResponse({"message": "Thank you, your report was received."})
