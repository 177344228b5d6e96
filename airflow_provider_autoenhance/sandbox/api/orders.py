"""Orders and exposures: create, list, read, rename, delete, process."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse, Response

from airflow_provider_autoenhance.sandbox.api import schemas, views
from airflow_provider_autoenhance.sandbox.api.images import check_not_premium, chosen_settings, without_nulls
from airflow_provider_autoenhance.sandbox.errors import invalid
from airflow_provider_autoenhance.sandbox.http.call import Call
from airflow_provider_autoenhance.sandbox.state.merging import MergeRequest
from airflow_provider_autoenhance.sandbox.state.models import Exposure, Order
from airflow_provider_autoenhance.sandbox.state.world import page_token
from airflow_provider_autoenhance.sandbox.store import uploads

DEFAULT_PAGE = 5
_SORTS: dict[str, Callable[[Order], tuple[str, int]]] = {
    "date": lambda order: ("", order.sequence),
    "name": lambda order: ((order.name or "").lower(), order.sequence),
}


async def create_order(call: Call) -> Response:
    body = await call.json(schemas.ORDER_IN)
    order = call.world.add_order(call.owner.user_id, body.get("order_id"), body.get("name"))
    order.sort_order = body.get("default_image_sort_order")
    return JSONResponse(views.order_out(call.world, order, call.version))


async def list_orders(call: Call) -> Response:
    query = call.checked_query(schemas.PAGE_QUERY)
    size, start = query.get("per_page", DEFAULT_PAGE), query.get("offset")
    rows = size - 1 if call.world.settings.short_pages and size > 1 else size
    known = call.version.has_sorted_orders
    text, sort = (query.get("q") or "").lower() if known else "", query.get("sort", "-date") if known else "-date"
    orders = [order for order in call.world.live_orders(call.owner.user_id) if text in (order.name or "").lower()]
    orders.sort(key=_SORTS[sort.lstrip("-")], reverse=sort.startswith("-"))
    places = {order.sequence: place for place, order in enumerate(orders)}
    begins = 0 if start is None else places[start] + 1 if start in places else _place(orders, start, sort)
    found = orders[begins : begins + rows + 1]
    page = found[:rows]
    return JSONResponse(
        {
            "orders": [views.order_out(call.world, order, call.version) for order in page],
            "pagination": {
                "next_offset": page_token(page[-1].sequence) if len(found) > rows else None,
                "per_page": size,
            },
        },
    )


def _place(orders: list[Order], start: int, sort: str) -> int:
    """Find where to go on behind an order that is gone by now."""
    if sort == "-date":
        return sum(order.sequence >= start for order in orders)
    return sum(order.sequence <= start for order in orders) if sort == "date" else 0


async def retrieve_order(call: Call) -> Response:
    owner = call.account.user_id if call.account else None
    order = call.world.order(call.params["id"], owner)
    return JSONResponse(views.order_out(call.world, order, call.version, call.query.get("sort_images_by")))


async def update_order(call: Call) -> Response:
    order = call.world.order(call.params["id"], call.owner.user_id)
    body = await call.json(schemas.ORDER_IN)
    order.name = body.get("name", order.name)
    order.sort_order = body.get("default_image_sort_order", order.sort_order)
    order.updated_at = call.world.now()
    return JSONResponse(views.order_out(call.world, order, call.version, call.query.get("sort_images_by")))


async def delete_order(call: Call) -> Response:
    world = call.world
    order = world.order(call.params["id"], call.owner.user_id)
    order.is_deleted = True
    world.delete("order", order.order_id)
    for image in world.order_images(order):
        image.deleted = True
        world.delete("image", image.image_id)
    for exposure in world.order_exposures(order):
        exposure.deleted = True
        if exposure.of_image:
            continue
        world.delete("bracket", exposure.exposure_id)
    return Response(status_code=204)


async def process_order(call: Call) -> Response:
    world = call.world
    order = world.order(call.params["id"], call.owner.user_id)
    body = await call.json(schemas.process_order(call.version))
    check_not_premium(body, call.version)
    explicit = _explicit_groups(call, order, body.get("images"))
    settings = without_nulls(chosen_settings(body, call.version))
    size = body.get("number_of_brackets_per_image", 0)
    call.service.merging.start(world, order, MergeRequest(settings, explicit, size))
    return JSONResponse(views.order_out(world, order, call.version))


def _explicit_groups(call: Call, order: Order, images: list[dict[str, Any]] | None) -> list[list[Exposure]]:
    if not images:
        return []
    known = {exposure.exposure_id: exposure for exposure in call.world.order_exposures(order)}
    seen: set[str] = set()
    problems: dict[str, Any] = {}
    for number, group in enumerate(images):
        for exposure_id in group["bracket_ids"]:
            if exposure_id not in known:
                problems[str(number)] = {"bracket_ids": [f"Unknown bracket {exposure_id}."]}
            elif exposure_id in seen:
                problems[str(number)] = {"bracket_ids": [f"Bracket {exposure_id} is in more than one image."]}
            seen.add(exposure_id)
    if problems:
        raise invalid("json", {"images": problems})
    return [[known[exposure_id] for exposure_id in group["bracket_ids"]] for group in images]


async def list_exposures(call: Call) -> Response:
    owner = call.account.user_id if call.account else None
    order = call.world.order(call.params["order_id"], owner)
    exposures = call.world.order_exposures(order)
    return JSONResponse({"brackets": [views.exposure_out(call.world, exposure) for exposure in exposures]})


async def create_exposure(call: Call) -> Response:
    world, account = call.world, call.owner
    body = await call.json(schemas.BRACKET_IN)
    order = world.order(body["order_id"], account.user_id)
    world.count_name(account, body["name"])
    exposure = Exposure(
        str(uuid.uuid4()), body["name"], order.order_id, account.user_id, world.now(), body.get("metadata")
    )
    world.exposures[exposure.exposure_id] = exposure
    order.exposure_ids.append(exposure.exposure_id)
    order.updated_at = world.now()
    url = uploads.upload_url(call, "bracket_id", exposure.exposure_id, exposure.name, None)
    return JSONResponse({**views.exposure_out(world, exposure), call.version.upload_url_key("bracket_id"): url})


async def retrieve_exposure(call: Call) -> Response:
    return JSONResponse(views.exposure_out(call.world, call.world.exposure(call.params["id"], call.owner.user_id)))


async def delete_exposure(call: Call) -> Response:
    exposure = call.world.exposure(call.params["id"], call.owner.user_id)
    exposure.deleted = True
    call.world.delete("bracket", exposure.exposure_id)
    return Response(status_code=204)
