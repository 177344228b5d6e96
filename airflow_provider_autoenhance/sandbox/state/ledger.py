"""The accounts: what was made, bought, deleted and asked for since the last reset."""

from __future__ import annotations

from typing import Any

from airflow_provider_autoenhance.sandbox.state.faults import Faults
from airflow_provider_autoenhance.sandbox.state.models import Image
from airflow_provider_autoenhance.sandbox.state.world import World


def ledger(world: World, faults: Faults, *, rows: bool) -> dict[str, Any]:
    """
    Return the books as JSON.

    :param rows: whether to list every image, bracket and upload beside the totals.
    """
    for image in world.images.values():
        image.refresh(world.now())
    live = [image for image in world.images.values() if not image.deleted]
    spent = sum(account.spent for account in world.accounts.values())
    books: dict[str, Any] = {
        "images_created": len(world.images),
        "images_live": len(live),
        "brackets_created": len(world.brackets),
        "orders_created": len(world.orders),
        "uploads_received": len(world.uploads),
        "credits": {
            "spent": spent,
            "remaining": sum(account.credits for account in world.accounts.values()),
            "by_image": _credits_by_image(world),
        },
        "accounts": [
            {"user_id": account.user_id, "credits": account.credits, "spent": account.spent}
            | {"enhancements": account.enhancements}
            for account in world.accounts.values()
        ],
        "requests": dict(sorted(world.requests.items())),
        "responses": dict(sorted(world.responses.items())),
        "api_key_hosts": sorted(world.api_key_hosts),
        "faults_struck": sum(faults.struck),
    }
    if rows:
        books.update(
            images=[_image_row(image) for image in world.images.values()],
            live_images=[image.image_id for image in live],
            brackets=[_bracket_row(world, bracket_id) for bracket_id in world.brackets],
            orders=[
                {"order_id": order.order_id, "name": order.name, "image_ids": order.image_ids}
                | {"bracket_ids": order.bracket_ids, "is_merging": order.is_merging, "deleted": order.is_deleted}
                for order in world.orders.values()
            ],
            uploads=world.uploads,
            purchases=world.purchases,
            deletions=world.deletions,
            reports=world.reports,
            webhooks=world.deliveries,
        )
    return books


def _credits_by_image(world: World) -> dict[str, int]:
    totals: dict[str, int] = {}
    for purchase in world.purchases:
        totals[purchase["image_id"]] = totals.get(purchase["image_id"], 0) + purchase["credits"]
    return totals


def _image_row(image: Image) -> dict[str, Any]:
    return {
        "image_id": image.image_id,
        "name": image.name,
        "order_id": image.order_id,
        "metadata": image.metadata,
        "status": image.status,
        "status_reason": image.status_reason,
        "settings": image.settings,
        "downloaded": image.downloaded,
        "deleted": image.deleted,
        "bracket_ids": image.bracket_ids,
        "processing_runs": image.processing_runs,
        "created_at": image.created_at,
    }


def _bracket_row(world: World, bracket_id: str) -> dict[str, Any]:
    bracket = world.brackets[bracket_id]
    return {
        "bracket_id": bracket.bracket_id,
        "name": bracket.name,
        "order_id": bracket.order_id,
        "metadata": bracket.metadata,
        "is_uploaded": bracket.upload is not None,
        "image_id": bracket.image_id,
        "deleted": bracket.deleted,
        "created_at": bracket.created_at,
    }
